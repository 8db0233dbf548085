//! Sources of Python packages: an index in the simple format (PEP 503 and 691), such as `PyPI` and its mirrors, or pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use url::Url;

use super::{Pinned, ProvisionError};

/// The package index in this machine's pip settings, if any.
#[must_use]
pub fn configured_index() -> Option<String> {
    let named = std::env::var("PIP_INDEX_URL").ok().filter(|index| !index.is_empty());
    named.or_else(|| files().into_iter().rev().find_map(|path| in_file(&fs::read_to_string(path).ok()?)))
}

/// pip's settings files; later ones take precedence.
fn files() -> Vec<PathBuf> {
    let named = std::env::var_os("PIP_CONFIG_FILE").map(PathBuf::from);
    // pip's convention for no settings file.
    if named.as_ref().is_some_and(|named| named == Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut files = vec![PathBuf::from("/etc/pip.conf")];
    if let Some(home) = std::env::home_dir() {
        files.push(home.join(".pip/pip.conf"));
        files.push(home.join(".config/pip/pip.conf"));
    }
    files.extend(named);
    files
}

fn in_file(text: &str) -> Option<String> {
    let mut global = false;
    text.lines().map(str::trim).find_map(|line| {
        if line.starts_with('[') {
            global = line == "[global]";
        }
        let (name, value) = line.split_once('=')?;
        (global && matches!(name.trim(), "index-url" | "index_url")).then(|| value.trim().to_owned())
    })
}

/// The URL of a package's page.
pub(super) fn page(index: &str, package: &str) -> Result<Url, String> {
    let name = package.to_ascii_lowercase().replace(['_', '.'], "-");
    Url::parse(&format!("{}/{name}/", index.trim_end_matches('/'))).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Page {
    files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

/// The URL of the file with this SHA-256, on a page in either format.
pub(super) fn address(page: &Url, text: &str, sha256: &str) -> Option<Url> {
    let found = match serde_json::from_str::<Page>(text) {
        Ok(page) => {
            let wanted = |file: &ListedFile| file.hashes.get("sha256").is_some_and(|sum| sum == sha256);
            page.files.into_iter().find(wanted).map(|file| file.url)
        }
        // In HTML the SHA-256 is the fragment of the link.
        Err(_) => {
            let at = text.find(&format!("#sha256={sha256}"))?;
            let begins = text[..at].rfind(['"', '\''])? + 1;
            Some(text[begins..at].replace("&amp;", "&"))
        }
    };
    page.join(&found?).ok()
}

/// Lets pip fetch the wheel from the index in its settings.
pub(super) fn by_pip(pinned: &Pinned, wheel: &Path) -> Result<(), ProvisionError> {
    let failed = |reason: String| ProvisionError::Pip {
        package: pinned.package.clone(),
        version: pinned.version.clone(),
        reason,
    };
    let folder = tempfile::TempDir::new().map_err(|error| failed(error.to_string()))?;
    let (python, platform) = &pinned.tags;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"])
        .args(["--python-version", python, "--dest"])
        .arg(folder.path());
    if let Some(platform) = platform {
        pip.args(["--platform", platform]);
    }
    pip.arg(format!("{}=={}", pinned.package, pinned.version));
    let Ok(ended) = pip.output() else { return Err(ProvisionError::NoIndex) };
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().replace('\n', " ");
        let no_pip = said.contains("No module named pip");
        return Err(if no_pip { ProvisionError::NoIndex } else { failed(said) });
    }
    let found = fs::read_dir(folder.path()).ok().and_then(|mut entries| entries.next()).and_then(Result::ok);
    let found = found.ok_or_else(|| failed("it left no file".to_owned()))?;
    fs::copy(found.path(), wheel).map(drop).map_err(|source| ProvisionError::File { path: wheel.to_owned(), source })
}
