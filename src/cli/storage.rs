use super::args::{StorageArgs, StorageCommand};
use super::output::{document, say};
use super::{Exit, Failure};
use crate::gallery::{Place, copy_records};

pub(super) fn storage(args: &StorageArgs) -> Result<Exit, Failure> {
    let StorageCommand::Copy { from, to, json } = &args.command;
    // Parsed here: a message of the argument parser would repeat the password.
    let (from, to): (Place, Place) = (from.parse()?, to.parse()?);
    let copied = copy_records(&from, &to, |table| {
        let how = if table.was_there { "was there" } else { "copied" };
        if !json && table.rows > 0 {
            say!("{}: {} rows, {how}, sha256 {}", table.table, table.rows, table.sha256);
        }
    })?;
    if *json {
        document!("{}", serde_json::to_string(&copied)?);
    } else {
        let rows: u64 = copied.iter().map(|table| table.rows).sum();
        say!("{to} has all {rows} rows of {from}");
    }
    Ok(Exit::Done)
}
