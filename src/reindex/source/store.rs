use std::collections::HashMap;
use std::io::Read;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use url::Url;

use super::{Location, Refusal, is_hidden, web};
use crate::fetch::{FetchOptions, with_causes};
use crate::reindex::ReindexError;

/// An object in a store, or a file on disk.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The store that has the object.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The object's path in the store.
    pub(super) path: Path,
    /// The version from the store's listing: the same for as long as the content is.
    version: Option<String>,
    /// Whether it is a file at an `http(s)://` URL.
    web: bool,
}

impl Spot {
    /// The file's path, if it is on this machine's disk.
    pub(super) fn disk(&self) -> Option<PathBuf> {
        is_local(&self.store).then(|| on_disk(&self.path))
    }

    /// For a local file, the path that its links lead to; otherwise the object's own path.
    pub(super) fn resolved(&self) -> Path {
        let local = is_local(&self.store).then(|| std::fs::canonicalize(on_disk(&self.path)).ok()).flatten();
        local.and_then(|path| Path::from_absolute_path(path).ok()).unwrap_or_else(|| self.path.clone())
    }
}

/// A whole object: on disk, or in memory.
pub(super) enum Whole {
    File(std::fs::File),
    Bytes(Bytes),
}

/// The answer to a request for an object's bytes.
pub(in crate::reindex) enum Fetched {
    /// The store sends them; `version` is the same for as long as they are.
    Here {
        /// See [`Spot`].
        version: Option<String>,
        /// The rest of the answer.
        answer: Box<GetResult>,
    },
    /// The store does not send them, or they are too large.
    Refused(Refusal),
}

