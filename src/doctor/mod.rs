//! Everything that the service needs, looked at: what is wrong, missing or slow, and what to do. Nothing is changed or made.

mod machine;
mod parts;
mod speed;

use serde::Serialize;

use crate::config::Config;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// The service runs, but somebody should look.
    Doubtful,
    /// The service does not run, or not rightly.
    Wrong,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which thing, in a word.
    pub what: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, and where that is not good, what to do.
    pub detail: String,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, state: State::Good, detail: detail.into() }
    }

    fn doubtful(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, state: State::Doubtful, detail: detail.into() }
    }

    fn wrong(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, state: State::Wrong, detail: detail.into() }
    }
}

/// Only whether the service answers, and is ready: what does not run is wrong here.
#[must_use]
pub fn ready(config: &Config) -> Finding {
    let found = parts::service(config);
    match parts::runs(config) {
        true => found,
        false => Finding::wrong(found.what, found.detail),
    }
}

/// Looks at everything.
#[must_use]
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![machine::processor(), machine::memory(), machine::limits(config), machine::clock(config)];
    findings.extend(machine::disks(config));
    findings.push(parts::runtime(config));
    let (model, opened) = parts::model(config);
    findings.push(model);
    let gallery = parts::gallery(config);
    findings.push(gallery.finding);
    if let Some(gallery) = &gallery.opened {
        findings.push(parts::keys(gallery));
        findings.push(parts::index(config, gallery));
    }
    findings.push(parts::secrets(config));
    findings.push(parts::service(config));
    if let Some(model) = opened {
        findings.extend(speed::measure(config, &model));
    }
    findings
}
