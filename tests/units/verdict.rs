use proptest::prelude::*;
use touchstone::embed::ScoreThresholds;
use touchstone::gallery::{Action, BlockCertificate, BrandId, Polarity, Policy, ThresholdOverrides};
use touchstone::verdict::{Candidate, Facts, Judgement, Reason, Verdict, judge, undecidable, worst};

const MODEL: ScoreThresholds = ScoreThresholds {
    fake_match: 0.75,
    fake_likely: 0.60,
    authentic_reuse: 0.60,
    lookalike: 0.45,
    conflict_margin: 0.05,
    min_quality: 8,
};

fn brand(name: &str) -> BrandId {
    name.parse().unwrap()
}

fn candidate(name: &str, polarity: Polarity, similarity: f32) -> Candidate {
    Candidate { brand: brand(name), polarity, similarity }
}

fn facts() -> Facts<'static> {
    Facts { quality: 80, seller_id: Some("S1"), claimed_brand: None }
}

fn certified(threshold: f32) -> Policy {
    Policy { block: Some(BlockCertificate { threshold, confirmed: 500, wrong: 0 }), ..Policy::default() }
}

fn judged(candidates: &[Candidate], policy: &Policy) -> Judgement {
    judge(candidates, facts(), &MODEL, |_| policy)
}

#[test]
fn each_verdict_has_its_case() {
    use Polarity::{Authentic, Fake};
    let open = Policy::default();
    let verdict = |polarity, similarity| judged(&[candidate("a", polarity, similarity)], &open).verdict;
    assert_eq!(verdict(Fake, 0.75), Verdict::KnownFakeMatch);
    assert_eq!(verdict(Fake, 0.60), Verdict::KnownFakeLikely);
    assert_eq!(verdict(Fake, 0.45), Verdict::SameProductLookalike);
    assert_eq!(verdict(Authentic, 0.60), Verdict::AuthenticPhotoReuse);
    assert_eq!(verdict(Authentic, 0.45), Verdict::SameProductLookalike);
    assert_eq!(verdict(Fake, 0.449), Verdict::NoMatch);
    let both =
        |fake, authentic| judged(&[candidate("a", Fake, fake), candidate("b", Authentic, authentic)], &open).verdict;
    assert_eq!(both(0.80, 0.76), Verdict::Conflict);
    assert_eq!(both(0.62, 0.58), Verdict::Conflict);
    assert_eq!(both(0.90, 0.70), Verdict::KnownFakeMatch);
    assert_eq!(both(0.70, 0.90), Verdict::AuthenticPhotoReuse);
    assert_eq!(both(0.65, 0.30), Verdict::KnownFakeLikely);
    assert_eq!(undecidable(Reason::PhotoBroken).action, Action::Review);
}

#[test]
fn a_listing_that_claims_another_brand_is_told_so() {
    let facts = Facts { claimed_brand: Some("other"), ..facts() };
    let open = Policy::default();
    let judgement = judge(&[candidate("a", Polarity::Fake, 0.9)], facts, &MODEL, |_| &open);
    assert!(judgement.reasons.contains(&Reason::ClaimedBrandDiffers));
}

#[test]
fn a_brands_own_thresholds_judge_its_matches_only() {
    let strict = Policy {
        thresholds: ThresholdOverrides {
            fake_match: Some(0.99),
            fake_likely: Some(0.95),
            ..ThresholdOverrides::default()
        },
        ..Policy::default()
    };
    let open = Policy::default();
    let policy_of = |id: &BrandId| if id.as_str() == "strict" { &strict } else { &open };
    let candidates = [candidate("strict", Polarity::Fake, 0.90), candidate("open", Polarity::Fake, 0.80)];
    let judgement = judge(&candidates, facts(), &MODEL, policy_of);
    assert_eq!((judgement.verdict, judgement.decisive), (Verdict::KnownFakeMatch, Some(1)));
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

/// One policy a brand.
fn any_policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec(any_policy(), NAMES.len())
}

fn judged_each(candidates: &[Candidate], policies: &[Policy]) -> Judgement {
    judge(candidates, facts(), &MODEL, |id| &policies[NAMES.iter().position(|name| *name == id.as_str()).unwrap()])
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any_name(), any::<bool>(), -1.0_f32..=1.0).prop_map(|(name, fake, similarity)| {
        candidate(name, if fake { Polarity::Fake } else { Polarity::Authentic }, similarity)
    });
    prop::collection::vec(one, 0..8)
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (prop::option::of(0.75_f32..=1.0), any::<bool>(), any::<bool>()).prop_map(|(block, trusted, lenient)| Policy {
        authorised_sellers: if trusted { vec!["S1".to_owned()] } else { Vec::new() },
        authentic_reuse: if lenient { Action::Allow } else { Action::Review },
        ..block.map_or_else(Policy::default, certified)
    })
}

