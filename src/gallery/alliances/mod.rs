//! Alliances: who takes part, what is shared, the own log of signals, and the signals of others.

mod incoming;
mod outgoing;
mod quarantine;

use jiff::Timestamp;
use serde::Serialize;

use super::audit::{AuditEvent, append};
use super::store::{Gallery, GalleryError, conversion, optional, optional_second, parsed, second, signed, unsigned};
use crate::domain::{BrandId, MemberId, MemberRole, MemberState, Polarity, SharingRule};
use crate::photo::Sha256;
use crate::signals::{Chain, Identity, Position};
use crate::storage::{self, Connection, OptionalExtension, Row, Writing, params};

pub use incoming::{SignalCase, SignalFeedback, SignalInfo, SignalRow, Taken, TakenLine};
pub(super) use incoming::{deny_signal, note_signal_cases};
pub use outgoing::SharedLine;
pub use quarantine::QuarantinedSignal;

/// An alliance that this touchstone takes part in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alliance {
    /// Its id, `all_` and a UUID, the same at every member.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The terms under which its signals may be used.
    pub terms: String,
    /// When it was made or joined here.
    pub created_at: Timestamp,
    /// When this touchstone left it; absent while it takes part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// The last line of the own log, withdrawals included.
    pub log_seq: u64,
}

/// Another member of an alliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its number in the database.
    #[serde(skip)]
    pub number: u64,
    /// The alliance.
    pub alliance: String,
    /// Its id; absent until it joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MemberId>,
    /// Its name.
    pub name: String,
    /// Whether it gives or gets signals.
    pub role: MemberRole,
    /// Whether it takes part.
    pub state: MemberState,
    /// Its public key; absent until it joins.
    #[serde(skip)]
    pub public_key: Option<Vec<u8>>,
    /// Where its signals are; absent if they come as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key to show there.
    #[serde(skip)]
    pub token: Option<String>,
    /// Id of the key that it shows here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The last line of its log that was taken.
    #[serde(skip)]
    pub taken: Position,
    /// When something was last taken from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// Why nothing is taken from it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<MemberFault>,
    /// The last line of the own log that it has acknowledged.
    pub given_seq: u64,
    /// When it acknowledged that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_at: Option<Timestamp>,
}

/// Why nothing is taken from a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberFault {
    /// Stable kebab-case code.
    pub code: String,
    /// What is wrong, and what was expected.
    pub detail: String,
}

impl Member {
    /// Whether its signals are pulled.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.state == MemberState::Active && self.role.shares() && self.url.is_some()
    }
}

/// A member to add.
#[derive(Debug, Clone)]
pub struct NewMember<'a> {
    /// The alliance.
    pub alliance: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Whether it gives or gets signals.
    pub role: MemberRole,
    /// Id of the key that it will show here; `None` for one that comes as a file.
    pub key_id: Option<&'a str>,
    /// For one that takes part at once, what it says of itself; `None` for one that is only invited.
    pub joining: Option<&'a Joining<'a>>,
}

/// What a member that joins says of itself.
#[derive(Debug, Clone)]
pub struct Joining<'a> {
    /// Its public key.
    pub public_key: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// Where its signals are.
    pub url: Option<&'a str>,
    /// The key to show there.
    pub token: Option<&'a str>,
}

const ALLIANCE: &str = "id, name, terms, created_at, left_at, log_seq";
const MEMBER: &str = "number, alliance, id, name, role, state, public_key, url, token, key_id, taken_seq, taken_sum, taken_at, fault_code, fault, given_seq, given_at";

