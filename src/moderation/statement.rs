//! The statement of reasons required by Article 17 of Regulation (EU) 2022/2065 (Digital Services Act).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeskError;
use crate::domain::{Decision, NoticeSource, NoticeState, Polarity};
use crate::gallery::{Case, Notice, NoticeListing};
use crate::screening::{CheckAnswer, Match, PhotoAnswer};

/// The marketplace's texts for statements, from `[console.statement]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Platform {
    /// Name of the marketplace.
    pub name: String,
    /// Effect of the decision on the listing.
    pub restriction: String,
    /// Territory in which the restriction applies.
    pub territory: String,
    /// Duration of the restriction.
    pub duration: String,
    /// Legal ground for restricting a counterfeit's listing.
    pub legal_ground: String,
    /// Contractual ground for restricting a counterfeit's listing.
    pub contractual_ground: String,
    /// Legal ground for restricting a listing with a brand's own photo.
    pub photo_legal_ground: String,
    /// Contractual ground for restricting a listing with a brand's own photo.
    pub photo_contractual_ground: String,
    /// How the seller can challenge the decision.
    pub redress: String,
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            name: "this marketplace".to_owned(),
            restriction: "The listing is not shown.".to_owned(),
            territory: "Everywhere that the marketplace is offered.".to_owned(),
            duration: "Permanent, unless the decision is changed.".to_owned(),
            legal_ground: "Offering goods under a sign that is identical with or similar to a registered trade mark, without the owner's consent: Article 9(2) and (3)(b) of Regulation (EU) 2017/1001.".to_owned(),
            contractual_ground: "The marketplace's terms forbid offering counterfeit goods.".to_owned(),
            photo_legal_ground: "Using a photograph without the consent of whoever holds the rights in it: Articles 2 and 3 of Directive 2001/29/EC, as the law of the country concerned has them.".to_owned(),
            photo_contractual_ground: "The marketplace's terms forbid using photos that the seller has no right to use.".to_owned(),
            redress: "Within six months you can complain to the marketplace free of charge (Article 20); somebody other than the person who decided reviews the decision. You can turn to a certified out-of-court dispute settlement body (Article 21), and to a court at any time.".to_owned(),
        }
    }
}

/// A statement of reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Id of the case.
    pub case: String,
    /// The marketplace's id of the listing.
    pub listing: Option<String>,
    /// The marketplace's id of the seller.
    pub seller: Option<String>,
    /// When the case was decided, to the minute, in UTC.
    pub decided_at: Option<String>,
    /// The items of Article 17(3), in its order.
    pub sections: Vec<Section>,
}

/// One item of Article 17(3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Letter of the item, `a` to `f`.
    pub point: char,
    /// Heading of the item, without its letter.
    pub title: String,
    /// Paragraphs of the item.
    pub text: Vec<String>,
}

impl Statement {
    /// The statement for a case whose decision restricts the listing. `notices`: the takedown notices about the listing,
    /// oldest first.
    ///
    /// # Errors
    /// When the case has no such decision.
    pub fn of(
        case: &Case,
        answer: &CheckAnswer,
        notices: &[(Notice, NoticeListing)],
        platform: &Platform,
    ) -> Result<Self, DeskError> {
        let Some(decision) = case.decision.filter(|decision| decision.restricts()) else {
            return Err(DeskError::NothingRestricted(case.check_id.clone()));
        };
        let (legal, contractual) = platform.grounds(decision);
        let section = |point, title: &str, text: Vec<String>| Section { point, title: title.to_owned(), text };
        Ok(Self {
            case: case.check_id.clone(),
            listing: case.listing_id.clone(),
            seller: case.seller_id.clone(),
            decided_at: case.decided_at.map(|when| when.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            sections: vec![
                section(
                    'a',
                    "The restriction, its territory and its duration",
                    vec![platform.restriction.clone(), platform.territory.clone(), platform.duration.clone()],
                ),
                section('b', "The facts and circumstances", facts(case, answer, notices)),
                section('c', "The use of automated means", automated(case, answer)),
                section('d', "The legal ground", vec![legal.to_owned(), view(decision).to_owned()]),
                section('e', "The contractual ground", vec![contractual.to_owned()]),
                section('f', "What you can do", vec![platform.redress.clone()]),
            ],
        })
    }
}

impl Statement {
    /// The statement as plain text, for a letter.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines =
            vec!["Statement of reasons (Article 17 of Regulation (EU) 2022/2065)".to_owned(), String::new()];
        let named = [("Listing", &self.listing), ("Seller", &self.seller), ("Decided", &self.decided_at)];
        lines.extend(named.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?))));
        lines.push(format!("Case: {}", self.case));
        for section in &self.sections {
            lines.extend([String::new(), format!("({}) {}", section.point, section.title)]);
            lines.extend(section.text.iter().cloned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Platform {
    fn grounds(&self, decision: Decision) -> (&str, &str) {
        match decision {
            Decision::PhotoMisuse => (&self.photo_legal_ground, &self.photo_contractual_ground),
            _ => (&self.legal_ground, &self.contractual_ground),
        }
    }
}

fn view(decision: Decision) -> &'static str {
    match decision {
        Decision::PhotoMisuse => {
            "The facts above show, in the view of the person who decided, that the photo is the brand's and that the seller has no right to use it. Nothing is stated about the goods."
        }
        _ => {
            "The facts above show, in the view of the person who decided, that the goods do not come from the brand's owner or with the owner's consent."
        }
    }
}

/// The photo and the match that the moderator had before them.
fn looked_at<'a>(case: &Case, answer: &'a CheckAnswer) -> Option<(&'a PhotoAnswer, &'a Match)> {
    let photo = answer.photos.get(usize::try_from(case.decided_photo?).ok()?)?;
    let reference = case.decided_reference.as_ref()?;
    Some((photo, photo.matches.iter().find(|near| near.reference_id == *reference)?))
}

