//! Folders of a brand's images become references, then a published generation.

mod report;
mod walk;

use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use thiserror::Error;

use crate::enrolment::{Claim, EnrolError, Enrolment};
use crate::gallery::{Added, BrandId, GalleryError, Polarity};
use crate::library::{Library, LibraryError};
use crate::photo::Sha256;

pub use report::{Outcome, Report};

/// Which folders to take in for which brand.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose they are.
    pub brand: BrandId,
    /// Folders or files of authentic images.
    pub authentic: Vec<PathBuf>,
    /// Folders or files of known-fake images.
    pub fake: Vec<PathBuf>,
}

/// Told of every file that is done.
pub trait Progress: Sync {
    /// How many files there are.
    fn begin(&self, files: usize);
    /// One is done.
    fn done(&self, path: &Path, outcome: &Outcome);
}

/// What ends a whole run.
#[derive(Debug, Error)]
pub enum ReindexError {
    /// A folder cannot be listed.
    #[error("{path}: {reason}")]
    Source {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The gallery cannot be written.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be written.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The model has stopped.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

/// Takes every image in, then builds and publishes a generation. What was kept before a stop is not
/// embedded again by the next run.
///
/// # Errors
/// When a folder, the gallery or the index fails. A bad image never ends a run: the report names it.
pub fn reindex(
    plan: &Plan,
    enrolment: &Enrolment,
    library: &Library,
    progress: &impl Progress,
) -> Result<Report, ReindexError> {
    let mut files = walk::files(&plan.authentic, Polarity::Authentic)?;
    files.extend(walk::files(&plan.fake, Polarity::Fake)?);
    progress.begin(files.len());
    let mut report = Report::default();
    let (send, tasks) = bounded(files.len().max(1));
    for file in files {
        // The channel has room for all of them.
        let _ = send.send(file);
    }
    drop(send);
    let workers = thread::available_parallelism().map_or(1, usize::from) + 1;
    let outcomes = thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&tasks, plan, enrolment, progress))).collect();
        running
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    for outcome in outcomes {
        report.extend(outcome?);
    }
    library.refresh()?;
    report.finish(library.rebuild()?);
    Ok(report)
}

type Outcomes = Vec<(PathBuf, Outcome)>;

fn work(
    tasks: &Receiver<walk::Source>,
    plan: &Plan,
    enrolment: &Enrolment,
    progress: &impl Progress,
) -> Result<Outcomes, ReindexError> {
    let mut outcomes = Vec::new();
    for source in tasks {
        let outcome = take_in(&source, plan, enrolment)?;
        progress.done(&source.path, &outcome);
        outcomes.push((source.path, outcome));
    }
    Ok(outcomes)
}

fn take_in(source: &walk::Source, plan: &Plan, enrolment: &Enrolment) -> Result<Outcome, ReindexError> {
    let bytes = match read_capped(&source.path, enrolment.limits.max_bytes) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Outcome::refused("file-unreadable", error.to_string())),
    };
    // Known bytes are not decoded again.
    if let Some(known) = enrolment.gallery.find_photo(&plan.brand, Sha256::of(&bytes))? {
        return Ok(if known.polarity == source.polarity { Outcome::Unchanged } else { Outcome::contradicts(&known) });
    }
    let claim = Claim {
        brand: plan.brand.clone(),
        polarity: source.polarity,
        product: source.product.clone(),
        source: Some(source.path.display().to_string()),
        notes: None,
    };
    match enrolment.enrol(&bytes, &claim) {
        Ok(Added::New(_)) => Ok(Outcome::Added),
        Ok(Added::Existing(_)) => Ok(Outcome::Unchanged),
        Ok(Added::Contradicts(known)) => Ok(Outcome::contradicts(&known)),
        Err(EnrolError::Photo(error)) => Ok(Outcome::refused(error.code(), error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Reads at most one byte over the cap, so that a huge file costs no memory and is still refused by
/// its size.
fn read_capped(path: &Path, cap: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(cap as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
