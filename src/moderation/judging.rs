//! What a moderator's decision means for the photos of a case and for brands' outcomes, and whether it closes the case.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::desk::{Judgement, PairView, SharedQuestion, Worker};
use super::{Desk, DeskError};
use crate::domain::{Action, BrandId, Decision, Kind, Outcome, Polarity, Reference};
use crate::gallery::{Case, NewDecision, Pair};
use crate::photo::{Look, Sha256};
use crate::screening::{CheckAnswer, Finding, Match, PhotoAnswer};

/// Most cases that one decision decides.
const MOST_FOLLOWERS: usize = 10_000;

/// A photo of a case, and a match of it.
type Asked<'a> = (&'a PhotoAnswer, &'a Match);

/// The pairs that a moderator has to decide in a case: for each photo that was not allowed, the match that decides its
/// verdict, then other matches of that polarity at or above the threshold; `None` for the match where none decides.
fn questions(answer: &CheckAnswer) -> impl Iterator<Item = (&PhotoAnswer, Option<&Match>)> {
    let waiting = answer.photos.iter().filter(|photo| photo.action != Action::Allow);
    waiting.flat_map(|photo| {
        let lead = photo.lead();
        let relevant = move |near: &&Match| {
            let other =
                lead.is_some_and(|lead| lead.polarity == near.polarity && lead.reference_id != near.reference_id);
            other
                && near.probability.zip(near.threshold).is_some_and(|(probability, threshold)| probability >= threshold)
        };
        let others = photo.matches.iter().filter(relevant).map(Some);
        std::iter::once(lead).chain(others).map(move |near| (photo, near))
    })
}

fn is_same((photo, near): Asked<'_>, (other, of): Asked<'_>) -> bool {
    (photo.index, &near.reference_id) == (other.index, &of.reference_id)
}

