//! A case as a zip that can be verified without the service: photos, answer, decisions, log, and a manifest of
//! checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::desk::Worker;
use super::{Desk, DeskError, Platform, Statement};
use crate::domain::Decision;
use crate::gallery::{AuditEntry, Case, Notice, NoticeListing};
use crate::photo::{Format, Sha256};
use crate::screening::{CheckAnswer, PhotoAnswer};

/// Version of the bundle's layout, named in `manifest.json`.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const CASE: &str = "case.json";
const ANSWER: &str = "answer.json";
const LOG: &str = "log.json";
/// Present if there are takedown notices about the listing.
const NOTICES: &str = "notices.json";
/// Limits for a bundle to verify: unpacked bytes, and files.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: usize = 4096;

/// Why a bundle cannot be written, or failed verification.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// The file is not a zip, or the zip cannot be written.
    #[error("the bundle cannot be read or written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A part cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A part is not the expected JSON.
    #[error("{file} cannot be read: {source}")]
    Json {
        /// Name of the part.
        file: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The bundle was altered after it was made; the text names the difference.
    #[error("{0}")]
    Altered(String),
}

/// Checksums of a bundle's parts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    case: String,
    made_at: Timestamp,
    made_by: String,
    touchstone: String,
    /// SHA-256 of each part, by name.
    files: BTreeMap<String, Sha256>,
}

/// Facts of a verified bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Id of the case.
    pub case: String,
    /// SHA-256 of the manifest, which identifies the whole bundle; the log of the service that made it names it, too.
    pub sum: String,
    /// When the bundle was made.
    pub made_at: Timestamp,
    /// The account that made it.
    pub made_by: String,
    /// Number of parts, all with matching checksums.
    pub files: usize,
    /// Number of the listing's photos among the parts.
    pub photos: usize,
    /// Number of photos in the check.
    pub photos_of_check: usize,
    /// Number of log entries, each chained to the previous one.
    pub entries: usize,
    /// The decision, if there is one.
    pub decision: Option<Decision>,
}

/// Makes the bundle of a case, and records the export and the bundle's checksum in the audit log.
///
/// # Errors
/// When the case is unknown or erased, or a part cannot be read or written.
pub fn bundle(desk: &Desk, worker: &Worker, check_id: &str, platform: &Platform) -> Result<Vec<u8>, DeskError> {
    let view = desk.view(check_id, None)?;
    let gallery = &desk.parts().screener.gallery;
    let found = gallery.case_with_log(check_id)?;
    let (case, log) = found.ok_or_else(|| DeskError::Unknown(check_id.to_owned()))?;
    if log.iter().any(AuditEntry::is_erased) {
        return Err(DeskError::Erased(check_id.to_owned()));
    }
    let mut parts = Parts::default();
    parts.json(CASE, &case)?;
    parts.json(ANSWER, &view.answer)?;
    if let Ok(statement) = Statement::of(&case, &view.answer, &view.notices, platform) {
        parts.json("statement.json", &statement)?;
        parts.add("statement.txt".to_owned(), statement.to_text().into_bytes());
    }
    if !view.notices.is_empty() {
        let notices: Vec<_> = view.notices.iter().map(|(notice, listing)| AboutListing { notice, listing }).collect();
        parts.json(NOTICES, &notices)?;
    }
    for photo in &view.answer.photos {
        let bytes = gallery.upload(photo.sha256).ok();
        if let Some(bytes) = bytes {
            parts.add(format!("photos/{:02}-{}{}", photo.index, photo.sha256, extension(&bytes)), bytes);
        }
        for near in &photo.matches {
            let reference = gallery.find(&near.reference_id)?;
            if let Some(bytes) = reference.and_then(|found| gallery.photo(found.photo.sha256).ok()) {
                parts.add(format!("references/{}{}", near.reference_id, extension(&bytes)), bytes);
            }
        }
    }
    parts.json(LOG, &log)?;
    parts.add("README.txt".to_owned(), README.as_bytes().to_vec());
    let manifest = Manifest {
        format: FORMAT,
        case: check_id.to_owned(),
        made_at: Timestamp::now(),
        made_by: worker.name.clone(),
        touchstone: env!("CARGO_PKG_VERSION").to_owned(),
        files: parts.0.iter().map(|(name, bytes)| (name.clone(), Sha256::of(bytes))).collect(),
    };
    parts.json(MANIFEST, &manifest)?;
    let sum = parts.0.get(MANIFEST).map(|bytes| Sha256::of(bytes).to_string());
    let zip = parts.zip()?;
    gallery.note((&worker.name, Some(&worker.session)), "export-evidence", check_id, &sum)?;
    Ok(zip)
}

