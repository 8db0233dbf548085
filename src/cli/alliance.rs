use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::NamedTempFile;

use super::alliance_args::{AllianceArgs, AllianceCommand};
use super::output::{document, say, tell};
use super::users::ACTOR;
use super::{Exit, Failure};
use crate::alliance::{
    AllianceError, Exchange, ExchangeError, ForeignBank, Invitation, Inviting, NewAlliance, Reply, Took, accept,
    create, export_hashes, import_hashes, invite, join, member, named, pack, release, share, take,
};
use crate::assembly::{Parts, open_gallery};
use crate::config::Config;
use crate::domain::{BrandId, Fared, Polarity, SharingRule};
use crate::gallery::{Gallery, Member, MemberFault, QuarantinedSignal};
use crate::signals::MOST_LINES;

pub(super) fn alliance(config: &Config, args: &AllianceArgs) -> Result<Exit, Failure> {
    let gallery = || open_gallery(config);
    match &args.command {
        AllianceCommand::Create { name, own_name, terms } => {
            let made = create(&gallery()?, ACTOR, NewAlliance { name, terms, own_name })?;
            say!("{}  {}", made.id, made.name);
        }
        AllianceCommand::Invite { alliance, name, role, url } => {
            let gallery = gallery()?;
            let alliance = named(&gallery, alliance)?;
            let inviting = Inviting { name, role: *role, own_url: url.as_deref() };
            let invitation = invite(&gallery, ACTOR, &alliance.id, inviting)?;
            tell!("the invitation contains a key: send it confidentially");
            print_json(&invitation)?;
        }
        AllianceCommand::Join { file, own_name, url, print, existing } => {
            let invitation: Invitation = read(file, "an invitation, which touchstone alliance invite prints")?;
            let exchange = Exchange::new(&config.alliance)?;
            let inviter = invitation.url.as_deref().filter(|_| !print);
            // Before anything is stored.
            inviter.map_or(Ok(()), |url| exchange.check(url))?;
            let gallery = gallery()?;
            let joining = join(&gallery, ACTOR, &invitation, (own_name, url.as_deref()), *existing)?;
            if let Some(inviter) = inviter
                && let Err(error) = block_on(exchange.reply(inviter, &joining.reply))?
            {
                joining.give_up(&gallery, ACTOR)?;
                tell!("touchstone: not joined; when the cause is gone, run the command again");
                return Err(error.into());
            }
            joining.complete(&gallery, ACTOR, &invitation)?;
            if inviter.is_some() {
                say!("joined {}", invitation.alliance_name);
            } else {
                tell!("the reply contains a key: send it back confidentially");
                print_json(&joining.reply)?;
            }
        }
        AllianceCommand::Accept { file } => {
            let reply: Reply = read(file, "a reply, which touchstone alliance join prints")?;
            say!("{} joined", accept(&gallery()?, &reply)?.name);
        }
        AllianceCommand::Expel { alliance, member: name } => {
            let gallery = gallery()?;
            let one = member(&gallery, &named(&gallery, alliance)?.id, name)?;
            gallery.expel_member(ACTOR, one.number, Timestamp::now())?;
            say!("{} is expelled: its key is revoked, and its signals are deleted", one.name);
        }
        AllianceCommand::Release { alliance, member: name, signal } => {
            let gallery = gallery()?;
            let one = member(&gallery, &named(&gallery, alliance)?.id, name)?;
            release(&gallery, ACTOR, &one, signal)?;
            say!("{signal} of {} takes part in checks again", one.name);
        }
        AllianceCommand::Leave { alliance } => {
            let gallery = gallery()?;
            let alliance = named(&gallery, alliance)?;
            if !gallery.leave_alliance(ACTOR, &alliance.id, Timestamp::now())? {
                return Err(AllianceError::Left(alliance.name).into());
            }
            say!("left {}: its members' signals are deleted, and members receive none from here", alliance.name);
        }
        AllianceCommand::Share { alliance, brand, polarity, delay_days } => {
            let gallery = gallery()?;
            let alliance = named(&gallery, alliance)?;
            share(&gallery, ACTOR, &alliance.id, (brand, *polarity), Some(*delay_days))?;
            let when = if *delay_days == 0 { String::new() } else { format!(" once they are {delay_days} days old") };
            say!("{brand}'s {polarity} references are shared with {}{when}", alliance.name);
            warn_of_unknown(&gallery, brand)?;
        }
        AllianceCommand::Unshare { alliance, brand, polarity } => {
            let gallery = gallery()?;
            let alliance = named(&gallery, alliance)?;
            let rules = gallery.sharing(&alliance.id)?;
            if !rules.iter().any(|rule| rule.brand == *brand && rule.polarity == *polarity) {
                return Err(Failure::Declined(format!(
                    "{brand}'s {polarity} references are not shared with {}",
                    alliance.name
                )));
            }
            share(&gallery, ACTOR, &alliance.id, (brand, *polarity), None)?;
            say!("{brand}'s {polarity} references are no longer shared with {}", alliance.name);
        }
        AllianceCommand::List { json: true } => list_json(&gallery()?)?,
        AllianceCommand::List { json: false } => list(&gallery()?)?,
        AllianceCommand::Pull { alliance } => return pull(config, alliance.as_deref()),
        AllianceCommand::Export { alliance, file, after } => export(config, alliance, file, *after)?,
        AllianceCommand::Import { alliance, file, from } => import(config, (alliance, from), file)?,
        AllianceCommand::ExportHashes { file, brand, polarity } => hashes_to(config, (brand, *polarity), file)?,
        AllianceCommand::ImportHashes { file, bank, brand, polarity } => {
            hashes_from(config, ForeignBank { name: bank, brand, polarity: *polarity }, file)?;
        }
    }
    Ok(Exit::Done)
}

