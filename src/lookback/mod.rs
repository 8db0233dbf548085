//! Lookback: searches the memory of checked photos for references that were added later, and opens cases for the
//! listings that it finds.
//!
//! A reference is searched for twice: at once in the whole memory, and once more, after two minutes, in the checks that
//! ran while it was added. The database records a search's progress after each segment, so that it resumes where it was
//! stopped; a finding is stored once.
//!
//! When another model begins to serve, the photos of earlier checks that are stored are judged again.

mod again;
mod query;

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use thiserror::Error;

use crate::gallery::{FoundLater, GalleryError, Lead, LookbackWork, MemorySegment, NewCase, NewFinding};
use crate::library::LibraryError;
use crate::memory::{Memory, MemoryError};
use crate::screening::{CheckAnswer, Pace, PhotoAnswer, Recalled, ScreenError, Screener, SeenIn, Trace};
use crate::telemetry;

use query::Query;

/// Most references that are searched for in one walk through the memory.
const TOGETHER: usize = 64;
/// The greatest number of a segment's photos that are judged for one reference; one that is in more of them proves
/// nothing.
const MOST_CANDIDATES: usize = 10_000;

/// Why a lookback stopped. It can be run again.
#[derive(Debug, Error)]
pub enum LookbackError {
    /// The memory cannot be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The database returned an error.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The library could not apply the newest changes.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A photo cannot be judged.
    #[error(transparent)]
    Screen(#[from] ScreenError),
    /// A finding cannot be serialised.
    #[error("a finding cannot be serialised: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A remembered photo in which references may be.
#[derive(Debug, Clone)]
pub struct PossibleCopy {
    check_id: String,
    photo: u32,
    trace: Trace,
    recalled: Vec<Recalled>,
}

/// A listing that a lookback found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Located {
    /// Id of the check.
    pub check_id: String,
    /// The marketplace's id of the listing.
    pub listing_id: Option<String>,
    /// The marketplace's id of the seller.
    pub seller_id: Option<String>,
    /// Number of the photo, from 0.
    pub photo: u32,
    /// Id of the reference.
    pub reference_id: String,
    /// Probability of a copy.
    pub probability: f32,
    /// Whether the photo is stored, so that it was verified.
    pub verified: bool,
}

/// Counts of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Photos searched.
    pub photos: u64,
    /// Cases opened or added to.
    pub found: u64,
}

/// Searches the memory.
pub struct Searcher<'a> {
    screener: &'a Screener,
    memory: Memory,
    /// Lets checks go before photos that are judged again.
    pace: &'a dyn Pace,
    /// Becomes true when the search is to stop after the current segment.
    stop: &'a AtomicBool,
}

impl<'a> Searcher<'a> {
    /// A searcher over the parts that serve.
    #[must_use]
    pub fn new(screener: &'a Screener, pace: &'a dyn Pace, stop: &'a AtomicBool) -> Self {
        Self { screener, memory: Memory::of(&screener.gallery), pace, stop }
    }

    /// Runs every search that is due; `see` gets each new finding.
    ///
    /// # Errors
    /// [`LookbackError`]; the search stays due.
    pub fn run_due(&self, see: &mut dyn FnMut(Located)) -> Result<Tally, LookbackError> {
        let mut tally = Tally::default();
        loop {
            if !self.search_due(see, &mut tally)? || !self.judge_some_again(see, &mut tally)? {
                return Ok(tally);
            }
        }
    }

