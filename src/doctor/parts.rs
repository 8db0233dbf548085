//! Checks of the parts: runtime, model, database, keys, index, secret files, and the running service.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Finding, machine};
use crate::assembly::{open_gallery, serving_model, vault};
use crate::config::Config;
use crate::domain::ScopeName;
use crate::embed::{EmbedOptions, Embedder, ModelManifest, load_runtime};
use crate::gallery::{Gallery, Place};
use crate::index::{generations, serving};
use crate::keys::usable;
use crate::library::folder;
use crate::scoring::Scoring;

/// The longest time to wait for a connection.
const ASK: Duration = Duration::from_secs(1);

/// Keys that expire within this many days are named.
const SOON_DAYS: i64 = 14;

pub(super) fn runtime(config: &Config) -> Finding {
    match load_runtime(&config.runtime) {
        Ok(()) => Finding::good("runtime", format!("{} loads; its telemetry is off", config.runtime.display())),
        Err(error) => Finding::wrong("runtime", error.to_string()),
    }
}

/// The model that the settings or the gallery name, opened if that works.
pub(super) fn model(config: &Config) -> (Finding, Option<Embedder>) {
    let promoted = database(config).and_then(|()| open_gallery(config).ok());
    let name = promoted.and_then(|gallery| serving_model(config, &gallery).ok());
    let name = name.or_else(|| config.model_named.clone()).unwrap_or_else(|| config.model.clone());
    let opened = || -> Result<(String, Embedder), String> {
        let manifest = ModelManifest::load(&config.models, &name).map_err(|error| error.to_string())?;
        Scoring::load(&config.models, &manifest).map_err(|error| error.to_string())?;
        load_runtime(&config.runtime).map_err(|_| format!("{name}: waits for the runtime"))?;
        let (id, dimension) = (manifest.id(), manifest.output.dimension);
        let options = EmbedOptions { workers: 1, ..config.embed.clone() };
        let embedder = Embedder::start(&config.models, manifest, &options).map_err(|error| error.to_string())?;
        Ok((format!("{id}, {dimension} dimensions, with its scoring artefact"), embedder))
    };
    match opened() {
        Ok((detail, embedder)) => (Finding::good("model", detail), Some(embedder)),
        Err(detail) => (Finding::wrong("model", detail), None),
    }
}

pub(super) struct Opened {
    pub(super) finding: Finding,
    pub(super) opened: Option<Gallery>,
}

/// Whether a database exists: opening it would create one.
fn database(config: &Config) -> Option<()> {
    let place = match &config.storage.database {
        Some(url) => Place::postgres(url),
        None => Place::file(&config.data.join("touchstone.db")),
    };
    // One that cannot be reached is found when it is opened.
    place.has_gallery().unwrap_or(true).then_some(())
}

pub(super) fn gallery(config: &Config) -> Opened {
    if database(config).is_none() {
        let at =
            config.storage.database.as_ref().map_or_else(|| config.data.display().to_string(), ToString::to_string);
        let detail = format!("none in {at} yet; the first start or reindex creates it");
        return Opened { finding: Finding::doubtful("database", detail), opened: None };
    }
    let size = fs::metadata(config.data.join("touchstone.db")).map_or(0, |found| found.len());
    let opened = match open_gallery(config) {
        Ok(gallery) => gallery,
        Err(error) => return Opened { finding: Finding::wrong("database", error.to_string()), opened: None },
    };
    let finding = match opened.look_for_damage() {
        Ok(None) => match &config.storage.database {
            Some(url) => Finding::good("database", url.to_string()),
            None => Finding::good("database", format!("{}, whole", machine::bytes(size))),
        },
        Ok(Some(damage)) => Finding::wrong("database", format!("damaged ({damage}); restore a backup")),
        Err(error) => Finding::wrong("database", error.to_string()),
    };
    Opened { finding, opened: Some(opened) }
}

pub(super) fn keys(gallery: &Gallery) -> Finding {
    let keys = match gallery.keys() {
        Ok(keys) => keys,
        Err(error) => return Finding::wrong("keys", error.to_string()),
    };
    let now = Timestamp::now();
    let soon = now + SignedDuration::from_hours(SOON_DAYS * 24);
    let usable: Vec<_> = keys.iter().filter(|key| usable(key, now).is_ok()).collect();
    if usable.is_empty() {
        return Finding::doubtful("keys", "no key is usable; create one with touchstone key add");
    }
    let of = |name: ScopeName| usable.iter().filter(|key| key.scope.name() == name).count();
    let counts: Vec<String> = ScopeName::ALL
        .into_iter()
        .filter(|name| of(*name) > 0)
        .map(|name| format!("{} {}", of(name), name.as_str()))
        .collect();
    let ending: Vec<&str> =
        usable.iter().filter(|key| key.expires_at.is_some_and(|at| at < soon)).map(|key| key.id.as_str()).collect();
    if !ending.is_empty() {
        let detail = format!("{}; within {SOON_DAYS} days these expire: {}", counts.join(", "), ending.join(", "));
        return Finding::doubtful("keys", detail);
    }
    Finding::good("keys", counts.join(", "))
}