/// A brand may be shared before its first reference is added, but it may also be a typo.
fn warn_of_unknown(gallery: &Gallery, brand: &BrandId) -> Result<(), Failure> {
    let brands = gallery.brands_with_references()?;
    if !brands.contains(brand) {
        let known: Vec<&str> = brands.iter().take(20).map(BrandId::as_str).collect();
        let known = if known.is_empty() { "none has".to_owned() } else { format!("these have: {}", known.join(", ")) };
        tell!("touchstone: the brand {brand} has no references yet; {known}");
    }
    Ok(())
}

fn pull(config: &Config, only: Option<&str>) -> Result<Exit, Failure> {
    let parts = Parts::open(config)?;
    let screener = &parts.screener;
    let only = only.map(|name| named(&screener.gallery, name)).transpose()?;
    let exchange = Exchange::new(&config.alliance)?;
    let members = screener.gallery.members(only.as_ref().map(|one| one.id.as_str()), false)?;
    let mut failed = false;
    for member in members.iter().filter(|member| member.is_pulled()) {
        match block_on(exchange.pull(screener, member))? {
            Ok(took) => say!("{}: {}", member.name, described(took)),
            Err(error) => {
                failed = true;
                tell!("touchstone: {}: {error}", member.name);
            }
        }
    }
    Ok(if failed { Exit::SomeRefused } else { Exit::Done })
}

fn export(config: &Config, alliance: &str, path: &Path, after: u64) -> Result<(), Failure> {
    let parts = Parts::open(config)?;
    let alliance = named(&parts.screener.gallery, alliance)?;
    parts.enrolment().word_missing(&|_| ())?;
    let mut file = new_file(path)?;
    let packed = pack(&parts.screener, &alliance.id, (after, MOST_LINES), &mut file)?;
    if packed.last == after {
        say!("there is nothing new to export: the log ends at line {after}");
        return Ok(());
    }
    keep(file, path)?;
    say!("{} contains lines {} to {} of the log for {}", path.display(), after + 1, packed.last, alliance.name);
    if packed.more {
        say!("the log goes on: export again with --after {}", packed.last);
    }
    Ok(())
}

fn hashes_to(config: &Config, what: (&BrandId, Polarity), path: &Path) -> Result<(), Failure> {
    let parts = Parts::open(config)?;
    parts.enrolment().hash_missing()?;
    let mut file = new_file(path)?;
    let written = export_hashes(&parts.screener.gallery, what, &mut file)?;
    keep(file, path)?;
    warn_of_unknown(&parts.screener.gallery, what.0)?;
    say!("{} contains {written} hashes", path.display());
    Ok(())
}

fn hashes_from(config: &Config, bank: ForeignBank<'_>, path: &Path) -> Result<(), Failure> {
    let parts = Parts::open(config)?;
    let file = File::open(path).map_err(|source| Failure::File { path: path.display().to_string(), source })?;
    let took = import_hashes(&parts.screener, ACTOR, bank, BufReader::new(file))?;
    say!("{}: {}", bank.name, described(took));
    Ok(())
}