proptest! {
    #[test]
    fn a_block_has_a_fake_at_or_above_a_certified_threshold(candidates in any_candidates(), policy in any_policy()) {
        let judgement = judged(&candidates, &policy);
        if judgement.action == Action::Block {
            let decisive = &candidates[judgement.decisive.unwrap()];
            prop_assert_eq!(judgement.verdict, Verdict::KnownFakeMatch);
            prop_assert_eq!(decisive.polarity, Polarity::Fake);
            prop_assert!(decisive.similarity >= policy.block.unwrap().threshold);
        }
    }

    #[test]
    fn without_a_certificate_nothing_blocks(candidates in any_candidates()) {
        prop_assert!(judged(&candidates, &Policy::default()).action < Action::Block);
    }

    #[test]
    fn a_relevant_fake_within_the_margin_of_an_authentic_is_a_conflict_for_review(fake in 0.60_f32..=1.0, apart in -0.049_f32..0.049, policy in any_policy()) {
        let judgement = judged(&[candidate("a", Polarity::Fake, fake), candidate("b", Polarity::Authentic, fake + apart)], &policy);
        prop_assert_eq!((judgement.verdict, judgement.action), (Verdict::Conflict, Action::Review));
    }

    #[test]
    fn the_order_of_candidates_does_not_matter(candidates in any_candidates(), policy in any_policy()) {
        let mut turned = candidates.clone();
        turned.reverse();
        let (a, b) = (judged(&candidates, &policy), judged(&turned, &policy));
        prop_assert_eq!((a.verdict, a.action, a.reasons), (b.verdict, b.action, b.reasons));
    }

    #[test]
    fn one_more_fake_never_makes_the_action_milder_unless_it_is_in_conflict(candidates in any_candidates(), policies in any_policies(), name in any_name(), similarity in -1.0_f32..=1.0) {
        let before = judged_each(&candidates, &policies);
        let more: Vec<Candidate> = candidates.iter().cloned().chain([candidate(name, Polarity::Fake, similarity)]).collect();
        let after = judged_each(&more, &policies);
        let disputed = candidates.iter().any(|c| c.polarity == Polarity::Authentic && (c.similarity - similarity).abs() <= MODEL.conflict_margin);
        prop_assert!(after.action >= before.action || disputed, "{:?} became {:?}", before, after);
    }

    #[test]
    fn a_known_fake_is_never_allowed(candidates in any_candidates(), policies in any_policies()) {
        if candidates.iter().any(|c| c.polarity == Polarity::Fake && c.similarity >= MODEL.fake_likely) {
            prop_assert!(judged_each(&candidates, &policies).action >= Action::Review);
        }
    }

    #[test]
    fn no_brands_match_hides_anothers_block(candidates in any_candidates(), policies in any_policies()) {
        let alone = |name: &str| {
            let own: Vec<Candidate> = candidates.iter().filter(|c| c.brand.as_str() == name || c.polarity == Polarity::Authentic).cloned().collect();
            judged_each(&own, &policies).action
        };
        let together = judged_each(&candidates, &policies).action;
        for name in NAMES {
            prop_assert!(together >= alone(name));
        }
    }

    #[test]
    fn the_decisive_candidate_reaches_its_threshold(candidates in any_candidates()) {
        let judgement = judged(&candidates, &Policy::default());
        if let (Some(place), Some(threshold)) = (judgement.decisive, judgement.threshold) {
            prop_assert!(candidates[place].similarity >= threshold);
        }
        prop_assert!(!judgement.reasons.is_empty());
    }

    #[test]
    fn the_listing_gets_the_severest_action(photos in prop::collection::vec(any_candidates(), 1..5), policy in any_policy()) {
        let judgements: Vec<Judgement> = photos.iter().map(|candidates| judged(candidates, &policy)).collect();
        let severest = judgements.iter().map(|judgement| judgement.action).max();
        prop_assert_eq!(worst(&judgements).map(|judgement| judgement.action), severest);
    }

    #[test]
    fn more_wrong_outcomes_never_raise_the_proven_precision(confirmed in 0_u64..5000, wrong in 0_u64..100) {
        let bound = |wrong| BlockCertificate { threshold: 0.9, confirmed, wrong }.precision_bound();
        prop_assert!(bound(wrong + 1) <= bound(wrong));
        prop_assert!((0.0..=1.0).contains(&bound(wrong)));
    }
}
