//! A generation on disk. docs/FORMATS.md has every field.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::generations::{self, Folder, Place};
use super::hnsw::GRAPH_FILES;
use super::{HnswIndex, IndexOptions, Nodes};
use crate::embed::{Embedding, EmbeddingError};
use crate::photo::Sha256;

/// Version of the files' layout.
const FORMAT: u32 = 1;
pub(super) const HEADER: &str = "header.json";
const VECTORS: &str = "vectors.f32";
const KEYS: &str = "keys.u64";

/// The sources of a generation. A snapshot with other sources is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name and checksum of the model.
    pub model: String,
    /// Dimension of the embeddings.
    pub dimension: usize,
    /// Identity of the gallery's database.
    pub gallery: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    pub(super) number: u64,
    pub(super) revision: u64,
    /// Id of the run whose staged references it also has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
    pub(super) origin: Origin,
    pub(super) vectors: usize,
    pub(super) keys: usize,
    pub(super) files: BTreeMap<String, FileSum>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSum {
    pub(super) bytes: u64,
    sha256: String,
}

/// Why a snapshot cannot be served.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// No generation was published yet.
    #[error("no index was published in {0} yet")]
    None(PathBuf),
    /// The file is for another model or gallery, or is damaged.
    #[error("{file}: {what} is {got}, expected {expected}")]
    Mismatch {
        /// Path of the file.
        file: PathBuf,
        /// The property that differs.
        what: &'static str,
        /// Value in the file.
        got: String,
        /// Value expected.
        expected: String,
    },
    /// The file system returned an error.
    #[error("{file}: {source}")]
    Io {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Stored numbers are not an embedding.
    #[error("{file}: {source}")]
    Vector {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong with the numbers.
        source: EmbeddingError,
    },
    /// The graph library returned an error.
    #[error("{file}: the graph cannot be used: {reason}")]
    Graph {
        /// Path of the folder.
        file: PathBuf,
        /// The library's message.
        reason: String,
    },
}

/// One built, verified, immutable set of embeddings.
pub struct Generation {
    number: u64,
    revision: u64,
    run: Option<String>,
    nodes: Nodes,
    graph: Option<HnswIndex>,
}

impl Generation {
    /// Builds a generation from `nodes` as of the gallery's `revision`. Large sets get a graph, which serves only if it
    /// passes verification; otherwise the exact scan serves.
    #[must_use]
    pub fn build(nodes: Nodes, revision: u64, options: &IndexOptions) -> Self {
        let vectors = nodes.vectors();
        let graph = (vectors.len() >= options.exact_below.max(2)).then(|| HnswIndex::build(vectors, options));
        let graph = graph.filter(|graph| {
            let proof = graph.prove(vectors);
            match proof {
                Some(recall) => tracing::info!(recall, vectors = vectors.len(), "the graph was built and verified"),
                None => tracing::warn!(
                    vectors = vectors.len(),
                    "the graph failed verification; searches use the exact scan"
                ),
            }
            proof.is_some()
        });
        Self { number: 0, revision, run: None, nodes, graph }
    }

    /// Records that the generation also has the staged references of `run`.
    #[must_use]
    pub fn of_run(self, run: &str) -> Self {
        Self { run: Some(run.to_owned()), ..self }
    }

    /// Removes the graph, so that the exact scan serves.
    #[must_use]
    pub fn without_graph(self) -> Self {
        Self { graph: None, ..self }
    }

    /// Number of the generation; 0 before it is published.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Revision of the gallery that it was built from.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The embeddings and their keys.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The graph; `None` if the set is small or the graph failed verification.
    #[must_use]
    pub fn graph(&self) -> Option<&HnswIndex> {
        self.graph.as_ref()
    }

    /// Writes the generation beside the others, syncs, renames into place, calls `commit`, then points `CURRENT` to it.
    /// After a crash at any point, the old or the new generation is there, complete.
    ///
    /// # Errors
    /// When the file system or `commit` returns an error; the published generation stays.
    pub fn publish<E: From<SnapshotError>>(
        mut self,
        root: &Path,
        origin: &Origin,
        keep: usize,
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let folder = Folder::lock(root)?;
        let staging = folder.staging()?;
        let files = self.write_files(staging.path())?;
        // Opened before anything is committed; it stays the same file when its folder is renamed.
        let path = staging.path().join(VECTORS);
        let vectors = Arc::new(File::open(&path).map_err(at(&path))?);
        self.number = folder.next_number()?;
        let header = Header {
            format: FORMAT,
            number: self.number,
            revision: self.revision,
            run: self.run.clone(),
            origin: origin.clone(),
            vectors: self.nodes.vectors().len(),
            keys: self.nodes.len(),
            files,
        };
        let header = serde_json::to_vec_pretty(&header)
            .map_err(|error| SnapshotError::Io { file: staging.path().join(HEADER), source: error.into() })?;
        write_synced(&staging.path().join(HEADER), &header)?;
        sync_folder(staging.path())?;
        let model = origin.model.split('@').next().unwrap_or("model");
        let name = format!("{model}-{:08}", self.number);
        folder.take_in(&staging, &name)?;
        commit()?;
        folder.point_to(&name)?;
        folder.discard_old(&name, keep)?;
        self.nodes.rest_on(&vectors);
        Ok(self)
    }

    /// Opens the generation that `CURRENT` names, after verifying header, origin, sizes and checksums.
    ///
    /// # Errors
    /// When there is none, or a file is damaged or of another origin; the caller rebuilds from the gallery.
    pub fn open(root: &Path, origin: &Origin, options: &IndexOptions) -> Result<Self, SnapshotError> {
        Self::open_at(&generations::current(root)?, origin, options)
    }

