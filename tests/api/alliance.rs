//! Alliances: what one member knows about fakes is found by another, without a picture, and never blocks by itself.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use reqwest::blocking::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone::signals::SignalId;

use crate::cli::{stderr, stdout, touchstone};
use crate::support::moderator::Moderator;
use crate::support::pictures::{blank, photo, stolen};
use crate::support::service::serve;
use crate::support::{TestApp, client_with, problem, times, wait_for};

/// A member: a service over TLS on loopback, and its commands.
struct Member {
    app: TestApp,
    folder: Arc<TempDir>,
    certificates: PathBuf,
}

/// Members that accept each other's certificate.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let drawn = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("chain.pem"), drawn.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), drawn.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn member(&self, model: &str) -> Member {
        let (chain, key) = (self.folder.path().join("chain.pem"), self.folder.path().join("key.pem"));
        let folder = Arc::new(TempDir::new().unwrap());
        let app = TestApp::over(Arc::clone(&folder), model, |config| {
            config.server.tls_certificate = Some(chain.clone());
            config.server.tls_key = Some(key.clone());
            // Tests pull on command.
            config.alliance.pull_s = 0;
            config.alliance.trust_from = 2;
            config.alliance.flood = 3;
        });
        Member { app, folder, certificates: chain }
    }

    /// Two members of one alliance; the first one has invited the second.
    fn pair(&self, models: (&str, &str)) -> (Member, Member) {
        let (a, b) = (self.member(models.0), self.member(models.1));
        a.run(&["create", "market-watch", "--as", "acme-market"]);
        b.join(&a.invite("globex", &["--role", "both"]), "globex-market");
        (a, b)
    }
}

impl Member {
    fn try_run(&self, args: &[&str]) -> Output {
        let certificates = format!("alliance.certificates={}", self.certificates.display());
        let hosts = "alliance.hosts=[\"127.0.0.1\"]";
        let settings = ["--set", "alliance.private_addresses=true", "--set", &certificates, "--set", hosts];
        touchstone(self.folder.path(), &[&["alliance"], args, &settings[..]].concat())
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn refused(&self, args: &[&str], code: i32) -> String {
        let output = self.try_run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        stderr(&output)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Invites a member; returns the invitation's file.
    fn invite(&self, name: &str, more: &[&str]) -> String {
        let invitation =
            self.run(&[&["invite", "market-watch", "--name", name, "--url", &self.app.url], more].concat());
        let file = self.file(&format!("invitation-{name}.json"));
        std::fs::write(&file, invitation).unwrap();
        file
    }

    fn join(&self, invitation: &str, name: &str) {
        let said = self.run(&["join", invitation, "--as", name, "--url", &self.app.url]);
        assert!(said.contains("joined market-watch"), "{said}");
    }

    fn listed(&self) -> Value {
        serde_json::from_str(&self.run(&["list", "--json"])).unwrap()
    }

    /// The other member, as this one lists it.
    fn other(&self) -> Value {
        self.listed()["alliances"][0]["members"][0].clone()
    }

    fn alliance(&self) -> String {
        self.listed()["alliances"][0]["alliance"]["id"].as_str().unwrap().to_owned()
    }

    fn check(&self, photo: &[u8]) -> Value {
        // Other processes have written; the service reads that a moment later.
        let newest = self.app.gallery.revision().unwrap();
        let seen = |answer: &Value| {
            let index = answer["versions"]["index"].as_str().unwrap();
            index.split('+').nth(1).unwrap().parse::<u64>().unwrap()
        };
        wait_for("the newest revision", || seen(&self.app.check_one(&blank())) >= newest);
        let answer = self.app.check_one(photo);
        assert_ne!(answer["action"], "block", "a signal never blocks: {answer}");
        answer
    }
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

#[test]
fn a_member_finds_a_fake_that_another_member_shared_without_its_photo() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    let fake = a.app.add_fake(&photo(1));
    a.app.add("acme", "authentic", &photo(2));
    assert_eq!(b.run(&["pull"]).trim(), "acme-market: 0 signals taken, 0 of them quarantined; 0 withdrawn");
    assert_eq!(b.check(&stolen(&photo(1)))["action"], "allow", "nothing is shared by itself");

    a.run(&["share", "market-watch", "--brand", "acme", "--polarity", "fake"]);
    assert!(b.run(&["pull"]).contains("1 signals taken"));
    let answer = b.check(&stolen(&photo(1)));
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("known_fake_likely"), &json!("review")), "{answer}");
    assert!(codes(&answer).contains(&"shared-signal"), "{answer}");
    let found = &answer["photos"][0];
    assert_eq!(found["matches"], json!([]), "no reference of its own");
    let signal = &found["shared"][0];
    assert_eq!((&signal["member"], &signal["alliance"]), (&json!("acme-market"), &json!("market-watch")));
    assert_eq!(
        (&signal["brand"], &signal["polarity"], &signal["decides"]),
        (&json!("acme"), &json!("fake"), &json!(true))
    );
    assert_ne!(signal["signal_id"], json!(fake), "the reference's id stays at home");
    assert_eq!(b.check(&photo(5))["verdict"], "no_match", "another photo");
    assert_eq!(b.app.get_json("/v1/brands/acme/references")["references"], json!([]));
    assert!(b.app.get_json("/v1/brands/acme/certificate").get("certificate").is_none_or(Value::is_null));

