//! The service as a separate process, for tests that need one.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::blocking::Client;
use serde_json::Value;

use super::database::name_database;
use super::{client_with, form, root, wait_for};

pub struct Service {
    pub child: Child,
    pub url: String,
    /// The admin key that the folder's first start made.
    pub key: String,
}

impl Service {
    /// Starts over a folder, with more arguments, and waits until it is ready.
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_ready(folder, |command| {
            command.args(args);
        })
    }

    /// As [`Service::start`], with a changed command.
    pub fn start_ready(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let service = Self::start_unready(folder, change);
        wait_for("readiness", || service.status("/readyz").0 == 200);
        service
    }

    fn start_unready(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = serve(folder, &[]);
        change(&mut command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut service = Self { child, url: String::new(), key: String::new() };
        let mut lines = BufReader::new(service.child.stdout.take().unwrap()).lines();
        service.url = loop {
            let line = lines.next().expect("the service starts").unwrap();
            if let Some(key) = line.strip_prefix("first key, of scope admin, shown this once: ") {
                // Synced, because tests cut the power of disks.
                let mut file = File::create(key_file(folder)).unwrap();
                file.write_all(key.as_bytes()).and_then(|()| file.sync_all()).unwrap();
            }
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        service.key = std::fs::read_to_string(key_file(folder)).unwrap();
        service
    }

    pub fn client(&self) -> Client {
        client_with(&self.key)
    }

    /// Status and text of a path.
    pub fn status(&self, path: &str) -> (u16, String) {
        let answer = self.client().get(format!("{}{path}", self.url)).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    /// Status and answer of sending a photo.
    pub fn send(&self, path: &str, photo: &[u8], fields: &[(&'static str, &str)]) -> (u16, Value) {
        let sent = self.client().post(format!("{}{path}", self.url)).multipart(form(&[photo], fields)).send();
        let answer = sent.unwrap();
        (answer.status().as_u16(), answer.json().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that serves a folder on a free port.
pub fn serve(folder: &Path, args: &[&str]) -> Command {
    let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    command
        .current_dir(root())
        .args(["serve", "--set", "server.listen=127.0.0.1:0", "--set", "embed.workers=1", "--set", "server.key_rate=0"])
        .args(["--set", &set("data", "data"), "--set", &set("index_dir", "index")])
        .args(args);
    name_database(&mut command, &folder.join("data"));
    command
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("admin-key")
}
