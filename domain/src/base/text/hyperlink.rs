//! Recognizes what mail programs and browsers may take for a link.
//!
//! Names are part of emails that strangers receive. A name that contains a link would turn such an email into an
//! advertisement or a trap, sent by Rollcall itself. Therefore nobody can choose such a name. Names that were stored
//! before this rule are shown in such a way that nothing in them can be clicked.
//!
//! A text contains a link if it contains one of the following:
//! - a scheme: `://` anywhere, or a word such as `skype:` that is directly followed by something, whatever program may
//!   handle it;
//! - `www.` at the beginning of a word, or a network path (`\\\\server\\share`, `//server`);
//! - a host with a path: `claim.example/x`, `claim.example:8080`, `claim.example?x`, whether or not such a top-level
//!   domain exists;
//! - a host alone, if its last label is a top-level domain in the eyes of programs that look for links:
//!   `claim.example`, `клейм.рф`. An email address contains one;
//! - an IPv4 address: four numbers below 256, or one of the other forms that browsers accept.
//!
//! Full-width letters and dots count as the characters that browsers convert them to, and invisible characters are
//! ignored. So `St. John's Lab`, `Dr. No`, `Node.js Foundation`, `J.R.R. Tolkien`, `ada.lovelace`, `Lab A: Physics`,
//! `Team 3:1` and `v1.2.3.4` are valid names. `M.Sc` and `GmbH & Co.KG` need a space after the dot, since `.sc` and
//! `.kg` are countries, and `Re:Start` needs one after the colon.

use std::collections::HashSet;
use std::sync::LazyLock;

use icu_properties::props::{BinaryProperty as _, ExtendedPictographic};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::base::text::unicode::is_invisible;

/// Every top-level domain in IANA's list, in the script that people read, and the names that standards reserve. A
/// domain that was added after this list was made still counts as a link if a path follows.
static TOP_LEVEL_DOMAINS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("top_level_domains.txt").lines().collect());

/// The schemes that also count as links in names of files, where `chr1:1000` and `sample:12` are ordinary names.
/// Nothing other than a link begins with one of these.
const SCHEMES: [&str; 14] = [
    "http:",
    "https:",
    "ftp:",
    "mailto:",
    "tel:",
    "sms:",
    "javascript:",
    "facetime:",
    "skype:",
    "whatsapp:",
    "magnet:",
    "bitcoin:",
    "intent:",
    "vbscript:",
];

/// Whether a text contains a link.
pub fn is_in(text: &str) -> bool {
    let plain = plain(text);
    holds_scheme(&plain)
        || holds_any_scheme(&plain)
        || holds_network_path(&plain)
        || hosts(&plain).any(|host| host.leads_somewhere() || host.is_registered() || host.is_ipv4())
}

/// Whether a text contains a link other than a host alone, since names of files look like hosts (`notes.zip`,
/// `main.rs`).
pub(crate) fn is_in_file_name(text: &str) -> bool {
    let plain = plain(text);
    holds_scheme(&plain) || hosts(&plain).any(|host| host.begins_with_www() || host.has_path && host.is_registered())
}

/// Removes invisible characters, and converts characters as browsers do in hosts.
fn plain(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    let folded = visible.nfkc().map(|c| match c {
        '\u{3002}' | '\u{fe12}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{2236}' | '\u{a789}' | '\u{2d0}' => ':',
        c => c,
    });
    folded.flat_map(char::to_lowercase).collect()
}

fn holds_scheme(plain: &str) -> bool {
    let mut words = plain.split(|c: char| !(c.is_alphanumeric() || matches!(c, ':' | '+' | '/' | '\\')));
    plain.contains("://")
        || words.any(|word| SCHEMES.iter().any(|scheme| word.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())))
}

