use std::sync::Arc;

use jiff::Timestamp;

use super::DeskError;
use crate::assembly::Parts;
use crate::domain::{BrandId, CaseStatus, Claim, Decision, Details, Kind, Polarity, Reference};
use crate::enrolment::Hygiene;
use crate::gallery::{Added, Case, Claimed, Decided, Notice, NoticeListing, QueueQuery, SameQuestion, Undone};
use crate::screening::{CheckAnswer, Match, PhotoAnswer};

/// The account that acts, and its session.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Name of the account.
    pub name: String,
    /// Id of the session.
    pub session: String,
}

impl Worker {
    fn both(&self) -> (&str, &str) {
        (&self.name, &self.session)
    }
}

/// A moderator's decision about a case.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Counterfeit, misused photo, authorised, or no match.
    pub decision: Decision,
    /// The reason, in words.
    pub note: Option<String>,
    /// The photo that the moderator saw, from 0; where absent, the photo that decides the verdict.
    pub photo: Option<usize>,
    /// Id of the reference that the moderator compared with the photo, if any; only together with `photo`.
    pub reference: Option<String>,
    /// What the moderator was told about other cases with the same question. Without it, they are decided likewise if
    /// they are about the same photo.
    pub asked: Option<SharedQuestion>,
}

/// A question that several cases share, as a moderator saw it.
#[derive(Debug, Clone)]
pub struct SharedQuestion {
    /// The question's key.
    pub question: String,
    /// The number of other cases.
    pub others: u64,
    /// Whether the moderator decides them likewise.
    pub together: bool,
}

/// A photo of a case, and a reference that it matches.
#[derive(Debug, Clone)]
pub struct PairView {
    /// The photo as the check's answer has it.
    pub photo: PhotoAnswer,
    /// The match in the check's answer, if there is one.
    pub near: Option<Match>,
    /// The reference as it is now; `None` if it has been deleted.
    pub reference: Option<Reference>,
}

/// A case with everything that its page shows.
#[derive(Debug, Clone)]
pub struct CaseView {
    /// The case as it is now.
    pub case: Case,
    /// The check's stored answer, with all photos.
    pub answer: CheckAnswer,
    /// The photo and the reference to show.
    pub pair: PairView,
    /// The seller's other cases, newest first.
    pub earlier: Vec<Case>,
    /// Numbers of cases in which matches to the reference were confirmed, and overturned.
    pub record: (u64, u64),
    /// For each photo of the answer, whether its bytes are stored, so that somebody can see it.
    pub stored: Vec<bool>,
    /// Other open cases that ask the same question, the first 100 of them.
    pub alike: SameQuestion,
    /// The takedown notices about the listing, oldest first.
    pub notices: Vec<(Notice, NoticeListing)>,
}

/// Most of the seller's other cases shown.
const EARLIER: usize = 8;
/// Most cases with the same question shown.
const ALIKE: usize = 100;

/// The moderators' operations, over the gallery and the library in use.
pub struct Desk {
    pub(super) parts: Arc<Parts>,
}

impl CaseView {
    /// Whether a photo's bytes are stored.
    #[must_use]
    pub fn is_stored(&self, photo: usize) -> bool {
        self.stored.get(photo).copied().unwrap_or_default()
    }
}

