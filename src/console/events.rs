use maud::{Markup, html};

use super::parts::{encoded, time};
use super::{Shell, csrf, page};
use crate::domain::EventType;
use crate::gallery::{Counted, Delivery, Event, Session};
use crate::page::visible;

/// Contents of the page of events.
#[derive(Debug)]
pub struct EventsPage<'a> {
    /// The signed-in moderator's session.
    pub session: &'a Session,
    /// Whether the settings let the service send events.
    pub enabled: bool,
    /// All webhooks.
    pub webhooks: &'a [Counted],
    /// The newest dead deliveries, and whether there are more.
    pub dead: (&'a [Delivery], bool),
    /// The newest events.
    pub events: &'a [Event],
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

/// The whole page: webhooks, dead deliveries, the newest events.
#[must_use]
pub fn events(show: &EventsPage<'_>) -> Markup {
    let content = html! {
        h1 { "Events" }
        @if !show.enabled { p.note { "Nothing is sent: " code { "webhooks.enabled" } " is off." } }
        h2 { "Webhooks" }
        (webhooks(show.webhooks))
        h2 { "Not delivered" }
        (dead(show))
        h2 { "The newest events" }
        (newest(show.events))
    };
    page(Shell { title: "Events", session: Some(show.session), part: "events", notice: show.notice }, &content)
}

fn webhooks(webhooks: &[Counted]) -> Markup {
    html! {
        @if webhooks.is_empty() { p.empty { "No webhook. An admin's key makes one with " code { "POST /v1/webhooks" } "." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Webhooks" {
                table {
                    thead { tr {
                        th scope="col" { "Address" } th scope="col" { "Types" } th scope="col" { "State" } th scope="col" { "Waiting" }
                        th scope="col" { "Delivered" } th scope="col" { "Dead" } th scope="col" { "Made" }
                    } }
                    tbody { @for one in webhooks { (webhook(one)) } }
                }
            }
        }
    }
}

fn webhook(one: &Counted) -> Markup {
    let Counted { webhook, waiting, delivered, dead } = one;
    let types =
        webhook.types.as_ref().map(|types| types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "));
    html! {
        tr {
            th.path scope="row" { (visible(&webhook.url)) }
            td { (types.as_deref().unwrap_or("all")) }
            td { @match &webhook.disabled { Some(why) => span.wrong { "disabled: " (why) }, None => "active" } }
            td { (waiting) } td { (delivered) } td { (dead) }
            td { (time(webhook.created_at)) }
        }
    }
}

fn dead(show: &EventsPage<'_>) -> Markup {
    let (deliveries, more) = show.dead;
    html! {
        @if deliveries.is_empty() { p.empty { "Every event was delivered, or waits for its next attempt." } }
        @else {
            @if more { p.note { "The newest " (deliveries.len()) "." } }
            div.scroll tabindex="0" role="region" aria-label="Not delivered" {
                table {
                    thead { tr {
                        th scope="col" { "Event" } th scope="col" { "Again" } th scope="col" { "Why" } th scope="col" { "Type" }
                        th scope="col" { "Address" } th scope="col" { "Attempts" } th scope="col" { "Last attempt" }
                    } }
                    tbody { @for delivery in deliveries { (letter(show, delivery)) } }
                }
            }
        }
    }
}

fn letter(show: &EventsPage<'_>, delivery: &Delivery) -> Markup {
    let to = show.webhooks.iter().find(|one| one.webhook.id == delivery.webhook_id).map(|one| &one.webhook);
    let address = format!("/console/webhooks/{}/deliveries/{}/resend", delivery.webhook_id, encoded(&delivery.id));
    html! {
        tr {
            th scope="row" { (delivery.seq) }
            td {
                @if show.enabled && to.is_some_and(|to| to.disabled.is_none()) {
                    form method="post" action=(address) {
                        (csrf(show.session))
                        button aria-label=(format!("Send again: event {}", delivery.seq)) { "Send again" }
                    }
                }
            }
            td { (visible(delivery.error.as_deref().unwrap_or_default())) }
            td { (delivery.kind.as_str()) }
            td.path { @if let Some(to) = to { (visible(&to.url)) } }
            td { (delivery.attempts) }
            td { (time(delivery.updated_at)) }
        }
    }
}

fn newest(events: &[Event]) -> Markup {
    html! {
        @if events.is_empty() { p.empty { "none yet" } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="The newest events" {
                table {
                    thead { tr {
                        th scope="col" { "Event" } th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "About" } th scope="col" { "Brand" }
                    } }
                    tbody {
                        @for event in events {
                            tr {
                                th scope="row" { (event.seq) }
                                td { (time(event.at)) }
                                td { (words(event.kind)) }
                                td.path { (about(event)) }
                                td { (event.brand.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn words(kind: EventType) -> String {
    kind.as_str().replace(['.', '_'], " ")
}

/// The subject of an event, as a link to its page where it has one.
fn about(event: &Event) -> Markup {
    html! {
        @if let Some(id) = &event.check_id {
            @if event.case.is_some() { a href=(format!("/console/cases/{}", encoded(id))) { (id) } } @else { (id) }
        } @else if let Some(id) = &event.reference_id {
            a href=(format!("/console/references/{}", encoded(id))) { (id) }
        } @else if let Some(id) = &event.notice_id { (id) }
    }
}