    // A moderator sees who vouches, and no picture.
    let robin = Moderator::new(&b.app, "robin");
    let check = answer["id"].as_str().unwrap();
    let page = robin.page(&format!("/console/cases/{check}"));
    assert!(page.contains("Only acme-market has the photo."), "{page}");
    assert!(!page.contains("/console/pictures/reference/"));
    assert!(robin.page("/console/alliances").contains("acme-market"));
    robin.decide(check, "fake");
    b.run(&["pull"]);
    let told = a.app.gallery.reported_on(signal["signal_id"].as_str().unwrap()).unwrap();
    assert_eq!((told.confirmed, told.overturned), (1, 0), "the member hears how its signal fared");

    // What is withdrawn is gone after the next pull, and the other member has said so.
    let state = json!({ "state": "disabled" });
    let path = format!("/v1/brands/acme/references/{fake}");
    assert_eq!(a.app.request("PATCH", &path).json(&state).send().unwrap().status(), 200);
    assert!(b.run(&["pull"]).contains("1 withdrawn"));
    assert_eq!(b.check(&stolen(&photo(1)))["verdict"], "no_match");
    let b_at_a = &a.other()["member"];
    assert_eq!((&b_at_a["given_seq"], &b_at_a["name"]), (&json!(2), &json!("globex-market")), "{b_at_a}");
    assert_eq!(a.listed()["alliances"][0]["alliance"]["log_seq"], 2);

    // The brand itself can be withdrawn, too.
    assert_eq!(a.app.request("PATCH", &path).json(&json!({ "state": "active" })).send().unwrap().status(), 200);
    assert!(b.run(&["pull"]).contains("1 signals taken"));
    a.run(&["unshare", "market-watch", "--brand", "acme"]);
    assert!(b.run(&["pull"]).contains("1 withdrawn"));
}

