//! What is found of references in a photo: candidates by its embedding and by its keypoints; geometric verification of those
//! that come into question; and the pictures inside it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::align::{Alignment, FoundLogo, LocalFeatures, QueryFeatures, align, find_logo, is_same_picture};
use crate::embed::{EmbedError, Embedding};
use crate::enrolment::features;
use crate::gallery::{BrandId, Kind, Polarity, Reference};
use crate::library::{Filter, Found};
use crate::photo::{Panel, Photo};
use crate::scoring::Sighting;
use crate::telemetry;

use super::{ScreenError, Screener};

/// Neighbours of the whole photo looked at for a verdict, at least.
const NEIGHBORS: usize = 16;
/// Votes of keypoints from which on a reference is a candidate.
const LEAST_VOTES: f32 = 2.0;
/// References that keypoints find, at most: near-duplicates of one picture must not hide another.
const MOST_VOTED: usize = 256;
/// References looked for in the whole photo, at most.
const LOOKED_FOR: usize = 12;
/// When one reference is near enough for a second look, others this much less similar get one too: beside
/// other pictures, as in a collage, the copied one need not come first.
pub const LOOK_BELOW: f32 = 0.07;
/// With fewer points on either side, that a reference was not found says nothing.
const POINTS_TO_FIND: usize = 8;
/// References looked for in each picture inside the photo.
const LOOKED_FOR_IN_PANEL: usize = 4;
/// From this probability on the first finding is believed, and no more views are taken.
const CONCLUSIVE: f32 = 0.9;

/// Lowest similarity of the same file's embeddings: they differ only by rounding.
const SAME_FILE_SIMILARITY: f32 = 0.999;
/// Lowest log-odds of a copy if the bytes are the same.
const SAME_FILE_EVIDENCE: f64 = 12.0;
/// The same if the whole pictures are the same except for compression, size and a slight change of tone.
const SAME_PICTURE_EVIDENCE: f64 = 8.0;
/// Pictures with a lower similarity are not compared directly.
const SAME_PICTURE_SIMILARITY: f32 = 0.7;
/// A reference in the photo's own colour silences those in other colours from this probability on.
const OWN_COLOUR: f32 = 0.5;
/// The log-odds of a logo that was not looked for.
const LOGO_NOT_SEEN: f64 = -10.0;
/// The log-odds of the silenced ones drop to this.
const OTHER_COLOUR_EVIDENCE: f64 = -4.0;

/// A reference that was held against a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The reference, as the index found it.
    pub found: Found,
    /// Votes of the photo's keypoints, 0 where there are too few.
    pub votes: f32,
    /// What was seen.
    pub sighting: Sighting,
    /// Log-odds of a copy, before calibration.
    pub evidence: f64,
    /// The picture inside the photo in which it was seen; `None` for the whole photo.
    pub inside: Option<Inside>,
    /// The evidence before a reference in the photo's own colour silenced this one.
    pub silenced_from: Option<f64>,
    /// Whether the photo is the reference's file.
    pub same_file: bool,
    /// What was found of it, if it is a logo: its evidence is then that it is in the photo, changed or not.
    pub logo: Option<FoundLogo>,
}

impl Held {
    /// What kind of picture the reference is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.found.entry.kind
    }

    /// Looks for a logo in the photo, and takes what is found for its evidence.
    fn look_for_logo(&mut self, photo: &QueryFeatures, logo: Option<&LocalFeatures>) {
        self.logo = logo.and_then(|logo| find_logo(photo, logo));
        self.sighting.alignment = self.logo.map(|found| found.alignment);
        self.sighting.looked = true;
        self.evidence = self.logo.map_or(LOGO_NOT_SEEN, |found| found.evidence);
    }
}

/// A picture inside a photo, as it was embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// Where it lies.
    pub panel: Panel,
    /// Its own embedding.
    pub embedding: Arc<Embedding>,
}

/// Everything that was seen on a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// The references held against it: those of the whole photo, most similar first, then those that were found
    /// inside it only.
    pub held: Vec<Held>,
    /// Views that were embedded: the whole photo, and pictures inside it.
    pub views: u32,
    /// Whether references were looked for point by point.
    pub looked: bool,
    /// Time that everything after the first look took.
    pub further: Duration,
}

impl Screener {
    /// Holds the references that come into question against a photo.
    ///
    /// # Errors
    /// When the gallery cannot be read, or the model is busy or fails.
    pub fn examine(&self, photo: &Photo, embedding: &Embedding) -> Result<Examination, ScreenError> {
        self.examine_beside(photo, embedding, self.same(photo))
    }

