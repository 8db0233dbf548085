use touchstone::domain::{Action, CaseStatus, Decision, Kind, Policy, ReferenceState};
use touchstone::gallery::{Certifier, Gallery, IdempotencyKey, ListQuery, QueueQuery, ReferenceUpdate};
use touchstone::photo::{Doubt, Sha256};

use crate::support::fixture;

/// A gallery of an earlier schema, opened by this program.
#[expect(clippy::disallowed_types, reason = "lays an old database out")]
fn migrated(folder: &std::path::Path, version: &str) -> Gallery {
    let old = rusqlite::Connection::open(folder.join("touchstone.db")).unwrap();
    old.execute_batch(&String::from_utf8(fixture(version)).unwrap()).unwrap();
    drop(old);
    Gallery::open(folder).unwrap()
}

#[test]
fn a_gallery_of_the_first_version_keeps_sellers_and_actions_and_loses_what_means_something_else_now() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v1.sql");
    assert_eq!(gallery.id(), "gal_1");
    let policy = |brand: &str| gallery.policy(&brand.parse().unwrap()).unwrap();
    let sellers = |id: &str| Policy { authorised_sellers: vec![id.to_owned()], ..Policy::default() };
    let certified = policy("certified");
    assert_eq!((certified.version, certified.policy), (4, sellers("S1")));
    let strict = policy("strict");
    let actions = Policy { authentic_reuse: Action::Allow, lookalike: Action::Review, ..Policy::default() };
    assert_eq!((strict.version, strict.policy), (2, actions));
    // Unchanged values keep their version.
    let plain = policy("plain");
    assert_eq!((plain.version, plain.policy), (2, sellers("S2")));
    // The change log has these changes and no others.
    let mut changed: Vec<String> =
        gallery.policies_since(7).unwrap().into_iter().map(|(brand, _)| brand.to_string()).collect();
    changed.sort();
    assert_eq!((gallery.revision().unwrap(), changed), (8, vec!["certified".to_owned(), "strict".to_owned()]));
}

#[test]
fn a_gallery_of_the_second_version_keeps_references_vectors_and_outcomes() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v2.sql");
    let acme = "acme".parse().unwrap();
    let bag = gallery.get(&acme, "ref_1").unwrap().unwrap();
    let details = (bag.claim.details.product.as_deref(), bag.claim.details.notes.as_deref());
    assert_eq!((details, bag.state), ((Some("bag"), Some("seen in May")), ReferenceState::Active));
    assert_eq!((bag.mark, bag.quarantine, bag.group), (None, None, None));
    assert_eq!(gallery.get(&acme, "ref_2").unwrap().unwrap().state, ReferenceState::Disabled);
    assert!(gallery.get(&acme, "ref_3").unwrap().is_none());
    let mut rows = Vec::new();
    let revision = gallery
        .visit_changes("small@1", 0, 0, |row| rows.push((row.key, row.active, row.vector.map(|vector| vector.len()))))
        .unwrap();
    assert_eq!((revision, rows), (9, vec![(1, true, Some(8)), (2, false, None), (3, false, None)]));
    assert_eq!(gallery.vector(bag.photo.sha256, "other@1").unwrap().map(|vector| vector.len()), Some(4));
    assert_eq!(gallery.outcomes(&acme, "small-scoring@1").unwrap().len(), 1);
    assert!(gallery.publications().unwrap().is_empty());
    assert_eq!(gallery.undo_publication().unwrap(), None);
}

#[test]
fn a_gallery_of_the_third_version_makes_cases_of_the_checks_that_were_not_allowed() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v3.sql");
    assert!(gallery.case("chk_1").unwrap().is_none(), "it was allowed");
    let known = gallery.case("chk_2").unwrap().unwrap();
    assert_eq!((known.status, known.decision), (CaseStatus::Decided, Some(Decision::Fake)), "there is an outcome");
    assert_eq!(
        (known.reference.as_deref(), known.probability, known.verdict.as_str()),
        (Some("ref_1"), 0.75, "known_fake_match")
    );
    let waiting: Vec<(String, String, f64)> = gallery
        .queue(&QueueQuery { limit: 10, ..QueueQuery::default() })
        .unwrap()
        .into_iter()
        .map(|queued| (queued.case.check_id, queued.case.verdict, queued.case.probability))
        .collect();
    let undecidable = |id: &str| (id.to_owned(), "undecidable".to_owned(), 0.5);
    assert_eq!(waiting, [undecidable("chk_3"), undecidable("chk_4")]);
    let log = gallery.audit(None, 10).unwrap();
    assert_eq!((log.len(), log[0].action.as_str(), log[0].subject.as_str()), (1, "migrate", "chk_2"));
}

