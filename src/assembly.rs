//! Opens the parts of commands and the service from the settings.

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
use crate::scoring::{Scoring, ScoringError, Scorings};
use crate::screening::{Clock, Screener};

/// Why a part cannot be opened.
#[derive(Debug, Error)]
pub enum AssemblyError {
    /// The model's manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The model or the runtime cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The vocabulary of visual words cannot be used.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The model's scoring artefact cannot be used.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// The file of the photos' keys cannot be used.
    #[error("photo_keys {path}: {reason}")]
    PhotoKeys {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it, without its content.
        reason: String,
    },
    /// The gallery cannot be opened.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The index cannot be opened or rebuilt.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The generic photos cannot be used.
    #[error(transparent)]
    Hygiene(#[from] HygieneError),
}

/// A loaded model with everything that belongs to it.
#[derive(Clone)]
pub struct Model {
    /// Embeds photos.
    pub embedder: Arc<Embedder>,
    /// Turns evidence into probabilities.
    pub scoring: Arc<Scoring>,
    /// Turns keypoints into visual words. The same for every model.
    pub vocabulary: Arc<Vocabulary>,
    /// Photos that many goods share, embedded by this model.
    pub bank: Arc<GenericBank>,
}

impl Model {
    /// Opens a model by the name of its manifest.
    ///
    /// # Errors
    /// [`AssemblyError`] names the missing or invalid part.
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

/// Opens the gallery in the folder `data`.
///
/// # Errors
/// When the folder, or the file of the photos' keys, cannot be used.
pub fn open_gallery(config: &Config) -> Result<Gallery, AssemblyError> {
    Ok(Gallery::open_on(&config.data, &config.storage, vault(config)?)?)
}

/// Reads the photos' keys; `None` if `photo_keys` is not set.
///
/// # Errors
/// When the file of the keys cannot be used.
pub fn vault(config: &Config) -> Result<Option<Vault>, AssemblyError> {
    let Some(path) = &config.photo_keys else { return Ok(None) };
    let wrong = |reason: String| AssemblyError::PhotoKeys { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(Vault::parse(&text).map_err(wrong)?))
}

/// A gallery with its index and a model, ready to answer.
#[derive(Clone)]
pub struct Parts {
    /// Answers checks and look-ups.
    pub screener: Screener,
}

impl Parts {
    /// Opens the gallery, and the model that serves it.
    ///
    /// # Errors
    /// [`AssemblyError`] names the missing or invalid part.
    pub fn open(config: &Config) -> Result<Self, AssemblyError> {
        let gallery = Arc::new(open_gallery(config)?);
        let model = Model::open(config, &serving_model(config, &gallery)?, &gallery)?;
        Self::over(config, &config.index_dir, gallery, model)
    }

    /// Opens the index of a gallery in `index_dir`.
    ///
    /// # Errors
    /// When the index cannot be opened or built.
    pub fn over(config: &Config, index_dir: &Path, gallery: Arc<Gallery>, model: Model) -> Result<Self, AssemblyError> {
        gallery.set_takedown(config.takedown);
        let Model { embedder, scoring, vocabulary, bank } = model;
        let artefacts = (Arc::clone(&scoring), Arc::clone(&vocabulary));
        let library = Library::open(Arc::clone(&gallery), index_dir, embedder.manifest(), artefacts, &config.index)?;
        let screener = Screener {
            gallery,
            library: Arc::new(library),
            embedder,
            scorings: Arc::new(Scorings::new(&config.models, &scoring)),
            scoring,
            vocabulary,
            decoder: Arc::new(Decoder::new(&config.photo, &config.decoder)),
            matches: config.server.max_matches,
            checks: config.checks.clone(),
            memory: config.memory,
            generic: bank,
            alliance: config.alliance.clone(),
            clock: Clock::default(),
        };
        Ok(Self { screener })
    }

    /// Embeds references that this model has not embedded, and serves them.
    ///
    /// # Errors
    /// When the gallery cannot be read or written.
    pub fn catch_up(&self) -> Result<(), EnrolError> {
        let library = &self.screener.library;
        self.enrolment().embed_missing(&|_| {})?;
        self.enrolment().word_missing(&|_| {})?;
        Ok(library.refresh()?)
    }

    /// The parts for adding references.
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

/// The name of the serving model: the one named for this command, else the promoted one, else the one in the settings.
///
/// # Errors
/// When the database cannot be read.
pub fn serving_model(config: &Config, gallery: &Gallery) -> Result<String, GalleryError> {
    match &config.model_named {
        Some(named) => Ok(named.clone()),
        None => Ok(gallery.promoted_model()?.unwrap_or_else(|| config.model.clone())),
    }
}