    /// The references in doubt that are identical to this photo.
    pub(super) fn same(&self, photo: &Photo) -> Vec<Found> {
        self.library.same(photo.sha256(), (photo.width(), photo.height()), || photo.pixel_sum())
    }

    /// As [`Screener::examine`], for a photo that may have been shrunk since the call of [`Screener::same`].
    pub(super) fn examine_beside(
        &self,
        photo: &Photo,
        embedding: &Embedding,
        same: Vec<Found>,
    ) -> Result<Examination, ScreenError> {
        let level = self.scoring.level(embedding);
        let mut examination = self.first_look(embedding, level);
        let started = Instant::now();
        let features = QueryFeatures::of(photo.rgb());
        self.add_voted(&features, (embedding, level), &mut examination);
        let similar = examination.held.iter().any(|held| self.scoring.look_from.reached(&held.sighting, 0.0));
        if similar || examination.held.iter().any(|held| held.votes > 0.0) {
            self.verify(&features, similar, &mut examination)?;
        }
        for found in same {
            let sighting = seen(found.similarity, level);
            let held = self.hold(found, sighting, None);
            let evidence = held.evidence.max(SAME_FILE_EVIDENCE);
            merge(&mut examination.held, Held { evidence, ..held });
        }
        self.prefer_identity(photo, &mut examination)?;
        self.prefer_own_colour(&mut examination);
        if !self.is_conclusive(&examination) {
            self.look_inside(photo, &mut examination)?;
            self.prefer_own_colour(&mut examination);
        }
        examination.further = started.elapsed();
        telemetry::looked(examination.looked, examination.views);
        Ok(examination)
    }

