//! SIGHUP at a running service.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cli::touchstone;
use crate::support::pictures::photo;
use crate::support::service::serve;
use crate::support::{files, wait_for};

/// Writes a certificate for this name to the files that the service's settings name.
fn write_certificate(folder: &std::path::Path, name: &str) {
    let drawn = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(folder.join("chain.pem"), drawn.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), drawn.signing_key.serialize_pem()).unwrap();
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).all(|line| send.send(line).is_ok()));
    lines
}

/// Waits for a line that contains these words.
fn next(lines: &Receiver<String>, words: &str) -> String {
    loop {
        let line = lines.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("no line says {words}"));
        if line.contains(words) {
            return line;
        }
    }
}

#[test]
fn sighup_reads_the_certificate_and_the_logs_filter_again_and_ends_nothing() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("touchstone.toml");
    let log = |filter: &str| std::fs::write(&config, format!("[log]\nfilter = \"{filter}\"\n")).unwrap();
    log("warn");
    write_certificate(folder.path(), "old.example");
    let set = |name: &str, file: &str| format!("server.{name}={}", folder.path().join(file).display());
    let (chain, key) = (set("tls_certificate", "chain.pem"), set("tls_key", "key.pem"));
    let mut command = serve(folder.path(), &["--config", config.to_str().unwrap(), "--set", &chain, "--set", &key]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
    let mut service = Running(child);
    let url = next(&out, "listening on ").replace("listening on ", "");
    let pid = Pid::from_child(&service.0);
    // A new client each time, because open connections keep their certificate.
    let trusts = |pem: &[u8]| {
        let root = reqwest::Certificate::from_pem(pem).unwrap();
        let address = url.strip_prefix("https://").unwrap().parse().unwrap();
        let client = reqwest::blocking::Client::builder().tls_certs_only([root]).resolve("new.example", address);
        let to = format!("https://new.example:{}/healthz", url.rsplit(':').next().unwrap());
        client.build().unwrap().get(to).send().is_ok_and(|answer| answer.status() == 200)
    };
    write_certificate(folder.path(), "new.example");
    let new = std::fs::read(folder.path().join("chain.pem")).unwrap();
    assert!(!trusts(&new), "nobody has looked at the files yet");
    log("info");
    kill_process(pid, Signal::HUP).unwrap();
    next(&err, "SIGHUP");
    wait_for("the new certificate", || trusts(&new));
    // Unusable files change nothing.
    log("touchstone=nolevel");
    std::fs::write(folder.path().join("chain.pem"), "no certificate").unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    next(&err, "the log filter stays unchanged");
    next(&err, "the old one stays in use");
    assert!(trusts(&new));
    for _ in 0..20 {
        kill_process(pid, Signal::HUP).unwrap();
    }
    assert!(trusts(&new));
    assert!(service.0.try_wait().unwrap().is_none(), "it runs");
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(service.0.wait().unwrap().code(), Some(0));
}

/// The runtime destroys its statics when the process ends, and threads still inside it used to crash.
#[test]
fn a_service_that_stops_while_it_embeds_ends_without_a_word_of_its_runtime() {
    let folder = TempDir::new().unwrap();
    let fakes = folder.path().join("fakes");
    std::fs::create_dir(&fakes).unwrap();
    for seed in 0..40 {
        std::fs::write(fakes.join(format!("{seed}.jpg")), photo(seed)).unwrap();
    }
    let args = ["reindex", "--brand", "acme", "--no-points", "--fake", fakes.to_str().unwrap()];
    assert_eq!(touchstone(folder.path(), &args).status.code(), Some(0));
    for _ in 0..6 {
        let copy = TempDir::new().unwrap();
        for (path, bytes) in files(&folder.path().join("data")) {
            let to = copy.path().join(std::path::Path::new(&path).strip_prefix(folder.path()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
        // None of the references has an embedding of this model: they are embedded once it serves.
        let mut command = serve(copy.path(), &["--model", "efficientnet-lite0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let mut service = Running(child);
        next(&out, "listening on ");
        kill_process(Pid::from_child(&service.0), Signal::TERM).unwrap();
        assert_eq!(service.0.wait().unwrap().code(), Some(0));
        let said: Vec<String> = err.iter().collect();
        assert!(said.iter().all(|line| line.contains(" INFO ")), "{said:#?}");
    }
}