pub(super) fn index(config: &Config, gallery: &Gallery) -> Finding {
    let look = || -> Result<Finding, String> {
        let name = serving_model(config, gallery).map_err(|error| error.to_string())?;
        let manifest = ModelManifest::load(&config.models, &name).map_err(|error| error.to_string())?;
        let root = folder(&config.index_dir, &manifest);
        let lacking = gallery.count_without_vector(&manifest.id()).map_err(|error| error.to_string())?;
        let all = generations(&root).map_err(|error| error.to_string())?;
        if all.is_empty() {
            return Ok(Finding::good("index", "no generation yet; the next start builds it from the database"));
        }
        let current = serving(&root)
            .map_err(|error| format!("{error}; delete {}, and the next start rebuilds it", root.display()))?;
        let serves = all.iter().find(|generation| generation.name == current);
        let detail = serves.map_or_else(
            || format!("{current} serves"),
            |one| format!("{current} serves {} references, {}", one.references, machine::bytes(one.bytes)),
        );
        if lacking > 0 {
            return Ok(Finding::doubtful("index", format!("{detail}; {lacking} references are not embedded yet")));
        }
        Ok(Finding::good("index", format!("{detail}; touchstone index verify tests it")))
    };
    look().unwrap_or_else(|detail| Finding::wrong("index", detail))
}

/// Files that other users must not read.
pub(super) fn secrets(config: &Config) -> Finding {
    if let Err(error) = vault(config) {
        return Finding::wrong("secrets", error.to_string());
    }
    let files = [&config.photo_keys, &config.server.tls_key];
    for path in files.into_iter().flatten() {
        match fs::metadata(path) {
            Err(error) => return Finding::wrong("secrets", format!("{}: {error}", path.display())),
            Ok(found) if found.permissions().mode() & 0o007 != 0 => {
                let shown = path.display();
                return Finding::doubtful("secrets", format!("every user can read {shown}; run chmod o= {shown}"));
            }
            Ok(_) => {}
        }
    }
    let photos =
        if config.photo_keys.is_some() { "photos are encrypted" } else { "photos are not encrypted (photo_keys)" };
    Finding::good("secrets", format!("{photos}, {}", way_in(config)))
}

fn way_in(config: &Config) -> &'static str {
    if config.server.tls_certificate.is_some() {
        "the service speaks TLS"
    } else if config.server.allow_plain_http {
        "a proxy must speak TLS (allow_plain_http)"
    } else {
        "without TLS the service listens on loopback only"
    }
}

/// Whether anything listens on the service's address.
pub(super) fn runs(config: &Config) -> bool {
    let address = config.server.listen.to_socket_addrs().ok().and_then(|mut all| all.next());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, ASK).is_ok())
}

/// Whether the service answers on its address.
pub(super) fn service(config: &Config) -> Finding {
    let listen = &config.server.listen;
    let address = listen.to_socket_addrs().ok().and_then(|mut all| all.next());
    let Some(address) = address else {
        return Finding::wrong("service", format!("server.listen is {listen:?}, expected ADDRESS:PORT"));
    };
    let Ok(mut stream) = TcpStream::connect_timeout(&address, ASK) else {
        return Finding::good("service", format!("not running on {listen}"));
    };
    if config.server.tls_certificate.is_some() {
        return Finding::good("service", format!("something listens on {listen}; ask https://{listen}/readyz"));
    }
    let mut answer = [0; 4096];
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| write!(stream, "GET /readyz HTTP/1.1\r\nhost: {listen}\r\nconnection: close\r\n\r\n"))
        .and_then(|()| stream.read(&mut answer));
    let text = String::from_utf8_lossy(&answer[..asked.as_ref().copied().unwrap_or_default()]).into_owned();
    match text.split(' ').nth(1) {
        Some("200") => Finding::good("service", format!("running on {listen} and is ready")),
        Some("503") => {
            Finding::wrong("service", format!("running on {listen}, but is not ready; its log has the cause"))
        }
        _ => Finding::wrong("service", format!("something else listens on {listen}; set server.listen to a free port")),
    }
}
