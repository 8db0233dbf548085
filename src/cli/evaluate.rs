use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::EvaluateArgs;
use super::output::say;
use super::{Exit, Failure};
use crate::assembly::{Model, Parts};
use crate::config::Config;
use crate::decoder::Decoder;
use crate::embed::{Embedder, ModelManifest, load_runtime};
use crate::enrolment::Enrolment;
use crate::evaluate::metrics::{Ranking, Rate};
use crate::evaluate::report::render;
use crate::evaluate::{
    Baseline, Dataset, EvaluateError, Figures, Observed, Record, Split, baseline, enrol, figures, fit, observe,
};
use crate::gallery::Gallery;
use crate::page::thumbnail;
use crate::scoring::Scoring;

pub(super) fn evaluate(config: &Config, args: &EvaluateArgs) -> Result<Exit, Failure> {
    let dataset = Dataset::read(&args.dataset, &args.edits, args.split_by).map_err(EvaluateError::from)?;
    let read = |(name, path): &(String, String)| baseline(name, Path::new(path), &dataset);
    let baselines = args.baseline.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(EvaluateError::from)?;
    let folder = std::fs::create_dir_all(&args.out);
    folder.map_err(|source| Failure::File { path: args.out.display().to_string(), source })?;
    load_runtime(&config.runtime)?;
    let model = config.model_named.as_ref().unwrap_or(&config.model);
    let manifest = ModelManifest::load(&config.models, model)?;
    let mut scoring = if args.fit { Scoring::unfitted(&manifest) } else { Scoring::load(&config.models, &manifest)? };
    // An evaluation has its own gallery: the one that serves is neither read nor changed.
    let work = tempfile::tempdir().map_err(|source| Failure::File { path: "temporary folder".to_owned(), source })?;
    let gallery = Arc::new(Gallery::open(&work.path().join("data"))?);
    let embedder = Arc::new(Embedder::start(&config.models, manifest, &config.embed)?);
    let enrolment = Enrolment {
        gallery: Arc::clone(&gallery),
        embedder: Arc::clone(&embedder),
        decoder: Arc::new(Decoder::new(&config.photo, &config.decoder)),
    };
    let bar = progress("references", dataset.references.len());
    enrol(&dataset, &enrolment, &|| bar.inc(1))?;
    bar.finish_and_clear();
    if args.fit {
        let observed = run(config, &dataset, (&gallery, &embedder, work.path()), Arc::new(scoring))?;
        scoring = fit(&observed, embedder.manifest(), &args.described())?;
        let saved = scoring.save(&config.models, model);
        let path = saved.map_err(|source| Failure::File { path: "scoring artefact".to_owned(), source })?;
        say!("fitted {} to {} queries: {}", scoring.id(), observed.len(), path.display());
    }
    let work_scoring = scoring.id().to_owned();
    let observed = run(config, &dataset, (&gallery, &embedder, work.path()), Arc::new(scoring))?;
    let observed: Vec<Record> = observed.into_iter().map(|one| one.record).collect();
    let report = Report::of(observed, &dataset, &baselines);
    let versions = versions(&embedder, &work_scoring);
    report.write(&args.out, &versions, &dataset)?;
    report.print(&args.out);
    Ok(Exit::Done)
}

fn run(
    config: &Config,
    dataset: &Dataset,
    (gallery, embedder, work): (&Arc<Gallery>, &Arc<Embedder>, &Path),
    scoring: Arc<Scoring>,
) -> Result<Vec<Observed>, Failure> {
    let model = Model { embedder: Arc::clone(embedder), scoring, bank: Arc::default() };
    let screener = Parts::over(config, &work.join("index"), Arc::clone(gallery), model)?.screener;
    let bar = progress("queries", dataset.queries.len());
    let observed = observe(dataset, &screener, &|| bar.inc(1))?;
    bar.finish_and_clear();
    Ok(observed)
}

