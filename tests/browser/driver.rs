use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::skipped;
use tokio::runtime::Runtime;

/// How long a page may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A headless Chromium for one test.
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    /// Folder of downloads.
    pub downloads: TempDir,
}

/// The driver and its port; `None` if it ended.
fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    match lines.find_map(|line| line.ok().filter(|line| line.contains("successfully on port"))) {
        Some(line) => {
            let port = line.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            Some((driver, port))
        }
        None => {
            driver.wait().unwrap();
            None
        }
    }
}

impl Browser {
    /// `None`, with a message, where Chromium or its driver is missing.
    pub fn start() -> Option<Self> {
        let found = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success());
        if !found("chromedriver") || !found("chromium") {
            skipped(
                "a browser, for chromium or chromedriver is missing (Debian: apt-get install chromium chromium-driver)",
            );
            return None;
        }
        // It takes a free port, and ends if somebody else took the same port for the other version of IP.
        let (driver, port) = (0..5).find_map(|_| start_driver()).expect("chromedriver starts");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let downloads = TempDir::new().unwrap();
        let options = json!({ "goog:chromeOptions": {
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900", "--lang=en"],
            "prefs": { "download.default_directory": downloads.path() },
        }});
        let connect = async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder
                .capabilities(options.as_object().unwrap().clone())
                .connect(&format!("http://127.0.0.1:{port}"))
                .await
        };
        let client = runtime.block_on(connect).unwrap();
        Some(Self { runtime, client: Some(client), driver, downloads })
    }

    fn run<T, E: std::fmt::Debug>(&self, work: impl Future<Output = Result<T, E>>) -> T {
        self.runtime.block_on(work).unwrap()
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub fn goto(&self, url: &str) {
        self.run(self.client().goto(url));
    }

    pub fn address(&self) -> String {
        self.run(self.client().current_url()).to_string()
    }

    /// The value of an expression in the page.
    pub fn value(&self, expression: &str) -> Value {
        self.run(self.client().execute(&format!("return {expression}"), Vec::new()))
    }

    /// Runs a script that calls back with its last argument.
    pub fn call_back(&self, script: &str) -> Value {
        self.run(self.client().execute_async(script, Vec::new()))
    }

    pub fn run_script(&self, script: &str) {
        self.run(self.client().execute(script, Vec::new()));
    }

    /// Waits until an expression is true, even across a change of page.
    pub fn wait(&self, expression: &str) {
        let started = Instant::now();
        let is_true = || {
            let script = format!("return Boolean({expression})");
            self.runtime.block_on(self.client().execute(&script, Vec::new())).is_ok_and(|value| value == true)
        };
        while !is_true() {
            assert!(started.elapsed() < PATIENCE, "{expression} at {}: {}", self.address(), self.text("body"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn text(&self, css: &str) -> String {
        self.run(async { self.client().find(Locator::Css(css)).await?.text().await })
    }

    pub fn click(&self, css: &str) {
        self.run(async { self.client().find(Locator::Css(css)).await?.click().await });
    }

    /// Types into a field; of a file field, the path of the file.
    pub fn type_into(&self, css: &str, text: &str) {
        self.run(async { self.client().find(Locator::Css(css)).await?.send_keys(text).await });
    }

    /// Presses a key wherever the focus is.
    pub fn press(&self, key: char) {
        let keys = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.run(self.client().perform_actions(keys));
    }

    /// Presses a key whose effect does not add up until an expression is true, because Chromium drops keys that arrive
    /// before a new page has the focus.
    pub fn press_until(&self, key: char, expression: &str) {
        for _ in 0..20 {
            self.press(key);
            if self.value(&format!("Boolean({expression})")) == true {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.wait(expression);
    }

    /// Sets the width of the screen, narrow for a phone, and light or dark colours.
    pub fn show(&self, width: u32, dark: bool) {
        let height = if width < 600 { 844 } else { 900 };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        let scheme =
            json!({ "features": [{ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } }] });
        for (name, parameters) in
            [("Emulation.setDeviceMetricsOverride", metrics), ("Emulation.setEmulatedMedia", scheme)]
        {
            self.run(self.client().issue_cmd(DevTools { name, parameters }));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of Chromium's own protocol, through its driver.
#[derive(Debug)]
struct DevTools {
    name: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.name, "params": self.parameters }).to_string()))
    }
}