#[test]
fn three_members_share_and_withdraw_many_signals() {
    let shared = times("SHARED", 30);
    let withdrawn = shared / 10;
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    let c = world.member("sscd-distilled");
    c.join(&a.invite("initech", &["--role", "receives"]), "initech-market");
    let fakes: Vec<String> = (1..=shared).map(|seed| a.app.add_fake(&photo(seed))).collect();
    a.run(&["share", "market-watch", "--brand", "acme"]);
    let taken = format!("{shared} signals taken");
    assert!(b.run(&["pull"]).contains(&taken) && c.run(&["pull"]).contains(&taken));
    let found = |member: &Member| {
        let verdict = |seed| member.check(&stolen(&photo(seed)))["verdict"] == "known_fake_likely";
        (1..=shared).filter(|seed| verdict(*seed)).collect::<Vec<_>>()
    };
    let all: Vec<u64> = (1..=shared).collect();
    assert_eq!((found(&b), found(&c)), (all.clone(), all.clone()));
    for fake in &fakes[..usize::try_from(withdrawn).unwrap()] {
        assert_eq!(
            a.app.request("DELETE", &format!("/v1/brands/acme/references/{fake}")).send().unwrap().status(),
            204
        );
    }
    for member in [&b, &c] {
        assert!(member.run(&["pull"]).contains(&format!("{withdrawn} withdrawn")));
        let signals = member.other()["signals"].as_u64().unwrap();
        assert_eq!(signals, shared - withdrawn);
    }
    // Photos of withdrawn fakes may still look like those of others: what is gone is the signal itself.
    let alliance = a.alliance();
    for (seed, fake) in (1..=withdrawn).zip(&fakes) {
        let id = SignalId::of(&alliance, fake);
        for member in [&b, &c] {
            let answer = member.check(&stolen(&photo(seed)));
            assert!(!answer["photos"][0]["shared"].to_string().contains(id.as_str()), "{answer}");
        }
    }
    let last = shared + withdrawn;
    let given = |name: &str| {
        let listed = a.listed();
        let members = listed["alliances"][0]["members"].as_array().unwrap().clone();
        members.iter().find(|one| one["member"]["name"] == name).unwrap()["member"]["given_seq"].clone()
    };
    assert_eq!((given("globex-market"), given("initech-market")), (json!(last), json!(last)), "both say that they did");
}

#[test]
fn a_decision_about_a_signal_counts_for_its_member_and_for_the_photo() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    for seed in 1..4 {
        a.app.add_fake(&photo(seed));
    }
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["pull"]);
    let robin = Moderator::new(&b.app, "robin");
    for seed in 1..3 {
        let answer = b.check(&stolen(&photo(seed)));
        let id = answer["id"].as_str().unwrap().to_owned();
        robin.decide(&id, "no_match");
        assert_eq!(b.check(&stolen(&photo(seed)))["verdict"], "no_match", "it is left out for this photo");
    }
    // Two of two overturned: from here on, the member's signals only inform.
    let answer = b.check(&stolen(&photo(3)));
    assert_eq!((&answer["verdict"], &answer["action"]), (&json!("no_match"), &json!("allow")), "{answer}");
    let signal = &answer["photos"][0]["shared"][0];
    assert_eq!((&signal["only_informs"], &signal["decides"]), (&json!(true), &json!(false)), "{answer}");
    assert_eq!(signal["member_overturned"], 2);
    assert!(robin.page("/console/alliances").contains("they only inform"));
    // Undoing a decision takes it back.
    robin.act("/console/undo", &[]);
    assert_eq!(b.check(&stolen(&photo(3)))["action"], "review");
}