/// A takedown notice, with what it says about the case's listing.
#[derive(Serialize)]
struct AboutListing<'a> {
    notice: &'a Notice,
    listing: &'a NoticeListing,
}

/// The file extension for these bytes, such as `.jpg`, so that people can open the file.
fn extension(bytes: &[u8]) -> String {
    Format::sniff(bytes).map(|format| format!(".{}", format.extension())).unwrap_or_default()
}

const README: &str =
    "`touchstone verify-evidence BUNDLE.zip` checks this bundle without the service. It compares the SHA-256 of every
file with manifest.json, the photos with the checksums in answer.json, and case.json with the last values in
log.json, whose entries each contain the checksum of the previous one. It prints the SHA-256 of manifest.json.
The audit log of the service that made the bundle contains that checksum, too: ask for it to be sure that
nobody has replaced the whole bundle.
";

/// Bytes of a bundle's parts, by name.
#[derive(Default)]
struct Parts(BTreeMap<String, Vec<u8>>);

impl Parts {
    fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.0.insert(name, bytes);
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), DeskError> {
        self.add(name.to_owned(), serde_json::to_vec_pretty(value)?);
        Ok(())
    }

    fn zip(&self) -> Result<Vec<u8>, EvidenceError> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        // Photos are already compressed.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (name, bytes) in &self.0 {
            zip.start_file(name.as_str(), options)?;
            zip.write_all(bytes)?;
        }
        Ok(zip.finish()?.into_inner())
    }
}

/// Verifies a bundle: every checksum, the photos against the answer, the log, the decision.
///
/// # Errors
/// When the bundle cannot be read, or a part differs from the manifest, the answer or the log.
pub fn verify(bytes: &[u8]) -> Result<Verified, EvidenceError> {
    let files = read(bytes)?;
    let manifest_bytes = part(&files, MANIFEST)?;
    let manifest: Manifest = json(MANIFEST, manifest_bytes)?;
    if manifest.format != FORMAT {
        return Err(altered(format!("{MANIFEST} has format {}, expected {FORMAT}", manifest.format)));
    }
    for (name, expected) in &manifest.files {
        let got = Sha256::of(files.get(name).ok_or_else(|| altered(format!("{name} is missing")))?);
        if got != *expected {
            return Err(altered(format!("{name} has sha256 {got}, expected {expected}")));
        }
    }
    if let Some(odd) = files.keys().find(|name| !is_part(name)) {
        return Err(altered(format!("{odd:?} is not a part of a bundle")));
    }
    if let Some(extra) = files.keys().find(|name| *name != MANIFEST && !manifest.files.contains_key(*name)) {
        return Err(altered(format!("{extra} is not named in {MANIFEST}")));
    }
    let case: Case = json(CASE, part(&files, CASE)?)?;
    let answer: CheckAnswer = json(ANSWER, part(&files, ANSWER)?)?;
    if case.check_id != manifest.case || answer.id != manifest.case {
        return Err(altered(format!("{CASE}, {ANSWER} and {MANIFEST} are about different cases")));
    }
    let photos = photos(&files, &answer)?;
    let log: Vec<AuditEntry> = json(LOG, part(&files, LOG)?)?;
    check_log(&log, &case)?;
    Ok(Verified {
        case: manifest.case,
        sum: Sha256::of(manifest_bytes).to_string(),
        made_at: manifest.made_at,
        made_by: manifest.made_by,
        files: manifest.files.len(),
        photos,
        photos_of_check: answer.photos.len(),
        entries: log.len(),
        decision: case.decision,
    })
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, EvidenceError> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    if zip.len() > MOST_FILES {
        return Err(altered(format!("it has {} files, expected at most {MOST_FILES}", zip.len())));
    }
    let mut files = BTreeMap::new();
    let mut left = MOST_BYTES;
    for index in 0..zip.len() {
        let file = zip.by_index(index)?;
        let name = file.name()?.into_owned();
        let mut content = Vec::new();
        file.take(left + 1).read_to_end(&mut content)?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| altered(format!("its files are larger than {MOST_BYTES} bytes")))?;
        if files.insert(name.clone(), content).is_some() {
            return Err(altered(format!("it has {name} twice")));
        }
    }
    Ok(files)
}

