//! The only user of `ort`.

#![expect(clippy::disallowed_types, reason = "the one user of ort")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::{Axis, stack};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorElementType, TensorRef, ValueType};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use super::manifest::DType;
use super::{Embedding, EmbeddingError, ModelManifest, Tensor, preprocess};
use crate::photo::{Limits, Photo, Sha256};

/// Why a model cannot run, or failed.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The shared library is missing or cannot be loaded.
    #[error(
        "ONNX Runtime cannot be loaded from {path}: {reason}; run touchstone model fetch, or set `runtime` to libonnxruntime"
    )]
    Runtime {
        /// Path of the library.
        path: PathBuf,
        /// The loader's message.
        reason: String,
    },
    /// The file of the weights cannot be read.
    #[error("the model file {path} cannot be read: {source}; run touchstone model fetch {name}")]
    MissingFile {
        /// Path of the file.
        path: PathBuf,
        /// Name of the model.
        name: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file of the weights is not the one that the manifest names.
    #[error(
        "the model file {path} has sha256 {got}, expected {expected} from its manifest; run touchstone model fetch {name}"
    )]
    WrongSum {
        /// Path of the file.
        path: PathBuf,
        /// Name of the model.
        name: String,
        /// SHA-256 of the file.
        got: String,
        /// SHA-256 in the manifest.
        expected: String,
    },
    /// The graph differs from the manifest.
    #[error("model {name}: {what} is {got}, expected {expected} from its manifest")]
    Mismatch {
        /// Name of the model.
        name: String,
        /// The property that differs.
        what: &'static str,
        /// Value in the graph.
        got: String,
        /// Value in the manifest.
        expected: String,
    },
    /// ONNX Runtime returned an error.
    #[error("ONNX Runtime failed: {0}")]
    Run(#[from] ort::Error),
    /// A thread for a session cannot start.
    #[error("an embedding thread cannot start: {0}")]
    Thread(std::io::Error),
    /// The network's output is not finite, or zero.
    #[error("the model's output is not an embedding: {0}")]
    Output(#[from] EmbeddingError),
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Read-locked while a thread is inside ONNX Runtime. A thread must never lock it twice, because [`quiet`] may wait in
/// between.
static INSIDE: RwLock<()> = RwLock::new(());

/// Waits until no thread is inside ONNX Runtime, and lets none enter again. Call it before the process ends: the exit
/// destroys the runtime's statics even while threads still use them.
pub fn quiet() {
    std::mem::forget(INSIDE.write());
}

/// Logs the runtime's own messages. Callers report failures themselves.
fn log(level: LogLevel, category: &str, _id: &str, _place: &str, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(target: "ort", category, "{message}"),
        _ => tracing::debug!(target: "ort", category, "{message}"),
    }
}

/// The variable that stops ONNX Runtime's own builds from recording each start, with the program's path and the
/// machine's kind and id, and sending it to their maker. They read it while they are loaded, before any other way to
/// opt out.
pub const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Whether [`NO_TELEMETRY`] is in the environment.
#[must_use]
pub fn telemetry_is_off() -> bool {
    let (name, value) = NO_TELEMETRY;
    std::env::var_os(name).is_some_and(|is| is == value)
}

/// Loads ONNX Runtime from the shared library at `path`, once for the process.
///
/// # Errors
/// [`ModelError::Runtime`] when the library is missing, of another kind or too old, or when [`NO_TELEMETRY`] is not in
/// the environment.
pub fn load_runtime(path: &Path) -> Result<(), ModelError> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock();
    if ENVIRONMENT.get().is_some() {
        return Ok(());
    }
    let failed = |reason: String| ModelError::Runtime { path: path.to_owned(), reason };
    if !telemetry_is_off() {
        let (name, value) = NO_TELEMETRY;
        return Err(failed(format!("it would send usage data to its maker; set {name}={value} to load it")));
    }
    cut_off(path).map_or(Ok(()), |reason| Err(failed(reason)))?;
    let environment = ort::init_from(path)
        .map_err(|error| failed(error.to_string()))?
        .with_name("touchstone")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    ENVIRONMENT.get_or_init(|| environment);
    Ok(())
}