fn progress(what: &'static str, count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64).with_message(what);
    let style = ProgressStyle::with_template("{msg} {pos}/{len} {bar:40} {per_sec} eta {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn versions(embedder: &Embedder, scoring: &str) -> Vec<(String, String)> {
    let pairs = [
        ("touchstone", env!("CARGO_PKG_VERSION").to_owned()),
        ("model", embedder.manifest().id()),
        ("scoring", scoring.to_owned()),
    ];
    pairs.map(|(name, version)| (name.to_owned(), version)).to_vec()
}

/// The figures of one evaluation, and what they were made from.
struct Report {
    records: Vec<Record>,
    fit: Figures,
    test: Figures,
    all: Figures,
}

/// What figures.json holds.
#[derive(Serialize)]
struct FiguresFile<'a> {
    versions: BTreeMap<&'a str, &'a str>,
    fit: &'a Figures,
    test: &'a Figures,
    all: &'a Figures,
}

impl Report {
    fn of(records: Vec<Record>, dataset: &Dataset, baselines: &[Baseline]) -> Self {
        let nameable = dataset.nameable();
        let side = |wanted: Option<Split>| {
            let part: Vec<&Record> =
                records.iter().filter(|record| wanted.is_none_or(|side| record.split == side)).collect();
            figures(&part, baselines, &|record| nameable.contains(record.query.as_str()))
        };
        let (fit, test, all) = (side(Some(Split::Fit)), side(Some(Split::Test)), side(None));
        Self { records, fit, test, all }
    }

    fn write(&self, out: &Path, versions: &[(String, String)], dataset: &Dataset) -> Result<(), Failure> {
        let write = |name: &str, bytes: &[u8]| {
            let path = out.join(name);
            std::fs::write(&path, bytes).map_err(|source| Failure::File { path: path.display().to_string(), source })
        };
        write("records.json", &serde_json::to_vec(&self.records)?)?;
        let versions_by_name = versions.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        let file = FiguresFile { versions: versions_by_name, fit: &self.fit, test: &self.test, all: &self.all };
        write("figures.json", &serde_json::to_vec_pretty(&file)?)?;
        let picture = |path: &str| thumbnail(&std::fs::read(dataset.file(path)).ok()?);
        let page = render("touchstone evaluation", versions, &self.fit, &self.test, &self.all, &self.records, &picture);
        write("report.html", page.as_bytes())
    }

    fn print(&self, out: &Path) {
        say!("{:<44}{:>14}{:>14}{:>14}", "", "fit side", "test side", "all");
        let row = |name: &str, figure: &dyn Fn(&Figures) -> String| {
            say!("{name:<44}{:>14}{:>14}{:>14}", figure(&self.fit), figure(&self.test), figure(&self.all));
        };
        for ranking in &self.all.rankings {
            let name = &ranking.name;
            let of = |figures: &Figures, figure: &dyn Fn(&Ranking) -> String| {
                figures.rankings.iter().find(|one| one.name == *name).map_or_else(String::new, figure)
            };
            row(&format!("{name}: uAP"), &|f| of(f, &|r| format!("{:.4}", r.average_precision)));
            row(&format!("{name}: recall@1"), &|f| of(f, &|r| rate(&r.recall_at_1)));
            for strength in ranking.at_wrongs.by_strength.keys() {
                let at = |r: &Ranking| r.at_wrongs.by_strength.get(strength).map_or_else(String::new, rate);
                row(&format!("{name}: {strength} edits at 0.1 % wrongs"), &|f| of(f, &at));
            }
            row(&format!("{name}: near-copies at 0.1 % wrongs"), &|f| of(f, &|r| rate(&r.at_wrongs.near_copies)));
        }
        row("alarms on unrelated photos", &|f| rate(&f.unrelated.any));
        row("copy verdicts on unrelated photos", &|f| rate(&f.unrelated.copy));
        row("copy verdicts on photos of the same kind", &|f| rate(&f.same_kind.copy));
        row("expected calibration error, pairings", &|f| format!("{:.5}", f.calibration.pooled.error));
        row("expected calibration error, photos", &|f| format!("{:.5}", f.calibration.highest.error));
        row("cost of clean photos, times the first look", &|f| {
            format!("{:.3}", f.cost.get("clean").copied().unwrap_or(1.0))
        });
        say!("{}", out.join("report.html").display());
    }
}

fn rate(rate: &Rate) -> String {
    format!("{}/{}", rate.count, rate.of)
}
