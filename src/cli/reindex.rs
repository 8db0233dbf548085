use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::ReindexArgs;
use super::{Exit, Failure, Parts};
use crate::config::Config;
use crate::reindex::{Outcome, Plan, Progress, Report, reindex as run};

pub(super) fn reindex(config: &Config, args: &ReindexArgs) -> Result<Exit, Failure> {
    let parts = Parts::open(config)?;
    let enrolment = parts.enrolment(config);
    enrolment.embed_missing(&parts.library)?;
    let plan = Plan { brand: args.brand.clone(), authentic: args.authentic.clone(), fake: args.fake.clone() };
    let report = run(&plan, &enrolment, &parts.library, &Bar::new(args.json))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.refused.is_empty() { Exit::Done } else { Exit::SomeRefused })
}

fn print(report: &Report) {
    for file in &report.refused {
        println!("refused {}: {} [{}]", file.path.display(), file.detail, file.code);
    }
    println!(
        "{} added, {} unchanged, {} refused; generation {} serves {} references",
        report.added,
        report.unchanged,
        report.refused.len(),
        report.generation,
        report.references
    );
}

/// A bar where there is a terminal, a line every thousand files where there is none.
struct Bar {
    bar: ProgressBar,
    lines: bool,
}

impl Bar {
    fn new(json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() }.with_style(style),
            lines: !terminal && !json,
        }
    }
}

impl Progress for Bar {
    fn begin(&self, files: usize) {
        self.bar.set_length(files as u64);
    }

    fn done(&self, path: &Path, outcome: &Outcome) {
        self.bar.inc(1);
        if let Outcome::Refused { code, .. } = outcome {
            self.bar.println(format!("refused {}: {code}", path.display()));
        }
        let done = self.bar.position();
        if self.lines && done.is_multiple_of(1000) {
            eprintln!("{done} of {} files", self.bar.length().unwrap_or(0));
        }
    }
}
