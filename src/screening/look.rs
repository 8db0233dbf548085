//! Finds references in a photo: candidates by its embedding and by its keypoints, geometric verification of the best
//! candidates, and the photos inside the photo.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::align::{
    Alignment, FoundLogo, LocalFeatures, QueryFeatures, StrongestKeypoints, VisualWord, align, find_logo,
    is_same_picture,
};
use crate::domain::{BrandId, Kind, Polarity, Reference};
use crate::embed::{EmbedError, Embedding};
use crate::enrolment::features;
use crate::library::{Filter, Found, SignalFound};
use crate::photo::{Panel, Pdq, Photo};
use crate::scoring::Sighting;
use crate::telemetry;

use super::{ScreenError, Screener};

/// Least number of neighbours of the whole photo considered for a verdict.
const NEIGHBORS: usize = 16;
/// Least votes of keypoints that make a reference a candidate.
const LEAST_VOTES: f32 = 2.0;
/// Most references that keypoints find; large enough that near-duplicates of one photo do not hide another.
const MOST_VOTED: usize = 256;
/// Most references with votes verified against the whole photo.
const MOST_VERIFIED: usize = 12;
/// Most references without votes verified: a copy in which keypoints do not find the reference is nearly always most
/// similar to it.
const MOST_WITHOUT_VOTES: usize = 2;
/// With fewer keypoints on either side, a missing alignment is not evidence.
const POINTS_TO_FIND: usize = 8;
/// Most references verified against each photo inside the photo.
const MOST_IN_PANEL: usize = 2;
/// From this probability on, the first match is conclusive and no more views are embedded.
const CONCLUSIVE: f32 = 0.9;

/// Least similarity of two embeddings of the same file, which differ only by rounding.
const SAME_FILE_SIMILARITY: f32 = 0.999;
/// Least log-odds of a copy when the bytes are the same.
const SAME_FILE_EVIDENCE: f64 = 12.0;
/// Least log-odds of a copy when the whole photos differ only in compression, size and slightly in tone.
const SAME_PICTURE_EVIDENCE: f64 = 8.0;
/// Photos with a lower similarity are not compared directly.
const SAME_PICTURE_SIMILARITY: f32 = 0.7;
/// Probability from which on a reference in the photo's own colour suppresses those in other colours.
const OWN_COLOUR: f32 = 0.5;
/// Log-odds of a logo that was not searched for.
const LOGO_NOT_SEEN: f64 = -10.0;
/// Log-odds that suppressed references drop to.
const OTHER_COLOUR_EVIDENCE: f64 = -4.0;

/// A candidate and the evidence for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The reference, as the index found it.
    pub found: Found,
    /// Votes of the photo's keypoints; 0 where there are too few.
    pub votes: f32,
    /// Measurements of the comparison.
    pub sighting: Sighting,
    /// Log-odds of a copy, before calibration.
    pub evidence: f64,
    /// The photo inside the photo that shows the reference; `None` for the whole photo.
    pub inside: Option<Inside>,
    /// The log-odds before a reference in the photo's own colour suppressed this one.
    pub silenced_from: Option<f64>,
    /// Whether the photo is the reference's file.
    pub same_file: bool,
    /// For a logo, what was found of it; `evidence` is then that the logo is in the photo, changed or not.
    pub logo: Option<FoundLogo>,
}

impl Held {
    /// Whether the reference is a photo or a logo.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.found.entry.kind
    }

    /// Searches the photo for a logo, and sets the evidence from the result.
    fn look_for_logo(&mut self, photo: &QueryFeatures, logo: Option<&LocalFeatures>) {
        self.logo = logo.and_then(|logo| find_logo(photo, logo));
        self.sighting.alignment = self.logo.map(|found| found.alignment);
        self.sighting.looked = true;
        self.evidence = self.logo.map_or(LOGO_NOT_SEEN, |found| found.evidence);
    }
}

/// A photo inside the photo, such as one tile of a collage, with its embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// Its rectangle in the whole photo.
    pub panel: Panel,
    /// Its own embedding.
    pub embedding: Arc<Embedding>,
}

