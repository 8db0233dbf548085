//! Connections to PostgreSQL. A thread of their own drives all of them, so that callers may wait on any thread, and a connection
//! that the server ended is known to be closed before the next statement.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, SimpleQueryMessage, Statement};

use super::dialect::{Translated, translated};
use super::error::{Error as DatabaseError, Meaning, Result};
use super::params::Params;
use super::runtime::wait;
use super::statement::Row;
use super::value::{Kind, OwnedValue, Value};

/// How long an attempt to connect may take, if the URL does not say.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a server may take for one statement; waiting for a lock ends sooner.
const STATEMENT: Duration = Duration::from_secs(30);

/// How long an idle connection may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Waits until no other transaction writes.
const WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(CAST(CAST('gallery' AS regclass) AS oid)::bigint)";

/// Statements that a connection keeps prepared, at most; then it forgets all of them.
const MOST_PREPARED: usize = 400;

/// Where a PostgreSQL database is: `postgres://user:password@host:port/database?options`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PostgresUrl {
    text: String,
    config: Config,
}

/// Why a text is not the URL of a PostgreSQL database.
#[derive(Debug, Error)]
#[error("got a URL that PostgreSQL does not understand ({0}), expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
pub struct UrlError(String);

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> std::result::Result<Self, UrlError> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err(UrlError("it does not begin with postgres://".to_owned()));
        }
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            use std::error::Error as _;
            UrlError(error.source().map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(STATEMENT);
        }
        config.keepalives_idle(ANSWER * 5);
        if config.get_application_name().is_none() {
            config.application_name("touchstone");
        }
        Ok(Self { text: text.to_owned(), config })
    }
}

impl TryFrom<String> for PostgresUrl {
    type Error = UrlError;

    fn try_from(text: String) -> std::result::Result<Self, UrlError> {
        text.parse()
    }
}

