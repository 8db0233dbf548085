use maud::{Markup, html};

use super::parts::{
    Picture, age, alike, as_they_are, audit_rows, choice, decision_words, percent, small, state, time, words,
};
use super::queue::queue_part;
use super::{Shell, csrf, fragment, page};
use crate::align::LogoChange;
use crate::gallery::{
    AuditEntry, BrandId, Case, CaseStatus, Decision, Kind, Mark, Polarity, Reference, ReferenceState, Session,
};
use crate::moderation::{CaseView, Near, PairView};
use crate::page::visible;
use crate::screening::{CheckAnswer, Match, Overlay, PhotoAnswer};

/// What the page of a case shows.
#[derive(Debug)]
pub struct CasePage<'a> {
    /// Who looks.
    pub session: &'a Session,
    /// The case.
    pub view: &'a CaseView,
    /// What was done about it.
    pub log: &'a [AuditEntry],
    /// Brands that a photo can become a reference of.
    pub brands: &'a [BrandId],
    /// The filters of the queue that it comes from, as they stand in an address.
    pub queue: &'a str,
    /// Whether this person may decide.
    pub may_decide: bool,
    /// Something to tell.
    pub notice: Option<&'a str>,
    /// Whether the content alone is wanted.
    pub fragment: bool,
}

/// The page, or its content.
#[must_use]
pub fn case(show: &CasePage<'_>) -> Markup {
    let CaseView { case, answer, pair, .. } = show.view;
    let content = html! {
        (heading(case))
        (decide(show))
        (compare(&pair.photo, pair.near.as_ref(), pair.reference.as_ref()))
        div.columns {
            section { (figures(show.view)) }
            section { (reasons(answer, pair)) }
        }
        (photos(show))
        section {
            h2 { "Near references" }
            div hx-get=(format!("/console/cases/{}/near?photo={}", case.check_id, pair.photo.index)) hx-trigger="load" hx-swap="innerHTML" {
                p { a href=(format!("/console/lookup?photo={}", pair.photo.sha256)) { "Look them up" } }
            }
        }
        (earlier(show.view))
        (more(show))
        section { h2 { "What was done" } (audit_rows(show.log)) }
        (versions(answer))
    };
    let title = format!("Case: {}", words(&case.verdict));
    let shell = Shell { title: &title, session: Some(show.session), part: "queue", notice: show.notice };
    if show.fragment { fragment(shell, &content) } else { page(shell, &content) }
}

fn heading(case: &Case) -> Markup {
    html! {
        h1 { (words(&case.verdict)) " " span.tag { (alike(case)) } }
        p.note {
            span.path { (case.check_id) } " · " (time(case.created_at)) ", " (age(case.created_at)) " ago · "
            @if let Some(seller) = &case.seller_id { "seller " a href=(super::queue::of_seller(seller)) { (visible(seller)) } " · " }
            @if let Some(listing) = &case.listing_id { "listing " (visible(listing)) " · " }
            "the policy answered " strong { (case.action) } " · " strong { (state(case)) }
        }
        @if let Some(appeal) = &case.appeal {
            blockquote { p { strong { "The seller's appeal: " } (visible(appeal)) } }
        }
        @if let Some(note) = &case.note {
            p { strong { "Reason given" @if let Some(by) = &case.decided_by { " by " (by) } ": " } (visible(note)) }
        }
    }
}

fn decide(show: &CasePage<'_>) -> Markup {
    let CaseView { case, pair, .. } = show.view;
    let action = |what: &str| format!("/console/cases/{}/{what}", case.check_id);
    html! {
        div.bar.sticky {
            @if show.may_decide {
                form.decide method="post" action=(action("decide")) hx-post=(action("decide")) hx-target="#main" hx-swap="innerHTML show:window:top" hx-sync="this:drop" {
                    (hidden(show))
                    input type="hidden" name="photo" value=(pair.photo.index);
                    @if let Some(near) = &pair.near {
                        input type="hidden" name="reference" value=(near.reference_id);
                    }
                    label.grow { "Reason (optional; the seller reads it)" textarea name="note" maxlength="1000" rows="1" {} }
                    @if pair.near.as_ref().is_some_and(|near| near.kind == Kind::Photo && near.polarity == Polarity::Authentic) {
                        button.fake name="decision" value="photo_misuse" data-key="p" { "Photo misused " kbd { "p" } }
                    }
                    button.fake name="decision" value="fake" data-key="f" { "Counterfeit " kbd { "f" } }
                    button name="decision" value="authorised" data-key="a" { "Authorised " kbd { "a" } }
                    @if pair.near.is_some() { button name="decision" value="no_match" data-key="n" { "Not a match " kbd { "n" } } }
                }
                form method="post" action=(action("release")) { (hidden(show)) button.quiet data-key="r" title=(format!("It is yours for {} min more", minutes_left(case))) { "Release " kbd { "r" } } }
            } @else {
                p.locked { (locked(case, &show.session.account)) }
                @if case.status != CaseStatus::Decided && case.holder().is_none() && !case.is_own_appeal(&show.session.account) {
                    form method="post" action=(action("claim")) { (hidden(show)) button.main data-key="c" { "Take it " kbd { "c" } } }
                }
            }
            form method="post" action="/console/queue/next" {
                (csrf(show.session)) input type="hidden" name="queue" value=(show.queue);
                input type="hidden" name="skipped" value=(case.check_id);
                button.quiet data-key="j" { "Next " kbd { "j" } }
            }
        }
    }
}

