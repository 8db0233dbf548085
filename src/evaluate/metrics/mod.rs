//! All figures of an evaluation, as pure functions of its records.

pub mod answers;
pub mod calibration;
pub mod ranking;
pub mod rate;
pub mod verdicts;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use answers::{Answers, Baseline, Signal};
pub use calibration::{Calibration, RiskCoverage};
pub use ranking::{Naming, Ranking};
pub use rate::Rate;
pub use verdicts::{Alarms, Confusion, Kind};

use crate::evaluate::record::{Class, Record};

/// All figures of one set of records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Number of queries of each class that occurs.
    pub queries: BTreeMap<Class, usize>,
    /// One ranking for each signal in the order of [`Signal::ALL`], then one for each baseline.
    pub rankings: Vec<Ranking>,
    /// False alarms among [`Class::Unrelated`] photos.
    pub unrelated: Alarms,
    /// False alarms among [`Class::SameKind`] photos.
    pub same_kind: Alarms,
    /// False alarms among [`Class::SameKind`] photos, by category.
    pub same_kind_by_category: BTreeMap<String, Alarms>,
    /// Verdicts by kind of photo, including kinds that are counted apart.
    pub kinds: BTreeMap<String, Kind>,
    /// Verdicts on edited copies, by strength and transform.
    pub transforms: BTreeMap<String, Kind>,
    /// Photos whose most probable reference is a copy, among those at or above [`SURE`].
    pub sure: Rate,
    /// Calibration of all pairings.
    pub calibration: Calibration,
    /// Calibration of the pairings with references of one polarity.
    pub by_polarity: BTreeMap<String, Calibration>,
    /// The risk-coverage curve over queries.
    pub risk: RiskCoverage,
    /// Numbers of records by expected and given verdict.
    pub confusion: Confusion,
    /// Same-product naming, one for each signal in the order of [`Signal::ALL`].
    pub naming: Vec<Naming>,
    /// Same-product naming for each category.
    pub naming_by_category: BTreeMap<String, Vec<Naming>>,
    /// Mean number of views of a query, 1 or more, for each class that occurs.
    pub views: BTreeMap<Class, f64>,
    /// Mean time of a check divided by the mean time up to the search by embedding, 1 or more, for each class that
    /// occurs and for unedited unrelated photos (`clean`).
    pub cost: BTreeMap<String, f64>,
}

impl Figures {
    /// The ranking by `signal`.
    pub fn ranking(&self, signal: Signal) -> Option<&Ranking> {
        self.rankings.iter().find(|ranking| ranking.name == signal.name())
    }
}

/// From this probability on, a photo's most probable reference counts as certain.
pub const SURE: f32 = 0.99;

/// The figures of `records`. Records counted apart are in [`Figures::kinds`] and [`Figures::cost`] only. `nameable`
/// tells whether some reference shows the product of a [`Class::SameKind`] query; [`held`] answers from the record
/// alone.
pub fn figures(records: &[&Record], baselines: &[Baseline], nameable: &dyn Fn(&Record) -> bool) -> Figures {
    let everything = records;
    let rest: Vec<&Record> = everything.iter().copied().filter(|record| !record.is_apart()).collect();
    let records = rest.as_slice();
    let named: Vec<_> =
        records.iter().copied().filter(|record| record.class == Class::SameKind && nameable(record)).collect();
    let signals = Signal::ALL.iter().map(|&signal| Answers::by_signal(signal, records));
    let outside = baselines.iter().map(|baseline| Answers::by_baseline(baseline, records));
    let polarities: BTreeSet<_> = records.iter().flat_map(|r| &r.pairings).map(|pairing| &pairing.polarity).collect();
    let of_polarity = |polarity: &String| {
        let part = calibration::calibration(records, |pairing| pairing.polarity == *polarity);
        (polarity.clone(), part)
    };
    Figures {
        queries: by_class(records, |of_class| of_class.len()),
        rankings: signals.chain(outside).map(|answers| ranking::ranking(&answers)).collect(),
        unrelated: verdicts::alarms(records, Class::Unrelated),
        same_kind: verdicts::alarms(records, Class::SameKind),
        same_kind_by_category: by_category(records, |part| verdicts::alarms(part, Class::SameKind)),
        kinds: verdicts::kinds(everything),
        transforms: verdicts::transforms(records),
        sure: sure(records),
        calibration: calibration::calibration(records, |_| true),
        by_polarity: polarities.into_iter().map(of_polarity).collect(),
        risk: calibration::risk_coverage(records),
        confusion: verdicts::confusion(records),
        naming: naming(&named),
        naming_by_category: by_category(&named, naming),
        views: by_class(records, mean_views),
        cost: cost(everything),
    }
}

/// Whether a reference that shows the query's product was compared with it. A query whose product is in the gallery but
/// was never compared is missed: a caller who knows the gallery should pass that knowledge to [`figures`] instead.
pub fn held(record: &Record) -> bool {
    record.pairings.iter().any(|pairing| pairing.same_product)
}

fn sure(records: &[&Record]) -> Rate {
    let highest = records.iter().filter_map(|record| calibration::highest(record, |_| true));
    Rate::among(highest.filter(|pairing| pairing.probability >= SURE), |pairing| pairing.copy)
}

fn mean_views(records: &[&Record]) -> f64 {
    records.iter().map(|record| f64::from(record.views)).sum::<f64>() / rate::real(records.len())
}

fn naming(named: &[&Record]) -> Vec<Naming> {
    Signal::ALL.iter().map(|&signal| ranking::naming(&Answers::by_signal(signal, named))).collect()
}

fn by_category<T>(records: &[&Record], figure: impl Fn(&[&Record]) -> T) -> BTreeMap<String, T> {
    let mut categories: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().copied().filter(|record| record.class == Class::SameKind) {
        categories.entry(&record.category).or_default().push(record);
    }
    categories.into_iter().map(|(category, part)| (category.to_owned(), figure(&part))).collect()
}

fn cost(records: &[&Record]) -> BTreeMap<String, f64> {
    let of = |records: &[&Record]| {
        let whole: f64 = records.iter().map(|record| record.whole_s).sum();
        let first: f64 = records.iter().map(|record| record.first_look_s).sum();
        if first > 0.0 { whole / first } else { 1.0 }
    };
    let name = |class: Class| match class {
        Class::Copy => "copy",
        Class::SameKind => "same_kind",
        Class::Unrelated => "unrelated",
    };
    let clean: Vec<&Record> = records.iter().copied().filter(|record| record.is_clean()).collect();
    let classes = by_class(records, of).into_iter().map(|(class, ratio)| (name(class).to_owned(), ratio));
    classes.chain([("clean".to_owned(), of(&clean))]).collect()
}

fn by_class<T>(records: &[&Record], figure: impl Fn(&[&Record]) -> T) -> BTreeMap<Class, T> {
    let mut classes: BTreeMap<Class, Vec<&Record>> = BTreeMap::new();
    for record in records {
        classes.entry(record.class).or_default().push(record);
    }
    classes.into_iter().map(|(class, of_class)| (class, figure(&of_class))).collect()
}
