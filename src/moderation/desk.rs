use std::sync::Arc;

use super::DeskError;
use crate::assembly::Parts;
use crate::enrolment::Hygiene;
use crate::gallery::{
    Added, BrandId, Case, CaseStatus, Claim, Claimed, Decided, Decision, Details, Kind, Polarity, QueueQuery,
    Reference, Undone,
};
use crate::photo::Sha256;
use crate::screening::{CheckAnswer, Match, PhotoAnswer};

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
    /// The photo that was looked at, from 0; where none is named, the one that decides.
    pub photo: Option<usize>,
    /// The reference that it was held against, if it was held against one; only with a photo.
    pub reference: Option<String>,
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

/// The seller's other cases that are shown.
const EARLIER: usize = 8;

/// Where moderators work.
pub struct Desk {
    pub(super) parts: Arc<Parts>,
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

    pub(super) fn pair(
        &self,
        answer: &CheckAnswer,
        named: Option<(usize, Option<&str>)>,
    ) -> Result<PairView, DeskError> {
        let photo = match named {
            Some((index, _)) => answer.photos.get(index),
            None => answer.leading_photo(),
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
            // A listing's photo, whatever it looks like.
            kind: Some(Kind::Photo),
        };
        let claim = Claim { brand, polarity, details };
        let library = &self.parts.screener.library;
        let hygiene = Some(Hygiene { bank: &self.parts.bank, library, disputes_others: true });
        let added =
            self.parts.enrolment().enrol(&bytes, &claim, hygiene, Some((&worker.name, Some(&worker.session))))?;
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
