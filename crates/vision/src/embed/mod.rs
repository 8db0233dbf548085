//! A [`Photo`](crate::photo::Photo) becomes an [`Embedding`]: preprocess (pure), ONNX Runtime on its
//! own threads. Knows no brand.

mod embedding;
mod manifest;
mod onnx;
mod preprocess;
mod worker;

pub use embedding::{Embedding, EmbeddingError, cosine};
pub use manifest::{ManifestError, ModelManifest, ScoreThresholds, Size};
use onnx::OnnxModel;
pub use onnx::{ModelError, NO_TELEMETRY, load_runtime, quiet, telemetry_is_off};
pub use preprocess::{Tensor, preprocess, preprocess_view};
pub use worker::{BATCH_SECONDS, EMBEDDED_PHOTOS, EmbedError, EmbedOptions, Embedder, Pending};
