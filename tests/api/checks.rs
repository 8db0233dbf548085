use image::{ImageFormat, Rgb, RgbImage};
use touchstone::domain::Scope;

use crate::support::pictures::{blank, encode, jpeg, photo, scene, stolen};
use crate::support::{TestApp, client_with, form, problem, real_photo};

#[test]
fn a_stolen_copy_of_a_known_fake_is_found_and_goes_to_review_without_a_certificate() {
    let app = TestApp::start();
    let fake = photo(1);
    let id = app.add_fake(&fake);
    let answer = app.check(&[&stolen(&fake)], &[("listing_id", "L1"), ("seller_id", "S1"), ("brand", "acme")]);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("known_fake_match"), Some("review")));
    let near = &answer["photos"][0]["matches"][0];
    assert_eq!(near["reference_id"], id);
    assert_eq!(answer["photos"][0]["views"], 1);
    assert_eq!(
        (near["brand"].as_str(), near["polarity"].as_str(), near["product"].as_str()),
        (Some("acme"), Some("fake"), Some("p1"))
    );
    assert!(near["probability"].as_f64() > near["threshold"].as_f64());
    // The rim is cut off, which leaves nine tenths of each side.
    let overlay = &near["overlay"];
    assert!((overlay["reference_overlap"].as_f64().unwrap() - 0.81).abs() < 0.02, "{overlay}");
    assert!(overlay["photo_overlap"].as_f64().unwrap() > 0.97, "{overlay}");
    let codes: Vec<&str> = answer["reasons"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["fake-above-match-threshold", "reference-lies-in-photo", "block-not-asked-for"]);
    assert_eq!(answer["listing"]["listing_id"], "L1");
    assert!(answer["versions"]["model"].as_str().unwrap().starts_with("sscd-distilled@"));
}

#[test]
fn only_a_certified_brand_blocks() {
    let app = TestApp::start();
    let fake = photo(2);
    app.add_fake(&fake);
    app.certify("acme");
    let answer = app.check_one(&fake);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("known_fake_match"), Some("block")));
    assert_eq!(answer["versions"]["policies"]["acme"], 1);
}

#[test]
fn an_authentic_photo_is_reuse_for_a_stranger_and_fine_for_an_authorised_seller() {
    let app = TestApp::start();
    let authentic = photo(3);
    app.add("acme", "authentic", &authentic);
    app.put_policy("acme", &serde_json::json!({ "authorised_sellers": ["S9"] }));
    let stranger = app.check(&[&stolen(&authentic)], &[("seller_id", "S1")]);
    assert_eq!(
        (stranger["verdict"].as_str(), stranger["action"].as_str()),
        (Some("authentic_photo_reuse"), Some("review"))
    );
    let authorised = app.check(&[&stolen(&authentic)], &[("seller_id", "S9")]);
    assert_eq!(
        (authorised["verdict"].as_str(), authorised["action"].as_str()),
        (Some("authorised_use"), Some("allow"))
    );
}

#[test]
fn an_unrelated_photo_matches_nothing() {
    let app = TestApp::start();
    app.add_fake(&real_photo(2));
    let answer = app.check_one(&real_photo(4));
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("no_match"), Some("allow")));
    assert_eq!(answer["photos"][0]["matches"].as_array().unwrap().len(), 0);
}

#[test]
fn the_same_photo_as_fake_of_one_brand_and_authentic_of_another_is_a_conflict_and_never_blocks() {
    let app = TestApp::start();
    let disputed = photo(6);
    app.add("acme", "fake", &disputed);
    app.add("rival", "authentic", &disputed);
    app.certify("acme");
    let answer = app.check_one(&disputed);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("conflict"), Some("review")));
}

#[test]
fn many_fakes_do_not_hide_the_authentic_photo_behind_them() {
    let app = TestApp::start();
    let original = scene(7);
    app.add("rival", "authentic", &jpeg(&original, 85));
    // Near-duplicates, and below the same photo under many brands: more of them are nearer to the query than the
    // authentic one than a first search returns.
    for quality in 60..100 {
        app.add("acme", "fake", &jpeg(&original, quality));
    }
    // The same bytes under many brands: identical embeddings with many keys.
    for brand in 0..20 {
        app.add(&format!("brand-{brand}"), "fake", &jpeg(&original, 95));
    }
    assert_eq!(app.check_one(&jpeg(&original, 95))["verdict"], "conflict");
}

