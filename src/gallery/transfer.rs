//! Copies all records from one database to another, of the same engine or the other one, and proves the copy.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::schema;
use super::store::GalleryError;
use crate::storage::{self, Connection, Engine, Kind, OwnedValue, PostgresUrl, ToSql, UrlError, Value, Writing};

/// Every table with the columns of its key, in an order in which references find what they refer to. `gallery` is the last one: it
/// says that all others are there.
const TABLES: &[(&str, &str)] = &[
    ("policy", "brand"),
    ("listing_check", "id"),
    ("outcome", "brand, check_id, polarity"),
    ("vector", "sha256, model"),
    ("reference", "key"),
    ("publication", "number"),
    ("publication_effect", "number, key"),
    ("hit", "key, perceptual_hash"),
    ("audit", "seq"),
    ("account", "name"),
    ("session", "token_sha256"),
    ("moderation_case", "check_id"),
    ("decided_pair", "key, check_id, photo"),
    ("upload", "sha256, check_id"),
    ("idempotency", "api_key, key"),
    ("words", "sha256, vocabulary"),
    ("remembered", "seq"),
    ("memory_segment", "id"),
    ("lookback", "key"),
    ("finding", "check_id, photo, key"),
    ("webhook", "id"),
    ("webhook_delivery", "id"),
    ("notice", "number"),
    ("notice_listing", "notice, listing_id"),
    ("brand_lane", "brand"),
    ("listing_photo", "number"),
    ("closure", "number"),
    ("model_lookback", "number"),
    ("api_key", "id"),
    ("identity", "one"),
    ("alliance", "id"),
    ("alliance_member", "number"),
    ("alliance_sharing", "alliance, brand, polarity"),
    ("alliance_log", "alliance, seq"),
    ("alliance_feedback", "member, signal"),
    ("signal", "key"),
    ("signal_case", "signal, photo, check_id"),
    ("pdq", "sha256"),
    ("gallery", "one"),
];

/// Columns whose values the database counts, and never gives twice.
const COUNTED: [(&str, &str); 10] = [
    ("reference", "key"),
    ("publication", "number"),
    ("memory_segment", "id"),
    ("notice", "number"),
    ("closure", "number"),
    ("alliance_member", "number"),
    ("model_lookback", "number"),
    ("signal", "key"),
    ("remembered", "seq"),
    ("listing_photo", "number"),
];

/// Parameters of an insertion, at most: fewer than either engine allows.
const MOST_PARAMETERS: usize = 2000;

/// A database: a file of SQLite, or a URL of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Place(Engine);

impl Place {
    /// A file of SQLite.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(Engine::Sqlite(path.to_owned()))
    }

    /// A PostgreSQL database.
    #[must_use]
    pub fn postgres(url: &PostgresUrl) -> Self {
        Self(Engine::Postgres(Box::new(url.clone())))
    }

    /// Whether it has a gallery. Makes none.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub fn has_gallery(&self) -> Result<bool, TransferError> {
        if let Engine::Sqlite(path) = &self.0
            && !path.exists()
        {
            return Ok(false);
        }
        let found = self.0.connect(false).and_then(|db| schema::exists(&db));
        found.map_err(|source| TransferError::Database { at: self.to_string(), source })
    }
}

impl FromStr for Place {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // Otherwise the text would be shown as the name of a file.
        if text.contains("://") || text.contains("password=") {
            return text.parse().map(|url| Self::postgres(&url));
        }
        Ok(Self::file(Path::new(text)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.place())
    }
}

/// Why records were not copied.
#[derive(Debug, Error)]
pub enum TransferError {
    /// A database cannot be read or written.
    #[error("database {at}: {source}")]
    Database {
        /// The database.
        at: String,
        /// The engine's error.
        source: storage::Error,
    },
    /// A newer touchstone wrote a database.
    #[error("database {0} was written by a newer touchstone; run that one")]
    TooNew(String),
    /// There is no database to copy.
    #[error("{0} has no gallery; name the database that touchstone serves")]
    Nothing(String),
    /// The database to copy to has other records.
    #[error("table {table} of {at} has other rows than the source; copy to an empty database")]
    NotEmpty {
        /// The database.
        at: String,
        /// The table.
        table: String,
    },
    /// What was read back differs from what was copied.
    #[error(
        "table {table} of the copy has {got} rows, expected the {expected} rows of the source, unchanged; stop every touchstone on both databases, empty the target and copy again"
    )]
    Differs {
        /// The table.
        table: String,
        /// Rows in the copy.
        got: u64,
        /// Rows in the source.
        expected: u64,
    },
}

