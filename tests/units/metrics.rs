//! The figures of an evaluation match values worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small known numbers"
)]

use std::collections::BTreeMap;

use statrs::distribution::{Beta, ContinuousCDF};
use touchstone::evaluate::metrics::answers::{Answers, Baseline, Signal};
use touchstone::evaluate::metrics::calibration::{reliability, risk_coverage};
use touchstone::evaluate::metrics::ranking::{average_precision, naming, ranking, recall_at_wrongs};
use touchstone::evaluate::metrics::rate::clopper_pearson;
use touchstone::evaluate::metrics::{figures, held};
use touchstone::evaluate::{Class, Pairing, Record, Split};

fn pairing(reference: &str, score: f32, copy: bool) -> Pairing {
    Pairing {
        reference: reference.to_owned(),
        copy,
        same_product: copy,
        polarity: "fake".to_owned(),
        similarity: score,
        normalised: score,
        inliers: 0,
        detail: 0.0,
        structure: 0.0,
        difference: 0.0,
        other_colour: false,
        evidence: score,
        probability: score,
    }
}

fn record(query: &str, class: Class, pairings: Vec<Pairing>) -> Record {
    Record {
        query: query.to_owned(),
        class,
        transform: None,
        strength: None,
        group: query.to_owned(),
        split: Split::Test,
        expected: None,
        verdict: "no_match".to_owned(),
        action: "allow".to_owned(),
        views: 1,
        first_look_s: 0.01,
        whole_s: 0.01,
        category: String::new(),
        kind: String::new(),
        reasons: Vec::new(),
        pairings,
    }
}

fn copy(score: f32) -> Record {
    record("copy", Class::Copy, vec![pairing("true", score, true)])
}

fn wrong(score: f32) -> Record {
    record("wrong", Class::Unrelated, vec![pairing("other", score, false)])
}

fn average(records: &[Record]) -> f64 {
    average_precision(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()))
}

fn near(left: f64, right: f64, by: f64) {
    assert!((left - right).abs() <= by, "{left} is not within {by} of {right}");
}

#[test]
fn average_precision_counts_copies_that_were_never_found() {
    let records = [copy(0.9), wrong(0.8), copy(0.7), record("lost", Class::Copy, vec![])];
    near(average(&records), (1.0 + 2.0 / 3.0) / 3.0, 1e-12);
    assert_eq!(average(&[wrong(0.5)]), 0.0, "there is nothing to find");
    assert_eq!(average(&[]), 0.0);
}

#[test]
fn equal_scores_are_one_step_whatever_their_order() {
    let records = [copy(0.9), wrong(0.9), copy(0.5)];
    let by_hand = f64::midpoint(1.0 / 2.0, 2.0 / 3.0);
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]] {
        near(average(&order.map(|place| records[place].clone())), by_hand, 1e-12);
    }
}

#[test]
fn figures_do_not_depend_on_the_order_of_input() {
    let score = |place: usize| (place * 37 % 11) as f32 / 11.0;
    let mut records: Vec<Record> = (0..60)
        .map(|place| {
            let class = [Class::Copy, Class::SameKind, Class::Unrelated][place % 3];
            let of = |slot: usize| pairing(&format!("r{slot}"), score(place + slot), class == Class::Copy && slot == 0);
            record(&format!("q{place}"), class, (0..4).map(of).collect())
        })
        .collect();
    let before = figures(&records.iter().collect::<Vec<_>>(), &[], &held);
    records.reverse();
    for record in &mut records {
        record.pairings.reverse();
    }
    let mut after = figures(&records.iter().collect::<Vec<_>>(), &[], &held);
    near(before.calibration.pooled.error, after.calibration.pooled.error, 1e-12);
    near(before.calibration.highest.error, after.calibration.highest.error, 1e-12);
    after.calibration = before.calibration.clone();
    after.by_polarity = before.by_polarity.clone();
    assert_eq!(before, after);
}

#[test]
fn recall_at_a_precision_is_the_highest_that_keeps_it() {
    let mut records: Vec<Record> = (0..9).map(|place| copy(0.9 - place as f32 / 100.0)).collect();
    records.push(wrong(0.5));
    records.extend([copy(0.4), wrong(0.3)]);
    let found = ranking(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()));
    assert_eq!(found.at_precision[0].recall, 1.0, "10 of 11 are right");
    assert_eq!(found.at_precision[1].recall, 0.9);
    assert_eq!(found.at_precision[1].threshold, Some(f64::from(0.9_f32 - 8.0 / 100.0)));
    assert_eq!(found.curve.len(), 10);
}

#[test]
fn a_tie_with_a_wrong_picture_is_not_first() {
    let tied = record("tied", Class::Copy, vec![pairing("true", 0.8, true), pairing("other", 0.8, false)]);
    let records = [tied, copy(0.7)];
    let found = ranking(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()));
    assert_eq!((found.recall_at_1.count, found.recall_at_1.of), (1, 2));
}

