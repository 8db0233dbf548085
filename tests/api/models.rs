//! The main job with each model, and models that cannot be used.

use std::sync::Arc;

use touchstone::embed::{EmbedOptions, Embedder, ModelManifest, load_runtime};

use crate::support::pictures::stolen;
use crate::support::{MODELS, TestApp, config, demo_photo, embedder, root};

#[test]
fn the_main_job_works_with_the_default_and_the_open_models() {
    for model in MODELS {
        let app = TestApp::with(model, |_| {});
        let (fake, authentic) = (demo_photo("coins.png"), demo_photo("coffee.png"));
        app.add("acme", "fake", &fake);
        app.add("acme", "authentic", &authentic);
        let verdict = |photo: &[u8]| app.verdict(photo);
        assert!(verdict(&stolen(&fake)).starts_with("known_fake"), "{model}");
        assert_eq!(verdict(&stolen(&authentic)), "authentic_photo_reuse", "{model}");
        assert_eq!(verdict(&demo_photo("rocket.jpg")), "no_match", "{model}");
    }
}

#[test]
fn another_model_over_the_same_gallery_embeds_what_it_has_not_seen() {
    let folder = Arc::new(tempfile::TempDir::new().unwrap());
    let fake = demo_photo("coins.png");
    for model in MODELS {
        let app = TestApp::over(Arc::clone(&folder), model, |_| {});
        if model == MODELS[0] {
            app.add("acme", "fake", &fake);
        }
        assert_eq!(app.verdict(&fake), "known_fake_match", "{model}");
        assert!(app.get_json("/v1/index")["model"].as_str().unwrap().starts_with(model));
    }
}

/// The error of starting a folder with one model that `change` has made invalid.
fn start_error(change: impl Fn(&str) -> String, weights: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let text = std::fs::read_to_string(root().join("models/sscd-distilled.toml")).unwrap();
    std::fs::write(folder.path().join("sscd-distilled.toml"), change(&text)).unwrap();
    std::fs::create_dir(folder.path().join("weights")).unwrap();
    let original = std::fs::read(root().join("models/weights/sscd_distilled.onnx")).unwrap();
    if let Some(weights) = weights(&original) {
        std::fs::write(folder.path().join("weights/sscd_distilled.onnx"), weights).unwrap();
    }
    load_runtime(&config(folder.path(), "sscd-distilled").runtime).unwrap();
    let manifest = match ModelManifest::load(folder.path(), "sscd-distilled") {
        Ok(manifest) => manifest,
        Err(error) => return error.to_string(),
    };
    let started = Embedder::start(folder.path(), manifest, &EmbedOptions { workers: 1, ..EmbedOptions::default() });
    let error = started.err().expect("the model must not start").to_string();
    error.replace(&folder.path().display().to_string(), "MODELS")
}

#[test]
fn a_model_that_is_not_as_its_manifest_says_does_not_start() {
    let same = |text: &str| text.to_owned();
    let keep = |weights: &[u8]| Some(weights.to_vec());
    let replace = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
    let flipped = |weights: &[u8]| {
        let mut weights = weights.to_vec();
        weights[1000] ^= 1;
        Some(weights)
    };
    let errors = [
        start_error(same, flipped),
        start_error(same, |_| None),
        start_error(replace("dimension = 512", "dimension = 256"), keep),
        start_error(replace("name = \"image\"", "name = \"pixels\""), keep),
        start_error(replace("dtype = \"u8\"", "dtype = \"f32\""), keep),
        start_error(replace("name = \"embedding\"", "name = \"vector\""), keep),
        start_error(replace("name = \"sscd-distilled\"", "name = \"other\""), keep),
        start_error(replace("fake_match = 0.95", "fake_match = 0.4"), keep),
    ];
    insta::with_settings!({ filters => vec![(r"(?s)/\S*?(/[^/\s]+\.toml)", "MODELS$1")] }, {
        insta::assert_snapshot!("model-errors", errors.join("\n"));
    });
}

#[test]
fn vectors_equal_those_of_pythons_onnxruntime() {
    for model in MODELS {
        let golden: std::collections::BTreeMap<String, Vec<f32>> =
            serde_json::from_slice(&std::fs::read(root().join(format!("tests/golden/{model}.json"))).unwrap()).unwrap();
        assert_eq!(golden.len(), 3);
        // Pillow scales a few pixels to the next value. The 8-bit model rounds each of its layers, which amplifies that: one
        // value in ten changed by 1 gives a similarity of 0.998.
        let least = if model == "touchstone-open" { 0.995 } else { 0.999 };
        for (name, expected) in golden {
            let photo =
                touchstone::photo::Photo::decode(&demo_photo(&name), &touchstone::photo::Limits::default()).unwrap();
            let embedding = embedder(model).submit(&photo).unwrap().wait().unwrap();
            let expected = touchstone::embed::Embedding::normalize(expected).unwrap();
            let similarity = embedding.similarity(&expected);
            assert!(similarity > least, "{model} on {name}: {similarity}");
        }
    }
}
