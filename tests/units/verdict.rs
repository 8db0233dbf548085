use proptest::prelude::*;
use touchstone::align::{Alignment, CopiedPart, LogoChange, Recolour};
use touchstone::domain::{Action, AllianceOptions, BrandId, Fared, Kind, Polarity, Policy, ThresholdOverrides};
use touchstone::embed::ScoreThresholds;
use touchstone::scoring::log_odds;
use touchstone::verdict::{
    Candidate, Facts, Judgement, Logo, Reason, SharedCandidate, Terms, Verdict, judge, judge_shared, undecidable, worst,
};

const MODEL: ScoreThresholds = ScoreThresholds {
    fake_match: 0.9,
    fake_likely: 0.5,
    authentic_reuse: 0.5,
    lookalike: 0.45,
    lookalike_inliers: 12,
    conflict_margin: 1.0,
    near_copy: 0.9,
    generic: 0.7,
    min_quality: 8,
};

fn brand(name: &str) -> BrandId {
    name.parse().unwrap()
}

/// A candidate with this probability, and the same similarity.
fn candidate(name: &str, polarity: Polarity, probability: f32) -> Candidate {
    Candidate {
        brand: brand(name),
        polarity,
        similarity: probability,
        evidence: log_odds(f64::from(probability)),
        probability,
        score: probability,
        alignment: (probability >= 0.5).then(|| aligned(80)),
        mark: None,
        same_file: false,
        kind: Kind::Photo,
        logo: None,
    }
}

fn aligned(inliers: usize) -> Alignment {
    Alignment {
        inliers,
        residual: 1.0,
        flipped: true,
        corners: [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)],
        query_overlap: 0.25,
        reference_overlap: 0.3,
        detail: 0.9,
        structure: 0.9,
        part: CopiedPart { agreement: 0.9, share: 1.0, around: 0.0 },
        difference: 2.0,
        recolour: None,
    }
}

fn facts() -> Facts<'static> {
    Facts { quality: 80, seller_id: Some("S1"), claimed_brand: None }
}

fn blocking() -> Policy {
    Policy { block: true, ..Policy::default() }
}

/// Judges with one policy for all brands, and blocks certified from the score `certified` on.
fn judged_by(candidates: &[Candidate], policy: &Policy, certified: Option<f64>) -> Judgement {
    judge(candidates, facts(), &MODEL, |_| Terms { policy, certified })
}

fn judged(candidates: &[Candidate], policy: &Policy) -> Judgement {
    judged_by(candidates, policy, None)
}

#[test]
fn each_verdict_has_its_case() {
    use Polarity::{Authentic, Fake};
    let open = Policy::default();
    let verdict = |polarity, probability| judged(&[candidate("a", polarity, probability)], &open).verdict;
    assert_eq!(verdict(Fake, 0.9), Verdict::KnownFakeMatch);
    assert_eq!(verdict(Fake, 0.5), Verdict::KnownFakeLikely);
    assert_eq!(verdict(Fake, 0.45), Verdict::SameProductLookalike);
    assert_eq!(verdict(Authentic, 0.5), Verdict::AuthenticPhotoReuse);
    assert_eq!(verdict(Authentic, 0.45), Verdict::SameProductLookalike);
    assert_eq!(verdict(Fake, 0.449), Verdict::NoMatch);
    let both =
        |fake, authentic| judged(&[candidate("a", Fake, fake), candidate("b", Authentic, authentic)], &open).verdict;
    assert_eq!(both(0.95, 0.94), Verdict::Conflict);
    assert_eq!(both(0.55, 0.45), Verdict::Conflict);
    assert_eq!(both(0.99, 0.6), Verdict::KnownFakeMatch);
    assert_eq!(both(0.6, 0.99), Verdict::AuthenticPhotoReuse);
    assert_eq!(both(0.65, 0.30), Verdict::KnownFakeLikely);
    assert_eq!(undecidable(Reason::PhotoBroken).action, Action::Review);
}