impl From<PostgresUrl> for String {
    fn from(url: PostgresUrl) -> Self {
        url.text
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PostgresUrl {}

impl fmt::Display for PostgresUrl {
    /// User, hosts and database, from what was understood: parts of the text might be parts of the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (number, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(number).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One connection. Used by one thread at a time.
pub(crate) struct PostgresConnection {
    client: Arc<Client>,
    texts: RefCell<HashMap<String, Arc<Translated>>>,
    prepared: RefCell<HashMap<(String, Vec<Kind>), Statement>>,
    /// Set at the first error that the connection does not survive.
    broken: Cell<bool>,
    /// Whether a transaction is open.
    open: Cell<bool>,
    /// Number of open cursors.
    cursors: Cell<u32>,
}

impl PostgresConnection {
    pub(super) fn open(url: &PostgresUrl) -> Result<Self> {
        let config = url.config.clone();
        let connecting = async move {
            let client = super::tls::connect(&config).await?;
            // Acknowledged means on disk.
            client
                .batch_execute(
                    "SET synchronous_commit = on; SET lock_timeout = '10s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET client_min_messages = warning; SET timezone = 'UTC'",
                )
                .await?;
            Ok::<_, DatabaseError>(client)
        };
        let client = wait(in_time(connecting))?.ok_or(DatabaseError::Late(STATEMENT.as_secs()))??;
        Ok(Self {
            client: Arc::new(client),
            texts: RefCell::default(),
            prepared: RefCell::default(),
            broken: Cell::new(false),
            open: Cell::new(false),
            cursors: Cell::new(0),
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.broken.get() && !self.client.is_closed()
    }

    /// Asks the server.
    pub(super) fn answers(&self) -> bool {
        let client = Arc::clone(&self.client);
        let asked = async move {
            tokio::time::timeout(ANSWER, client.simple_query("")).await.is_ok_and(|answer| answer.is_ok())
        };
        self.is_usable() && wait(asked).unwrap_or(false)
    }

    /// Waits for the server's answer to what is done with the client. After [`STATEMENT`] the connection is given up.
    fn call<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = std::result::Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        let limited = in_time(work(Arc::clone(&self.client)));
        match wait(limited)? {
            Some(answer) => self.noted(answer),
            None => {
                self.broken.set(true);
                Err(DatabaseError::Late(STATEMENT.as_secs()))
            }
        }
    }

    /// Runs statements without parameters, and notes whether they begin or end a transaction.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        let text = sql.to_owned();
        let done = self.call(|client| async move { client.batch_execute(&text).await });
        match sql {
            "COMMIT" | "ROLLBACK" => self.open.set(false),
            _ if sql.starts_with("BEGIN") && done.is_ok() => self.open.set(true),
            _ => {}
        }
        done
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.open.get() && self.is_usable()
    }

    /// Returns the schema's version. The lock's number is that of the table `gallery`, so that galleries in other schemas do not
    /// wait.
    pub(super) fn begin_write(&self) -> Result<usize> {
        // A node that hangs in the middle of a write must not keep the others waiting.
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL idle_in_transaction_session_timeout = '10s'; {WRITE_LOCK}; SELECT version FROM schema_version"
        );
        let begun = self.call(|client| async move { client.simple_query(&sql).await });
        self.open.set(self.is_usable());
        let version = begun?.into_iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(version.unwrap_or_default())
    }

    /// Begins a transaction that may make or change the tables: one at a time in this schema, and while nobody writes.
    pub(super) fn begin_first(&self) -> Result<()> {
        self.batch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(CAST(CAST(current_schema() AS regnamespace) AS oid)::bigint)")?;
        let exists = self.query(&translated("SELECT to_regclass('gallery') IS NOT NULL"), &[])?;
        if exists.first().is_some_and(|row| row.get(0)) { self.batch(WRITE_LOCK) } else { Ok(()) }
    }

    /// The statement in PostgreSQL's form.
    pub(super) fn translated(&self, sql: &str) -> Arc<Translated> {
        if let Some(known) = self.texts.borrow().get(sql) {
            return Arc::clone(known);
        }
        let new = Arc::new(translated(sql));
        let mut texts = self.texts.borrow_mut();
        if texts.len() >= MOST_PREPARED {
            texts.clear();
        }
        texts.insert(sql.to_owned(), Arc::clone(&new));
        new
    }

    pub(super) fn execute(&self, sql: &Translated, params: &impl Params) -> Result<usize> {
        let (statement, values) = self.prepared(sql, params)?;
        let changed = self.call(|client| async move { client.execute_raw(&statement, values).await })?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn query(&self, sql: &Translated, params: &impl Params) -> Result<Vec<tokio_postgres::Row>> {
        let (statement, values) = self.prepared(sql, params)?;
        self.call(|client| async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.query(&statement, &values).await
        })
    }

    /// Visits the rows of a query through a cursor, `at_once` at a time, in a transaction of its own unless one is open, until
    /// `visit` returns true.
    pub(super) fn visit(
        &self,
        sql: &str,
        params: &impl Params,
        at_once: usize,
        visit: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let alone = !self.open.get();
        if alone {
            self.batch("BEGIN READ ONLY")?;
        }
        // One visit may be within another.
        let cursor = format!("visited_{}", self.cursors.replace(self.cursors.get() + 1));
        let sql = self.translated(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {sql}"));
        let mut walk = || -> Result<()> {
            self.execute(&sql, params)?;
            let next = format!("FETCH FORWARD {at_once} FROM {cursor}");
            let next = self.call(|client| async move { client.prepare(&next).await })?;
            loop {
                let fetch = next.clone();
                let rows = self.call(|client| async move { client.query(&fetch, &[]).await })?;
                let mut done = rows.len() < at_once;
                for row in &rows {
                    if visit(&Row::Postgres(row))? {
                        done = true;
                        break;
                    }
                }
                if done {
                    return self.batch(&format!("CLOSE {cursor}"));
                }
            }
        };
        let walked = walk();
        self.cursors.set(self.cursors.get() - 1);
        if alone {
            let _ = self.batch("ROLLBACK");
        }
        walked
    }

    fn prepared(&self, sql: &Translated, params: &impl Params) -> Result<(Statement, Vec<OwnedValue>)> {
        let items = params.items();
        let mut ordered = Vec::with_capacity(items.len());
        if sql.names.is_empty() {
            ordered.extend(items.iter().map(|(_, value)| *value));
        } else {
            for name in &sql.names {
                let given =
                    items.iter().find(|(known, _)| known.is_some_and(|known| known.strip_prefix(':') == Some(name)));
                let (_, value) =
                    given.ok_or(DatabaseError::Parameters { expected: sql.names.len(), got: items.len() })?;
                ordered.push(*value);
            }
        }
        let kinds: Vec<Kind> = ordered.iter().map(|value| value.kind()).collect();
        let values = ordered.iter().map(|value| OwnedValue::from(value.value())).collect();
        let key = (sql.sql.clone(), kinds);
        if let Some(known) = self.prepared.borrow().get(&key) {
            return Ok((known.clone(), values));
        }
        let types: Vec<Type> = key.1.iter().map(|kind| type_of(*kind)).collect();
        let text = key.0.clone();
        let new = self.call(|client| async move { client.prepare_typed(&text, &types).await })?;
        let mut prepared = self.prepared.borrow_mut();
        if prepared.len() >= MOST_PREPARED {
            prepared.clear();
        }
        prepared.insert(key, new.clone());
        Ok((new, values))
    }

    fn noted<T>(&self, done: std::result::Result<T, tokio_postgres::Error>) -> Result<T> {
        done.map_err(|error| {
            if meaning(&error) == Meaning::Unreachable {
                self.broken.set(true);
            }
            error.into()
        })
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(STATEMENT, work).await.ok()
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Integer => Type::INT8,
        Kind::Real => Type::FLOAT8,
        Kind::Text => Type::TEXT,
        Kind::Blob => Type::BYTEA,
    }
}

impl ToSql for OwnedValue {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => number.to_sql(ty, out),
            Self::Real(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column of a row as one of the four kinds.
pub(super) fn read_column(row: &tokio_postgres::Row, index: usize) -> Result<Value<'_>> {
    let Some(column) = row.columns().get(index) else {
        return Err(DatabaseError::Conversion(format!("the row has no column {index}").into()));
    };
    let value = match *column.type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(Value::Integer),
        Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(|number| Value::Integer(number.into())),
        Type::BOOL => row.try_get::<_, Option<bool>>(index)?.map(|is| Value::Integer(is.into())),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(index)?.map(Value::Real),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
            row.try_get::<_, Option<&str>>(index)?.map(Value::Text)
        }
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(index)?.map(Value::Blob),
        ref other => {
            let reason = format!(
                "column {} has the type {other}, expected bigint, double precision, text or bytea",
                column.name()
            );
            return Err(DatabaseError::Conversion(reason.into()));
        }
    };
    Ok(value.unwrap_or(Value::Null))
}

/// PostgreSQL's own words: the crate's errors say only at which step they happened.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", db.message());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    text
}

pub(super) fn meaning(error: &tokio_postgres::Error) -> Meaning {
    let Some(code) = error.code() else {
        // No answer of the server at all: it cannot be reached, or the connection ended.
        return if error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
        {
            Meaning::Unreachable
        } else {
            Meaning::Other
        };
    };
    match *code {
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Meaning::Damaged,
        SqlState::DISK_FULL | SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::IO_ERROR => Meaning::Unwritable,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::CONNECTION_EXCEPTION
        | SqlState::CONNECTION_FAILURE
        | SqlState::CONNECTION_DOES_NOT_EXIST => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}
