use std::collections::BTreeMap;

use super::marks::{Logo, marks};
use super::{Reason, Verdict};
use crate::align::Alignment;
use crate::domain::{Action, BrandId, Kind, Mark, Polarity, Policy};
use crate::embed::ScoreThresholds;

/// A copy that covers a smaller share of the photo than this is reported as a part of it.
const PART_OF_PHOTO: f64 = 0.5;
/// A copy that shows a smaller share of the reference than this is reported as a cutting.
const PART_OF_REFERENCE: f64 = 0.6;
/// A part agrees at least this well, and at least this share of the structure is around it, if it was cut out and put
/// on another background. Of cut-outs, nine in ten reach both; of other copies, few reach the second.
const COPIED: f64 = 0.75;
const OTHER_GROUND: f64 = 0.25;

/// A candidate with everything that a verdict needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The brand that owns the reference.
    pub brand: BrandId,
    /// Whether the brand supplied the reference as authentic or as a known fake.
    pub polarity: Polarity,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
    /// Log-odds that the photo is a copy of the reference, before calibration. References of both polarities are
    /// compared by this value.
    pub evidence: f64,
    /// Calibrated probability of a copy, 0 to 1, without the brand's outcomes; certificates are about this value.
    pub score: f32,
    /// Calibrated probability of a copy, 0 to 1, including what the brand's outcomes contribute.
    pub probability: f32,
    /// Alignment with the photo; `None` where geometric verification did not run or found none.
    pub alignment: Option<Alignment>,
    /// Why the reference never leads to a block by itself; `None` if it may.
    pub mark: Option<Mark>,
    /// Whether the photo is the reference's file.
    pub same_file: bool,
    /// Whether the reference is a photo or a logo.
    pub kind: Kind,
    /// What was found of the reference, if it is a logo that was searched for.
    pub logo: Option<Logo>,
}

impl Candidate {
    /// Whether the photo is the reference's photograph with the goods in another colour.
    #[must_use]
    pub fn is_recoloured(&self) -> bool {
        self.alignment.is_some_and(|found| found.is_recoloured())
    }
}

/// The policy and the certificate that apply to a brand's references.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'p> {
    /// The brand's policy, or the default one.
    pub policy: &'p Policy,
    /// The score from which on the brand's certificate covers blocks; `None` without a certificate.
    pub certified: Option<f64>,
}

/// Further facts that a verdict depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Quality of the photo (PDQ), 0 to 100.
    pub quality: u8,
    /// The marketplace's id of the seller.
    pub seller_id: Option<&'a str>,
    /// The brand that the listing claims.
    pub claimed_brand: Option<&'a str>,
}

/// The judgement of one photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Verdict of the most serious finding.
    pub verdict: Verdict,
    /// The action that the policy decides.
    pub action: Action,
    /// Reasons of the verdict and the action.
    pub reasons: Vec<Reason>,
    /// Index of the candidate that decided; `None` where none did.
    pub decisive: Option<usize>,
    /// The threshold that the decisive candidate was compared with.
    pub threshold: Option<f32>,
}

/// The judgement of a photo that could not be judged; never `allow`.
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

/// The judgement that decides the listing: the severest action, then the most serious verdict.
#[must_use]
pub fn worst(judgements: &[Judgement]) -> Option<&Judgement> {
    judgements.iter().max_by_key(|judgement| (judgement.action, judgement.verdict))
}

