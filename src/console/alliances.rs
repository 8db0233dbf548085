use maud::{Markup, html};

use super::parts::time;
use super::{Shell, csrf, page};
use crate::domain::{Fared, MemberState, SharingRule};
use crate::gallery::{Alliance, Member, QuarantinedSignal, Session};
use crate::page::visible;

/// An alliance with everything that its part of the page shows.
#[derive(Debug)]
pub struct AllianceView {
    /// The alliance.
    pub alliance: Alliance,
    /// What is shared with it.
    pub shares: Vec<SharingRule>,
    /// Its other members.
    pub members: Vec<MemberView>,
}

/// A member, and how its signals fared here.
#[derive(Debug)]
pub struct MemberView {
    /// The member.
    pub member: Member,
    /// Number of its signals here, and of those that are quarantined.
    pub signals: (u64, u64),
    /// Decided cases that rest on its signals.
    pub fared: Fared,
    /// Whether its signals only inform.
    pub only_informs: bool,
    /// Its quarantined signals, the oldest.
    pub held: Vec<QuarantinedSignal>,
}

/// The whole page: each alliance with its members.
#[must_use]
pub fn alliances(session: &Session, views: &[AllianceView]) -> Markup {
    let content = html! {
        h1 { "Alliances" }
        p { "Members share what they know about photos, not the photos. Their signals lead to reviews, never to blocks." }
        @if views.is_empty() { p.empty { "None. An admin makes or joins one with " code { "touchstone alliance" } "." } }
        @for view in views { (one(session, view)) }
    };
    page(Shell { title: "Alliances", session: Some(session), part: "alliances", notice: None }, &content)
}

fn one(session: &Session, view: &AllianceView) -> Markup {
    let AllianceView { alliance, shares, members } = view;
    html! {
        section {
            h2 { (visible(&alliance.name)) @if alliance.left_at.is_some() { " (left)" } }
            p.note { (visible(&alliance.terms)) }
            @if shares.is_empty() { p { "No references are shared with this alliance." } }
            @else {
                ul {
                    @for rule in shares {
                        li { "Shared: " (rule.polarity) " references of " (rule.brand)
                            @if rule.delay_days > 0 { " after " (rule.delay_days) " days" } }
                    }
                }
            }
            @if members.is_empty() { p.empty { "Nobody else takes part yet." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label=(format!("Members of {}", alliance.name)) {
                    table {
                        thead { tr {
                            th scope="col" { "Member" } th scope="col" { "State" } th scope="col" { "Signals here" } th scope="col" { "Quarantined" }
                            th scope="col" { "Confirmed" } th scope="col" { "Overturned" } th scope="col" { "Last taken" }
                            th scope="col" { "Has applied" }
                        } }
                        tbody { @for member in members { (row(alliance, member)) } }
                    }
                }
                @for member in members.iter().filter(|member| !member.held.is_empty()) { (quarantined(session, member)) }
            }
        }
    }
}

fn quarantined(session: &Session, view: &MemberView) -> Markup {
    let MemberView { member, signals: (_, all), held, .. } = view;
    let heading = format!("Quarantined signals of {}", visible(&member.name));
    html! {
        h3 { (heading) }
        @if *all > held.len() as u64 { p.note { "The oldest " (held.len()) " of " (all) "." } }
        div.scroll tabindex="0" role="region" aria-label=(heading) {
            table {
                thead { tr {
                    th scope="col" { "Signal" } th scope="col" { "Brand" } th scope="col" { "Polarity" } th scope="col" { "Reason" } th scope="col" { "Action" }
                } }
                tbody {
                    @for signal in held {
                        tr {
                            th scope="row" { code { (signal.id) } }
                            td { (signal.brand) } td { (signal.polarity) } td { (signal.why) }
                            td {
                                form method="post" action=(format!("/console/signals/{}/release", signal.key)) {
                                    (csrf(session)) button { "Release" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(alliance: &Alliance, view: &MemberView) -> Markup {
    let MemberView { member, signals: (signals, quarantined), fared, only_informs, .. } = view;
    html! {
        tr {
            th scope="row" { (visible(&member.name)) }
            td {
                (member.state.as_str()) ", " (member.role.as_str())
                @if *only_informs { span.wrong { ". Too many of its signals were overturned: they only inform" } }
                @if let Some(fault) = &member.fault { p.wrong { (visible(&fault.detail)) } }
            }
            td { (signals) } td { (quarantined) } td { (fared.confirmed) } td { (fared.overturned) }
            td { @match member.taken_at { Some(when) => (time(when)), None => "never" } }
            td {
                @if member.state == MemberState::Active { "line " (member.given_seq) " of " (alliance.log_seq) }
            }
        }
    }
}
