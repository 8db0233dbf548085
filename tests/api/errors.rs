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