/// A file beside `path` that [`keep`] puts in its place: nobody takes half of it for the whole.
fn new_file(path: &Path) -> Result<NamedTempFile, Failure> {
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        let source = std::io::Error::other("it is not a regular file; expected one, or a name that is not taken");
        return Err(Failure::File { path: path.display().to_string(), source });
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder).map_err(|source| Failure::File { path: path.display().to_string(), source })
}

fn keep(file: NamedTempFile, path: &Path) -> Result<(), Failure> {
    let kept = file.persist(path);
    kept.map(drop).map_err(|error| Failure::File { path: path.display().to_string(), source: error.error })
}

fn import(config: &Config, (alliance, from): (&str, &str), path: &Path) -> Result<(), Failure> {
    let parts = Parts::open(config)?;
    let screener = &parts.screener;
    let alliance = named(&screener.gallery, alliance)?;
    let member = member(&screener.gallery, &alliance.id, from)?;
    let file = File::open(path).map_err(|source| Failure::File { path: path.display().to_string(), source })?;
    let took = take(screener, &member, (file, MOST_LINES)).map_err(|error| match error {
        AllianceError::Pack(fault) => {
            Failure::File { path: path.display().to_string(), source: std::io::Error::other(fault) }
        }
        other => other.into(),
    })?;
    say!("{}: {}", member.name, described(took));
    Ok(())
}

fn described(took: Took) -> String {
    let why = if took.quarantined == 0 { "" } else { " (touchstone alliance list says why)" };
    format!("{} signals taken, {} of them quarantined{why}; {} withdrawn", took.taken, took.quarantined, took.withdrawn)
}

fn list_json(gallery: &Gallery) -> Result<(), Failure> {
    let mut alliances = Vec::new();
    for alliance in gallery.alliances()? {
        let members = gallery.members(Some(&alliance.id), true)?;
        let members = members.iter().map(|one| with_counts(gallery, one)).collect::<Result<Vec<_>, _>>()?;
        alliances.push(json!({ "alliance": alliance, "shares": gallery.sharing(&alliance.id)?, "members": members }));
    }
    let own = gallery.identity()?.map(|(name, identity)| json!({ "name": name, "id": identity.member_id() }));
    document!("{}", json!({ "own": own, "alliances": alliances }));
    Ok(())
}

fn list(gallery: &Gallery) -> Result<(), Failure> {
    if let Some((name, identity)) = gallery.identity()? {
        say!("this touchstone is {name}, {}", identity.member_id());
    }
    for alliance in gallery.alliances()? {
        let left = if alliance.left_at.is_some() { "  left" } else { "" };
        say!("{}  {}  your log has {} lines{left}", alliance.id, alliance.name, alliance.log_seq);
        for SharingRule { brand, polarity, delay_days } in gallery.sharing(&alliance.id)? {
            say!("  shares {brand}'s {polarity} references after {delay_days} days");
        }
        for member in gallery.members(Some(&alliance.id), false)? {
            let (signals, held) = gallery.count_signals(member.number)?;
            let Fared { confirmed, overturned } = gallery.member_fared(member.number)?;
            let id = member.id.as_ref().map_or("not joined yet", |id| id.as_str());
            let (role, state, given) = (member.role.as_str(), member.state.as_str(), member.given_seq);
            say!(
                "  {}  {id}  {role}  {state}  {signals} signals, {held} quarantined; {confirmed} confirmed, {overturned} overturned; has applied line {given}",
                member.name
            );
            if let Some(MemberFault { code, detail }) = &member.fault {
                say!("    {code}: {detail}");
            }
            for QuarantinedSignal { id, brand, polarity, why, .. } in gallery.quarantined_signals(member.number)? {
                say!("    quarantined {id}: {brand}, {polarity}: {why}");
            }
        }
    }
    Ok(())
}

fn with_counts(gallery: &Gallery, member: &Member) -> Result<serde_json::Value, Failure> {
    let (signals, quarantined) = gallery.count_signals(member.number)?;
    let fared = gallery.member_fared(member.number)?;
    let held = gallery.quarantined_signals(member.number)?;
    Ok(json!({
        "member": member,
        "signals": signals,
        "quarantined": quarantined,
        "quarantined_signals": held,
        "fared": fared,
    }))
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    document!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T, Failure> {
    let failed = |source| Failure::File { path: path.display().to_string(), source };
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| failed(std::io::Error::other(format!("expected {expected}; {error}"))))
}

fn block_on<T>(work: impl Future<Output = Result<T, ExchangeError>>) -> Result<Result<T, ExchangeError>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::File { path: "a runtime".to_owned(), source })?;
    Ok(runtime.block_on(work))
}
