//! `check --manifest`: checks the listings of a table.

use std::io::IsTerminal;
use std::num::NonZero;
use std::thread;

use super::args::CheckArgs;
use super::output::{document, say, tell};
use super::progress::Show;
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::backfill::{Answer, Done, Plan, Totals, run};
use crate::config::Config;
use crate::domain::Action;
use crate::reindex::{Progress, Stores};

/// Listings per core: some wait for a disk or a host while others are checked.
const A_CORE: usize = 2;

pub(super) fn backfill(config: &Config, args: &CheckArgs, manifest: &str) -> Result<Exit, Failure> {
    // The service's checks come first on the same cores. Threads that start from here on inherit the low priority.
    if let Err(error) = rustix::process::nice(19) {
        tracing::warn!(%error, "this run cannot lower its priority below the service's checks");
    }
    let done = args.out.as_deref().map(Done::open).transpose()?.unwrap_or_default();
    let stores = Stores::new(&config.fetch)?;
    let parts = Parts::open(config)?;
    parts.catch_up()?;
    let plan = Plan {
        manifest: manifest.to_owned(),
        allowed: args.allow.clone(),
        keep: args.keep,
        max_photos: config.server.max_photos,
        workers: thread::available_parallelism().map_or(1, NonZero::get) * A_CORE,
    };
    // Answers go to standard output; if that is the terminal, a progress bar would break their lines.
    let show = Show::new(false);
    show.phase("checking");
    let told = |answer: &Answer| {
        done.add(answer)?;
        if args.json {
            document!("{}", serde_json::to_string(answer).unwrap_or_default());
        } else if args.out.is_none() || std::io::stdout().is_terminal() {
            print(answer);
        }
        Ok(())
    };
    let totals = run(&plan, &stores, &parts.screener, &done, &show, &told);
    show.end();
    let totals = totals?;
    if args.json {
        tell!("{}", summary(&totals));
    } else {
        say!("{}", summary(&totals));
    }
    Ok(if totals.refused == 0 { Exit::Done } else { Exit::SomeRefused })
}

/// Prints an answer for people, who need not see allowed listings.
fn print(answer: &Answer) {
    let listing = answer.listing_id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
    match (&answer.check, &answer.problem) {
        (Some(check), _) if check.action != Action::Allow => {
            say!("row {}{listing}: {} ({})", answer.line, check.verdict.as_str(), check.action.as_str());
        }
        (None, Some(problem)) => say!("row {}{listing}: refused: {} [{}]", answer.line, problem.detail, problem.code),
        _ => {}
    }
}

fn summary(totals: &Totals) -> String {
    let Totals { allow, review, block, refused, done_before } = totals;
    format!("{allow} allow, {review} review, {block} block, {refused} refused; {done_before} done before")
}
