use maud::{Markup, html};

use super::parts::{
    Picture, age, alike, as_they_are, audit_rows, choice, decision_words, percent, small, state, time, words,
};
use super::queue::queue_part;
use super::{Shell, csrf, fragment, page};
use crate::align::LogoChange;
use crate::domain::{BrandId, CaseStatus, Decision, Kind, Mark, Polarity, Reference, ReferenceState};
use crate::gallery::{AuditEntry, Case, Session};
use crate::moderation::{CaseView, Near, PairView};
use crate::page::visible;
use crate::screening::{CheckAnswer, Overlay, SharedMatch};

/// Contents of a case's page.
#[derive(Debug)]
pub struct CasePage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// The case, its stored answer, and the pair of photo and reference to show.
    pub view: &'a CaseView,
    /// The case's entries in the audit log, newest first.
    pub log: &'a [AuditEntry],
    /// Brands whose reference a photo of the case can become.
    pub brands: &'a [BrandId],
    /// The filters of the queue that the moderator came from, as a query string.
    pub queue: &'a str,
    /// Whether this moderator may decide the case now.
    pub may_decide: bool,
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
    /// Whether a script wants only the content, without the page around it.
    pub fragment: bool,
}

/// The whole page, or only its content where `fragment` is set.
#[must_use]
pub fn case(show: &CasePage<'_>) -> Markup {
    let CaseView { case, answer, pair, .. } = show.view;
    let content = html! {
        (heading(case))
        (decide(show))
        (compare(show.view))
        div.columns {
            section { (figures(show.view)) }
            section { (reasons(answer, pair)) }
        }
        (photos(show))
        (same_question(show))
        section {
            h2 { "Similar references" }
            @if show.view.is_stored(pair.photo.index) {
                div hx-get=(format!("/console/cases/{}/near?photo={}", case.check_id, pair.photo.index)) hx-trigger="load" hx-swap="innerHTML" {
                    p { a href=(format!("/console/lookup?photo={}", pair.photo.sha256)) { "Search all references" } }
                }
            } @else { p.empty { "The photo is not stored, so it cannot be searched for." } }
        }
        (super::notices::of_case(&show.view.notices))
        (earlier(show.view))
        (signals(&show.view.pair))
        (more(show))
        section { h2 { "Log of this case" } (audit_rows(show.log)) }
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
            @if let Some(seller) = &case.seller_id { "seller " a href=(super::sellers::seller_address(seller)) { (visible(seller)) } " · " }
            @if let Some(listing) = &case.listing_id { "listing " (visible(listing)) " · " }
            "action of the policy: " strong { (case.action) } " · " strong { (state(case)) }
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
                    label.grow { "Reason (optional; the seller can read it)" textarea name="note" maxlength="1000" rows="1" {} }
                    (together(show.view))
                    @if may_be_misused(pair) {
                        button.fake name="decision" value="photo_misuse" data-key="p" { "Photo misused " kbd { "p" } }
                    }
                    button.fake name="decision" value="fake" data-key="f" { "Counterfeit " kbd { "f" } }
                    button name="decision" value="authorised" data-key="a" { "Authorised " kbd { "a" } }
                    @if pair.near.is_some() || pair.photo.deciding_signal().is_some() { button name="decision" value="no_match" data-key="n" { "Not a match " kbd { "n" } } }
                }
                form method="post" action=(action("release")) { (hidden(show)) button.quiet data-key="r" title=(format!("You hold this case for {} more min", minutes_left(case))) { "Release " kbd { "r" } } }
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

/// Whether the photo may be a brand's own, misused.
fn may_be_misused(PairView { photo, near, .. }: &PairView) -> bool {
    match near {
        Some(near) => near.kind == Kind::Photo && near.polarity == Polarity::Authentic,
        None => photo.deciding_signal().is_some_and(|signal| signal.polarity == Polarity::Authentic),
    }
}

fn hidden(show: &CasePage<'_>) -> Markup {
    html! { (csrf(show.session)) input type="hidden" name="queue" value=(show.queue); }
}

fn locked(case: &Case, me: &str) -> String {
    match (case.status, case.holder()) {
        (CaseStatus::Decided, _) => format!("Decided: {}.", state(case)),
        (_, Some(holder)) if holder != me => format!("{holder} has claimed this case."),
        _ if case.is_own_appeal(me) => {
            "The appeal is against your own decision. Another moderator must decide it.".to_owned()
        }
        _ => "Nobody has claimed this case. Take it to decide.".to_owned(),
    }
}

fn minutes_left(case: &Case) -> i64 {
    (case.claimed_until - jiff::Timestamp::now().as_second()).max(0) / 60
}

/// Photo and reference, overlaid with a slider, and side by side. A photo that is not stored is not shown: the reference
/// in its place would look like it.
fn compare(view: &CaseView) -> Markup {
    let (photo, near, reference) = (&view.pair.photo, view.pair.near.as_ref(), view.pair.reference.as_ref());
    let (width, height) = (f64::from(photo.width.unwrap_or(4)), f64::from(photo.height.unwrap_or(3)));
    let overlay = near.and_then(|near| near.overlay.as_ref());
    let name = match near {
        Some(near) => format!("{} reference of {}", near.polarity, near.brand),
        None => String::new(),
    };
    let shown = match reference {
        Some(_) => format!("The listing's photo {}, overlaid with the {name}", photo.index + 1),
        None => format!("The listing's photo {}", photo.index + 1),
    };
    html! {
        section.compare aria-label="Comparison" {
            @if view.is_stored(photo.index) { figure {
                svg.laid viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(shown) {
                    image href=(Picture::Photo(photo.sha256).address(1200)) width=(width) height=(height) preserveAspectRatio="none" {}
                    @if let Some(reference) = reference { (laid(reference, overlay, (width, height))) }
                }
                figcaption {
                    "The listing's photo " (photo.index + 1)
                    @if reference.is_some() {
                        label.slider { "Overlay the reference" input #wipe type="range" min="0" max="100" value="50"; }
                    }
                }
            } } @else {
                p.empty { "The listing's photo " (photo.index + 1) " is not stored. The marketplace can send it again as a new check." }
            }
            @if let (Some(reference), Some(near)) = (reference, near) {
                figure {
                    a href=(format!("/console/references/{}", reference.id)) {
                        img src=(Picture::Reference(reference.photo.sha256).address(1200)) alt=(format!("The {name}"))
                            width=(reference.photo.width) height=(reference.photo.height);
                    }
                    figcaption {
                        span class=(format!("tag {}", near.polarity)) { (near.polarity) } " reference of " (near.brand)
                        @if let Some(product) = &near.product { ", " (visible(product)) }
                    }
                }
            } @else if let Some(signal) = photo.deciding_signal() {
                (unseen(signal))
            } @else {
                p.empty { @if near.is_some() { "The reference has been deleted." } @else { "No reference decided the verdict on this photo." } }
            }
        }
    }
}

/// What stands for the picture of a signal, which only the member that vouches for it has.
fn unseen(signal: &SharedMatch) -> Markup {
    html! {
        figure {
            svg.unseen viewBox="0 0 4 3" role="img" aria-label="The photo is not here" {
                rect x="0.05" y="0.05" width="3.9" height="2.9" vector-effect="non-scaling-stroke" {}
            }
            figcaption {
                span class=(format!("tag {}", signal.polarity)) { (signal.polarity) } " signal for " (signal.brand) ". Only "
                (visible(&signal.member)) " has the photo."
            }
        }
    }
}

/// The signals of other members about a photo.
fn signals(pair: &PairView) -> Markup {
    let shared = &pair.photo.shared;
    html! {
        @if !shared.is_empty() {
            section {
                h2 { "Signals of other members" }
                div.scroll tabindex="0" role="region" aria-label="Signals of other members" {
                    table {
                        thead { tr {
                            th scope="col" { "Signal" } th scope="col" { "Member" } th scope="col" { "Alliance" } th scope="col" { "About" }
                            th scope="col" { "Probability of a copy" } th scope="col" { "Similarity" } th scope="col" { "Votes of keypoints" }
                            th scope="col" { "The member's signals here" }
                        } }
                        tbody { @for signal in shared { tr {
                            th.path scope="row" { (signal.signal_id) @if signal.decides { " (decides)" } }
                            td { (visible(&signal.member)) } td { (visible(&signal.alliance)) }
                            td { (signal.polarity) " of " (signal.brand) }
                            td { (percent(f64::from(signal.probability))) }
                            td { @match signal.similarity { Some(similarity) => (format!("{similarity:.3}")), None => "another model" } }
                            td { (format!("{:.1}", signal.votes)) }
                            td {
                                (signal.member_confirmed) " confirmed, " (signal.member_overturned) " overturned"
                                @if signal.only_informs { "; they only inform" }
                            }
                        } } }
                    }
                }
            }
        }
    }
}

/// The reference over the photo, at its aligned position; over the whole photo where it was not aligned.
fn laid(reference: &Reference, overlay: Option<&Overlay>, (width, height): (f64, f64)) -> Markup {
    let corners = overlay.map_or([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], |overlay| overlay.corners);
    let [top_left, top_right, _, bottom_left] = corners.map(|[x, y]| (x * width, y * height));
    let (w, h) = (f64::from(reference.photo.width.max(1)), f64::from(reference.photo.height.max(1)));
    // Three corners define an affine map; perspective shows at the fourth.
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
    let picture = Picture::Reference(reference.photo.sha256).address(1200);
    html! {
        defs {
            clipPath #window { rect #pane width=(width / 2.0) height=(height) data-width=(width) {} }
            clipPath #frame { rect width=(width) height=(height) {} }
        }
        g #over clip-path="url(#window)" { image href=(picture) width=(w) height=(h) preserveAspectRatio="none" transform=(matrix) {} }
        // Parts beyond the photo's edge are cut off.
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
                @if let Some(threshold) = near.threshold { (row("Threshold for a match", percent(f64::from(threshold)))) }
                (row("Similarity (1 = identical)", format!("{:.3}", near.similarity)))
                @if let Some(overlay) = &near.overlay {
                    @if !near.logo_changes.is_empty() { (row("Differences", changes(&near.logo_changes))) }
                    (row(if near.kind == Kind::Logo { "Share of the photo that the logo covers" } else { "Share of the photo that the reference covers" }, percent(overlay.photo_overlap)))
                    (row("Share of the reference that is visible", percent(overlay.reference_overlap)))
                    @if let Some(share) = overlay.copied_share { (row("Share of its structure that was copied", percent(share))) }
                    (row("Matching keypoints", overlay.inliers.to_string()))
                    (row("Agreement of the pixels (1 = identical)", format!("{:.2}", overlay.agreement)))
                    (row("Mirrored", if overlay.flipped { "yes" } else { "no" }.to_owned()))
                } @else { (row("Position in the photo", "no alignment found".to_owned())) }
            }
            @if let Some(reference) = reference {
                (row("State of the reference", standing(reference)))
                (row("Decided matches of the reference", format!("{} confirmed, {} overturned", view.record.0, view.record.1)))
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
    let doubt = if reference.photo.is_by_identity_only() { ", in doubt: matches identical photos only" } else { "" };
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
                            @if show.view.is_stored(photo.index) { (small(Picture::Photo(photo.sha256), &format!("Photo {}", photo.index + 1))) }
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

/// The most similar references of both polarities.
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

/// Lets the moderator decide the other cases with the same question likewise.
fn together(view: &CaseView) -> Markup {
    let (others, many_photos) = (view.alike.count, view.alike.is_about_many_photos());
    html! {
        @if let Some(question) = view.alike.key.as_ref().filter(|_| others > 0) {
            input type="hidden" name="question" value=(question);
            input type="hidden" name="others" value=(others);
            label.check {
                input type="checkbox" name="together" value="1" checked[!many_photos];
                @if many_photos { "Decide " (counted(others)) " as counterfeit, too" }
                @else { "Make the same decision for " (counted(others)) " with this photo" }
            }
        }
    }
}

fn counted(others: u64) -> String {
    if others == 1 { "one other listing".to_owned() } else { format!("{others} other listings") }
}

fn same_question(show: &CasePage<'_>) -> Markup {
    let CaseView { case, alike, .. } = show.view;
    html! {
        @if alike.count > 0 {
            section {
                h2 { @if alike.is_about_many_photos() { "Other photos in which this reference was found" } @else { "Other listings with this photo" } }
                ol.plain {
                    @for other in &alike.cases {
                        li {
                            a href=(format!("/console/cases/{}", other.check_id)) { @if let Some(listing) = &other.listing_id { "listing " (visible(listing)) } @else { (words(&other.verdict)) } }
                            @if let Some(seller) = &other.seller_id { ", seller " (visible(seller)) }
                            ", " (time(other.created_at)) ": " (state(other))
                        }
                    }
                }
                @if alike.count > alike.cases.len() as u64 { p.note { "and " (alike.count - alike.cases.len() as u64) " more" } }
                form method="post" action=(format!("/console/cases/{}/apart", case.check_id)) { (hidden(show)) button.quiet { "Decide this case by itself" } }
            }
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

/// Acts other than deciding.
fn more(show: &CasePage<'_>) -> Markup {
    let CaseView { case, pair, .. } = show.view;
    let id = &case.check_id;
    let active = pair.reference.as_ref().filter(|reference| reference.state == ReferenceState::Active);
    html! {
        section.more {
            h2 { "More" }
            @if let Some(reference) = active {
                details {
                    summary { "Quarantine this reference" }
                    form method="post" action=(format!("/console/references/{}/quarantine", reference.id)) {
                        (csrf(show.session)) input type="hidden" name="case" value=(id);
                        label { "Reason" input name="why" required maxlength="1000"; }
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
                    button { "Add it as a reference" }
                }
            }
            @if case.status == CaseStatus::Decided && case.appeal.is_none() {
                details {
                    summary { "Enter the seller's appeal" }
                    form method="post" action=(format!("/console/cases/{id}/appeal")) {
                        (csrf(show.session))
                        label { "The seller's statement" textarea name="text" required maxlength="4000" rows="4" {} }
                        button { "Open the case again" }
                    }
                }
            }
            p.links {
                @if show.view.is_stored(pair.photo.index) { a href=(format!("/console/lookup?photo={}", pair.photo.sha256)) { "Find similar references" } }
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
            h2 { "Versions" }
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
