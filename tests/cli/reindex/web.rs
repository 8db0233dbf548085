use tempfile::TempDir;

use super::super::{stderr, touchstone};
use crate::support::pictures::photo;
use crate::support::store::ObjectServer;

/// Runs a reindex of one URL with settings; returns its exit code and output.
fn fetched(url: &str, settings: &[&str]) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let mut args = vec!["reindex", "--brand", "acme", "--no-points", "--fake", url];
    args.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    let output = touchstone(folder.path(), &args);
    (output.status.code().unwrap(), stderr(&output) + &super::stdout(&output))
}

#[test]
fn nothing_is_fetched_by_url_unless_its_host_was_named_and_its_address_is_public() {
    let server = ObjectServer::start(vec![("photos/1.jpg", photo(1))]);
    let port = server.url().rsplit(':').next().unwrap();
    let by_name = format!("https://localhost:{port}/photos/1.jpg");
    let on = "fetch.urls=true";
    let (code, said) = fetched(&by_name, &[]);
    assert!(code == 7 && said.contains("set fetch.urls = true"), "{code} {said}");
    let (code, said) = fetched(&by_name, &[on]);
    assert!(code == 7 && said.contains("is not among fetch.hosts"), "{code} {said}");
    assert_eq!(server.bytes_sent(), 0);
}

#[test]
fn a_redirect_is_held_to_the_same_hosts_and_addresses() {
    let other = ObjectServer::start(vec![("photos/1.jpg", photo(1))]);
    let elsewhere = other.url().replace("127.0.0.1", "localhost") + "/photos/1.jpg";
    let server = ObjectServer::start(vec![
        ("photos/1.jpg", photo(1)),
        ("redirect/elsewhere.jpg", elsewhere.into_bytes()),
        ("redirect/metadata.jpg", b"http://169.254.169.254/latest/meta-data".to_vec()),
        ("redirect/file.jpg", b"file:///etc/passwd".to_vec()),
        ("redirect/round.jpg", b"/redirect/round.jpg".to_vec()),
    ]);
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("touchstone.toml");
    std::fs::write(&config, "[fetch]\nurls = true\nprivate_addresses = true\nhosts = [\"127.0.0.1\"]\n").unwrap();
    let run = |path: &str| {
        let url = format!("{}/{path}", server.url());
        let args = ["reindex", "--brand", "acme", "--no-points", "--fake", &url, "--config", config.to_str().unwrap()];
        let output = touchstone(folder.path(), &args);
        (output.status.code().unwrap(), stderr(&output) + &super::stdout(&output))
    };
    let (code, said) = run("photos/1.jpg");
    assert_eq!(code, 0, "{said}");
    for path in ["redirect/elsewhere.jpg", "redirect/metadata.jpg", "redirect/file.jpg", "redirect/round.jpg"] {
        let (code, said) = run(path);
        assert!(code != 0 && code != 101, "{path}: {code} {said}");
    }
    assert_eq!(other.bytes_sent(), 0, "nothing was asked of a host that nobody named");
    // A name that resolves to a private address is rejected when the connection is made.
    let sneaky = server.url().replace("http://127.0.0.1", "https://localhost") + "/photos/1.jpg";
    std::fs::write(&config, "[fetch]\nurls = true\nhosts = [\"localhost\"]\n").unwrap();
    let sent = server.bytes_sent();
    let args = ["reindex", "--brand", "acme", "--no-points", "--fake", &sneaky, "--config", config.to_str().unwrap()];
    let output = touchstone(folder.path(), &args);
    let said = stderr(&output) + &super::stdout(&output);
    assert!(!output.status.success() && said.contains("has no public address"), "{said}");
    assert_eq!(server.bytes_sent(), sent);
}