/// What is remembered of a photo: enough to find a later reference in it without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The whole photo's embedding.
    pub embedding: Embedding,
    /// The visual word of each of its strongest keypoints, strongest first.
    pub words: Vec<VisualWord>,
}

/// All candidates of a photo, and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// What to remember of the photo.
    pub trace: Trace,
    /// Signals of other members that may be about the photo.
    pub shared: Vec<SignalFound>,
    /// The candidates: those of the whole photo, most similar first, then those found only in photos inside it.
    pub held: Vec<Held>,
    /// Number of views embedded: the whole photo, and photos inside it.
    pub views: u32,
    /// Whether geometric verification ran.
    pub looked: bool,
    /// Time spent after the search by embedding.
    pub further: Duration,
}

impl Screener {
    /// Finds and verifies the candidates of a photo.
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

    /// As [`Screener::examine`], for a photo that may have been scaled down since [`Screener::same`] was called.
    pub(super) fn examine_beside(
        &self,
        photo: &Photo,
        embedding: &Embedding,
        same: Vec<Found>,
    ) -> Result<Examination, ScreenError> {
        let level = self.scoring.level(embedding);
        let mut examination = self.first_look(embedding, level);
        let started = Instant::now();
        let mut keypoints = StrongestKeypoints::of(photo.rgb());
        let probes = self.add_voted(&mut keypoints, (embedding, level), &mut examination);
        let fingerprint = || {
            let fingerprint = photo.fingerprint();
            (fingerprint.hash, fingerprint.quality)
        };
        let pdq = || {
            let pdq = Pdq::of(photo.rgb());
            (pdq.hash, pdq.quality)
        };
        examination.shared = self.library.signals(embedding, &probes, fingerprint, pdq);
        let places = self.worth_verifying(&examination.held);
        if !places.is_empty() {
            self.verify(&keypoints.into_features(), places, &mut examination)?;
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

    /// Makes the evidence of a reference with the same file outweigh that of keypoints.
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

    /// If references of one brand show one photograph in several colours, only those in the photo's own colour count. A
    /// brand never suppresses another brand's references.
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

    /// As [`Screener::prefer_own_colour`], after references have been left out: those that they suppressed count again.
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
        let trace = Trace { embedding: embedding.clone(), words: Vec::new() };
        Examination {
            trace,
            shared: Vec::new(),
            held: held.collect(),
            views: 1,
            looked: false,
            further: Duration::ZERO,
        }
    }

    /// Adds the references that share visual words with the photo. Returns the words that its keypoints are looked up by.
    fn add_voted(
        &self,
        keypoints: &mut StrongestKeypoints,
        (embedding, level): (&Embedding, f32),
        examination: &mut Examination,
    ) -> Vec<Vec<VisualWord>> {
        let probes = self.vocabulary.probes(keypoints);
        examination.trace.words = probes.iter().filter_map(|probes| probes.first().copied()).collect();
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
        probes
    }

    /// Indices of the candidates to verify: those with votes of keypoints, and the most similar ones without.
    fn worth_verifying(&self, held: &[Held]) -> Vec<usize> {
        let (mut voted, unvoted): (Vec<usize>, Vec<usize>) = (0..held.len()).partition(|&at| held[at].votes > 0.0);
        voted.sort_by(|&a, &b| held[b].votes.total_cmp(&held[a].votes));
        let similar = |&at: &usize| self.scoring.is_worth_verifying(&held[at].sighting);
        let unvoted: Vec<usize> = unvoted.into_iter().filter(similar).collect();
        let choose = |among: Vec<usize>, most| {
            let chosen = worth_a_look(among.iter().map(|&at| &held[at].found), most);
            chosen.into_iter().map(move |place| among[place])
        };
        choose(voted, MOST_VERIFIED).chain(choose(unvoted, MOST_WITHOUT_VOTES)).collect()
    }

    fn verify(
        &self,
        features: &QueryFeatures,
        places: Vec<usize>,
        examination: &mut Examination,
    ) -> Result<(), ScreenError> {
        let references = self.gallery.by_keys(places.iter().map(|&place| examination.held[place].found.key))?;
        for place in places {
            let held = &mut examination.held[place];
            let reference = references.get(&held.found.key);
            let known = reference.and_then(|reference| self.features_of(reference));
            if held.kind() == Kind::Logo {
                held.look_for_logo(features, known.as_ref());
            } else if let Some(known) = known {
                held.sighting.alignment = align(features, &known);
                // A plain photo has no keypoints to find: similarity alone decides.
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
        // The bound is above every similarity, so the search goes no deeper, however many references are near.
        let mut found = self.library.search(&inside.embedding, NEIGHBORS, f32::INFINITY, &Filter::default());
        found.retain(|found| self.scoring.is_worth_verifying(&seen(found.similarity, level)));
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let places = worth_a_look(found.iter(), MOST_IN_PANEL);
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

    pub(super) fn hold(&self, found: Found, sighting: Sighting, inside: Option<Inside>) -> Held {
        let evidence = match found.entry.kind {
            Kind::Photo => self.scoring.evidence(&sighting),
            // A logo that was not searched for counts as not seen, however similar the whole photos are.
            Kind::Logo => LOGO_NOT_SEEN,
        };
        Held { found, votes: 0.0, sighting, evidence, inside, silenced_from: None, same_file: false, logo: None }
    }

    /// Whether further views cannot change the verdict, because a known fake was found. A fake may still hide beside or
    /// on an authentic photo.
    fn is_conclusive(&self, examination: &Examination) -> bool {
        examination.held.iter().any(|held| {
            let polarity = held.found.polarity();
            polarity == Polarity::Fake
                && held.kind() == Kind::Photo
                && !held.sighting.is_recoloured()
                && self.scoring.probability(held.evidence, polarity, 0.0) >= CONCLUSIVE
        })
    }

    /// The reference's features; `None` if its photo cannot be read, when similarity alone counts.
    fn features_of(&self, reference: &Reference) -> Option<LocalFeatures> {
        features(&self.gallery, &self.decoder, reference.photo.sha256)
    }
}

/// Indices of the references to verify, at most `most`: the nearest of each polarity, then those of each brand and
/// kind, then the nearest of the rest. A thousand fakes do not hide the authentic photo behind them.
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

/// Limits the evidence of a reference that was not verified to the best of its polarity that were: it is less similar,
/// and similarity alone is the more lenient measure.
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
    /// The examination of a photo of which only the trace remains.
    pub(super) fn remembered(trace: Trace, held: Vec<Held>) -> Self {
        Self { trace, shared: Vec::new(), held, views: 0, looked: false, further: Duration::ZERO }
    }

    /// Adds the candidates of the same photo on another ground.
    pub(super) fn add(&mut self, other: Self) {
        for held in other.held {
            merge(&mut self.held, held);
        }
        let is_new = |found: &SignalFound| self.shared.iter().all(|known| known.key != found.key);
        let new: Vec<SignalFound> = other.shared.into_iter().filter(is_new).collect();
        self.shared.extend(new);
        self.views += other.views;
        self.looked |= other.looked;
        self.further += other.further;
    }
}

/// Keeps the sighting with more evidence of each reference.
fn merge(all: &mut Vec<Held>, new: Held) {
    match all.iter_mut().find(|held| held.found.key == new.found.key) {
        Some(known) if known.evidence < new.evidence => *known = new,
        Some(_) => {}
        None => all.push(new),
    }
}

/// The sighting of a reference before verification.
pub(super) fn seen(similarity: f32, level: f32) -> Sighting {
    Sighting { similarity, normalised: similarity - level, alignment: None, looked: false }
}

/// Converts an alignment within a photo inside the photo to fractions of the whole photo.
fn in_whole(seen: Alignment, panel: Panel) -> Alignment {
    let (left, top) = (f64::from(panel.left), f64::from(panel.top));
    let (width, height) = (f64::from(panel.right) - left, f64::from(panel.bottom) - top);
    Alignment {
        corners: seen.corners.map(|(x, y)| (left + x * width, top + y * height)),
        query_overlap: seen.query_overlap * width * height,
        ..seen
    }
}
