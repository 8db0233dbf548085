use super::args::{BackupArgs, RestoreArgs};
use super::output::{say, tell};
use super::{Exit, Failure};
use crate::assembly::{open_gallery, vault};
use crate::backup::{Contents, back_up, restore};
use crate::config::Config;

pub(super) fn backup(config: &Config, args: &BackupArgs) -> Result<Exit, Failure> {
    let gallery = open_gallery(config)?;
    let contents = back_up(&gallery, &config.index_dir, &args.file)?;
    say!("{}: {}", args.file.display(), said(&contents));
    if config.photo_keys.is_some() {
        tell!("the photos' keys are not in it: keep a copy of photo_keys elsewhere");
    }
    Ok(Exit::Done)
}

pub(super) fn restored(config: &Config, args: &RestoreArgs) -> Result<Exit, Failure> {
    let (about, contents) = restore(&args.file, &config.data, &config.index_dir, vault(config)?, args.dry_run)?;
    let holds = format!("{}, {} entries of the audit log", said(&contents), contents.audit_entries);
    say!("{} of {:.0} holds: {holds}", about.gallery, about.created_at);
    if !args.dry_run {
        say!("restored to {} and {}", config.data.display(), config.index_dir.display());
    }
    Ok(Exit::Done)
}

pub(super) fn encrypt_photos(config: &Config) -> Result<Exit, Failure> {
    if config.photo_keys.is_none() {
        return Err(Failure::Declined("photo_keys names no file, so there is no key to encrypt with".to_owned()));
    }
    let sealed = open_gallery(config)?.seal_photos()?;
    say!("{sealed} files were encrypted with the newest key");
    Ok(Exit::Done)
}

fn said(contents: &Contents) -> String {
    let Contents { photos, uploads, generations, bytes, .. } = contents;
    format!(
        "the database, {photos} references' photos, {uploads} photos that were sent, {generations} indexes, {bytes} bytes"
    )
}