/// Judges one photo. `terms_of` returns a brand's terms. The order of candidates does not matter.
///
/// Each brand's most probable fake and authentic reference are judged by that brand's own policy, and the severest
/// finding becomes the photo's, so no brand's match hides another's. Logos are judged separately.
#[must_use]
pub fn judge<'p>(
    candidates: &'p [Candidate],
    facts: Facts<'_>,
    model: &ScoreThresholds,
    terms_of: impl Fn(&BrandId) -> Terms<'p>,
) -> Judgement {
    let nearest = nearest_of_each_brand(candidates, model, &terms_of);
    // Even a photo with little detail is the same file.
    let little = facts.quality < model.min_quality;
    let counts = |near: &&Nearest<'_>| !little || near.candidate.same_file;
    let found = nearest.iter().filter(counts).filter_map(|near| finding(near, &nearest, facts, model));
    let mut findings: Vec<Judgement> = found.collect();
    if little && findings.is_empty() {
        findings.push(low_information(&nearest));
    }
    let marks = marks(candidates, &terms_of);
    if findings.is_empty() {
        findings.extend(lookalikes(candidates, model, &terms_of));
        findings.extend(marks);
    } else {
        // Beside a copy, an allowed logo adds nothing; on a photo with little detail it does.
        let says_more = |mark: &Judgement| facts.quality < model.min_quality || mark.action > Action::Allow;
        findings.extend(marks.into_iter().filter(says_more));
    }
    let weight = |judgement: &Judgement| {
        judgement.decisive.map_or((f64::NEG_INFINITY, f32::NEG_INFINITY), |place| {
            (candidates[place].evidence, candidates[place].similarity)
        })
    };
    let severest = findings.into_iter().max_by(|a, b| {
        let by_seriousness = (a.action, a.verdict).cmp(&(b.action, b.verdict));
        let (a, b) = (weight(a), weight(b));
        by_seriousness.then(a.0.total_cmp(&b.0)).then(a.1.total_cmp(&b.1))
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

/// A brand's most probable candidate of one polarity, with that brand's terms.
struct Nearest<'p> {
    place: usize,
    candidate: &'p Candidate,
    polarity: Polarity,
    policy: &'p Policy,
    certified: Option<f64>,
    thresholds: ScoreThresholds,
}

impl Nearest<'_> {
    /// The probability from which on this polarity means more than "looks alike".
    fn relevance(&self) -> f32 {
        self.thresholds.relevance(self.polarity == Polarity::Fake)
    }

    /// The probability to compare with thresholds. Outcomes say whether goods were counterfeit, and goods behind a true
    /// copy may be genuine, so outcomes never lower a fake's probability below the photo's own score.
    fn certainty(&self) -> f32 {
        match self.polarity {
            Polarity::Fake => self.candidate.probability.max(self.candidate.score),
            Polarity::Authentic => self.candidate.probability,
        }
    }

    fn relevant(&self) -> bool {
        self.certainty() >= self.relevance()
    }

    /// Whether the candidate may be blocked. Outcomes may raise a probability, but a block needs the photo's own score,
    /// and an alignment with the reference.
    fn is_blockable(&self, certified: f64) -> bool {
        self.candidate.score >= self.thresholds.fake_match
            && f64::from(self.candidate.score) >= certified
            && self.candidate.alignment.is_some_and(|alignment| alignment.holds())
    }
}

/// The most probable candidates, ordered by brand, so that equal candidates give the same answer every time.
fn nearest_of_each_brand<'p>(
    candidates: &'p [Candidate],
    model: &ScoreThresholds,
    terms_of: impl Fn(&BrandId) -> Terms<'p>,
) -> Vec<Nearest<'p>> {
    let mut places: BTreeMap<(&BrandId, Polarity), usize> = BTreeMap::new();
    let photos = candidates.iter().enumerate().filter(|(_, candidate)| candidate.kind == Kind::Photo);
    for (place, candidate) in photos {
        let nearest = places.entry((&candidate.brand, candidate.polarity)).or_insert(place);
        if candidate.evidence > candidates[*nearest].evidence {
            *nearest = place;
        }
    }
    let with_terms = places.into_iter().map(|((brand, polarity), place)| {
        let Terms { policy, certified } = terms_of(brand);
        let thresholds = policy.thresholds(model);
        Nearest { place, candidate: &candidates[place], polarity, policy, certified, thresholds }
    });
    with_terms.collect()
}