/// The notice that the brand filed before the decision, if that still stands.
fn upon<'a>(case: &Case, notices: &'a [(Notice, NoticeListing)]) -> Option<&'a Notice> {
    // Notices are dated to the second.
    let decided = case.decided_at.map(Timestamp::as_second);
    let before = |notice: &Notice| decided.is_none_or(|decided| notice.created_at.as_second() <= decided);
    let stands = |listing: &NoticeListing| !matches!(listing.state, NoticeState::Rejected | NoticeState::Withdrawn);
    let found = notices
        .iter()
        .find(|(notice, listing)| notice.source == NoticeSource::Brand && before(notice) && stands(listing));
    found.map(|(notice, _)| notice)
}

fn initiative(case: &Case, notices: &[(Notice, NoticeListing)]) -> String {
    match upon(case, notices) {
        Some(notice) => format!(
            "The decision was made upon a notice (Article 16) by the brand {}: {}, received on {}.",
            notice.brand.as_deref().unwrap_or("concerned"),
            notice.id,
            notice.created_at.strftime("%Y-%m-%d %H:%M UTC")
        ),
        None => "The decision was made on the marketplace's own initiative, not upon a notice.".to_owned(),
    }
}

fn facts(case: &Case, answer: &CheckAnswer, notices: &[(Notice, NoticeListing)]) -> Vec<String> {
    let own = looked_at(case, answer);
    let brand = own.map(|(_, near)| near.brand.as_str()).or(case.brand.as_deref()).unwrap_or("concerned");
    let signal = own.is_none().then(|| answer.leading_signal()).flatten();
    let compared = match signal {
        None => format!("The photos of the listing were compared with photos that the brand {brand} has supplied."),
        Some((photo, signal)) => format!(
            "Photo {} of {} matches what {}, another member of the alliance {}, has said about {} photo of the brand {brand} (probability of a copy {:.1} %). The member's photo itself was not compared.",
            photo.index + 1,
            answer.photos.len(),
            signal.member,
            signal.alliance,
            match signal.polarity {
                Polarity::Authentic => "an authentic",
                Polarity::Fake => "a counterfeit",
            },
            signal.probability * 100.0
        ),
    };
    let mut facts = vec![format!("{compared} {}", initiative(case, notices))];
    let seen = own.or_else(|| answer.lead()).filter(|_| signal.is_none());
    if let Some((photo, near)) = seen {
        facts.push(format!(
            "Photo {} of {} matches an image that the brand supplied as {} (probability of a copy {:.1} %).",
            photo.index + 1,
            answer.photos.len(),
            near.polarity,
            near.probability.map_or(case.probability, f64::from) * 100.0
        ));
        if let Some(overlay) = &near.overlay {
            facts.push(format!(
                "The image was found in the photo: it covers {:.0} % of the photo, and {:.0} % of the image is visible{}.",
                overlay.photo_overlap * 100.0,
                overlay.reference_overlap * 100.0,
                if overlay.flipped { ", mirrored" } else { "" }
            ));
        }
    }
    let reasons = seen.map_or(&answer.reasons, |(photo, _)| &photo.reasons);
    facts.extend(reasons.iter().map(|reason| reason.text.clone()));
    facts.extend(case.note.iter().map(|note| format!("The person who decided added: {note}")));
    if let Some(appeal) = &case.appeal {
        facts.push(format!("The seller appealed against an earlier decision and stated: {appeal}"));
    }
    facts
}

fn automated(case: &Case, answer: &CheckAnswer) -> Vec<String> {
    let versions = &answer.versions;
    let found = format!(
        "The match was found by automated means: touchstone {} with the model {} and the scoring {}, which answered {:?}.",
        versions.touchstone,
        versions.model,
        versions.scoring,
        answer.action.as_str()
    );
    let decided = match &case.precedent {
        Some(precedent) => format!(
            "The decision was taken by automated means: a person had decided about the same photo and the same image before, in the case {precedent}."
        ),
        None => "The decision was taken by a person.".to_owned(),
    };
    vec![found, decided]
}