/// One table, as copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over its rows in the order of their keys, the same in both databases.
    pub sha256: String,
    /// Whether the target had these rows before: an earlier copy stored them, or there are none.
    pub was_there: bool,
}

/// Copies all records, one transaction a table, from one view of the source. A copy that was interrupted goes on at the table where
/// it stopped. Afterwards every table was read again from the copy, and has the same rows as the source.
///
/// # Errors
/// When a database cannot be used, or the target has other records.
pub fn copy_records(
    from: &Place,
    to: &Place,
    mut done: impl FnMut(&CopiedTable),
) -> Result<Vec<CopiedTable>, TransferError> {
    let (source, target) = (Side::open(from, false)?, Side::open(to, true)?);
    let view = source.db.snapshot().map_err(|error| source.failed(error))?;
    let tables = tables().map_err(|error| source.failed(error))?;
    let (own, theirs) = (source.id()?, target.id()?);
    if theirs != schema::UNFINISHED && theirs != own {
        return Err(TransferError::NotEmpty { at: target.at, table: "gallery".to_owned() });
    }
    // Nothing is written before every table is known to be empty, or the source's own.
    let mut plan = Vec::new();
    for table in &tables {
        let expected = digest(&view, table).map_err(|error| source.failed(error))?;
        let before = digest(&target.db, table).map_err(|error| target.failed(error))?;
        if before != expected && before.0 > 0 && table.name != "gallery" {
            return Err(TransferError::NotEmpty { at: target.at, table: table.name.to_owned() });
        }
        plan.push((table, before == expected, expected));
    }
    let mut copied = Vec::new();
    for (table, was_there, expected) in plan {
        let take = |writing: &Writing<'_>| {
            if !was_there {
                copy(&view, writing, table)?;
            }
            count_on(&view, writing, table)
        };
        target.db.exclusively(take).map_err(|error| target.failed(error))?;
        // What was there has been compared already.
        if !was_there {
            let got = digest(&target.db, table).map_err(|error| target.failed(error))?;
            if got != expected {
                return Err(TransferError::Differs { table: table.name.to_owned(), got: got.0, expected: expected.0 });
            }
        }
        let (rows, sha256) = expected;
        let one = CopiedTable { table: table.name.to_owned(), rows, sha256, was_there };
        done(&one);
        copied.push(one);
    }
    Ok(copied)
}

/// Copies the records of a database into a new SQLite file.
pub(super) fn copy_to_file(from: &Engine, to: &Path) -> Result<(), GalleryError> {
    let (from, to) = (Place(from.clone()), Place(Engine::Sqlite(to.to_owned())));
    copy_records(&from, &to, |_| {}).map(drop).map_err(|error| GalleryError::Copy(Box::new(error)))
}

struct Side {
    db: Connection,
    at: String,
}

impl Side {
    fn open(place: &Place, create: bool) -> Result<Self, TransferError> {
        let at = place.to_string();
        if !create && !place.has_gallery()? {
            return Err(TransferError::Nothing(at));
        }
        let failed = |source| TransferError::Database { at: at.clone(), source };
        let db = place.0.connect(create).map_err(failed)?;
        // The last table brings the id.
        schema::migrate(&db, schema::UNFINISHED).map_err(failed)?.map_err(|_| TransferError::TooNew(at.clone()))?;
        let side = Self { db, at };
        if !create && side.id()? == schema::UNFINISHED {
            return Err(TransferError::Nothing(side.at));
        }
        Ok(side)
    }

    /// The gallery's id.
    fn id(&self) -> Result<String, TransferError> {
        self.db.query_row("SELECT id FROM gallery", [], |row| row.get(0)).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: storage::Error) -> TransferError {
        TransferError::Database { at: self.at.clone(), source }
    }
}

/// A table of the schema.
struct Table {
    name: &'static str,
    key: &'static str,
    columns: Vec<(String, Kind)>,
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.key)
    }
}

