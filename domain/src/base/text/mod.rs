//! Parses texts from outside into their canonical form. Everything that people, programs, forms and headers send goes
//! through this module, and everything inside trusts the result.

pub mod hyperlink;
pub(crate) mod unicode;

pub(crate) use unicode::{digits, fold};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode::Stray;
use url::Url;

use crate::base::error::{Code, Refusal};
use crate::base::id::UserId;

/// Parses a required line of text, with at most `max` characters.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let composed = unicode::composed(text);
    // Names without any visible character couldn't be told apart.
    if unicode::is_blank(&composed) {
        return Err(Refusal::new(Code::Blank, field, "may not be empty"));
    }
    let line = unicode::trim(&composed);
    if line.chars().count() > max {
        return Err(Refusal::new(Code::TooLong, field, format!("must have at most {max} characters")));
    }
    match unicode::stray(line) {
        None => Ok(line.to_owned()),
        Some(Stray::Control(_)) => {
            Err(Refusal::new(Code::Invalid, field, "must be a single line without control characters"))
        }
        Some(Stray::Invisible(c)) => Err(invisible(field, c)),
    }
}

fn invisible(field: &str, c: char) -> Refusal {
    let message = format!(
        "holds U+{:04X}, which is invisible or turns the text around it; take it out, or type the text instead of pasting it",
        u32::from(c)
    );
    Refusal::new(Code::Invalid, field, message)
}

/// Parses an optional line of text. An empty one counts as none.
pub(crate) fn optional_line(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    text.filter(|text| !text.trim().is_empty()).map(|text| line(field, text, max)).transpose()
}

/// Parses a required name: a line without links, since strangers receive emails that contain it.
pub(crate) fn name(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let name = line(field, text, max)?;
    if hyperlink::is_in(&name) { Err(reads_as_link(field)) } else { Ok(name) }
}

/// Parses an optional name. An empty one counts as none.
pub(crate) fn optional_name(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    text.filter(|text| !text.trim().is_empty()).map(|text| name(field, text, max)).transpose()
}

/// Parses the required name of something that may be a file, so that `notes.zip` isn't taken for a host.
pub(crate) fn file_name(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let name = line(field, text, max)?;
    if hyperlink::is_in_file_name(&name) { Err(reads_as_link(field)) } else { Ok(name) }
}

fn reads_as_link(field: &str) -> Refusal {
    let message =
        "must not contain a link or an email address; leave it out, or put a space after a dot or colon between words";
    Refusal::new(Code::Invalid, field, message)
}

/// Parses an optional text of several lines. A text without visible characters counts as none.
pub(crate) fn optional_text(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(unicode::trim).filter(|text| !unicode::is_blank(text)) else { return Ok(None) };
    if text.chars().count() > max {
        return Err(Refusal::new(Code::TooLong, field, format!("must have at most {max} characters")));
    }
    let text = with_line_feeds(text);
    if text.chars().any(|c| c.is_control() && !is_layout(c)) {
        return Err(Refusal::new(Code::Invalid, field, "must not contain control characters"));
    }
    Ok(Some(settled_text(&text)))
}

/// Parses an optional message: a text without links, since strangers receive emails that contain it.
pub(crate) fn optional_message(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Refusal> {
    let message = optional_text(field, text, max)?;
    if message.as_deref().is_some_and(hyperlink::is_in) { Err(reads_as_link(field)) } else { Ok(message) }
}

/// Whether the character separates lines or columns.
fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

/// Converts all line endings that forms, operating systems and word processors use into line feeds.
fn with_line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n")
}

/// The canonical form of a line that is stored or comes from a header. Characters that would be refused are removed.
pub fn settled_line(text: &str) -> String {
    unicode::canonical(text, |_| false)
}

/// The canonical form of a text of several lines. Characters that would be refused are removed.
pub(crate) fn settled_text(text: &str) -> String {
    unicode::canonical(&with_line_feeds(text), is_layout)
}

/// The first `max` characters of a text, in the canonical form of a line.
pub(crate) fn cut(text: &str, max: usize) -> String {
    settled_line(&text.chars().take(max).collect::<String>())
}

/// Whether somebody typed this name as confirmation, in any form in which their keyboard may write it.
pub(crate) fn is_typed(typed: &str, name: &str) -> bool {
    settled_line(typed) == settled_line(name)
}

/// The text to search for, folded like names. `None` if nothing of it is left.
pub(crate) fn searched(search: Option<&str>) -> Option<String> {
    search.map(fold).filter(|search| !search.is_empty())
}

