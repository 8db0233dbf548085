use touchstone::domain::Role;

use crate::support::moderator::{Moderator, client, login};
use crate::support::{PASSWORD, TestApp};

const READ: [&str; 14] = [
    "/console",
    "/console/queue",
    "/console/lookup",
    "/console/overview",
    "/console/events",
    "/console/alliances",
    "/console/lookbacks",
    "/console/audit",
    "/console/cases/chk_1",
    "/console/cases/chk_1/near",
    "/console/cases/chk_1/statement",
    "/console/references/ref_1",
    "/console/notices",
    "/console/notices/ntc_1",
];
const CHANGE: [&str; 13] = [
    "/console/queue/next",
    "/console/cases/chk_1/claim",
    "/console/cases/chk_1/release",
    "/console/cases/chk_1/decide",
    "/console/cases/chk_1/apart",
    "/console/cases/chk_1/reference",
    "/console/cases/chk_1/appeal",
    "/console/cases/chk_1/evidence",
    "/console/references/ref_1/quarantine",
    "/console/notices/ntc_1/act",
    "/console/undo",
    "/console/webhooks/whk_1/deliveries/msg_1/resend",
    "/console/logout",
];

#[test]
fn nobody_sees_or_changes_anything_without_signing_in() {
    let app = TestApp::start();
    let sum = "ab".repeat(32);
    let picture = format!("/console/pictures/photo/{sum}/320");
    for path in READ.into_iter().chain([picture.as_str()]) {
        let answer = client().get(format!("{}{path}", app.url)).send().unwrap();
        assert_eq!(answer.status(), 303, "{path}");
        assert!(answer.headers()["location"].to_str().unwrap().starts_with("/console/login?next="), "{path}");
    }
    for path in CHANGE.into_iter().chain(["/console/lookup"]) {
        let answer = client().post(format!("{}{path}", app.url)).send().unwrap();
        assert_eq!(answer.headers()["location"], "/console/login?next=%2Fconsole", "{path}");
    }
}

#[test]
fn a_form_from_elsewhere_changes_nothing() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    for path in CHANGE {
        for body in ["", "csrf=guessed"] {
            let request = robin.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
            assert_eq!(request.body(body).send().unwrap().status(), 403, "{path} {body}");
        }
    }
    let form = crate::support::form(&[b"photo"], &[("csrf", "guessed")]);
    assert_eq!(robin.request("POST", "/console/lookup").multipart(form).send().unwrap().status(), 403);
    let elsewhere = client()
        .post(format!("{}/console/login", app.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site");
    let body = format!("name=robin&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(elsewhere.body(body).send().unwrap().status(), 403);
}

#[test]
fn pages_allow_scripts_and_forms_of_their_own_only() {
    let app = TestApp::start();
    for path in ["/console/login", "/console/queue", "/console/nowhere-in-assets", "/console/assets/console.js"] {
        let answer = client().get(format!("{}{path}", app.url)).send().unwrap();
        if path == "/console/nowhere-in-assets" {
            continue;
        }
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}

#[test]
fn a_wrong_password_says_no_more_than_a_wrong_name_and_makes_wait() {
    let app = TestApp::start();
    app.account("robin", Role::Moderator);
    let text = |name: &str, password: &str| {
        let answer = login(&app, name, password);
        (answer.status().as_u16(), answer.text().unwrap())
    };
    let wrong = text("robin", "wrong");
    assert_eq!((wrong.0, &wrong), (401, &text("nobody", "wrong")));
    for _ in 0..4 {
        text("robin", "wrong");
    }
    let waiting = login(&app, "robin", PASSWORD);
    assert_eq!((waiting.status().as_u16(), waiting.headers().contains_key("retry-after")), (429, true));
    assert_eq!(text("nobody", "wrong").0, 401, "others need not wait");
}

#[test]
fn a_session_ends_by_signing_out_and_with_its_account() {
    let app = TestApp::start();
    let robin = Moderator::new(&app, "robin");
    let other = Moderator::sign_in(&app, "robin");
    assert_eq!(robin.act("/console/logout", &[]), "/console/login");
    assert_eq!(robin.get("/console/queue").status(), 303);
    assert_eq!(other.get("/console/queue").status(), 200);
    let cli = crate::cli::touchstone(app.folder(), &["user", "disable", "robin"]);
    assert!(cli.status.success(), "{}", crate::cli::stderr(&cli));
    assert_eq!(other.get("/console/queue").status(), 303);
    assert_eq!(login(&app, "robin", PASSWORD).status(), 401);
}

#[test]
fn the_whole_log_is_for_admins() {
    let app = TestApp::start();
    app.account("ada", Role::Admin);
    assert_eq!(Moderator::new(&app, "robin").get("/console/audit").status(), 403);
    let page = Moderator::sign_in(&app, "ada").page("/console/audit");
    assert!(page.contains("sign in") && page.contains("put account"), "{page}");
}

#[test]
fn after_signing_in_only_pages_of_the_console_are_gone_to() {
    let app = TestApp::start();
    app.account("robin", Role::Moderator);
    for (next, expected) in [
        ("/console/queue?brand=acme", "/console/queue?brand=acme"),
        ("//evil.example", "/console"),
        ("/consoles", "/console"),
    ] {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", "robin"), ("password", PASSWORD), ("next", next)])
            .finish();
        let request = client().post(format!("{}/console/login", app.url));
        let answer = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().unwrap();
        assert_eq!(answer.headers()["location"], expected);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    }
}
