use std::collections::BTreeMap;

use super::{Reason, Verdict};
use crate::embed::ScoreThresholds;
use crate::gallery::{Action, BrandId, Polarity, Policy};

/// A match, as far as a verdict needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Whose reference.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Cosine similarity.
    pub similarity: f32,
}

/// What else bears on the verdict.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Quality of the photo, 0 to 100.
    pub quality: u8,
    /// The marketplace's seller.
    pub seller_id: Option<&'a str>,
    /// The brand that the listing claims.
    pub claimed_brand: Option<&'a str>,
}

/// The answer for one photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What was found.
    pub verdict: Verdict,
    /// What the policy answers.
    pub action: Action,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Which candidate decided, by its place.
    pub decisive: Option<usize>,
    /// The threshold that it was held against.
    pub threshold: Option<f32>,
}

/// A photo that could not be judged: never a silent allow.
#[must_use]
pub fn undecidable(reason: Reason) -> Judgement {
    Judgement {
        verdict: Verdict::Undecidable,
        action: Action::Review,
        reasons: vec![reason],
        decisive: None,
        threshold: None,
    }
}

/// The judgement that speaks for the listing: the severest action, then the most serious verdict.
#[must_use]
pub fn worst(judgements: &[Judgement]) -> Option<&Judgement> {
    judgements.iter().max_by_key(|judgement| (judgement.action, judgement.verdict))
}

/// Judges one photo. `policy_of` gives a brand's policy; the order of candidates does not matter.
///
/// Each brand's nearest fake and nearest authentic reference are judged by that brand's own policy, and
/// the severest finding speaks for the photo: no brand's match hides another's.
#[must_use]
pub fn judge<'p>(
    candidates: &[Candidate],
    facts: Facts<'_>,
    model: &ScoreThresholds,
    policy_of: impl Fn(&BrandId) -> &'p Policy,
) -> Judgement {
    let nearest = nearest_of_each_brand(candidates, model, policy_of);
    let mut findings = if facts.quality < model.min_quality {
        vec![low_information(&nearest)]
    } else {
        nearest.iter().filter_map(|near| finding(near, &nearest, facts, model)).collect()
    };
    if findings.is_empty() {
        findings.extend(nearest.iter().filter(|near| near.similarity >= near.thresholds.lookalike).map(lookalike));
    }
    let weight =
        |judgement: &Judgement| judgement.decisive.map_or(f32::NEG_INFINITY, |place| candidates[place].similarity);
    let severest = findings.into_iter().max_by(|a, b| {
        let by_seriousness = (a.action, a.verdict).cmp(&(b.action, b.verdict));
        by_seriousness.then(weight(a).total_cmp(&weight(b)))
    });
    let mut judgement = severest.unwrap_or_else(no_match);
    let matched = judgement.decisive.map(|place| candidates[place].brand.as_str());
    if let (Some(claimed), Some(matched)) = (facts.claimed_brand, matched)
        && !claimed.eq_ignore_ascii_case(matched)
    {
        judgement.reasons.push(Reason::ClaimedBrandDiffers);
    }
    judgement
}

/// A brand's nearest candidate of one polarity, with the policy and thresholds of that brand.
struct Nearest<'p> {
    place: usize,
    similarity: f32,
    polarity: Polarity,
    policy: &'p Policy,
    thresholds: ScoreThresholds,
}

impl Nearest<'_> {
    /// The threshold from which on this polarity says more than "looks alike".
    fn relevance(&self) -> f32 {
        match self.polarity {
            Polarity::Fake => self.thresholds.fake_likely,
            Polarity::Authentic => self.thresholds.authentic_reuse,
        }
    }

    fn relevant(&self) -> bool {
        self.similarity >= self.relevance()
    }
}

/// In the order of brands, so that equal similarities are answered the same every time.
fn nearest_of_each_brand<'p>(
    candidates: &[Candidate],
    model: &ScoreThresholds,
    policy_of: impl Fn(&BrandId) -> &'p Policy,
) -> Vec<Nearest<'p>> {
    let mut places: BTreeMap<(&BrandId, Polarity), usize> = BTreeMap::new();
    for (place, candidate) in candidates.iter().enumerate() {
        let nearest = places.entry((&candidate.brand, candidate.polarity)).or_insert(place);
        if candidate.similarity > candidates[*nearest].similarity {
            *nearest = place;
        }
    }
    let with_policy = places.into_iter().map(|((brand, polarity), place)| {
        let policy = policy_of(brand);
        let thresholds = policy.thresholds(model);
        Nearest { place, similarity: candidates[place].similarity, polarity, policy, thresholds }
    });
    with_policy.collect()
}

