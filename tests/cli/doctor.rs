use serde_json::Value;
use tempfile::TempDir;

use super::{brand, command, stderr, stdout, take_in, touchstone};
use crate::support::database::needs_a_file;
use crate::support::service::Service;

fn findings(output: &std::process::Output) -> Vec<(String, String, String)> {
    let all: Vec<Value> = serde_json::from_str(&stdout(output)).unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    all.iter().map(|one| (text(one, "what"), text(one, "state"), text(one, "detail"))).collect()
}

#[test]
fn the_doctor_looks_at_everything_and_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let fresh = touchstone(folder.path(), &["doctor", "--json"]);
    assert_eq!(fresh.status.code(), Some(0), "{}", stdout(&fresh));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let of = |all: &[(String, String, String)], what: &str| {
        all.iter().find(|(name, _, _)| name == what).map(|(_, state, detail)| (state.clone(), detail.clone())).unwrap()
    };
    let (state, detail) = of(&findings(&fresh), "database");
    assert!(state == "doubtful" && detail.contains("the first start or reindex creates it"), "{detail}");

    brand(folder.path());
    take_in(folder.path(), false);
    touchstone(folder.path(), &["key", "add", "--scope", "platform"]);
    touchstone(folder.path(), &["key", "add", "--scope", "admin", "--days", "3"]);
    let all = findings(&touchstone(folder.path(), &["doctor", "--json"]));
    for what in [
        "processor",
        "memory",
        "limits",
        "clock",
        "data",
        "index disk",
        "runtime",
        "model",
        "secrets",
        "service",
        "decoding",
        "embedding",
    ] {
        assert_ne!(of(&all, what).0, "wrong", "{all:?}");
    }
    assert!(of(&all, "index").1.contains("serves 3 references"), "{all:?}");
    let (state, detail) = of(&all, "keys");
    assert!(state == "doubtful" && detail.starts_with("1 platform, 1 admin; within 14 days"), "{detail}");
}

#[test]
fn what_is_wrong_is_one_line_each_and_an_exit_code_of_its_own() {
    let folder = TempDir::new().unwrap();
    let output = touchstone(folder.path(), &["doctor", "--set", "runtime=/nowhere/libonnxruntime.so"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(9), "{said}{}", stderr(&output));
    assert!(
        said.lines().any(|line| line.starts_with("WRONG runtime") && line.contains("touchstone model fetch")),
        "{said}"
    );
    assert!(said.lines().count() <= 24, "one screen: {said}");
    if needs_a_file("a damaged database") {
        return;
    }
    let damaged = folder.path().join("data/touchstone.db");
    std::fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    std::fs::write(&damaged, "no database").unwrap();
    let output = touchstone(folder.path(), &["doctor"]);
    assert!(output.status.code() == Some(9) && stdout(&output).contains("WRONG database"), "{}", stdout(&output));
}

#[test]
fn whether_the_service_is_ready_can_be_asked_without_a_key() {
    let folder = TempDir::new().unwrap();
    let ask = |listen: &str| {
        command(folder.path(), &["doctor", "--ready", "--set", &format!("server.listen={listen}")]).output().unwrap()
    };
    assert_eq!(ask("127.0.0.1:1").status.code(), Some(9));
    let service = Service::start(folder.path(), &[]);
    let address = service.url.strip_prefix("http://").unwrap();
    let output = ask(address);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("is ready"));
}
