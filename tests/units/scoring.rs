//! Probabilities, the effect of outcomes on them, and the certificates that outcomes prove.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use touchstone::domain::{Outcome, Polarity};
use touchstone::embed::{Embedding, ModelManifest};
use touchstone::photo::Sha256;
use touchstone::scoring::{
    Background, Logistic, Observation, REQUIRED_PRECISION, Scoring, Scorings, Sighting, Standing, log_odds,
    precision_bound, shift, sigmoid,
};

use crate::support::{ENOUGH, MODELS, root, scoring};

/// Outcomes of different photos.
fn outcome(score: f64, confirmed: bool) -> Outcome {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Outcome {
        photo: Sha256::of(&number.to_le_bytes()),
        check_id: "chk_1".to_owned(),
        brand: "acme".parse().unwrap(),
        polarity: Polarity::Fake,
        confirmed,
        score,
        scoring: "s".to_owned(),
        decided_by: None,
        note: None,
        decided_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn vector(values: &[f32]) -> Embedding {
    Embedding::normalize(values.to_vec()).unwrap()
}

#[test]
fn a_logistic_regression_finds_the_weights_that_made_its_data() {
    // Expected counts in place of random draws: each point twice, once for either answer.
    let mut observations = Vec::new();
    for step in -20..=20 {
        let x = f64::from(step) / 5.0;
        let p = sigmoid(1.5 * x - 0.5);
        observations.push(Observation { features: vec![x], positive: true, weight: p });
        observations.push(Observation { features: vec![x], positive: false, weight: 1.0 - p });
    }
    let fitted = Logistic::fit(&observations, 1e-9).unwrap();
    assert!((fitted.bias + 0.5).abs() < 1e-5 && (fitted.weights[0] - 1.5).abs() < 1e-5, "{fitted:?}");
}

#[test]
fn separable_classes_give_finite_weights_and_one_class_none() {
    let one = |x: f64, positive| Observation { features: vec![x], positive, weight: 1.0 };
    let fitted = Logistic::fit(&[one(-1.0, false), one(1.0, true)], 0.05).unwrap();
    assert!(fitted.weights[0].is_finite() && fitted.weights[0] > 1.0, "{fitted:?}");
    assert_eq!(Logistic::fit(&[one(0.0, true), one(1.0, true)], 0.05), None);
    assert_eq!(Logistic::fit(&[], 0.05), None);
}

#[test]
fn a_certificate_takes_the_lowest_score_that_is_proven() {
    let outcomes = |score, confirmed: usize, wrong: usize| {
        (0..confirmed + wrong).map(move |place| outcome(score, place < confirmed))
    };
    assert_eq!(Standing::default().certified(), None);
    let few: Vec<Outcome> = outcomes(0.97, ENOUGH - 1, 0).collect();
    assert_eq!(Standing::of(&few).certified(), None);
    let clean: Vec<Outcome> = outcomes(0.97, ENOUGH, 0).collect();
    let standing = Standing::of(&clean);
    assert_eq!(standing.certified().map(|step| step.score), Some(0.5));
    // Lower scores have no outcomes: blocks begin where the outcomes do.
    assert_eq!(standing.threshold(), Some(0.97));
    // The same photo listed again and again is one outcome.
    let again: Vec<Outcome> = (0..1000).map(|_| clean[0].clone()).collect();
    assert_eq!(Standing::of(&again).certified(), None);
    // A wrong outcome of any listing with a photo counts for that photo, whatever is confirmed later.
    let mut disputed = clean.clone();
    disputed.push(Outcome { confirmed: false, ..clean[0].clone() });
    disputed.push(clean[0].clone());
    assert_eq!(Standing::of(&disputed).certified(), None);
    // A stray low score does not lower the threshold.
    let stray: Vec<Outcome> = clean.iter().cloned().chain([outcome(0.55, true)]).collect();
    assert_eq!(Standing::of(&stray).threshold(), Some(0.97));
    // Wrong outcomes at 0.6 do not affect the proof of higher scores.
    let mixed: Vec<Outcome> = outcomes(0.97, 800, 0).chain(outcomes(0.6, 10, 10)).collect();
    let standing = Standing::of(&mixed);
    let step = standing.certified().unwrap();
    assert_eq!((step.score, step.confirmed, step.wrong), (0.8, 800, 0));
    assert!(step.bound >= REQUIRED_PRECISION);
    // Matches to authentic photos prove nothing about blocks.
    let authentic: Vec<Outcome> =
        clean.into_iter().map(|outcome| Outcome { polarity: Polarity::Authentic, ..outcome }).collect();
    assert_eq!(Standing::of(&authentic).certified(), None);
}

#[test]
fn the_artefacts_that_are_shipped_are_those_of_their_models() {
    for model in MODELS.into_iter().chain(["sscd"]) {
        let scoring = scoring(model);
        assert!(scoring.id().starts_with(&format!("{model}-scoring@")));
        assert!(scoring.background.len() >= 100, "{}", scoring.background.len());
    }
}

#[test]
fn an_artefact_that_cannot_be_used_says_why() {
    let folder = tempfile::TempDir::new().unwrap();
    let manifest = ModelManifest::load(&root().join("models"), "sscd-distilled").unwrap();
    let text = std::fs::read_to_string(Scoring::path(&root().join("models"), "sscd-distilled")).unwrap();
    let path = Scoring::path(folder.path(), "sscd-distilled");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let error = Scoring::load(folder.path(), &manifest).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "MODELS")
    };
    let mut errors = vec![
        load(&text.replace("\"format\": 3", "\"format\": 2")),
        load(&text.replace("sscd-distilled@", "other@")),
        load(&text.replacen("\"slope\": ", "\"slope\": -", 1)),
        load(&text.replacen("\"beta\": ", "\"beta\": 9", 1)),
        load("{"),
    ];
    std::fs::remove_file(&path).unwrap();
    let missing = Scoring::load(folder.path(), &manifest).unwrap_err().to_string();
    errors.push(missing.replace(&folder.path().display().to_string(), "MODELS"));
    insta::assert_snapshot!("scoring-errors", errors.join("\n"));
}

