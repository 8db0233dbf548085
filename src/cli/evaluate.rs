use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::EvaluateArgs;
use super::output::say;
use super::{Exit, Failure};
use crate::align::Vocabulary;
use crate::assembly::{AssemblyError, Model, Parts};
use crate::config::Config;
use crate::decoder::Decoder;
use crate::embed::{Embedder, ModelManifest, load_runtime};
use crate::enrolment::Enrolment;
use crate::evaluate::metrics::{Kind, Ranking, Rate, Signal};
use crate::evaluate::report::render;
use crate::evaluate::{
    Baseline, Dataset, EvaluateError, Figures, Observed, Record, Source, Split, background, baseline, enrol, figures,
    fit, observe, unfitted,
};
use crate::gallery::Gallery;
use crate::page::thumbnail;
use crate::scoring::Scoring;
use crate::screening::Screener;

pub(super) fn evaluate(config: &Config, args: &EvaluateArgs) -> Result<Exit, Failure> {
    let sources = args.sources()?;
    let baselines = sources.iter().map(|source| {
        let read = |(name, path): &(String, String)| baseline(name, Path::new(path), source);
        args.baseline.iter().map(read).collect::<Result<Vec<_>, _>>()
    });
    let baselines = baselines.collect::<Result<Vec<_>, _>>().map_err(EvaluateError::from)?;
    load_runtime(&config.runtime)?;
    let model = config.model_named.as_ref().unwrap_or(&config.model);
    let manifest = ModelManifest::load(&config.models, model)?;
    let kept = if args.fit { None } else { Some(Scoring::load(&config.models, &manifest)?) };
    let embedder = Arc::new(Embedder::start(&config.models, manifest, &config.embed)?);
    let vocabulary = Arc::new(Vocabulary::load(&config.models).map_err(AssemblyError::from)?);
    let bench = Bench { config, embedder: &embedder, vocabulary: &vocabulary };
    let galleries = sources.iter().map(|source| bench.enrol(source)).collect::<Result<Vec<_>, _>>()?;
    let scorings = match kept {
        Some(kept) => vec![kept; sources.len()],
        None => bench.fit(&sources, &galleries, args)?,
    };
    let decoder = Decoder::new(&config.photo, &config.decoder);
    let mut reports = Vec::new();
    for (((source, gallery), scoring), baselines) in sources.iter().zip(&galleries).zip(scorings).zip(&baselines) {
        let (id, fitted_on) = (scoring.id().to_owned(), scoring.fitted_on.clone());
        let observed = bench.observe(source, gallery, scoring)?;
        let records: Vec<Record> = observed.into_iter().map(|one| one.record).collect();
        let report = Report::of(records, source, baselines, fitted_on);
        let out = if sources.len() == 1 { args.out.clone() } else { args.out.join(&source.name) };
        report.write(&out, &versions(&embedder, &id), (&source.dataset, &decoder))?;
        report.print(&source.name, &out);
        reports.push((source.name.as_str(), report));
    }
    if reports.len() > 1 {
        reports.sort_by(|a, b| a.1.found().total_cmp(&b.1.found()));
        say!("Worst source first: {}", reports.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
        let named: Vec<SourceFigures<'_>> = reports.iter().map(|(name, report)| report.named(name)).collect();
        let path = args.out.join("sources.json");
        let written = std::fs::write(&path, serde_json::to_vec_pretty(&named)?);
        written.map_err(|source| Failure::File { path: path.display().to_string(), source })?;
    }
    Ok(Exit::Done)
}

/// The parts that all sources share.
struct Bench<'a> {
    config: &'a Config,
    embedder: &'a Arc<Embedder>,
    vocabulary: &'a Arc<Vocabulary>,
}

/// A source's own gallery. The serving gallery is neither read nor changed.
struct Enrolled {
    work: tempfile::TempDir,
    gallery: Arc<Gallery>,
}