impl Gallery {
    /// This touchstone's name and signing key in alliances; `None` until it has made or joined one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn identity(&self) -> Result<Option<(String, Identity)>, GalleryError> {
        self.read(identity)
    }

    /// As [`Gallery::identity`]; makes one with this name if there is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn identity_or_new(&self, name: &str) -> Result<(String, Identity), GalleryError> {
        self.write(|transaction| {
            if let Some(known) = identity(transaction)? {
                return Ok(known);
            }
            let new = Identity::draw().map_err(|error| conversion(0, error))?;
            transaction
                .execute("INSERT INTO identity (one, name, secret) VALUES (1, ?1, ?2)", params![name, new.secret()])?;
            Ok((name.to_owned(), new))
        })
    }

    /// Changes this touchstone's name in alliances.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn rename_identity(&self, name: &str) -> Result<(), GalleryError> {
        self.write(|transaction| transaction.execute("UPDATE identity SET name = ?1", [name]).map(drop))
    }

    /// Stores an alliance that was made here or that this touchstone joins.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_alliance(&self, actor: &str, alliance: &Alliance) -> Result<(), GalleryError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO alliance (id, name, terms, created_at, log_sum) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET left_at = NULL, name = iif(alliance.left_at IS NULL, alliance.name, excluded.name),
                   terms = iif(alliance.left_at IS NULL, alliance.terms, excluded.terms)",
                params![
                    alliance.id,
                    alliance.name,
                    alliance.terms,
                    alliance.created_at.as_second(),
                    &Chain::start().0.0[..]
                ],
            )?;
            let event = AuditEvent { actor, session: None, action: "join-alliance", subject: &alliance.id };
            append(transaction, event, &(), alliance).map(drop)
        })
    }

    /// All alliances, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn alliances(&self) -> Result<Vec<Alliance>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!("SELECT {ALLIANCE} FROM alliance ORDER BY created_at, id"))?
                .query_map([], alliance)?
                .collect()
        })
    }

    /// An alliance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn alliance(&self, id: &str) -> Result<Option<Alliance>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!("SELECT {ALLIANCE} FROM alliance WHERE id = ?1"))?
                .query_row([id], alliance)
                .optional()
        })
    }

    /// Leaves an alliance: its members get nothing more, and their signals are deleted. `false` if this touchstone was not
    /// in it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn leave_alliance(&self, actor: &str, id: &str, now: Timestamp) -> Result<bool, GalleryError> {
        self.write(|transaction| {
            let left = transaction.execute(
                "UPDATE alliance SET left_at = ?1 WHERE id = ?2 AND left_at IS NULL",
                params![now.as_second(), id],
            )?;
            if left == 0 {
                return Ok(false);
            }
            transaction.execute("DELETE FROM alliance_sharing WHERE alliance = ?1", [id])?;
            let members: Vec<u64> = transaction
                .prepare_cached("SELECT number FROM alliance_member WHERE alliance = ?1")?
                .query_map([id], |row| unsigned(row, 0))?
                .collect::<storage::Result<_>>()?;
            for member in members {
                end_exchange(transaction, member, now)?;
            }
            let event = AuditEvent { actor, session: None, action: "leave-alliance", subject: id };
            append(transaction, event, &(), &()).map(|_| true)
        })
    }

    /// Stores a member. Returns its number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_member(&self, actor: &str, new: &NewMember<'_>, now: Timestamp) -> Result<u64, GalleryError> {
        self.write(|transaction| {
            if let Some(joining) = new.joining {
                end_former(transaction, new.alliance, joining.public_key, None, now)?;
            }
            let number = transaction.query_row(
                "INSERT INTO alliance_member (alliance, name, role, state, key_id, taken_sum)
                 VALUES (?1, ?2, ?3, 'invited', ?4, ?5) RETURNING number",
                params![new.alliance, new.name, new.role.as_str(), new.key_id, &Position::start().sum.0[..]],
                |row| unsigned(row, 0),
            )?;
            if let Some(joining) = new.joining {
                join(transaction, number, joining, now)?;
            }
            let event = AuditEvent { actor, session: None, action: "add-member", subject: new.alliance };
            append(transaction, event, &(), &member_numbered(transaction, number)?)?;
            Ok(number)
        })
    }

    /// Completes an invitation: the member that was given the key `key_id` joins. `None` if there is no open invitation
    /// with this key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn accept_member(
        &self,
        key_id: &str,
        joining: &Joining<'_>,
        now: Timestamp,
    ) -> Result<Option<Member>, GalleryError> {
        self.write(|transaction| {
            let Some(invited) = member_with_key(transaction, key_id)? else { return Ok(None) };
            let same = invited.public_key.as_deref() == Some(joining.public_key);
            if invited.state == MemberState::Expelled || (invited.state == MemberState::Active && !same) {
                return Ok(None);
            }
            end_former(transaction, &invited.alliance, joining.public_key, Some(invited.number), now)?;
            join(transaction, invited.number, joining, now)?;
            let joined = member_with_key(transaction, key_id)?;
            let event =
                AuditEvent { actor: key_id, session: None, action: "accept-member", subject: &invited.alliance };
            append(transaction, event, &invited, &joined)?;
            Ok(joined)
        })
    }

    /// Ends the exchange with a member: its key is revoked, its signals are deleted.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn expel_member(&self, actor: &str, number: u64, now: Timestamp) -> Result<(), GalleryError> {
        self.write(|transaction| {
            let Some(before) = member_numbered(transaction, number)? else { return Ok(()) };
            end_exchange(transaction, number, now)?;
            let after = member_numbered(transaction, number)?;
            let event = AuditEvent { actor, session: None, action: "expel-member", subject: &before.alliance };
            append(transaction, event, &before, &after).map(drop)
        })
    }

    /// The members of an alliance, or of all, oldest first; without those that were expelled unless `all`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn members(&self, alliance: Option<&str>, all: bool) -> Result<Vec<Member>, GalleryError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {MEMBER} FROM alliance_member WHERE (?1 IS NULL OR alliance = ?1) AND (?2 = 1 OR state <> 'expelled')
                 ORDER BY number"
            ))?
            .query_map(params![alliance, all], member)?
            .collect()
        })
    }

    /// The member that shows this key here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn member_with_key(&self, key_id: &str) -> Result<Option<Member>, GalleryError> {
        self.read(|db| member_with_key(db, key_id))
    }

    /// Sets what of a brand is shared; without days, nothing of it any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn share_brand(
        &self,
        actor: &str,
        alliance: &str,
        (brand, polarity): (&BrandId, Polarity),
        delay_days: Option<u32>,
    ) -> Result<(), GalleryError> {
        self.write(|transaction| {
            match delay_days {
                Some(days) => transaction.execute(
                    "INSERT INTO alliance_sharing (alliance, brand, polarity, delay_days) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (alliance, brand, polarity) DO UPDATE SET delay_days = excluded.delay_days",
                    params![alliance, brand.as_str(), polarity.as_str(), days],
                )?,
                None => transaction.execute(
                    "DELETE FROM alliance_sharing WHERE alliance = ?1 AND brand = ?2 AND polarity = ?3",
                    params![alliance, brand.as_str(), polarity.as_str()],
                )?,
            };
            // The next look at the references follows the new rule.
            transaction.execute("UPDATE alliance SET followed = -1 WHERE id = ?1", [alliance])?;
            let rule = serde_json::json!({ "brand": brand, "polarity": polarity, "delay_days": delay_days });
            let action = if delay_days.is_some() { "share-brand" } else { "unshare-brand" };
            append(transaction, AuditEvent { actor, session: None, action, subject: alliance }, &(), &rule).map(drop)
        })
    }

    /// Brands that have references, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn brands_with_references(&self) -> Result<Vec<BrandId>, GalleryError> {
        self.read(|db| {
            db.prepare_cached("SELECT DISTINCT brand FROM reference ORDER BY brand")?
                .query_map([], |row| parsed(row, 0))?
                .collect()
        })
    }

    /// What is shared with an alliance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sharing(&self, alliance: &str) -> Result<Vec<SharingRule>, GalleryError> {
        self.read(|db| rules(db, alliance))
    }
}

