use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::EvaluateError;
use super::dataset::{Dataset, QueryRow, paths};
use super::fit::BACKGROUND;
use super::record::{Class, Pairing, Record};
use crate::domain::{Claim, Details, Kind, Polarity};
use crate::embed::Embedding;
use crate::enrolment::Enrolment;
use crate::gallery::Added;
use crate::photo::Sha256;
use crate::scoring::Sighting;
use crate::screening::{Examination, Held, Screener};

/// A query with its record and everything that a fit needs.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The record, for figures and the report.
    pub record: Record,
    /// The whole photo's embedding.
    pub embedding: Embedding,
    /// Measurements of each reference, in the order of the record's pairings.
    pub sightings: Vec<Seen>,
}

/// The measurements of one reference.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Polarity of the reference.
    pub polarity: Polarity,
    /// Measurements of the comparison.
    pub sighting: Sighting,
    /// Embedding of the view that shows the reference.
    pub view: Arc<Embedding>,
}

/// Adds the dataset's references to an empty gallery. `done` is called once for each.
///
/// # Errors
/// When a photo cannot be read, enrolled or stored.
pub fn enrol(dataset: &Dataset, enrolment: &Enrolment, done: &(dyn Fn() + Sync)) -> Result<(), EvaluateError> {
    dataset.references.par_iter().try_for_each(|row| {
        let bytes = read(&dataset.root.join(&row.path))?;
        let claim = Claim {
            brand: row.brand.clone(),
            polarity: row.polarity,
            details: Details {
                product: Some(row.product.clone()),
                source: Some(row.path.clone()),
                ..Details::default()
            },
        };
        let added =
            enrolment.enrol(&bytes, &claim, None, None).map_err(|error| EvaluateError::file(&row.path, &error))?;
        done();
        match added {
            Added::New(_) => Ok(()),
            Added::Existing(_) | Added::Contradicts(_) => Err(EvaluateError::file(
                &row.path,
                &"the manifest names the same bytes twice as references of one brand",
            )),
        }
    })
}

/// Embeds photos of a folder with a `manifest.csv` for the background set of a fit.
///
/// # Errors
/// When a photo cannot be read, decoded or embedded, or there are fewer than 20.
pub fn background(folder: &Path, enrolment: &Enrolment) -> Result<Vec<Embedding>, EvaluateError> {
    let mut paths = paths(folder)?;
    if paths.len() < 20 {
        return Err(EvaluateError::Fit(format!(
            "{} names {} photos, expected 20 or more",
            folder.display(),
            paths.len()
        )));
    }
    paths.sort_by_key(|path| Sha256::of(path.as_bytes()));
    paths.truncate(BACKGROUND);
    let embed = |path: &String| {
        let failed = |error: &dyn std::fmt::Display| EvaluateError::file(path, error);
        let bytes = read(&folder.join(path))?;
        let photo = enrolment.decoder.decode(&bytes).map_err(|error| failed(&error))?;
        let embedding = enrolment.embedder.submit_patiently(&photo).and_then(crate::embed::Pending::wait);
        embedding.map_err(|error| failed(&error))
    };
    paths.par_iter().map(embed).collect()
}