impl Bench<'_> {
    fn enrol(&self, source: &Source) -> Result<Enrolled, Failure> {
        let temporary = |source| Failure::File { path: "temporary folder".to_owned(), source };
        let work = tempfile::tempdir().map_err(temporary)?;
        let gallery = Arc::new(Gallery::open(&work.path().join("data"))?);
        let bar = progress(format!("{}: references", source.name), source.dataset.references.len());
        enrol(&source.dataset, &self.enrolment(&gallery), &|| bar.inc(1))?;
        bar.finish_and_clear();
        Ok(Enrolled { work, gallery })
    }

    fn enrolment(&self, gallery: &Arc<Gallery>) -> Enrolment {
        Enrolment {
            gallery: Arc::clone(gallery),
            embedder: Arc::clone(self.embedder),
            decoder: Arc::new(Decoder::new(&self.config.photo, &self.config.decoder)),
            vocabulary: Arc::clone(self.vocabulary),
        }
    }

    fn screener(&self, enrolled: &Enrolled, scoring: Scoring) -> Result<Screener, Failure> {
        let model = Model {
            embedder: Arc::clone(self.embedder),
            scoring: Arc::new(scoring),
            vocabulary: Arc::clone(self.vocabulary),
            bank: Arc::default(),
        };
        let index = enrolled.work.path().join("index");
        Ok(Parts::over(self.config, &index, Arc::clone(&enrolled.gallery), model)?.screener)
    }

    fn observe(&self, source: &Source, enrolled: &Enrolled, scoring: Scoring) -> Result<Vec<Observed>, Failure> {
        let screener = self.screener(enrolled, scoring)?;
        let bar = progress(format!("{}: queries", source.name), source.dataset.queries.len());
        let observed = observe(&source.dataset, &screener, &|| bar.inc(1))?;
        bar.finish_and_clear();
        Ok(observed)
    }

    /// Fits an artefact to all sources and saves it. Returns the artefact that measures each source: fitted to all
    /// other sources, if there are any.
    fn fit(&self, sources: &[Source], galleries: &[Enrolled], args: &EvaluateArgs) -> Result<Vec<Scoring>, Failure> {
        let manifest = self.embedder.manifest();
        let folder = args.background.as_deref().zip(galleries.first());
        let background =
            folder.map(|(folder, first)| background(folder, &self.enrolment(&first.gallery))).transpose()?;
        let first = unfitted(background.as_deref(), manifest);
        let seen = sources.iter().zip(galleries);
        let seen = seen.map(|(source, enrolled)| self.observe(source, enrolled, first.clone()));
        let seen = seen.collect::<Result<Vec<_>, Failure>>()?;
        let fitted = |among: &dyn Fn(usize) -> bool| {
            let chosen: Vec<usize> = (0..sources.len()).filter(|&place| among(place)).collect();
            let parts: Vec<&[Observed]> = chosen.iter().map(|&place| seen[place].as_slice()).collect();
            let named: Vec<&Source> = chosen.iter().map(|&place| &sources[place]).collect();
            fit(&parts, background.as_deref(), manifest, &args.described(&named))
        };
        let mut kept = fitted(&|_| true)?;
        let saved = kept.save(&self.config.models, &manifest.name);
        let path = saved.map_err(|source| Failure::File { path: "scoring artefact".to_owned(), source })?;
        say!("fitted {} on {}: {}", kept.id(), kept.fitted_on, path.display());
        if sources.len() == 1 {
            return Ok(vec![kept]);
        }
        let left_out = (0..sources.len()).map(|place| {
            let scoring = fitted(&|other| other != place)?;
            Ok(scoring.identified(&manifest.name)?)
        });
        left_out.collect()
    }
}

fn progress(what: String, count: usize) -> ProgressBar {
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

/// The figures of a source, and their inputs.
struct Report {
    records: Vec<Record>,
    /// The data that its artefact was fitted on.
    fitted_on: String,
    fit: Figures,
    test: Figures,
    all: Figures,
}

/// The content of figures.json.
#[derive(Serialize)]
struct FiguresFile<'a> {
    versions: BTreeMap<&'a str, &'a str>,
    fitted_on: &'a str,
    fit: &'a Figures,
    test: &'a Figures,
    all: &'a Figures,
}

/// The entry of a source in sources.json.
#[derive(Serialize)]
struct SourceFigures<'a> {
    source: &'a str,
    photos: usize,
    fitted_on: &'a str,
    all: &'a Figures,
}

impl Report {
    fn of(records: Vec<Record>, source: &Source, baselines: &[Baseline], fitted_on: String) -> Self {
        let nameable = source.dataset.nameable();
        let side = |wanted: Option<Split>| {
            let part: Vec<&Record> =
                records.iter().filter(|record| wanted.is_none_or(|side| record.split == side)).collect();
            figures(&part, baselines, &|record| nameable.contains(record.query.as_str()))
        };
        let (fit, test, all) = (side(Some(Split::Fit)), side(Some(Split::Test)), side(None));
        Self { records, fitted_on, fit, test, all }
    }

