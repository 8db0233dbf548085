//! An object store that speaks S3, in a process of its own: moto.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{root, skipped};

const PACKAGES: &str = "moto==5.1.0 flask==3.1.2 flask-cors==6.0.1 werkzeug==3.1.3";

pub struct ObjectStore {
    child: Child,
    url: String,
}

impl ObjectStore {
    /// Starts an empty store with one bucket, `photos`. `None`, and a word about it, where the packages cannot be had.
    pub fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(root().join("scripts/with-python-tools"))
            .args([PACKAGES, "-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = reqwest::blocking::Client::new();
        // The first start fetches the packages.
        for _ in 0..600 {
            let made = client.put(format!("{url}/photos")).timeout(Duration::from_secs(5)).send();
            if made.is_ok_and(|answer| answer.status().is_success()) {
                return Some(Self { child, url });
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = child.kill();
        let _ = child.wait();
        skipped("photos in an object store: moto (PyPI) cannot be started");
        None
    }

    /// Lets a command use the store.
    pub fn configure(&self, command: &mut Command) {
        command.envs([
            ("AWS_ENDPOINT", self.url.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("TOUCHSTONE_STORAGE__PHOTOS", "s3://photos/production"),
        ]);
    }

    /// The listing of all objects whose names begin with a text.
    pub fn list(&self, prefix: &str) -> String {
        reqwest::blocking::get(format!("{}/photos?list-type=2&prefix={prefix}", self.url)).unwrap().text().unwrap()
    }

    /// Lets the store hang, or go on.
    pub fn hang(&self, hangs: bool) {
        let signal = if hangs { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
