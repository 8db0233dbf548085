//! References in doubt, and the photos that match them.

use std::io::Cursor;
use std::sync::Arc;

use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use serde_json::{Value, json};

use crate::support::moderator::Moderator;
use crate::support::pictures::{
    blank, cut_short, encode, gradient, jpeg, laid_over, light_on_transparent, packshot, photo, scene, speck,
};
use crate::support::{TestApp, form, problem, real_photo};

fn codes(reference: &Value) -> Vec<&str> {
    let doubts = reference["doubts"].as_array().unwrap();
    assert!(doubts.iter().all(|doubt| !doubt["text"].as_str().unwrap().is_empty()));
    doubts.iter().map(|doubt| doubt["code"].as_str().unwrap()).collect()
}

/// The references that a check of this photo names.
fn found(app: &TestApp, photo: &[u8]) -> Vec<String> {
    let answer = app.check_one(photo);
    let matches = answer["photos"][0]["matches"].as_array().unwrap();
    matches.iter().map(|found| found["reference_id"].as_str().unwrap().to_owned()).collect()
}

fn png(image: &RgbImage) -> Vec<u8> {
    encode(image, ImageFormat::Png)
}

/// Twice as large: nearly the same photo, with other pixels.
fn doubled(image: &RgbImage) -> Vec<u8> {
    png(&imageops::resize(image, image.width() * 2, image.height() * 2, imageops::FilterType::Triangle))
}

#[test]
fn photos_of_goods_are_taken_in_without_a_doubt() {
    let app = TestApp::start();
    for plain in [jpeg(&packshot(1), 90), png(&packshot(2)), photo(3), real_photo(0), real_photo(4)] {
        assert!(codes(&app.add("acme", "fake", &plain)).is_empty());
    }
}

/// Each in a file of its own: the same file and the same pixels match it, a similar photo does not, even after a
/// restart.
#[test]
fn a_reference_in_doubt_is_found_by_itself_only() {
    let folder = Arc::new(tempfile::TempDir::new().unwrap());
    let small = imageops::thumbnail(&scene(5), 40, 31);
    let pictures = [("too-small", small), ("mostly-one-colour", speck(190)), ("nothing-to-find", gradient())];
    let mut ids = Vec::new();
    let tried = |app: &TestApp, ids: &[String]| {
        for ((code, picture), id) in pictures.iter().zip(ids) {
            assert_eq!(found(app, &png(picture)), [id.as_str()], "{code}: the same file");
            assert_eq!(found(app, &encode(picture, ImageFormat::Bmp)), [id.as_str()], "{code}: the same pixels");
            assert!(found(app, &doubled(picture)).is_empty(), "{code}: what resembles it");
        }
    };
    {
        let app = TestApp::over(Arc::clone(&folder), "sscd-distilled", |_| {});
        for (code, picture) in &pictures {
            let added = app.add("acme", "fake", &png(picture));
            assert!(codes(&added).contains(code), "{code}: {added}");
            assert_eq!(added["state"], "active");
            let id = added["id"].as_str().unwrap().to_owned();
            assert_eq!(app.get_json(&format!("/v1/brands/acme/references/{id}"))["doubts"], added["doubts"]);
            ids.push(id);
        }
        let listed = app.get_json("/v1/brands/acme/references");
        assert!(listed["references"].as_array().unwrap().iter().all(|one| !codes(one).is_empty()), "{listed}");
        tried(&app, &ids);
        assert_eq!(app.verdict(&png(&pictures[0].1)), "known_fake_match");
    }
    let app = TestApp::over(folder, "sscd-distilled", |_| {});
    tried(&app, &ids);
    app.request("PATCH", &format!("/v1/brands/acme/references/{}", ids[0]))
        .json(&json!({ "state": "disabled" }))
        .send()
        .unwrap();
    assert!(found(&app, &png(&pictures[0].1)).is_empty(), "disabled");
    app.request("DELETE", &format!("/v1/brands/acme/references/{}", ids[1])).send().unwrap();
    assert!(found(&app, &png(&pictures[1].1)).is_empty(), "deleted");
}

