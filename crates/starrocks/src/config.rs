//! Where a StarRocks is and how to talk to it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use starweir_model::{Error, Result};

/// The FE's HTTP port when none is given.
pub const FE_HTTP_PORT: u16 = 8030;
/// The FE's MySQL port when none is given.
pub const FE_QUERY_PORT: u16 = 9030;

/// One HTTP server: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub tls: bool,
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// Reads `http://host:port`, `https://host:port` or `host:port`; the port may be absent (8030, or 443
    /// for https). Nothing may follow but a slash.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::user(format!("'{text}' is not an address such as fe1:8030 or https://fe1:8030"));
        let text_trimmed = text.trim().trim_end_matches('/');
        let (tls, rest) = match text_trimmed.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(bad()),
            None => (false, text_trimmed),
        };
        let (host, port) = split_host(rest).ok_or_else(bad)?;
        let port = port.unwrap_or(if tls { 443 } else { FE_HTTP_PORT });
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// `host`, `host:port` or `[v6]:port`; None for anything with other characters.
fn split_host(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    let good =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
    good.then_some((host, port))
}

/// Where BEs can be reached from here, when the addresses the FE knows cannot (containers, port forwards).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostMapping {
    by_backend: HashMap<(String, u16), (String, u16)>,
}

impl HostMapping {
    /// Reads `reachable:port,be:port;reachable:port,be:port`: the first of each pair is used where the FE
    /// says the second.
    pub fn parse(text: &str) -> Result<Self> {
        let mut by_backend = HashMap::new();
        for pair in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            let bad = || {
                Error::user(format!("'{pair}' is not a pair of addresses"))
                    .with_hint("write reachable-host:port,be-host:port;…")
            };
            let (reachable, backend) = pair.split_once(',').ok_or_else(bad)?;
            let (host, port) = split_host(reachable.trim()).ok_or_else(bad)?;
            let (be_host, be_port) = split_host(backend.trim()).ok_or_else(bad)?;
            let (Some(port), Some(be_port)) = (port, be_port) else { return Err(bad()) };
            by_backend.insert((be_host.to_ascii_lowercase(), be_port), (host.to_owned(), port));
        }
        Ok(Self { by_backend })
    }

    /// The endpoint to connect to for one the FE named.
    pub fn apply(&self, mut endpoint: Endpoint) -> Endpoint {
        if let Some((host, port)) = self.by_backend.get(&(endpoint.host.to_ascii_lowercase(), endpoint.port)) {
            endpoint.host.clone_from(host);
            endpoint.port = *port;
        }
        endpoint
    }
}

/// Everything the client has to know. [`ClientConfig::new`] gives defaults for all but the load URLs.
#[derive(Clone)]
pub struct ClientConfig {
    /// FE HTTP addresses; the first that answers is used, the others when it stops.
    pub load_urls: Vec<Endpoint>,
    /// FE MySQL addresses for metadata and DDL; may be empty when only loads are made.
    pub query_addresses: Vec<(String, u16)>,
    pub user: String,
    pub password: String,
    /// Opening a connection, TLS included.
    pub connect_timeout: Duration,
    /// Silence on an open connection while an answer is awaited or a body is sent. It must be longer than the
    /// load's own `timeout`: the server answers a load only after it was committed and published.
    pub socket_timeout: Duration,
    /// How long the FE may take to redirect, and a BE to plan, before the body is due.
    pub wait_for_continue_timeout: Duration,
    pub be_host_mapping: HostMapping,
    /// PEM file contents of certificate authorities to trust besides the public ones.
    pub tls_ca_pem: Option<Vec<u8>>,
    /// An answer longer than this is refused, in bytes.
    pub answer_bytes_max: usize,
}

