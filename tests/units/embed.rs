use std::sync::Arc;

use proptest::prelude::*;
use touchstone::embed::{EmbedError, EmbedOptions, Embedder, Embedding, ModelManifest, RoundedEmbedding, Size};
use touchstone::photo::{Limits, Photo};

use crate::support::pictures::photo;
use crate::support::{config, embedder};

fn decoded(seed: u64) -> Photo {
    Photo::decode(&photo(seed), &Limits::default()).unwrap()
}

#[test]
fn photos_in_one_batch_get_their_own_embeddings() {
    let embedder = embedder("sscd-distilled");
    let photos: Vec<Photo> = (0..12).map(decoded).collect();
    let alone: Vec<Embedding> = photos.iter().map(|photo| embedder.submit(photo).unwrap().wait().unwrap()).collect();
    let pending: Vec<_> = photos.iter().map(|photo| embedder.submit(photo).unwrap()).collect();
    for (pending, alone) in pending.into_iter().zip(&alone) {
        assert!(pending.wait().unwrap().similarity(alone) > 0.9999);
    }
}

#[test]
fn a_full_queue_refuses_at_once() {
    let config = config(std::path::Path::new("."), "sscd-distilled");
    // Keeps the runtime loaded.
    let _shared = embedder("sscd-distilled");
    let manifest = ModelManifest::load(&config.models, "sscd-distilled").unwrap();
    let options = EmbedOptions { workers: 1, queue: 1, max_batch: 1, ..EmbedOptions::default() };
    let embedder = Arc::new(Embedder::start(&config.models, manifest, &options).unwrap());
    let photo = decoded(1);
    let sent: Vec<_> = (0..20).map(|_| embedder.submit(&photo)).collect();
    assert!(sent.iter().any(|result| matches!(result, Err(EmbedError::Busy))));
    for pending in sent.into_iter().flatten() {
        pending.wait().unwrap();
    }
}

proptest! {
    #[test]
    fn an_embedding_is_finite_and_of_norm_one_or_there_is_none(values in prop::collection::vec(any::<f32>(), 0..64)) {
        match Embedding::normalize(values.clone()) {
            Ok(embedding) => {
                let norm: f64 = embedding.as_slice().iter().map(|&v| f64::from(v).powi(2)).sum();
                prop_assert!((norm - 1.0).abs() < 1e-5);
                prop_assert!((embedding.similarity(&embedding) - 1.0).abs() < 1e-5);
                let stored = Embedding::from_bytes(&embedding.to_bytes(), values.len()).unwrap();
                prop_assert_eq!(stored, embedding);
            }
            Err(_) => prop_assert!(values.iter().any(|v| !v.is_finite()) || values.iter().all(|v| v.abs() < 1e-12)),
        }
    }

    #[test]
    fn a_scaled_photo_keeps_its_caps(width in 1_u32..20_000, height in 1_u32..20_000) {
        let (w, h) = Size::ShorterSide { pixels: 288, longest: 1152 }.target(width, height);
        prop_assert!(w >= 1 && h >= 1 && w.max(h) <= 1152 && w.min(h) <= 288);
        prop_assert_eq!(Size::Square(224).target(width, height), (224, 224));
    }
}

proptest! {
    #[test]
    fn a_rounded_embedding_keeps_its_cosines(
        a in prop::collection::vec(-1.0_f32..1.0, 64),
        b in prop::collection::vec(-1.0_f32..1.0, 64),
    ) {
        let (Ok(a), Ok(b)) = (Embedding::normalize(a), Embedding::normalize(b)) else { return Ok(()) };
        let (small_a, small_b) = (RoundedEmbedding::of(&a), RoundedEmbedding::of(&b));
        prop_assert!((small_a.similarity(&small_b) - a.similarity(&b)).abs() < 0.02);
        let again = RoundedEmbedding::from_parts(small_a.scale(), &small_a.to_bytes());
        prop_assert_eq!(&again, &small_a);
        prop_assert!(again.restored().unwrap().similarity(&a) > 0.999);
    }
}
