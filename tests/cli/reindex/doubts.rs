use image::{DynamicImage, ImageFormat, imageops};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Run, text};
use crate::cli::{stdout, touchstone};
use crate::support::TestApp;
use crate::support::pictures::{
    cut_short, encode, gradient, jpeg, laid_over, light_on_transparent, packshot, photo, scene, speck,
};

#[test]
fn an_archive_with_poor_references_is_told_which_and_why() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    std::fs::create_dir_all(&fakes).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(fakes.join(name), bytes).unwrap();
    let small = imageops::thumbnail(&scene(5), 40, 31);
    let light = light_on_transparent(7);
    put("good.jpg", &jpeg(&packshot(1), 90));
    put("small.png", &encode(&small, ImageFormat::Png));
    put("speck.png", &encode(&speck(190), ImageFormat::Png));
    put("gradient.png", &encode(&gradient(), ImageFormat::Png));
    put("cut.jpg", &cut_short(&photo(9)));
    let mut wordmark = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(light.clone()).write_to(&mut wordmark, ImageFormat::Png).unwrap();
    put("wordmark.png", &wordmark.into_inner());

    let expected = |report: &Value, entries: &[Value]| {
        for code in ["too-small", "mostly-one-colour", "invisible-on-white", "nothing-to-find"] {
            assert!(report["doubts"][code].as_u64().unwrap_or_default() > 0, "{code}: {report}");
        }
        let doubts = |name: &str| {
            let entry = entries.iter().find(|entry| entry["source"].as_str().unwrap().ends_with(name)).unwrap();
            entry["doubts"].clone()
        };
        assert_eq!(doubts("good.jpg"), Value::Null);
        assert_eq!(doubts("wordmark.png"), json!(["invisible-on-white"]));
        assert!(doubts("small.png").as_array().unwrap().contains(&json!("too-small")));
    };
    let plan = Run::of(folder.path(), "acme", &["--fake", text(&fakes), "--dry-run"]);
    expected(&plan.report, &plan.entries);
    let run = Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    assert_eq!((run.code, run.counts()), (3, [5, 0, 0, 0, 0, 0, 1]), "{:?}", run.entries);
    assert_eq!(run.why("cut.jpg").0, "photo-partly-decoded");
    expected(&run.report, &run.entries);
    let page = std::fs::read_to_string(folder.path().join("data/reindex/acme-report/report.html")).unwrap();
    assert!(page.contains("In doubt: 4") && page.contains("<code>too-small</code>"), "{page}");

    // In words, for people who read the terminal.
    let other = touchstone(folder.path(), &["reindex", "--brand", "other", "--fake", text(&fakes)]);
    let words = stdout(&other);
    assert!(words.lines().any(|line| line.starts_with("in doubt ") && line.ends_with("[too-small]")), "{words}");
    assert!(words.contains("refused") && words.contains("[photo-partly-decoded]"), "{words}");

    let app = TestApp::over(std::sync::Arc::new(TempDir::new().unwrap()), "sscd-distilled", |config| {
        config.data = folder.path().join("data");
        config.index_dir = folder.path().join("index");
    });
    assert_eq!(app.verdict(&jpeg(&laid_over(&light, 0), 80)), "known_fake_match");
    assert_eq!(app.verdict(&encode(&small, ImageFormat::Bmp)), "known_fake_match");
    let larger = imageops::resize(&small, 80, 62, imageops::FilterType::Triangle);
    assert_eq!(app.check_one(&encode(&larger, ImageFormat::Png))["photos"][0]["matches"], json!([]));
}
