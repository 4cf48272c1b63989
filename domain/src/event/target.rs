//! The targets that webhooks may have: only addresses of the public internet, unless the deployment allows others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::base::error::{Code, Refusal, Result};
use crate::base::{limits, text};
use crate::database::deployment::WebhookTargets;

impl WebhookTargets {
    /// Whether deliveries may go to this address.
    pub fn allow(self, address: IpAddr) -> bool {
        self.allow_private || is_public(address)
    }

    pub(super) fn parse(self, field: &str, text: &str) -> Result<Url, Refusal> {
        let text = text::line(field, text, limits::WEBHOOK_URL)?;
        let invalid = |message: &str| Refusal::new(Code::Invalid, field, message);
        let url = Url::parse(&text).map_err(|_| invalid("must be a URL such as https://example.org/hooks"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(invalid("must begin with https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("may hold no user name or password: deliveries are signed instead"));
        }
        if url.fragment().is_some() {
            return Err(invalid("may hold no fragment (#…)"));
        }
        // A host name can resolve to any address, and to another one later. Therefore it is resolved and checked for
        // each delivery.
        let allowed = match url.host() {
            Some(Host::Domain(name)) => {
                // A name may end with the dot of the DNS's root.
                let name = name.trim_end_matches('.');
                self.allow_private || !(name == "localhost" || name.ends_with(".localhost"))
            }
            Some(Host::Ipv4(address)) => self.allow(address.into()),
            Some(Host::Ipv6(address)) => self.allow(address.into()),
            None => false,
        };
        if allowed { Ok(url) } else { Err(invalid("must lead to a public address")) }
    }
}

/// Whether an address belongs to the public internet, and not to this machine, its network or a reserved range.
pub(super) fn is_public(address: IpAddr) -> bool {
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
        | [203, 0, 113, _] => true,
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

    #[test]
    fn targets_are_public_https() {
        for right in [
            "https://example.org",
            "https://example.org:8443/hooks?x=1",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1::1]/",
        ] {
            assert!(STRICT.parse("url", right).is_ok(), "{right}");
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
            assert!(STRICT.parse("url", wrong).is_err(), "{wrong}");
        }
        let open = WebhookTargets { allow_http: true, allow_private: true };
        for right in ["http://127.0.0.1:9000/hook", "http://localhost/", "https://10.0.0.1"] {
            assert!(open.parse("url", right).is_ok(), "{right}");
        }
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
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = STRICT.parse("url", &text);
        }
    }
}
