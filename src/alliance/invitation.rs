use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AllianceError;
use super::banks::BANKS;
use crate::domain::{MemberId, MemberRole, MemberState, Scope, check_name};
use crate::gallery::{self, Alliance, Gallery, Member, NewMember, new_id};
use crate::keys::{Wanted, authenticate, make};
use crate::signals::Identity;

/// The greatest length of a URL in characters.
const MOST_URL: usize = 2048;
/// The greatest length of the name of an alliance or a member in bytes.
const MOST_NAME: usize = 100;
/// The greatest length of an alliance's terms in bytes.
const MOST_TERMS: usize = 1_000;

/// A new alliance.
#[derive(Debug, Clone, Copy)]
pub struct NewAlliance<'a> {
    /// Its name.
    pub name: &'a str,
    /// The terms under which its signals may be used.
    pub terms: &'a str,
    /// This touchstone's name in alliances.
    pub own_name: &'a str,
}

/// Whom to invite.
#[derive(Debug, Clone, Copy)]
pub struct Inviting<'a> {
    /// Its name, until it says another one.
    pub name: &'a str,
    /// Whether it will give or get signals.
    pub role: MemberRole,
    /// Where it can reach this touchstone; `None` exchanges files.
    pub own_url: Option<&'a str>,
}

/// What an invited member gets: a file with a key in it, to be passed on in confidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Id of the alliance.
    pub alliance: String,
    /// Its name.
    pub alliance_name: String,
    /// Its terms.
    pub terms: String,
    /// The name of the member who invites.
    pub from: String,
    /// Its public key, in Base64.
    pub public_key: String,
    /// Where its signals are; absent where files are exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The role of the invited member.
    pub role: MemberRole,
    /// The key to show there.
    pub key: String,
    /// Ed25519 signature of the invitation by the key of the member who invites, in Base64.
    pub proof: String,
}

/// What an invited member answers: a file, or the body of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Id of the alliance.
    pub alliance: String,
    /// The key of the invitation.
    pub key: String,
    /// The member's name, at most 100 bytes.
    pub name: String,
    /// Its Ed25519 public key: 32 bytes, in Base64.
    pub public_key: String,
    /// Where its signals are; absent where files are exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key to show there.
    pub own_key: String,
    /// Ed25519 signature of the reply by the member's key, in Base64.
    pub proof: String,
}

/// Makes an alliance with this touchstone as its first member.
///
/// # Errors
/// When a name is invalid, or the database cannot be written.
pub fn create(gallery: &Gallery, actor: &str, new: NewAlliance<'_>) -> Result<Alliance, AllianceError> {
    name("the alliance's name", new.name)?;
    name("this touchstone's name", new.own_name)?;
    if new.terms.len() > MOST_TERMS {
        return Err(AllianceError::Invalid(format!(
            "the terms have {} bytes, expected at most {MOST_TERMS}",
            new.terms.len()
        )));
    }
    if gallery.alliances()?.iter().any(|other| other.left_at.is_none() && other.name == new.name) {
        return Err(AllianceError::AllianceNameTaken(new.name.to_owned()));
    }
    named_as(gallery, new.own_name)?;
    let alliance = Alliance {
        id: new_id("all"),
        name: new.name.to_owned(),
        terms: new.terms.to_owned(),
        created_at: Timestamp::now(),
        left_at: None,
        log_seq: 0,
    };
    gallery.add_alliance(actor, &alliance)?;
    Ok(alliance)
}