impl ClientConfig {
    /// `load_urls` as in the option `load-url`: addresses separated by `;` or `,`.
    pub fn new(load_urls: &str) -> Result<Self> {
        let load_urls = load_urls
            .split([';', ','])
            .filter(|u| !u.trim().is_empty())
            .map(Endpoint::parse)
            .collect::<Result<Vec<_>>>()?;
        if load_urls.is_empty() {
            return Err(Error::user("no load URL is given").with_hint("write load-url = fe1:8030;fe2:8030"));
        }
        Ok(Self {
            load_urls,
            query_addresses: Vec::new(),
            user: "root".into(),
            password: String::new(),
            connect_timeout: Duration::from_secs(30),
            socket_timeout: Duration::from_secs(660),
            wait_for_continue_timeout: Duration::from_secs(30),
            be_host_mapping: HostMapping::default(),
            tls_ca_pem: None,
            answer_bytes_max: 4 << 20,
        })
    }

    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = user.into();
        self.password = password.into();
        self
    }

    /// `url` as in the option `jdbc-url`: `jdbc:mysql://fe1:9030,fe2:9030`.
    pub fn with_jdbc_url(mut self, url: &str) -> Result<Self> {
        self.query_addresses = parse_jdbc_url(url)?;
        Ok(self)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("load_urls", &self.load_urls)
            .field("query_addresses", &self.query_addresses)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The addresses in `jdbc:mysql://fe1:9030,fe2:9030[/db][?…]`; the prefix may be absent.
pub fn parse_jdbc_url(url: &str) -> Result<Vec<(String, u16)>> {
    let bad = || {
        Error::user(format!("'{}' is not a JDBC URL", url.split('?').next().unwrap_or_default()))
            .with_hint("write jdbc:mysql://fe1:9030,fe2:9030")
    };
    let rest = match url.trim().split_once("//") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("jdbc:mysql:") || scheme.eq_ignore_ascii_case("mysql:") => {
            rest
        }
        Some(_) => return Err(bad()),
        None => url.trim(),
    };
    let hosts = rest.split(['/', '?']).next().unwrap_or_default();
    let addresses = hosts
        .split([',', ';'])
        .filter(|h| !h.trim().is_empty())
        .map(|h| {
            split_host(h.trim()).map(|(host, port)| (host.to_owned(), port.unwrap_or(FE_QUERY_PORT))).ok_or_else(bad)
        })
        .collect::<Result<Vec<_>>>()?;
    if addresses.is_empty() { Err(bad()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_spelling_people_use() {
        for (text, expected) in [
            ("fe1:8030", Some("http://fe1:8030")),
            ("http://fe1:8030/", Some("http://fe1:8030")),
            ("HTTPS://nlb", Some("https://nlb:443")),
            ("fe1", Some("http://fe1:8030")),
            ("[::1]:8030", Some("http://[::1]:8030")),
            ("ftp://fe1", None),
            ("fe1:x", None),
            ("", None),
            ("a b:1", None),
            ("user@fe1:1", None),
        ] {
            assert_eq!(Endpoint::parse(text).ok().map(|e| e.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(ClientConfig::new("fe1:8030;http://fe2:8031").unwrap().load_urls.len(), 2);
        assert!(ClientConfig::new(" ; ").is_err());
    }

    #[test]
    fn jdbc_urls_name_query_addresses() {
        let expected = vec![("a".to_owned(), 9030), ("b".to_owned(), 9031)];
        assert_eq!(parse_jdbc_url("jdbc:mysql://a:9030,b:9031/db?x=y").unwrap(), expected);
        assert!(parse_jdbc_url("jdbc:postgresql://a").is_err());
    }

    #[test]
    fn backends_are_reached_where_the_mapping_says() {
        let mapping = HostMapping::parse("127.0.0.1:18040,be-0.svc:8040; 127.0.0.1:18041,be-1.svc:8040").unwrap();
        let named = Endpoint { tls: false, host: "BE-1.svc".into(), port: 8040 };
        assert_eq!(mapping.apply(named).authority(), "127.0.0.1:18041");
        let other = Endpoint { tls: false, host: "be-2.svc".into(), port: 8040 };
        assert_eq!(mapping.apply(other.clone()), other);
        assert!(HostMapping::parse("a:1").is_err());
    }
}
