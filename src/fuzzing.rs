//! Entry points of the fuzz targets, compiled for them alone. Each accepts any bytes and must return.

use std::fs;
use std::path::Path;

use crate::embed::ModelManifest;
use crate::index::{Generation, IndexOptions, Origin};
use crate::photo::{Format, Limits, Photo, Sha256};
use crate::reindex::fuzz_manifest;

/// Low limits, so that a run is quick.
fn limits() -> Limits {
    Limits { max_pixels: 250_000, max_memory: 16 << 20, max_bytes: 1 << 20, ..Limits::default() }
}

/// Decodes a photo of any format but AVIF, HEIC and JPEG XL, which have targets of their own, so that faults in one of
/// their decoders hide none in the others.
pub fn photo(bytes: &[u8]) {
    if !matches!(Format::sniff(bytes), Ok(Format::Avif | Format::Heic | Format::JpegXl)) {
        let _ = Photo::decode(bytes, &limits());
    }
}

/// Decodes a photo of one format.
pub fn photo_of(format: Format, bytes: &[u8]) {
    if Format::sniff(bytes) == Ok(format) {
        let _ = Photo::decode(bytes, &limits());
    }
}

/// Decodes a JPEG for a comparison with another decoder. Returns width, height and the colours as stored, or `None` if
/// it does not decode without a warning.
pub fn clean_jpeg(bytes: &[u8]) -> Option<(u32, u32, Vec<u8>)> {
    let (rgb, damaged) = crate::photo::stored_jpeg(bytes, &limits())?;
    (!damaged).then(|| (rgb.width(), rgb.height(), rgb.into_raw()))
}

/// Parses a multipart body.
pub fn multipart(bytes: &[u8]) {
    crate::http::fuzz_form(bytes);
}

/// Lists a brand's manifest: the first byte chooses CSV, JSON Lines or Parquet.
pub fn manifest(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    // Panics of the crate `parquet` are caught; the fuzzer's own hook would end the process first.
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let name = ["rows.csv", "rows.jsonl", "rows.parquet"][usize::from(kind % 3)];
    with_folder(|folder| {
        if fs::write(folder.join(name), bytes).is_ok() {
            fuzz_manifest(&folder.join(name).display().to_string());
        }
    });
}

/// Opens the files of a generation, with matching SHA-256 values: `<length of the keys, 2 bytes><keys><vectors>`; if
/// the length is 65535, the rest is its header.
pub fn index_files(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let length = u16::from_le_bytes(*length);
    let origin = Origin { model: "m@000000000000".to_owned(), dimension: 4, gallery: "gal_1".to_owned() };
    with_folder(|folder| {
        let place = folder.join("m-00000001");
        let (keys, vectors) = rest.split_at(rest.len().min(usize::from(length)));
        let file = |name: &str, bytes: &[u8]| {
            let sum = Sha256::of(bytes);
            format!("\"{name}\":{{\"bytes\":{},\"sha256\":\"{sum}\"}}", bytes.len())
        };
        let header = format!(
            "{{\"format\":1,\"number\":1,\"revision\":1,\"run\":null,\"origin\":{},\"vectors\":{},\"keys\":{},\"files\":{{{},{}}}}}",
            serde_json::to_string(&origin).unwrap_or_default(),
            vectors.len() / 16,
            (keys.len() / 8).saturating_sub(vectors.len() / 16),
            file("vectors.f32", vectors),
            file("keys.u64", keys),
        );
        let header = if length == u16::MAX { rest } else { header.as_bytes() };
        let written = fs::create_dir(&place)
            .and_then(|()| fs::write(place.join("header.json"), header))
            .and_then(|()| fs::write(place.join("vectors.f32"), vectors))
            .and_then(|()| fs::write(place.join("keys.u64"), keys));
        if written.is_ok() {
            let _ = Generation::open_named(folder, "m-00000001", &origin, &IndexOptions::default());
        }
    });
}

/// Loads a model's manifest.
pub fn model_manifest(bytes: &[u8]) {
    with_folder(|folder| {
        if fs::write(folder.join("m.toml"), bytes).is_ok() {
            let _ = ModelManifest::load(folder, "m");
        }
    });
}

/// Calls `work` with a temporary folder, in memory if possible.
fn with_folder(work: impl FnOnce(&Path)) {
    let root = Path::new("/dev/shm");
    let folder = if root.is_dir() { tempfile::tempdir_in(root) } else { tempfile::tempdir() };
    if let Ok(folder) = folder {
        work(folder.path());
    }
}
