use std::sync::Arc;

use jiff::Timestamp;

use super::DeskError;
use crate::assembly::Parts;
use crate::gallery::{
    Action, Added, BrandId, Case, CaseStatus, Claim, Claimed, Decided, Decision, Details, NewDecision, Pair, Polarity,
    QueueQuery, Reference, Undone,
};
use crate::photo::Sha256;
use crate::screening::{CheckAnswer, Finding, Match, PhotoAnswer};

/// Who does something, and in which session.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The account.
    pub name: String,
    /// The session.
    pub session: String,
}

impl Worker {
    fn both(&self) -> (&str, &str) {
        (&self.name, &self.session)
    }
}

/// What somebody finds in a case.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What was found.
    pub decision: Decision,
    /// Why, in words.
    pub note: Option<String>,
    /// The photo, from 0, and the reference that are no match; those that decide where nothing is named.
    pub pair: Option<(usize, String)>,
}

/// A photo of a case and a reference that it matches.
#[derive(Debug, Clone)]
pub struct PairView {
    /// The photo.
    pub photo: PhotoAnswer,
    /// The match as the check answered it, if there is one.
    pub near: Option<Match>,
    /// The reference as it is now, unless it was deleted.
    pub reference: Option<Reference>,
}

/// A case with all that a person wants to see.
#[derive(Debug, Clone)]
pub struct CaseView {
    /// The case.
    pub case: Case,
    /// The stored answer.
    pub answer: CheckAnswer,
    /// What is looked at.
    pub pair: PairView,
    /// The seller's other cases, newest first.
    pub earlier: Vec<Case>,
    /// In how many cases matches to the reference were confirmed, and in how many overturned.
    pub record: (u64, u64),
}

/// What a person has to answer in a case: of each photo that was not allowed the match that decides, then the others of
/// its polarity that are as probable as the threshold asks; nothing where no match decides.
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

/// The seller's other cases that are shown.
const EARLIER: usize = 8;

/// Where moderators work.
pub struct Desk {
    parts: Arc<Parts>,
}

