//! What became of a run, as figures, as JSON and as a page.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, html};
use serde::Serialize;

use super::{Outcome, Plan, ReindexError};
use crate::gallery::{BrandId, Fate, Gallery, GalleryError, Journal, JournalEntry, Mark, Polarity, RunChanges};
use crate::index::Proof;
use crate::page::{head, thumbnail, visible};
use crate::photo::Doubt;

/// Entries read at once.
const PAGE: usize = 500;
/// Entries of one fate on the page; all of them are in the JSON.
const SHOWN: usize = 200;

/// A run in figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whose images.
    pub brand: BrandId,
    /// The run.
    pub run: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Images that met each fate.
    pub counts: BTreeMap<Fate, u64>,
    /// Images that the model was run for.
    pub embedded: u64,
    /// New references that never lead to a block by themselves, because they show what many goods share.
    pub generic: u64,
    /// New references that are logos: what the brand says, or what was found.
    pub logos: u64,
    /// New references with each doubt. But for those that are only invisible on white, they match the same file and the
    /// same pixels only.
    pub doubts: BTreeMap<Doubt, u64>,
    /// References that are disputed from now on: others contradict them.
    pub disputed: u64,
    /// Polarities that were to be pruned and were not, because the sources name no image of them.
    pub not_pruned: Vec<Polarity>,
    /// What was published, if anything was.
    pub published: Option<PublishedRun>,
    /// Where the time went.
    pub phases: Phases,
}

/// What a run has published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedRun {
    /// The generation that serves.
    pub generation: u64,
    /// The publication's number, for a rollback.
    pub publication: u64,
    /// References that it serves, of all brands.
    pub references: usize,
    /// Their distinct vectors.
    pub vectors: usize,
    /// How they are searched: `exact` or `hnsw`.
    pub search: &'static str,
    /// Groups of near-copies that the new references are in.
    pub groups: usize,
    /// What the generation has shown.
    pub proof: Proof,
}

/// Seconds that each part took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Phases {
    /// Reading, decoding, embedding, staging.
    pub take_in_s: f64,
    /// Building the index.
    pub build_s: f64,
    /// Holding it against the exact scan, and the new references against all others.
    pub prove_s: f64,
    /// Writing, syncing, swapping.
    pub publish_s: f64,
    /// Making points for second looks.
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

    /// How many met a fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.counts.get(&fate).copied().unwrap_or_default()
    }

    /// Whether everything that was named could be used.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count(Fate::Refused) == 0 && self.count(Fate::Conflict) == 0
    }
}

/// Makes the folder of a report and tries whether it can be written, before anything is done that it would tell of.
///
/// # Errors
/// When it cannot.
pub fn prepare(folder: &Path) -> Result<(), ReindexError> {
    let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    tried.map(drop).map_err(|error| ReindexError::report(folder, &error))
}

/// Writes `report.json` and `report.html` into a folder and returns the page's path.
///
/// # Errors
/// When the journal cannot be read or the folder not be written.
pub fn write(outcome: &Outcome, gallery: &Gallery, folder: &Path) -> Result<PathBuf, ReindexError> {
    let failed = |error: io::Error| ReindexError::report(folder, &error);
    let json = folder.join("report.json");
    write_json(outcome, &json)?.map_err(failed)?;
    let page = folder.join("report.html");
    let text = page_of(outcome, gallery)?.into_string();
    std::fs::write(&page, text).map_err(failed)?;
    Ok(page)
}

/// One entry a line, so that a report of a million lines can be read as it is written.
fn write_json(outcome: &Outcome, path: &Path) -> Result<io::Result<()>, GalleryError> {
    let mut lines = match Lines::begin(path, &outcome.report) {
        Ok(lines) => lines,
        Err(error) => return Ok(Err(error)),
    };
    for fate in Fate::ALL.into_iter().filter(|fate| *fate != Fate::Unchanged) {
        let mut last: Option<JournalEntry> = None;
        loop {
            let page = outcome.journal.entries(fate, last.as_ref(), PAGE)?;
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

fn page_of(outcome: &Outcome, gallery: &Gallery) -> Result<Markup, GalleryError> {
    let report = &outcome.report;
    let title = format!("touchstone reindex of {}", report.brand);
    let sections = [
        (Fate::Conflict, "Conflicts", "Held back: a person has to decide. None of them takes part in checks."),
        (Fate::Refused, "Refused", "No photo that can be used. Mend the source and run again."),
        (Fate::Removed, "Removed", "The sources do not name them any more. A rollback brings them back."),
        (
            Fate::Kept,
            "Kept",
            "Not pruned: their sources exist but could not be used in this run. Fix the sources and run again.",
        ),
        (Fate::Changed, "Changed", "What the brand says of them is new; the photos are the same."),
        (Fate::Duplicate, "Duplicates", "The same bytes came before: one reference stands for all of them."),
    ];
    let listed = sections.map(|(fate, name, note)| {
        let entries = outcome.journal.entries(fate, None, SHOWN)?;
        Ok(section(name, note, report.count(fate), &entries, gallery))
    });
    let listed = listed.into_iter().collect::<Result<Vec<_>, GalleryError>>()?;
    let groups = groups(&outcome.changes, gallery)?;
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
                    (section("In doubt", note, all_doubted, &doubted, gallery))
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
                "nothing: all is as it was".to_owned()
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
            @for (fate, count) in &report.counts { dt { (fate.as_str()) } dd { (count) } }
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

fn section(name: &str, note: &str, count: u64, entries: &[JournalEntry], gallery: &Gallery) -> Markup {
    html! {
        h2 { (name) ": " (count) }
        @if count > 0 {
            p.note { (note) }
            ol.pairs {
                @for entry in entries { (item(entry, gallery)) }
            }
            @if count > entries.len() as u64 {
                p.note { "and " (count - entries.len() as u64) " more, in report.json" }
            }
        }
    }
}

fn item(entry: &JournalEntry, gallery: &Gallery) -> Markup {
    let photo = entry.sha256.and_then(|sha256| gallery.photo(sha256).ok()).and_then(|bytes| thumbnail(&bytes));
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

fn groups(changes: &RunChanges, gallery: &Gallery) -> Result<Markup, GalleryError> {
    let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, group) in &changes.groups {
        groups.entry(*group).or_default().push(*key);
    }
    let shown: Vec<u64> = groups.values().take(SHOWN).flat_map(|keys| keys.iter().take(4)).copied().collect();
    let references = gallery.by_keys(shown)?;
    let picture = |key: &u64| {
        let reference = references.get(key)?;
        Some((thumbnail(&gallery.photo(reference.photo.sha256).ok()?)?, reference.id.clone()))
    };
    Ok(html! {
        h2 { "Groups of near-copies: " (groups.len()) }
        @if !groups.is_empty() {
            p.note { "New or changed groups within the brand, with up to four of their images." }
            ol.pairs {
                @for keys in groups.values().take(SHOWN) {
                    li {
                        div.two {
                            @for (uri, id) in keys.iter().take(4).filter_map(picture) { img src=(uri) alt=(id); }
                        }
                        p { (keys.len()) " images" }
                    }
                }
            }
        }
    })
}