/// Invites a member: makes its key.
///
/// # Errors
/// When the alliance is unknown, a name or address is invalid, or the database cannot be written.
pub fn invite(
    gallery: &Gallery,
    actor: &str,
    alliance: &str,
    inviting: Inviting<'_>,
) -> Result<Invitation, AllianceError> {
    let alliance = with_members(gallery, alliance)?;
    name("the member's name", inviting.name)?;
    if gallery.members(Some(&alliance.id), false)?.iter().any(|other| other.name == inviting.name) {
        return Err(AllianceError::NameTaken(inviting.name.to_owned()));
    }
    let url = inviting.own_url.map(address).transpose()?;
    let (from, identity) = own(gallery, &alliance.id)?;
    let (key_id, key) = new_key(gallery, actor, &alliance, inviting.name)?;
    let new = NewMember {
        alliance: &alliance.id,
        name: inviting.name,
        role: inviting.role,
        key_id: Some(&key_id),
        joining: None,
    };
    gallery.add_member(actor, &new, Timestamp::now())?;
    let mut invitation = Invitation {
        alliance: alliance.id,
        alliance_name: alliance.name,
        terms: alliance.terms,
        from,
        public_key: Identity::encode(identity.public_key()),
        url,
        role: inviting.role,
        key,
        proof: String::new(),
    };
    invitation.proof = proof(&identity, &invitation.signed());
    Ok(invitation)
}

/// A reply to an invitation, before it has reached the member who invites.
#[derive(Debug)]
pub struct Joining {
    /// What that member has to get.
    pub reply: Reply,
    alliance: Alliance,
    key_id: String,
}

/// Answers an invitation. Makes the key that the member who invites will show here, and changes nothing else:
/// [`Joining::complete`] does, or [`Joining::give_up`].
///
/// If this touchstone is in the alliance already, the member who invites becomes one more member, who gets what is shared
/// with the alliance; `existing` says that this is meant.
///
/// # Errors
/// When the invitation is invalid, or the database cannot be written.
pub fn join(
    gallery: &Gallery,
    actor: &str,
    invitation: &Invitation,
    (own_name, own_url): (&str, Option<&str>),
    existing: bool,
) -> Result<Joining, AllianceError> {
    name("this touchstone's name", own_name)?;
    name("the alliance's name", &invitation.alliance_name)?;
    name("the member's name", &invitation.from)?;
    check_id(&invitation.alliance)?;
    let url = own_url.map(address).transpose()?;
    let public_key = Identity::decode(&invitation.public_key)?;
    if !is_proven(&public_key, &invitation.signed(), &invitation.proof) {
        return Err(AllianceError::Invalid("the invitation is not signed by the key that it names".to_owned()));
    }
    let (own_name, identity) = named_as(gallery, own_name)?;
    if identity.public_key() == public_key {
        return Err(AllianceError::Itself(identity.member_id()));
    }
    let inviter = MemberId::of(&public_key);
    let members = gallery.members(Some(&invitation.alliance), false)?;
    let is_inviter = |member: &Member| member.id.as_ref() == Some(&inviter);
    if let Some(known) = gallery.alliance(&invitation.alliance)?.filter(|known| known.left_at.is_none()) {
        let again = !members.is_empty() && members.iter().all(is_inviter);
        if !(existing || again) || known.name != invitation.alliance_name {
            return Err(AllianceError::Known(known.name));
        }
    }
    let taken = |member: &Member| member.name == invitation.from && !is_inviter(member);
    if invitation.from == own_name || members.iter().any(taken) {
        return Err(AllianceError::NameTaken(invitation.from.clone()));
    }
    let alliance = Alliance {
        id: invitation.alliance.clone(),
        name: invitation.alliance_name.clone(),
        terms: invitation.terms.clone(),
        created_at: Timestamp::now(),
        left_at: None,
        log_seq: 0,
    };
    let (key_id, own_key) = new_key(gallery, actor, &alliance, &invitation.from)?;
    let mut reply = Reply {
        alliance: alliance.id.clone(),
        key: invitation.key.clone(),
        name: own_name,
        public_key: Identity::encode(identity.public_key()),
        url,
        own_key,
        proof: String::new(),
    };
    reply.proof = proof(&identity, &reply.signed());
    Ok(Joining { reply, alliance, key_id })
}

