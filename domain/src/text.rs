//! Values from outside, parsed at the border and trusted inside.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use url::Url;

use crate::error::{Code, Refusal};
use crate::hyperlink;
use crate::id::UserId;

/// Characters that a line of text may not hold: controls, and those that turn or hide what follows.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A required line of text without surrounding space, of at most `max` characters.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    // Names made of nothing visible can't be told apart.
    if text.chars().all(|c| {
        c.is_whitespace()
            || is_unprintable(c)
            || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{3164}' | '\u{00ad}')
    }) {
        return Err(Refusal::new(Code::Blank, field, "may not be empty"));
    }
    if text.chars().count() > max {
        return Err(Refusal::new(Code::TooLong, field, format!("must have at most {max} characters")));
    }
    if text.chars().any(is_unprintable) {
        return Err(Refusal::new(Code::Invalid, field, "must be a single line without control characters"));
    }
    Ok(text.to_owned())
}

/// An optional line of text; empty means none.
pub(crate) fn optional_line(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    text.filter(|text| !text.trim().is_empty()).map(|text| line(field, text, max)).transpose()
}

/// A required name: a line that holds no link, since strangers receive mails with it.
pub(crate) fn name(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let name = line(field, text, max)?;
    if hyperlink::is_in(&name) { Err(reads_as_link(field)) } else { Ok(name) }
}

/// An optional name; empty means none.
pub(crate) fn optional_name(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    text.filter(|text| !text.trim().is_empty()).map(|text| name(field, text, max)).transpose()
}

/// The required name of something that may be a file: `notes.zip` is one, and no host.
pub(crate) fn file_name(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let name = line(field, text, max)?;
    if hyperlink::is_in_file_name(&name) { Err(reads_as_link(field)) } else { Ok(name) }
}

fn reads_as_link(field: &str) -> Refusal {
    let message =
        "must not hold a link or an e-mail address; leave it out, or put a space after a dot or colon between words";
    Refusal::new(Code::Invalid, field, message)
}

/// An optional text of several lines; empty means none.
pub(crate) fn optional_text(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > max {
        return Err(Refusal::new(Code::TooLong, field, format!("must have at most {max} characters")));
    }
    if text.chars().any(|c| is_unprintable(c) && c != '\n' && c != '\r' && c != '\t') {
        return Err(Refusal::new(Code::Invalid, field, "must not contain control characters"));
    }
    Ok(Some(text.to_owned()))
}