    /// As [`Generation::open`], for a generation that `CURRENT` need not name.
    ///
    /// # Errors
    /// When there is no such generation, or a file is damaged or of another origin.
    pub fn open_named(root: &Path, name: &str, origin: &Origin, options: &IndexOptions) -> Result<Self, SnapshotError> {
        Self::open_at(&generations::named(root, name)?, origin, options)
    }

    fn open_at(place: &Place, origin: &Origin, options: &IndexOptions) -> Result<Self, SnapshotError> {
        let Place { folder, header } = place;
        let file = folder.join(HEADER);
        let mismatch = |what, got: &dyn ToString, expected: &dyn ToString| SnapshotError::Mismatch {
            file: file.clone(),
            what,
            got: got.to_string(),
            expected: expected.to_string(),
        };
        if header.format != FORMAT {
            return Err(mismatch("format", &header.format, &FORMAT));
        }
        if header.origin.model != origin.model {
            return Err(mismatch("model", &header.origin.model, &origin.model));
        }
        if header.origin.dimension != origin.dimension {
            return Err(mismatch("dimension", &header.origin.dimension, &origin.dimension));
        }
        if header.origin.gallery != origin.gallery {
            return Err(mismatch("gallery", &header.origin.gallery, &origin.gallery));
        }
        for (name, expected) in &header.files {
            let got = sum_file(&folder.join(name))?;
            if got != *expected {
                return Err(SnapshotError::Mismatch {
                    file: folder.join(name),
                    what: "size and checksum",
                    got: format!("{} bytes, {}", got.bytes, got.sha256),
                    expected: format!("{} bytes, {}", expected.bytes, expected.sha256),
                });
            }
        }
        let nodes = read_nodes(folder, origin.dimension)?;
        if (nodes.vectors().len(), nodes.len()) != (header.vectors, header.keys) {
            let got = format!("{} vectors, {} keys", nodes.vectors().len(), nodes.len());
            let expected = format!("{} vectors, {} keys", header.vectors, header.keys);
            return Err(mismatch("content", &got, &expected));
        }
        let has_graph = header.files.contains_key(GRAPH_FILES[0]);
        let graph = has_graph
            .then(|| HnswIndex::load(folder, nodes.vectors(), options))
            .transpose()
            .map_err(|reason| SnapshotError::Graph { file: folder.clone(), reason })?;
        Ok(Self { number: header.number, revision: header.revision, run: header.run.clone(), nodes, graph })
    }

    fn write_files(&self, folder: &Path) -> Result<BTreeMap<String, FileSum>, SnapshotError> {
        let vectors = self.nodes.vectors();
        let mut floats = io::BufWriter::new(File::create(folder.join(VECTORS)).map_err(at(folder))?);
        let mut keys = io::BufWriter::new(File::create(folder.join(KEYS)).map_err(at(folder))?);
        for row in vectors.rows() {
            for value in vectors.floats(row).iter() {
                floats.write_all(&value.to_le_bytes()).map_err(at(folder))?;
            }
            let shared = self.nodes.keys(row);
            keys.write_all(&(shared.len() as u64).to_le_bytes()).map_err(at(folder))?;
            for key in shared {
                keys.write_all(&key.to_le_bytes()).map_err(at(folder))?;
            }
        }
        floats.flush().map_err(at(folder))?;
        keys.flush().map_err(at(folder))?;
        let mut names = vec![VECTORS, KEYS];
        if let Some(graph) = &self.graph {
            graph.dump(folder).map_err(|reason| SnapshotError::Graph { file: folder.to_owned(), reason })?;
            names.extend(GRAPH_FILES);
        }
        names
            .into_iter()
            .map(|name| {
                let path = folder.join(name);
                File::open(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
                Ok((name.to_owned(), sum_file(&path)?))
            })
            .collect()
    }
}

/// Rows read before their f32 are released to the file again.
const AT_ONCE: usize = 16_384;

fn read_nodes(folder: &Path, dimension: usize) -> Result<Nodes, SnapshotError> {
    let path = folder.join(VECTORS);
    let vectors = Arc::new(File::open(&path).map_err(at(&path))?);
    let mut reader = io::BufReader::with_capacity(1 << 20, &*vectors);
    let keys = fs::read(folder.join(KEYS)).map_err(at(folder))?;
    let mut numbers = keys.as_chunks::<8>().0.iter().map(|&chunk| u64::from_le_bytes(chunk));
    let mut nodes = Nodes::new(dimension);
    let mut bytes = vec![0; dimension * 4];
    while let Some(shared) = numbers.next() {
        reader.read_exact(&mut bytes).map_err(at(&path))?;
        let embedding = Embedding::from_bytes(&bytes, dimension)
            .map_err(|source| SnapshotError::Vector { file: path.clone(), source })?;
        for _ in 0..shared {
            let Some(key) = numbers.next() else { break };
            nodes.insert(key, &embedding);
        }
        if nodes.vectors().len().is_multiple_of(AT_ONCE) {
            nodes.rest_on(&vectors);
        }
    }
    nodes.rest_on(&vectors);
    Ok(nodes)
}

fn sum_file(path: &Path) -> Result<FileSum, SnapshotError> {
    let (sha256, bytes) = File::open(path).and_then(Sha256::of_all).map_err(at(path))?;
    Ok(FileSum { bytes, sha256: sha256.to_string() })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), SnapshotError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> SnapshotError + use<> {
    let file = path.to_owned();
    move |source| SnapshotError::Io { file: file.clone(), source }
}