#[test]
fn a_blank_photo_says_too_little_even_when_a_brand_calls_it_fake() {
    let app = TestApp::start();
    let id = app.add_fake(&blank());
    app.certify("acme");
    let other = encode(&RgbImage::from_pixel(201, 201, Rgb([255, 255, 255])), ImageFormat::Png);
    let answer = app.check_one(&other);
    assert_eq!(answer["verdict"], "generic_or_low_information", "{answer}");
    // The photo is the reference's file, and still nothing is blocked.
    let answer = app.check_one(&blank());
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("known_fake_match"), Some("review")));
    assert_eq!(answer["photos"][0]["matches"][0]["reference_id"], id.as_str());
}

#[test]
fn the_listing_takes_its_worst_photos_answer() {
    let app = TestApp::start();
    let fake = real_photo(2);
    app.add_fake(&fake);
    let answer = app.check(&[&real_photo(0), &fake, &real_photo(4)], &[]);
    assert_eq!(answer["verdict"], "known_fake_match");
    let verdicts: Vec<&str> =
        answer["photos"].as_array().unwrap().iter().map(|p| p["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["no_match", "known_fake_match", "no_match"]);
}

#[test]
fn a_broken_photo_is_undecidable_with_a_reason_and_never_allowed() {
    let app = TestApp::start();
    let mut cut = crate::support::fixture("drawn.png");
    cut.truncate(200);
    let answer = app.check(&[&photo(11), &cut], &[]);
    assert_eq!((answer["verdict"].as_str(), answer["action"].as_str()), (Some("undecidable"), Some("review")));
    assert_eq!(answer["photos"][1]["fault"]["code"], "photo-broken");
    assert_eq!(answer["photos"][1]["reasons"][0]["code"], "photo-broken");
}

#[test]
fn a_check_is_replayed_as_it_was_answered() {
    let app = TestApp::start();
    let fake = photo(12);
    let id = app.add_fake(&fake);
    let answer = app.check_one(&fake);
    app.request("DELETE", &format!("/v1/brands/acme/references/{id}")).send().unwrap();
    assert_eq!(app.get_json(&format!("/v1/checks/{}", answer["id"].as_str().unwrap())), answer);
    problem(app.get("/v1/checks/chk_unknown"), 404, "not-found");
}

#[test]
fn a_repeat_with_the_same_idempotency_key_gets_the_first_answer() {
    let app = TestApp::start();
    let send = |photo: &[u8], seller: &str| {
        app.request("POST", "/v1/checks")
            .header("Idempotency-Key", "k1")
            .multipart(form(&[photo], &[("seller_id", seller)]))
            .send()
            .unwrap()
    };
    let first = send(&photo(13), "S1");
    assert!(first.headers().get("idempotent-replayed").is_none());
    let first = first.text().unwrap();
    app.add_fake(&photo(13));
    let second = send(&photo(13), "S1");
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.text().unwrap(), first);
    problem(send(&photo(14), "S1"), 422, "idempotency-key-reused");
    problem(send(&photo(13), "S2"), 422, "idempotency-key-reused");
}

#[test]
fn an_idempotency_key_belongs_to_its_api_key() {
    let app = TestApp::start();
    let keys = [app.new_key(Scope::Platform).1, app.new_key(Scope::Platform).1];
    let send = |key: &str, seed: u64| {
        let request = client_with(key).post(format!("{}/v1/checks", app.url)).header("Idempotency-Key", "1");
        request.multipart(form(&[&photo(seed)], &[])).send().unwrap()
    };
    let [mine, yours] = [(0, 13), (1, 14)].map(|(key, seed)| send(&keys[key], seed).text().unwrap());
    assert!(yours.contains("\"verdict\""), "{yours}");
    assert_eq!(send(&keys[0], 13).text().unwrap(), mine);
    assert_eq!(send(&keys[1], 14).text().unwrap(), yours);
    problem(send(&keys[0], 14), 422, "idempotency-key-reused");
}

#[test]
fn repeats_that_race_get_one_answer() {
    let app = TestApp::start();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    app.request("POST", "/v1/checks")
                        .header("Idempotency-Key", "race")
                        .multipart(form(&[&photo(15)], &[]))
                        .send()
                        .unwrap()
                        .text()
                        .unwrap()
                })
            })
            .collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn a_full_service_refuses_with_429_and_says_when_to_come_back() {
    refuses_with_429(|server| server.max_in_flight = 1);
    // Bodies may be received, but no more requests than this wait for a core.
    refuses_with_429(|server| server.max_waiting = 1);
}