#[test]
fn a_print_seen_again_is_a_look_alike_however_small_the_similarity() {
    let mut pack = candidate("a", Polarity::Authentic, 0.1);
    pack.alignment = Some(aligned(11));
    assert_eq!(judged(&[pack.clone()], &Policy::default()).verdict, Verdict::NoMatch);
    pack.alignment = Some(aligned(12));
    let judgement = judged(&[pack], &Policy::default());
    assert_eq!(judgement.verdict, Verdict::SameProductLookalike);
    assert_eq!(judgement.reasons, [Reason::SamePrintSeen]);
}

#[test]
fn an_authentic_photo_elsewhere_in_the_photo_takes_nothing_back() {
    let (mut fake, mut authentic) = (candidate("a", Polarity::Fake, 0.97), candidate("a", Polarity::Authentic, 0.9999));
    fake.alignment = Some(aligned(80));
    let beside = [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5)];
    authentic.alignment = Some(Alignment { corners: beside, ..aligned(80) });
    let trusting = Policy { authorised_sellers: vec!["S1".to_owned()], ..Policy::default() };
    let verdict = |authentic: Candidate| judged(&[fake.clone(), authentic], &trusting).verdict;
    assert_eq!(verdict(authentic.clone()), Verdict::KnownFakeMatch);
    authentic.alignment = Some(aligned(80));
    assert_eq!(verdict(authentic), Verdict::AuthorisedUse);
}

#[test]
fn a_copy_says_where_it_lies() {
    let mut copy = candidate("a", Polarity::Fake, 0.99);
    copy.alignment = Some(aligned(80));
    let reasons = judged(&[copy], &Policy::default()).reasons;
    for reason in [Reason::ReferenceLiesInPhoto, Reason::Mirrored, Reason::PartOfPhoto, Reason::PartOfReference] {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
}

#[test]
fn a_subject_on_another_ground_is_told_and_a_banner_over_the_whole_photo_is_not() {
    let reasons = |part| {
        let mut copy = candidate("a", Polarity::Fake, 0.99);
        copy.alignment = Some(Alignment { part, ..aligned(80) });
        judged(&[copy], &Policy::default()).reasons
    };
    let told = |part| reasons(part).contains(&Reason::SubjectCopiedOnOtherGround);
    let cut_out = CopiedPart { agreement: 0.9, share: 0.6, around: 0.4 };
    assert!(told(cut_out));
    assert!(!told(CopiedPart { around: 0.1, ..cut_out }));
    assert!(!told(CopiedPart { agreement: 0.5, ..cut_out }));
}

fn recoloured(name: &str, polarity: Polarity, probability: f32) -> Candidate {
    let recolour = Some(Recolour { reference: [200, 30, 30], photo: [30, 30, 200] });
    Candidate { alignment: Some(Alignment { recolour, ..aligned(80) }), ..candidate(name, polarity, probability) }
}

#[test]
fn another_colour_of_a_known_fake_is_likely_at_most_and_never_blocks() {
    let fake = recoloured("a", Polarity::Fake, 0.99);
    let found = judged_by(&[fake], &blocking(), Some(0.5));
    assert_eq!((found.verdict, found.action), (Verdict::KnownFakeLikely, Action::Review));
    assert!(found.reasons.contains(&Reason::OtherColour), "{found:?}");
    assert!(found.reasons.contains(&Reason::RecolouredNeverBlocks), "{found:?}");
    let reuse = judged(&[recoloured("a", Polarity::Authentic, 0.99)], &Policy::default());
    assert_eq!(reuse.verdict, Verdict::AuthenticPhotoReuse);
    assert!(reuse.reasons.contains(&Reason::OtherColour), "{reuse:?}");
}

#[test]
fn a_fake_in_one_colour_beside_an_authentic_one_in_another_is_no_conflict() {
    use Polarity::{Authentic, Fake};
    let open = Policy::default();
    let both = |fake: Candidate, authentic: Candidate| judged(&[fake, authentic], &open).verdict;
    assert_eq!(both(candidate("a", Fake, 0.95), candidate("a", Authentic, 0.95)), Verdict::Conflict);
    assert_eq!(both(recoloured("a", Fake, 0.95), candidate("a", Authentic, 0.95)), Verdict::KnownFakeLikely);
    assert_eq!(both(candidate("a", Fake, 0.95), recoloured("a", Authentic, 0.95)), Verdict::KnownFakeMatch);
    assert_eq!(both(recoloured("a", Fake, 0.7), candidate("a", Authentic, 0.99)), Verdict::AuthenticPhotoReuse);
}

#[test]
fn a_listing_that_claims_another_brand_is_told_so() {
    let facts = Facts { claimed_brand: Some("other"), ..facts() };
    let open = Policy::default();
    let judgement =
        judge(&[candidate("a", Polarity::Fake, 0.9)], facts, &MODEL, |_| Terms { policy: &open, certified: None });
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
    let terms_of =
        |id: &BrandId| Terms { policy: if id.as_str() == "strict" { &strict } else { &open }, certified: None };
    let candidates = [candidate("strict", Polarity::Fake, 0.94), candidate("open", Polarity::Fake, 0.92)];
    let judgement = judge(&candidates, facts(), &MODEL, terms_of);
    assert_eq!((judgement.verdict, judgement.decisive), (Verdict::KnownFakeMatch, Some(1)));
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

/// Judges with one policy per brand.
fn any_policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec(any_policy(), NAMES.len())
}

fn judged_each(candidates: &[Candidate], policies: &[Policy]) -> Judgement {
    judge(candidates, facts(), &MODEL, |id| {
        let policy = &policies[NAMES.iter().position(|name| *name == id.as_str()).unwrap()];
        Terms { policy, certified: Some(0.95) }
    })
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any_name(), any::<bool>(), 0.0_f32..=1.0).prop_map(|(name, fake, probability)| {
        candidate(name, if fake { Polarity::Fake } else { Polarity::Authentic }, probability)
    });
    prop::collection::vec(one, 0..8)
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(block, trusted, lenient)| Policy {
        block,
        authorised_sellers: if trusted { vec!["S1".to_owned()] } else { Vec::new() },
        authentic_reuse: if lenient { Action::Allow } else { Action::Review },
        ..Policy::default()
    })
}

