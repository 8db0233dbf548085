//! The engine that the tests run on: SQLite, or the PostgreSQL server that `POSTGRES_FOR_TESTS` names.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use touchstone::gallery::{Gallery, Vault};
use touchstone::photo::Sha256;
use touchstone::storage::StorageOptions;

/// URL of a server on which the tests may create schemas.
const SERVER: &str = "POSTGRES_FOR_TESTS";

pub fn on_postgres() -> bool {
    std::env::var_os(SERVER).is_some()
}

/// Whether the tests run on PostgreSQL, which a test about SQLite's file says as a reason to end.
pub fn needs_a_file(what: &str) -> bool {
    if on_postgres() {
        super::skipped(&format!("{what}: there is no database file"));
    }
    on_postgres()
}

/// URL of the database of a data folder, a schema of its own; `None` if the tests run on SQLite.
pub fn database_url(data: &Path) -> Option<String> {
    let server = std::env::var(SERVER).ok()?;
    let place = std::path::absolute(data).unwrap();
    let schema = format!("t_{}", &Sha256::of(place.as_os_str().as_encoded_bytes()).to_string()[..24]);
    let mut client = postgres::Client::connect(&server, postgres::NoTls).unwrap();
    client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).unwrap();
    let sign = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{sign}options=-csearch_path%3D{schema}"))
}

/// Where the tests store the records of a data folder.
pub fn storage(data: &Path) -> StorageOptions {
    let database = database_url(data).map(|url| url.parse().unwrap());
    StorageOptions { database, ..StorageOptions::default() }
}

/// Opens the gallery of a data folder.
pub fn open_gallery(data: &Path) -> Gallery {
    open_sealed(data, None)
}

pub fn open_sealed(data: &Path, vault: Option<Vault>) -> Gallery {
    Gallery::open_on(data, &storage(data), vault).unwrap()
}

/// Lets a command use the database of a data folder.
pub fn name_database(command: &mut Command, data: &Path) {
    if let Some(url) = database_url(data) {
        command.env("TOUCHSTONE_STORAGE__DATABASE", url);
    }
}

/// Runs statements on the database of a data folder from outside, as nobody should.
#[expect(clippy::disallowed_types, reason = "stands for somebody else")]
pub fn tamper(data: &Path, sql: &str) {
    match database_url(data) {
        None => rusqlite::Connection::open(data.join("touchstone.db")).unwrap().execute_batch(sql).unwrap(),
        Some(url) => postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(sql).unwrap(),
    }
}

/// A number that a query finds in the database of a data folder.
#[expect(clippy::disallowed_types, reason = "stands for somebody else")]
pub fn count(data: &Path, sql: &str) -> i64 {
    match database_url(data) {
        None => rusqlite::Connection::open(data.join("touchstone.db"))
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap(),
        Some(url) => postgres::Client::connect(&url, postgres::NoTls).unwrap().query_one(sql, &[]).unwrap().get(0),
    }
}

/// A PostgreSQL server of one test's own, which the test may restart.
pub struct Server {
    child: std::process::Child,
    pub url: String,
    programs: PathBuf,
    data: PathBuf,
}

impl Server {
    /// `None`, and a word about it, where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let mut child = Command::new(super::root().join("scripts/with-postgres"))
            .args([
                "sh",
                "-c",
                "echo $POSTGRES_FOR_TESTS; echo $POSTGRES_FOR_TESTS_BIN; echo $POSTGRES_FOR_TESTS_DATA; cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (Some(url), Some(programs), Some(data)) = (lines.next(), lines.next(), lines.next()) else {
            let _ = child.wait();
            super::skipped("nodes that share a database: PostgreSQL's server (Debian: postgresql) is not installed");
            return None;
        };
        Some(Self { child, url, programs: programs.into(), data: data.into() })
    }

    /// Ends every connection, as a crash does, and starts again.
    pub fn restart(&self) {
        let control = self.programs.join("pg_ctl");
        let as_root = rustix::process::geteuid().is_root();
        let mut command = if as_root { Command::new("runuser") } else { Command::new(&control) };
        if as_root {
            command.args(["-u", "postgres", "--"]).arg(&control);
        }
        let log = self.data.with_file_name("log");
        command
            .arg("-D")
            .arg(&self.data)
            .arg("-l")
            .arg(log)
            .args(["-m", "immediate", "-w", "restart"])
            .current_dir("/");
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends the script, and with it the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
