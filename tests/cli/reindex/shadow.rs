use serde_json::Value;
use tempfile::TempDir;

use super::{Run, photos, text};
use crate::cli::{stderr, stdout, touchstone};
use crate::support::pictures::{photo, stolen};
use crate::support::{TestApp, real_photo};

#[test]
fn another_model_is_tried_beside_promoted_and_gone_back_from_while_the_service_runs() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let fakes = folder.path().join("fakes");
    photos(&fakes, 1..6);
    Run::of(folder.path(), "acme", &["--fake", text(&fakes)]);
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |config| {
        config.checks.keep_allowed_every = 1;
        config.embed.workers = 1;
    });
    for seed in 1..4 {
        app.check_one(&stolen(&photo(seed)));
    }
    app.check_one(&real_photo(4));
    let model = || app.get_json("/v1/index")["model"].as_str().unwrap().split('@').next().unwrap().to_owned();
    let comes_to = |name: &str| {
        (0..400).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            // No check fails while the models are swapped.
            assert_eq!(app.check_one(&photo(1))["verdict"], "known_fake_match");
            model() == name
        })
    };
    let early = touchstone(folder.path(), &["index", "promote", "efficientnet-lite0"]);
    assert_eq!(early.status.code(), Some(8));
    assert!(stderr(&early).contains("--shadow first"), "{}", stderr(&early));

    let shadow = touchstone(folder.path(), &["reindex", "--model", "efficientnet-lite0", "--shadow", "--json"]);
    assert_eq!(shadow.status.code(), Some(0), "{}", stderr(&shadow));
    let event: Value = serde_json::from_str(stdout(&shadow).lines().last().unwrap()).unwrap();
    assert_eq!((&event["embedded"], &event["report"]["replayed"]), (&5.into(), &4.into()), "{event}");
    let flips = event["report"]["verdict_flips"].as_u64().unwrap();
    assert_eq!(
        event["report"]["by_change"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(),
        flips
    );
    assert_eq!(event["report"]["examples"].as_array().unwrap().len() as u64, flips);
    assert_eq!(model(), "sscd-distilled", "nothing has changed yet");
    // A repeated run embeds nothing again.
    let again = touchstone(folder.path(), &["reindex", "--model", "efficientnet-lite0", "--shadow", "--json"]);
    let again: Value = serde_json::from_str(stdout(&again).lines().last().unwrap()).unwrap();
    assert_eq!(again["embedded"], 0);

    assert_eq!(touchstone(folder.path(), &["index", "promote", "efficientnet-lite0"]).status.code(), Some(0));
    assert!(comes_to("efficientnet-lite0"));
    // References added under one model are served by the other, too.
    app.add_fake(&photo(7));
    assert_eq!(app.verdict(&photo(7)), "known_fake_match");
    let back = touchstone(folder.path(), &["index", "rollback"]);
    assert!(stdout(&back).contains("sscd-distilled serves"), "{}", stdout(&back));
    assert!(comes_to("sscd-distilled"));
    assert_eq!(app.verdict(&photo(7)), "known_fake_match");
    // A command without --model follows the promoted model, too.
    let listed = stdout(&touchstone(folder.path(), &["index", "list"]));
    assert!(
        listed.starts_with("model sscd-distilled@") && listed.contains("model efficientnet-lite0, undone"),
        "{listed}"
    );
}