#[test]
fn own_references_come_first_and_poisoned_signals_are_quarantined() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    // One is B's own authentic photo, slightly changed; one is B's own fake.
    b.app.add("globex", "authentic", &photo(1));
    let own = b.app.add("globex", "fake", &photo(2))["id"].as_str().unwrap().to_owned();
    let shared: Vec<String> = (1..4).map(|seed| a.app.add_fake(&photo(seed))).collect();
    a.run(&["share", "market-watch", "--brand", "acme"]);
    assert!(b.run(&["pull"]).contains("3 signals taken, 1 of them quarantined"));
    let answer = b.check(&photo(1));
    assert_eq!(answer["verdict"], "authentic_photo_reuse", "{answer}");
    let held_back = SignalId::of(&a.alliance(), &shared[0]);
    let named = answer["photos"][0]["shared"].to_string();
    assert!(!named.contains(held_back.as_str()), "{named}");
    let answer = b.check(&stolen(&photo(2)));
    assert_eq!(answer["verdict"], "known_fake_match", "its own reference decides");
    assert_eq!(answer["photos"][0]["matches"][0]["reference_id"], json!(own));
    assert_eq!(answer["photos"][0]["shared"][0]["decides"], json!(false));

    // A signal that matches very many different photos is held back.
    let edits: Vec<Value> = (40..90)
        .step_by(10)
        .map(|quality| {
            let picture = image::load_from_memory(&stolen(&photo(3))).unwrap().to_rgb8();
            b.check(&crate::support::pictures::jpeg(&picture, quality))
        })
        .collect();
    assert_eq!(edits[0]["action"], "review", "{}", edits[0]);
    assert_eq!(edits[4]["action"], "allow", "{}", edits[4]);
    assert_eq!(b.other()["quarantined"], 2);

    // Withdrawing all and sharing it again does not help.
    a.run(&["unshare", "market-watch", "--brand", "acme"]);
    assert!(b.run(&["pull"]).contains("3 withdrawn"));
    assert_eq!(b.other()["quarantined"], 0);
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["pull"]);
    assert_eq!(b.other()["quarantined"], 2);

    // A person can: by command, or on the page.
    let held = b.other()["quarantined_signals"].clone();
    let id = |place: usize| held[place]["id"].as_str().unwrap();
    assert!(held[0]["why"].as_str().unwrap().contains("authentic"), "{held}");
    assert!(held[1]["why"].as_str().unwrap().contains("different photos in 24 hours"), "{held}");
    b.refused(&["release", "market-watch", "acme-market", "sig_00000000000000000000000000000000"], 8);
    assert!(b.run(&["release", "market-watch", "acme-market", id(1)]).contains("takes part in checks again"));
    b.refused(&["release", "market-watch", "acme-market", id(1)], 8);
    assert_eq!(b.check(&stolen(&photo(3)))["action"], "review", "matches are counted from now on");
    assert_eq!(b.other()["quarantined"], 1);
    let robin = Moderator::new(&b.app, "robin");
    let page = robin.page("/console/alliances");
    let key: u64 = page.split("/console/signals/").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    assert!(page.contains(id(0)));
    robin.act(&format!("/console/signals/{key}/release"), &[]);
    assert_eq!(b.other()["quarantined"], 0);
    assert!(!robin.page("/console/alliances").contains("Quarantined signals of"));
}

#[test]
fn own_photos_outrank_signals_that_came_before_them() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    a.app.add_fake(&photo(1));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["pull"]);
    assert_eq!(b.check(&photo(1))["verdict"], "known_fake_likely");
    b.app.add("globex", "authentic", &photo(1));
    let sold = || b.app.check(&[&photo(1)], &[("seller_id", "seller-1")]);
    let answer = sold();
    assert_eq!(answer["verdict"], "authentic_photo_reuse", "{answer}");
    assert_eq!(answer["photos"][0]["shared"][0]["decides"], json!(false), "{answer}");
    // What a moderator settled about the brand's own photo stays settled.
    Moderator::new(&b.app, "robin").decide(answer["id"].as_str().unwrap(), "authorised");
    let answer = sold();
    assert_eq!(answer["action"], "allow", "{answer}");
}

#[test]
fn a_case_about_two_signals_is_decided_photo_by_photo() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    a.app.add_fake(&photo(1));
    a.app.add_fake(&photo(2));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["pull"]);
    b.check(&photo(5));
    let answer = b.app.check(&[&stolen(&photo(1)), &stolen(&photo(2))], &[]);
    let id = answer["id"].as_str().unwrap();
    let signal = |photo: usize| answer["photos"][photo]["shared"][0]["signal_id"].as_str().unwrap();
    let robin = Moderator::new(&b.app, "robin");
    assert_eq!(robin.decide_on(id, "no_match", 0, None), 303);
    assert_eq!(robin.decide_on(id, "fake", 1, None), 303, "the case waits for its second photo");
    assert_eq!(robin.decide_on(id, "fake", 1, None), 409, "the case is decided");
    b.run(&["pull"]);
    let told = |photo: usize| {
        let told = a.app.gallery.reported_on(signal(photo)).unwrap();
        (told.confirmed, told.overturned)
    };
    assert_eq!((told(0), told(1)), ((0, 1), (1, 0)));
}