impl Joining {
    /// Stores the alliance and the member who invites. A former exchange with that member ends.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn complete(&self, gallery: &Gallery, actor: &str, invitation: &Invitation) -> Result<(), AllianceError> {
        let public_key = Identity::decode(&invitation.public_key)?;
        gallery.add_alliance(actor, &self.alliance)?;
        let inviter = gallery::Joining {
            public_key: &public_key,
            name: &invitation.from,
            url: invitation.url.as_deref(),
            token: Some(&invitation.key),
        };
        let new = NewMember {
            alliance: &self.alliance.id,
            name: &invitation.from,
            role: invitation.role.mirrored(),
            key_id: Some(&self.key_id),
            joining: Some(&inviter),
        };
        gallery.add_member(actor, &new, Timestamp::now())?;
        Ok(())
    }

    /// Revokes the key that was made for the member who invites.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn give_up(&self, gallery: &Gallery, actor: &str) -> Result<(), AllianceError> {
        gallery.revoke_key(actor, &self.key_id)?;
        Ok(())
    }
}

impl Invitation {
    /// What the proof signs: nobody can invite in somebody else's name.
    fn signed(&self) -> String {
        let Self { alliance, alliance_name, terms, from, url, role, key, .. } = self;
        let (url, role) = (url.as_deref().unwrap_or_default(), role.as_str());
        format!("touchstone-invite\n{alliance}\n{alliance_name}\n{from}\n{url}\n{role}\n{key}\n{terms}")
    }
}

impl Reply {
    /// What the proof signs: nobody can join with somebody else's public key.
    fn signed(&self) -> String {
        let Self { alliance, key, name, url, own_key, .. } = self;
        format!("touchstone-join\n{alliance}\n{key}\n{name}\n{}\n{own_key}", url.as_deref().unwrap_or_default())
    }
}

/// Takes in the reply to an invitation.
///
/// # Errors
/// When the invitation is no longer open, the reply is invalid, or the database cannot be written.
pub fn accept(gallery: &Gallery, reply: &Reply) -> Result<Member, AllianceError> {
    name("the member's name", &reply.name)?;
    let url = reply.url.as_deref().map(address).transpose()?;
    let public_key = Identity::decode(&reply.public_key)?;
    if !is_proven(&public_key, &reply.signed(), &reply.proof) {
        return Err(AllianceError::Invalid("the reply is not signed by the key that it names".to_owned()));
    }
    taking_part(gallery, &reply.alliance)?;
    let key = authenticate(gallery, &reply.key, Timestamp::now()).map_err(|_| AllianceError::InvitationUsed)?;
    let (own_name, identity) = own(gallery, &reply.alliance)?;
    let id = MemberId::of(&public_key);
    if identity.public_key() == public_key {
        return Err(AllianceError::Itself(id));
    }
    let taken = gallery.members(Some(&reply.alliance), false)?.into_iter().any(|other| {
        other.name == reply.name && other.key_id.as_ref() != Some(&key.id) && other.id.as_ref() != Some(&id)
    });
    if taken || reply.name == own_name {
        return Err(AllianceError::NameTaken(reply.name.clone()));
    }
    let invited = gallery.member_with_key(&key.id)?.filter(|member| member.alliance == reply.alliance);
    let joining = gallery::Joining {
        public_key: &public_key,
        name: &reply.name,
        url: url.as_deref(),
        token: Some(&reply.own_key),
    };
    let joined = match invited {
        Some(_) => gallery.accept_member(&key.id, &joining, Timestamp::now())?,
        None => None,
    };
    joined.ok_or(AllianceError::InvitationUsed)
}

/// The member that shows a key here, if it takes part in the alliance.
///
/// # Errors
/// [`AllianceError`]; [`AllianceError::UnknownAlliance`] also where the key belongs to another alliance.
pub fn member_of_key(gallery: &Gallery, alliance: &str, key_id: &str) -> Result<Member, AllianceError> {
    let member = gallery.member_with_key(key_id)?.filter(|member| member.alliance == alliance);
    let member = member.ok_or_else(|| AllianceError::UnknownAlliance(alliance.to_owned()))?;
    taking_part(gallery, alliance)?;
    match member.state {
        MemberState::Active => Ok(member),
        MemberState::Invited => Err(AllianceError::NotAllowed {
            name: member.name,
            what: "has not joined yet; answer the invitation first",
        }),
        MemberState::Expelled => Err(AllianceError::NotAllowed { name: member.name, what: "was expelled" }),
    }
}