/// Detects a truncated shared library. The loader would map it anyway, and SIGBUS would kill the process.
fn cut_off(path: &Path) -> Option<String> {
    let mut head = [0; 64];
    let mut file = std::fs::File::open(path).ok()?;
    file.read_exact(&mut head).ok()?;
    // ELF, 64 bits, little-endian: the section headers are at its end.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number =
        |at: usize, bytes: usize| head[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let end = number(40, 8).saturating_add(number(58, 2) * number(60, 2));
    let got = file.metadata().ok()?.len();
    (got < end).then(|| format!("the file is truncated: it has {got} bytes, expected {end}"))
}

/// One session of one model. `Session::run` is exclusive, so each worker thread has its own.
pub(super) struct OnnxModel {
    session: Session,
    manifest: ModelManifest,
}

impl OnnxModel {
    /// Opens the model from weights whose checksum was verified; verifies names, type and dimension.
    pub(super) fn from_weights(weights: &[u8], manifest: &ModelManifest, threads: usize) -> Result<Self, ModelError> {
        let environment = ENVIRONMENT.get().ok_or_else(|| ModelError::Runtime {
            path: PathBuf::new(),
            reason: "it was not loaded before the model".to_owned(),
        })?;
        let inside = INSIDE.read();
        // Spinning threads would take the core that decodes the next photo.
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(ort::Error::from)?
            .with_intra_threads(threads)
            .map_err(ort::Error::from)?
            .with_intra_op_spinning(false)
            .map_err(ort::Error::from)?
            // The runtime would store a pattern for each input shape, and photos have many.
            .with_memory_pattern(false)
            .map_err(ort::Error::from)?
            .commit_from_memory(weights)?;
        drop(inside);
        let mut model = Self { session, manifest: manifest.clone() };
        model.check_graph()?;
        model.check_dimension()?;
        Ok(model)
    }

    /// Embeds tensors of one shape in one run.
    ///
    /// # Errors
    /// When the runtime fails or an output is not finite.
    pub(super) fn embed(&mut self, tensors: &[Tensor]) -> Result<Vec<Embedding>, ModelError> {
        let name = self.manifest.output.name.clone();
        let expected = self.manifest.output.dimension;
        let _inside = INSIDE.read();
        let outputs = match join(tensors) {
            Batch::U8(array) => self
                .session
                .run(ort::inputs![self.manifest.input.name.as_str() => TensorRef::from_array_view(&array)?])?,
            Batch::F32(array) => self
                .session
                .run(ort::inputs![self.manifest.input.name.as_str() => TensorRef::from_array_view(&array)?])?,
        };
        let (shape, values) = outputs[name.as_str()].try_extract_tensor::<f32>()?;
        let got = values.len() / tensors.len().max(1);
        if got != expected || values.len() != expected * tensors.len() {
            return Err(ModelError::Mismatch {
                name: self.manifest.name.clone(),
                what: "output dimension",
                got: format!("{shape:?}"),
                expected: expected.to_string(),
            });
        }
        values.chunks_exact(expected).map(|vector| Ok(Embedding::normalize(vector.to_vec())?)).collect()
    }

    fn check_graph(&self) -> Result<(), ModelError> {
        let expected = &self.manifest.input;
        let mismatch = |what, got, expected: &str| ModelError::Mismatch {
            name: self.manifest.name.clone(),
            what,
            got,
            expected: expected.to_owned(),
        };
        let names =
            |outlets: &[ort::value::Outlet]| outlets.iter().map(|o| o.name().to_owned()).collect::<Vec<_>>().join(", ");
        let Some(input) = self.session.inputs().iter().find(|input| input.name() == expected.name) else {
            return Err(mismatch("input name", names(self.session.inputs()), &expected.name));
        };
        let ty = match expected.dtype {
            DType::U8 => TensorElementType::Uint8,
            DType::F32 => TensorElementType::Float32,
        };
        if !matches!(input.dtype(), ValueType::Tensor { ty: got, .. } if *got == ty) {
            return Err(mismatch("input type", format!("{:?}", input.dtype()), &format!("{ty:?}")));
        }
        if !self.session.outputs().iter().any(|output| output.name() == self.manifest.output.name) {
            return Err(mismatch("output name", names(self.session.outputs()), &self.manifest.output.name));
        }
        Ok(())
    }

    /// Runs once on a generated photo, the surest way to learn the output's dimension.
    fn check_dimension(&mut self) -> Result<(), ModelError> {
        let probe = probe_photo();
        let tensor = preprocess(&probe, &self.manifest.input);
        self.embed(&[tensor]).map(drop)
    }
}

/// Reads the weights and verifies their checksum.
pub(super) fn read_weights(models: &Path, manifest: &ModelManifest) -> Result<Vec<u8>, ModelError> {
    let path = models.join(&manifest.file);
    let weights = std::fs::read(&path).map_err(|source| ModelError::MissingFile {
        path: path.clone(),
        name: manifest.name.clone(),
        source,
    })?;
    let got = Sha256::of(&weights).to_string();
    if got != manifest.sha256 {
        return Err(ModelError::WrongSum { path, name: manifest.name.clone(), got, expected: manifest.sha256.clone() });
    }
    Ok(weights)
}

enum Batch {
    U8(ndarray::Array4<u8>),
    F32(ndarray::Array4<f32>),
}

/// Stacks tensors of one shape and type; the worker batches only such tensors.
fn join(tensors: &[Tensor]) -> Batch {
    let bytes: Vec<_> =
        tensors.iter().filter_map(|t| if let Tensor::U8(a) = t { Some(a.view()) } else { None }).collect();
    if bytes.is_empty() {
        let floats: Vec<_> =
            tensors.iter().filter_map(|t| if let Tensor::F32(a) = t { Some(a.view()) } else { None }).collect();
        Batch::F32(stack(Axis(0), &floats).unwrap_or_default())
    } else {
        Batch::U8(stack(Axis(0), &bytes).unwrap_or_default())
    }
}

/// A small photo with edges, so that no network returns zeros.
fn probe_photo() -> Photo {
    const BMP_HEADER: &[u8; 54] = b"BM\xf6\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut bytes = BMP_HEADER.to_vec();
    bytes.extend((0..64u8).flat_map(|i| [i * 3, 255 - i * 4, i.wrapping_mul(41)]));
    Photo::decode(&bytes, &Limits::default()).unwrap_or_else(|error| unreachable!("the probe is a valid BMP: {error}"))
}
