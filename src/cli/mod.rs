//! The commands. The only place that prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

mod args;
mod check;
mod evaluate;
mod exit;
mod lookup;
mod reindex;
mod serve;

use std::path::Path;
use std::sync::Arc;

use clap::Parser;

use crate::config::Config;
use crate::embed::{Embedder, ModelManifest, load_runtime};
use crate::enrolment::Enrolment;
use crate::gallery::Gallery;
use crate::http;
use crate::library::Library;
use crate::scoring::Scoring;
use crate::screening::Screener;
use crate::telemetry;

pub use args::Cli;
use args::Command;
pub use exit::{Exit, Failure};

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> Exit {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("touchstone: {failure}");
            failure.exit()
        }
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    if let Command::Openapi = cli.command {
        println!("{}", http::openapi_json());
        return Ok(Exit::Done);
    }
    let config = config(cli)?;
    let quiet = !matches!(cli.command, Command::Serve);
    let filter = if quiet && config.log == crate::config::Log::default() { "warn" } else { &config.log.filter };
    telemetry::log_to_stderr(filter, config.log.json);
    match &cli.command {
        Command::Serve => serve::serve(&config),
        Command::Check(args) => check::check(&config, args),
        Command::Lookup(args) => lookup::lookup(&config, args),
        Command::Reindex(args) => reindex::reindex(&config, args),
        Command::Evaluate(args) => evaluate::evaluate(&config, args),
        Command::Openapi => Ok(Exit::Done),
    }
}

fn config(cli: &Cli) -> Result<Config, Failure> {
    let mut config = Config::load(cli.config.as_deref(), std::env::vars())?;
    for (name, value) in &cli.set {
        config.set(name, value)?;
    }
    if let Some(model) = &cli.model {
        config.model.clone_from(model);
    }
    Ok(config)
}

/// The parts that every command but `openapi` works with.
struct Parts {
    gallery: Arc<Gallery>,
    library: Arc<Library>,
    embedder: Arc<Embedder>,
    scoring: Arc<Scoring>,
}

impl Parts {
    fn open(config: &Config) -> Result<Self, Failure> {
        load_runtime(&config.runtime)?;
        let manifest = ModelManifest::load(&config.models, &config.model)?;
        let scoring = Arc::new(Scoring::load(&config.models, &manifest)?);
        let embedder = Arc::new(Embedder::start(&config.models, manifest, &config.embed)?);
        let gallery = Arc::new(Gallery::open(&config.data)?);
        Self::over(config, &config.index_dir, (gallery, embedder, scoring))
    }

    /// The parts over a gallery, with the index in `index_dir`.
    fn over(
        config: &Config,
        index_dir: &Path,
        (gallery, embedder, scoring): (Arc<Gallery>, Arc<Embedder>, Arc<Scoring>),
    ) -> Result<Self, Failure> {
        let library =
            Library::open(Arc::clone(&gallery), index_dir, embedder.manifest(), Arc::clone(&scoring), &config.index)?;
        Ok(Self { gallery, library: Arc::new(library), embedder, scoring })
    }

    fn screener(&self, config: &Config) -> Screener {
        Screener {
            gallery: Arc::clone(&self.gallery),
            library: Arc::clone(&self.library),
            embedder: Arc::clone(&self.embedder),
            scoring: Arc::clone(&self.scoring),
            limits: config.photo.clone(),
            matches: config.server.max_matches,
        }
    }

    fn enrolment(&self, config: &Config) -> Enrolment {
        Enrolment {
            gallery: Arc::clone(&self.gallery),
            embedder: Arc::clone(&self.embedder),
            limits: config.photo.clone(),
        }
    }
}
