//! Counts of verdicts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rate::Rate;
use crate::evaluate::record::{Class, Record};

/// Verdicts that raise no alarm.
pub const QUIET: [&str; 2] = ["no_match", "generic_or_low_information"];

/// Verdicts that say the photo is a copy of a reference.
pub const COPY: [&str; 4] = ["known_fake_match", "known_fake_likely", "authentic_photo_reuse", "conflict"];

/// False alarms among photos of a class without copies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alarms {
    /// Photos with any verdict except those of [`QUIET`].
    pub any: Rate,
    /// Photos with a verdict of [`COPY`].
    pub copy: Rate,
}

/// Number of records by expected verdict (outer key) and given verdict; records without an expected verdict are left
/// out.
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

/// Verdicts on the photos of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// Number of photos per verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// Photos with a verdict of [`COPY`].
    pub copy: Rate,
    /// Photos with the verdict `known_fake_match`.
    pub known_fake: Rate,
    /// Photos with the reason `other-colour`.
    pub other_colour: Rate,
}

/// Verdicts by kind of photo. Each strength of edits is a kind, such as `edit, heavy`.
pub fn kinds(records: &[&Record]) -> BTreeMap<String, Kind> {
    by(records, |record| match &record.strength {
        Some(strength) => format!("{}, {strength}", record.kind),
        None => record.kind.clone(),
    })
}

/// Verdicts on the edited copies, by strength and transform.
pub fn transforms(records: &[&Record]) -> BTreeMap<String, Kind> {
    let copies: Vec<&Record> = records.iter().copied().filter(|record| record.class == Class::Copy).collect();
    let edits: Vec<&Record> = copies.into_iter().filter(|record| record.transform.is_some()).collect();
    by(&edits, |record| {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        format!("{}, {}", named(&record.strength), named(&record.transform))
    })
}

fn by(records: &[&Record], name: impl Fn(&Record) -> String) -> BTreeMap<String, Kind> {
    let mut parts: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        parts.entry(name(record)).or_default().push(record);
    }
    parts.into_iter().map(|(name, part)| (name, kind(&part))).collect()
}

fn kind(records: &[&Record]) -> Kind {
    let mut verdicts = BTreeMap::new();
    for record in records {
        *verdicts.entry(record.verdict.clone()).or_default() += 1;
    }
    Kind {
        verdicts,
        copy: Rate::among(records, |record| COPY.contains(&record.verdict.as_str())),
        known_fake: Rate::among(records, |record| record.verdict == "known_fake_match"),
        other_colour: Rate::among(records, |record| record.reasons.iter().any(|reason| reason == "other-colour")),
    }
}
