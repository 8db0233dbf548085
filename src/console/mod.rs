//! The moderators' pages as HTML that works without scripts; scripts add keys, paste, and filters without a reload.
//! This module knows neither requests nor the database.

mod alliances;
mod cases;
mod events;
mod graph;
mod lookbacks;
mod lookup;
mod network;
mod notices;
mod overview;
mod parts;
mod queue;
mod sellers;
mod statement;

use maud::{DOCTYPE, Markup, html};

use crate::domain::Role;
use crate::gallery::Session;

pub use alliances::{AllianceView, MemberView, alliances};
pub use cases::{CasePage, case, near};
pub use events::{EventsPage, events};
pub use lookbacks::{LookbacksPage, lookbacks};
pub use lookup::{LookupPage, chosen, lookup, reference, results};
pub use notices::{NoticePage, NoticesPage, notice_page, notices};
pub use overview::{OverviewPage, audit, overview};
pub use parts::{Picture, decision_words, encoded};
pub use queue::{QueuePage, queue, queue_rows};
pub use sellers::{SellerPage, SellersPage, seller, seller_address, sellers};
pub use statement::statement;

/// Static files of the pages: name, media type, content.
pub const ASSETS: [(&str, &str, &[u8]); 4] = [
    ("console.css", "text/css; charset=utf-8", include_bytes!("assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_bytes!("assets/console.js")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_bytes!("assets/htmx.min.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
];

/// Content-Security-Policy of every page: scripts and styles come from here only, and pages can neither be framed nor
/// send forms elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Options of htmx: it must neither write styles nor evaluate code, which the policy forbids, and it shows errors as
/// notices.
const HTMX: &str = r##"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"historyCacheSize":0,"refreshOnHistoryMiss":true,
"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"[45]..","swap":true,"error":true,"target":"#notice","swapOverride":"innerHTML"}]}"##;

/// The frame around a page's content.
#[derive(Debug, Clone, Copy)]
pub struct Shell<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// The signed-in moderator's session, if any.
    pub session: Option<&'a Session>,
    /// The part of the console that the navigation highlights.
    pub part: &'a str,
    /// A notice for the top of the page.
    pub notice: Option<&'a str>,
}

/// A whole page: head, navigation, notice, and `content`.
#[must_use]
pub fn page(shell: Shell<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="htmx-config" content=(HTMX);
                title { (shell.title) " · touchstone" }
                link rel="icon" href="/console/assets/icon.svg";
                link rel="stylesheet" href="/console/assets/console.css";
                script src="/console/assets/htmx.min.js" defer {}
                script src="/console/assets/console.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header { (navigation(shell)) }
                (notice_area(shell.notice))
                main #main tabindex="-1" { (content) }
                @if shell.session.is_some() { (help()) }
            }
        }
    }
}

/// The new content of a page, with its title and notice, where a script replaces only these.
#[must_use]
pub fn fragment(shell: Shell<'_>, content: &Markup) -> Markup {
    html! {
        title { (shell.title) " · touchstone" }
        div hx-swap-oob="innerHTML:#notice" { @if let Some(text) = shell.notice { (notice(text)) } }
        (content)
    }
}

fn notice_area(text: Option<&str>) -> Markup {
    html! { div #notice role="status" { @if let Some(text) = text { (notice(text)) } } }
}

fn navigation(shell: Shell<'_>) -> Markup {
    let link = |part: &str, href: &str, name: &str| {
        html! { a href=(href) aria-current=[(part == shell.part).then_some("page")] { (name) } }
    };
    html! {
        p.brand { a href="/console" { "touchstone" } }
        @if let Some(session) = shell.session {
            nav aria-label="Console" {
                (link("queue", "/console/queue", "Queue"))
                (link("notices", "/console/notices", "Notices"))
                (link("sellers", "/console/sellers", "Sellers"))
                (link("lookup", "/console/lookup", "Look-up"))
                (link("lookbacks", "/console/lookbacks", "Lookbacks"))
                (link("alliances", "/console/alliances", "Alliances"))
                (link("overview", "/console/overview", "Overview"))
                (link("events", "/console/events", "Events"))
                @if session.role == Role::Admin { (link("audit", "/console/audit", "Audit log")) }
            }
            form.who method="post" action="/console/logout" {
                (csrf(session))
                span { (session.account) }
                button.quiet type="button" data-key="?" { "Keys" }
                button.quiet { "Sign out" }
            }
            form method="post" action="/console/undo" { (csrf(session)) button.quiet data-key="u" { "Undo " kbd { "u" } } }
        }
    }
}

/// The hidden field that proves that a page of this session sent the form.
pub(crate) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf); }
}

fn help() -> Markup {
    const KEYS: [(&str, &str); 16] = [
        ("j", "next row; in a case: the next case"),
        ("k", "previous row; in a case: back"),
        ("Enter", "open the row"),
        ("f", "decide: counterfeit"),
        ("p", "decide: the brand's photo, misused"),
        ("a", "decide: authorised use"),
        ("n", "decide: not a match"),
        ("u", "undo the last act"),
        ("c", "take the open case"),
        ("r", "release the case"),
        ("x", "show or hide the reference over the photo"),
        ("q", "queue: take the next case"),
        ("l", "look-up"),
        ("o", "overview"),
        ("/", "go to the filters"),
        ("?", "show these keys"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys { @for (key, what) in KEYS { dt { kbd { (key) } } dd { (what) } } }
            label.check { input #keys-on type="checkbox" checked; "Single keys are on" }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// The sign-in page; `wrong` is an error to show, `next` the page to open afterwards.
#[must_use]
pub fn login(wrong: Option<&str>, next: &str) -> Markup {
    let content = html! {
        h1 { "Sign in" }
        form.login method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            @if let Some(wrong) = wrong { p.wrong role="alert" #wrong { (wrong) } }
            label { "Name" input name="name" autocomplete="username" autocapitalize="none" required autofocus; }
            label {
                "Password"
                input name="password" type="password" autocomplete="current-password" required aria-describedby=[wrong.map(|_| "wrong")];
            }
            button.main { "Sign in" }
        }
        p.note { "An admin creates accounts with " code { "touchstone user add NAME" } "." }
    };
    page(Shell { title: "Sign in", session: None, part: "", notice: None }, &content)
}

/// One notice as a paragraph.
#[must_use]
pub fn notice(text: &str) -> Markup {
    html! { p { (text) } }
}

/// A page that shows an error.
#[must_use]
pub fn problem(session: Option<&Session>, title: &str, detail: &str) -> Markup {
    let content = html! { h1 { (title) } p { (detail) } p { a href="/console" { "Back to the queue" } } };
    page(Shell { title, session, part: "", notice: None }, &content)
}
