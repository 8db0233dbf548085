//! Judges logos. A logo is not a photo: it is drawn and printed everywhere, so finding it is no reuse of a photo and
//! proves nothing about the goods. A changed logo proves nothing either, but a person should review it.

use super::judge::{Candidate, Judgement, Terms};
use super::{Reason, Verdict};
use crate::align::LogoChange;
use crate::domain::{Action, BrandId, Kind, Polarity};

/// The probability from which on a logo counts as seen.
pub const LOGO_SEEN: f32 = 0.5;
/// A logo that covers a smaller share of the photo than this is reported as a part of it.
const PART_OF_PHOTO: f64 = 0.5;

/// A logo that was found in a photo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logo {
    /// How it differs from the reference; empty where it does not.
    pub changes: Vec<LogoChange>,
}

/// One judgement for each logo found.
pub(super) fn marks<'p>(candidates: &[Candidate], terms_of: impl Fn(&BrandId) -> Terms<'p>) -> Vec<Judgement> {
    let seen: Vec<(usize, &Candidate, &Logo)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.kind == Kind::Logo && candidate.probability >= LOGO_SEEN)
        .filter_map(|(place, candidate)| Some((place, candidate, candidate.logo.as_ref()?)))
        // What resembles a known imitation and is not the same may be the logo itself.
        .filter(|(_, candidate, logo)| candidate.polarity == Polarity::Authentic || logo.changes.is_empty())
        .collect();
    let judged = seen.iter().filter(|(place, candidate, logo)| {
        let others = || seen.iter().filter(|(other, ..)| other != place).map(|(_, other, logo)| (*other, *logo));
        !others().any(|(other, other_logo)| explains((other, other_logo), (*candidate, *logo)))
    });
    judged.map(|(place, candidate, logo)| judgement(*place, candidate, logo, terms_of(&candidate.brand))).collect()
}

/// Whether one logo of a brand explains what was found of another one in the same place. A brand has several logos: a
/// changed one may be another one, unchanged; and an imitation must be nearer to the known imitation than to the logo
/// itself.
fn explains((one, its): (&Candidate, &Logo), (other, others): (&Candidate, &Logo)) -> bool {
    if one.brand != other.brand || !is_same_place(one, other) {
        return false;
    }
    match (its.changes.is_empty(), others.changes.is_empty()) {
        (true, false) => true,
        (false, true) => false,
        (true, true) | (false, false) => one.evidence > other.evidence,
    }
}

fn is_same_place(one: &Candidate, other: &Candidate) -> bool {
    match (one.alignment, other.alignment) {
        (Some(one), Some(other)) => one.is_same_place(&other),
        _ => true,
    }
}

fn judgement(place: usize, candidate: &Candidate, logo: &Logo, terms: Terms<'_>) -> Judgement {
    let policy = terms.policy;
    let changes = logo.changes.iter().map(|change| match change {
        LogoChange::Mirrored => Reason::LogoMirrored,
        LogoChange::Stretched => Reason::LogoStretched,
        LogoChange::OtherColour => Reason::LogoInOtherColour,
        LogoChange::OtherParts => Reason::LogoPartsDiffer,
    });
    let (verdict, action, mut reasons) = match (candidate.polarity, logo.changes.is_empty()) {
        (Polarity::Authentic, true) => (Verdict::BrandMarkSeen, policy.brand_mark_seen, vec![Reason::LogoSeen]),
        (Polarity::Authentic, false) => {
            (Verdict::BrandMarkImitated, policy.brand_mark_imitated, vec![Reason::LogoImitated])
        }
        // The brand has shown that it is an imitation: the action is review, whatever the policy says about other
        // logos.
        (Polarity::Fake, _) => (Verdict::BrandMarkImitated, Action::Review, vec![Reason::KnownImitationSeen]),
    };
    if candidate.polarity == Polarity::Authentic {
        reasons.extend(changes);
    }
    let part = candidate.alignment.is_some_and(|found| found.query_overlap < PART_OF_PHOTO);
    reasons.extend(part.then_some(Reason::PartOfPhoto));
    Judgement {
        verdict,
        action: action.min(Action::Review),
        reasons,
        decisive: Some(place),
        threshold: Some(LOGO_SEEN),
    }
}