/// Checks all queries, on all cores; the results are in the dataset's order. `done` is called once for each.
///
/// # Errors
/// When a query cannot be read, decoded or embedded.
pub fn observe(
    dataset: &Dataset,
    screener: &Screener,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Observed>, EvaluateError> {
    let one = |query| {
        let observed = observe_one(query, dataset, screener)?;
        done();
        Ok(observed)
    };
    dataset.queries.par_iter().map(one).collect()
}

fn observe_one(query: &QueryRow, dataset: &Dataset, screener: &Screener) -> Result<Observed, EvaluateError> {
    let failed = |error: &dyn std::fmt::Display| EvaluateError::file(&query.path, error);
    let bytes = read(&query.file)?;
    let started = Instant::now();
    let photo = screener.decoder.decode(&bytes).map_err(|error| failed(&error))?;
    let embedding = screener.embedder.submit_patiently(&photo).and_then(crate::embed::Pending::wait);
    let embedding = embedding.map_err(|error| failed(&error))?;
    let examination = screener.examine(&photo, &embedding).map_err(|error| failed(&error))?;
    let whole = started.elapsed();
    let judgement = screener.verdict_on(&photo, &examination);
    let pairings = pairings(query, &examination, screener).map_err(|error| failed(&error))?;
    let whole_photo = Arc::new(embedding.clone());
    let sightings = photos(&examination).map(|held| Seen {
        polarity: held.found.polarity(),
        sighting: held.sighting,
        view: held.inside.as_ref().map_or_else(|| Arc::clone(&whole_photo), |inside| Arc::clone(&inside.embedding)),
    });
    let sightings = sightings.collect();
    let record = Record {
        query: query.path.clone(),
        class: query.class,
        category: query.category.clone(),
        kind: query.kind.clone(),
        transform: query.transform.clone(),
        strength: query.strength.clone(),
        group: query.group.clone(),
        split: query.split(),
        expected: Some(expected(query, dataset).to_owned()),
        verdict: judgement.verdict.as_str().to_owned(),
        action: judgement.action.as_str().to_owned(),
        reasons: judgement.reasons.iter().map(|reason| reason.code()).collect(),
        views: examination.views,
        first_look_s: whole.saturating_sub(examination.further).as_secs_f64(),
        whole_s: whole.as_secs_f64(),
        pairings,
    };
    Ok(Observed { record, embedding, sightings })
}

/// The candidates that are photos. Figures and fits leave logos out, because their evidence means something else.
fn photos(examination: &Examination) -> impl Iterator<Item = &Held> {
    examination.held.iter().filter(|held| held.kind() == Kind::Photo)
}

fn pairings(query: &QueryRow, examination: &Examination, screener: &Screener) -> Result<Vec<Pairing>, EvaluateError> {
    let keys = photos(examination).map(|held| held.found.key);
    let references = screener.gallery.by_keys(keys).map_err(|error| EvaluateError::file(&query.path, &error))?;
    let pairings = photos(examination).filter_map(|held| {
        let reference = references.get(&held.found.key)?;
        let path = reference.claim.details.source.clone().unwrap_or_default();
        let (polarity, alignment) = (held.found.polarity(), held.sighting.alignment);
        Some(Pairing {
            copy: query.copy_of.as_deref() == Some(&path),
            same_product: reference.claim.details.product.as_deref().is_some_and(|product| query.shows(product)),
            reference: path,
            polarity: polarity.as_str().to_owned(),
            similarity: held.sighting.similarity,
            normalised: held.sighting.normalised,
            inliers: alignment.map_or(0, |found| u32::try_from(found.inliers).unwrap_or(u32::MAX)),
            detail: alignment.map_or(0.0, |found| as_f32(found.detail)),
            structure: alignment.map_or(0.0, |found| as_f32(found.structure)),
            difference: alignment.map_or(0.0, |found| as_f32(found.difference)),
            other_colour: alignment.is_some_and(|found| found.is_recoloured()),
            evidence: as_f32(held.evidence),
            probability: screener.scoring.probability(held.evidence, polarity, 0.0),
        })
    });
    Ok(pairings.collect())
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers, for figures")]
fn as_f32(number: f64) -> f32 {
    number as f32
}

fn expected(query: &QueryRow, dataset: &Dataset) -> &'static str {
    let copied = dataset.references.iter().find(|reference| query.copy_of.as_ref() == Some(&reference.path));
    let shown = dataset.references.iter().any(|reference| query.shows(&reference.product));
    match (query.class, copied.map(|reference| reference.polarity)) {
        (Class::SameKind, _) if shown && query.kind == "logo-imitation" => "brand_mark_imitated",
        (Class::SameKind, _) if shown && query.kind.starts_with("logo") => "brand_mark_seen",
        (Class::Copy, Some(Polarity::Authentic)) => "authentic_photo_reuse",
        (Class::Copy, _) => "known_fake_match",
        (Class::SameKind, _) if shown => "same_product_lookalike",
        _ => "no_match",
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EvaluateError> {
    std::fs::read(path).map_err(|error| EvaluateError::file(&path.display().to_string(), &error))
}
