//! Compares a photo with the signals of other members.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::{SignedDuration, Timestamp};

use super::answer::SharedMatch;
use super::brands::Brands;
use super::look::Examination;
use super::recall::Recalled;
use super::{Listing, ScreenError, Screener, WORTH_NAMING};
use crate::domain::{Action, Fared};
use crate::gallery::SignalCase;
use crate::library::SignalFound;
use crate::photo::Sha256;
use crate::telemetry;
use crate::verdict::{Facts, Judgement, Reason, SharedCandidate, Verdict, judge_shared};

/// Log-odds of a copy where nothing but a perceptual hash is near: the signal has no embedding by this model.
const NEAR_HASH: f64 = 1.0;

/// The signals that may be about a photo.
#[derive(Debug, Default)]
pub(super) struct SharedWith {
    /// Most probable first.
    pub(super) candidates: Vec<SharedCandidate>,
    /// As they are named in the answer, in the same order.
    pub(super) matches: Vec<SharedMatch>,
    /// The signals' keys, in the same order.
    pub(super) keys: Vec<u64>,
}

impl Screener {
    /// What the examination's signals say about a photo.
    pub(super) fn shared_with(
        &self,
        examination: &Examination,
        photo: Sha256,
        listing: &Listing,
        brands: &mut Brands,
    ) -> Result<SharedWith, ScreenError> {
        let level = if examination.shared.is_empty() { 0.0 } else { self.scoring.level(&examination.trace.embedding) };
        let mut probable: Vec<(f32, &SignalFound)> = examination
            .shared
            .iter()
            .map(|found| (self.probability_of(found, level), found))
            .filter(|(probability, _)| *probability >= WORTH_NAMING)
            .collect();
        probable.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.key.cmp(&b.1.key)));
        let mut with = SharedWith::default();
        let mut members: HashMap<u64, Fared> = HashMap::new();
        for (probability, found) in probable {
            if with.keys.len() == self.matches {
                break;
            }
            if self.gallery.is_settled(found.key, photo, listing.seller_id.as_deref())? {
                continue;
            }
            let Some(info) = self.gallery.signal_info(found.key)? else { continue };
            brands.meet(&found.brand, &self.library);
            let fared = match members.entry(info.number) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(self.gallery.member_fared(info.number)?),
            };
            let only_informs = fared.only_informs(&self.alliance);
            let (brand, polarity) = (found.brand.clone(), found.polarity);
            with.matches.push(SharedMatch {
                signal_id: info.id,
                alliance: info.alliance,
                member: info.member,
                brand: brand.to_string(),
                polarity,
                probability,
                similarity: found.similarity,
                votes: found.votes,
                fingerprint_bits: found.fingerprint_bits,
                pdq_bits: found.pdq_bits,
                member_confirmed: fared.confirmed,
                member_overturned: fared.overturned,
                only_informs,
                decides: false,
            });
            with.candidates.push(SharedCandidate { brand, polarity, probability, only_informs });
            with.keys.push(found.key);
        }
        Ok(with)
    }

    /// Lets signals decide about a photo that would be allowed. Returns the key of the signal that does.
    pub(super) fn judge_by_signals(
        &self,
        judgement: &mut Judgement,
        shared: &mut SharedWith,
        listing: &Listing,
        brands: &Brands,
    ) -> Option<u64> {
        // A photo with too little detail matches anything. Own references and earlier decisions of people come first.
        let settled = judgement.reasons.contains(&Reason::SettledByPerson)
            || matches!(
                judgement.verdict,
                Verdict::GenericOrLowInformation | Verdict::AuthorisedUse | Verdict::AuthenticPhotoReuse
            );
        if judgement.action != Action::Allow || settled {
            return None;
        }
        let facts = Facts { seller_id: listing.seller_id.as_deref(), ..Facts::default() };
        let model = &self.embedder.manifest().thresholds;
        let (by_signal, place) = judge_shared(&shared.candidates, facts, model, |brand| brands.terms(brand))?;
        *judgement = by_signal;
        shared.matches[place].decides = true;
        telemetry::reviewed_for_signal();
        Some(shared.keys[place])
    }

    /// Quarantines signals that match too many different photos.
    pub(super) fn hold_back_floods(&self, signals: &[SignalCase], now: Timestamp) -> Result<(), ScreenError> {
        let since = now - SignedDuration::from_hours(24);
        for SignalCase { signal: key, .. } in signals {
            let photos = self.gallery.photos_matched(*key, since)?;
            if photos > u64::from(self.alliance.flood) {
                let why = format!(
                    "it matched {photos} different photos in 24 hours, expected at most {}",
                    self.alliance.flood
                );
                self.gallery.quarantine_signal("touchstone", *key, &why)?;
            }
        }
        Ok(())
    }

    fn probability_of(&self, found: &SignalFound, level: f32) -> f32 {
        let similarity = found.similarity.unwrap_or_default();
        let level = if found.similarity.is_some() { level } else { 0.0 };
        let seen = Recalled { key: found.key, similarity, level, votes: found.votes, same_file: false, revision: 0 };
        let fingerprint = found.fingerprint_bits.or(found.pdq_bits).map_or(f64::NEG_INFINITY, |_| NEAR_HASH);
        let log_odds = seen.log_odds().max(fingerprint);
        // No more than the copies among the fitting photos support.
        let evidence = self.scoring.evidence_of(log_odds, found.polarity);
        self.scoring.probability(evidence, found.polarity, 0.0)
    }
}