fn rules(db: &Connection, alliance: &str) -> storage::Result<Vec<SharingRule>> {
    db.prepare_cached(
        "SELECT brand, polarity, delay_days FROM alliance_sharing WHERE alliance = ?1 ORDER BY brand, polarity",
    )?
    .query_map([alliance], |row| {
        Ok(SharingRule { brand: parsed(row, 0)?, polarity: parsed(row, 1)?, delay_days: row.get(2)? })
    })?
    .collect()
}

fn identity(db: &Connection) -> storage::Result<Option<(String, Identity)>> {
    db.prepare_cached("SELECT name, secret FROM identity")?
        .query_row([], |row| {
            let secret: Vec<u8> = row.get(1)?;
            Ok((row.get(0)?, Identity::from_secret(&secret).map_err(|error| conversion(1, error))?))
        })
        .optional()
}

fn member_numbered(db: &Connection, number: u64) -> storage::Result<Option<Member>> {
    db.prepare_cached(&format!("SELECT {MEMBER} FROM alliance_member WHERE number = ?1"))?
        .query_row([signed(number)], member)
        .optional()
}

fn member_with_key(db: &Connection, key_id: &str) -> storage::Result<Option<Member>> {
    db.prepare_cached(&format!("SELECT {MEMBER} FROM alliance_member WHERE key_id = ?1"))?
        .query_row([key_id], member)
        .optional()
}

