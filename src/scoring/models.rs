use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Scoring;
use crate::embed::ModelManifest;

/// The artefacts of the model that serves and of models that served before, whose embeddings are still stored.
#[derive(Debug)]
pub struct Scorings {
    models: PathBuf,
    serving: Arc<Scoring>,
    /// By the model's name and checksum; `None` for a model that cannot be loaded.
    others: Mutex<HashMap<String, Option<Arc<Scoring>>>>,
}

impl Scorings {
    /// The artefacts in the folder `models`, of which one is loaded.
    #[must_use]
    pub fn new(models: &Path, serving: &Arc<Scoring>) -> Self {
        Self { models: models.to_owned(), serving: Arc::clone(serving), others: Mutex::default() }
    }

    /// The artefact of a model, by its name and checksum (`NAME@SUM`). `None` if its manifest or artefact is missing, or is
    /// now of another file.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Arc<Scoring>> {
        if self.serving.model == model {
            return Some(Arc::clone(&self.serving));
        }
        self.others.lock().entry(model.to_owned()).or_insert_with(|| self.load(model)).clone()
    }

    fn load(&self, model: &str) -> Option<Arc<Scoring>> {
        let name = model.split('@').next().unwrap_or_default();
        let manifest = ModelManifest::load(&self.models, name).ok().filter(|manifest| manifest.id() == model);
        let scoring = manifest.and_then(|manifest| Scoring::load(&self.models, &manifest).ok());
        if scoring.is_none() {
            tracing::warn!(model, "photos that this model embedded are searched by their keypoints alone");
        }
        scoring.map(Arc::new)
    }
}
