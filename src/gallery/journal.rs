//! What a reindex run did with each photo. It is a file beside the database, so that a stopped run can resume and a
//! list of millions takes no memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;

use super::rows::{doubts, doubts_text};
use super::store::{GalleryError, parsed, signed, unsigned};
use crate::domain::{BrandId, ImportStatus, Polarity};
use crate::photo::{Doubt, Sha256};
use crate::storage::{self, Connection, OptionalExtension, Row, ToSql, Value, params};

/// A photo and what a run did with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// Path or URL of the photo.
    pub source: String,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// A version that the source gives, such as size and modification time; the same version means the same bytes.
    #[serde(skip)]
    pub version: Option<String>,
    /// Normalised source of the reference that this entry may concern, or the folder that could not be read. `None` for
    /// a row that cannot be read.
    #[serde(skip)]
    pub about: Option<String>,
    /// SHA-256 of its bytes, if they could be read.
    #[serde(skip)]
    pub sha256: Option<Sha256>,
    /// Key of its reference, if it has one.
    #[serde(skip)]
    pub key: Option<u64>,
    /// The result for this photo.
    pub status: ImportStatus,
    /// Reason, as a stable kebab-case code.
    pub code: Option<String>,
    /// Reason, as a sentence.
    pub detail: Option<String>,
    /// Why it is a poor reference; empty for a good one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

/// The journal of one brand's runs. One process at a time may open it.
pub struct Journal {
    path: PathBuf,
    db: Mutex<Connection>,
    brand: BrandId,
    pass: i64,
    run: String,
    /// Locked for as long as the journal is open.
    _lock: File,
    /// The folder of a temporary copy, deleted with it.
    _folder: Option<tempfile::TempDir>,
}

/// Version of the layout below.
const VERSION: i64 = 2;
/// Upgrades the previous layout.
const FROM_1: &str =
    "ALTER TABLE item ADD COLUMN earlier BLOB; ALTER TABLE item ADD COLUMN doubts TEXT NOT NULL DEFAULT '';";
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), run TEXT NOT NULL, pass INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS item (
        source   TEXT NOT NULL,
        polarity TEXT NOT NULL,
        pass     INTEGER NOT NULL,
        version  TEXT,
        about    TEXT,
        sha256   BLOB,
        key      INTEGER,
        fate     TEXT NOT NULL,
        code     TEXT,
        detail   TEXT,
        earlier  BLOB,
        doubts   TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, polarity)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS item_sha256 ON item (sha256, pass);
    CREATE INDEX IF NOT EXISTS item_fate ON item (fate, pass);
    CREATE INDEX IF NOT EXISTS item_key ON item (key, pass);
    CREATE INDEX IF NOT EXISTS item_about ON item (about, pass);
    CREATE INDEX IF NOT EXISTS item_earlier ON item (earlier, pass);
";

impl Journal {
    /// Opens the brand's journal in `folder`. `None` when another process has it open.
    ///
    /// # Errors
    /// When the journal cannot be read or created.
    pub fn open(folder: &Path, brand: &BrandId) -> Result<Option<Self>, GalleryError> {
        Self::open_in(folder, brand, None)
    }

    /// Opens a temporary copy of the brand's journal in `folder`, or an empty one if there is none. Dropping the copy
    /// deletes it.
    ///
    /// # Errors
    /// When the journal cannot be read or copied.
    pub fn open_copy(folder: &Path, brand: &BrandId) -> Result<Option<Self>, GalleryError> {
        let passing = tempfile::TempDir::new()?;
        let (path, copy) = (folder.join(format!("{brand}.db")), passing.path().join(format!("{brand}.db")));
        if path.exists() {
            let copied =
                Connection::plain_file(&path).and_then(|db| db.execute("VACUUM INTO ?1", [&*copy.to_string_lossy()]));
            copied.map_err(|source| GalleryError::Journal { path, source })?;
        }
        let place = passing.path().to_owned();
        Self::open_in(&place, brand, Some(passing))
    }

