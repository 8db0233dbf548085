//! Who may do what.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::{BrandId, InvalidName};

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "scope", content = "brand", rename_all = "lowercase")]
pub enum Scope {
    /// The marketplace: checks, look-ups, outcomes, appeals.
    Platform,
    /// One brand: its own references, policy and certificate.
    Brand(BrandId),
    /// Read access to everything that moderators read.
    Moderator,
    /// Everything, including keys.
    Admin,
    /// A member of an alliance: exchanges signals, and nothing else.
    Alliance,
}

/// The name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_scope)]
pub enum ScopeName {
    /// The marketplace: checks, look-ups, outcomes, appeals
    Platform,
    /// One brand: its own references, policy and certificate
    Brand,
    /// Read access to everything that moderators read
    Moderator,
    /// Everything, including keys
    Admin,
    /// A member of an alliance; `touchstone alliance` makes these keys
    Alliance,
}

impl ScopeName {
    /// All scopes, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Platform, Self::Brand, Self::Moderator, Self::Admin, Self::Alliance];
}

named!(ScopeName, "scope", not_scope);

impl Scope {
    /// The scope called `name`, with the brand that a brand's key needs.
    ///
    /// # Errors
    /// When a brand's key has no brand, or another key has one.
    pub fn named(name: ScopeName, brand: Option<BrandId>) -> Result<Self, InvalidName> {
        match (name, brand) {
            (ScopeName::Platform, None) => Ok(Self::Platform),
            (ScopeName::Brand, Some(brand)) => Ok(Self::Brand(brand)),
            (ScopeName::Moderator, None) => Ok(Self::Moderator),
            (ScopeName::Admin, None) => Ok(Self::Admin),
            (ScopeName::Alliance, None) => Ok(Self::Alliance),
            (ScopeName::Brand, None) => Err(InvalidName("a key of scope brand needs the brand".to_owned())),
            (name, Some(brand)) => {
                let name = name.as_str();
                Err(InvalidName(format!("brand is {brand}, but a key of scope {name} is for no brand")))
            }
        }
    }

    /// The scope's name, without the brand.
    #[must_use]
    pub fn name(&self) -> ScopeName {
        match self {
            Self::Platform => ScopeName::Platform,
            Self::Brand(_) => ScopeName::Brand,
            Self::Moderator => ScopeName::Moderator,
            Self::Admin => ScopeName::Admin,
            Self::Alliance => ScopeName::Alliance,
        }
    }

    /// The brand of a brand's key; `None` for other scopes.
    #[must_use]
    pub fn brand(&self) -> Option<&BrandId> {
        match self {
            Self::Brand(brand) => Some(brand),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brand(brand) => write!(f, "brand {brand}"),
            other => f.write_str(other.name().as_str()),
        }
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = InvalidName, parse_err_fn = not_role)]
pub enum Role {
    /// Decides cases, looks up, exports.
    Moderator,
    /// Everything that a moderator may, and reads the whole audit log.
    Admin,
}

impl Role {
    /// All roles, in the order of the help.
    pub const ALL: [Self; 2] = [Self::Moderator, Self::Admin];
}

named!(Role, "role", not_role);
