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
#[must_use]
pub fn judge<'p>(
    candidates: &[Candidate],
    facts: Facts<'_>,
    model: &ScoreThresholds,
    policy_of: impl Fn(&BrandId) -> &'p Policy,
) -> Judgement {
    let nearest = |polarity| Nearest::find(candidates, polarity, model, &policy_of);
    let (fake, authentic) = (nearest(Polarity::Fake), nearest(Polarity::Authentic));
    let mut judgement = if facts.quality < model.min_quality {
        low_information(fake.as_ref())
    } else {
        match (fake, authentic) {
            (Some(fake), Some(authentic)) if in_conflict(&fake, &authentic, model) => conflict(&fake, &authentic),
            (Some(fake), authentic) if fake.relevant() && authentic.as_ref().is_none_or(|a| fake.is_nearer(a)) => {
                known_fake(&fake, authentic.as_ref())
            }
            (fake, Some(authentic)) if authentic.relevant() => photo_reuse(&authentic, fake.as_ref(), facts),
            (fake, authentic) => lookalike(fake, authentic),
        }
    };
    let matched = judgement.decisive.map(|place| &candidates[place].brand);
    if let (Some(claimed), Some(matched)) = (facts.claimed_brand, matched)
        && claimed != matched.as_str()
    {
        judgement.reasons.push(Reason::ClaimedBrandDiffers);
    }
    judgement
}

/// The nearest candidate of one polarity, with the policy and thresholds of its brand.
struct Nearest<'p> {
    place: usize,
    similarity: f32,
    polarity: Polarity,
    policy: &'p Policy,
    thresholds: ScoreThresholds,
}

impl<'p> Nearest<'p> {
    /// Relevant candidates come before nearer ones that their own brand's thresholds leave out.
    fn find(
        candidates: &[Candidate],
        polarity: Polarity,
        model: &ScoreThresholds,
        policy_of: impl Fn(&BrandId) -> &'p Policy,
    ) -> Option<Self> {
        let of_polarity = candidates.iter().enumerate().filter(|(_, c)| c.polarity == polarity);
        let ranked = of_polarity.map(|(place, candidate)| {
            let policy = policy_of(&candidate.brand);
            Self { place, similarity: candidate.similarity, polarity, policy, thresholds: policy.thresholds(model) }
        });
        ranked.max_by(|a, b| {
            let by_brand = || candidates[b.place].brand.cmp(&candidates[a.place].brand);
            a.relevant().cmp(&b.relevant()).then(a.similarity.total_cmp(&b.similarity)).then_with(by_brand)
        })
    }

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

    fn is_nearer(&self, other: &Self) -> bool {
        self.similarity > other.similarity || !other.relevant()
    }
}

/// One of both is relevant, and the other is as near as makes no difference.
fn in_conflict(fake: &Nearest<'_>, authentic: &Nearest<'_>, model: &ScoreThresholds) -> bool {
    (fake.relevant() || authentic.relevant()) && (fake.similarity - authentic.similarity).abs() <= model.conflict_margin
}

fn conflict(fake: &Nearest<'_>, authentic: &Nearest<'_>) -> Judgement {
    let nearer = if fake.similarity >= authentic.similarity { fake } else { authentic };
    Judgement {
        verdict: Verdict::Conflict,
        action: Action::Review,
        reasons: vec![Reason::WithinConflictMargin],
        decisive: Some(nearer.place),
        threshold: Some(nearer.relevance()),
    }
}

fn known_fake(fake: &Nearest<'_>, authentic: Option<&Nearest<'_>>) -> Judgement {
    let certain = fake.similarity >= fake.thresholds.fake_match;
    let (verdict, threshold, reason) = if certain {
        (Verdict::KnownFakeMatch, fake.thresholds.fake_match, Reason::FakeAboveMatchThreshold)
    } else {
        (Verdict::KnownFakeLikely, fake.thresholds.fake_likely, Reason::FakeAboveLikelyThreshold)
    };
    let mut reasons = vec![reason];
    if authentic.is_some_and(Nearest::relevant) {
        reasons.push(Reason::AuthenticAlsoNear);
    }
    let (action, why) = match &fake.policy.block {
        Some(block) if certain && fake.similarity >= block.threshold => (Action::Block, Reason::BlockCertified),
        Some(_) => (Action::Review, Reason::BelowBlockThreshold),
        None => (Action::Review, Reason::NoBlockCertificate),
    };
    reasons.push(why);
    Judgement { verdict, action, reasons, decisive: Some(fake.place), threshold: Some(threshold) }
}

fn photo_reuse(authentic: &Nearest<'_>, fake: Option<&Nearest<'_>>, facts: Facts<'_>) -> Judgement {
    let authorised =
        facts.seller_id.is_some_and(|seller| authentic.policy.authorised_sellers.iter().any(|id| id == seller));
    let (verdict, action, seller) = if authorised {
        (Verdict::AuthorisedUse, Action::Allow, Reason::SellerAuthorised)
    } else {
        (Verdict::AuthenticPhotoReuse, authentic.policy.authentic_reuse, Reason::SellerNotAuthorised)
    };
    let mut reasons = vec![Reason::AuthenticAboveReuseThreshold, seller];
    if fake.is_some_and(Nearest::relevant) {
        reasons.push(Reason::FakeAlsoNear);
    }
    Judgement {
        verdict,
        action: action.min(Action::Review),
        reasons,
        decisive: Some(authentic.place),
        threshold: Some(authentic.thresholds.authentic_reuse),
    }
}

fn lookalike(fake: Option<Nearest<'_>>, authentic: Option<Nearest<'_>>) -> Judgement {
    let alike = [fake, authentic].into_iter().flatten().filter(|near| near.similarity >= near.thresholds.lookalike);
    match alike.max_by(|a, b| a.similarity.total_cmp(&b.similarity)) {
        Some(near) => Judgement {
            verdict: Verdict::SameProductLookalike,
            action: near.policy.lookalike.min(Action::Review),
            reasons: vec![Reason::ReferenceAboveLookalikeThreshold],
            decisive: Some(near.place),
            threshold: Some(near.thresholds.lookalike),
        },
        None => Judgement {
            verdict: Verdict::NoMatch,
            action: Action::Allow,
            reasons: vec![Reason::BelowEveryThreshold],
            decisive: None,
            threshold: None,
        },
    }
}

/// Blank photos match each other: that proves nothing, but next to a known fake a person looks.
fn low_information(fake: Option<&Nearest<'_>>) -> Judgement {
    let near_fake = fake.filter(|fake| fake.relevant());
    Judgement {
        verdict: Verdict::GenericOrLowInformation,
        action: if near_fake.is_some() { Action::Review } else { Action::Allow },
        reasons: vec![Reason::LowInformation],
        decisive: near_fake.map(|fake| fake.place),
        threshold: near_fake.map(Nearest::relevance),
    }
}
