use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{stderr, stdout, touchstone};
use crate::support::pictures::{photo, stolen};
use crate::support::root;

/// A dataset of drawn scenes: references, a copy of each, photos that are no copies, and one recoloured variant.
fn source(folder: &Path, first: u64) {
    let mut manifest = String::from("path,role,brand,category,product_id,label,group,gt_products,gt_image,notes\n");
    let mut add = |path: String, bytes: &[u8], role: &str, seed: u64, copy_of: &str, notes: &str| {
        std::fs::write(folder.join(&path), bytes).unwrap();
        let label = if seed.is_multiple_of(2) { "fake" } else { "authentic" };
        writeln!(manifest, "{path},{role},acme,bags,p{seed},{label},g{seed},,{copy_of},{notes}").unwrap();
    };
    std::fs::create_dir_all(folder).unwrap();
    for seed in first..first + 16 {
        let reference = photo(seed);
        add(format!("r{seed}.jpg"), &reference, "reference", seed, "", "");
        add(format!("c{seed}.jpg"), &stolen(&reference), "queries", seed, &format!("r{seed}.jpg"), "");
        add(format!("u{seed}.jpg"), &photo(seed + 1000), "distractors", seed + 1000, "", "");
        add(format!("k{seed}.jpg"), &photo(seed + 2000), "queries", seed + 2000, "", "variant-or-view: another view");
    }
    add("v.jpg".to_owned(), &photo(first + 3000), "queries", first + 3000, "", "variant-recolour: made from r1.jpg");
    std::fs::write(folder.join("manifest.csv"), manifest).unwrap();
}

/// The model alone, so that a fit does not overwrite an artefact of the checkout.
fn models(folder: &Path) -> String {
    let (from, to) = (root().join("models"), folder.join("models"));
    std::fs::create_dir_all(to.join("weights")).unwrap();
    std::fs::create_dir_all(to.join("keypoints")).unwrap();
    for file in ["sscd-distilled.toml", "weights/sscd_distilled.onnx", "keypoints/vocabulary.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    format!("models={}", to.display())
}

#[test]
fn each_source_is_measured_with_what_was_fitted_to_the_others() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    source(&at("one"), 1);
    source(&at("two"), 101);
    std::fs::create_dir_all(at("outside")).unwrap();
    let mut outside = String::from("path\n");
    for seed in 5000..5024 {
        std::fs::write(at("outside").join(format!("{seed}.jpg")), photo(seed)).unwrap();
        writeln!(outside, "{seed}.jpg").unwrap();
    }
    std::fs::write(at("outside").join("manifest.csv"), outside).unwrap();
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (one, two) = (format!("shop={}", at("one").display()), text(at("two")));
    let (out, background, models) = (text(at("out")), text(at("outside")), models(folder.path()));
    let given = ["evaluate", &one, &two, "--fit", "--background", &background, "--out", &out, "--set", &models];
    let done = touchstone(folder.path(), &given);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stdout(&done).contains("Worst source first: "), "{}", stdout(&done));
    let sources: Value = serde_json::from_slice(&std::fs::read(at("out/sources.json")).unwrap()).unwrap();
    let sources = sources.as_array().unwrap();
    assert_eq!(sources.len(), 2);
    for source in sources {
        let (name, other) = if source["source"] == "shop" { ("shop", "two") } else { ("two", "shop") };
        assert_eq!(source["source"], name);
        let fitted_on = source["fitted_on"].as_str().unwrap();
        assert!(fitted_on.contains(other) && !fitted_on.contains(name), "{fitted_on}");
        assert!(at("out").join(name).join("report.html").exists());
        let kinds = &source["all"]["kinds"];
        assert_eq!(kinds["near-copy"]["copy"]["of"], 16);
        assert_eq!(kinds["variant-recolour"]["copy"]["of"], 1);
        assert_eq!(source["all"]["rankings"][0]["at_wrongs"]["wrongs"], 32, "recoloured ones are counted apart");
    }
    let kept = std::fs::read_to_string(at("models/scoring/sscd-distilled.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert!(kept["fitted_on"].as_str().unwrap().contains("shop and two"), "{}", kept["fitted_on"]);
    assert!(kept["calibration"]["fake"]["most"].as_f64().unwrap() <= 17.0 / 18.0, "no more than its photos prove");
}

#[test]
fn edits_of_several_sources_say_whose_they_are() {
    let folder = TempDir::new().unwrap();
    let given = ["evaluate", "shop=a", "market=b", "--edits", "c"];
    let refused = touchstone(folder.path(), &given);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("expected NAME=DIR with the name of a dataset"), "{}", stderr(&refused));
    let refused = touchstone(folder.path(), &["evaluate", "x/a", "y/a"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("name them apart"), "{}", stderr(&refused));
}