/// All tables with their columns, as the scripts of SQLite make them.
fn tables() -> storage::Result<Vec<Table>> {
    let db = schema::fresh()?;
    let read = |&(name, key): &(&'static str, &'static str)| {
        let columns = db
            .prepare_cached("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?
            .query_map([name], |row| {
                let kind = match row.get_ref(1)?.as_str()? {
                    "INTEGER" => Kind::Integer,
                    "REAL" => Kind::Real,
                    "BLOB" => Kind::Blob,
                    _ => Kind::Text,
                };
                Ok((row.get(0)?, kind))
            })?
            .collect::<storage::Result<_>>()?;
        Ok(Table { name, key, columns })
    };
    let unlisted = db
        .prepare_cached("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map([], |row| row.get::<String>(0))?
        .find(|name| name.as_ref().map_or(true, |name| !TABLES.iter().any(|(known, _)| known == name)));
    if let Some(name) = unlisted {
        return Err(storage::Error::Conversion(format!("got the table {}, expected it in TABLES", name?).into()));
    }
    TABLES.iter().map(read).collect()
}

/// A value with the kind of its column.
struct Typed<'a>(Kind, &'a OwnedValue);

impl ToSql for Typed<'_> {
    fn kind(&self) -> Kind {
        self.0
    }

    fn value(&self) -> Value<'_> {
        self.1.as_value()
    }
}

/// Number of rows, and SHA-256 over them.
fn digest(db: &Connection, table: &Table) -> storage::Result<(u64, String)> {
    let (mut rows, mut sum) = (0, Sha256::new());
    db.visit(&table.select(), [], |row| {
        rows += 1;
        for index in 0..table.columns.len() {
            let (kind, bytes): (u8, &[u8]) = match row.get_ref(index)? {
                Value::Null => (0, &[]),
                Value::Integer(number) => (1, &number.to_le_bytes()),
                Value::Real(number) => (2, &number.to_bits().to_le_bytes()),
                Value::Text(text) => (3, text.as_bytes()),
                Value::Blob(bytes) => (4, bytes),
            };
            sum.update([kind]);
            sum.update((bytes.len() as u64).to_le_bytes());
            sum.update(bytes);
        }
        Ok(())
    })?;
    Ok((rows, crate::photo::Sha256(sum.finalize().into()).to_string()))
}

fn copy(source: &Connection, target: &Writing<'_>, table: &Table) -> storage::Result<()> {
    if table.name == "gallery" {
        // The one that the migration made.
        target.execute("DELETE FROM gallery", [])?;
    }
    let at_once = (MOST_PARAMETERS / table.columns.len()).max(1);
    let mut waiting: Vec<Vec<OwnedValue>> = Vec::new();
    source.visit(&table.select(), [], |row| {
        let values = (0..table.columns.len()).map(|index| row.get_ref(index).map(OwnedValue::from));
        waiting.push(values.collect::<storage::Result<_>>()?);
        if waiting.len() >= at_once {
            insert(target, table, &waiting)?;
            waiting.clear();
        }
        Ok(())
    })?;
    insert(target, table, &waiting)
}

fn insert(target: &Writing<'_>, table: &Table, rows: &[Vec<OwnedValue>]) -> storage::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let width = table.columns.len();
    let one = |row: usize| {
        let places: Vec<String> = (1..=width).map(|column| format!("?{}", row * width + column)).collect();
        format!("({})", places.join(", "))
    };
    let all: Vec<String> = (0..rows.len()).map(one).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES {}", table.name, table.names(), all.join(", "));
    let typed: Vec<Typed<'_>> = rows
        .iter()
        .flat_map(|row| row.iter().zip(&table.columns).map(|(value, (_, kind))| Typed(*kind, value)))
        .collect();
    let values: Vec<&dyn ToSql> = typed.iter().map(|value| value as &dyn ToSql).collect();
    target.prepare_cached(&sql)?.execute(&values[..]).map(drop)
}

/// The target goes on counting where the source stopped, also where the last rows were deleted.
fn count_on(source: &Connection, target: &Writing<'_>, table: &Table) -> storage::Result<()> {
    let Some((name, column)) = COUNTED.iter().find(|(name, _)| *name == table.name) else { return Ok(()) };
    let newest = source.query_row(&format!("SELECT coalesce(max({column}), 0) FROM {name}"), [], |row| row.get(0))?;
    let counter = if source.is_postgres() {
        let sql = format!(
            "SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('{name}', '{column}') AS regclass)), 0)"
        );
        source.query_row(&sql, [], |row| row.get(0))?
    } else {
        source
            .query_row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1", [name], |row| row.get(0))?
    };
    let last: i64 = i64::max(newest, counter);
    if last == 0 {
        return Ok(());
    }
    if target.is_postgres() {
        let sql = format!("SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {last})");
        return target.query_row(&sql, [], |_| Ok(()));
    }
    let counted: i64 = target.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name = ?1 AND sql LIKE '%AUTOINCREMENT%'",
        [name],
        |row| row.get(0),
    )?;
    if counted == 1 {
        target.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [name])?;
        target.execute_batch(&format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', {last})"))?;
    }
    Ok(())
}
