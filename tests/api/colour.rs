//! One photograph in several colours, tested through whole checks.

use image::ImageFormat;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::pictures::{dyed, encode};

fn red() -> Vec<u8> {
    encode(&dyed(|colour| colour), ImageFormat::Png)
}

fn blue() -> Vec<u8> {
    encode(&dyed(|[red, green, blue]| [blue, green, red]), ImageFormat::Png)
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

#[test]
fn a_fake_in_another_colour_is_never_certain_and_goes_to_a_person() {
    let app = TestApp::start();
    app.add("acme", "fake", &red());
    app.certify("acme");
    assert_eq!(app.check_one(&red())["verdict"], "known_fake_match");
    let answer = app.check_one(&blue());
    assert_eq!((&answer["verdict"], &answer["action"]), (&"known_fake_likely".into(), &"review".into()), "{answer}");
    assert!(codes(&answer).contains(&"other-colour"), "{answer}");
    let colours = &answer["photos"][0]["matches"][0]["overlay"]["other_colour"];
    assert!(colours["reference"].is_string() && colours["photo"].is_string(), "{answer}");
}

/// The probability of the match with a reference; 0 if the answer does not name it.
fn probability(answer: &Value, reference: &Value) -> f64 {
    let named = answer["photos"][0]["matches"].as_array().unwrap();
    let found = named.iter().find(|found| found["reference_id"] == reference["id"]);
    found.map_or(0.0, |found| found["probability"].as_f64().unwrap())
}

#[test]
fn the_reference_in_the_photos_own_colour_speaks_alone_but_for_its_own_brand_only() {
    for (brand, silences) in [("acme", true), ("other", false)] {
        let app = TestApp::start();
        let other_colour = app.add("acme", "fake", &red());
        let own_colour = app.add(brand, "fake", &blue());
        let answer = app.check_one(&blue());
        assert_eq!(answer["verdict"], "known_fake_match", "{answer}");
        assert!(probability(&answer, &own_colour) > 0.95, "{answer}");
        assert_eq!(probability(&answer, &other_colour) < 0.5, silences, "{brand}: {answer}");
    }
}
