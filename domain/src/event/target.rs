//! The targets that webhooks may have. An organization's lead to the public internet only, unless the deployment allows
//! more. The platform's may also lead into the deployment's own network, and there without encryption; but never to
//! link-local addresses and the others at which clouds tell a machine its secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::base::error::{Code, Refusal, Result};
use crate::base::{limits, text};
use crate::database::deployment::WebhookTargets;

const MUST_BE_PUBLIC: &str = "must lead to a public address";

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// An organization's, which tells what happens there.
    Organization,
    /// The platform's, which tells what happens in all organizations, or in those that a platform key reaches (R90).
    Platform,
}

impl WebhookTargets {
    /// Whether deliveries of such a webhook may go to this address, over `https` or over `http`.
    pub fn allow(self, kind: WebhookKind, is_encrypted: bool, address: IpAddr) -> bool {
        match kind {
            WebhookKind::Organization => {
                (is_encrypted || self.allow_http) && (self.allow_private || is_public(address))
            }
            WebhookKind::Platform => {
                is_of_own_network(address) || (is_encrypted || self.allow_http) && is_public(address)
            }
        }
    }

    /// Whether deliveries of such a webhook may go to this URL. A host name can resolve to any address, and to another
    /// one later, so it must be resolved and checked for each delivery.
    ///
    /// # Errors
    ///
    /// Why not, as words for whoever chose the URL.
    pub fn check(self, kind: WebhookKind, url: &Url) -> Result<(), &'static str> {
        let is_encrypted = match (url.scheme(), kind) {
            ("https", _) => true,
            ("http", WebhookKind::Platform) => false,
            ("http", WebhookKind::Organization) if self.allow_http => false,
            (_, WebhookKind::Organization) => return Err("must begin with https://"),
            (_, WebhookKind::Platform) => return Err("must begin with https:// or http://"),
        };
        let allowed = match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => self.allow(kind, is_encrypted, address.into()),
            Some(Host::Ipv6(address)) => self.allow(kind, is_encrypted, address.into()),
            None => false,
        };
        match (allowed, kind, is_encrypted) {
            (true, _, _) => Ok(()),
            (false, WebhookKind::Organization, _) => Err(MUST_BE_PUBLIC),
            (false, WebhookKind::Platform, true) => {
                Err("must lead to a public address or into a private network, and to no link-local address")
            }
            (false, WebhookKind::Platform, false) => {
                Err("must lead into a private network, and to no link-local address; elsewhere, use https://")
            }
        }
    }

    /// Whether the name is this machine's, and may not lead there.
    fn forbids_name(self, kind: WebhookKind, name: &str) -> bool {
        // A name may end with the dot of the DNS's root.
        let name = name.trim_end_matches('.');
        let is_local = name == "localhost" || name.ends_with(".localhost");
        match kind {
            WebhookKind::Organization => is_local && !self.allow_private,
            WebhookKind::Platform => false,
        }
    }

    pub(super) fn parse(self, kind: WebhookKind, field: &str, text: &str) -> Result<Url, Refusal> {
        let text = text::line(field, text, limits::WEBHOOK_URL)?;
        let invalid = |message: &str| Refusal::new(Code::Invalid, field, message);
        let url = Url::parse(&text).map_err(|_| invalid("must be a URL such as https://example.org/hooks"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("may hold no user name or password: deliveries are signed instead"));
        }
        if url.fragment().is_some() {
            return Err(invalid("may hold no fragment (#…)"));
        }
        self.check(kind, &url).map_err(invalid)?;
        match url.domain() {
            Some(name) if self.forbids_name(kind, name) => Err(invalid(MUST_BE_PUBLIC)),
            Some(_) | None => Ok(url),
        }
    }
}

/// Whether an address belongs to a private network or to this machine, and isn't one at which clouds tell a machine its
/// secrets.
fn is_of_own_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_of_own_network_v4(address),
        IpAddr::V6(address) => match (address.to_ipv4_mapped(), address.segments()) {
            (Some(inner), _) => is_of_own_network_v4(inner),
            // The metadata of machines at Amazon, Google, Oracle and Scaleway.
            (None, [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] | [0xfd00, 0xc1, ..] | [0xfd00, 0x42, ..]) => false,
            (None, [first, ..]) => first & 0xfe00 == 0xfc00 || address.is_loopback(),
        },
    }
}

fn is_of_own_network_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // The metadata of machines at Alibaba.
        [100, 100, 100, 200] => false,
        [10 | 127, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => true,
        _ => false,
    }
}