#[test]
fn a_member_with_another_model_still_compares_fingerprints() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "efficientnet-lite0"));
    a.app.add_fake(&photo(1));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["pull"]);
    let answer = b.check(&photo(1));
    let signal = &answer["photos"][0]["shared"][0];
    assert_eq!(answer["verdict"], "known_fake_likely", "{answer}");
    assert_eq!((signal.get("similarity"), &signal["fingerprint_bits"]), (None, &json!(0)), "{answer}");
    assert_eq!(b.check(&photo(5))["verdict"], "no_match");
}

#[test]
fn an_expelled_member_receives_nothing_and_its_signals_are_deleted() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    a.app.add_fake(&photo(1));
    b.app.add("globex", "fake", &photo(2));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    b.run(&["share", "market-watch", "--brand", "globex"]);
    a.run(&["pull"]);
    assert_eq!(a.check(&stolen(&photo(2)))["verdict"], "known_fake_likely");
    a.run(&["expel", "market-watch", "globex-market"]);
    assert_eq!(a.check(&stolen(&photo(2)))["verdict"], "no_match", "its signals are deleted");
    let said = b.refused(&["pull"], 3);
    assert!(said.contains("acme-market has ended the exchange"), "{said}");
    let fault = &b.other()["member"]["fault"];
    assert_eq!(fault["code"], "member-refused", "{fault}");
    assert!(a.try_run(&["pull"]).status.success(), "nobody is left to ask");

    let left = b.run(&["leave", "market-watch"]);
    assert!(left.contains("left market-watch"), "{left}");
    b.refused(&["share", "market-watch", "--brand", "globex"], 8);
    b.refused(&["leave", "market-watch"], 8);
    b.refused(&["export", "market-watch", &b.file("pack")], 8);
}

#[test]
fn an_expelled_member_can_be_invited_again() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    a.app.add_fake(&photo(1));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    assert!(b.run(&["pull"]).contains("1 signals taken"));
    a.run(&["expel", "market-watch", "globex-market"]);
    b.join(&a.invite("globex", &["--role", "both"]), "globex-market");
    assert!(b.run(&["pull"]).contains("1 signals taken"), "the log is read from its start");
    assert_eq!(b.check(&stolen(&photo(1)))["verdict"], "known_fake_likely");
}

#[test]
fn a_join_that_fails_changes_nothing_and_a_forged_invitation_is_refused() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    a.app.add_fake(&photo(1));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    assert!(b.run(&["pull"]).contains("1 signals taken"));
    let before = b.other();
    // Open at A, but not for long.
    let second = a.invite("globex", &[]);
    a.run(&["expel", "market-watch", "globex"]);
    let join = |file: &str, code| b.refused(&["join", file, "--as", "globex-market", "--url", &b.app.url], code);
    assert!(join(&second, 1).contains("not joined"));
    assert_eq!(b.other(), before, "the exchange goes on");
    assert!(b.run(&["pull"]).contains("0 signals taken"));
    // The pull has noted its time.
    let before = b.other();

    let mut forged: Value = serde_json::from_slice(&std::fs::read(a.invite("globex", &[])).unwrap()).unwrap();
    forged["url"] = json!("https://127.0.0.1:1");
    std::fs::write(b.file("forged.json"), forged.to_string()).unwrap();
    assert!(join(&b.file("forged.json"), 2).contains("not signed by the key that it names"));
    assert_eq!(b.other(), before);
}

#[test]
fn what_is_shared_with_an_alliance_reaches_another_member_only_on_purpose() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    let c = world.member("sscd-distilled");
    c.join(&a.invite("initech", &[]), "initech-market");
    let second = b.invite("initech", &["--role", "both"]);
    let join = ["join", &second, "--as", "initech-market", "--url", &c.app.url];
    assert!(c.refused(&join, 8).contains("add --existing"));
    c.run(&[&join[..], &["--existing"]].concat());
    b.app.add("globex", "fake", &photo(2));
    b.run(&["share", "market-watch", "--brand", "globex"]);
    assert!(c.run(&["pull"]).contains("globex-market: 1 signals taken"));
}

