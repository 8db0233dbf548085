//! Requests to URLs that others name, for reindex runs, photos and webhooks: what is allowed, and what never is.

mod photos;
mod rules;

pub use photos::{FetchFault, PhotoFetcher};
pub use rules::{FetchOptions, HostRules};
pub(crate) use rules::{NotAllowed, client, client_with};

/// An error's text with those of its causes.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