#[test]
fn a_saved_artefact_scores_as_before() {
    let folder = tempfile::TempDir::new().unwrap();
    let manifest = ModelManifest::load(&root().join("models"), "sscd-distilled").unwrap();
    let mut before = (*scoring("sscd-distilled")).clone();
    before.save(folder.path(), "sscd-distilled").unwrap();
    let after = Scoring::load(folder.path(), &manifest).unwrap();
    assert_eq!((before.id(), &before), (after.id(), &after));
}

#[test]
fn a_reference_without_votes_is_verified_only_if_it_is_similar_enough() {
    for model in MODELS.into_iter().chain(["sscd"]) {
        let scoring = scoring(model);
        let seen = |normalised| Sighting { similarity: 0.5, normalised, alignment: None, looked: false };
        assert!(scoring.is_worth_verifying(&seen(0.5)), "{model}");
        assert!(!scoring.is_worth_verifying(&seen(0.0)), "{model}");
    }
}

#[test]
fn a_photo_like_the_background_counts_for_less() {
    let background = Background::new(2, 1.0, &[vector(&[1.0, 0.1]), vector(&[1.0, -0.1]), vector(&[-1.0, 0.0])]);
    let (common, rare) = (background.level(&vector(&[1.0, 0.0])), background.level(&vector(&[0.0, 1.0])));
    assert!(common > 0.9 && rare < 0.1, "{common} {rare}");
    assert!(Background::default().level(&vector(&[1.0, 0.0])).abs() < f32::EPSILON);
}

proptest! {
    #[test]
    fn a_bound_is_a_share_falls_with_wrongs_and_rises_with_right_ones(confirmed in 0_u64..5000, wrong in 0_u64..100) {
        let bound = precision_bound(confirmed, wrong);
        prop_assert!((0.0..=1.0).contains(&bound));
        // The quantile is found by search, so its last digits are not exact.
        prop_assert!(precision_bound(confirmed, wrong + 1) <= bound + 1e-6);
        prop_assert!(precision_bound(confirmed + 1, wrong) >= bound - 1e-6);
    }

    #[test]
    fn a_shift_goes_the_way_of_the_outcomes_and_little_data_moves_little(score in 0.05_f64..0.95, count in 1_usize..40) {
        let all = |confirmed| vec![(log_odds(score), confirmed); count];
        let (up, down) = (shift(&all(true), 1.0), shift(&all(false), 1.0));
        prop_assert!(up > 0.0 && down < 0.0);
        prop_assert!(up <= 3.0 && down >= -3.0 && up <= count as f64 && down >= -(count as f64));
        prop_assert!(shift(&[], 1.0).abs() < 1e-12);
        let more = [all(true), all(true)].concat();
        prop_assert!(shift(&more, 1.0) >= up);
    }

    #[test]
    fn probabilities_are_probabilities_and_rise_with_the_evidence(a in -60.0_f64..60.0, b in 0.0_f64..60.0, shift in -3.0_f64..3.0) {
        let scoring = scoring("sscd-distilled");
        for polarity in [Polarity::Authentic, Polarity::Fake] {
            let (low, high) = (scoring.probability(a, polarity, shift), scoring.probability(a + b, polarity, shift));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high);
        }
    }

    #[test]
    fn more_similarity_is_more_evidence(similarity in -1.0_f32..0.9, more in 0.0_f32..0.1, looked in any::<bool>()) {
        let scoring = scoring("sscd-distilled");
        let seen = |similarity| Sighting { similarity, normalised: similarity, alignment: None, looked };
        prop_assert!(scoring.evidence(&seen(similarity + more)) >= scoring.evidence(&seen(similarity)));
    }

    #[test]
    fn no_probability_exceeds_what_the_fitting_data_vouch_for(evidence in -60.0_f64..1e6, shift in -3.0_f64..3.0) {
        let scoring = scoring("sscd-distilled");
        for (polarity, platt) in
            [(Polarity::Authentic, scoring.calibration.authentic), (Polarity::Fake, scoring.calibration.fake)]
        {
            prop_assert!(platt.most < 0.9999, "no fitting data prove more: {}", platt.most);
            prop_assert!(f64::from(scoring.probability(evidence, polarity, shift)) <= platt.most + 1e-6);
        }
    }

    #[test]
    fn log_odds_and_probability_are_each_others_inverse(p in 0.0001_f64..0.9999) {
        prop_assert!((sigmoid(log_odds(p)) - p).abs() < 1e-12);
    }
}

#[test]
fn each_models_embeddings_are_judged_by_its_own_artefact() {
    let scorings = Scorings::new(&root().join("models"), &scoring("sscd-distilled"));
    for model in MODELS {
        let id = ModelManifest::load(&root().join("models"), model).unwrap().id();
        assert_eq!(scorings.of(&id).unwrap().model, id);
    }
    for unknown in ["sscd-distilled@000000000000", "gone@1", ""] {
        assert!(scorings.of(unknown).is_none(), "{unknown}");
    }
}