    fn open_in(
        folder: &Path,
        brand: &BrandId,
        passing: Option<tempfile::TempDir>,
    ) -> Result<Option<Self>, GalleryError> {
        std::fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(format!("{brand}.lock")))?;
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        let path = folder.join(format!("{brand}.db"));
        let failed = |source| GalleryError::Journal { path: path.clone(), source };
        let db = Connection::plain_file(&path).map_err(failed)?;
        // A power failure may lose journal entries, which the next run computes again; the gallery loses nothing.
        let open = || -> storage::Result<(String, i64)> {
            db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
            match db.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get::<i64>(0))? {
                VERSION => {}
                1 => db.execute_batch(&format!("BEGIN; {FROM_1} PRAGMA user_version = {VERSION}; COMMIT;"))?,
                // A journal with an unknown layout starts empty, which costs only time.
                _ => {
                    db.execute_batch(&format!(
                        "DROP TABLE IF EXISTS head; DROP TABLE IF EXISTS item; PRAGMA user_version = {VERSION}"
                    ))?;
                }
            }
            db.execute_batch(SCHEMA)?;
            db.execute("INSERT OR IGNORE INTO head (one, run, pass) VALUES (1, ?1, 0)", [super::new_id("run")])?;
            db.query_row("UPDATE head SET pass = pass + 1 RETURNING run, pass", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        };
        let (run, pass) = open().map_err(failed)?;
        Ok(Some(Self { path, db: Mutex::new(db), brand: brand.clone(), pass, run, _lock: lock, _folder: passing }))
    }

    /// The brand whose runs it records.
    #[must_use]
    pub fn brand(&self) -> &BrandId {
        &self.brand
    }

    /// Id of the current run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Starts a new run, after the current one was published.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn next_run(&mut self) -> Result<(), GalleryError> {
        let run = super::new_id("run");
        self.with(|db| db.execute("UPDATE head SET run = ?1", [&run]))?;
        self.run = run;
        Ok(())
    }

    /// The SHA-256 and the version of a photo's bytes, as an earlier pass read them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn known_sum(&self, source: &str, polarity: Polarity) -> Result<Option<(Sha256, String)>, GalleryError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(
                "SELECT sha256, version FROM item WHERE source = ?1 AND polarity = ?2 AND sha256 IS NOT NULL AND version IS NOT NULL",
            )?;
            statement
                .query_row(params![source, polarity.as_str()], |row| Ok((Sha256(row.get(0)?), row.get(1)?)))
                .optional()
        })
    }

    /// The entry of this pass with the same bytes that was not refused.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn same_bytes(&self, sha256: Sha256) -> Result<Option<JournalEntry>, GalleryError> {
        self.first("sha256 = ?2 AND fate NOT IN ('refused', 'duplicate', 'removed', 'kept')", &&sha256.0[..])
    }

    /// The refused entry of this pass with these bytes.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn refused_bytes(&self, sha256: Sha256) -> Result<Option<JournalEntry>, GalleryError> {
        self.first("sha256 = ?2 AND fate = 'refused'", &&sha256.0[..])
    }

    /// Whether this pass has read these bytes.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn has_bytes(&self, sha256: Sha256) -> Result<bool, GalleryError> {
        self.with(|db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM item WHERE sha256 = ?1 AND pass = ?2)")?
                .query_row(params![&sha256.0[..], self.pass], |row| row.get(0))
        })
    }

    /// A refused entry of this pass that may concern these bytes: an earlier pass read them from its source, or it
    /// concerns one of `places`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn refused_for<'a>(
        &self,
        sha256: Sha256,
        places: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<JournalEntry>, GalleryError> {
        if let Some(found) = self.first("earlier = ?2 AND fate = 'refused'", &&sha256.0[..])? {
            return Ok(Some(found));
        }
        for place in places {
            if let Some(found) = self.first("about = ?2 AND fate = 'refused'", &place)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Records what the run did with a photo.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn record(&self, entry: &JournalEntry) -> Result<(), GalleryError> {
        self.with(|db| {
            db.prepare_cached(
                // A refused entry remembers the bytes that were last read from its source.
                "INSERT OR REPLACE INTO item (source, polarity, pass, version, about, sha256, key, fate, code, detail, doubts, earlier)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, CASE WHEN ?8 = 'refused' THEN
                     (SELECT CASE fate WHEN 'refused' THEN earlier ELSE sha256 END FROM item WHERE source = ?1 AND polarity = ?2)
                 END)",
            )?
            .execute(params![
                entry.source,
                entry.polarity.as_str(),
                self.pass,
                entry.version,
                entry.about,
                entry.sha256.as_ref().map(|sum| &sum.0[..]),
                entry.key.map(signed),
                entry.status.as_str(),
                entry.code,
                entry.detail,
                doubts_text(&entry.doubts),
            ])
        })
        .map(drop)
    }

    /// Turns the entries that brought this reference in into conflicts.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn contradict(&self, key: u64, code: &str, detail: &str) -> Result<(), GalleryError> {
        self.with(|db| {
            db.prepare_cached("UPDATE item SET fate = 'conflict', code = ?1, detail = ?2 WHERE key = ?3 AND pass = ?4 AND fate <> 'duplicate'")?
                .execute(params![code, detail, signed(key), self.pass])
        })
        .map(drop)
    }

    /// Whether an entry of this pass added or found this reference.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn has_key(&self, key: u64) -> Result<bool, GalleryError> {
        self.with(|db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM item WHERE key = ?1 AND pass = ?2)")?
                .query_row(params![signed(key), self.pass], |row| row.get(0))
        })
    }

    /// The polarities of this pass's entries.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn polarities(&self) -> Result<Vec<Polarity>, GalleryError> {
        self.with(|db| {
            db.prepare_cached(
                "SELECT DISTINCT polarity FROM item WHERE pass = ?1 AND fate NOT IN ('removed', 'kept') AND (fate <> 'refused' OR about IS NOT NULL)",
            )?
            .query_map([self.pass], |row| parsed(row, 0))?
            .collect()
        })
    }

    /// An entry of this pass that may concern any reference, because its row could not be read.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn unknown(&self) -> Result<Option<JournalEntry>, GalleryError> {
        self.first("?2 IS NULL AND fate = 'refused' AND about IS NULL", &None::<&str>)
    }

    /// Deletes entries of earlier passes.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn forget_left_behind(&self) -> Result<(), GalleryError> {
        self.with(|db| db.execute("DELETE FROM item WHERE pass < ?1", [self.pass])).map(drop)
    }

    /// How many entries of this pass have this code.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn count_code(&self, code: &str) -> Result<u64, GalleryError> {
        self.with(|db| {
            db.query_row("SELECT count(*) FROM item WHERE code = ?1 AND pass = ?2", params![code, self.pass], |row| {
                unsigned(row, 0)
            })
        })
    }

    /// How many photos of this pass are added with each doubt.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn doubts(&self) -> Result<BTreeMap<Doubt, u64>, GalleryError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(
                "SELECT doubts, count(*) FROM item WHERE doubts <> '' AND fate = 'added' AND pass = ?1 GROUP BY doubts",
            )?;
            let mut rows = statement.query([self.pass])?;
            let mut counts = BTreeMap::new();
            while let Some(row) = &rows.next()? {
                for doubt in doubts(row, 0)? {
                    *counts.entry(doubt).or_default() += unsigned(row, 1)?;
                }
            }
            Ok(counts)
        })
    }

    /// The entries of this pass that are added with a doubt, ordered by source, at most `most`; and how many there are
    /// in all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn doubted(&self, most: usize) -> Result<(Vec<JournalEntry>, u64), GalleryError> {
        self.with(|db| {
            let which = "FROM item WHERE doubts <> '' AND fate = 'added' AND pass = ?1";
            let sql = format!("SELECT {COLUMNS} {which} ORDER BY source, polarity LIMIT ?2");
            let entries = db
                .prepare_cached(&sql)?
                .query_map(params![self.pass, i64::try_from(most).unwrap_or(i64::MAX)], entry)?
                .collect::<storage::Result<_>>()?;
            let all = db.query_row(&format!("SELECT count(*) {which}"), [self.pass], |row| unsigned(row, 0))?;
            Ok((entries, all))
        })
    }

    /// How many entries of this pass have each status.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn counts(&self) -> Result<Vec<(ImportStatus, u64)>, GalleryError> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT count(*) FROM item WHERE fate = ?1 AND pass = ?2")?;
            let count = |status: ImportStatus| {
                let count = statement.query_row(params![status.as_str(), self.pass], |row| unsigned(row, 0))?;
                Ok((status, count))
            };
            ImportStatus::ALL.into_iter().map(count).collect()
        })
    }

    /// Entries of this pass with this status, ordered by source, after `after`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(
        &self,
        status: ImportStatus,
        after: Option<&JournalEntry>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, GalleryError> {
        self.with(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM item WHERE fate = ?1 AND pass = ?2 AND (source, polarity) > (?3, ?4) ORDER BY source, polarity LIMIT ?5"
            );
            let (source, polarity) = after.map_or(("", ""), |entry| (entry.source.as_str(), entry.polarity.as_str()));
            db.prepare_cached(&sql)?
                .query_map(params![status.as_str(), self.pass, source, polarity, i64::try_from(most).unwrap_or(i64::MAX)], entry)?
                .collect()
        })
    }

    /// An entry of this pass that meets an SQL condition on `?2`.
    fn first(&self, condition: &str, value: &dyn ToSql) -> Result<Option<JournalEntry>, GalleryError> {
        self.with(|db| {
            let values: [&dyn ToSql; 2] = [&self.pass, value];
            let sql = format!("SELECT {COLUMNS} FROM item WHERE pass = ?1 AND {condition} LIMIT 1");
            db.prepare_cached(&sql)?.query_row(&values[..], entry).optional()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> storage::Result<T>) -> Result<T, GalleryError> {
        work(&self.db.lock()).map_err(|source| GalleryError::Journal { path: self.path.clone(), source })
    }
}

const COLUMNS: &str = "source, polarity, version, about, sha256, key, fate, code, detail, doubts";

fn entry(row: &Row<'_>) -> storage::Result<JournalEntry> {
    Ok(JournalEntry {
        source: row.get(0)?,
        polarity: parsed(row, 1)?,
        version: row.get(2)?,
        about: row.get(3)?,
        sha256: match row.get_ref(4)? {
            Value::Null => None,
            _ => Some(Sha256(row.get(4)?)),
        },
        key: row.get::<Option<i64>>(5)?.map(i64::unsigned_abs),
        status: parsed(row, 6)?,
        code: row.get(7)?,
        detail: row.get(8)?,
        doubts: doubts(row, 9)?,
    })
}
