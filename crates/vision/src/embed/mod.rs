//! Turns a [`Photo`](crate::photo::Photo) into an [`Embedding`]: preprocessing (pure), then ONNX Runtime on its own
//! threads. Independent of brands.

mod embedding;
mod manifest;
mod onnx;
mod preprocess;
mod rounded;
mod worker;

pub use embedding::{Embedding, EmbeddingError, cosine};
pub use manifest::{ManifestError, ModelManifest, ScoreThresholds, Size};
use onnx::OnnxModel;
pub use onnx::{ModelError, NO_TELEMETRY, load_runtime, quiet, telemetry_is_off};
pub use preprocess::{Tensor, preprocess, preprocess_view};
pub use rounded::RoundedEmbedding;
pub(crate) use rounded::{quantise, rough_dot};
pub use worker::{BATCH_SECONDS, EMBEDDED_PHOTOS, EmbedError, EmbedOptions, Embedder, Pending};
