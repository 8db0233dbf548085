//! The commands. Only this module prints.

mod alliance;
mod alliance_args;
mod args;
mod backfill;
mod backup;
mod check;
mod doctor;
mod environment;
mod erase;
mod evaluate;
mod evidence;
mod exit;
mod index;
mod keys;
mod lookback;
mod lookup;
mod manuals;
mod models;
mod output;
mod progress;
mod reindex;
mod serve;
mod storage;
mod users;
mod values;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::config::Config;
use crate::decoder;
use crate::embed::quiet;
use crate::http;
use crate::telemetry;

pub use args::Cli;
use args::Command;
pub use exit::{Exit, Failure};
use output::{document, lost, tell};

/// Runs the command in the process's arguments.
#[must_use]
pub fn main() -> Exit {
    if std::env::args_os().nth(1).is_some_and(|word| word == decoder::CHILD_ARGUMENT) {
        return decoder::child_main().map_or(Exit::Failed, |()| Exit::Done);
    }
    environment::reexec_with_env();
    let cli = Cli::parse();
    if let Err(error) = all_settings_kept(&cli) {
        error.exit();
    }
    let ended = run(&cli).and_then(|exit| match lost() {
        Some(error) => Err(Failure::Output(error)),
        None => Ok(exit),
    });
    let exit = match ended {
        Ok(exit) => exit,
        Err(failure) => {
            tell!("touchstone: {failure}");
            failure.exit()
        }
    };
    quiet();
    exit
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Openapi => {
            document!("{}", http::openapi_json());
            return Ok(Exit::Done);
        }
        Command::Completions(args) => return Ok(manuals::completions(args)),
        Command::Man(args) => return manuals::man(args),
        _ => {}
    }
    let config = config(cli)?;
    let quiet = !matches!(cli.command, Command::Serve);
    let filter = if quiet && config.log == crate::config::Log::default() { "warn" } else { &config.log.filter };
    let log = telemetry::log_to_stderr(filter, config.log.json);
    telemetry::log_panics();
    match &cli.command {
        Command::Serve => serve::serve(&config, move || {
            log.change(&self::config(cli)?.log.filter).map_err(|reason| {
                let origin = "log.filter".to_owned();
                Failure::Config(crate::config::ConfigError::Invalid { origin, reason })
            })
        }),
        Command::Check(args) => check::check(&config, args),
        Command::Lookup(args) => lookup::lookup(&config, args),
        Command::Lookback(args) => lookback::lookback(&config, args),
        Command::Index(args) => index::index(&config, args),
        Command::Reindex(args) => reindex::reindex(&config, args),
        Command::Evaluate(args) => evaluate::evaluate(&config, args),
        Command::Key(args) => keys::key(&config, args),
        Command::Alliance(args) => alliance::alliance(&config, args),
        Command::User(args) => users::user(&config, args),
        Command::VerifyEvidence(args) => evidence::verify_evidence(args),
        Command::Audit(args) => evidence::audit(&config, args),
        Command::Backup(args) => backup::backup(&config, args),
        Command::Restore(args) => backup::restored(&config, args),
        Command::Storage(args) => storage::storage(args),
        Command::EncryptPhotos => backup::encrypt_photos(&config),
        Command::Sweep => erase::sweep(&config),
        Command::ForgetSeller(args) => erase::forget_seller(&config, args),
        Command::Model(args) => models::model(&config, args),
        Command::Doctor(args) => doctor::doctor(&config, args),
        Command::Openapi | Command::Completions(_) | Command::Man(_) => Ok(Exit::Done),
    }
}

/// If a flag stands both before and after the command's name, clap drops one side; settings must not be lost silently.
fn all_settings_kept(cli: &Cli) -> Result<(), clap::Error> {
    let is_set = |arg: &std::ffi::OsString| *arg == "--set" || arg.to_string_lossy().starts_with("--set=");
    if std::env::args_os().skip(1).take_while(|arg| arg != "--").filter(is_set).count() == cli.set.len() {
        return Ok(());
    }
    let detail = "--set stands before and after the command's name; put all of them after it\n";
    Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, detail))
}

fn config(cli: &Cli) -> Result<Config, Failure> {
    // Variables of other programs may be anything; in one of ours, the replacement character is an invalid value.
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut config = Config::load(cli.config.as_deref(), variables)?;
    for (name, value) in &cli.set {
        config.set(name, value)?;
    }
    config.model_named.clone_from(&cli.model);
    Ok(config)
}