#[test]
fn a_light_picture_on_a_transparent_ground_is_found_on_black_by_its_look_and_on_white_by_itself() {
    let app = TestApp::start();
    let light = light_on_transparent(7);
    let file = |format| {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgba8(light.clone()).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let added = app.add("acme", "fake", &file(ImageFormat::Png));
    assert_eq!(codes(&added), ["invisible-on-white"]);
    assert_eq!(added["mark"], Value::Null, "it shows enough on black");
    let id = added["id"].as_str().unwrap();
    let on_black = laid_over(&light, 0);
    assert_eq!(app.verdict(&jpeg(&on_black, 80)), "known_fake_match");
    assert_eq!(app.verdict(&doubled(&on_black)), "known_fake_match");
    assert_eq!(found(&app, &png(&laid_over(&light, 255))), [id], "the same pixels, on white");
    assert_eq!(found(&app, &file(ImageFormat::Png)), [id], "the same file");
    assert_eq!(found(&app, &file(ImageFormat::WebP)), [id], "the same pixels, transparent");
    assert!(found(&app, &blank()).is_empty(), "a white picture is nobody's");
    // Dark goods on a transparent ground are seen on white.
    let dark = image::RgbaImage::from_fn(light.width(), light.height(), |x, y| {
        let alpha = light.get_pixel(x, y).0[3];
        image::Rgba([20, 40, 60, alpha])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(dark).write_to(&mut bytes, ImageFormat::Png).unwrap();
    assert!(codes(&app.add("acme", "fake", &bytes.into_inner())).is_empty());
}

/// A light photo on a transparent ground cannot be hidden from checks by an edge that is visible on white.
#[test]
fn a_light_picture_beside_a_dark_edge_is_judged_on_black_too() {
    let app = TestApp::start();
    let light = light_on_transparent(7);
    let png = |picture: image::RgbaImage| {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgba8(picture).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let fake = app.add("acme", "fake", &jpeg(&laid_over(&light, 0), 90));
    let edged = image::RgbaImage::from_fn(light.width(), light.height(), |x, y| {
        if y < 12 { image::Rgba([30, 30, 30, 255]) } else { *light.get_pixel(x, y) }
    });
    let edged = png(edged);
    let answer = app.check_one(&edged);
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("known_fake_match"), &json!("review")), "{answer}");
    assert_eq!(answer["photos"][0]["matches"][0]["reference_id"], fake["id"]);
    assert_eq!(answer["photos"][0]["views"], 2);
    let near: Value = app.post_form("/v1/lookups", form(&[&edged], &[("k", "1")])).json().unwrap();
    assert!(near["matches"][0]["similarity"].as_f64().unwrap() > 0.85, "a look-up sees it on black too: {near}");
    // Goods that are visible on white are examined once.
    let dark = image::RgbaImage::from_fn(light.width(), light.height(), |x, y| {
        image::Rgba([20, 40, 60, light.get_pixel(x, y).0[3]])
    });
    assert_eq!(app.check_one(&png(dark))["photos"][0]["views"], 1);
}

#[test]
fn a_jpeg_that_was_cut_and_closed_is_judged_and_is_no_reference() {
    let app = TestApp::start();
    let cut = cut_short(&photo(9));
    let sent = form(&[&cut], &[("polarity", "fake")]);
    let detail = problem(app.post_form("/v1/brands/acme/references", sent), 422, "photo-partly-decoded");
    assert!(detail.contains("JPEG") && detail.contains("undamaged"), "{detail}");
    let listed = app.get_json("/v1/brands/acme/references");
    assert_eq!(listed["references"], json!([]));
    // For a reference, damaged codes between restart markers count as damage, too.
    let mut damaged = crate::support::fixture("restarts.jpg");
    let at = damaged.windows(2).position(|pair| pair == [0xff, 0xd1]).unwrap();
    damaged[at + 4..at + 10].fill(0xfe);
    let sent = form(&[&damaged], &[("polarity", "fake")]);
    problem(app.post_form("/v1/brands/acme/references", sent), 422, "photo-partly-decoded");
    // The whole file is accepted; what is left of the damaged one is still judged in a check.
    app.add_fake(&photo(9));
    assert_ne!(app.verdict(&cut), "undecidable");
}

#[test]
fn references_in_doubt_contradict_the_same_picture_only() {
    let app = TestApp::start();
    let first = app.add("acme", "fake", &png(&speck(190)));
    // Similar references in doubt do not contradict each other.
    let near = app.add("other", "authentic", &png(&speck(196)));
    assert_eq!((&near["state"], &near["quarantine"]), (&json!("active"), &Value::Null));
    let path = format!("/v1/brands/acme/references/{}", first["id"].as_str().unwrap());
    assert_ne!(app.get_json(&path)["mark"], "disputed");
    // The same pixels with the other polarity do.
    let same = app.add("other", "authentic", &encode(&speck(190), ImageFormat::Bmp));
    assert_eq!((&same["state"], &same["quarantine"]["code"]), (&json!("quarantined"), &json!("conflict")));
    assert_eq!(app.get_json(&path)["mark"], "disputed");
}

#[test]
fn the_console_tells_why_a_reference_is_in_doubt() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let tile = "Matched by identity only";
    assert!(!robin.page("/console/overview").contains(tile));
    let id = app.add_fake(&png(&gradient()));
    let page = robin.page(&format!("/console/references/{id}"));
    assert!(page.contains("nothing-to-find: The photo is flat"), "{page}");
    assert!(page.contains("in doubt: matches identical photos only"), "{page}");
    assert!(robin.page("/console/overview").contains(tile));
    // The look-up also shows references in doubt.
    let other = app.add_fake(&photo(3));
    let near = robin.page(&format!("/console/lookup?reference={other}"));
    assert!(near.contains(&format!("/console/references/{id}")), "{near}");
}