/// What one relevant reference says, held against those of the other polarity, of whatever brand.
fn finding(near: &Nearest<'_>, all: &[Nearest<'_>], facts: Facts<'_>, model: &ScoreThresholds) -> Option<Judgement> {
    if !near.relevant() {
        return None;
    }
    let opposite = || all.iter().filter(|other| other.polarity != near.polarity);
    let apart = |other: &Nearest<'_>| other.similarity - near.similarity;
    if opposite().any(|other| apart(other).abs() <= model.conflict_margin) {
        return Some(conflict(near));
    }
    // A relevant reference of the other polarity that is clearly nearer speaks instead.
    if opposite().any(|other| other.relevant() && apart(other) > 0.0) {
        return None;
    }
    let also = opposite().any(Nearest::relevant);
    Some(match near.polarity {
        Polarity::Fake => known_fake(near, also),
        Polarity::Authentic => photo_reuse(near, also, facts),
    })
}

fn conflict(near: &Nearest<'_>) -> Judgement {
    Judgement {
        verdict: Verdict::Conflict,
        action: Action::Review,
        reasons: vec![Reason::WithinConflictMargin],
        decisive: Some(near.place),
        threshold: Some(near.relevance()),
    }
}

fn known_fake(fake: &Nearest<'_>, authentic_also: bool) -> Judgement {
    let certain = fake.similarity >= fake.thresholds.fake_match;
    let (verdict, threshold, reason) = if certain {
        (Verdict::KnownFakeMatch, fake.thresholds.fake_match, Reason::FakeAboveMatchThreshold)
    } else {
        (Verdict::KnownFakeLikely, fake.thresholds.fake_likely, Reason::FakeAboveLikelyThreshold)
    };
    let mut reasons = vec![reason];
    reasons.extend(authentic_also.then_some(Reason::AuthenticAlsoNear));
    let (action, why) = match &fake.policy.block {
        Some(block) if certain && fake.similarity >= block.threshold => (Action::Block, Reason::BlockCertified),
        Some(_) => (Action::Review, Reason::BelowBlockThreshold),
        None => (Action::Review, Reason::NoBlockCertificate),
    };
    reasons.push(why);
    Judgement { verdict, action, reasons, decisive: Some(fake.place), threshold: Some(threshold) }
}

/// Next to a known fake, a person looks: neither a trusted seller nor a lenient policy allows it.
fn photo_reuse(authentic: &Nearest<'_>, fake_also: bool, facts: Facts<'_>) -> Judgement {
    let sellers = &authentic.policy.authorised_sellers;
    let authorised = facts.seller_id.is_some_and(|seller| sellers.iter().any(|id| id == seller));
    let (verdict, action, seller) = if authorised {
        (Verdict::AuthorisedUse, Action::Allow, Reason::SellerAuthorised)
    } else {
        (Verdict::AuthenticPhotoReuse, authentic.policy.authentic_reuse, Reason::SellerNotAuthorised)
    };
    let mut reasons = vec![Reason::AuthenticAboveReuseThreshold, seller];
    reasons.extend(fake_also.then_some(Reason::FakeAlsoNear));
    Judgement {
        verdict,
        action: if fake_also { Action::Review } else { action.min(Action::Review) },
        reasons,
        decisive: Some(authentic.place),
        threshold: Some(authentic.thresholds.authentic_reuse),
    }
}

fn lookalike(near: &Nearest<'_>) -> Judgement {
    Judgement {
        verdict: Verdict::SameProductLookalike,
        action: near.policy.lookalike.min(Action::Review),
        reasons: vec![Reason::ReferenceAboveLookalikeThreshold],
        decisive: Some(near.place),
        threshold: Some(near.thresholds.lookalike),
    }
}

fn no_match() -> Judgement {
    Judgement {
        verdict: Verdict::NoMatch,
        action: Action::Allow,
        reasons: vec![Reason::BelowEveryThreshold],
        decisive: None,
        threshold: None,
    }
}

/// Blank photos match each other: that proves nothing, but next to a known fake a person looks.
fn low_information(nearest: &[Nearest<'_>]) -> Judgement {
    let fakes = nearest.iter().filter(|near| near.polarity == Polarity::Fake && near.relevant());
    let near_fake = fakes.max_by(|a, b| a.similarity.total_cmp(&b.similarity));
    Judgement {
        verdict: Verdict::GenericOrLowInformation,
        action: if near_fake.is_some() { Action::Review } else { Action::Allow },
        reasons: vec![Reason::LowInformation],
        decisive: near_fake.map(|fake| fake.place),
        threshold: near_fake.map(Nearest::relevance),
    }
}