    /// If a reference is the same file, that outweighs the keypoints.
    fn prefer_identity(&self, photo: &Photo, examination: &mut Examination) -> Result<(), ScreenError> {
        let alike = |held: &Held| held.sighting.similarity >= SAME_FILE_SIMILARITY;
        let keys: Vec<u64> = examination.held.iter().filter(|held| alike(held)).map(|held| held.found.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let references = self.gallery.by_keys(keys)?;
        for held in examination.held.iter_mut().filter(|held| alike(held)) {
            let reference = references.get(&held.found.key);
            if reference.is_some_and(|reference| reference.photo.sha256 == photo.sha256()) {
                held.evidence = held.evidence.max(SAME_FILE_EVIDENCE);
                held.same_file = true;
            }
        }
        Ok(())
    }

    /// If references of one brand show one photograph in several colours, only those in the photo's own colour count.
    /// A brand never silences another's references.
    pub(super) fn prefer_own_colour(&self, examination: &mut Examination) {
        let own: Vec<(BrandId, Alignment)> = examination
            .held
            .iter()
            .filter(|held| {
                held.kind() == Kind::Photo
                    && !held.sighting.is_recoloured()
                    && self.scoring.probability(held.evidence, held.found.polarity(), 0.0) >= OWN_COLOUR
            })
            .filter_map(|held| {
                let place = held.sighting.alignment.filter(Alignment::holds)?;
                Some(((*held.found.entry.brand).clone(), place))
            })
            .collect();
        let recoloured = |held: &&mut Held| held.kind() == Kind::Photo && held.sighting.is_recoloured();
        for held in examination.held.iter_mut().filter(recoloured) {
            let here = |place: &Alignment| held.sighting.alignment.is_none_or(|other| place.is_same_place(&other));
            if own.iter().any(|(brand, place)| *brand == *held.found.entry.brand && here(place)) {
                held.silenced_from.get_or_insert(held.evidence);
                held.evidence = held.evidence.min(OTHER_COLOUR_EVIDENCE);
            }
        }
    }

    /// As [`Screener::prefer_own_colour`], once references have been left out: those that they silenced count again.
    pub(super) fn prefer_own_colour_again(&self, examination: &mut Examination) {
        for held in &mut examination.held {
            held.evidence = held.silenced_from.take().unwrap_or(held.evidence);
        }
        self.prefer_own_colour(examination);
    }

    fn first_look(&self, embedding: &Embedding, level: f32) -> Examination {
        let floor = self.embedder.manifest().thresholds.lookalike;
        let found = self.library.search(embedding, NEIGHBORS, floor, &Filter::default());
        let held = found.into_iter().map(|found| {
            let sighting = seen(found.similarity, level);
            self.hold(found, sighting, None)
        });
        Examination { held: held.collect(), views: 1, looked: false, further: Duration::ZERO }
    }

    /// Adds the references that share keypoints with the photo.
    fn add_voted(
        &self,
        features: &QueryFeatures,
        (embedding, level): (&Embedding, f32),
        examination: &mut Examination,
    ) {
        let probes = self.vocabulary.probes(features);
        for (found, votes) in self.library.sharing(&probes, embedding, LEAST_VOTES, MOST_VOTED) {
            match examination.held.iter_mut().find(|held| held.found.key == found.key) {
                Some(held) => held.votes = votes,
                None => {
                    let sighting = seen(found.similarity, level);
                    let held = self.hold(found, sighting, None);
                    examination.held.push(Held { votes, ..held });
                }
            }
        }
    }

    /// Geometric verification of the candidates: first those that keypoints voted for, those with most votes first; then,
    /// where one is `similar`, those that the embedding found.
    fn verify(
        &self,
        features: &QueryFeatures,
        similar: bool,
        examination: &mut Examination,
    ) -> Result<(), ScreenError> {
        let near = |held: &Held| similar && self.scoring.look_from.reached(&held.sighting, LOOK_BELOW);
        let held = &examination.held;
        let mut order: Vec<usize> = (0..held.len()).filter(|&at| held[at].votes > 0.0 || near(&held[at])).collect();
        // Stable: without votes the most similar one stays first.
        order.sort_by(|&a, &b| held[b].votes.total_cmp(&held[a].votes));
        let places = worth_a_look(order.iter().map(|&at| &held[at].found), LOOKED_FOR);
        let places: Vec<usize> = places.into_iter().map(|place| order[place]).collect();
        let references = self.gallery.by_keys(places.iter().map(|&place| examination.held[place].found.key))?;
        for place in places {
            let held = &mut examination.held[place];
            let reference = references.get(&held.found.key);
            let known = reference.and_then(|reference| self.features_of(reference));
            if held.kind() == Kind::Logo {
                held.look_for_logo(features, known.as_ref());
            } else if let Some(known) = known {
                held.sighting.alignment = align(features, &known);
                // On plain pictures there is nothing to find: they are judged by similarity alone.
                held.sighting.looked =
                    held.sighting.alignment.is_some() || features.len().min(known.len()) >= POINTS_TO_FIND;
                held.evidence = self.scoring.evidence(&held.sighting);
                if held.sighting.similarity >= SAME_PICTURE_SIMILARITY && is_same_picture(features, &known) {
                    held.evidence = held.evidence.max(SAME_PICTURE_EVIDENCE);
                }
            }
        }
        for polarity in [Polarity::Authentic, Polarity::Fake] {
            bound_by_looks(&mut examination.held, polarity);
        }
        examination.looked = true;
        Ok(())
    }

    fn look_inside(&self, photo: &Photo, examination: &mut Examination) -> Result<(), ScreenError> {
        let crops: Vec<(Panel, Photo)> = photo.panels().into_iter().map(|panel| (panel, photo.crop(&panel))).collect();
        let pending =
            crops.iter().map(|(_, crop)| self.embedder.submit_view(crop)).collect::<Result<Vec<_>, EmbedError>>()?;
        for ((panel, crop), pending) in crops.iter().zip(pending) {
            let inside = Inside { panel: *panel, embedding: Arc::new(pending.wait()?) };
            examination.views += 1;
            for held in self.look_at_panel(&inside, crop)? {
                examination.looked = true;
                merge(&mut examination.held, held);
            }
        }
        Ok(())
    }

    fn look_at_panel(&self, inside: &Inside, crop: &Photo) -> Result<Vec<Held>, ScreenError> {
        let level = self.scoring.level(&inside.embedding);
        // A floor above every similarity: no deeper than this, however many are near.
        let mut found = self.library.search(&inside.embedding, NEIGHBORS, f32::INFINITY, &Filter::default());
        found.retain(|found| self.scoring.look_from.reached(&seen(found.similarity, level), 0.0));
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let places = worth_a_look(found.iter(), LOOKED_FOR_IN_PANEL);
        let features = QueryFeatures::of(crop.rgb());
        let references = self.gallery.by_keys(places.iter().map(|&place| found[place].key))?;
        let held = places.into_iter().filter_map(|place| {
            let found = found[place].clone();
            let reference = references.get(&found.key)?;
            let known = self.features_of(reference)?;
            if found.entry.kind == Kind::Logo {
                let mut held = self.hold(found.clone(), seen(found.similarity, level), Some(inside.clone()));
                held.look_for_logo(&features, Some(&known));
                held.sighting.alignment = held.sighting.alignment.map(|seen| in_whole(seen, inside.panel));
                return Some(held);
            }
            let alignment = align(&features, &known).map(|seen| in_whole(seen, inside.panel));
            let sighting = Sighting { alignment, looked: true, ..seen(found.similarity, level) };
            Some(self.hold(found, sighting, Some(inside.clone())))
        });
        Ok(held.collect())
    }

    fn hold(&self, found: Found, sighting: Sighting, inside: Option<Inside>) -> Held {
        let evidence = match found.entry.kind {
            Kind::Photo => self.scoring.evidence(&sighting),
            // A logo that was not looked for has not been seen, however similar the whole pictures are.
            Kind::Logo => LOGO_NOT_SEEN,
        };
        Held { found, votes: 0.0, sighting, evidence, inside, silenced_from: None, same_file: false, logo: None }
    }

    /// Whether nothing that could still be seen would change the answer: a known fake was found. Beside or on an
    /// authentic photo a fake may hide.
    fn is_conclusive(&self, examination: &Examination) -> bool {
        examination.held.iter().any(|held| {
            let polarity = held.found.polarity();
            polarity == Polarity::Fake
                && held.kind() == Kind::Photo
                && !held.sighting.is_recoloured()
                && self.scoring.probability(held.evidence, polarity, 0.0) >= CONCLUSIVE
        })
    }

    /// Where its photo cannot be read, the reference counts by its similarity alone.
    fn features_of(&self, reference: &Reference) -> Option<LocalFeatures> {
        features(&self.gallery, &self.decoder, reference.photo.sha256)
    }
}

/// Places of the references that a second look is spent on, `most` of them: the nearest of either polarity, then
/// those of each brand and kind, then whatever is nearest. So a thousand fakes do not hide the authentic photo behind them.
fn worth_a_look<'a>(found: impl Iterator<Item = &'a Found>, most: usize) -> Vec<usize> {
    let mut kinds: BTreeSet<(&BrandId, Polarity, Kind)> = BTreeSet::new();
    let mut polarities: BTreeSet<Polarity> = BTreeSet::new();
    let (mut first, mut second, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (place, one) in found.enumerate() {
        let new_kind = kinds.insert((&*one.entry.brand, one.polarity(), one.entry.kind));
        if polarities.insert(one.polarity()) {
            first.push(place);
        } else if new_kind && second.len() < most / 2 {
            second.push(place);
        } else {
            rest.push(place);
        }
    }
    first.into_iter().chain(second).chain(rest).take(most).collect()
}

/// A reference that got no look, among others of its polarity that did, has no more evidence than the best of these:
/// it is less similar, and similarity alone judges more leniently than a look.
fn bound_by_looks(held: &mut [Held], polarity: Polarity) {
    let is_own = |one: &Held| one.kind() == Kind::Photo && one.found.polarity() == polarity;
    let looked = held.iter().filter(|one| is_own(one) && one.sighting.looked);
    let Some(best) = looked.map(|one| one.evidence).max_by(f64::total_cmp) else {
        return;
    };
    for one in held.iter_mut().filter(|one| is_own(one) && !one.sighting.looked) {
        one.evidence = one.evidence.min(best);
    }
}

impl Examination {
    /// Adds what was seen on the same photo over another ground.
    pub(super) fn add(&mut self, other: Self) {
        for held in other.held {
            merge(&mut self.held, held);
        }
        self.views += other.views;
        self.looked |= other.looked;
        self.further += other.further;
    }
}

/// Of two sightings of a reference the one with more evidence stays.
fn merge(all: &mut Vec<Held>, new: Held) {
    match all.iter_mut().find(|held| held.found.key == new.found.key) {
        Some(known) if known.evidence < new.evidence => *known = new,
        Some(_) => {}
        None => all.push(new),
    }
}

/// A reference before it is looked for.
fn seen(similarity: f32, level: f32) -> Sighting {
    Sighting { similarity, normalised: similarity - level, alignment: None, looked: false }
}

/// An alignment with a picture inside the photo, told in fractions of the whole photo.
fn in_whole(seen: Alignment, panel: Panel) -> Alignment {
    let (left, top) = (f64::from(panel.left), f64::from(panel.top));
    let (width, height) = (f64::from(panel.right) - left, f64::from(panel.bottom) - top);
    Alignment {
        corners: seen.corners.map(|(x, y)| (left + x * width, top + y * height)),
        query_overlap: seen.query_overlap * width * height,
        ..seen
    }
}
