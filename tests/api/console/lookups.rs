use jiff::{Timestamp, ToSpan};

use crate::support::moderator::Moderator;
use crate::support::pictures::{photo, stolen};
use crate::support::{TestApp, form};

fn upload(robin: &Moderator, bytes: &[u8]) -> String {
    let form = form(&[bytes], &[]).text("csrf", robin.csrf.clone());
    let answer = robin.request("POST", "/console/lookup").multipart(form).send().unwrap();
    let location = answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
    location.unwrap_or_else(|| panic!("{}", answer.text().unwrap()))
}

#[test]
fn a_photo_has_a_page_of_similar_images_that_can_be_shared_and_filtered() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add_fake(&photo(1));
    let authentic = app.add("other", "authentic", &photo(2))["id"].as_str().unwrap().to_owned();
    let held = app.add_fake(&photo(3));
    app.request("PATCH", &format!("/v1/brands/acme/references/{held}"))
        .json(&serde_json::json!({ "state": "disabled" }))
        .send()
        .unwrap();
    let place = upload(&robin, &stolen(&photo(1)));
    let kim = Moderator::new(&app, "kim");
    let shown = |filter: &str| {
        let page = kim.page(&format!("{place}{filter}"));
        [&fake, &authentic, &held].map(|id| page.contains(&format!("/console/references/{id}")))
    };
    assert_eq!(shown(""), [true, true, false]);
    assert_eq!(shown("&brand=acme"), [true, false, false]);
    assert_eq!(shown("&polarity=authentic"), [false, true, false]);
    assert_eq!(shown("&product=p1"), [true, true, false]);
    assert_eq!(shown("&product=nothing"), [false, false, false]);
    assert_eq!(shown("&state=disabled"), [false, false, true]);
    let day = |days: i64| (Timestamp::now() + (days * 24).hours()).strftime("%Y-%m-%d").to_string();
    assert_eq!(shown(&format!("&since={}&until={}", day(0), day(0))), [true, true, false]);
    assert_eq!(shown(&format!("&until={}", day(-1))), [false, false, false]);
    assert_eq!(shown(&format!("&since={}", day(1))), [false, false, false]);
    let page = kim.page(&place);
    assert!(page.find(&fake).unwrap() < page.find(&authentic).unwrap(), "nearest first");
    // A look-up by reference works the same way, and leaves that reference out of its results.
    let more = kim.page(&format!("/console/lookup?reference={fake}"));
    assert!(more.contains(&authentic) && !more.contains(&format!("/console/references/{fake}")), "{more}");
}

#[test]
fn what_cannot_be_looked_up_is_told() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    for (path, status) in [
        ("/console/lookup?photo=zz", 422),
        (&format!("/console/lookup?photo={}", "ab".repeat(32)), 404),
        ("/console/lookup?reference=ref_none", 404),
        ("/console/lookup?state=staged&reference=ref_none", 422),
        ("/console/references/ref_none", 404),
        ("/console/cases/chk_none", 404),
        ("/console/queue?status=nonsense", 422),
        ("/console/cases/chk_none?photo=-1", 400),
        ("/console/pictures/photo/ab/large", 400),
        ("/console/nowhere", 404),
    ] {
        let answer = robin.get(path);
        assert_eq!(answer.status(), status, "{path}");
        let page = answer.text().unwrap();
        assert!(page.contains("<h1>") && page.contains("aria-label=\"Console\""), "{path}: {page}");
        // A script inserts the answer into its own page, so the answer is only the message.
        let told = robin.request("GET", path).header("hx-request", "true").send().unwrap().text().unwrap();
        assert!(told.starts_with("<p>") && !told.contains("<html"), "{path}: {told}");
    }
    let form = form(&[b"not a photo, and long enough"], &[]).text("csrf", robin.csrf.clone());
    let refused = robin.request("POST", "/console/lookup").multipart(form).send().unwrap();
    assert_eq!(refused.status(), 422);
    let page = refused.text().unwrap();
    assert!(page.contains("This file cannot be looked up") && page.contains("id=\"drop\""), "{page}");
    let _ = app.add_fake(&photo(1));
    let since = robin.get("/console/lookup?since=yesterday&reference=ref_none").status();
    assert_eq!(since, 422);
}

#[test]
fn pictures_are_made_once_and_go_with_their_photo() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let fake = app.add("acme", "fake", &photo(1));
    let path = format!("/console/pictures/reference/{}/320", fake["sha256"].as_str().unwrap());
    let first = robin.get(&path);
    assert_eq!((first.status().as_u16(), &first.headers()["content-type"]), (200, &"image/jpeg".parse().unwrap()));
    assert!(first.headers()["cache-control"].to_str().unwrap().contains("private"));
    let small = image::load_from_memory(&first.bytes().unwrap()).unwrap();
    assert!(small.width().max(small.height()) <= 320);
    let kept = || {
        walkdir::WalkDir::new(app.folder().join("data/thumbnails"))
            .into_iter()
            .filter(|one| one.as_ref().unwrap().file_type().is_file())
            .count()
    };
    robin.get(&path);
    assert_eq!(kept(), 1);
    assert_eq!(robin.get(&path.replace("320", "321")).status(), 404);
    app.request("DELETE", &format!("/v1/brands/acme/references/{}", fake["id"].as_str().unwrap())).send().unwrap();
    assert_eq!((kept(), robin.get(&path).status().as_u16()), (0, 404));
}

#[test]
fn a_file_that_says_what_it_is_cannot_write_into_a_page() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let evil = "<script>alert(1)</script>\"'>";
    let check = app.check(&[&stolen(&photo(1))], &[("seller_id", evil), ("listing_id", evil), ("brand", evil)]);
    let id = check["id"].as_str().unwrap();
    for path in [format!("/console/cases/{id}"), "/console/queue".to_owned(), "/console/overview".to_owned()] {
        assert!(!robin.page(&path).contains("<script>alert"), "{path}");
    }
}
