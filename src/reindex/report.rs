//! Reports of runs: counts, JSON and an HTML page.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, html};
use serde::Serialize;

use super::{Outcome, Plan, ReindexError};
use crate::decoder::Decoder;
use crate::domain::{BrandId, ImportStatus, Mark, Polarity};
use crate::gallery::{Gallery, GalleryError, Journal, JournalEntry, RunChanges};
use crate::index::Proof;
use crate::page::{head, thumbnail, visible};
use crate::photo::{Doubt, Sha256};

/// Number of journal entries that one query reads.
const PAGE: usize = 500;
/// Number of entries per status on the page; the JSON has all of them.
const SHOWN: usize = 200;

/// Counts and times of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The brand whose photos were taken in.
    pub brand: BrandId,
    /// Id of the run, `run_` and a UUID.
    pub run: String,
    /// Whether it was a dry run, which changes nothing.
    pub dry_run: bool,
    /// Number of photos by status.
    pub counts: BTreeMap<ImportStatus, u64>,
    /// Number of photos that the model embedded.
    pub embedded: u64,
    /// New references that never lead to a block by themselves, because they show what many goods share.
    pub generic: u64,
    /// New references that are logos, as the brand says or intake found.
    pub logos: u64,
    /// New references by doubt. They match the same file and the same pixels only, except those that are only invisible
    /// on white.
    pub doubts: BTreeMap<Doubt, u64>,
    /// References that became disputed, because others contradict them.
    pub disputed: u64,
    /// Polarities that were not pruned, because the sources name no photo of them.
    pub not_pruned: Vec<Polarity>,
    /// What was published; `None` for a dry run or a run without changes.
    pub published: Option<PublishedRun>,
    /// Seconds that each phase took.
    pub phases: Phases,
}

/// What a run published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedRun {
    /// The generation that serves now.
    pub generation: u64,
    /// The publication's number, for a rollback.
    pub publication: u64,
    /// References in the generation, of all brands.
    pub references: usize,
    /// Distinct embeddings of these references.
    pub vectors: usize,
    /// How they are searched: `exact` or `hnsw`.
    pub search: &'static str,
    /// Groups of near-duplicates that contain new references.
    pub groups: usize,
    /// The result of the generation's test.
    pub proof: Proof,
}

/// Seconds that each part took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Phases {
    /// Reading, decoding, embedding and staging.
    pub take_in_s: f64,
    /// Building the index.
    pub build_s: f64,
    /// Testing the index against the exact scan, and comparing new references with all others.
    pub prove_s: f64,
    /// Writing, syncing and switching to the generation.
    pub publish_s: f64,
    /// Computing keypoints.
    pub points_s: f64,
}

impl Report {
    pub(super) fn of(
        plan: &Plan,
        journal: &Journal,
        (embedded, published, changes): (u64, Option<PublishedRun>, &RunChanges),
    ) -> Result<Self, GalleryError> {
        Ok(Self {
            brand: plan.brand.clone(),
            run: journal.run().to_owned(),
            dry_run: plan.dry_run,
            counts: journal.counts()?.into_iter().collect(),
            embedded,
            generic: journal.count_code("generic")?,
            logos: journal.count_code("logo")?,
            doubts: journal.doubts()?,
            disputed: changes.marks.values().filter(|mark| **mark == Mark::Disputed).count() as u64,
            not_pruned: Vec::new(),
            published,
            phases: Phases::default(),
        })
    }

    /// Number of photos with this status.
    #[must_use]
    pub fn count(&self, status: ImportStatus) -> u64 {
        self.counts.get(&status).copied().unwrap_or_default()
    }

    /// Whether every named photo could be used.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count(ImportStatus::Refused) == 0 && self.count(ImportStatus::Conflict) == 0
    }
}

/// Creates the folder of a report and tests whether it can be written, before the run changes anything.
///
/// # Errors
/// When the folder cannot be created or written.
pub fn prepare(folder: &Path) -> Result<(), ReindexError> {
    let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    tried.map(drop).map_err(|error| ReindexError::report(folder, &error))
}

/// The photos that a report shows.
#[derive(Clone, Copy)]
pub struct Photos<'a> {
    /// The gallery that stores them.
    pub gallery: &'a Gallery,
    /// Decodes them.
    pub decoder: &'a Decoder,
}

impl Photos<'_> {
    fn thumbnail(self, sha256: Sha256) -> Option<String> {
        thumbnail(self.decoder, &self.gallery.photo(sha256).ok()?)
    }
}

/// Writes `report.json` and `report.html` into a folder and returns the page's path.
///
/// # Errors
/// When the journal cannot be read or the folder not be written.
pub fn write(outcome: &Outcome, photos: Photos<'_>, folder: &Path) -> Result<PathBuf, ReindexError> {
    let failed = |error: io::Error| ReindexError::report(folder, &error);
    let json = folder.join("report.json");
    write_json(outcome, &json)?.map_err(failed)?;
    let page = folder.join("report.html");
    let text = page_of(outcome, photos)?.into_string();
    std::fs::write(&page, text).map_err(failed)?;
    Ok(page)
}

/// One entry per line, so that a report with a million lines can be read while it is written.
fn write_json(outcome: &Outcome, path: &Path) -> Result<io::Result<()>, GalleryError> {
    let mut lines = match Lines::begin(path, &outcome.report) {
        Ok(lines) => lines,
        Err(error) => return Ok(Err(error)),
    };
    for status in ImportStatus::ALL.into_iter().filter(|status| *status != ImportStatus::Unchanged) {
        let mut last: Option<JournalEntry> = None;
        loop {
            let page = outcome.journal.entries(status, last.as_ref(), PAGE)?;
            if let Err(error) = page.iter().try_for_each(|entry| lines.add(entry)) {
                return Ok(Err(error));
            }
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry),
                None => break,
            }
        }
    }
    Ok(lines.end())
}