impl Desk {
    /// Over what serves.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    /// A case, looked at through one photo and one reference of it: those that are named, else those that wait for
    /// somebody's word, else those that decide.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn view(&self, check_id: &str, pair: Option<(usize, Option<&str>)>) -> Result<CaseView, DeskError> {
        let (case, answer) = self.open(check_id)?;
        let waiting = match pair {
            None if case.status != CaseStatus::Decided => self.undecided(&answer, &[])?,
            _ => None,
        };
        let waiting = waiting.map(|(photo, near)| (photo.index, near.map(|near| near.reference_id.as_str())));
        let pair = self.pair(&answer, pair.or(waiting))?;
        let earlier = match &case.seller_id {
            Some(seller) => self.parts.screener.gallery.cases_of_seller(seller, check_id, EARLIER)?,
            None => Vec::new(),
        };
        let record = match &pair.reference {
            Some(reference) => self.parts.screener.gallery.reference_record(reference.key)?,
            None => (0, 0),
        };
        Ok(CaseView { case, answer, pair, earlier, record })
    }

    fn open(&self, check_id: &str) -> Result<(Case, CheckAnswer), DeskError> {
        let gallery = &self.parts.screener.gallery;
        let unknown = || DeskError::Unknown(check_id.to_owned());
        let case = gallery.case(check_id)?.ok_or_else(unknown)?;
        let saved = gallery.check(check_id)?.ok_or_else(unknown)?;
        Ok((case, serde_json::from_str(&saved.answer)?))
    }

    fn pair(&self, answer: &CheckAnswer, named: Option<(usize, Option<&str>)>) -> Result<PairView, DeskError> {
        let lead = answer.lead();
        let photo = match named {
            Some((index, _)) => answer.photos.get(index),
            None => lead.map(|(photo, _)| photo).or(answer.photos.first()),
        };
        let no_photo = || DeskError::NoSuchPhoto {
            id: answer.id.clone(),
            index: named.map(|(index, _)| index).unwrap_or_default(),
        };
        let photo = photo.ok_or_else(no_photo)?;
        let near = match named.and_then(|(_, reference)| reference) {
            Some(id) => photo.matches.iter().find(|near| near.reference_id == id),
            None => photo.lead(),
        };
        let reference = match near {
            Some(near) => self.parts.screener.gallery.find(&near.reference_id)?,
            None => None,
        };
        Ok(PairView { photo: photo.clone(), near: near.cloned(), reference })
    }

    /// Takes a case, or holds it longer.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn claim(&self, worker: &Worker, check_id: &str) -> Result<Claimed, DeskError> {
        let claimed = self.parts.screener.gallery.claim(worker.both(), check_id)?;
        claimed.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))
    }

    /// Takes the most urgent case that they may decide.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn claim_next(&self, worker: &Worker, query: &QueueQuery) -> Result<Option<Case>, DeskError> {
        Ok(self.parts.screener.gallery.claim_next(worker.both(), query)?)
    }

    /// Gives a case back.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn release(&self, worker: &Worker, check_id: &str) -> Result<bool, DeskError> {
        Ok(self.parts.screener.gallery.release(worker.both(), check_id)?)
    }

    /// Decides. "No match" is about one photo and one reference; the case stays open while another photo of it still
    /// waits for somebody's word. The next check knows of it.
    ///
    /// # Errors
    /// [`DeskError`]; nothing is kept then, unless only the library could not follow.
    pub fn decide(&self, worker: &Worker, check_id: &str, judgement: &Judgement) -> Result<Case, DeskError> {
        let (_, answer) = self.open(check_id)?;
        let new = self.decision(worker, &answer, judgement)?;
        let decided = self.parts.screener.gallery.decide(worker.both(), &new)?;
        match decided.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))? {
            Decided::NotTheirs(case) => Err(DeskError::NotTheirs(case)),
            Decided::Kept(case) => {
                self.parts.screener.library.refresh()?;
                Ok(*case)
            }
        }
    }

    fn decision<'a>(
        &self,
        worker: &Worker,
        answer: &'a CheckAnswer,
        judgement: &'a Judgement,
    ) -> Result<NewDecision<'a>, DeskError> {
        let (decision, note) = (judgement.decision, judgement.note.as_deref());
        let named = judgement.pair.as_ref().map(|(index, id)| (*index, Some(id.as_str())));
        let PairView { photo, near, .. } = self.pair(answer, named)?;
        let looked_at = near.as_ref().map(|near| (&photo, near));
        let mut pairs = Vec::new();
        let mut closes = true;
        match decision {
            // What a fake's photo proves, it proves of every seller; what an authentic one proves depends on the seller.
            // Of photos that nobody looked at nothing is said.
            Decision::Fake => {
                let fake = looked_at.into_iter().filter(|(_, near)| near.polarity == Polarity::Fake);
                self.push_pairs(&mut pairs, answer, fake, decision)?;
            }
            // The listing is in order: every photo of it.
            Decision::Authorised if answer.listing.seller_id.is_some() => {
                let all = questions(answer).filter_map(|(photo, near)| Some((photo, near?)));
                self.push_pairs(&mut pairs, answer, all, decision)?;
            }
            Decision::Authorised => {}
            Decision::NoMatch => {
                let denied = looked_at.ok_or_else(|| DeskError::NoSuchPair(answer.id.clone()))?;
                self.push_pairs(&mut pairs, answer, std::iter::once(denied), decision)?;
                closes = self.undecided(answer, &pairs)?.is_none();
            }
        }
        let outcome = looked_at.filter(|_| closes).and_then(|(_, near)| {
            let finding = Finding {
                confirmed: match near.polarity {
                    Polarity::Fake => decision == Decision::Fake,
                    Polarity::Authentic => decision != Decision::NoMatch,
                },
                polarity: near.polarity,
                decided_by: Some(worker.name.clone()),
                note: judgement.note.clone(),
            };
            answer.outcome(near.brand.parse().ok()?, finding)
        });
        Ok(NewDecision { check_id: &answer.id, decision, note, closes, pairs, outcome })
    }

    /// One pair for each reference that is a near-copy of the matched one: what holds for it holds for them.
    fn push_pairs<'a>(
        &self,
        pairs: &mut Vec<Pair>,
        answer: &CheckAnswer,
        of: impl Iterator<Item = (&'a PhotoAnswer, &'a Match)>,
        decision: Decision,
    ) -> Result<(), DeskError> {
        let gallery = &self.parts.screener.gallery;
        for (photo, near) in of {
            let sums = (photo.sha256.parse(), photo.perceptual_hash.as_deref().map(str::parse::<Sha256>));
            let (Ok(sum), Some(Ok(hash))) = sums else { continue };
            let Some(reference) = gallery.find(&near.reference_id)? else { continue };
            let mut keys = vec![reference.key];
            for other in &photo.matches {
                let other = gallery.find(&other.reference_id)?.filter(|other| other.key != reference.key);
                let same_group = |other: &Reference| other.group.is_some() && other.group == reference.group;
                keys.extend(other.filter(same_group).map(|other| other.key));
            }
            pairs.extend(keys.into_iter().map(|key| Pair {
                key,
                check_id: answer.id.clone(),
                photo: sum,
                perceptual_hash: hash,
                seller_id: answer.listing.seller_id.clone(),
                decision,
                decided_at: Timestamp::now(),
            }));
        }
        Ok(())
    }

    /// The first question of a case that nobody has answered with "no match" yet.
    fn undecided<'a>(
        &self,
        answer: &'a CheckAnswer,
        new: &[Pair],
    ) -> Result<Option<(&'a PhotoAnswer, Option<&'a Match>)>, DeskError> {
        let gallery = &self.parts.screener.gallery;
        for (photo, near) in questions(answer) {
            // A photo that could not be judged waits for a word about the listing.
            let Some(near) = near else { return Ok(Some((photo, None))) };
            let Some(reference) = gallery.find(&near.reference_id)? else { continue };
            let known = gallery.decided_pairs([reference.key])?;
            let settled = known.iter().chain(new).any(|pair| {
                (&pair.check_id, pair.key, pair.decision) == (&answer.id, reference.key, Decision::NoMatch)
                    && pair.photo.to_string() == photo.sha256
            });
            if !settled {
                return Ok(Some((photo, Some(near))));
            }
        }
        Ok(None)
    }

    /// Takes back the newest thing that the session did; returns what it was about.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn undo(&self, worker: &Worker) -> Result<(String, String), DeskError> {
        let undone = self.parts.screener.gallery.undo(worker.both())?;
        self.parts.screener.library.refresh()?;
        match undone {
            Undone::Done(entry) => Ok((entry.action.clone(), entry.subject.clone())),
            Undone::Nothing => Err(DeskError::NothingToUndo),
            Undone::ChangedSince(entry) => {
                Err(DeskError::ChangedSince { action: entry.action.clone(), subject: entry.subject.clone() })
            }
        }
    }

    /// Holds a reference back: it takes no part in checks until somebody puts it back.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn quarantine(&self, worker: &Worker, id: &str, why: &str) -> Result<Reference, DeskError> {
        let gallery = &self.parts.screener.gallery;
        let none = || DeskError::NoActiveReference(id.to_owned());
        let reference = gallery.find(id)?.ok_or_else(none)?;
        let held = gallery.quarantine(worker.both(), reference.key, why)?.ok_or_else(none)?;
        self.parts.screener.library.refresh()?;
        Ok(held)
    }

    /// Makes a photo of a case a reference, with the same hygiene as any other.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn add_reference(
        &self,
        worker: &Worker,
        check_id: &str,
        (index, brand, polarity, product): (usize, BrandId, Polarity, Option<String>),
    ) -> Result<Added, DeskError> {
        let (_, answer) = self.open(check_id)?;
        let gallery = &self.parts.screener.gallery;
        let none = || DeskError::NoSuchPhoto { id: check_id.to_owned(), index };
        let photo = answer.photos.get(index).ok_or_else(none)?;
        let sum: Sha256 = photo.sha256.parse().map_err(|_| none())?;
        let bytes = gallery.upload(sum).map_err(|_| none())?;
        let details = Details {
            product,
            source: Some(format!("case {check_id}, photo {index}")),
            notes: Some(format!("added by {}", worker.name)),
            rights_basis: Some("evidence from a moderated listing".to_owned()),
        };
        let claim = Claim { brand, polarity, details };
        let library = &self.parts.screener.library;
        let hygiene = Some((&*self.parts.bank, &**library));
        let added = self.parts.enrolment().enrol(&bytes, &claim, hygiene, Some(worker.both()))?;
        library.refresh()?;
        Ok(added)
    }

    /// Takes a seller's appeal: the case is decided once more, by somebody else.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn appeal(&self, who: &str, session: Option<&str>, check_id: &str, text: &str) -> Result<Case, DeskError> {
        let appealed = self.parts.screener.gallery.appeal((who, session), check_id, text)?;
        match appealed.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))? {
            (case, true) => Ok(case),
            (case, false) => Err(DeskError::CannotAppeal(Box::new(case))),
        }
    }

    /// What serves.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}