fn hidden(show: &CasePage<'_>) -> Markup {
    html! { (csrf(show.session)) input type="hidden" name="queue" value=(show.queue); }
}

fn locked(case: &Case, me: &str) -> String {
    match (case.status, case.holder()) {
        (CaseStatus::Decided, _) => format!("Decided: {}.", state(case)),
        (_, Some(holder)) if holder != me => format!("{holder} is working on this case."),
        _ if case.is_own_appeal(me) => "The appeal is against your own decision: somebody else decides it.".to_owned(),
        _ => "Nobody is working on this case.".to_owned(),
    }
}

fn minutes_left(case: &Case) -> i64 {
    (case.claimed_until - jiff::Timestamp::now().as_second()).max(0) / 60
}

/// Photo and reference: one over the other with a slider, and side by side.
fn compare(photo: &PhotoAnswer, near: Option<&Match>, reference: Option<&Reference>) -> Markup {
    let (width, height) = (f64::from(photo.width.unwrap_or(4)), f64::from(photo.height.unwrap_or(3)));
    let overlay = near.and_then(|near| near.overlay.as_ref());
    let name = match near {
        Some(near) => format!("{} reference of {}", near.polarity, near.brand),
        None => String::new(),
    };
    let shown = match reference {
        Some(_) => format!("The listing's photo {}, with the {name} laid over it", photo.index + 1),
        None => format!("The listing's photo {}", photo.index + 1),
    };
    html! {
        section.compare aria-label="Comparison" {
            figure {
                svg.laid viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(shown) {
                    image href=(Picture::Photo(&photo.sha256).address(1200)) width=(width) height=(height) preserveAspectRatio="none" {}
                    @if let Some(reference) = reference { (laid(reference, overlay, (width, height))) }
                }
                figcaption {
                    "The listing's photo " (photo.index + 1)
                    @if reference.is_some() {
                        label.slider { "Reference over it" input #wipe type="range" min="0" max="100" value="50"; }
                    }
                }
            }
            @if let (Some(reference), Some(near)) = (reference, near) {
                figure {
                    a href=(format!("/console/references/{}", reference.id)) {
                        img src=(Picture::Reference(&reference.photo.sha256.to_string()).address(1200)) alt=(format!("The {name}"))
                            width=(reference.photo.width) height=(reference.photo.height);
                    }
                    figcaption {
                        span class=(format!("tag {}", near.polarity)) { (near.polarity) } " reference of " (near.brand)
                        @if let Some(product) = &near.product { ", " (visible(product)) }
                    }
                }
            } @else {
                p.empty { @if near.is_some() { "The reference was deleted since." } @else { "No reference decides about this photo." } }
            }
        }
    }
}

/// The reference where it was found in the photo; where it was not looked for, over all of it.
fn laid(reference: &Reference, overlay: Option<&Overlay>, (width, height): (f64, f64)) -> Markup {
    let corners = overlay.map_or([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], |overlay| overlay.corners);
    let [top_left, top_right, _, bottom_left] = corners.map(|[x, y]| (x * width, y * height));
    let (w, h) = (f64::from(reference.photo.width.max(1)), f64::from(reference.photo.height.max(1)));
    // Three corners make an affine map; what perspective there is shows at the fourth.
    let matrix = format!(
        "matrix({} {} {} {} {} {})",
        (top_right.0 - top_left.0) / w,
        (top_right.1 - top_left.1) / w,
        (bottom_left.0 - top_left.0) / h,
        (bottom_left.1 - top_left.1) / h,
        top_left.0,
        top_left.1
    );
    let outline: Vec<String> = corners.iter().map(|[x, y]| format!("{:.1},{:.1}", x * width, y * height)).collect();
    let picture = Picture::Reference(&reference.photo.sha256.to_string()).address(1200);
    html! {
        defs {
            clipPath #window { rect #pane width=(width / 2.0) height=(height) data-width=(width) {} }
            clipPath #frame { rect width=(width) height=(height) {} }
        }
        g #over clip-path="url(#window)" { image href=(picture) width=(w) height=(h) preserveAspectRatio="none" transform=(matrix) {} }
        // What lies beyond the photo is cut off with it.
        @if overlay.is_some() { g clip-path="url(#frame)" { polygon.found points=(outline.join(" ")) vector-effect="non-scaling-stroke" {} } }
        line #edge x1=(width / 2.0) x2=(width / 2.0) y1="0" y2=(height) vector-effect="non-scaling-stroke" {}
    }
}

fn figures(view: &CaseView) -> Markup {
    let PairView { photo, near, reference } = &view.pair;
    let row = |name: &str, value: String| html! { dt { (name) } dd { (value) } };
    html! {
        h2 { "Figures" }
        dl.figures {
            (row("Verdict on this photo", words(photo.verdict.as_str())))
            @if let Some(near) = near {
                @if let Some(probability) = near.probability {
                    (row(if near.kind == Kind::Logo { "Probability of the logo" } else { "Probability of a copy" }, percent(f64::from(probability))))
                }
                @if let Some(threshold) = near.threshold { (row("Asked of a match", percent(f64::from(threshold)))) }
                (row("Similarity (1 is the same)", format!("{:.3}", near.similarity)))
                @if let Some(overlay) = &near.overlay {
                    @if !near.logo_changes.is_empty() { (row("Differs", changes(&near.logo_changes))) }
                    (row(if near.kind == Kind::Logo { "The drawing covers, of the photo" } else { "The reference covers, of the photo" }, percent(overlay.photo_overlap)))
                    (row("Visible of the reference", percent(overlay.reference_overlap)))
                    (row("Points found in both", overlay.inliers.to_string()))
                    (row("Pixels agree (1 is alike)", format!("{:.2}", overlay.agreement)))
                    (row("Mirrored", if overlay.flipped { "yes" } else { "no" }.to_owned()))
                } @else { (row("Place in the photo", "not found point by point".to_owned())) }
            }
            @if let Some(reference) = reference {
                (row("Reference is now", standing(reference)))
                (row("Its matches so far", format!("{} confirmed, {} overturned", view.record.0, view.record.1)))
            }
            @if let Some(quality) = photo.quality { (row("Detail in the photo", format!("{quality} of 100"))) }
        }
    }
}

fn changes(changes: &[LogoChange]) -> String {
    let words = changes.iter().map(|change| match change {
        LogoChange::Mirrored => "mirrored",
        LogoChange::Stretched => "stretched",
        LogoChange::OtherColour => "another colour",
        LogoChange::OtherParts => "other parts",
    });
    words.collect::<Vec<_>>().join(", ")
}

pub(super) fn standing(reference: &Reference) -> String {
    let mark = match reference.mark {
        Some(Mark::Generic) => ", generic: never blocks by itself",
        Some(Mark::Overturned) => ", overturned too often: never blocks by itself",
        Some(Mark::Disputed) => ", disputed: matches to it are conflicts",
        None => "",
    };
    let why = reference.quarantine.as_ref().map(|held| format!(" ({})", held.detail)).unwrap_or_default();
    let doubt = if reference.photo.is_by_identity_only() { ", in doubt: matches the same picture only" } else { "" };
    let kind = match reference.kind() {
        Kind::Photo => "",
        Kind::Logo => ", a logo",
    };
    format!("{}{kind}{mark}{doubt}{why}", reference.state.as_str())
}

fn reasons(answer: &CheckAnswer, pair: &PairView) -> Markup {
    html! {
        h2 { "Why" }
        ul { @for reason in &pair.photo.reasons { li { (reason.text) } } }
        @if let Some(fault) = &pair.photo.fault { p { (fault.detail) } }
        @for settled in &pair.photo.settled {
            p.note { "Left out: " a href=(format!("/console/references/{}", settled.reference_id)) { "a reference" } ", " (decision_words(settled.decision)) " in "
                a href=(format!("/console/cases/{}", settled.check_id)) { "an earlier case" } }
        }
        @if let Some(brand) = &answer.listing.brand { p { "The listing claims the brand " strong { (visible(brand)) } "." } }
    }
}

fn photos(show: &CasePage<'_>) -> Markup {
    let CaseView { case, answer, pair, .. } = show.view;
    let link = |photo: usize, reference: Option<&str>| {
        let reference = reference.map(|id| format!("&reference={id}")).unwrap_or_default();
        let queue = if show.queue.is_empty() { String::new() } else { format!("&{}", queue_part(show.queue)) };
        format!("/console/cases/{}?photo={photo}{reference}{queue}", case.check_id)
    };
    html! {
        section {
            h2 { "All photos of the listing" }
            ol.grid {
                @for photo in &answer.photos {
                    li {
                        a href=(link(photo.index, None)) aria-current=[(photo.index == pair.photo.index).then_some("true")] {
                            (small(Picture::Photo(&photo.sha256), &format!("Photo {}", photo.index + 1)))
                            span { (photo.index + 1) ": " (words(photo.verdict.as_str())) }
                        }
                    }
                }
            }
            @if pair.photo.matches.len() > 1 {
                h3 { "References that this photo matches" }
                ol.plain {
                    @for near in &pair.photo.matches {
                        li {
                            a href=(link(pair.photo.index, Some(&near.reference_id))) aria-current=[(pair.near.as_ref().map(|shown| &shown.reference_id) == Some(&near.reference_id)).then_some("true")] {
                                (near.polarity) " of " (near.brand) @if let Some(product) = &near.product { ", " (visible(product)) }
                            }
                            " " (near.probability.map(|p| percent(f64::from(p))).unwrap_or_default())
                        }
                    }
                }
            }
        }
    }
}

/// The nearest references of both polarities.
#[must_use]
pub fn near(groups: &[(&str, Vec<Near>)]) -> Markup {
    html! {
        @for (name, found) in groups {
            h3 { (name) }
            @if found.is_empty() { p.empty { "none" } }
            ol.grid { @for near in found { (super::lookup::result(near)) } }
        }
    }
}

fn earlier(view: &CaseView) -> Markup {
    html! {
        @if !view.earlier.is_empty() {
            section {
                h2 { "The seller's other cases" }
                ol.plain {
                    @for case in &view.earlier {
                        li { a href=(format!("/console/cases/{}", case.check_id)) { (words(&case.verdict)) } ", " (time(case.created_at)) ": " (state(case)) }
                    }
                }
            }
        }
    }
}

/// What can be done beside deciding.
fn more(show: &CasePage<'_>) -> Markup {
    let CaseView { case, pair, .. } = show.view;
    let id = &case.check_id;
    let active = pair.reference.as_ref().filter(|reference| reference.state == ReferenceState::Active);
    html! {
        section.more {
            h2 { "More" }
            @if let Some(reference) = active {
                details {
                    summary { "Hold this reference back" }
                    form method="post" action=(format!("/console/references/{}/quarantine", reference.id)) {
                        (csrf(show.session)) input type="hidden" name="case" value=(id);
                        label { "Why" input name="why" required maxlength="1000"; }
                        button { "Quarantine the reference" }
                    }
                }
            }
            details {
                summary { "Make this photo a reference" }
                form method="post" action=(format!("/console/cases/{id}/reference")) {
                    (csrf(show.session)) input type="hidden" name="photo" value=(pair.photo.index);
                    (choice("brand", "Brand", case.brand.as_deref(), "choose", &as_they_are(show.brands)))
                    (choice("polarity", "As", Some("fake"), "choose", &as_they_are(&["fake", "authentic"])))
                    label { "Product" input name="product" maxlength="256" value=[pair.near.as_ref().and_then(|near| near.product.as_deref())]; }
                    button { "Add the reference" }
                }
            }
            @if case.status == CaseStatus::Decided && case.appeal.is_none() {
                details {
                    summary { "The seller appeals" }
                    form method="post" action=(format!("/console/cases/{id}/appeal")) {
                        (csrf(show.session))
                        label { "What the seller says" textarea name="text" required maxlength="4000" rows="4" {} }
                        button { "Open a second review" }
                    }
                }
            }
            p.links {
                a href=(format!("/console/lookup?photo={}", pair.photo.sha256)) { "Look this photo up" }
                @if case.decision.is_some_and(Decision::restricts) { a href=(format!("/console/cases/{id}/statement")) { "Statement of reasons" } }
            }
            form method="post" action=(format!("/console/cases/{id}/evidence")) { (csrf(show.session)) button.quiet { "Evidence bundle (zip)" } }
        }
    }
}

fn versions(answer: &CheckAnswer) -> Markup {
    let versions = &answer.versions;
    html! {
        section {
            h2 { "What answered" }
            dl.figures {
                dt { "touchstone" } dd { (versions.touchstone) }
                dt { "Model" } dd { (versions.model) }
                dt { "Scoring" } dd { (versions.scoring) }
                dt { "Index" } dd { (versions.index) }
                @for (brand, version) in &versions.policies { dt { "Policy of " (brand) } dd { (version) } }
            }
        }
    }
}