#[test]
fn copies_count_when_strictly_above_the_wrongs_threshold() {
    let mut records: Vec<Record> = (0..2000).map(|place| wrong(place as f32 / 2000.0)).collect();
    let third = 1997.0_f32 / 2000.0;
    let edit = |score: f32, transform: &str, strength: &str| Record {
        transform: Some(transform.to_owned()),
        strength: Some(strength.to_owned()),
        ..copy(score)
    };
    records.extend([copy(third), copy(0.999), edit(0.9995, "crop", "light"), edit(0.2, "crop", "heavy")]);
    let missed = record("missed", Class::Copy, vec![pairing("true", 0.999, true), pairing("other", 1.0, false)]);
    records.push(missed);
    let found = recall_at_wrongs(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()));
    assert_eq!(found.threshold, Some(f64::from(third)));
    assert_eq!((found.overall.count, found.overall.of), (2, 5));
    assert_eq!((found.near_copies.count, found.near_copies.of), (1, 3));
    assert_eq!((found.by_transform["crop"].count, found.by_transform["crop"].of), (1, 2));
    assert_eq!(found.by_strength["heavy"].count, 0);
    assert_eq!(found.by_both["crop"]["light"].share, Some(1.0));
}

#[test]
fn intervals_are_the_known_ones() {
    let known = [
        ((0, 100), (0.0, 0.0362)),
        ((100, 100), (0.9638, 1.0)),
        ((5, 100), (0.0164, 0.1128)),
        ((95, 100), (0.8872, 0.9836)),
        ((1, 1), (0.025, 1.0)),
        ((0, 0), (0.0, 1.0)),
    ];
    for ((count, of), (low, high)) in known {
        let found = clopper_pearson(count, of, 0.95);
        near(found.0, low, 5e-5);
        near(found.1, high, 5e-5);
    }
    let rare = clopper_pearson(3, 100_000, 0.95);
    near(rare.0, 0.6187e-5, 1e-9);
    near(rare.1, 8.767e-5, 1e-8);
}

#[test]
fn interval_ends_leave_a_fortieth_on_either_side() {
    for (count, of) in [(1, 3), (2, 40), (50, 99), (1, 100_000), (999, 1000), (70_000, 100_000), (3, 1_000_000)] {
        let (low, high) = clopper_pearson(count, of, 0.95);
        let (k, n) = (count as f64, of as f64);
        let by = if of > 100_000 { 2e-4 } else { 1e-6 };
        near(Beta::new(k, n - k + 1.0).unwrap().cdf(low), 0.025, by);
        near(Beta::new(k + 1.0, n - k).unwrap().cdf(high), 0.975, by);
    }
}

#[test]
fn calibration_error_is_nought_when_all_come_true_as_often_as_said() {
    let pairs = |p: f64, right: usize, of: usize| (0..of).map(move |place| (p, place < right));
    let perfect = pairs(0.5, 1, 2).chain(pairs(0.25, 2, 8)).chain(pairs(1.0, 3, 3)).chain(pairs(0.0, 0, 4));
    near(reliability(perfect).error, 0.0, 1e-12);
    let constant = reliability(pairs(0.9, 5, 10));
    near(constant.error, 0.4, 1e-12);
    assert_eq!(constant.bins.len(), 15);
    assert_eq!(constant.bins[13].count, 10);
    let mixed = reliability(pairs(0.9, 5, 10).chain(pairs(0.25, 10, 40)));
    near(mixed.error, 0.4 * 10.0 / 50.0, 1e-12);
    assert_eq!(reliability([]).error, 0.0);
}

#[test]
fn risk_is_that_of_the_queries_answered() {
    let misled = record("misled", Class::Copy, vec![pairing("true", 0.1, true), pairing("other", 0.3, false)]);
    let records = [copy(0.95), misled, wrong(0.2), record("bare", Class::Unrelated, vec![]), wrong(0.6)];
    let found = risk_coverage(&records.iter().collect::<Vec<_>>());
    let risks: Vec<f64> = found.curve.iter().map(|point| point.risk).collect();
    // In order of confidence: bare 1, copy 0.95, wrong 0.8, misled 0.7, which is an error, wrong 0.6, another one.
    assert_eq!(risks, [0.0, 0.0, 0.0, 1.0 / 4.0, 2.0 / 5.0]);
    near(found.area, (1.0 / 4.0 + 2.0 / 5.0) / 5.0, 1e-12);
}

#[test]
fn a_copy_with_another_reference_in_front_is_an_error_even_when_called_no_copy() {
    let misled = record("misled", Class::Copy, vec![pairing("other", 0.3, false)]);
    assert_eq!(risk_coverage(&[&misled]).area, 1.0);
}

