use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::args::LookbackArgs;
use super::output::{document, say};
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::Config;
use crate::domain::{Kind, Polarity, ReferenceState};
use crate::gallery::{Gallery, ListQuery};
use crate::lookback::{Located, Searcher, Tally};
use crate::screening::AtOnce;

/// Most references of a brand read at once.
const PAGE: usize = 1000;

pub(super) fn lookback(config: &Config, args: &LookbackArgs) -> Result<Exit, Failure> {
    let parts = Parts::open(config)?;
    parts.catch_up()?;
    let gallery = &parts.screener.gallery;
    let keys = keys(gallery, args)?;
    let stop = AtomicBool::new(false);
    let searcher = Searcher::new(&parts.screener, &AtOnce, &stop);
    let mut see = |found: Located| print(&found, args.json);
    let tally = if args.dry_run {
        searcher.rehearse(&keys, args.since.unwrap_or(0), &mut see)?
    } else {
        let now = Timestamp::now();
        // References that nobody has asked for yet are due as well.
        gallery.follow_lookbacks(now)?;
        keys.iter().try_for_each(|key| gallery.ask_lookback(*key, args.since.unwrap_or(0), now))?;
        let tally = searcher.run_due(&mut see)?;
        // A service may have run some of them meanwhile.
        Tally { found: gallery.found_for(&keys)?, ..tally }
    };
    ended(tally, keys.len(), args);
    Ok(Exit::Done)
}

/// Keys of the references to search for.
fn keys(gallery: &Gallery, args: &LookbackArgs) -> Result<Vec<u64>, Failure> {
    if let Some(id) = &args.reference {
        let found = gallery.find(id)?.ok_or_else(|| {
            Failure::Declined(format!("there is no reference {id}; `touchstone lookup` and the console show ids"))
        })?;
        let polarity = found.claim.polarity;
        if found.state != ReferenceState::Active || polarity != Polarity::Fake || found.kind() != Kind::Photo {
            let what = format!("{} {polarity} {}", found.state.as_str(), found.kind().as_str());
            return Err(Failure::Declined(format!("reference {id} is a {what}, expected an active fake photo")));
        }
        return Ok(vec![found.key]);
    }
    let Some(brand) = &args.brand else { return Ok(Vec::new()) };
    let mut keys: Vec<u64> = Vec::new();
    loop {
        let query = ListQuery {
            polarity: Some(Polarity::Fake),
            kind: Some(Kind::Photo),
            state: Some(ReferenceState::Active),
            after: keys.last().copied().unwrap_or(0),
            limit: PAGE,
            ..ListQuery::default()
        };
        let page = gallery.list(brand, &query)?;
        keys.extend(page.iter().map(|reference| reference.key));
        if page.len() < PAGE {
            return Ok(keys);
        }
    }
}

fn print(found: &Located, json: bool) {
    if json {
        document!("{}", serde_json::json!(found));
        return;
    }
    let how = if found.verified { "verified" } else { "from memory" };
    say!(
        "{:.3}  {how}  listing {}  seller {}  check {} photo {}  {}",
        found.probability,
        found.listing_id.as_deref().unwrap_or("-"),
        found.seller_id.as_deref().unwrap_or("-"),
        found.check_id,
        found.photo,
        found.reference_id
    );
}

fn ended(tally: Tally, references: usize, args: &LookbackArgs) {
    if args.json {
        document!("{}", serde_json::json!({ "photos": tally.photos, "found": tally.found, "references": references }));
        return;
    }
    let what = if args.dry_run { "would be opened or added to" } else { "opened or added to" };
    say!("{references} references, {} remembered photos; {} cases {what}", tally.photos, tally.found);
}

/// A day, at its start in UTC, or a time.
pub(super) fn since(text: &str) -> Result<i64, String> {
    let day = || text.parse::<Date>().and_then(|day| day.to_zoned(TimeZone::UTC)).map(|start| start.timestamp());
    let time = text.parse::<Timestamp>().or_else(|_| day());
    time.map(Timestamp::as_second).map_err(|_| "expected a day such as 2026-11-01, or a time in UTC".to_owned())
}