/// Whether a word such as `zoommtg:` is directly followed by something that a program could open. `Bio::Perl` and
/// `A:B` don't count.
fn holds_any_scheme(plain: &str) -> bool {
    plain.match_indices(':').any(|(at, _)| {
        let (before, behind) = (plain.get(..at).unwrap_or_default(), plain.get(at + 1..).unwrap_or_default());
        let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let word = before.rsplit(|c| !is_of_scheme(c)).next().unwrap_or_default();
        let word = word.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let is_given = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '\\' | '?' | '#' | '+' | '%' | ',');
        word.len() > 1 && behind.starts_with(is_given)
    })
}

/// Whether a word begins like a network path: `\\\\server\\share`, `//server/share`.
fn holds_network_path(plain: &str) -> bool {
    let mut words =
        plain.split(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '<' | '"' | '\'' | ',' | ';'));
    words.any(|word| {
        let path = word.strip_prefix("\\\\").or_else(|| word.strip_prefix("//"));
        path.is_some_and(|path| path.starts_with(char::is_alphanumeric))
    })
}

/// Labels with dots between them, and whether a path or a port follows.
struct Host<'a> {
    labels: Vec<&'a str>,
    has_path: bool,
}

impl Host<'_> {
    fn last(&self) -> &str {
        self.labels.last().copied().unwrap_or_default()
    }

    fn begins_with_www(&self) -> bool {
        self.labels.len() > 1 && self.labels.first() == Some(&"www")
    }

    /// Whether it is recognizable as a host, even if its top-level domain isn't known.
    fn leads_somewhere(&self) -> bool {
        let is_name = self.last().chars().all(|c| !c.is_numeric()) && self.last().chars().count() >= 2;
        self.begins_with_www() || self.has_path && (self.labels.len() > 1 && is_name || self.is_registered())
    }

    /// Whether browsers take it for an IPv4 address: one in the usual form, one with hexadecimal numbers, or, if a
    /// path follows, a single number that is too large for anything else.
    fn is_ipv4(&self) -> bool {
        let is_hexadecimal =
            |label: &str| label.strip_prefix("0x").is_some_and(|digits| u32::from_str_radix(digits, 16).is_ok());
        match *self.labels.as_slice() {
            [number] => {
                self.has_path && (is_hexadecimal(number) || number.parse::<u32>().is_ok_and(|number| number >= 1 << 24))
            }
            ref labels => {
                let is_number = |label: &&str| label.parse::<u32>().is_ok() || is_hexadecimal(label);
                let is_dotted = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
                is_dotted
                    || labels.iter().any(|label| is_hexadecimal(label))
                        && labels.len() <= 4
                        && labels.iter().all(is_number)
            }
        }
    }

    fn is_registered(&self) -> bool {
        // Readers ignore a diacritic on a letter.
        let bare: String = self.last().chars().filter(|c| !is_combining_mark(*c)).collect();
        let is_top_level = TOP_LEVEL_DOMAINS.contains(self.last()) || TOP_LEVEL_DOMAINS.contains(bare.as_str());
        self.labels.len() > 1 && (self.last().starts_with("xn--") || is_top_level)
    }
}

