//! Domain enums as values of options, with their help.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::domain::{MemberRole, Role, ScopeName};

impl ValueEnum for ScopeName {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Platform => "The marketplace: checks, look-ups, outcomes, appeals",
            Self::Brand => "One brand: its own references, policy and certificate",
            Self::Moderator => "Read access to everything that moderators read",
            Self::Admin => "Everything, including keys",
            Self::Alliance => "A member of an alliance; `touchstone alliance` makes these keys",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Moderator => "Decides cases, looks up, exports",
            Self::Admin => "Everything that a moderator may, and reads the whole audit log",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl ValueEnum for MemberRole {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Shares => "It shares signals and receives none",
            Self::Receives => "It receives signals and shares none",
            Self::Both => "It shares and receives signals",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}