#[test]
fn members_without_a_connection_exchange_files() {
    let world = World::new();
    let (a, b) = (world.member("sscd-distilled"), world.member("sscd-distilled"));
    a.run(&["create", "market-watch", "--as", "acme-market"]);
    let invitation = a.run(&["invite", "market-watch", "--name", "globex"]);
    std::fs::write(b.file("invitation.json"), invitation).unwrap();
    let reply = b.run(&["join", &b.file("invitation.json"), "--as", "globex-market"]);
    std::fs::write(a.file("reply.json"), &reply).unwrap();
    assert_eq!(a.run(&["accept", &a.file("reply.json")]).trim(), "globex-market joined");
    a.app.add_fake(&photo(1));
    a.run(&["share", "market-watch", "--brand", "acme"]);
    let (first, second) = (a.file("first.pack"), a.file("second.pack"));
    a.run(&["export", "market-watch", &first]);
    a.app.add_fake(&photo(2));
    a.run(&["export", "market-watch", &second, "--after", "1"]);
    let import = |file: &str| ["import", "market-watch", file, "--from", "acme-market"].map(str::to_owned);
    let refused = |file: &str, code| b.refused(&import(file).each_ref().map(String::as_str), code);
    assert!(
        refused(&second, 7)
            .contains("starts after line 1 of the log, expected after line 0; lines in between are missing")
    );
    let mut changed = std::fs::read(&first).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(b.file("changed"), changed).unwrap();
    refused(&b.file("changed"), 7);
    assert!(b.run(&import(&first).each_ref().map(String::as_str)).contains("1 signals taken"));
    assert!(refused(&first, 7).contains("its lines were taken before"));
    assert!(b.run(&import(&second).each_ref().map(String::as_str)).contains("1 signals taken"));
    assert_eq!(b.check(&stolen(&photo(2)))["verdict"], "known_fake_likely");
    b.refused(&["import", "market-watch", &first, "--from", "nobody"], 8);
    b.refused(&["import", "nowhere", &first, "--from", "acme-market"], 8);
}