/// The finding of one relevant reference, compared with those of the other polarity of every brand.
fn finding(near: &Nearest<'_>, all: &[Nearest<'_>], facts: Facts<'_>, model: &ScoreThresholds) -> Option<Judgement> {
    if !near.relevant() {
        return None;
    }
    // Nearly the same photo was supplied with the opposite polarity: the photo is a copy, but nobody knows of what.
    if near.candidate.mark == Some(Mark::Disputed) {
        return Some(conflict(near, Reason::ReferenceDisputed));
    }
    let opposite = || all.iter().filter(|other| other.polarity != near.polarity && same_place(near, other));
    let apart = |other: &Nearest<'_>| other.candidate.evidence - near.candidate.evidence;
    // Catalogues recolour one photograph: a fake in one colour beside an authentic one in another is no contradiction.
    let same_colour = |other: &&Nearest<'_>| !near.candidate.is_recoloured() && !other.candidate.is_recoloured();
    if opposite().filter(same_colour).any(|other| apart(other).abs() <= f64::from(model.conflict_margin)) {
        return Some(conflict(near, Reason::WithinConflictMargin));
    }
    // A relevant reference of the other polarity that is clearly more probable takes precedence.
    if opposite().any(|other| other.relevant() && apart(other) > 0.0) {
        return None;
    }
    // In another colour, evidence within the margin is no conflict, but a person should still review it.
    let within = |other: &Nearest<'_>| apart(other).abs() <= f64::from(model.conflict_margin);
    let also = opposite().any(|other| other.relevant() || within(other));
    Some(match near.polarity {
        Polarity::Fake => known_fake(near, also),
        Polarity::Authentic => photo_reuse(near, also, facts),
    })
}

/// Whether both references may be in the same part of the photo. In different parts, as in a collage, each is judged by
/// itself: a brand's photo beside a fake one does not excuse it.
fn same_place(a: &Nearest<'_>, b: &Nearest<'_>) -> bool {
    match (a.candidate.alignment, b.candidate.alignment) {
        (Some(a), Some(b)) if a.holds() && b.holds() => a.is_same_place(&b),
        _ => true,
    }
}

fn conflict(near: &Nearest<'_>, reason: Reason) -> Judgement {
    Judgement {
        verdict: Verdict::Conflict,
        action: Action::Review,
        reasons: vec![reason],
        decisive: Some(near.place),
        threshold: Some(near.relevance()),
    }
}

fn known_fake(fake: &Nearest<'_>, authentic_also: bool) -> Judgement {
    let recoloured = fake.candidate.is_recoloured();
    let certain = fake.certainty() >= fake.thresholds.fake_match && !recoloured;
    let (verdict, threshold, reason) = if certain {
        (Verdict::KnownFakeMatch, fake.thresholds.fake_match, Reason::FakeAboveMatchThreshold)
    } else {
        (Verdict::KnownFakeLikely, fake.thresholds.fake_likely, Reason::FakeAboveLikelyThreshold)
    };
    let mut reasons = vec![reason];
    reasons.extend(where_it_lies(fake.candidate));
    reasons.extend(authentic_also.then_some(Reason::AuthenticAlsoNear));
    let (action, why) = match fake.certified {
        _ if !fake.policy.block => (Action::Review, Reason::BlockNotAskedFor),
        None => (Action::Review, Reason::NoBlockCertificate),
        Some(_) if recoloured => (Action::Review, Reason::RecolouredNeverBlocks),
        Some(_) if fake.candidate.mark.is_some() => (Action::Review, Reason::ReferenceNeverBlocks),
        Some(least) if fake.is_blockable(least) => (Action::Block, Reason::BlockCertified),
        Some(_) => (Action::Review, Reason::BelowBlockThreshold),
    };
    reasons.push(why);
    Judgement { verdict, action, reasons, decisive: Some(fake.place), threshold: Some(threshold) }
}