/// Whether a link is one wherever it is shown: `Url` takes `https:example.org` too, which pages take for a path.
fn is_absolute(link: &str) -> bool {
    let scheme = link.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

/// An optional link; http or https only, since pages and mails show it.
pub(crate) fn optional_link(field: &str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(text) = optional_line(field, text, 2_000)? else { return Ok(None) };
    match Url::parse(&text) {
        Ok(url) if is_absolute(&text) && url.has_host() => Ok(Some(text)),
        _ => Err(Refusal::new(Code::Invalid, field, "must be a link that begins with https:// or http://")),
    }
}

/// How long something takes, rounded up: "40 seconds", "12 minutes", "5 hours", "80 days".
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let (number, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5_400 => (seconds.div_ceil(60), "minute"),
        5_401..=172_800 => (seconds.div_ceil(3_600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// A text with which something is looked up. PostgreSQL can't store a NUL character: another control character, which nothing that is
/// looked up holds either, stands for it, and finds nothing.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{1}")
}

/// Ways in which people and programs write the @ of an address.
const AT_SIGNS: [&str; 10] =
    ["@", "\u{fe6b}", "\u{ff20}", "%40", "&#64;", "&#x40;", "&commat;", "(at)", "[at]", "{at}"];

/// Without the e-mail addresses that somebody has written into it: whatever word has an @ within, however that is written, and with
/// spaces around it where what follows is like a host.
pub fn without_addresses(text: &str) -> String {
    let is_edge: fn(char) -> bool = |c| {
        matches!(
            c,
            '<' | '>'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '"'
                | '\''
                | '“'
                | '”'
                | '‘'
                | '’'
                | ','
                | ';'
                | '.'
                | ':'
                | '!'
                | '?'
        )
    };
    let closed_up = closed_up(text, is_edge);
    let mask = |piece: &str| {
        let word = piece.trim_end();
        let core = word.trim_matches(is_edge);
        let plain = AT_SIGNS.iter().fold(core.to_ascii_lowercase(), |plain, sign| plain.replace(sign, "@"));
        if plain.trim_matches('@').contains('@') { piece.replacen(core, "[address]", 1) } else { piece.to_owned() }
    };
    closed_up.split_inclusive(char::is_whitespace).map(mask).collect()
}

/// Without the spaces around an @ behind which something like a host stands.
fn closed_up(text: &str, is_edge: fn(char) -> bool) -> String {
    let lower = text.to_ascii_lowercase();
    let mut closed = String::new();
    let mut from = 0;
    let signs = AT_SIGNS.iter().flat_map(|sign| lower.match_indices(sign));
    for (at, sign) in signs.collect::<BTreeMap<_, _>>() {
        let before = text.get(from..at).unwrap_or_default();
        let behind = text.get(at + sign.len()..).unwrap_or_default();
        let following = behind.trim_start();
        let word = following.split(char::is_whitespace).next().unwrap_or_default();
        let is_host = word.trim_matches(is_edge).trim_matches('.').contains('.');
        closed.push_str(if is_host { before.trim_end() } else { before });
        closed.push_str(text.get(at..at + sign.len()).unwrap_or_default());
        from = at + sign.len() + if is_host { behind.len() - following.len() } else { 0 };
    }
    closed + text.get(from..).unwrap_or_default()
}

/// The pattern that finds a text anywhere, taken literally.
pub(crate) fn like_pattern(text: &str) -> String {
    format!("%{}", like_beginning(text))
}

/// The pattern that finds what begins with a text, taken literally.
pub(crate) fn like_beginning(text: &str) -> String {
    format!("{}%", storable(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text inside.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl diesel::serialize::ToSql<Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <str as diesel::serialize::ToSql<Text, diesel::pg::Pg>>::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<Text, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <String as diesel::deserialize::FromSql<Text, diesel::pg::Pg>>::from_sql(bytes).map(Self)
            }
        }
    };
}

/// An e-mail address, in lower case: addresses compare without case (R24).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);
text_newtype!(EmailAddress);

impl fmt::Debug for EmailAddress {
    // Addresses stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

impl EmailAddress {
    /// Parses an address of the field named.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let text = line(field, text, 254)?;
        text.parse()
            .map_err(|()| Refusal::new(Code::Invalid, field, "must be an e-mail address such as ada@example.org"))
    }

    /// A name for a person of whom nothing else is known: what stands before the @, as words.
    pub(crate) fn as_name(&self) -> String {
        let local_part = self.0.split('@').next().unwrap_or_default();
        let name = local_part.replace('.', " ");
        if !hyperlink::is_in(&name) {
            return name;
        }
        local_part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for EmailAddress {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let options =
            email_address::Options::default().without_display_text().without_domain_literal().with_required_tld();
        let address = email_address::EmailAddress::parse_with_options(text.trim(), options).map_err(|_| ())?;
        // Quoted local parts are legal, unused, and a way to smuggle spaces and commas into headers.
        if address.as_str().contains(['"', ' ', ',', ';', '<', '>']) {
            return Err(());
        }
        Ok(Self(address.as_str().to_lowercase()))
    }
}

/// A username: 2 to 39 of a–z, 0–9 and single hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Username(String);
text_newtype!(Username);

impl Username {
    /// Parses a username of the field named; capitals become small letters.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        name_like(field, text, "a username").map(Self)
    }

    /// The username of a deleted account: nobody can choose it, for its dot.
    pub(crate) fn of_deleted(id: UserId) -> Self {
        Self(format!("deleted.{}", id.to_string().trim_start_matches("usr_")))
    }

    /// A username made of a name, for an account that chose none; `salt` makes it unlike others.
    pub(crate) fn derived(from: &str, salt: &str) -> Self {
        Self(derived(from, salt, "user"))
    }
}

/// An organization's short name for addresses, of the same form as a username.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Slug(String);
text_newtype!(Slug);

impl Slug {
    /// Parses a slug of the field named; capitals become small letters.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        name_like(field, text, "a slug").map(Self)
    }

    /// A slug made of a name, for an organization that was given none; `salt` makes it unlike others.
    pub(crate) fn derived(from: &str, salt: &str) -> Self {
        Self(derived(from, salt, "organization"))
    }
}

fn name_like(field: &str, text: &str, what: &str) -> Result<String, Refusal> {
    let text = line(field, text, 39)?.to_lowercase();
    let parts_are_plain = text
        .split('-')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    if text.len() < 2 || !parts_are_plain {
        return Err(Refusal::new(
            Code::Invalid,
            field,
            format!("must be {what}: 2 to 39 of a–z, 0–9 and single hyphens between them"),
        ));
    }
    Ok(text)
}

fn derived(from: &str, salt: &str, fallback: &str) -> String {
    let plain: String = from.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let base = if words.is_empty() { fallback.to_owned() } else { words.join("-") };
    // Cut so that the salt fits; a hyphen at the cut would double.
    let base: String = base.chars().take(39 - 1 - salt.len().min(20)).collect();
    let base = base.trim_end_matches('-');
    if salt.is_empty() && base.len() >= 2 {
        base.to_owned()
    } else {
        format!("{base}-{}", if salt.is_empty() { "0" } else { salt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_parsed_strictly_and_without_case() {
        assert_eq!(
            EmailAddress::parse("email", " Ada@Example.ORG ").map(|email| email.0),
            Ok("ada@example.org".to_owned())
        );
        for wrong in [
            "",
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "a b@example.org",
            "Ada <ada@example.org>",
            "a@b@c.org",
            "ada@example.org\nBcc: eve@example.org",
            "\"a b\"@example.org",
            "ada@[127.0.0.1]",
        ] {
            assert!(EmailAddress::parse("email", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lines_hold_no_controls() {
        assert_eq!(line("name", "  Ada  ", 10), Ok("Ada".to_owned()));
        for (wrong, code) in [
            (" ", Code::Blank),
            ("\u{200b}", Code::Blank),
            ("a\nb", Code::Invalid),
            ("a\u{202e}b", Code::Invalid),
            ("abcdef", Code::TooLong),
        ] {
            assert_eq!(line("name", wrong, 5).map_err(|refusal| refusal.code), Err(code), "{wrong:?}");
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        for (millis, words) in [
            (1, "1 second"),
            (40_000, "40 seconds"),
            (90_001, "2 minutes"),
            (3_600_000, "60 minutes"),
            (5_400_001, "2 hours"),
            (86_400_000, "24 hours"),
            (172_800_001, "3 days"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn addresses_are_masked() {
        for (text, masked) in [
            ("Moved to ada@example.org, she says", "Moved to [address], she says"),
            ("Ada <ADA.L+x@Example.org>.\nBye", "Ada <[address]>.\nBye"),
            ("mailto:ada@example.org?subject=x", "[address]"),
            ("(грейс@пример.рф)", "([address])"),
            ("ada＠example．org", "[address]"),
            ("ada%40example.org", "[address]"),
            ("a@b.c,d@e.f g", "[address] g"),
            ("\"ada\"@example.org", "\"[address]"),
            ("ada&#64;example.org", "[address]"),
            ("ada &#X40; example.org!", "[address]!"),
            ("He is ada @ example.org now", "He is [address] now"),
            ("ada@ example.org, ada  @example.org", "[address], [address]"),
            ("ada(at)example.org or ada [at] example.org.", "[address] or [address]."),
            ("ask @ada at 5 @ noon", "ask @ada at 5 @ noon"),
            ("at 50%40 (at) home. Bye", "at 50%40 (at) home. Bye"),
            ("no address", "no address"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(text), masked);
        }
    }

    #[test]
    fn nobody_can_choose_a_deleted_accounts_username() {
        let deleted = Username::of_deleted(UserId::new());
        assert!(Username::parse("username", deleted.as_str()).is_err());
    }

    #[test]
    fn links_are_http_only() {
        assert!(optional_link("website", Some("https://example.org/a")).is_ok());
        for wrong in ["javascript:alert(1)", "ftp://example.org", "example.org", "https://", "data:text/html,x"] {
            assert!(optional_link("website", Some(wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn derived_names_are_valid(from in ".{0,60}", salt in "[a-z0-9]{0,10}") {
            let username = Username::derived(&from, &salt);
            prop_assert_eq!(Username::parse("username", username.as_str()), Ok(username));
        }
    }
}
