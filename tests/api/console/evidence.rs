use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::{ZipArchive, ZipWriter};

use super::case;
use crate::cli::{stderr, stdout, touchstone};
use crate::support::TestApp;
use crate::support::database::{on_postgres, tamper};
use crate::support::moderator::Moderator;
use crate::support::pictures::photo;

type Files = BTreeMap<String, Vec<u8>>;

fn unpacked(zip: &[u8]) -> Files {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn packed(files: &Files) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(
            name.as_str(),
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
        )
        .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Exit code and output of `touchstone verify-evidence`.
fn verify(folder: &Path, zip: &[u8]) -> (Option<i32>, String) {
    let path = folder.join("bundle.zip");
    std::fs::write(&path, zip).unwrap();
    let output = touchstone(folder, &["verify-evidence", path.to_str().unwrap()]);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

fn decided() -> (TestApp, Moderator, String) {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    app.add_fake(&photo(1));
    let id = case(&app, "s1", &[1, 2]);
    robin.decide(&id, "fake");
    (app, robin, id)
}

fn bundle(robin: &Moderator, id: &str) -> Vec<u8> {
    let answer = robin.post(&format!("/console/cases/{id}/evidence"), &[]);
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/zip".parse().unwrap())
    );
    answer.bytes().unwrap().to_vec()
}

#[test]
fn a_bundle_is_checked_without_the_service() {
    let (app, robin, id) = decided();
    let zip = bundle(&robin, &id);
    let (code, said) = verify(app.folder(), &zip);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("case {id}, fake")) && said.contains("2 photos"), "{said}");
    // The service's log has the bundle's checksum.
    let sum = said.split("SHA-256 ").nth(1).unwrap().split(';').next().unwrap();
    assert!(robin.page(&format!("/console/cases/{id}")).contains(sum), "{sum}");
    let names: Vec<String> = unpacked(&zip).into_keys().collect();
    assert!(
        names.iter().any(|name| name == "statement.json")
            && names.iter().any(|name| name.starts_with("references/ref_")),
        "{names:?}"
    );
}

#[test]
fn whatever_is_changed_in_a_bundle_is_found() {
    let (app, robin, id) = decided();
    let files = unpacked(&bundle(&robin, &id));
    for name in files.keys() {
        let mut changed = files.clone();
        let bytes = changed.get_mut(name).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert_eq!(verify(app.folder(), &packed(&changed)).0, Some(6), "{name} changed");
        let mut cut = files.clone();
        cut.remove(name);
        assert_eq!(verify(app.folder(), &packed(&cut)).0, Some(6), "{name} cut out");
    }
    let mut more = files.clone();
    more.insert("photos/99-more".to_owned(), photo(9));
    assert_eq!(verify(app.folder(), &packed(&more)).0, Some(6));
    for garbage in [&b""[..], b"no zip", &packed(&files)[..200]] {
        assert_eq!(verify(app.folder(), garbage).0, Some(6));
    }
}

/// A forger who also recomputes checksums is detected by the log and by contradictions between the parts.
#[test]
fn a_forged_decision_does_not_agree_with_the_log() {
    let (app, robin, id) = decided();
    let mut files = unpacked(&bundle(&robin, &id));
    let forged = String::from_utf8(files["case.json"].clone())
        .unwrap()
        .replace("\"decision\": \"fake\"", "\"decision\": \"authorised\"");
    files.insert("case.json".to_owned(), forged.into_bytes());
    let mut manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    manifest["files"]["case.json"] = touchstone::photo::Sha256::of(&files["case.json"]).to_string().into();
    files.insert("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap());
    let (code, said) = verify(app.folder(), &packed(&files));
    assert!(code == Some(6) && said.contains("the last value in log.json is \"fake\""), "{said}");
}

#[test]
fn the_statement_says_what_article_17_asks_for() {
    let (_app, robin, id) = decided();
    let page = robin.page(&format!("/console/cases/{id}/statement"));
    for part in [
        "(a) The restriction",
        "(b) The facts and circumstances",
        "(c) The use of automated means",
        "The match was found by automated means",
        "The decision was taken by a person.",
        "(d) The legal ground",
        "2017/1001",
        "(e) The contractual ground",
        "(f) What you can do",
        "out-of-court dispute settlement",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    robin.act("/console/undo", &[]);
    assert_eq!(robin.get(&format!("/console/cases/{id}/statement")).status(), 422, "nothing is restricted");
}

#[test]
fn the_log_holds_what_was_done_and_proves_that_nothing_was_changed() {
    let (app, robin, id) = decided();
    robin.act("/console/undo", &[]);
    let whole = touchstone(app.folder(), &["audit", "verify"]);
    assert!(whole.status.success() && stdout(&whole).contains("events are valid"), "{}", stderr(&whole));
    let page = robin.page(&format!("/console/cases/{id}"));
    for deed in ["decide", "undo"] {
        assert!(page.contains(&format!("<td>{deed}</td>")), "{deed}");
    }
    forge(&app.folder().join("data"));
    let changed = touchstone(app.folder(), &["audit", "verify"]);
    assert!(
        changed.status.code() == Some(6) && stderr(&changed).contains("the audit log was changed"),
        "{}",
        stderr(&changed)
    );
}

/// Does what nobody may.
fn forge(data: &Path) {
    let of = if on_postgres() { " ON audit" } else { "" };
    let sql = "UPDATE audit SET actor = 'nobody' WHERE action = 'decide'";
    tamper(data, &format!("DROP TRIGGER audit_is_not_changed{of}; {sql}"));
}

/// A forger who also recomputes checksums cannot contradict the log.
#[test]
fn a_forged_case_photo_or_part_is_found_though_its_sums_were_forged_as_well() {
    let (app, robin, id) = decided();
    let files = unpacked(&bundle(&robin, &id));
    let forged = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        let mut manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let parts = files.iter().filter(|(name, _)| *name != "manifest.json");
        manifest["files"] =
            parts.map(|(name, bytes)| (name.clone(), touchstone::photo::Sha256::of(bytes).to_string())).collect();
        files.insert("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap());
        verify(app.folder(), &packed(&files))
    };
    assert_eq!(forged(&|_| {}).0, Some(0));
    for (field, other) in [("decided_by", "kim"), ("seller_id", "s9"), ("listing_id", "l9")] {
        let (code, said) = forged(&|files| {
            let mut case: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
            case[field] = other.into();
            files.insert("case.json".to_owned(), serde_json::to_vec(&case).unwrap());
        });
        assert!(code == Some(6) && said.contains(field), "{field}: {said}");
    }
    let photos: Vec<&String> = files.keys().filter(|name| name.starts_with("photos/")).collect();
    assert!(photos.iter().all(|name| name.split('.').next_back() == Some("jpg")), "{photos:?}");
    let (code, said) = forged(&|files| drop(files.insert(photos[1].clone(), files[photos[0]].clone())));
    assert!(code == Some(6) && said.contains("is not a photo that answer.json names"), "{said}");
    for name in ["../../etc/passwd", "photos/../x", "more.txt"] {
        let (code, said) = forged(&|files| drop(files.insert(name.to_owned(), vec![1])));
        assert!(code == Some(6) && said.contains("is not a part of a bundle"), "{name}: {said}");
    }
    let text = String::from_utf8(files["statement.txt"].clone()).unwrap();
    assert!(text.contains("(f) What you can do") && text.contains("Listing: l1"), "{text}");
}