fn hosts(plain: &str) -> impl Iterator<Item = Host<'_>> {
    let is_of_host = |c: char| {
        // Hosts can contain emoji.
        let is_sign = !c.is_ascii() && ExtendedPictographic::for_char(c);
        c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || is_combining_mark(c) || is_sign
    };
    let mut rest = plain;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| !is_of_host(c));
        if rest.is_empty() {
            return None;
        }
        let (run, behind) = rest.split_at(rest.find(|c| !is_of_host(c)).unwrap_or(rest.len()));
        rest = behind;
        let mut following = behind.chars();
        let has_path = match following.next() {
            Some('/' | '?' | '#' | '\\') => true,
            Some(':') => following.next().is_some_and(|c| c.is_ascii_digit()),
            _ => false,
        };
        let labels = run.split('.').map(|label| label.trim_matches(['-', '_'])).filter(|label| !label.is_empty());
        Some(Host { labels: labels.collect(), has_path })
    })
    .filter(|host| !host.labels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_however_they_are_written() {
        for link in [
            "You won! Claim at https://claim.example/x",
            "HTTPS://CLAIM.EXAMPLE",
            "hxxps://claim",
            "myapp://open",
            "www.claim.example",
            "(WWW.claim)",
            "claim.example/x",
            "Claim at claim.example/x now",
            "claim.nosuchtld/x",
            "claim.example:8080",
            "claim.example?you=won",
            "203.0.113.7/x",
            "claim.example",
            "Visit claim-prize.com!",
            "→prize.win←",
            "claim.рф",
            "клейм.рф",
            "xn--80ak6aa92e.xn--p1ai",
            "x.xn--unheard-of",
            "ｃｌａｉｍ．ｅｘａｍｐｌｅ",
            "claim。com",
            "claim｡com",
            "claim․com",
            "𝐜𝐥𝐚𝐢𝐦.𝐜𝐨𝐦",
            "cla\u{200b}im.c\u{ad}om",
            "claim.com\u{2060}/x",
            "claim.example.",
            "ada@claim.com",
            "mailto:ada",
            "javascript:alert(1)",
            "//claim.com/x",
            "//claim",
            "\\\\claim\\share",
            "Claim at 💰.com",
            "x💰.to/a",
            "claim.com\u{338}",
            "https：／／claim",
            "இது.சிங்கப்பூர்",
            "Claim 203.0.113.7 now",
            "203.0.113.7",
            "２０３．０．１１３．７",
            "0x7f.0.0.1",
            "0xcb.1",
            "3405803777/x",
            "0xCB007107/x",
            "skype:abc?call",
            "Skype:abc",
            "facetime:123",
            "bitcoin:1abc",
            "magnet:?xt=1",
            "data:text/html,x",
            "whatsapp:send",
            "view-source:x",
            "zoommtg:x",
            "(tg:resolve)",
            "ms-word:ofe",
            "intent:#Intent;end",
            "call é𝐬𝐤𝐲𝐩𝐞:abc",
        ] {
            assert!(is_in(link), "{link:?}");
        }
    }

    #[test]
    fn names_are_no_links() {
        for name in [
            "St. John's Lab",
            "St.John's",
            "Dr. No",
            "Node.js Foundation",
            "Ada Lovelace",
            "ada.lovelace",
            "J.R.R. Tolkien",
            "M.Curie",
            "Ph.D. students",
            "Acme, Inc.",
            "U.S. Geological Survey",
            "Yahoo! Inc.",
            "AT&T",
            "and/or",
            "24/7 Labs",
            "Version 2.0",
            "Lab: Genomics",
            "Project: 7",
            "3.14",
            "日本語。研究所",
            "R&D @ Acme",
            "Смирнов А.Б.",
            "...",
            "",
            "Dept. of A.I./Robotics",
            "Lab A: Physics",
            "Team 3:1",
            "Ratio A:B",
            "10:30 Group",
            "v1.2.3.4",
            "Version 1.2.3",
            "1.2.3.4.5",
            "256.0.0.1",
            "Bio::Perl",
            "ABC：研究所",
            "研究所:ABC",
            "Note:)",
            "2024/2025",
            "0x7f",
        ] {
            assert!(!is_in(name), "{name:?}");
        }
    }

    #[test]
    fn files_may_be_named_like_hosts() {
        for name in [
            "notes.zip",
            "main.rs",
            "reads.fastq.gz",
            "protocol.md",
            "run.sh: 7",
            "reads/1.fastq",
            "hg38.fa",
            "chr1:1000-2000",
            "tool 1.2.3.4",
        ] {
            assert!(!is_in_file_name(name), "{name:?}");
        }
        for link in [
            "Claim at https://claim.example",
            "www.claim.example",
            "claim.com/x",
            "s3://bucket/run.sh",
            "skype:abc?call",
        ] {
            assert!(is_in_file_name(link), "{link:?}");
        }
    }
}
