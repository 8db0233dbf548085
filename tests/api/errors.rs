use crate::support::pictures::{encode, photo, scene};
use crate::support::{TestApp, form, problem};

#[test]
fn types_that_are_not_accepted_are_refused_by_name() {
    let app = TestApp::start();
    let pdf = problem(app.post_form("/v1/checks", form(&[b"%PDF-1.7"], &[])), 415, "photo-type-unsupported");
    assert_eq!(
        pdf,
        "PDF is not accepted; convert the photo to one of JPEG, PNG, WebP, AVIF, HEIC, JPEG XL, GIF, BMP, TIFF"
    );
    let film = b"\0\0\0\x18ftypisom\0\0\0\0isommp42";
    problem(app.post_form("/v1/checks", form(&[film], &[])), 415, "photo-type-unsupported");
    problem(app.post_form("/v1/checks", form(&[b"hello world, this is no photo"], &[])), 415, "photo-type-unknown");
    problem(app.post_form("/v1/checks", form(&[b""], &[])), 422, "photo-empty");
}

#[test]
fn the_problem_says_which_photo() {
    let app = TestApp::start();
    let response = app.post_form("/v1/checks", form(&[&photo(1), b"%PDF-1.7"], &[]));
    assert_eq!(response.json::<serde_json::Value>().unwrap()["photo"], 1);
}

#[test]
fn caps_on_bytes_and_pixels_hold() {
    let app = TestApp::with("sscd-distilled", |config| {
        config.photo.max_bytes = 50_000;
        config.photo.max_width = 300;
    });
    problem(app.post_form("/v1/checks", form(&[&vec![0xff; 60_000]], &[])), 413, "photo-too-many-bytes");
    let detail = problem(app.post_form("/v1/checks", form(&[&photo(1)], &[])), 413, "photo-too-many-pixels");
    assert!(detail.contains("320 x 240") && detail.contains("300 pixels wide"), "{detail}");
    problem(
        app.post_form("/v1/brands/acme/references", form(&[&photo(1)], &[("polarity", "fake")])),
        413,
        "photo-too-many-pixels",
    );
    problem(app.post_form("/v1/lookups", form(&[&photo(1)], &[])), 413, "photo-too-many-pixels");
}

#[test]
fn a_request_over_the_cap_is_refused() {
    let app = TestApp::with("sscd-distilled", |config| config.server.max_request_bytes = 100_000);
    let big = encode(&scene(1), image::ImageFormat::Bmp);
    problem(app.post_form("/v1/checks", form(&[&big], &[])), 413, "request-too-large");
}

#[test]
fn forms_are_held_to_what_they_may_hold() {
    let app = TestApp::start();
    let one = photo(1);
    problem(app.post_form("/v1/checks", form(&[], &[("seller_id", "S1")])), 422, "photo-missing");
    problem(app.post_form("/v1/checks", form(&vec![&one[..]; 21], &[])), 422, "too-many-photos");
    problem(app.post_form("/v1/checks", form(&[&one], &[("colour", "red")])), 422, "field-unknown");
    problem(app.post_form("/v1/checks", form(&[&one], &[("brand", "a"), ("brand", "b")])), 422, "field-repeated");
    problem(app.post_form("/v1/checks", form(&[&one], &[("seller_id", &"x".repeat(257))])), 422, "field-too-long");
    problem(app.post_form("/v1/brands/acme/references", form(&[&one], &[])), 422, "polarity-missing");
    problem(
        app.post_form("/v1/brands/acme/references", form(&[&one], &[("polarity", "genuine")])),
        422,
        "name-invalid",
    );
    problem(app.post_form("/v1/brands/ACME!/references", form(&[&one], &[("polarity", "fake")])), 422, "name-invalid");
}

#[test]
fn what_is_no_form_is_refused() {
    let app = TestApp::start();
    problem(app.request("POST", "/v1/checks").body("hello").send().unwrap(), 415, "multipart-expected");
    let broken = app
        .request("POST", "/v1/checks")
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--y\r\n")
        .send()
        .unwrap();
    problem(broken, 400, "multipart-invalid");
    problem(
        app.request("PUT", "/v1/brands/acme/policy")
            .header("content-type", "application/json")
            .body("{")
            .send()
            .unwrap(),
        400,
        "json-invalid",
    );
    let key = app
        .request("POST", "/v1/checks")
        .header("Idempotency-Key", "")
        .multipart(form(&[&photo(1)], &[]))
        .send()
        .unwrap();
    problem(key, 422, "idempotency-key-invalid");
}