impl Desk {
    /// A desk over the parts that serve.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    /// A case, with one photo and one reference of it: the pair named, else the first undecided pair, else the pair
    /// that decides the verdict.
    ///
    /// # Errors
    /// When there is no such case or photo, or the database or the stored answer cannot be read.
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
        let notices = self.parts.screener.gallery.notices_about(check_id, case.listing_id.as_deref())?;
        let alike = match case.status {
            CaseStatus::Open => self.parts.screener.gallery.same_question(check_id, ALIKE)?,
            _ => SameQuestion::default(),
        };
        let stored = answer.photos.iter().map(|photo| self.parts.screener.gallery.has_photo(photo.sha256, true));
        let stored = stored.collect();
        Ok(CaseView { case, answer, pair, earlier, record, stored, alike, notices })
    }

    pub(super) fn open(&self, check_id: &str) -> Result<(Case, CheckAnswer), DeskError> {
        let gallery = &self.parts.screener.gallery;
        let unknown = || DeskError::Unknown(check_id.to_owned());
        let case = gallery.case(check_id)?.ok_or_else(unknown)?;
        let saved = gallery.check(check_id)?.ok_or_else(unknown)?;
        let answer: CheckAnswer = serde_json::from_str(&saved.answer)?;
        let findings = gallery.findings(check_id)?;
        let findings = findings.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
        Ok((case, answer.with_findings(findings)))
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

    /// Claims a case, or extends the claim.
    ///
    /// # Errors
    /// When there is no such case, or the database returns an error.
    pub fn claim(&self, worker: &Worker, check_id: &str) -> Result<Claimed, DeskError> {
        let claimed = self.parts.screener.gallery.claim(worker.both(), check_id)?;
        claimed.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))
    }

    /// Claims the most urgent case that the moderator may decide; `None` when there is none.
    ///
    /// # Errors
    /// When the database returns an error.
    pub fn claim_next(&self, worker: &Worker, query: &QueueQuery) -> Result<Option<Case>, DeskError> {
        Ok(self.parts.screener.gallery.claim_next(worker.both(), query)?)
    }

    /// Takes a case out of a question that it shares with others; `false` if it shares none.
    ///
    /// # Errors
    /// When the database returns an error.
    pub fn ask_apart(&self, worker: &Worker, check_id: &str) -> Result<bool, DeskError> {
        Ok(self.parts.screener.gallery.ask_apart(worker.both(), check_id)?)
    }

    /// Releases a case; `false` when the moderator had not claimed it.
    ///
    /// # Errors
    /// When the database returns an error.
    pub fn release(&self, worker: &Worker, check_id: &str) -> Result<bool, DeskError> {
        Ok(self.parts.screener.gallery.release(worker.both(), check_id)?)
    }

    /// Decides a case. "No match" is about one photo and one reference: the case stays open while another of its photos
    /// is undecided. The next check follows the decision.
    ///
    /// # Errors
    /// When the case is unknown or not this moderator's to decide, the decision does not fit the photo or the
    /// reference, or the database or the library returns an error. Nothing is stored then, except after
    /// [`DeskError::Library`].
    pub fn decide(&self, worker: &Worker, check_id: &str, judgement: &Judgement) -> Result<Case, DeskError> {
        let (case, answer) = self.open(check_id)?;
        let mut new = self.decision(worker, &answer, judgement)?;
        new.followers = self.followers(&case, &new, judgement)?;
        let decided = self.parts.screener.gallery.decide(worker.both(), &new)?;
        match decided.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))? {
            Decided::NotTheirs(case) => Err(DeskError::NotTheirs(case)),
            Decided::Kept(case) => {
                self.parts.screener.library.refresh()?;
                Ok(*case)
            }
        }
    }

    /// Undoes the newest act of the session; returns the kind of act and its subject.
    ///
    /// # Errors
    /// When nothing is left to undo, somebody has changed the subject since, or the database or the library returns an
    /// error.
    pub fn undo(&self, worker: &Worker) -> Result<(String, String), DeskError> {
        let undone = self.parts.screener.gallery.undo(worker.both(), &self.parts.screener.certifier())?;
        self.parts.screener.library.refresh()?;
        match undone {
            Undone::Done(entry) => Ok((entry.action.clone(), entry.subject.clone())),
            Undone::Nothing => Err(DeskError::NothingToUndo),
            Undone::ChangedSince(entry) => {
                Err(DeskError::ChangedSince { action: entry.action.clone(), subject: entry.subject.clone() })
            }
        }
    }

    /// Quarantines a reference: it takes no part in checks until somebody enables it again.
    ///
    /// # Errors
    /// When no active reference has this id, or the database or the library returns an error.
    pub fn quarantine(&self, worker: &Worker, id: &str, why: &str) -> Result<Reference, DeskError> {
        let gallery = &self.parts.screener.gallery;
        let none = || DeskError::NoActiveReference(id.to_owned());
        let reference = gallery.find(id)?.ok_or_else(none)?;
        let held = gallery.quarantine(worker.both(), reference.key, why)?.ok_or_else(none)?;
        self.parts.screener.library.refresh()?;
        Ok(held)
    }

    /// Releases a signal from quarantine, if nobody has done so before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn release_signal(&self, worker: &Worker, key: u64) -> Result<(), DeskError> {
        let (actor, session) = worker.both();
        self.parts.screener.gallery.release_signal((actor, Some(session)), key, Timestamp::now())?;
        Ok(self.parts.screener.library.refresh()?)
    }

    /// Adds a photo of a case as a reference, with the same hygiene as any other.
    ///
    /// # Errors
    /// When there is no such case or photo, the photo was not stored, or it cannot be enrolled.
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
        let bytes = gallery.upload(photo.sha256).map_err(|_| none())?;
        let details = Details {
            product,
            source: Some(format!("case {check_id}, photo {index}")),
            notes: Some(format!("added by {}", worker.name)),
            rights_basis: Some("evidence from a moderated listing".to_owned()),
            // A listing's photo is a photo, whatever its pixels look like.
            kind: Some(Kind::Photo),
        };
        let claim = Claim { brand, polarity, details };
        let library = &self.parts.screener.library;
        let hygiene = Some(Hygiene { bank: &self.parts.screener.generic, library, disputes_others: true });
        let added =
            self.parts.enrolment().enrol(&bytes, &claim, hygiene, Some((&worker.name, Some(&worker.session))))?;
        library.refresh()?;
        Ok(added)
    }

    /// Stores a seller's appeal: another moderator decides the case again.
    ///
    /// # Errors
    /// When there is no such case, it cannot be appealed, or the database returns an error.
    pub fn appeal(&self, who: &str, session: Option<&str>, check_id: &str, text: &str) -> Result<Case, DeskError> {
        let appealed = self.parts.screener.gallery.appeal((who, session), check_id, text)?;
        match appealed.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))? {
            (case, true) => Ok(case),
            (case, false) => Err(DeskError::CannotAppeal(Box::new(case))),
        }
    }

    /// The parts that serve.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}