fn part<'a>(files: &'a BTreeMap<String, Vec<u8>>, name: &str) -> Result<&'a [u8], EvidenceError> {
    files.get(name).map(Vec::as_slice).ok_or_else(|| altered(format!("{name} is missing")))
}

fn json<T: serde::de::DeserializeOwned>(file: &'static str, bytes: &[u8]) -> Result<T, EvidenceError> {
    serde_json::from_slice(bytes).map_err(|source| EvidenceError::Json { file, source })
}

/// Whether `name` is the name of a bundle's part.
fn is_part(name: &str) -> bool {
    const WHOLE: [&str; 8] = [MANIFEST, CASE, ANSWER, LOG, NOTICES, "statement.json", "statement.txt", "README.txt"];
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    WHOLE.contains(&name)
        || name.strip_prefix("photos/").or_else(|| name.strip_prefix("references/")).is_some_and(plain)
}

/// Number of the answer's photos in the bundle. Each file must be the photo that its name gives by index and SHA-256.
fn photos(files: &BTreeMap<String, Vec<u8>>, answer: &CheckAnswer) -> Result<usize, EvidenceError> {
    let mut places = BTreeSet::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("photos/")) {
        let sum = Sha256::of(bytes);
        let of =
            |photo: &&PhotoAnswer| photo.sha256 == sum && name.starts_with(&format!("photos/{:02}-{sum}", photo.index));
        let place = answer.photos.iter().find(of).map(|photo| photo.index);
        if !place.is_some_and(|place| places.insert(place)) {
            return Err(altered(format!("{name} is not a photo that {ANSWER} names")));
        }
    }
    Ok(places.len())
}

/// Checks that each entry has the right checksum and follows the previous one, and that the last decision is the
/// case's.
fn check_log(log: &[AuditEntry], case: &Case) -> Result<(), EvidenceError> {
    let mut before = "";
    for entry in log {
        let wrong = if entry.subject != case.check_id {
            Some("is about another case")
        } else if !entry.holds() {
            Some("does not have the sha256 that it names")
        } else if entry.prev_of_subject != before {
            Some("does not follow the previous entry")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(altered(format!("{LOG}: entry {} {wrong}", entry.seq)));
        }
        before = &entry.sha256;
    }
    let said = serde_json::to_value(case).map_err(|source| EvidenceError::Json { file: CASE, source })?;
    let logged = log.iter().filter_map(case_after).next_back();
    let Some(serde_json::Value::Object(logged)) = logged else {
        return match case.decision {
            None => Ok(()),
            Some(decision) => Err(altered(format!("{CASE} says {}, but {LOG} has no decision", decision.as_str()))),
        };
    };
    // Claims are not a matter of record.
    for (field, last) in logged.iter().filter(|(field, _)| *field != "claimed_by") {
        let here = said.get(field).unwrap_or(&serde_json::Value::Null);
        if here != last {
            return Err(altered(format!("{CASE} says that {field} is {here}, but the last value in {LOG} is {last}")));
        }
    }
    Ok(())
}

/// The state of a case after an entry, as far as the entry records it; `None` where it does not.
fn case_after(entry: &AuditEntry) -> Option<serde_json::Value> {
    let mut after: serde_json::Value = serde_json::from_str(&entry.after).ok()?;
    let case = match entry.action.as_str() {
        "decide-as-before" => Some(&mut after),
        "undo" => after.get_mut("restored")?.get_mut("case"),
        _ => after.get_mut("case"),
    };
    case.map(serde_json::Value::take).filter(serde_json::Value::is_object)
}

fn altered(what: String) -> EvidenceError {
    EvidenceError::Altered(what)
}