#[test]
#[expect(clippy::disallowed_types, reason = "does what nobody may")]
fn the_audit_log_can_neither_be_changed_nor_cut() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = Gallery::open(folder.path()).unwrap();
    for subject in ["chk_1", "chk_2", "chk_1"] {
        gallery.note(("robin", None), "export-evidence", subject, &"sum").unwrap();
    }
    let entries = gallery.audit(None, 10).unwrap();
    assert!(entries.iter().all(touchstone::gallery::AuditEntry::holds));
    assert_eq!((&entries[0].prev, &entries[0].prev_of_subject), (&entries[1].sha256, &entries[2].sha256));
    let database = rusqlite::Connection::open(folder.path().join("touchstone.db")).unwrap();
    for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit WHERE seq = 3"] {
        let refused = database.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
}

#[test]
fn nothing_is_kept_of_a_photo_that_no_reference_needs() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = Gallery::open(folder.path()).unwrap();
    let photo = Sha256::of(b"gone");
    gallery.keep_features(photo, b"features").unwrap();
    assert_eq!(gallery.features(photo), None);
}

#[test]
fn a_gallery_of_the_fourth_version_keeps_cases_and_what_was_said_of_photos() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v4.sql");
    let known = gallery.case("chk_2").unwrap().unwrap();
    assert_eq!((known.decision, known.photo.as_deref()), (Some(Decision::Fake), Some("00")));
    let appealed = gallery.case("chk_3").unwrap().unwrap();
    assert_eq!((appealed.status, appealed.first_decided_by.as_deref()), (CaseStatus::Appealed, Some("robin")));
    let waiting = gallery.queue(&QueueQuery { limit: 10, ..QueueQuery::default() }).unwrap();
    assert_eq!(waiting.len(), 2);
    let pairs = gallery.decided_pairs([1]).unwrap();
    assert_eq!((pairs.len(), pairs[0].decision, &pairs[0].look), (1, Decision::Fake, &None));
    // Without a look, a decision covers only the same bytes.
    let look =
        touchstone::photo::Photo::decode(&fixture("grey.jpg"), &touchstone::photo::Limits::default()).unwrap().look();
    assert!(pairs[0].is_about(Sha256([0x11; 32]), &look) && !pairs[0].is_about(Sha256([1; 32]), &look));
    assert_eq!(gallery.accounts().unwrap().len(), 1);
    let mut prev = String::new();
    gallery
        .visit_audit(|entry| {
            assert_eq!((&entry.prev, &entry.sha256), (&prev, &entry.expected_sha256()));
            prev = entry.sha256;
        })
        .unwrap();
}

#[test]
#[expect(clippy::disallowed_types, reason = "lays an old database out")]
fn a_decision_of_the_fourth_version_is_undone_with_its_outcome() {
    let folder = tempfile::TempDir::new().unwrap();
    let old = rusqlite::Connection::open(folder.path().join("touchstone.db")).unwrap();
    old.execute_batch(&String::from_utf8(fixture("gallery-v4.sql")).unwrap()).unwrap();
    let (case, outcome) = (
        r#"{"check_id":"chk_2","listing_id":"l2","seller_id":"s1","created_at":"2026-02-03T10:00:00Z","verdict":"known_fake_match","action":"review","brand":"acme","polarity":"fake","reference":"ref_1","probability":0.75,"status":"STATUS","decision":DECISION,"decided_by":null,"decided_at":AT,"note":null,"precedent":null,"appeal":null,"appealed_at":null,"first_decided_by":null}"#,
        r#"{"check_id":"chk_2","brand":"acme","polarity":"fake","photo":"1111111111111111111111111111111111111111111111111111111111111111","confirmed":true,"score":0.75,"scoring":"small-scoring@1","decided_by":null,"note":null,"decided_at":"2026-02-04T00:00:00Z"}"#,
    );
    let case = |status: &str, decision: &str, at: &str| {
        case.replace("STATUS", status).replace("DECISION", decision).replace("AT", at)
    };
    let before = format!("{{\"case\":{}}}", case("open", "null", "null"));
    let after =
        format!("{{\"case\":{},\"outcome\":{outcome}}}", case("decided", "\"fake\"", "\"2026-02-04T00:00:00Z\""));
    old.execute(
        "INSERT INTO audit VALUES (3, '2026-11-24T00:00:00Z', 'kim', 'ses_1', 'decide', 'chk_2', ?1, ?2, '', '', '')",
        [&before, &after],
    )
    .unwrap();
    drop(old);
    let gallery = Gallery::open(folder.path()).unwrap();
    let acme = "acme".parse().unwrap();
    assert_eq!(gallery.outcomes(&acme, "small-scoring@1").unwrap().len(), 1);
    let undone = gallery.undo(("kim", "ses_1"), &Certifier { scoring: "none", threshold: |_| None }).unwrap();
    assert!(matches!(undone, touchstone::gallery::Undone::Done(_)), "{undone:?}");
    assert_eq!(gallery.case("chk_2").unwrap().unwrap().status, CaseStatus::Open);
    assert!(gallery.outcomes(&acme, "small-scoring@1").unwrap().is_empty());
}

