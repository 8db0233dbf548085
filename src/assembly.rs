//! The parts that commands and the service work with, opened from settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::align::{Vocabulary, VocabularyError};
use crate::config::Config;
use crate::decoder::Decoder;
use crate::embed::{Embedder, ManifestError, ModelError, ModelManifest, load_runtime};
use crate::enrolment::{EnrolError, Enrolment};
use crate::gallery::{Gallery, GalleryError, Vault};
use crate::hygiene::{GenericBank, HygieneError};
use crate::library::{Library, LibraryError};
use crate::scoring::{Scoring, ScoringError};
use crate::screening::Screener;

/// Why the parts cannot be opened.
#[derive(Debug, Error)]
pub enum AssemblyError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The model cannot run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Keypoints cannot be turned into words.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// Probabilities cannot be had.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// The file of the photos' keys cannot be used.
    #[error("photo_keys {path}: {reason}")]
    PhotoKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and nothing of what is in it.
        reason: String,
    },
    /// The gallery cannot be used.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The generic images cannot be used.
    #[error(transparent)]
    Hygiene(#[from] HygieneError),
}

/// A model that runs, and what belongs to it.
#[derive(Clone)]
pub struct Model {
    /// Runs it.
    pub embedder: Arc<Embedder>,
    /// Turns what it sees into probabilities.
    pub scoring: Arc<Scoring>,
    /// Turns keypoints into visual words. The same for every model.
    pub vocabulary: Arc<Vocabulary>,
    /// Generic images, embedded by it.
    pub bank: Arc<GenericBank>,
}

impl Model {
    /// Opens a model by its name.
    ///
    /// # Errors
    /// [`AssemblyError`] says what is missing or wrong.
    pub fn open(config: &Config, name: &str, gallery: &Gallery) -> Result<Self, AssemblyError> {
        load_runtime(&config.runtime)?;
        let manifest = ModelManifest::load(&config.models, name)?;
        let scoring = Scoring::load(&config.models, &manifest)?;
        let embedder = Embedder::start(&config.models, manifest, &config.embed)?;
        let bank = GenericBank::open(&config.generic, &embedder, &config.photo, gallery)?;
        let vocabulary = Vocabulary::load(&config.models)?;
        Ok(Self {
            embedder: Arc::new(embedder),
            scoring: Arc::new(scoring),
            vocabulary: Arc::new(vocabulary),
            bank: Arc::new(bank),
        })
    }
}

/// Opens the gallery of the settings.
///
/// # Errors
/// When the folder, or the file of the photos' keys, cannot be used.
pub fn open_gallery(config: &Config) -> Result<Gallery, AssemblyError> {
    Ok(Gallery::open_sealed(&config.data, vault(config)?)?)
}

/// The keys of the photos, where there are any.
///
/// # Errors
/// When their file cannot be used.
pub fn vault(config: &Config) -> Result<Option<Vault>, AssemblyError> {
    let Some(path) = &config.photo_keys else { return Ok(None) };
    let wrong = |reason: String| AssemblyError::PhotoKeys { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(Vault::parse(&text).map_err(wrong)?))
}

/// A gallery, its index and a model.
#[derive(Clone)]
pub struct Parts {
    /// Answers checks and look-ups.
    pub screener: Screener,
    /// Generic images.
    pub bank: Arc<GenericBank>,
}

impl Parts {
    /// Opens the gallery, and the model that serves it.
    ///
    /// # Errors
    /// [`AssemblyError`] says what is missing or wrong.
    pub fn open(config: &Config) -> Result<Self, AssemblyError> {
        let gallery = Arc::new(open_gallery(config)?);
        let model = Model::open(config, &serving_model(config, &gallery)?, &gallery)?;
        Self::over(config, &config.index_dir, gallery, model)
    }

    /// The parts over a gallery, with the index in `index_dir`.
    ///
    /// # Errors
    /// When the index cannot be opened or made.
    pub fn over(config: &Config, index_dir: &Path, gallery: Arc<Gallery>, model: Model) -> Result<Self, AssemblyError> {
        let Model { embedder, scoring, vocabulary, bank } = model;
        let artefacts = (Arc::clone(&scoring), Arc::clone(&vocabulary));
        let library = Library::open(Arc::clone(&gallery), index_dir, embedder.manifest(), artefacts, &config.index)?;
        let screener = Screener {
            gallery,
            library: Arc::new(library),
            embedder,
            scoring,
            vocabulary,
            decoder: Arc::new(Decoder::new(&config.photo, &config.decoder)),
            matches: config.server.max_matches,
            checks: config.checks.clone(),
        };
        Ok(Self { screener, bank })
    }

    /// Embeds what this model has not seen, and serves it.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn catch_up(&self) -> Result<(), EnrolError> {
        let library = &self.screener.library;
        self.enrolment().embed_missing(&|_| {})?;
        self.enrolment().word_missing(&|_| {})?;
        Ok(library.refresh()?)
    }

    /// For adding references.
    #[must_use]
    pub fn enrolment(&self) -> Enrolment {
        Enrolment {
            gallery: Arc::clone(&self.screener.gallery),
            embedder: Arc::clone(&self.screener.embedder),
            decoder: Arc::clone(&self.screener.decoder),
            vocabulary: Arc::clone(&self.screener.vocabulary),
        }
    }
}

/// The name of the model that serves: the one named for this command, else the one that was promoted, else that of
/// the settings.
///
/// # Errors
/// When the database cannot be read.
pub fn serving_model(config: &Config, gallery: &Gallery) -> Result<String, GalleryError> {
    match &config.model_named {
        Some(named) => Ok(named.clone()),
        None => Ok(gallery.promoted_model()?.unwrap_or_else(|| config.model.clone())),
    }
}