/// Opens paths and URLs, each store once. `AWS_*`, `GOOGLE_*` and `AZURE_*` variables configure the stores.
pub struct Stores {
    runtime: Runtime,
    fetch: FetchOptions,
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Opens no store yet. `fetch`: whether and how files at URLs are read.
    ///
    /// # Errors
    /// When the system cannot start threads.
    pub fn new(fetch: &FetchOptions) -> Result<Self, ReindexError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| ReindexError::source("object store", &error))?;
        Ok(Self { runtime, fetch: fetch.clone(), open: Mutex::default() })
    }

    /// Parses a path or URL.
    ///
    /// # Errors
    /// When it is neither, or has an unknown scheme.
    pub(super) fn spot(&self, text: &str) -> Result<Spot, ReindexError> {
        let failed = |error: &dyn std::fmt::Display| ReindexError::source(text, error);
        if text.starts_with("file://") {
            let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
            let path = path.as_deref().and_then(FilePath::to_str).map(str::to_owned);
            return self.spot(&path.ok_or_else(|| failed(&"expected file:///ABSOLUTE/PATH"))?);
        }
        if !text.contains("://") {
            // Only a path with `..` is resolved on disk: stores do not know `..`.
            let climbs = FilePath::new(text).components().any(|part| part == Component::ParentDir);
            let absolute = if climbs { std::fs::canonicalize(text) } else { std::path::absolute(text) };
            let absolute = absolute.map_err(|error| failed(&error))?;
            let path = Path::from_absolute_path(absolute).map_err(|error| failed(&error))?;
            return Ok(Spot {
                store: self.store("file:", || Ok(Arc::new(LocalFileSystem::new())))?,
                path,
                version: None,
                web: false,
            });
        }
        let url = Url::parse(text).map_err(|error| failed(&error))?;
        if url.query().is_some() {
            return Err(failed(&"URLs with a query, such as presigned ones, are not read; name the object itself"));
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?.to_ascii_lowercase(), value.into_string().ok()?))
        });
        let (_, path) = object_store::ObjectStoreScheme::parse(&url).map_err(|error| failed(&error))?;
        // The first parts of the path may name the store, too.
        let whole = readable(url.path());
        let bucket = whole.trim_end_matches('/').strip_suffix(&readable(path.as_ref())).unwrap_or(&whole);
        let name = format!("{}://{}/{}", url.scheme(), url.authority(), bucket.trim_matches('/'));
        let store = self.store(&name, || {
            if matches!(url.scheme(), "http" | "https") {
                return web::store(&url, &self.fetch).map_err(|refusal| failed(&refusal));
            }
            object_store::parse_url_opts(&url, variables)
                .map(|(store, _)| Arc::from(store))
                .map_err(|error| failed(&error))
        })?;
        Ok(Spot { store, path, version: None, web: matches!(url.scheme(), "http" | "https") })
    }

    fn store(
        &self,
        name: &str,
        open: impl FnOnce() -> Result<Arc<dyn ObjectStore>, ReindexError>,
    ) -> Result<Arc<dyn ObjectStore>, ReindexError> {
        let mut stores = self.open.lock();
        if let Some(store) = stores.get(name) {
            return Ok(Arc::clone(store));
        }
        let store = open()?;
        stores.insert(name.to_owned(), Arc::clone(&store));
        Ok(store)
    }

    /// Lists every object at or below a spot, with its path below the spot; skips hidden ones.
    pub(super) fn list(&self, spot: &Spot, tell: &mut dyn FnMut(String, Location) -> bool) -> Result<(), ReindexError> {
        let failed = |error: object_store::Error| ReindexError::source(spot.path.as_ref(), &with_causes(&error));
        if is_local(&spot.store) {
            return self.walk(&on_disk(&spot.path), tell);
        }
        let unanswered = match self.runtime.block_on(spot.store.head(&spot.path)) {
            Ok(_) => {
                tell(String::new(), Location::Spot(spot.clone()));
                return Ok(());
            }
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => Some(Location::Unreadable(unreadable(&error))),
        };
        // Over plain HTTP there are only single files.
        if let Some(refused) = unanswered.clone().filter(|_| spot.web) {
            tell(String::new(), refused);
            return Ok(());
        }
        let mut some = false;
        let mut objects = spot.store.list(Some(&spot.path));
        while let Some(object) = self.runtime.block_on(objects.next()) {
            let meta = object.map_err(failed)?;
            let (version, location) = (version(&meta), meta.location);
            let below: Vec<String> = match location.prefix_match(&spot.path) {
                Some(parts) => parts.map(|part| part.as_ref().to_owned()).collect(),
                None => continue,
            };
            let below = below.join("/");
            some = true;
            let found = Spot { store: Arc::clone(&spot.store), path: location, version, web: spot.web };
            if !below.is_empty() && !is_hidden(&below) && !tell(below, Location::Spot(found)) {
                return Ok(());
            }
        }
        // Stores have no folders: a misspelt one is an empty one. An object for which the store gave no answer may
        // exist.
        match unanswered.filter(|_| !some) {
            _ if some => Ok(()),
            Some(refused) => {
                tell(String::new(), refused);
                Ok(())
            }
            None => Err(ReindexError::source(
                spot.path.as_ref(),
                &"no object has this name or lies below it; check the spelling",
            )),
        }
    }

    /// The same on disk, where a name may be unknown to every store and a folder unreadable: such an entry is refused,
    /// and the others are listed.
    fn walk(&self, root: &FilePath, tell: &mut dyn FnMut(String, Location) -> bool) -> Result<(), ReindexError> {
        let shown = root.display().to_string();
        let missing = |error: &dyn std::fmt::Display| ReindexError::source(&shown, error);
        if !std::fs::metadata(root).map_err(|error| missing(&error))?.is_dir() {
            tell(String::new(), Location::Spot(self.spot(&shown)?));
            return Ok(());
        }
        for entry in walkdir::WalkDir::new(root).follow_links(true).sort_by_file_name() {
            let (path, place) = match entry {
                Ok(entry) if entry.file_type().is_dir() => continue,
                Ok(entry) => (entry.path().to_owned(), self.on_disk_place(entry.path())),
                Err(error) if error.depth() == 0 => return Err(missing(&error)),
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    let detail = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    (path, Location::Unreadable(Refusal { code: "file-unreadable", detail }))
                }
            };
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if !is_hidden(&below) && !tell(below, place) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn on_disk_place(&self, path: &FilePath) -> Location {
        let named = path.to_str().filter(|name| !name.chars().any(char::is_control));
        match named.map(|name| self.spot(name)) {
            Some(Ok(spot)) => Location::Spot(spot),
            _ => Location::Unreadable(Refusal {
                code: "name-unusable",
                detail: "its name is not UTF-8, or contains control characters; rename it".to_owned(),
            }),
        }
    }

    /// The store's version of an object's content, if the store answers.
    pub(in crate::reindex) fn version(&self, spot: &Spot) -> Option<String> {
        let asked = || self.runtime.block_on(spot.store.head(&spot.path)).ok().and_then(|meta| version(&meta));
        spot.version.clone().or_else(asked)
    }

    /// Requests an object, without reading its bytes yet.
    pub(in crate::reindex) fn fetch(&self, spot: &Spot, max_bytes: usize) -> Fetched {
        if let Err(detail) = plain_file(spot) {
            return Fetched::Refused(Refusal { code: "not-a-file", detail });
        }
        match self.runtime.block_on(spot.store.get(&spot.path)) {
            Ok(answer) if answer.meta.size > max_bytes as u64 => {
                let error = crate::photo::PhotoError::TooManyBytes {
                    got: usize::try_from(answer.meta.size).unwrap_or(usize::MAX),
                    max: max_bytes,
                };
                Fetched::Refused(Refusal { code: error.code(), detail: error.to_string() })
            }
            Ok(answer) => Fetched::Here { version: version(&answer.meta), answer: Box::new(answer) },
            Err(error) => Fetched::Refused(unreadable(&error)),
        }
    }

    /// Reads an answer; never more than the limit and one piece, whatever size the store reported.
    pub(in crate::reindex) fn read(&self, answer: GetResult, max_bytes: usize) -> Result<Bytes, Refusal> {
        let read = async {
            let mut pieces = answer.into_stream();
            let mut bytes = BytesMut::new();
            while let Some(piece) = pieces.next().await {
                bytes.extend_from_slice(&piece.map_err(|error| unreadable(&error))?);
                if bytes.len() > max_bytes {
                    let error = crate::photo::PhotoError::TooManyBytes { got: bytes.len(), max: max_bytes };
                    return Err(Refusal { code: error.code(), detail: error.to_string() });
                }
            }
            Ok(bytes.freeze())
        };
        self.runtime.block_on(read)
    }

    /// All bytes of a place.
    pub(crate) fn bytes(&self, place: &Location, max_bytes: usize) -> Result<Bytes, Refusal> {
        match place {
            Location::Bytes(bytes) => Ok(bytes.clone()),
            Location::Unreadable(refusal) => Err(refusal.clone()),
            Location::Spot(spot) => match self.fetch(spot, max_bytes) {
                Fetched::Here { answer, .. } => self.read(*answer, max_bytes),
                Fetched::Refused(refusal) => Err(refusal),
            },
        }
    }

    /// The first bytes of an object, at most `most`; none if the store cannot send only a part.
    pub(super) fn first_bytes(&self, spot: &Spot, most: u64) -> Vec<u8> {
        if plain_file(spot).is_err() {
            return Vec::new();
        }
        let mut first = Vec::new();
        match spot.disk() {
            Some(path) => {
                let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut first));
                read.map(|_| first).unwrap_or_default()
            }
            None => {
                self.runtime.block_on(spot.store.get_range(&spot.path, 0..most)).map_or(first, |part| part.to_vec())
            }
        }
    }

    /// A reader over an object, to read it from front to back.
    pub(super) fn reader(&self, spot: &Spot, name: &str) -> Result<Box<dyn Read + Send>, ReindexError> {
        let failed = |error: object_store::Error| ReindexError::source(name, &with_causes(&error));
        plain_file(spot).map_err(|detail| ReindexError::source(name, &detail))?;
        let answer = self.runtime.block_on(spot.store.get(&spot.path)).map_err(failed)?;
        Ok(match answer.payload {
            GetResultPayload::File(file, _) => Box::new(std::io::BufReader::with_capacity(1 << 20, file)),
            GetResultPayload::Stream(stream) => {
                Box::new(Pieces { handle: self.runtime.handle().clone(), stream, piece: Bytes::new() })
            }
        })
    }

    /// A whole object, to read it in any order.
    pub(super) fn whole(&self, spot: &Spot, name: &str) -> Result<Whole, ReindexError> {
        plain_file(spot).map_err(|detail| ReindexError::source(name, &detail))?;
        let read = async {
            let answer = spot.store.get(&spot.path).await?;
            match answer.payload {
                GetResultPayload::File(file, _) => Ok(Whole::File(file)),
                GetResultPayload::Stream(_) => answer.bytes().await.map(Whole::Bytes),
            }
        };
        self.runtime
            .block_on(read)
            .map_err(|error: object_store::Error| ReindexError::source(name, &with_causes(&error)))
    }
}