proptest! {
    #[test]
    fn a_block_has_a_fake_at_or_above_a_certified_threshold(candidates in any_candidates(), policy in any_policy(), certified in prop::option::of(0.5_f64..1.0)) {
        let judgement = judged_by(&candidates, &policy, certified);
        if judgement.action == Action::Block {
            let decisive = &candidates[judgement.decisive.unwrap()];
            prop_assert_eq!(judgement.verdict, Verdict::KnownFakeMatch);
            prop_assert_eq!(decisive.polarity, Polarity::Fake);
            prop_assert!(policy.block && f64::from(decisive.score) >= certified.unwrap());
        }
    }

    #[test]
    fn without_a_certificate_nothing_blocks(candidates in any_candidates()) {
        prop_assert!(judged(&candidates, &blocking()).action < Action::Block);
    }

    #[test]
    fn a_relevant_fake_within_the_margin_of_an_authentic_is_a_conflict_for_review(fake in 0.5_f32..=0.99, apart in -0.99_f64..0.99, policy in any_policy()) {
        let mut authentic = candidate("b", Polarity::Authentic, fake);
        authentic.evidence += apart;
        let judgement = judged_by(&[candidate("a", Polarity::Fake, fake), authentic], &policy, Some(0.5));
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
    fn one_more_fake_never_makes_the_action_milder_unless_it_is_in_conflict(candidates in any_candidates(), policies in any_policies(), name in any_name(), probability in 0.0_f32..=1.0) {
        let before = judged_each(&candidates, &policies);
        let more: Vec<Candidate> = candidates.iter().cloned().chain([candidate(name, Polarity::Fake, probability)]).collect();
        let after = judged_each(&more, &policies);
        let disputed = candidates.iter().any(|c| c.polarity == Polarity::Authentic && (c.evidence - log_odds(f64::from(probability))).abs() <= f64::from(MODEL.conflict_margin));
        prop_assert!(after.action >= before.action || disputed, "{:?} became {:?}", before, after);
    }

    #[test]
    fn a_known_fake_is_never_allowed(candidates in any_candidates(), policies in any_policies()) {
        if candidates.iter().any(|c| c.polarity == Polarity::Fake && c.probability >= MODEL.fake_likely) {
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
            prop_assert!(candidates[place].probability >= threshold);
        }
        prop_assert!(!judgement.reasons.is_empty());
    }

    #[test]
    fn the_listing_gets_the_severest_action(photos in prop::collection::vec(any_candidates(), 1..5), policy in any_policy()) {
        let judgements: Vec<Judgement> = photos.iter().map(|candidates| judged(candidates, &policy)).collect();
        let severest = judgements.iter().map(|judgement| judgement.action).max();
        prop_assert_eq!(worst(&judgements).map(|judgement| judgement.action), severest);
    }
}

/// A logo found in the photo with this probability.
fn logo(name: &str, polarity: Polarity, probability: f32, changes: &[LogoChange]) -> Candidate {
    let logo = Some(Logo { changes: changes.to_vec() });
    Candidate { kind: Kind::Logo, logo, ..candidate(name, polarity, probability) }
}

#[test]
fn a_logo_is_seen_or_imitated_and_never_a_reused_photo() {
    use Polarity::{Authentic, Fake};
    let open = Policy::default();
    let answer = |candidate: Candidate| {
        let judgement = judged(&[candidate], &open);
        (judgement.verdict, judgement.action)
    };
    let changed = [LogoChange::Mirrored];
    assert_eq!(answer(logo("a", Authentic, 0.99, &[])), (Verdict::BrandMarkSeen, Action::Allow));
    assert_eq!(answer(logo("a", Authentic, 0.99, &changed)), (Verdict::BrandMarkImitated, Action::Review));
    assert_eq!(answer(logo("a", Fake, 0.99, &[])), (Verdict::BrandMarkImitated, Action::Review));
    assert_eq!(answer(logo("a", Authentic, 0.49, &[])), (Verdict::NoMatch, Action::Allow));
}

#[test]
fn a_brand_says_what_becomes_of_its_logo_but_a_known_imitation_is_always_looked_at() {
    use Polarity::{Authentic, Fake};
    let policy = Policy {
        block: true,
        brand_mark_seen: Action::Review,
        brand_mark_imitated: Action::Allow,
        ..Policy::default()
    };
    let action = |candidate: Candidate| judged_by(&[candidate], &policy, Some(0.5)).action;
    assert_eq!(action(logo("a", Authentic, 0.99, &[])), Action::Review);
    assert_eq!(action(logo("a", Authentic, 0.99, &[LogoChange::Stretched])), Action::Allow);
    assert_eq!(action(logo("a", Fake, 0.99, &[])), Action::Review);
    for field in ["brand_mark_seen", "brand_mark_imitated"] {
        let policy: Policy = serde_json::from_value(serde_json::json!({ field: "block" })).unwrap();
        assert!(policy.validate(&MODEL).unwrap_err().to_string().starts_with(field));
    }
}

#[test]
fn of_a_brands_logos_in_one_place_the_unchanged_one_speaks_and_of_equals_the_nearer_one() {
    use Polarity::{Authentic, Fake};
    let open = Policy::default();
    let recoloured = [LogoChange::OtherColour];
    let verdict = |candidates: &[Candidate]| judged(candidates, &open).verdict;
    let pair = [logo("a", Authentic, 0.99, &recoloured), logo("a", Authentic, 0.8, &[])];
    assert_eq!(verdict(&pair), Verdict::BrandMarkSeen);
    let other_brand = [logo("a", Authentic, 0.99, &recoloured), logo("b", Authentic, 0.8, &[])];
    assert_eq!(verdict(&other_brand), Verdict::BrandMarkImitated);
    assert_eq!(verdict(&[logo("a", Authentic, 0.9, &[]), logo("a", Fake, 0.8, &[])]), Verdict::BrandMarkSeen);
    assert_eq!(verdict(&[logo("a", Authentic, 0.8, &[]), logo("a", Fake, 0.9, &[])]), Verdict::BrandMarkImitated);
    // The photo shows an imitation of an imitation, which may be the logo itself. That alone proves nothing.
    assert_eq!(verdict(&[logo("a", Fake, 0.9, &recoloured)]), Verdict::NoMatch);
}

#[test]
fn beside_a_copy_an_allowed_logo_is_silent_and_an_imitated_one_is_not() {
    use Polarity::Authentic;
    let copy = candidate("a", Authentic, 0.9);
    let policy = Policy { authorised_sellers: vec!["S1".to_owned()], ..Policy::default() };
    let verdict = |mark: Candidate| judged(&[copy.clone(), mark], &policy).verdict;
    assert_eq!(verdict(logo("a", Authentic, 0.99, &[])), Verdict::AuthorisedUse);
    assert_eq!(verdict(logo("a", Authentic, 0.99, &[LogoChange::OtherParts])), Verdict::BrandMarkImitated);
    // A logo on a plain ground has little detail, and still counts as seen.
    let facts = Facts { quality: 2, ..facts() };
    let terms = |_: &BrandId| Terms { policy: &policy, certified: None };
    let on_white = [logo("a", Authentic, 0.99, &[])];
    assert_eq!(judge(&on_white, facts, &MODEL, terms).verdict, Verdict::BrandMarkSeen);
}

fn shared(polarity: Polarity, probability: f32) -> SharedCandidate {
    SharedCandidate { brand: brand("a"), polarity, probability, only_informs: false }
}

fn by_signals(candidates: &[SharedCandidate], policy: &Policy) -> Option<(Verdict, Action, usize)> {
    let facts = Facts { seller_id: Some("s1"), ..Facts::default() };
    let terms = |_: &BrandId| Terms { policy, certified: Some(0.1) };
    let (judgement, place) = judge_shared(candidates, facts, &MODEL, terms)?;
    assert_eq!(judgement.reasons.last(), Some(&Reason::SharedSignal));
    Some((judgement.verdict, judgement.action, place))
}

#[test]
fn a_signal_leads_to_a_review_and_never_to_more() {
    let strict = Policy { block: true, ..Policy::default() };
    let fake = shared(Polarity::Fake, 0.99);
    let review = Some((Verdict::KnownFakeLikely, Action::Review, 0));
    assert_eq!(by_signals(std::slice::from_ref(&fake), &strict), review);
    assert_eq!(by_signals(&[shared(Polarity::Fake, 0.49)], &strict), None);
    assert_eq!(by_signals(&[SharedCandidate { only_informs: true, ..fake.clone() }], &strict), None);
    // The more serious verdict decides, then the more probable signal.
    let all = [shared(Polarity::Authentic, 0.99), shared(Polarity::Fake, 0.6), shared(Polarity::Fake, 0.7)];
    assert_eq!(by_signals(&all, &strict), Some((Verdict::KnownFakeLikely, Action::Review, 2)));
}

#[test]
fn an_authentic_signal_follows_the_brands_policy() {
    let authentic = [shared(Polarity::Authentic, 0.9)];
    let reuse = |action| Some((Verdict::AuthenticPhotoReuse, action, 0));
    for action in [Action::Allow, Action::Review] {
        let policy = Policy { authentic_reuse: action, ..Policy::default() };
        assert_eq!(by_signals(&authentic, &policy), reuse(action));
    }
    let authorised = Policy { authorised_sellers: vec!["s1".to_owned()], ..Policy::default() };
    assert_eq!(by_signals(&authentic, &authorised), None, "the seller may use the photo");
}

#[test]
fn a_members_signals_only_inform_once_enough_of_them_were_overturned() {
    let options = AllianceOptions { least_trust: 0.5, trust_from: 4, ..AllianceOptions::default() };
    let informs = |confirmed, overturned| Fared { confirmed, overturned }.only_informs(&options);
    assert!(!informs(0, 0) && !informs(0, 3), "too few to tell");
    assert!(informs(1, 3) && informs(0, 4));
    assert!(!informs(2, 2), "half is enough");
}