fn refuses_with_429(change: fn(&mut touchstone::config::Server)) {
    let app = TestApp::with("sscd-distilled", |config| change(&mut config.server));
    let fake = photo(16);
    let statuses: Vec<(u16, Option<String>)> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let response = app.post_form("/v1/checks", form(&[&fake, &fake, &fake, &fake], &[]));
                    let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
                    (response.status().as_u16(), wait)
                })
            })
            .collect();
        sent.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().any(|(status, _)| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&(429, Some("1".to_owned()))), "{statuses:?}");
    assert!(app.get("/readyz").status().is_success());
}

/// Two photos side by side on white, each scaled to 300 x 300.
fn side_by_side(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut sheet = image::RgbImage::from_pixel(640, 320, image::Rgb([255, 255, 255]));
    for (place, bytes) in [left, right].into_iter().enumerate() {
        let photo = image::load_from_memory(bytes).unwrap().to_rgb8();
        let cell = image::imageops::resize(&photo, 300, 300, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut sheet, &cell, 10 + 320 * i64::try_from(place).unwrap(), 10);
    }
    jpeg(&sheet, 90)
}

#[test]
fn a_fake_beside_an_authentic_photo_in_a_collage_is_found_even_for_an_authorised_seller() {
    let app = TestApp::start();
    let (fake, authentic) = (real_photo(2), real_photo(0));
    app.add_fake(&fake);
    app.add("acme", "authentic", &authentic);
    app.put_policy("acme", &serde_json::json!({ "authorised_sellers": ["S9"] }));
    for collage in [side_by_side(&authentic, &fake), side_by_side(&fake, &authentic)] {
        let answer = app.check(&[&collage], &[("seller_id", "S9")]);
        assert!(answer["verdict"].as_str().unwrap().starts_with("known_fake"), "{answer}");
        assert_eq!(answer["action"], "review");
        let matches = answer["photos"][0]["matches"].as_array().unwrap();
        let found = |polarity: &str| {
            matches.iter().any(|near| near["polarity"] == polarity && near["probability"].as_f64() > Some(0.5))
        };
        assert!(found("fake") && found("authentic"), "{answer}");
    }
}

#[test]
fn a_mirrored_copy_says_so() {
    let app = TestApp::start();
    let fake = real_photo(3);
    app.add_fake(&fake);
    let mirrored = image::imageops::flip_horizontal(&image::load_from_memory(&fake).unwrap().to_rgb8());
    let answer = app.check_one(&jpeg(&mirrored, 80));
    assert_eq!(answer["verdict"], "known_fake_match");
    assert_eq!(answer["photos"][0]["matches"][0]["overlay"]["flipped"], true);
    assert!(answer["reasons"].to_string().contains("mirrored"));
}

/// A third of a side, turned by a quarter, on a busy ground that no reference has.
#[test]
fn a_small_turned_copy_on_a_busy_ground_is_found_by_its_keypoints() {
    let app = TestApp::start();
    for number in [0, 1, 4] {
        app.add("acme", "authentic", &real_photo(number));
    }
    let id = app.add_fake(&real_photo(2));
    let small = image::load_from_memory(&real_photo(2)).unwrap().thumbnail(260, 260).rotate90().to_rgb8();
    let mut photo = image::load_from_memory(&real_photo(3)).unwrap().thumbnail(700, 700).to_rgb8();
    image::imageops::overlay(&mut photo, &small, 380, 150);
    let answer = app.check_one(&jpeg(&photo, 80));
    assert_eq!(answer["verdict"], "known_fake_match", "{answer}");
    assert_eq!(answer["photos"][0]["matches"][0]["reference_id"], id);
}

#[test]
fn points_that_were_lost_are_made_again_from_the_photo() {
    let folder = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let app = TestApp::over(std::sync::Arc::clone(&folder), "sscd-distilled", |_| {});
    let fake = real_photo(2);
    app.add_fake(&fake);
    let features = folder.path().join("data/features");
    let files = || walkdir::WalkDir::new(&features).into_iter().filter(|e| e.as_ref().unwrap().file_type().is_file());
    let kept: Vec<_> = files().map(|entry| entry.unwrap().into_path()).collect();
    assert_eq!(kept.len(), 1);
    for damage in [b"".as_slice(), b"nonsense"] {
        std::fs::write(&kept[0], damage).unwrap();
        let answer = app.check_one(&stolen(&fake));
        assert!(answer["photos"][0]["matches"][0]["overlay"]["inliers"].as_u64() > Some(50), "{answer}");
        assert!(std::fs::read(&kept[0]).unwrap().len() > 1000);
    }
    let id = app.check_one(&fake)["photos"][0]["matches"][0]["reference_id"].as_str().unwrap().to_owned();
    app.request("DELETE", &format!("/v1/brands/acme/references/{id}")).send().unwrap();
    assert_eq!(files().count(), 0);
}
