use std::path::Path;
use std::sync::Arc;

use super::args::{BackupArgs, RestoreArgs};
use super::output::{say, tell};
use super::{Exit, Failure};
use crate::assembly::{open_gallery, vault};
use crate::backup::{Contents, back_up, restore};
use crate::config::Config;
use crate::gallery::{Place, copy_records};
use crate::memory::Memory;
use crate::storage::PostgresUrl;

pub(super) fn backup(config: &Config, args: &BackupArgs) -> Result<Exit, Failure> {
    let gallery = open_gallery(config)?;
    let contents = back_up(&gallery, &config.index_dir, &args.file)?;
    say!("{}: {}", args.file.display(), said(&contents));
    if config.photo_keys.is_some() {
        tell!("the backup does not contain the photos' keys: keep a copy of the photo_keys file elsewhere");
    }
    Ok(Exit::Done)
}

pub(super) fn restored(config: &Config, args: &RestoreArgs) -> Result<Exit, Failure> {
    let (about, contents) = restore(&args.file, &config.data, &config.index_dir, vault(config)?, args.dry_run)?;
    let holds = format!("{}, {} events of the audit log", said(&contents), contents.audit_entries);
    say!("the backup of {} from {:.0} is valid: {holds}", about.gallery, about.created_at);
    if !args.dry_run {
        if let Some(url) = &config.storage.database {
            // The backup's database is a file, whatever it was made of.
            move_records(&config.data, url)?;
        }
        say!("restored to {} and {}", config.data.display(), config.index_dir.display());
    }
    Ok(Exit::Done)
}

fn move_records(data: &Path, url: &PostgresUrl) -> Result<(), Failure> {
    let file = data.join("touchstone.db");
    copy_records(&Place::file(&file), &Place::postgres(url), |_| {})?;
    let gone = |name: &str| match std::fs::remove_file(data.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let removed = ["touchstone.db", "touchstone.db-wal", "touchstone.db-shm"].into_iter().try_for_each(gone);
    removed.map_err(|source| Failure::File { path: file.display().to_string(), source })
}

pub(super) fn encrypt_photos(config: &Config) -> Result<Exit, Failure> {
    if config.photo_keys.is_none() {
        return Err(Failure::Declined(
            "photo_keys is not set, so there is no key; set it to a file of keys".to_owned(),
        ));
    }
    let gallery = Arc::new(open_gallery(config)?);
    let sealed = gallery.seal_photos()? + Memory::of(&gallery).reseal()?;
    say!("{sealed} files were encrypted with the newest key");
    Ok(Exit::Done)
}

fn said(contents: &Contents) -> String {
    let Contents { photos, uploads, generations, bytes, .. } = contents;
    format!(
        "the database, {photos} references' photos, {uploads} photos that were sent, {generations} indexes, {bytes} bytes"
    )
}
