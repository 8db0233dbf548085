use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::domain::{BrandId, MemberRole, Polarity};
use crate::signals::SignalId;

/// Arguments of `alliance`.
#[derive(Debug, Args)]
pub struct AllianceArgs {
    /// Command to run
    #[command(subcommand)]
    pub command: AllianceCommand,
}

/// What can be done with alliances.
#[derive(Debug, Subcommand)]
pub enum AllianceCommand {
    /// Make an alliance with this touchstone as its first member
    Create {
        /// Name of the alliance
        name: String,
        /// This touchstone's name in all alliances; the first one chosen stays
        #[arg(long = "as", value_name = "NAME")]
        own_name: String,
        /// The terms under which members may use the signals
        #[arg(long, default_value = "For checking listings only. Not to be passed on.")]
        terms: String,
    },
    /// Invite a member: print an invitation, which contains a key; send it confidentially
    Invite {
        /// Id or name of the alliance
        alliance: String,
        /// Name of the member
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Whether the member shares signals, receives them, or both
        #[arg(long, value_enum, default_value = "both")]
        role: MemberRole,
        /// URL at which the member reaches this touchstone; leave out to exchange files
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Join an alliance with an invitation
    Join {
        /// File of the invitation
        #[arg(value_name = "INVITATION")]
        file: PathBuf,
        /// This touchstone's name in all alliances; the first one chosen stays
        #[arg(long = "as", value_name = "NAME")]
        own_name: String,
        /// URL at which members reach this touchstone; leave out to exchange files
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Print the reply instead of sending it
        #[arg(long)]
        print: bool,
        /// The invitation is for an alliance that this touchstone is in: its sender gets what you share with it
        #[arg(long)]
        existing: bool,
    },
    /// Accept a member's reply from a file
    Accept {
        /// File of the reply
        #[arg(value_name = "REPLY")]
        file: PathBuf,
    },
    /// End the exchange with a member: revoke its key and delete its signals
    Expel {
        /// Id or name of the alliance
        alliance: String,
        /// Id or name of the member
        member: String,
    },
    /// Release a signal from quarantine; `list` shows the quarantined ones
    Release {
        /// Id or name of the alliance
        alliance: String,
        /// Id or name of the member whose signal it is
        member: String,
        /// Id of the signal
        signal: SignalId,
    },
    /// Leave an alliance
    Leave {
        /// Id or name of the alliance
        alliance: String,
    },
    /// List alliances, their members, and what is shared
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Share a brand's references with an alliance; nothing is shared without this command
    Share {
        /// Id or name of the alliance
        alliance: String,
        /// The brand
        #[arg(long)]
        brand: BrandId,
        /// Which of its references
        #[arg(long, default_value = "fake")]
        polarity: Polarity,
        /// Age in days from which on a reference is shared
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3650))]
        delay_days: u32,
    },
    /// Stop sharing a brand's references: members delete the signals
    Unshare {
        /// Id or name of the alliance
        alliance: String,
        /// The brand
        #[arg(long)]
        brand: BrandId,
        /// Which of its references
        #[arg(long, default_value = "fake")]
        polarity: Polarity,
    },
    /// Pull new signals from members, as the running service does
    Pull {
        /// Id or name of the alliance; all if absent
        alliance: Option<String>,
    },
    /// Write the signals shared with an alliance to a file, for members without a connection
    Export {
        /// Id or name of the alliance
        alliance: String,
        /// The file
        file: PathBuf,
        /// Write only lines after this line of the log; 0 writes all
        #[arg(long, value_name = "LINE", default_value_t = 0)]
        after: u64,
    },
    /// Write a brand's PDQ hashes to a text file, as Meta's command tx reads it
    ExportHashes {
        /// The file
        file: PathBuf,
        /// The brand
        #[arg(long)]
        brand: BrandId,
        /// Which of its references
        #[arg(long, default_value = "fake")]
        polarity: Polarity,
    },
    /// Import a bank of PDQ hashes from a text file or a CSV file of tx; replaces the bank's earlier hashes
    ImportHashes {
        /// The file
        file: PathBuf,
        /// A name for the bank
        #[arg(long, value_name = "NAME")]
        bank: String,
        /// The brand that its photos are about
        #[arg(long)]
        brand: BrandId,
        /// Whether its photos are authentic or fake
        #[arg(long, default_value = "fake")]
        polarity: Polarity,
    },
    /// Import a member's signals from a file
    Import {
        /// Id or name of the alliance
        alliance: String,
        /// The file
        file: PathBuf,
        /// Id or name of the member that wrote the file
        #[arg(long, value_name = "MEMBER")]
        from: String,
    },
}