/// Whether a link is absolute wherever it is shown. `Url` also accepts `https:example.org`, which pages take for a
/// path.
fn is_absolute(link: &str) -> bool {
    let scheme = link.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

/// Parses an optional link. It must use http or https, since pages and emails show it.
pub(crate) fn optional_link(field: &str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(text) = optional_line(field, text, 2_000)? else { return Ok(None) };
    match Url::parse(&text) {
        // Links with other characters are stored in the ASCII form in which programs send them.
        Ok(url) if is_absolute(&text) && url.has_host() => Ok(Some(if text.is_ascii() { text } else { url.into() })),
        _ => Err(Refusal::new(Code::Invalid, field, "must be a link that begins with https:// or http://")),
    }
}

/// A duration in words, rounded up: "40 seconds", "12 minutes", "5 hours", "80 days".
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

/// A text for a lookup. PostgreSQL can't store a NUL character, so it is replaced by another control character. No
/// stored text contains that one either, so nothing is found.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{1}")
}

/// The ways in which people and programs write the @ of an address.
const AT_SIGNS: [&str; 10] =
    ["@", "\u{fe6b}", "\u{ff20}", "%40", "&#64;", "&#x40;", "&commat;", "(at)", "[at]", "{at}"];

/// Removes the email addresses that somebody has written into a text: every word that contains an @, in any of its
/// forms. Spaces around the @ are allowed if what follows looks like a host.
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

/// Removes the spaces around an @ that is followed by something that looks like a host.
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

/// A LIKE pattern that finds a text anywhere, taken literally.
pub(crate) fn like_pattern(text: &str) -> String {
    format!("%{}", like_beginning(text))
}

/// A LIKE pattern that finds what begins with a text, taken literally.
pub(crate) fn like_beginning(text: &str) -> String {
    format!("{}%", storable(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The value as text.
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

/// An email address in its canonical form, in which it is stored, shown and used. It is in lower case (R24). Its
/// domain has the form of the DNS (UTS 46: `xn--mnchen-3ya.example` for `münchen.example`), which every mail server
/// accepts, and in which no two domains look alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);
text_newtype!(EmailAddress);

impl fmt::Debug for EmailAddress {
    // Addresses must not appear in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

impl EmailAddress {
    /// Parses the address in the given field.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let text = line(field, text, ADDRESS)?;
        text.parse()
            .map_err(|()| Refusal::new(Code::Invalid, field, "must be an email address such as ada@example.org"))
    }

    /// The forms by which a search finds the address, one per line: as it is stored, and as people write it.
    pub(crate) fn folded(&self) -> String {
        let folded = fold(&self.0);
        match self.0.rsplit_once('@') {
            Some((local_part, domain)) if domain.contains("xn--") => {
                let (written, _) = Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow);
                format!("{folded}\n{}", fold(&format!("{local_part}@{written}")))
            }
            _ => folded,
        }
    }

    /// A name for a person of whom only the address is known: the part before the @, as words.
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
        let text = unicode::narrow(&unicode::composed(text));
        let (local_part, domain) = unicode::trim(&text).rsplit_once('@').ok_or(())?;
        if local_part.chars().any(unicode::is_unseen) || unicode::is_blank(local_part) {
            return Err(());
        }
        let local_part = unicode::composed(&local_part.to_lowercase());
        let domain = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| ())?;
        let options =
            email_address::Options::default().without_display_text().without_domain_literal().with_required_tld();
        let address = format!("{local_part}@{domain}");
        email_address::EmailAddress::parse_with_options(&address, options).map_err(|_| ())?;
        // Quoted local parts are valid but not in use, and could smuggle spaces and commas into headers.
        if address.contains(['"', ' ', ',', ';', '<', '>']) || address.chars().count() > ADDRESS {
            return Err(());
        }
        // Some mail programs would decode an encoded word in a header, and show another address. And no top-level
        // domain begins with a digit, while IP addresses in decimal and hexadecimal form end so.
        let is_number = |label: &str| label.starts_with(|first: char| first.is_ascii_digit());
        if local_part.contains("=?") || domain.rsplit('.').next().is_some_and(is_number) {
            return Err(());
        }
        Ok(Self(address))
    }
}

/// The maximum length of an address in characters.
const ADDRESS: usize = 254;

/// A username: 2 to 39 characters out of a–z, 0–9 and single hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Username(String);
text_newtype!(Username);

impl Username {
    /// Parses the username in the given field. Capital letters become small letters.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        name_like(field, text, "a username").map(Self)
    }

    /// The username of a deleted account. It contains a dot, so nobody can choose it.
    pub(crate) fn of_deleted(id: UserId) -> Self {
        Self(format!("deleted.{}", id.to_string().trim_start_matches("usr_")))
    }

    /// A username derived from a name, for an account that didn't choose one. `salt` makes it differ from others.
    pub(crate) fn derived(from: &str, salt: &str) -> Self {
        Self(derived(from, salt, "user"))
    }
}

/// An organization's short name for URLs. It has the same form as a username.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Slug(String);
text_newtype!(Slug);

impl Slug {
    /// Parses the slug in the given field. Capital letters become small letters.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        name_like(field, text, "a slug").map(Self)
    }

    /// A slug derived from a name, for an organization that wasn't given one. `salt` makes it differ from others.
    pub(crate) fn derived(from: &str, salt: &str) -> Self {
        Self(derived(from, salt, "organization"))
    }
}

