//! Shell completions and manual pages, generated from the definition of the commands.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::generate;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::output::{document, say};
use super::{Exit, Failure};

pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "touchstone", &mut script);
    document!("{}", String::from_utf8_lossy(&script));
    Exit::Done
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let failed = |source: io::Error| Failure::File { path: args.folder.display().to_string(), source };
    fs::create_dir_all(&args.folder).map_err(failed)?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let pages = write(&root, "touchstone", &args.folder).map_err(failed)?;
    say!("{pages} pages in {}", args.folder.display());
    Ok(Exit::Done)
}

/// Writes the page of a command and those of its subcommands.
fn write(command: &clap::Command, name: &str, folder: &Path) -> io::Result<usize> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(name.to_owned())).render(&mut page)?;
    fs::write(folder.join(format!("{name}.1")), page)?;
    let mut pages = 1;
    for below in command.get_subcommands() {
        pages += write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(pages)
}
