//! Judges signals of other members of an alliance. Nobody here has seen their pictures, so they never lead to more than a
//! review, and a brand's own references take precedence.

use super::judge::{Facts, Judgement, Terms};
use super::{Reason, Verdict};
use crate::domain::{Action, BrandId, Polarity};
use crate::embed::ScoreThresholds;

/// A signal that may be about the photo.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedCandidate {
    /// The brand.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// Probability of a copy.
    pub probability: f32,
    /// Whether signals of this member only inform.
    pub only_informs: bool,
}

/// The judgement that signals lead to, and the place of the one that decides; `None` if none of them changes the verdict
/// on a photo that would be allowed.
#[must_use]
pub fn judge_shared<'p>(
    candidates: &[SharedCandidate],
    facts: Facts<'_>,
    model: &ScoreThresholds,
    terms_of: impl Fn(&BrandId) -> Terms<'p>,
) -> Option<(Judgement, usize)> {
    let judged = candidates.iter().enumerate().filter(|(_, candidate)| !candidate.only_informs).filter_map(
        |(place, candidate)| {
            let policy = terms_of(&candidate.brand).policy;
            let threshold = policy.thresholds(model).relevance(candidate.polarity == Polarity::Fake);
            if candidate.probability < threshold {
                return None;
            }
            let (verdict, action, reason) = match candidate.polarity {
                Polarity::Fake => (Verdict::KnownFakeLikely, Action::Review, Reason::FakeAboveLikelyThreshold),
                Polarity::Authentic => {
                    let own = |seller: &str| policy.authorised_sellers.iter().any(|id| id == seller);
                    if facts.seller_id.is_some_and(own) {
                        return None;
                    }
                    (Verdict::AuthenticPhotoReuse, policy.authentic_reuse, Reason::AuthenticAboveReuseThreshold)
                }
            };
            let reasons = vec![reason, Reason::SharedSignal];
            let action = action.min(Action::Review);
            Some((Judgement { verdict, action, reasons, decisive: None, threshold: Some(threshold) }, place))
        },
    );
    judged.max_by(|(a, one), (b, other)| {
        let by_seriousness = (a.action, a.verdict).cmp(&(b.action, b.verdict));
        by_seriousness.then(candidates[*one].probability.total_cmp(&candidates[*other].probability))
    })
}
