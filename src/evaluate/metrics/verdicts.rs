//! What the verdicts given did to photos.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rate::Rate;
use crate::evaluate::record::{Class, Record};

/// Verdicts that bother nobody.
pub const QUIET: [&str; 2] = ["no_match", "generic_or_low_information"];

/// Verdicts that say the photo is a copy of a reference.
pub const COPY: [&str; 4] = ["known_fake_match", "known_fake_likely", "authentic_photo_reuse", "conflict"];

/// False alarms among photos of a class that holds no copies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alarms {
    /// Photos with any verdict but those of [`QUIET`].
    pub any: Rate,
    /// Photos with a verdict of [`COPY`].
    pub copy: Rate,
}

/// Expected verdict -> given verdict -> number of records; records without an expected verdict are left out.
pub type Confusion = BTreeMap<String, BTreeMap<String, usize>>;

/// The false alarms among the records of `class`.
pub fn alarms(records: &[&Record], class: Class) -> Alarms {
    let given = || records.iter().filter(|record| record.class == class).map(|record| record.verdict.as_str());
    Alarms {
        any: Rate::among(given(), |verdict| !QUIET.contains(verdict)),
        copy: Rate::among(given(), |verdict| COPY.contains(verdict)),
    }
}

/// Counts of given verdicts by expected verdict.
pub fn confusion(records: &[&Record]) -> Confusion {
    let mut rows = Confusion::new();
    for record in records {
        if let Some(expected) = &record.expected {
            *rows.entry(expected.clone()).or_default().entry(record.verdict.clone()).or_default() += 1;
        }
    }
    rows
}
