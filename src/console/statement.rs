use maud::{Markup, html};

use super::{Shell, page};
use crate::gallery::Session;
use crate::moderation::{Platform, Statement};
use crate::page::visible;

/// The page of a statement of reasons, for the seller.
#[must_use]
pub fn statement(session: &Session, statement: &Statement, platform: &Platform) -> Markup {
    let content = html! {
        article.statement {
            h1 { "Statement of reasons" }
            p { "Under Article 17 of Regulation (EU) 2022/2065, from " (visible(&platform.name)) "." }
            dl.figures {
                @if let Some(listing) = &statement.listing { dt { "Listing" } dd { (visible(listing)) } }
                @if let Some(seller) = &statement.seller { dt { "Seller" } dd { (visible(seller)) } }
                @if let Some(when) = &statement.decided_at { dt { "Decided" } dd { (when) } }
                dt { "Case" } dd.path { (statement.case) }
            }
            @for section in &statement.sections {
                h2 { "(" (section.point) ") " (section.title) }
                @for text in &section.text { p { (visible(text)) } }
            }
        }
    };
    page(Shell { title: "Statement of reasons", session: Some(session), part: "queue", notice: None }, &content)
}