/// Concurrent writers share a transaction: an error of one does not affect the others, and every write that returned is
/// stored.
#[test]
fn writers_at_once_neither_wait_for_nor_undo_each_other() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = Gallery::open(folder.path()).unwrap();
    let save = |id: &str| {
        let check = touchstone::gallery::StoredCheck {
            id,
            idempotency_key: None,
            request_sha256: Sha256([0; 32]),
            listing_id: None,
            seller_id: None,
            action: "allow",
            created_at: jiff::Timestamp::now(),
            answer: "{}",
            photos: &[],
            hits: &[],
            case: None,
            remembered: &touchstone::gallery::NewRemembered::default(),
            signals: &[],
        };
        gallery.save_check(&check, &touchstone::gallery::FloodLimits::default()).is_ok()
    };
    assert!(save("chk_taken"));
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (save, gallery) = (&save, &gallery);
            scope.spawn(move || {
                for number in 0..40 {
                    let id = format!("chk_{thread}_{number}");
                    assert!(save(&id));
                    assert!(gallery.check(&id).unwrap().is_some(), "it returned, so it is there");
                    assert!(!save("chk_taken"));
                }
            });
        }
    });
    drop(gallery);
    let gallery = Gallery::open(folder.path()).unwrap();
    assert!(
        (0..16).all(|thread| (0..40).all(|number| gallery.check(&format!("chk_{thread}_{number}")).unwrap().is_some()))
    );
}

/// Undo compares stored values with the log's: a number must survive JSON unchanged.
#[test]
fn a_score_survives_the_log() {
    for step in 1..20_000_u16 {
        let score = f64::from(f32::from(step) / 20_011.0);
        let text = serde_json::to_string(&score).unwrap();
        assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), score.to_bits(), "{text}");
    }
}

#[test]
fn a_gallery_of_the_fifth_version_keeps_its_decisions_and_its_log() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v5.sql");
    let decisions = ["chk_2", "chk_3", "chk_4"].map(|id| gallery.case(id).unwrap().unwrap().decision);
    assert_eq!(decisions, [Some(Decision::Fake), Some(Decision::Fake), Some(Decision::PhotoMisuse)]);
    let proof = gallery.verify_audit().unwrap();
    assert_eq!((proof.entries, proof.wrong), (2, None));
    // Fields of the first format are part of its checksum: they stay, and erasing reports them.
    let erased = gallery.forget_seller("test", "s1").unwrap();
    assert_eq!((erased.checks, erased.entries_kept > 0), (2, true));
    assert_eq!(gallery.verify_audit().unwrap().wrong, None);
    assert!(gallery.keys().unwrap().is_empty());
}

#[test]
fn a_gallery_of_the_sixth_version_knows_its_small_references() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v6.sql");
    let acme = "acme".parse().unwrap();
    let doubts = |id: &str| gallery.get(&acme, id).unwrap().unwrap().photo.doubts;
    assert_eq!(doubts("ref_1"), []);
    assert_eq!([doubts("ref_2"), doubts("ref_3")], [[Doubt::TooSmall], [Doubt::TooSmall]]);
    // Followers of the gallery hear of the active one, so that it leaves the index.
    let mut rows = Vec::new();
    let newest =
        gallery.visit_changes("small@1", 7, 7, |row| rows.push((row.key, row.active, row.is_searched()))).unwrap();
    assert_eq!((newest, rows), (8, vec![(2, true, false)]));
}

