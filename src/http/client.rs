//! The client that a request comes from: the peer, or the address that a trusted proxy gives in X-Forwarded-For.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;
use rollcall_domain::base::client::ClientNetwork;

use super::App;

const HEADER: &str = "x-forwarded-for";

/// Extracts the client, for limits on attempts.
pub struct Client(pub ClientNetwork);

impl FromRequestParts<App> for Client {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ExtensionRejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await?;
        Ok(Self(ClientNetwork::of(address(peer.ip(), &parts.headers, &app.trusted_proxies))))
    }
}

/// Finds the client's address. Each proxy appends the address of its own peer. So the list is read from the right as
/// long as the addresses belong to trusted proxies, and the first one that doesn't is the client's. Anything to the
/// left of it may have been written by anybody.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut address = peer.to_canonical();
    if !is_trusted(address) && headers.contains_key(HEADER) {
        hint(address);
    }
    let mut lines = headers.get_all(HEADER).iter().collect::<Vec<_>>();
    let mut entries = std::iter::from_fn(|| lines.pop())
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(entry).collect::<Vec<_>>());
    while is_trusted(address) {
        // If a trusted proxy doesn't give an address, or somebody wrote something that isn't one, the proxy itself is
        // the client.
        let Some(Some(next)) = entries.next() else { break };
        address = next;
    }
    address
}

/// Parses an address with or without a port.
fn entry(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// Logs, once, that a proxy isn't trusted. All clients behind it count as one, which the operator should know.
fn hint(peer: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "{peer} sends X-Forwarded-For, which isn't believed: all of its requests count as one client's for limits on tries. If it \
             is a proxy of yours, name it in ROLLCALL_TRUSTED_PROXIES"
        );
    });
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn found(peer: &str, lines: &[&[u8]]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_bytes(line).unwrap());
        }
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn proxies_are_believed_from_the_right_as_far_as_they_are_trusted() {
        for (peer, lines, client) in [
            // X-Forwarded-For from an untrusted peer is ignored.
            ("203.0.113.7", &[][..], "203.0.113.7"),
            ("203.0.113.7", &[b"198.51.100.1".as_slice()], "203.0.113.7"),
            ("::ffff:203.0.113.7", &[b"198.51.100.1"], "203.0.113.7"),
            // A trusted proxy is believed, but only for its own peer.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &[b"198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &[b"1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &[b"1.1.1.1, 198.51.100.1, 10.0.0.2,fd00::1"], "198.51.100.1"),
            ("10.0.0.1", &[b"1.1.1.1", b"198.51.100.1", b"192.0.2.1"], "198.51.100.1"),
            // If all of them are trusted, the client is the farthest one.
            ("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Every form that proxies write is accepted.
            ("fd00::1", &[b"2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &[b"[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &[b"[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", &[b"198.51.100.1:443"], "198.51.100.1"),
            ("fd00::1", &[b"::ffff:198.51.100.1"], "198.51.100.1"),
            // Entries that aren't addresses end the search, and nothing to their left is believed.
            ("10.0.0.1", &[b""], "10.0.0.1"),
            ("10.0.0.1", &[b"unknown"], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[b"198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", &[b"\xff, 198.51.100.1"], "10.0.0.1"),
            ("10.0.0.1", &[b"198.51.100.1 198.51.100.2"], "10.0.0.1"),
        ] {
            assert_eq!(found(peer, lines), client, "{peer} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_left_of_the_client_changes_nothing(left in "[ -~]{0,200}") {
            let line = format!("{left}, 198.51.100.1, 10.0.0.2");
            prop_assert_eq!(found("10.0.0.1", &[line.as_bytes()]), "198.51.100.1");
            prop_assert_eq!(found("203.0.113.7", &[line.as_bytes()]), "203.0.113.7");
        }
    }
}