#[test]
fn baselines_are_judged_by_the_same_truth() {
    let records = [copy(0.9), record("far", Class::Copy, vec![]), wrong(0.5)];
    let refs: Vec<&Record> = records.iter().collect();
    let answer = |reference: &str, score: f64| (reference.to_owned(), score);
    let answers = BTreeMap::from([
        ("copy".to_owned(), answer("true", 200.0)),
        ("far".to_owned(), answer("beyond", 180.0)),
        ("wrong".to_owned(), answer("other", 190.0)),
    ]);
    let mut baseline = Baseline { name: "PDQ".to_owned(), answers, truths: BTreeMap::new() };
    near(average_precision(&Answers::by_baseline(&baseline, &refs)), 0.5, 1e-12);
    baseline.truths.insert("far".to_owned(), "beyond".to_owned());
    near(average_precision(&Answers::by_baseline(&baseline, &refs)), f64::midpoint(1.0, 2.0 / 3.0), 1e-12);
    baseline.answers.remove("copy");
    near(average_precision(&Answers::by_baseline(&baseline, &refs)), 1.0 / 2.0 / 2.0, 1e-12);
}

#[test]
fn at_most_one_in_a_hundred_is_named_a_wrong_product() {
    let of = |score: f32, right: bool| {
        let shown = Pairing { same_product: right, ..pairing("shown", score, false) };
        record("kind", Class::SameKind, vec![shown, pairing("other", 0.0, false)])
    };
    let mut records: Vec<Record> = (0..196).map(|place| of(0.5 + place as f32 / 1000.0, true)).collect();
    records.extend([of(0.9, false), of(0.8, false), of(0.6, false), of(0.1, false)]);
    let found = naming(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()));
    assert_eq!(found.threshold, Some(f64::from(0.6_f32)));
    assert_eq!((found.wrong.count, found.wrong.of), (2, 200));
    assert_eq!(found.right.count, 95, "0.601 to 0.695");
}

#[test]
fn what_is_counted_apart_is_neither_copy_nor_wrong_nor_calibrated() {
    let recoloured = Record {
        kind: "variant-recolour".to_owned(),
        verdict: "known_fake_likely".to_owned(),
        reasons: vec!["other-colour".to_owned()],
        ..record("red", Class::SameKind, vec![pairing("blue", 0.99, false)])
    };
    let logo = Record { kind: "logo-same".to_owned(), ..recoloured.clone() };
    let records = [copy(0.9), wrong(0.2), recoloured, logo];
    let all: Vec<&Record> = records.iter().collect();
    let found = figures(&all, &[], &held);
    let alone = figures(&all[..2], &[], &held);
    assert_eq!((&found.rankings, &found.calibration), (&alone.rankings, &alone.calibration));
    assert_eq!(found.same_kind.copy.of, 0);
    let kind = &found.kinds["variant-recolour"];
    assert_eq!((kind.copy.count, kind.known_fake.count, kind.other_colour.count, kind.copy.of), (1, 0, 1, 1));
}

#[test]
fn right_pictures_first_are_counted_by_strength() {
    let heavy = |score: f32| Record {
        strength: Some("heavy".to_owned()),
        ..record("heavy", Class::Copy, vec![pairing("true", score, true), pairing("other", 0.5, false)])
    };
    let records = [heavy(0.9), heavy(0.4), copy(0.9)];
    let found = ranking(&Answers::by_signal(Signal::Similarity, &records.iter().collect::<Vec<_>>()));
    let of = |name: &str| (found.first_by_strength[name].count, found.first_by_strength[name].of);
    assert_eq!((of("heavy"), of("near-copies")), ((1, 2), (1, 1)));
}

#[test]
fn verdicts_are_counted_by_what_they_do() {
    let given = |class, verdict: &str| Record {
        verdict: verdict.to_owned(),
        expected: Some("no_match".to_owned()),
        views: 3,
        ..record("photo", class, vec![])
    };
    let records = [
        given(Class::Unrelated, "no_match"),
        given(Class::Unrelated, "generic_or_low_information"),
        given(Class::Unrelated, "same_product_lookalike"),
        given(Class::Unrelated, "conflict"),
        given(Class::SameKind, "known_fake_likely"),
    ];
    let found = figures(&records.iter().collect::<Vec<_>>(), &[], &held);
    assert_eq!((found.unrelated.any.count, found.unrelated.copy.count, found.unrelated.any.of), (2, 1, 4));
    assert_eq!((found.same_kind.any.count, found.same_kind.copy.count), (1, 1));
    assert_eq!(found.confusion["no_match"]["conflict"], 1);
    assert_eq!(found.views[&Class::Unrelated], 3.0);
    assert!(serde_json::to_string(&found).unwrap().contains("\"average_precision\":0.0"));
}
