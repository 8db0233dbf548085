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

/// Why a model cannot run, or did not.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The shared library is not there or not loadable.
    #[error(
        "ONNX Runtime cannot be loaded from {path}: {reason}; run touchstone model fetch, or set `runtime` to libonnxruntime"
    )]
    Runtime {
        /// Path that was tried.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// The weights are not there.
    #[error("the model file {path} cannot be read: {source}; run touchstone model fetch {name}")]
    MissingFile {
        /// Path that was tried.
        path: PathBuf,
        /// The model's name.
        name: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The weights are not those that the manifest names.
    #[error(
        "the model file {path} has sha256 {got}, expected {expected} from its manifest; run touchstone model fetch {name}"
    )]
    WrongSum {
        /// The file.
        path: PathBuf,
        /// The model's name.
        name: String,
        /// Sum found.
        got: String,
        /// Sum in the manifest.
        expected: String,
    },
    /// The graph is not as the manifest says.
    #[error("model {name}: {what} is {got}, expected {expected} from its manifest")]
    Mismatch {
        /// The model's name.
        name: String,
        /// What differs.
        what: &'static str,
        /// What the graph has.
        got: String,
        /// What the manifest says.
        expected: String,
    },
    /// ONNX Runtime refused or failed.
    #[error("ONNX Runtime failed: {0}")]
    Run(#[from] ort::Error),
    /// No thread for a session.
    #[error("an embedding thread cannot start: {0}")]
    Thread(std::io::Error),
    /// The network gave no usable vector.
    #[error("the model's output is no embedding: {0}")]
    Output(#[from] EmbeddingError),
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Locked for reading while a thread is inside ONNX Runtime. A thread must never lock it twice: [`quiet`] may wait in between.
static INSIDE: RwLock<()> = RwLock::new(());

/// Waits until no thread is inside ONNX Runtime and lets none enter again. Call it before the process ends: the exit destroys
/// the runtime's statics even while threads still use them.
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

/// The variable that keeps ONNX Runtime's own builds from noting each start, with the program's path and the machine's kind and
/// id, and sending that to their maker. They look at it when they are loaded, before anybody can say no another way.
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
/// [`ModelError::Runtime`] when the library is missing, of another kind or too old, and without [`NO_TELEMETRY`] in the
/// environment.
pub fn load_runtime(path: &Path) -> Result<(), ModelError> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock();
    if ENVIRONMENT.get().is_some() {
        return Ok(());
    }
    let failed = |reason: String| ModelError::Runtime { path: path.to_owned(), reason };
    if !telemetry_is_off() {
        let (name, value) = NO_TELEMETRY;
        return Err(failed(format!("it would send what it notes to its maker; set {name}={value} to load it")));
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

/// Detects a truncated shared library. The loader would map it anyway, and the process would die of SIGBUS.
fn cut_off(path: &Path) -> Option<String> {
    let mut head = [0; 64];
    let mut file = std::fs::File::open(path).ok()?;
    file.read_exact(&mut head).ok()?;
    // ELF, 64 bits, little-endian: the section headers are its end.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number =
        |at: usize, bytes: usize| head[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let end = number(40, 8).saturating_add(number(58, 2) * number(60, 2));
    let got = file.metadata().ok()?.len();
    (got < end).then(|| format!("the file is cut off: it has {got} bytes, expected {end}"))
}

/// One session on one model. `Session::run` is exclusive, so each worker thread has its own.
pub(super) struct OnnxModel {
    session: Session,
    manifest: ModelManifest,
}

impl OnnxModel {
    /// Opens the model from its proven weights; proves names, type and dimension.
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
            // A pattern is kept for each shape of input ever seen, and photos have many.
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
    /// When the runtime fails or a vector is not finite.
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

    /// Runs once on a drawn picture: the surest way to learn what comes out.
    fn check_dimension(&mut self) -> Result<(), ModelError> {
        let probe = probe_photo();
        let tensor = preprocess(&probe, &self.manifest.input);
        self.embed(&[tensor]).map(drop)
    }
}

/// Reads the weights and proves their sum.
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

/// Stacks tensors of one shape and type; the worker only brings such together.
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

/// A small picture with edges, so that no network answers zero.
fn probe_photo() -> Photo {
    const BMP_HEADER: &[u8; 54] = b"BM\xf6\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut bytes = BMP_HEADER.to_vec();
    bytes.extend((0..64u8).flat_map(|i| [i * 3, 255 - i * 4, i.wrapping_mul(41)]));
    Photo::decode(&bytes, &Limits::default()).unwrap_or_else(|error| unreachable!("the probe is a valid BMP: {error}"))
}