pub(super) fn taking_part(gallery: &Gallery, id: &str) -> Result<Alliance, AllianceError> {
    let alliance = gallery.alliance(id)?.ok_or_else(|| AllianceError::UnknownAlliance(id.to_owned()))?;
    if alliance.left_at.is_some() { Err(AllianceError::Left(alliance.name)) } else { Ok(alliance) }
}

/// An alliance that this touchstone is in, and that can have members.
pub(super) fn with_members(gallery: &Gallery, id: &str) -> Result<Alliance, AllianceError> {
    let alliance = taking_part(gallery, id)?;
    if alliance.id == BANKS { Err(AllianceError::OnlyBanks(alliance.name)) } else { Ok(alliance) }
}

/// This touchstone's name and key. The name is free until it is in an alliance.
fn named_as(gallery: &Gallery, name: &str) -> Result<(String, Identity), AllianceError> {
    let (known, identity) = gallery.identity_or_new(name)?;
    if known == name {
        return Ok((known, identity));
    }
    if gallery.alliances()?.iter().any(|other| other.left_at.is_none() && other.id != BANKS) {
        return Err(AllianceError::Named(known));
    }
    gallery.rename_identity(name)?;
    Ok((name.to_owned(), identity))
}

pub(super) fn own(gallery: &Gallery, alliance: &str) -> Result<(String, Identity), AllianceError> {
    gallery.identity()?.ok_or_else(|| AllianceError::UnknownAlliance(alliance.to_owned()))
}

fn new_key(
    gallery: &Gallery,
    actor: &str,
    alliance: &Alliance,
    member: &str,
) -> Result<(String, String), AllianceError> {
    let label = Some(format!("alliance {}: {member}", alliance.name).chars().take(200).collect());
    let wanted = Wanted { scope: Scope::Alliance, label, days: None, rate: None };
    let (key, text) = make(gallery, actor, wanted)?;
    Ok((key.id, text))
}

fn proof(identity: &Identity, text: &str) -> String {
    BASE64_STANDARD.encode(identity.sign(text.as_bytes()))
}

fn is_proven(public_key: &[u8], text: &str, proof: &str) -> bool {
    let proof = BASE64_STANDARD.decode(proof).unwrap_or_default();
    Identity::is_signed_by(public_key, text.as_bytes(), &proof)
}

/// An alliance's id: `all_` and 32 hex digits.
fn check_id(text: &str) -> Result<(), AllianceError> {
    let digits = text.strip_prefix("all_").filter(|digits| digits.len() == 32);
    if digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Ok(());
    }
    Err(AllianceError::Invalid(format!("the alliance is {text:?}, expected all_ and 32 hex digits")))
}

fn name(what: &'static str, text: &str) -> Result<(), AllianceError> {
    if text.starts_with("mbr_") || text.starts_with("all_") {
        return Err(AllianceError::Invalid(format!(
            "{what} is {text:?}, expected a name that does not look like an id"
        )));
    }
    check_name(what, text).map_err(|fault| AllianceError::Invalid(fault.to_string()))?;
    if text.len() > MOST_NAME {
        return Err(AllianceError::Invalid(format!("{what} has {} bytes, expected at most {MOST_NAME}", text.len())));
    }
    Ok(())
}

/// A service's address without a slash at its end. The settings say whether the service may connect to it.
fn address(text: &str) -> Result<String, AllianceError> {
    let invalid =
        |detail: String| AllianceError::Invalid(format!("the url is {text:?}: {detail}; expected https://HOST"));
    if text.len() > MOST_URL {
        return Err(invalid(format!("it is longer than {MOST_URL} characters, the limit")));
    }
    let url = url::Url::parse(text).map_err(|error| {
        invalid(match error {
            url::ParseError::RelativeUrlWithoutBase => "it has no scheme".to_owned(),
            other => other.to_string(),
        })
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(invalid(format!("its scheme is {}", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment".to_owned()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