/// Opening a pipe or a device may block for ever.
fn plain_file(spot: &Spot) -> Result<(), String> {
    let other = is_local(&spot.store)
        && std::fs::metadata(on_disk(&spot.path)).is_ok_and(|found| !found.is_file() && !found.is_dir());
    if other { Err("it is a pipe, a socket or a device, expected a plain file".to_owned()) } else { Ok(()) }
}

fn is_local(store: &Arc<dyn ObjectStore>) -> bool {
    store.to_string().starts_with("LocalFileSystem")
}

fn on_disk(path: &Path) -> PathBuf {
    let decoded: Vec<String> = path.parts().map(|part| readable(part.as_ref())).collect();
    FilePath::new("/").join(decoded.join("/"))
}

/// `None` when the store reports only a size.
fn version(meta: &ObjectMeta) -> Option<String> {
    let tag = meta.e_tag.as_ref().or(meta.version.as_ref());
    let changed = meta.last_modified.timestamp_micros();
    (tag.is_some() || changed != 0).then(|| format!("{} {changed} {}", meta.size, tag.map_or("", String::as_str)))
}

fn unreadable(error: &object_store::Error) -> Refusal {
    Refusal { code: "file-unreadable", detail: with_causes(error) }
}

/// A store's name of a path part, unescaped, as people write it.
fn readable(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// A stream as a reader.
struct Pieces {
    handle: Handle,
    stream: futures_util::stream::BoxStream<'static, object_store::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(std::io::Error::other)?,
            }
        }
        let length = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}