#[test]
fn references_without_keypoints_get_them_before_they_are_shared() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes/bag");
    std::fs::create_dir_all(&fakes).unwrap();
    std::fs::write(fakes.join("1.jpg"), photo(1)).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |args: &[&str]| {
        let output = touchstone(folder.path(), args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let (fakes, pack) = (path("fakes"), path("pack"));
    run(&["reindex", "--brand", "acme", "--fake", &fakes, "--no-points"]);
    run(&["alliance", "create", "market-watch", "--as", "acme-market"]);
    run(&["alliance", "share", "market-watch", "--brand", "acme"]);
    assert!(run(&["alliance", "export", "market-watch", &pack]).contains("contains lines 1 to 1"));
    let lines = String::from_utf8(zstd::decode_all(std::fs::File::open(&pack).unwrap()).unwrap()).unwrap();
    assert!(lines.lines().nth(1).unwrap().contains("\"keypoints\":{"), "{lines}");
    assert!(run(&["alliance", "export", "market-watch", &pack, "--after", "1"]).contains("nothing new to export"));
}

#[test]
fn an_invitation_is_for_one_member_and_a_key_for_one_alliance() {
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    let c = world.member("sscd-distilled");
    let used = a.file("invitation-globex.json");
    let not_one = a.refused(&["join", &a.certificates.display().to_string(), "--as", "x"], 7);
    assert!(not_one.contains("expected an invitation, which touchstone alliance invite prints"), "{not_one}");
    let said = c.refused(&["join", &used, "--as", "initech-market", "--url", &c.app.url], 1);
    assert!(said.contains("409") && said.contains("not open here"), "{said}");
    assert_eq!(c.listed()["alliances"], json!([]), "nothing of it stays");
    assert!(a.refused(&["create", "market-watch", "--as", "acme-market"], 8).contains("choose another name"));
    assert!(a.refused(&["create", "second", "--as", "other"], 8).contains("use --as \"acme-market\""));
    a.refused(&["unshare", "market-watch", "--brand", "acme"], 8);
    assert!(
        a.refused(&["join", &used, "--as", "acme-market"], 8).contains("this touchstone made the invitation itself")
    );
    a.refused(&["invite", "nowhere", "--name", "x"], 8);
    a.refused(&["create", "", "--as", "acme-market"], 2);
    a.refused(&["invite", "market-watch", "--name", "x", "--url", "ftp://x"], 2);

    let invitation: Value = serde_json::from_slice(&std::fs::read(&used).unwrap()).unwrap();
    let (key, alliance) = (invitation["key"].as_str().unwrap(), a.alliance());
    let get = |path: &str| -> Response { client_with(key).get(format!("{}{path}", a.app.url)).send().unwrap() };
    assert_eq!(get(&format!("/v1/alliances/{alliance}/signals")).status(), 200);
    problem(get("/v1/alliances/all_other/signals"), 404, "not-found");
    problem(get(&format!("/v1/alliances/{alliance}/signals?after=7")), 409, "log-too-short");
    problem(get(&format!("/v1/alliances/{alliance}/signals?limit=0")), 422, "limit-invalid");
    problem(get("/v1/index"), 403, "key-scope");
    let acknowledge = |body: Value| {
        let path = format!("{}/v1/alliances/{alliance}/acknowledgements", a.app.url);
        client_with(key).post(path).json(&body).send().unwrap()
    };
    problem(acknowledge(json!({ "seq": 9 })), 409, "log-too-short");
    problem(
        acknowledge(json!({ "seq": 0, "feedback": [{ "id": "sig_x", "confirmed": 1, "overturned": 0 }] })),
        422,
        "json-invalid",
    );
    assert_eq!(acknowledge(json!({ "seq": 0 })).status(), 204);
    // A member that only gives signals gets none.
    let giver = a.invite("giver", &["--role", "shares"]);
    c.join(&giver, "initech-market");
    let invitation: Value = serde_json::from_slice(&std::fs::read(&giver).unwrap()).unwrap();
    let path = format!("{}/v1/alliances/{alliance}/signals", a.app.url);
    problem(client_with(invitation["key"].as_str().unwrap()).get(path).send().unwrap(), 403, "member-not-allowed");
    drop(b);
}

/// The service is killed while it pulls, again and again.
#[test]
fn nothing_is_lost_or_taken_twice_when_a_member_is_killed_while_it_pulls() {
    const SHARED: u64 = 24;
    let world = World::new();
    let (a, b) = world.pair(("sscd-distilled", "sscd-distilled"));
    for seed in 1..=SHARED {
        a.app.add_fake(&photo(seed));
    }
    a.run(&["share", "market-watch", "--brand", "acme"]);
    let Member { app, folder, certificates } = b;
    drop(app);
    let config = pulling(folder.path(), &certificates);
    for _ in 0..times("KILLS", 3) {
        let mut service = serve(folder.path(), &["--config", &config]);
        let mut service = service.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rand::random_range(300..1500)));
        service.kill().and_then(|()| service.wait()).unwrap();
    }
    let mut service = serve(folder.path(), &["--config", &config]);
    let mut service = service.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let count = || {
        let listed = touchstone(folder.path(), &["alliance", "list", "--json"]);
        let listed: Value = serde_json::from_str(&stdout(&listed)).unwrap();
        listed["alliances"][0]["members"][0]["signals"].as_u64().unwrap()
    };
    wait_for("all signals", || count() == SHARED);
    wait_for("the acknowledgement", || a.other()["member"]["given_seq"] == json!(SHARED));
    service.kill().and_then(|()| service.wait()).unwrap();
}

/// A file of settings with which a service pulls every second.
fn pulling(folder: &Path, certificates: &Path) -> String {
    let path = folder.join("pulling.toml");
    let text = format!(
        "[alliance]\npull_s = 1\nhosts = [\"127.0.0.1\"]\nprivate_addresses = true\ncertificates = {:?}\n",
        certificates.display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