    /// Recall of copies at 0.1 % wrongs, by which sources are ordered.
    fn found(&self) -> f64 {
        self.all.ranking(Signal::Evidence).and_then(|ranking| ranking.at_wrongs.overall.share).unwrap_or(0.0)
    }

    fn named<'a>(&'a self, source: &'a str) -> SourceFigures<'a> {
        SourceFigures { source, photos: self.records.len(), fitted_on: &self.fitted_on, all: &self.all }
    }

    fn write(
        &self,
        out: &Path,
        versions: &[(String, String)],
        (dataset, decoder): (&Dataset, &Decoder),
    ) -> Result<(), Failure> {
        let failed = |path: &Path, source| Failure::File { path: path.display().to_string(), source };
        std::fs::create_dir_all(out).map_err(|source| failed(out, source))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = out.join(name);
            std::fs::write(&path, bytes).map_err(|source| failed(&path, source))
        };
        write("records.json", &serde_json::to_vec(&self.records)?)?;
        let versions_by_name = versions.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        let file = FiguresFile {
            versions: versions_by_name,
            fitted_on: &self.fitted_on,
            fit: &self.fit,
            test: &self.test,
            all: &self.all,
        };
        write("figures.json", &serde_json::to_vec_pretty(&file)?)?;
        let picture = |path: &str| thumbnail(decoder, &std::fs::read(dataset.file(path)).ok()?);
        let page = render("touchstone evaluation", versions, &self.fit, &self.test, &self.all, &self.records, &picture);
        write("report.html", page.as_bytes())
    }

    fn print(&self, source: &str, out: &Path) {
        say!("{source}: measured with an artefact fitted on {}", self.fitted_on);
        say!("{:<58}{:>14}{:>14}{:>14}", "", "fit side", "test side", "all");
        let row = |name: &str, figure: &dyn Fn(&Figures) -> String| {
            say!("{name:<58}{:>14}{:>14}{:>14}", figure(&self.fit), figure(&self.test), figure(&self.all));
        };
        for ranking in &self.all.rankings {
            let name = &ranking.name;
            let of = |figures: &Figures, figure: &dyn Fn(&Ranking) -> String| {
                figures.rankings.iter().find(|one| one.name == *name).map_or_else(String::new, figure)
            };
            row(&format!("{name}: uAP"), &|f| of(f, &|r| format!("{:.4}", r.average_precision)));
            row(&format!("{name}: recall@1"), &|f| of(f, &|r| rate(&r.recall_at_1)));
            for strength in ranking.first_by_strength.keys() {
                let first = |r: &Ranking| r.first_by_strength.get(strength).map_or_else(String::new, rate);
                row(&format!("{name}: {strength}, right picture first"), &|f| of(f, &first));
            }
            for strength in ranking.at_wrongs.by_strength.keys() {
                let at = |r: &Ranking| r.at_wrongs.by_strength.get(strength).map_or_else(String::new, rate);
                row(&format!("{name}: {strength} edits at 0.1 % wrongs"), &|f| of(f, &at));
            }
            row(&format!("{name}: near-copies at 0.1 % wrongs"), &|f| of(f, &|r| rate(&r.at_wrongs.near_copies)));
        }
        row("alarms on unrelated photos", &|f| rate(&f.unrelated.any));
        row("copy verdicts on unrelated photos", &|f| rate(&f.unrelated.copy));
        row("copy verdicts on photos of the same kind", &|f| rate(&f.same_kind.copy));
        for kind in self.all.kinds.keys() {
            let of = |figure: fn(&Kind) -> &Rate| {
                move |f: &Figures| f.kinds.get(kind).map_or_else(String::new, |kind| rate(figure(kind)))
            };
            row(&format!("copy verdicts: {kind}"), &of(|kind| &kind.copy));
            row(&format!("known_fake_match: {kind}"), &of(|kind| &kind.known_fake));
            row(&format!("other-colour: {kind}"), &of(|kind| &kind.other_colour));
        }
        for transform in self.all.transforms.keys() {
            let of = |f: &Figures| f.transforms.get(transform).map_or_else(String::new, |kind| rate(&kind.copy));
            row(&format!("copy verdicts: {transform}"), &of);
        }
        row("photos with p >= 0.99 that are copies", &|f| rate(&f.sure));
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