/// A JSON document whose entries are written one by one.
struct Lines {
    file: BufWriter<File>,
    between: &'static str,
}

impl Lines {
    fn begin(path: &Path, report: &Report) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        write!(file, "{{\"report\":")?;
        serde_json::to_writer(&mut file, report)?;
        write!(file, ",\n\"entries\":[")?;
        Ok(Self { file, between: "\n" })
    }

    fn add(&mut self, entry: &JournalEntry) -> io::Result<()> {
        write!(self.file, "{}", self.between)?;
        self.between = ",\n";
        Ok(serde_json::to_writer(&mut self.file, entry)?)
    }

    fn end(mut self) -> io::Result<()> {
        writeln!(self.file, "\n]}}")?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

fn page_of(outcome: &Outcome, photos: Photos<'_>) -> Result<Markup, GalleryError> {
    let report = &outcome.report;
    let title = format!("touchstone reindex of {}", report.brand);
    let sections = [
        (
            ImportStatus::Conflict,
            "Conflicts",
            "Quarantined: a moderator has to decide. None of them takes part in checks.",
        ),
        (ImportStatus::Refused, "Refused", "Unusable photos. Fix the source and run again."),
        (ImportStatus::Removed, "Removed", "The sources no longer name them. A rollback restores them."),
        (
            ImportStatus::Kept,
            "Kept",
            "Not pruned: their sources exist but could not be used in this run. Fix the sources and run again.",
        ),
        (ImportStatus::Changed, "Changed", "Their details changed; the photos are the same."),
        (
            ImportStatus::Duplicate,
            "Duplicates",
            "Earlier entries have the same bytes: one reference stands for all of them.",
        ),
    ];
    let listed = sections.map(|(status, name, note)| {
        let entries = outcome.journal.entries(status, None, SHOWN)?;
        Ok(section(name, note, report.count(status), &entries, photos))
    });
    let listed = listed.into_iter().collect::<Result<Vec<_>, GalleryError>>()?;
    let groups = groups(&outcome.changes, photos)?;
    let (doubted, all_doubted) = outcome.journal.doubted(SHOWN)?;
    let note =
        "They were added, but similarity to them proves nothing: they match only the same file and the same pixels.";
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title))
            body {
                header { h1 { (title) } (facts(report)) }
                main {
                    @for section in listed { (section) }
                    (section("In doubt", note, all_doubted, &doubted, photos))
                    (groups)
                }
            }
        }
    })
}

fn facts(report: &Report) -> Markup {
    let served = report.published.as_ref().map_or_else(
        || {
            if report.dry_run {
                "nothing: this was a dry run".to_owned()
            } else {
                "nothing: there were no changes".to_owned()
            }
        },
        |published| {
            format!(
                "generation {} with {} references; {} of {} vectors found themselves, recall {:.4} at the threshold",
                published.generation,
                published.references,
                published.proof.found_themselves,
                published.proof.rows,
                published.proof.recall()
            )
        },
    );
    html! {
        dl.versions {
            @for (status, count) in &report.counts { dt { (status.as_str()) } dd { (count) } }
            dt { "embedded" } dd { (report.embedded) }
            dt { "generic" } dd { (report.generic) }
            dt { "logos" } dd { (report.logos) }
            @for (doubt, count) in &report.doubts { dt { (doubt) } dd { (count) } }
            dt { "disputed" } dd { (report.disputed) }
            dt { "published" } dd { (served) }
            dt { "run" } dd { (report.run) }
        }
    }
}

fn section(name: &str, note: &str, count: u64, entries: &[JournalEntry], photos: Photos<'_>) -> Markup {
    html! {
        h2 { (name) ": " (count) }
        @if count > 0 {
            p.note { (note) }
            ol.pairs {
                @for entry in entries { (item(entry, photos)) }
            }
            @if count > entries.len() as u64 {
                p.note { "and " (count - entries.len() as u64) " more, in report.json" }
            }
        }
    }
}

fn item(entry: &JournalEntry, photos: Photos<'_>) -> Markup {
    let photo = entry.sha256.and_then(|sha256| photos.thumbnail(sha256));
    html! {
        li {
            @if let Some(uri) = photo { img src=(uri) alt=(visible(&entry.source)); }
            p.path { (visible(&entry.source)) }
            p {
                (entry.polarity.as_str())
                @if let Some(code) = &entry.code { " · " code { (code) } }
                @if let Some(detail) = &entry.detail { br; (visible(detail)) }
                @for doubt in &entry.doubts { br; code { (doubt) } " " (doubt.text()) }
            }
        }
    }
}

fn groups(changes: &RunChanges, photos: Photos<'_>) -> Result<Markup, GalleryError> {
    let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, group) in &changes.groups {
        groups.entry(*group).or_default().push(*key);
    }
    let shown: Vec<u64> = groups.values().take(SHOWN).flat_map(|keys| keys.iter().take(4)).copied().collect();
    let references = photos.gallery.by_keys(shown)?;
    let picture = |key: &u64| {
        let reference = references.get(key)?;
        Some((photos.thumbnail(reference.photo.sha256)?, reference.id.clone()))
    };
    Ok(html! {
        h2 { "Groups of near-duplicates: " (groups.len()) }
        @if !groups.is_empty() {
            p.note { "New or changed groups within the brand, with up to four of their photos." }
            ol.pairs {
                @for keys in groups.values().take(SHOWN) {
                    li {
                        div.two {
                            @for (uri, id) in keys.iter().take(4).filter_map(picture) { img src=(uri) alt=(id); }
                        }
                        p { (keys.len()) " photos" }
                    }
                }
            }
        }
    })
}