impl Desk {
    pub(super) fn decision<'a>(
        &'a self,
        worker: &Worker,
        answer: &'a CheckAnswer,
        judgement: &'a Judgement,
    ) -> Result<NewDecision<'a>, DeskError> {
        let (decision, note) = (judgement.decision, judgement.note.as_deref());
        let PairView { photo, near, .. } = match (judgement.photo, &judgement.reference) {
            (Some(index), Some(id)) => self.pair(answer, Some((index, Some(id))))?,
            // A decision about a photo without a match says nothing about any match.
            (Some(index), None) => PairView { near: None, ..self.pair(answer, Some((index, None)))? },
            (None, None) => self.pair(answer, None)?,
            (None, Some(_)) => return Err(DeskError::NoSuchPair(answer.id.clone())),
        };
        if judgement.reference.is_some() && near.is_none() {
            return Err(DeskError::NoSuchPair(answer.id.clone()));
        }
        let looked_at = near.as_ref().map(|near| (&photo, near));
        let mut pairs = Vec::new();
        let mut closes = true;
        match decision {
            // A known fake's photo is evidence against every seller; what an authentic photo proves depends on the
            // seller. The decision covers only photos that the moderator saw.
            Decision::Fake => {
                let fake = looked_at.filter(|(_, near)| near.polarity == Polarity::Fake);
                self.push_pairs(&mut pairs, answer, fake, decision)?;
            }
            // The decision is about this seller and this listing; no other case can follow it.
            Decision::PhotoMisuse => {
                // A logo is not a photo.
                let by_signal = photo.deciding_signal().is_some_and(|signal| signal.polarity == Polarity::Authentic);
                let authentic = |(_, near): Asked<'_>| near.polarity == Polarity::Authentic && near.kind == Kind::Photo;
                if !looked_at.map_or(by_signal, authentic) {
                    return Err(DeskError::NoAuthenticMatch(answer.id.clone()));
                }
            }
            // The whole listing is legitimate: every photo of it except those already decided as no match.
            Decision::Authorised if answer.listing.seller_id.is_some() => {
                let mut all = Vec::new();
                for (photo, near) in questions(answer) {
                    let Some(near) = near else { continue };
                    let seen = looked_at.is_some_and(|seen| is_same(seen, (photo, near)));
                    if seen || !self.was_denied(answer, (photo, near), &[])? {
                        all.push((photo, near));
                    }
                }
                self.push_pairs(&mut pairs, answer, all, decision)?;
            }
            Decision::Authorised => {}
            Decision::NoMatch => match looked_at {
                Some(denied) => {
                    self.push_pairs(&mut pairs, answer, [denied], decision)?;
                    closes = self.undecided(answer, &pairs)?.is_none();
                }
                // The verdict rests on a signal, not on a reference.
                None if photo.deciding_signal().is_some() => closes = !self.waits_beside(answer, photo.index)?,
                None => return Err(DeskError::NoSuchPair(answer.id.clone())),
            },
        }
        let by_signal = near.is_none() && photo.deciding_signal().is_some();
        let seen = near.as_ref().map(|near| near.reference_id.clone());
        let seen = (by_signal || seen.is_some()).then_some((photo.index as u64, seen));
        let outcomes = if closes { self.outcomes(worker, answer, looked_at, judgement)? } else { Vec::new() };
        let certifier = self.parts.screener.certifier();
        let followers = Vec::new();
        Ok(NewDecision {
            check_id: &answer.id,
            decision,
            note,
            closes,
            pairs,
            looked_at: seen,
            outcomes,
            followers,
            certifier,
        })
    }

    /// Ids of the open cases that a decision decides as well: those with the same photo and the same reference. "No
    /// match" decides only cases that have no other question.
    pub(super) fn followers(
        &self,
        case: &Case,
        new: &NewDecision<'_>,
        judgement: &Judgement,
    ) -> Result<Vec<String>, DeskError> {
        let about = new.looked_at.as_ref().and_then(|(_, reference)| reference.as_ref());
        let asked = new.closes && !new.pairs.is_empty() && about.is_some() && about == case.reference.as_ref();
        if !asked || !matches!(new.decision, Decision::Fake | Decision::NoMatch) {
            return Ok(Vec::new());
        }
        let same = self.parts.screener.gallery.same_question(&case.check_id, MOST_FOLLOWERS)?;
        let many_photos = same.is_about_many_photos();
        // A lookback may have changed the question, or found more photos, since the moderator saw it.
        let as_seen = |asked: &SharedQuestion| {
            same.key.as_deref() == Some(&*asked.question) && (!many_photos || same.count <= asked.others)
        };
        let together = judgement.asked.as_ref().map_or(!many_photos, |asked| asked.together && as_seen(asked));
        if !together {
            return Ok(Vec::new());
        }
        let mut followers = Vec::new();
        for other in same.cases {
            let follows = new.decision == Decision::Fake || self.asks_only(&other)?;
            followers.extend(follows.then_some(other.check_id));
        }
        Ok(followers)
    }

    /// Whether a case has no question but that of its leading match.
    fn asks_only(&self, case: &Case) -> Result<bool, DeskError> {
        let (_, answer) = self.open(&case.check_id)?;
        let is_lead = |(photo, near): (&PhotoAnswer, Option<&Match>)| {
            near.map(|near| &near.reference_id) == case.reference.as_ref()
                && Some(photo.sha256.to_string()) == case.photo
        };
        Ok(questions(&answer).all(is_lead))
    }

    /// The outcomes of a case for each brand and polarity: whether the most probable match that a moderator decided
    /// about was right.
    fn outcomes(
        &self,
        worker: &Worker,
        answer: &CheckAnswer,
        looked_at: Option<Asked<'_>>,
        judgement: &Judgement,
    ) -> Result<Vec<Outcome>, DeskError> {
        let mut best: BTreeMap<(BrandId, Polarity), Outcome> = BTreeMap::new();
        let asked = questions(answer).filter_map(|(photo, near)| Some((photo, near?)));
        for (photo, near) in asked.chain(looked_at) {
            let said = if looked_at.is_some_and(|seen| is_same(seen, (photo, near))) {
                judgement.decision
            } else if self.was_denied(answer, (photo, near), &[])? {
                Decision::NoMatch
            } else if judgement.decision == Decision::Authorised {
                Decision::Authorised
            } else {
                continue;
            };
            let finding = Finding {
                confirmed: match near.polarity {
                    Polarity::Fake => said == Decision::Fake,
                    Polarity::Authentic => said != Decision::NoMatch,
                },
                polarity: near.polarity,
                decided_by: Some(worker.name.clone()),
                note: judgement.note.clone(),
            };
            let Some(outcome) = answer.outcome_of(photo, near, finding) else { continue };
            let place = (outcome.brand.clone(), outcome.polarity);
            if best.get(&place).is_none_or(|known| known.score < outcome.score) {
                best.insert(place, outcome);
            }
        }
        Ok(best.into_values().collect())
    }

    /// Adds one pair for each near-duplicate of the matched reference: the decision covers them, too.
    fn push_pairs<'a>(
        &self,
        pairs: &mut Vec<Pair>,
        answer: &CheckAnswer,
        of: impl IntoIterator<Item = Asked<'a>>,
        decision: Decision,
    ) -> Result<(), DeskError> {
        let gallery = &self.parts.screener.gallery;
        let now = Timestamp::now();
        for (photo, near) in of {
            let Some(reference) = gallery.find(&near.reference_id)? else { continue };
            let mut keys = vec![reference.key];
            for other in &photo.matches {
                let other = gallery.find(&other.reference_id)?.filter(|other| other.key != reference.key);
                let same_group = |other: &Reference| other.group.is_some() && other.group == reference.group;
                keys.extend(other.filter(same_group).map(|other| other.key));
            }
            // A listing may show one photo twice, and near-duplicates refer to each other.
            keys.retain(|&key| !pairs.iter().any(|pair| (pair.key, pair.photo) == (key, photo.sha256)));
            let look = self.look(photo.sha256);
            pairs.extend(keys.into_iter().map(|key| Pair {
                key,
                check_id: answer.id.clone(),
                photo: photo.sha256,
                look: look.clone(),
                seller_id: answer.listing.seller_id.clone(),
                decision,
                decided_at: now,
            }));
        }
        Ok(())
    }

    /// The small version of a sent photo, for comparisons of appearance; `None` where the photo is not stored.
    fn look(&self, sum: Sha256) -> Option<Look> {
        let screener = &self.parts.screener;
        let small = screener.gallery.thumbnail(sum, 320).filter(|_| screener.gallery.has_photo(sum, true));
        let bytes = small.or_else(|| screener.gallery.upload(sum).ok())?;
        screener.decoder.decode(&bytes).ok().map(|photo| photo.look())
    }

    /// The first pair of a case that nobody has decided as no match yet. Deleted references are skipped.
    pub(super) fn undecided<'a>(
        &self,
        answer: &'a CheckAnswer,
        new: &[Pair],
    ) -> Result<Option<(&'a PhotoAnswer, Option<&'a Match>)>, DeskError> {
        let denied = self.parts.screener.gallery.denied_photos(&answer.id)?;
        for (photo, near) in questions(answer) {
            let Some(near) = near else {
                if denied.contains(&(photo.index as u64)) {
                    continue;
                }
                // A photo that could not be judged, or that rests on a signal, needs a decision about the listing.
                return Ok(Some((photo, None)));
            };
            let gone = self.parts.screener.gallery.find(&near.reference_id)?.is_none();
            if !gone && !self.was_denied(answer, (photo, near), new)? {
                return Ok(Some((photo, Some(near))));
            }
        }
        Ok(None)
    }

    /// Whether another photo of the case still waits for a decision.
    fn waits_beside(&self, answer: &CheckAnswer, photo: usize) -> Result<bool, DeskError> {
        let gallery = &self.parts.screener.gallery;
        let denied = gallery.denied_photos(&answer.id)?;
        for (other, near) in questions(answer).filter(|(other, _)| other.index != photo) {
            let waits = match near {
                None => !denied.contains(&(other.index as u64)),
                Some(near) => {
                    let gone = gallery.find(&near.reference_id)?.is_none();
                    !gone && !self.was_denied(answer, (other, near), &[])?
                }
            };
            if waits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a moderator has decided in this case that the photo does not match the reference.
    fn was_denied(&self, answer: &CheckAnswer, (photo, near): Asked<'_>, new: &[Pair]) -> Result<bool, DeskError> {
        let gallery = &self.parts.screener.gallery;
        let Some(reference) = gallery.find(&near.reference_id)? else { return Ok(false) };
        let known = gallery.decided_pairs([reference.key])?;
        Ok(known.iter().chain(new).any(|pair| {
            (&pair.check_id, pair.key, pair.decision) == (&answer.id, reference.key, Decision::NoMatch)
                && pair.photo == photo.sha256
        }))
    }
}