fn join(transaction: &Writing<'_>, number: u64, joining: &Joining<'_>, now: Timestamp) -> storage::Result<()> {
    let id = MemberId::of(joining.public_key);
    transaction
        .execute(
            "UPDATE alliance_member SET id = ?1, public_key = ?2, name = ?3, url = ?4, token = ?5, state = 'active', joined_at = ?6
             WHERE number = ?7",
            params![
                id.as_str(),
                joining.public_key,
                joining.name,
                joining.url,
                joining.token,
                now.as_second(),
                signed(number)
            ],
        )
        .map(drop)
}

/// Ends the exchange with former members that have this key: somebody who joins again starts anew.
fn end_former(
    transaction: &Writing<'_>,
    alliance: &str,
    public_key: &[u8],
    but: Option<u64>,
    now: Timestamp,
) -> storage::Result<()> {
    let id = MemberId::of(public_key);
    let former: Vec<u64> = transaction
        .prepare_cached("SELECT number FROM alliance_member WHERE alliance = ?1 AND id = ?2")?
        .query_map([alliance, id.as_str()], |row| unsigned(row, 0))?
        .collect::<storage::Result<_>>()?;
    for number in former.into_iter().filter(|number| Some(*number) != but) {
        end_exchange(transaction, number, now)?;
        transaction.execute("UPDATE alliance_member SET id = NULL WHERE number = ?1", [signed(number)])?;
    }
    Ok(())
}

/// Revokes a member's key and deletes its signals.
fn end_exchange(transaction: &Writing<'_>, number: u64, now: Timestamp) -> storage::Result<()> {
    transaction.execute(
        "UPDATE api_key SET revoked_at = ?1 WHERE revoked_at IS NULL AND id = (SELECT key_id FROM alliance_member WHERE number = ?2)",
        params![now.to_string(), signed(number)],
    )?;
    transaction
        .execute("UPDATE alliance_member SET state = 'expelled', token = NULL WHERE number = ?1", [signed(number)])?;
    incoming::withdraw_all(transaction, number)
}

fn alliance(row: &Row<'_>) -> storage::Result<Alliance> {
    Ok(Alliance {
        id: row.get(0)?,
        name: row.get(1)?,
        terms: row.get(2)?,
        created_at: second(row, 3)?,
        left_at: optional_second(row, 4)?,
        log_seq: unsigned(row, 5)?,
    })
}

fn member(row: &Row<'_>) -> storage::Result<Member> {
    let (code, detail): (Option<String>, Option<String>) = (row.get(13)?, row.get(14)?);
    Ok(Member {
        number: unsigned(row, 0)?,
        alliance: row.get(1)?,
        id: optional(row, 2)?,
        name: row.get(3)?,
        role: parsed(row, 4)?,
        state: parsed(row, 5)?,
        public_key: row.get(6)?,
        url: row.get(7)?,
        token: row.get(8)?,
        key_id: row.get(9)?,
        taken: Position { seq: unsigned(row, 10)?, sum: Sha256(row.get(11)?) },
        taken_at: optional_second(row, 12)?,
        fault: code.zip(detail).map(|(code, detail)| MemberFault { code, detail }),
        given_seq: unsigned(row, 15)?,
        given_at: optional_second(row, 16)?,
    })
}