/// Whether an address belongs to the public internet, and not to this machine, its network or a reserved range.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Follows IANA's registry of special-purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127 | 240..=255, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [172, 16..=31, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 168, ..]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        // The virtual machines' host at Azure.
        | [168, 63, 129, 16] => true,
        _ => address.is_multicast(),
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // NAT64 and 6to4 addresses lead to the IPv4 address that they contain.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        [0x2001, 0xdb8, ..] | [0x2001, 0..=0x1ff, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // No other range is assigned for the public internet.
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRICT: WebhookTargets = WebhookTargets { allow_http: false, allow_private: false };
    const OPEN: WebhookTargets = WebhookTargets { allow_http: true, allow_private: true };

    fn is_allowed(targets: WebhookTargets, kind: WebhookKind, url: &str) -> bool {
        targets.parse(kind, "url", url).is_ok()
    }

    #[test]
    fn targets_of_organizations_are_public_https() {
        for right in [
            "https://example.org",
            "https://example.org:8443/hooks?x=1",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1::1]/",
        ] {
            assert!(is_allowed(STRICT, WebhookKind::Organization, right), "{right}");
        }
        for wrong in [
            "",
            "example.org",
            "http://example.org",
            "ftp://example.org",
            "https://",
            "https://user@example.org",
            "https://user:password@example.org",
            "https://example.org/#x",
            "https://localhost",
            "https://localhost.",
            "https://a.localhost.",
            "https://127.0.0.1",
            "https://127.0.0.1.",
            "https://127.1",
            "https://0x7f.1",
            "https://2130706433",
            "https://10.1.2.3",
            "https://[::1]",
            "https://[::ffff:10.0.0.1]",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[fe80::1]",
            "https://[fd00::1]",
            "https://[64:ff9b::7f00:1]",
            "https://[2002:a00:1::]",
            "javascript:alert(1)",
        ] {
            assert!(!is_allowed(STRICT, WebhookKind::Organization, wrong), "{wrong}");
        }
        for right in ["http://127.0.0.1:9000/hook", "http://localhost/", "https://10.0.0.1"] {
            assert!(is_allowed(OPEN, WebhookKind::Organization, right), "{right}");
        }
    }

    #[test]
    fn targets_of_the_platform_may_be_in_its_own_network_but_hold_no_secrets_of_machines() {
        for right in [
            "https://example.org",
            "https://93.184.216.34/",
            "http://mirror.internal:8080/hook",
            "http://localhost:9000/",
            "http://127.0.0.1:9000/hook",
            "https://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://[::1]:9000/",
            "http://[fd12:3456::1]/",
            "https://[::ffff:10.0.0.1]",
        ] {
            assert!(is_allowed(STRICT, WebhookKind::Platform, right), "{right}");
        }
        for wrong in [
            "http://93.184.216.34/",
            "http://[2606:2800:220:1::1]/",
            "https://169.254.169.254/latest/meta-data",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://2852039166/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "https://[64:ff9b::7f00:1]",
            "ftp://10.0.0.1/",
            "http://user@10.0.0.1/",
            "http://10.0.0.1/#x",
        ] {
            for targets in [STRICT, WebhookTargets { allow_private: true, ..STRICT }] {
                assert!(!is_allowed(targets, WebhookKind::Platform, wrong), "{wrong}");
            }
        }
        assert!(is_allowed(OPEN, WebhookKind::Platform, "http://93.184.216.34/"));
        assert!(!is_allowed(OPEN, WebhookKind::Platform, "http://169.254.169.254/"));
    }

    proptest! {
        #[test]
        fn no_private_address_is_public(second in any::<u8>(), third in any::<u8>(), fourth in any::<u8>()) {
            let addresses = [[10, second, third, fourth], [127, second, third, fourth], [192, 168, third, fourth], [172, 16 + second % 16, third, fourth], [169, 254, third, fourth]];
            for address in addresses.map(Ipv4Addr::from) {
                prop_assert!(!is_public(address.into()));
                prop_assert!(!is_public(address.to_ipv6_mapped().into()));
            }
        }

        #[test]
        fn an_address_is_public_or_private_or_neither(address in any::<u32>()) {
            let address = IpAddr::from(Ipv4Addr::from(address));
            prop_assert!(!(is_public(address) && is_of_own_network(address)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = STRICT.parse(WebhookKind::Organization, "url", &text);
            let _ = STRICT.parse(WebhookKind::Platform, "url", &text);
        }
    }
}