/// The reasons that geometric verification adds.
fn where_it_lies(candidate: &Candidate) -> Vec<Reason> {
    let Some(alignment) = candidate.alignment.filter(Alignment::is_reported) else {
        return Vec::new();
    };
    let mut reasons = vec![Reason::ReferenceLiesInPhoto];
    reasons.extend(alignment.flipped.then_some(Reason::Mirrored));
    reasons.extend(alignment.recolour.map(|_| Reason::OtherColour));
    reasons.extend((alignment.query_overlap < PART_OF_PHOTO).then_some(Reason::PartOfPhoto));
    reasons.extend((alignment.reference_overlap < PART_OF_REFERENCE).then_some(Reason::PartOfReference));
    let part = alignment.part;
    let cut_out = part.agreement >= COPIED && part.around >= OTHER_GROUND;
    reasons.extend(cut_out.then_some(Reason::SubjectCopiedOnOtherGround));
    reasons
}

/// The finding of a reused authentic photo. Next to a known fake the action is review, whatever the seller or the
/// policy.
fn photo_reuse(authentic: &Nearest<'_>, fake_also: bool, facts: Facts<'_>) -> Judgement {
    let sellers = &authentic.policy.authorised_sellers;
    let authorised = facts.seller_id.is_some_and(|seller| sellers.iter().any(|id| id == seller));
    let (verdict, action, seller) = if authorised {
        (Verdict::AuthorisedUse, Action::Allow, Reason::SellerAuthorised)
    } else {
        (Verdict::AuthenticPhotoReuse, authentic.policy.authentic_reuse, Reason::SellerNotAuthorised)
    };
    let mut reasons = vec![Reason::AuthenticAboveReuseThreshold];
    reasons.extend(where_it_lies(authentic.candidate));
    reasons.push(seller);
    reasons.extend(fake_also.then_some(Reason::FakeAlsoNear));
    Judgement {
        verdict,
        action: if fake_also { Action::Review } else { action.min(Action::Review) },
        reasons,
        decisive: Some(authentic.place),
        threshold: Some(authentic.thresholds.authentic_reuse),
    }
}

/// The findings of all candidates that look alike and are not copies.
fn lookalikes<'p>(
    candidates: &[Candidate],
    model: &ScoreThresholds,
    terms_of: impl Fn(&BrandId) -> Terms<'p>,
) -> Vec<Judgement> {
    let photos = candidates.iter().enumerate().filter(|(_, candidate)| candidate.kind == Kind::Photo);
    let alike = photos.filter_map(|(place, candidate)| {
        let policy = terms_of(&candidate.brand).policy;
        let least = policy.thresholds(model).lookalike;
        let inliers = candidate.alignment.map_or(0, |alignment| alignment.inliers);
        let same_print = inliers >= model.lookalike_inliers as usize;
        let near = candidate.similarity >= least;
        let mut reasons = Vec::new();
        reasons.extend(near.then_some(Reason::ReferenceAboveLookalikeThreshold));
        reasons.extend(same_print.then_some(Reason::SamePrintSeen));
        (!reasons.is_empty()).then(|| Judgement {
            verdict: Verdict::SameProductLookalike,
            action: policy.lookalike.min(Action::Review),
            reasons,
            decisive: Some(place),
            threshold: near.then_some(least),
        })
    });
    alike.collect()
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

/// The finding of a photo with little detail. Blank photos match each other, which proves nothing; next to a known fake
/// the action is review.
fn low_information(nearest: &[Nearest<'_>]) -> Judgement {
    let fakes = nearest.iter().filter(|near| near.polarity == Polarity::Fake && near.relevant());
    let near_fake = fakes.max_by(|a, b| a.candidate.evidence.total_cmp(&b.candidate.evidence));
    Judgement {
        verdict: Verdict::GenericOrLowInformation,
        action: if near_fake.is_some() { Action::Review } else { Action::Allow },
        reasons: vec![Reason::LowInformation],
        decisive: near_fake.map(|fake| fake.place),
        threshold: near_fake.map(Nearest::relevance),
    }
}