#[test]
fn references_of_earlier_versions_are_photos_of_which_nothing_is_said() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v6.sql");
    let acme = "acme".parse().unwrap();
    let found = gallery.get(&acme, "ref_1").unwrap().unwrap();
    assert_eq!((found.kind(), found.claim.details.kind, found.photo.kind), (Kind::Photo, None, Kind::Photo));
    let said = ReferenceUpdate { kind: Some(Some(Kind::Logo)), ..ReferenceUpdate::default() };
    assert_eq!(gallery.update("test", &acme, "ref_1", &said).unwrap().unwrap().kind(), Kind::Logo);
    let logos = ListQuery { kind: Some(Kind::Logo), limit: 10, ..ListQuery::default() };
    assert_eq!(gallery.list(&acme, &logos).unwrap().len(), 1);
    let mut kinds = Vec::new();
    gallery.visit_active("small@1", None, |row| kinds.push(row.kind)).unwrap();
    assert!(kinds.contains(&Kind::Logo) && kinds.contains(&Kind::Photo), "{kinds:?}");
}

#[test]
fn a_gallery_of_the_seventh_version_takes_the_visual_words_of_its_references() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v7.sql");
    let without = gallery.without_words("vocabulary", 0, 10).unwrap();
    let first = without.first().unwrap().clone();
    gallery.add_words("vocabulary", &[(&first, vec![1; 16])]).unwrap();
    assert_eq!(gallery.without_words("vocabulary", 0, 10).unwrap().len() + 1, without.len());
    let since = gallery.revision().unwrap() - 1;
    let mut rows = Vec::new();
    gallery.visit_words("vocabulary", since, |row| rows.push((row.key, row.words))).unwrap();
    assert_eq!(rows, [(first.key, Some(vec![1; 16]))], "who follows the gallery hears of it");
}

#[test]
fn a_gallery_of_the_seventh_version_keeps_repeats_and_what_a_brand_must_not_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v7.sql");
    let acme = "acme".parse().unwrap();
    let private = |id: &str| gallery.get(&acme, id).unwrap().unwrap().quarantine.unwrap().private;
    assert_eq!(["ref_4", "ref_5", "ref_6"].map(private), [true, true, false]);
    // The old answer has no key's id: the same request gets it with any key, another request does not.
    let repeated = |api_key, request| {
        let found = gallery.repeated_check(IdempotencyKey { api_key, key: "k1" }, Sha256([request; 32])).unwrap();
        found.map(|found| found.answer.contains("\"id\":\"chk_2\""))
    };
    assert_eq!((repeated("key_1", 0x22), repeated("key_2", 0x22)), (Some(true), Some(true)));
    assert_eq!(repeated("key_1", 0x33), None);
}

#[test]
fn a_gallery_of_the_tenth_version_is_searched_for_no_reference_that_it_had_and_for_each_that_comes() {
    let folder = tempfile::TempDir::new().unwrap();
    let gallery = migrated(folder.path(), "gallery-v10.sql");
    let now = jiff::Timestamp::now();
    assert!(!gallery.follow_lookbacks(now).unwrap(), "its photos were not remembered");
    let acme = "acme".parse().unwrap();
    let update = ReferenceUpdate { state: Some(ReferenceState::Active), ..ReferenceUpdate::default() };
    gallery.update("tests", &acme, "ref_6", &update).unwrap();
    assert!(gallery.follow_lookbacks(now).unwrap());
    let asked: Vec<String> = gallery.lookbacks(None, 10).unwrap().into_iter().map(|one| one.reference_id).collect();
    assert_eq!(asked, ["ref_6"], "it was released");
    assert_eq!(gallery.webhooks().unwrap(), []);
}

#[test]
#[expect(clippy::disallowed_types, reason = "lays a database of the future out")]
fn a_gallery_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::TempDir::new().unwrap();
    drop(Gallery::open(folder.path()).unwrap());
    let database = rusqlite::Connection::open(folder.path().join("touchstone.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    let error = Gallery::open(folder.path()).err().unwrap();
    assert!(error.to_string().contains("has version 99"), "{error}");
    assert!(error.to_string().ends_with("run a newer touchstone"), "{error}");
    assert_eq!(database.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 99);
}
