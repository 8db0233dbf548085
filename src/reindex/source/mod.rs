//! The sources of a brand's photos: folders, tar archives and manifests, on disk or in an object store. Photos are
//! listed one by one, and read only when they are needed.

mod archive;
mod manifest;
mod spelling;
mod store;
mod table;
mod web;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::ReindexError;
use crate::domain::{Details, Polarity, check_field};

pub(super) use archive::{not_read, unread_kind};
pub(crate) use manifest::Bounds;
pub(super) use spelling::{above, one_spelling};
pub use store::Stores;
pub(super) use store::{Fetched, Spot};
pub(crate) use table::{Columns, Shape, rows};

/// The sources of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folders, files and tar archives of authentic photos: paths or URLs.
    pub authentic: Vec<String>,
    /// Folders, files and tar archives of photos of known fakes: paths or URLs.
    pub fake: Vec<String>,
    /// A manifest: `.csv`, `.jsonl` or `.parquet`.
    pub manifest: Option<String>,
    /// Where the manifest may point to, besides its own folder: paths or URLs.
    pub allowed: Vec<String>,
}

/// A listed photo.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Path or URL; the same on every run.
    pub(super) source: String,
    /// The source that its reference would have; `None` for an unreadable row.
    pub(super) about: Option<String>,
    pub(super) polarity: Polarity,
    pub(super) details: Details,
    pub(super) place: Location,
}

/// Where a photo's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// In a file or an object.
    Spot(Spot),
    /// In memory: they came out of an archive.
    Bytes(Bytes),
    /// Nowhere: the row or name is wrong.
    Unreadable(Refusal),
}

/// Why a photo is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Stable kebab-case code.
    pub(crate) code: &'static str,
    /// What was wrong, and what to do.
    pub(crate) detail: String,
}

/// Receives each item; returns `false` to end the listing.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Item) -> bool;

impl Sources {
    /// Lists every photo.
    ///
    /// # Errors
    /// When a source cannot be listed or read.
    pub(super) fn list(&self, stores: &Stores, max_bytes: usize, tell: Tell<'_>) -> Result<(), ReindexError> {
        let roots = [(Polarity::Authentic, &self.authentic), (Polarity::Fake, &self.fake)];
        for (polarity, root) in roots.into_iter().flat_map(|(polarity, roots)| roots.iter().map(move |r| (polarity, r)))
        {
            let spot = stores.spot(root)?;
            if archive::is_archive(root) {
                archive::list(root, &spot, stores, max_bytes, &mut |name, place| {
                    tell(found(format!("{root}!{name}"), polarity, &name, place))
                })?;
            } else {
                let mut misgiven = None;
                stores.list(&spot, &mut |below, place| {
                    if below.is_empty() {
                        misgiven = wrong_kind(&place, stores);
                        return misgiven.is_none() && tell(found(root.clone(), polarity, &below, place));
                    }
                    tell(found(joined(root, &below), polarity, &below, place))
                })?;
                if let Some(reason) = misgiven {
                    return Err(ReindexError::source(root, &reason));
                }
            }
        }
        match &self.manifest {
            Some(path) => manifest::list(path, &self.allowed, stores, tell),
            None => Ok(()),
        }
    }

    /// The number of photos, if listing them suffices to count them.
    pub(super) fn count(&self, stores: &Stores, stop: &AtomicBool) -> Option<u64> {
        let archives = self.authentic.iter().chain(&self.fake).any(|root| archive::is_archive(root));
        if archives {
            return None;
        }
        let mut count = 0;
        let counted = self.list(stores, 0, &mut |_| {
            count += 1;
            !stop.load(Ordering::Acquire)
        });
        counted.ok().map(|()| count)
    }
}

/// The error for a source that is a single file, if it is an archive.
fn wrong_kind(place: &Location, stores: &Stores) -> Option<String> {
    let Location::Spot(spot) = place else { return None };
    archive::misgiven(&stores.first_bytes(spot, archive::TOLD_BY))
}

/// An item from a folder. The folders between the root and the file name the product: `<root>/<product>/photo.jpg`.
fn found(source: String, polarity: Polarity, below: &str, place: Location) -> Item {
    let product = below.rsplit_once('/').map(|(product, _)| product.to_owned());
    let details = Details { product, source: Some(source.clone()), ..Details::default() };
    let place = unfit(&details).map_or(place, Location::Unreadable);
    Item { about: Some(source.clone()), source, polarity, details, place }
}

/// The refusal of details that are too long or contain control characters.
fn unfit(details: &Details) -> Option<Refusal> {
    for (name, cap, text) in details.named() {
        let Some(text) = text else { continue };
        if text.len() > cap {
            return Some(Refusal { code: "text-too-long", detail: format!("{name} is longer than {cap} bytes") });
        }
        if let Err(fault) = check_field(name, text) {
            return Some(Refusal { code: "name-unusable", detail: fault.to_string() });
        }
    }
    None
}

fn joined(root: &str, below: &str) -> String {
    if root.contains("://") {
        format!("{}/{below}", root.trim_end_matches('/'))
    } else {
        PathBuf::from(root).join(below).display().to_string()
    }
}

/// Hidden files are left behind by operating systems.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') && part != "." && part != "..")
}
