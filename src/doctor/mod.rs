//! Doctor: checks everything that the service needs, and reports what is wrong, missing or slow, and what to do.
//! Changes nothing.

mod machine;
mod parts;
mod speed;

use serde::Serialize;

use crate::config::Config;

/// The state of a checked thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing to do.
    Good,
    /// The service runs, but somebody should read the detail.
    Doubtful,
    /// The service does not run, or not properly.
    Wrong,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the checked thing, in one or two words.
    pub what: &'static str,
    /// Whether something is to do.
    pub state: State,
    /// What was found and, unless it is good, what to do.
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

/// Only checks whether the service answers and is ready. A stopped service is wrong here.
#[must_use]
pub fn ready(config: &Config) -> Finding {
    let found = parts::service(config);
    if parts::runs(config) { found } else { Finding::wrong(found.what, found.detail) }
}

/// Runs every check.
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