    /// Searches for the references that are due; `false` if it was stopped.
    fn search_due(&self, see: &mut dyn FnMut(Located), tally: &mut Tally) -> Result<bool, LookbackError> {
        let _alone = self.memory.lock_search()?;
        self.memory.flush()?;
        while let Some(work) = self.screener.gallery.due_lookback(TOGETHER, Timestamp::now())? {
            self.screener.library.refresh()?;
            if !self.walk(work, see, tally)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Searches for references and stores nothing: `see` gets what would be found.
    ///
    /// # Errors
    /// [`LookbackError`].
    pub fn rehearse(&self, keys: &[u64], since: i64, see: &mut dyn FnMut(Located)) -> Result<Tally, LookbackError> {
        self.memory.flush()?;
        let mut tally = Tally::default();
        let mut query = Query::new(self.screener, keys)?;
        let mut after = None;
        while let Some(segment) = self.next(after, since)? {
            let possible = self.search(&mut query, &segment, since)?;
            tally.photos += segment.photos;
            for copy in possible {
                let Some((answer, later)) = self.judge(&copy)? else { continue };
                if let Some(found) = located(&answer, copy.photo, &later)
                    && !self.is_known(&copy, &found)?
                {
                    tally.found += 1;
                    see(found);
                }
            }
            after = Some((segment.day, segment.place));
        }
        Ok(tally)
    }

    /// One pass through the memory; `false` if it was stopped.
    fn walk(
        &self,
        mut work: LookbackWork,
        see: &mut dyn FnMut(Located),
        tally: &mut Tally,
    ) -> Result<bool, LookbackError> {
        let mut query = Query::new(self.screener, &work.keys)?;
        while let Some(segment) = self.next(work.after, work.since)? {
            if self.stop.load(Ordering::Acquire) {
                return Ok(false);
            }
            let possible = self.search(&mut query, &segment, work.since)?;
            for copy in &possible {
                if let Some(found) = self.settle(copy)? {
                    tally.found += 1;
                    see(found);
                }
            }
            tally.photos += segment.photos;
            let done = (segment.day, segment.place);
            self.screener.gallery.note_searched(&work, done, segment.photos)?;
            work.after = Some(done);
        }
        self.screener.gallery.end_pass(&work, Timestamp::now())?;
        Ok(true)
    }

    /// The next segment with checks since a time.
    fn next(&self, after: Option<(i64, u64)>, since: i64) -> Result<Option<MemorySegment>, LookbackError> {
        let next = self.memory.segment_before(after)?;
        Ok(next.filter(|segment| segment.ends_at() > since))
    }

    fn search(
        &self,
        query: &mut Query,
        segment: &MemorySegment,
        since: i64,
    ) -> Result<Vec<PossibleCopy>, LookbackError> {
        query.prepare(self.screener, segment)?;
        let (query, possible) = (&*query, Mutex::new(Vec::new()));
        let visited = self.memory.visit(segment, since, &|photos| {
            let found: Vec<PossibleCopy> = photos
                .iter()
                .filter(|photo| photo.at >= since)
                .filter_map(|photo| query.possible_copy(self.screener, photo))
                .collect();
            if !found.is_empty() {
                possible.lock().extend(found);
            }
        });
        if let Err(error) = visited {
            // One file must not keep the others from being searched.
            tracing::error!(%error, "some remembered photos cannot be searched: a lookback leaves them out");
        }
        for reference in query.overflowing() {
            tracing::warn!(
                reference,
                "a lookback found too many candidates; only {MOST_CANDIDATES} in a segment are judged"
            );
        }
        let mut possible = possible.into_inner();
        possible.sort_by(|a, b| (&a.check_id, a.photo).cmp(&(&b.check_id, b.photo)));
        Ok(possible)
    }

    /// Whether a lookback has found the reference in this photo before.
    fn is_known(&self, copy: &PossibleCopy, found: &Located) -> Result<bool, LookbackError> {
        let gallery = &self.screener.gallery;
        let reference = gallery.find(&found.reference_id)?;
        reference.map_or(Ok(false), |reference| Ok(gallery.is_found(&copy.check_id, copy.photo, reference.key)?))
    }

    /// Judges a possible copy; `None` if nothing is found in it, or its check was deleted.
    fn judge(&self, copy: &PossibleCopy) -> Result<Option<(CheckAnswer, PhotoAnswer)>, LookbackError> {
        let Some(saved) = self.screener.gallery.check(&copy.check_id)? else { return Ok(None) };
        let Some(answer) = read(&copy.check_id, &saved.answer) else { return Ok(None) };
        let later = self.screener.recall(&answer, copy.photo as usize, &copy.trace, &copy.recalled)?;
        Ok(later.map(|later| (answer, later)))
    }

    /// Judges a possible copy and stores what is found; `None` if that is nothing new.
    fn settle(&self, copy: &PossibleCopy) -> Result<Option<Located>, LookbackError> {
        let Some((answer, later)) = self.judge(copy)? else { return Ok(None) };
        self.store(&answer, copy.photo as usize, &later)
    }

    /// Stores what was found in a photo of a check; `None` if it is nothing new.
    fn store(&self, answer: &CheckAnswer, index: usize, later: &PhotoAnswer) -> Result<Option<Located>, LookbackError> {
        let gallery = &self.screener.gallery;
        let Some(near) = later.lead() else { return Ok(None) };
        let Some(reference) = gallery.find(&near.reference_id)? else { return Ok(None) };
        let text = serde_json::to_string(later)?;
        let finding = NewFinding {
            check_id: &answer.id,
            photo: u32::try_from(index).unwrap_or(u32::MAX),
            key: reference.key,
            answer: &text,
            action: later.action.as_str(),
            case: NewCase {
                verdict: later.verdict.as_str(),
                lead: Some(Lead {
                    brand: &near.brand,
                    polarity: near.polarity,
                    reference: Some(&near.reference_id),
                    probability: near.probability.map_or(0.5, f64::from),
                }),
                photo: Some(later.sha256),
                precedent: None,
            },
        };
        match gallery.add_finding(&finding, Timestamp::now())? {
            FoundLater::Known | FoundLater::Gone => Ok(None),
            FoundLater::Opened | FoundLater::Added => {
                telemetry::found_later();
                Ok(located(answer, finding.photo, later))
            }
        }
    }
}

/// The stored answer of a check; `None` if it cannot be read.
fn read(check: &str, answer: &str) -> Option<CheckAnswer> {
    match serde_json::from_str(answer) {
        Ok(answer) => Some(answer),
        Err(error) => {
            // One answer must not keep all other photos from being searched.
            tracing::error!(check, %error, "a stored answer cannot be read: a lookback leaves it out");
            None
        }
    }
}

fn located(answer: &CheckAnswer, photo: u32, later: &PhotoAnswer) -> Option<Located> {
    let near = later.lead()?;
    Some(Located {
        check_id: answer.id.clone(),
        listing_id: answer.listing.listing_id.clone(),
        seller_id: answer.listing.seller_id.clone(),
        photo,
        reference_id: near.reference_id.clone(),
        probability: near.probability.unwrap_or_default(),
        verified: later.looked_back.as_ref().is_some_and(|looked| looked.seen_in == SeenIn::Photo),
    })
}