fn name_like(field: &str, text: &str, what: &str) -> Result<String, Refusal> {
    let text = unicode::narrow(&line(field, text, 39)?).to_lowercase();
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
    let from = unicode::transliterated(from).to_lowercase();
    let plain: String = from.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let base = if words.is_empty() { fallback.to_owned() } else { words.join("-") };
    // The text is cut so that the salt fits. A hyphen at the cut would be doubled.
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

    // R24: an address is the same in whatever way it is written.
    #[test]
    fn addresses_have_one_form() {
        let address =
            |text: &str| EmailAddress::parse("email", text).map(|email| email.0).map_err(|refusal| refusal.code);
        for (written, stored) in [
            ("otto@münchen.example", "otto@xn--mnchen-3ya.example"),
            ("otto@mu\u{308}nchen.example", "otto@xn--mnchen-3ya.example"),
            ("Otto@MÜNCHEN.Example", "otto@xn--mnchen-3ya.example"),
            ("otto@XN--MNCHEN-3YA.example", "otto@xn--mnchen-3ya.example"),
            ("otto@faß.example", "otto@xn--fa-hia.example"),
            ("ｏｔｔｏ＠ｅｘａｍｐｌｅ．ｏｒｇ", "otto@example.org"),
            ("otto@example。org", "otto@example.org"),
            ("JOSE\u{301}@example.org", "josé@example.org"),
            ("josé@example.org", "josé@example.org"),
            ("अजय@डाटा.भारत", "अजय@xn--c2bd1gb.xn--h2brj9c"),
        ] {
            assert_eq!(address(written), Ok(stored.to_owned()), "{written:?}");
            assert_eq!(address(stored), Ok(stored.to_owned()), "{stored:?}");
        }
        for wrong in [
            "ot\u{200b}to@example.org",
            "otto@exam\u{ad}ple.org",
            "otto\u{202e}@example.org",
            "o\u{a0}tto@example.org",
            "o\u{2800}tto@example.org",
            "\u{301}@example.org",
            "می\u{200c}خواهم@example.org",
            "otto@xn--a.example",
            "otto@-example.org",
            "otto@ex_ample.org",
            "otto@example..org",
            "otto@example.org.",
            "otto@ex ample.org",
        ] {
            assert_eq!(address(wrong), Err(Code::Invalid), "{wrong:?}");
        }
        let münchen = EmailAddress("otto@xn--mnchen-3ya.example".to_owned());
        assert_eq!(münchen.folded(), "otto@xn--mnchen-3ya.example\notto@munchen.example");
    }

    #[test]
    fn texts_lose_what_has_no_business() {
        let text = |text: &str| optional_text("reason", Some(text), 50).map_err(|refusal| refusal.code);
        assert_eq!(text(" a\r\nb\u{2028}c\u{202e}\u{200b}d\te\u{308} "), Ok(Some("a\nb\ncd\të".to_owned())));
        assert_eq!(text("می\u{200c}خواهم 👩\u{200d}🔬"), Ok(Some("می\u{200c}خواهم 👩\u{200d}🔬".to_owned())));
        assert_eq!(text(" \u{2800}\n\u{200b}"), Ok(None));
        assert_eq!(text("a\u{7}b"), Err(Code::Invalid));
    }

    #[test]
    fn names_are_made_of_letters_of_every_script() {
        for (name, made) in [
            ("Ärzte ohne Grenzen", "arzte-ohne-grenzen"),
            ("Café", "cafe"),
            ("Cafe\u{301}", "cafe"),
            ("Łódź", "lodz"),
            ("Ørsted", "orsted"),
            ("Straße", "strasse"),
            ("Кириллица", "kirillitsa"),
            ("日本", "ri-ben"),
            ("…", "organization"),
        ] {
            assert_eq!(Slug::derived(name, "").as_str(), made, "{name}");
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
            ("a\u{200b}b", Code::Invalid),
            ("\u{2800}\u{3164}", Code::Blank),
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
        fn addresses_are_their_own_form(local_part in "[a-zA-Zäöü0-9.é]{1,10}", domain in "[a-zA-Zäßüé日0-9-]{1,10}") {
            if let Ok(address) = EmailAddress::parse("email", &format!("{local_part}@{domain}.example")) {
                prop_assert_eq!(EmailAddress::parse("email", address.as_str()), Ok(address.clone()));
                prop_assert!(address.0.rsplit_once('@').is_some_and(|(_, domain)| domain.is_ascii()));
            }
        }

        #[test]
        fn derived_names_are_valid(from in ".{0,60}", salt in "[a-z0-9]{0,10}") {
            let username = Username::derived(&from, &salt);
            prop_assert_eq!(Username::parse("username", username.as_str()), Ok(username));
        }
    }
}
