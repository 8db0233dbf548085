use std::io::IsTerminal;
use std::sync::Arc;

use serde_json::json;

use super::args::ReindexArgs;
use super::output::{document, say, tell};
use super::progress::Show;
use super::{Exit, Failure};
use crate::assembly::{Model, Parts, open_gallery, serving_model};
use crate::config::Config;
use crate::domain::ImportStatus;
use crate::gallery::{Gallery, GalleryError, JournalEntry};
use crate::reindex::{
    Outcome, Photos, Plan, Progress, Report, ShadowReport, Sources, Tools, build_proven, prepare_report,
    reindex as run, report_folder, shadow, write_report,
};

/// The greatest number of references in doubt that the terminal shows.
const DOUBTED: usize = 1000;

pub(super) fn reindex(config: &Config, args: &ReindexArgs) -> Result<Exit, Failure> {
    // The service's checks come first on the same cores. Threads that start from here on inherit the low priority.
    if let Err(error) = rustix::process::nice(19) {
        tracing::warn!(%error, "this run cannot lower its priority below the service's checks");
    }
    let gallery = Arc::new(open_gallery(config)?);
    match &args.brand {
        Some(brand) if !args.shadow => {
            let plan = Plan {
                brand: brand.clone(),
                sources: Sources {
                    authentic: args.authentic.clone(),
                    fake: args.fake.clone(),
                    manifest: args.manifest.clone(),
                    allowed: args.allow.clone(),
                },
                prune: args.prune,
                max_removed: args.max_removed / 100.0,
                dry_run: args.dry_run,
                points: !args.no_points,
            };
            one_brand(config, args, &gallery, &plan)
        }
        _ => beside(config, args, &gallery),
    }
}

fn one_brand(config: &Config, args: &ReindexArgs, gallery: &Arc<Gallery>, plan: &Plan) -> Result<Exit, Failure> {
    let model = Model::open(config, &serving_model(config, gallery)?, gallery)?;
    let tools = Tools::new(gallery, &model, &config.index_dir, config);
    let show = Show::new(args.json);
    let place = args.report.clone().unwrap_or_else(|| report_folder(gallery, plan));
    prepare_report(&place)?;
    if !plan.dry_run {
        tools.enrolment.embed_missing(&|_| {})?;
    }
    let outcome = run(plan, &tools, &show, &|removed, of| args.yes || confirmed(&plan.brand.to_string(), removed, of))?;
    show.end();
    if !args.json {
        print(&outcome, plan.dry_run)?;
    }
    let photos = Photos { gallery, decoder: &tools.enrolment.decoder };
    let page = write_report(&outcome, photos, &place)?;
    if args.json {
        document!("{}", json!({ "event": "report", "report": outcome.report, "page": page }));
    } else {
        say!("{}", page.display());
    }
    Ok(if outcome.report.is_clean() { Exit::Done } else { Exit::SomeRefused })
}

/// Asks on a terminal only; a script passes `--yes`.
fn confirmed(brand: &str, removed: usize, of: usize) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    tell!("remove {removed} of {of} references of {brand}? Type yes:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

fn print(outcome: &Outcome, dry_run: bool) -> Result<(), GalleryError> {
    const NAMED: [ImportStatus; 5] = [
        ImportStatus::Refused,
        ImportStatus::Conflict,
        ImportStatus::Removed,
        ImportStatus::Kept,
        ImportStatus::Changed,
    ];
    let named: &[ImportStatus] = if dry_run { &ImportStatus::ALL } else { &NAMED };
    for status in named.iter().copied() {
        let mut last: Option<JournalEntry> = None;
        loop {
            let page = outcome.journal.entries(status, last.as_ref(), 1000)?;
            page.iter().for_each(print_entry);
            let Some(end) = page.into_iter().last() else { break };
            last = Some(end);
        }
    }
    let (doubted, all) = outcome.journal.doubted(DOUBTED)?;
    doubted.iter().for_each(print_doubts);
    if all > doubted.len() as u64 {
        say!("and {} more in doubt; the report names all of them", all - doubted.len() as u64);
    }
    for polarity in &outcome.report.not_pruned {
        say!("nothing was pruned of the {polarity} references: the sources name no {polarity} photo");
    }
    let Report { published, embedded, generic, logos, doubts, .. } = &outcome.report;
    let counts: Vec<String> = ImportStatus::ALL
        .iter()
        .map(|status| format!("{} {}", outcome.report.count(*status), status.as_str()))
        .collect();
    say!("{}; {embedded} embedded, {generic} generic, {logos} logos", counts.join(", "));
    if !doubts.is_empty() {
        let counts: Vec<String> = doubts.iter().map(|(doubt, count)| format!("{count} {doubt}")).collect();
        say!("in doubt: {}", counts.join(", "));
    }
    match published {
        Some(published) => say!(
            "generation {} serves {} references ({}); recall {:.4} at the threshold; publication {}",
            published.generation,
            published.references,
            published.search,
            published.proof.recall(),
            published.publication
        ),
        None if dry_run => say!("dry run: nothing was changed"),
        None => say!("nothing to publish: there were no changes"),
    }
    Ok(())
}

fn print_entry(entry: &JournalEntry) {
    let why = entry.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let code = entry.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
    say!("{} {}{why}{code}", entry.status.as_str(), entry.source);
}

fn print_doubts(entry: &JournalEntry) {
    for doubt in &entry.doubts {
        say!("in doubt {}: {} [{doubt}]", entry.source, doubt.text());
    }
}

/// Embeds and tests another model beside the serving one.
fn beside(config: &Config, args: &ReindexArgs, gallery: &Arc<Gallery>) -> Result<Exit, Failure> {
    let serving = serving_model(&Config { model_named: None, ..config.clone() }, gallery)?;
    let name = config.model_named.as_ref().filter(|name| **name != serving);
    let name = name
        .ok_or_else(|| Failure::Declined(format!("{serving} is already serving; name another model with --model")))?;
    let show = Show::new(args.json);
    let other = Model::open(config, name, gallery)?;
    let tools = Tools::new(gallery, &other, &config.index_dir, config);
    show.phase("embedding");
    show.total(gallery.count_without_vector(&other.embedder.manifest().id())?);
    let embedded = tools.enrolment.embed_missing(&|done| show.reached(done as u64))?;
    show.phase("building and proving");
    let proof = build_proven(&tools)?;
    let parts = Parts::over(config, &config.index_dir, Arc::clone(gallery), other)?;
    show.phase("replaying checks");
    let now = Parts::over(config, &config.index_dir, Arc::clone(gallery), Model::open(config, &serving, gallery)?)?;
    let report = shadow(&now.screener, &parts.screener, args.replay, &|done, of| {
        show.total(of as u64);
        show.reached(done as u64);
    })?;
    show.end();
    if args.json {
        document!("{}", json!({ "event": "shadow", "embedded": embedded, "proof": proof, "report": report }));
    } else {
        say!("{embedded} references embedded by {}; recall {:.4} at the threshold", report.shadow, proof.recall());
        print_shadow(&report);
        say!("run touchstone index promote {name} to make it serve");
    }
    Ok(Exit::Done)
}

fn print_shadow(report: &ShadowReport) {
    say!(
        "{} checks replayed ({} could not be): {} verdicts would change, {} actions",
        report.replayed,
        report.unreplayable,
        report.verdict_flips,
        report.action_flips
    );
    for (change, count) in &report.by_change {
        say!("  {count:>6}  {change}");
    }
    for flip in &report.examples {
        say!("  {}: {}", flip.check_id, flip.change());
    }
}