#[test]
fn unknown_routes_and_methods_are_problems_too() {
    let app = TestApp::start();
    problem(app.get("/v1/nothing"), 404, "route-unknown");
    problem(app.request("DELETE", "/v1/index").send().unwrap(), 405, "method-unknown");
}

#[test]
fn a_packed_body_is_refused_before_it_is_taken_for_what_it_holds() {
    let app = TestApp::start();
    let policy = |encoding: &str| {
        let request = app.request("PUT", "/v1/brands/acme/policy").header("content-encoding", encoding);
        request.header("content-type", "application/json").body("{}").send().unwrap()
    };
    for encoding in ["gzip", "br", "deflate", "identity, gzip", "nonsense", "GZIP"] {
        let refused = policy(encoding);
        assert_eq!(refused.headers()["accept-encoding"], "identity");
        let detail = problem(refused, 415, "content-encoding-unsupported");
        assert!(detail.contains(encoding) && detail.contains("expected identity"), "{detail}");
    }
    for encoding in ["identity", "Identity", ""] {
        assert_eq!(policy(encoding).status(), 200, "{encoding:?}");
    }
    let check = app.request("POST", "/v1/checks").header("content-encoding", "gzip");
    problem(check.multipart(form(&[&photo(1)], &[])).send().unwrap(), 415, "content-encoding-unsupported");
    // A request without a body has no encoding to reject.
    assert_eq!(app.request("GET", "/v1/index").header("content-encoding", "gzip").send().unwrap().status(), 200);
}

#[test]
fn control_characters_and_empty_ids_are_refused_in_every_field() {
    let app = TestApp::start();
    let one = photo(1);
    for field in ["listing_id", "seller_id", "brand", "category"] {
        for (text, code) in [("", "field-empty"), (" \u{a0}", "field-empty")] {
            let detail = problem(app.post_form("/v1/checks", form(&[&one], &[(field, text)])), 422, code);
            assert!(detail.starts_with(&format!("{field} is empty")), "{detail}");
        }
        for text in ["a\0", "a\nb", "\u{1b}[2J", "a\u{85}", "a\u{202e}b", "a\u{2028}b", "\t"] {
            let detail = problem(app.post_form("/v1/checks", form(&[&one], &[(field, text)])), 422, "field-invalid");
            assert!(detail.starts_with(&format!("{field} contains the control character U+")), "{detail}");
        }
    }
    let path = "/v1/brands/acme/references";
    for field in ["product", "source", "rights_basis"] {
        let add = |text| app.post_form(path, form(&[&one], &[("polarity", "fake"), (field, text)]));
        problem(add(""), 422, "field-empty");
        problem(add("a\u{7f}"), 422, "field-invalid");
    }
    let add = |notes| app.post_form(path, form(&[&one], &[("polarity", "fake"), ("notes", notes)]));
    problem(add("a\u{7}"), 422, "field-invalid");
    let added: serde_json::Value = add("two\r\n\tlines").json().unwrap();
    assert_eq!(added["notes"], "two\r\n\tlines");
    let own = format!("{path}/{}", added["id"].as_str().unwrap());
    let patch = |body: serde_json::Value| app.request("PATCH", &own).json(&body).send().unwrap();
    problem(patch(serde_json::json!({ "product": "" })), 422, "field-empty");
    problem(patch(serde_json::json!({ "source": "a\nb" })), 422, "field-invalid");
    assert_eq!(patch(serde_json::json!({ "product": null })).status(), 200);
    let lookup = |body: serde_json::Value| app.request("POST", "/v1/lookups").json(&body).send().unwrap();
    problem(lookup(serde_json::json!({ "reference_id": "" })), 422, "field-empty");
    problem(lookup(serde_json::json!({ "reference_id": "ref_\n" })), 422, "field-invalid");
    problem(app.post_form("/v1/lookups", form(&[&one], &[("product", "a\0")])), 422, "field-invalid");
    problem(app.get(&format!("{path}?product=%0a")), 422, "field-invalid");
    let sellers = serde_json::json!({ "authorised_sellers": ["seller\n7"] });
    problem(app.put_policy("acme", &sellers), 422, "policy-sellers-invalid");
    let check = app.check_one(&one)["id"].as_str().unwrap().to_owned();
    let outcome = |body: serde_json::Value| {
        app.request("PUT", &format!("/v1/checks/{check}/outcomes/acme")).json(&body).send().unwrap()
    };
    problem(outcome(serde_json::json!({ "confirmed": true, "decided_by": "" })), 422, "field-empty");
    problem(outcome(serde_json::json!({ "confirmed": true, "note": "a\u{0}" })), 422, "field-invalid");
}
