//! One photograph in several colours, seen through the whole check.

use image::{ImageFormat, Rgb, RgbImage, imageops};
use serde_json::Value;

use crate::support::TestApp;
use crate::support::pictures::{encode, scene};

/// Goods of one colour on white, lighter and darker by their form, dyed by reordering their channels.
fn goods(dye: impl Fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let form = imageops::blur(&scene(5), 1.0);
    let mut shot = RgbImage::from_pixel(480, 400, Rgb([250, 250, 250]));
    for (x, y, Rgb(colour)) in form.enumerate_pixels() {
        let light = colour.iter().map(|value| u16::from(*value)).sum::<u16>() / 3;
        let light = |share: u16| u8::try_from(40 + light * share / 400).unwrap();
        shot.put_pixel(x + 80, y + 80, Rgb(dye([light(300), light(80), light(60)])));
    }
    encode(&shot, ImageFormat::Png)
}

fn red() -> Vec<u8> {
    goods(|colour| colour)
}

fn blue() -> Vec<u8> {
    goods(|[red, green, blue]| [blue, green, red])
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
