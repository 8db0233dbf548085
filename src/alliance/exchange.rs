use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Certificate, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;
use utoipa::ToSchema;

use super::{AllianceError, MOST_AT_ONCE, Reply, Took, take};
use crate::domain::{AllianceOptions, MemberState};
use crate::fetch::{HostRules, client_with, with_causes};
use crate::gallery::{Member, SignalFeedback};
use crate::screening::Screener;
use crate::telemetry;

/// Most packs of one pull, so that no member keeps the others waiting; the next pull goes on.
const MOST_PACKS: usize = 100;
/// Most bytes of an answer.
const MOST_BYTES: usize = 64 << 20;
/// The greatest number of signals whose counts one request tells.
pub const MOST_FEEDBACK: usize = 1_000;

/// What a member tells after it has taken signals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The last line of the log that was applied: all signals withdrawn up to there are deleted.
    pub seq: u64,
    /// How signals fared, at most 1,000.
    #[serde(default)]
    pub feedback: Vec<SignalFeedback>,
}

/// Why nothing can be exchanged with a member.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The settings do not allow its address, or there is none.
    #[error("{0}")]
    NotAllowed(String),
    /// It cannot be reached.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// It does not accept the key that it gave.
    #[error(
        "{0} has ended the exchange: it answered 401 to the key that it gave; ask for a new invitation, or expel it here"
    )]
    Ended(String),
    /// It answered with an error.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The answer's detail.
        detail: String,
    },
    /// What it answered is refused here.
    #[error(transparent)]
    Alliance(#[from] AllianceError),
}

impl ExchangeError {
    /// Stable kebab-case code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "member-address",
            Self::Unreachable { .. } => "member-unreachable",
            Self::Refused { .. } | Self::Ended(_) => "member-refused",
            Self::Alliance(error) => error.code(),
        }
    }
}

/// Talks to members over HTTP.
pub struct Exchange {
    timeout: Duration,
    rules: HostRules,
    client: reqwest::Client,
}

impl Exchange {
    /// Creates the HTTP client; connects to nothing yet.
    ///
    /// # Errors
    /// When the file of certificates cannot be used, or the system cannot create a client.
    pub fn new(options: &AllianceOptions) -> Result<Self, ExchangeError> {
        let not_allowed = |detail: String| ExchangeError::NotAllowed(detail);
        let rules = HostRules {
            section: "alliance",
            hosts: options.hosts.clone(),
            private_addresses: options.private_addresses,
            // A redirect would take a key to somebody else.
            max_redirects: 0,
            timeout_s: options.timeout_s,
        };
        let certificates = match &options.certificates {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| error.to_string());
                let read = pem.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| with_causes(&error)));
                read.map_err(|error| not_allowed(format!("alliance.certificates {}: {error}", path.display())))?
            }
        };
        let client = client_with(&rules, certificates).map_err(|error| not_allowed(with_causes(&error)))?;
        Ok(Self { timeout: Duration::from_secs(options.timeout_s.max(1)), rules, client })
    }

    /// Whether the settings allow an address.
    ///
    /// # Errors
    /// [`ExchangeError::NotAllowed`].
    pub fn check(&self, url: &str) -> Result<(), ExchangeError> {
        self.address(url, "").map(drop)
    }

    /// Sends the reply to an invitation.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn reply(&self, url: &str, reply: &Reply) -> Result<(), ExchangeError> {
        let path = format!("/v1/alliances/{}/members", reply.alliance);
        let address = self.address(url, &path)?;
        self.send(url, self.client.post(address).bearer_auth(&reply.key).json(reply)).await.map(drop)
    }

    /// Takes all new lines of a member and acknowledges them. An error is stored with the member.
    ///
    /// # Errors
    /// [`ExchangeError`]; packs taken before the error stay.
    pub async fn pull(&self, screener: &Screener, member: &Member) -> Result<Took, ExchangeError> {
        let pulled = self.pull_all(screener, member).await.map_err(|error| match error {
            ExchangeError::Refused { status: 401, .. } => ExchangeError::Ended(member.name.clone()),
            other => other,
        });
        telemetry::signals_pulled(pulled.as_ref().map_or_else(ExchangeError::code, |_| "taken"));
        if let Err(error) = &pulled {
            let noted = screener.gallery.note_member_fault(member.number, error.code(), &error.to_string());
            noted.map_err(AllianceError::from)?;
        }
        pulled
    }

    async fn pull_all(&self, screener: &Screener, member: &Member) -> Result<Took, ExchangeError> {
        let none = || ExchangeError::NotAllowed(format!("{} has no address; exchange files with it", member.name));
        let (url, token) = member.url.as_deref().zip(member.token.as_deref()).ok_or_else(none)?;
        let mut total = Took::default();
        let mut member = member.clone();
        for _ in 0..MOST_PACKS {
            let path =
                format!("/v1/alliances/{}/signals?after={}&limit={MOST_AT_ONCE}", member.alliance, member.taken.seq);
            let address = self.address(url, &path)?;
            let pack = self.send(url, self.client.get(address).bearer_auth(token)).await?;
            let took = take(screener, &member, (Cursor::new(&pack), MOST_AT_ONCE))?;
            total = total.and(took);
            let members = screener.gallery.members(Some(&member.alliance), false).map_err(AllianceError::from)?;
            let Some(now) = members.into_iter().find(|one| one.number == member.number) else { return Ok(total) };
            member = now;
            if !took.more || member.state != MemberState::Active {
                break;
            }
        }
        let feedback = screener.gallery.feedback_for(member.number).map_err(AllianceError::from)?;
        // One acknowledgement even if there is nothing to tell.
        let nothing: &[SignalFeedback] = &[];
        let parts = feedback.chunks(MOST_FEEDBACK).chain(feedback.is_empty().then_some(nothing));
        for part in parts {
            let address = self.address(url, &format!("/v1/alliances/{}/acknowledgements", member.alliance))?;
            let told = Acknowledgement { seq: member.taken.seq, feedback: part.to_vec() };
            self.send(url, self.client.post(address).bearer_auth(token).json(&told)).await?;
        }
        Ok(total)
    }

    fn address(&self, url: &str, path: &str) -> Result<Url, ExchangeError> {
        let address = Url::parse(&format!("{url}{path}"));
        let address = address.map_err(|error| ExchangeError::NotAllowed(format!("{url}: {error}")))?;
        match self.rules.refusal(&address) {
            None => Ok(address),
            Some(refusal) => Err(ExchangeError::NotAllowed(format!("{url} is not allowed: {refusal}"))),
        }
    }

    async fn send(&self, url: &str, request: RequestBuilder) -> Result<Bytes, ExchangeError> {
        let unreachable =
            |error: &reqwest::Error| ExchangeError::Unreachable { url: url.to_owned(), reason: with_causes(error) };
        let request = request.timeout(self.timeout);
        let mut answer = request.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                let reason = format!("its answer is longer than {MOST_BYTES} bytes, the limit");
                return Err(ExchangeError::Unreachable { url: url.to_owned(), reason });
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body.into());
        }
        Err(ExchangeError::Refused { url: url.to_owned(), status: status.as_u16(), detail: detail_of(&body, status) })
    }
}

/// The detail of a problem, or the status in words.
fn detail_of(body: &[u8], status: StatusCode) -> String {
    let detail = serde_json::from_slice::<serde_json::Value>(body).ok();
    let detail = detail.and_then(|problem| Some(problem.get("detail")?.as_str()?.chars().take(500).collect()));
    detail.unwrap_or_else(|| status.canonical_reason().unwrap_or("an error").to_owned())
}
