//! The canonical form of texts from outside, by Unicode's properties: what is stored, what is compared, and which
//! characters aren't allowed.
//!
//! - [`canonical`] is Normalization Form C without invisible characters that have no function where they are. Joiners
//!   and variation selectors stay where scripts and emoji need them.
//! - [`fold`] is the form in which names are searched and compared: without case, marks, width and invisible
//!   characters. The database never folds, since its idea of a letter depends on its locale.
//! - [`digits`] reads the digits of any script.

use icu_casemap::CaseMapper;
use icu_properties::props::{
    BidiControl, BinaryProperty, CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, EnumeratedProperty,
    ExtendedPictographic, GeneralCategory, JoiningType, NoncharacterCodePoint, Script, UnifiedIdeograph, WhiteSpace,
};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The version of these forms. It must be raised whenever [`fold`] or [`canonical`] gives other results than before,
/// even if only because of another version of Unicode. `rollcall migrate` then converts what is stored.
pub(crate) const VERSION: i32 = 1;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const BLACK_FLAG: char = '\u{1f3f4}';

/// A character that isn't allowed in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// A control character, or one that ends a line.
    Control(char),
    /// An invisible character, or one that changes the direction of the text around it.
    Invisible(char),
}

/// Symbols that are assigned, but blank.
fn is_blank_symbol(c: char) -> bool {
    // The Braille blank, the musical symbol for no notehead, and the object replacement character.
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{fffc}')
}

/// Whether a character is invisible by itself, or changes the direction of the text around it.
pub(crate) fn is_invisible(c: char) -> bool {
    DefaultIgnorableCodePoint::for_char(c)
        || BidiControl::for_char(c)
        // The marks of interlinear annotations.
        || matches!(c, '\u{fff9}'..='\u{fffb}')
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || NoncharacterCodePoint::for_char(c)
}

/// Whether no character of the text can be seen: it has only spaces, marks without a letter, and blank or ignorable
/// characters.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        WhiteSpace::for_char(c)
            || is_control(c)
            || is_invisible(c)
            || is_blank_symbol(c)
            || is_combining_mark(c)
            || GeneralCategory::for_char(c) == GeneralCategory::Format
    })
}

/// Whether a character can't be seen when it stands alone. Addresses can't contain such characters.
pub(super) fn is_unseen(c: char) -> bool {
    is_space(c) || is_control(c) || is_invisible(c)
}

/// Converts the full-width letters, digits and signs that East Asian keyboards write into ASCII.
pub(super) fn narrow(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    text.chars().map(narrow).collect()
}

/// Whether the character is a space, or looks like one, so that it is trimmed.
fn is_space(c: char) -> bool {
    WhiteSpace::for_char(c) || is_blank_symbol(c)
}

/// Removes everything that looks like a space from both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The text in Normalization Form C.
pub(super) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Finds the first character of a composed line that isn't allowed where it is.
pub(super) fn stray(text: &str) -> Option<Stray> {
    let chars: Vec<char> = text.chars().collect();
    chars.iter().enumerate().find_map(|(position, c)| match *c {
        c if is_control(c) => Some(Stray::Control(c)),
        c if is_invisible(c) && !has_business(&chars, position) => Some(Stray::Invisible(c)),
        _ => None,
    })
}

/// The canonical form of any text: composed, and without characters that would be refused. `keep` decides which
/// control characters stay.
pub(super) fn canonical(text: &str, keep: fn(char) -> bool) -> String {
    let mut text = composed(text);
    // Removing a character may join others, or let them compose, so this is repeated.
    loop {
        let chars: Vec<char> = text.chars().collect();
        let kept = chars.iter().enumerate().filter(|(position, c)| {
            let goes = is_control(**c) && !keep(**c) || is_invisible(**c) && !has_business(&chars, *position);
            !goes
        });
        let next = composed(&kept.map(|(_, c)| *c).collect::<String>());
        let next = trim(&next).to_owned();
        if next == text {
            return next;
        }
        text = next;
    }
}

/// Whether an invisible character changes how the text looks where it is: joiners in scripts whose letters join and in
/// emoji, variation selectors after a character with variants, and tags after the flag that they modify.
fn has_business(chars: &[char], position: usize) -> bool {
    let at = |position: usize| chars.get(position).copied();
    let Some(c) = at(position) else { return false };
    let Some(before) = position.checked_sub(1).and_then(at) else { return false };
    let after = at(position + 1);
    match c {
        ZERO_WIDTH_JOINER if is_in_emoji(chars, position) => true,
        ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER => {
            let is_virama = |c: char| CanonicalCombiningClass::for_char(c) == CanonicalCombiningClass::Virama;
            let joins = |c: char| {
                matches!(
                    JoiningType::for_char(c),
                    JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining
                )
            };
            // Marks can be on letters that join.
            let letter = chars.get(..position).and_then(|before| before.iter().rfind(|c| !is_combining_mark(**c)));
            is_virama(before)
                || after.is_some_and(is_virama)
                || !is_invisible(before) && letter.is_some_and(|c| joins(*c))
        }
        TEXT_STYLE | EMOJI_STYLE => {
            ExtendedPictographic::for_char(before) || matches!(before, '0'..='9' | '#' | '*') && after == Some(KEYCAP)
        }
        '\u{fe00}'..='\u{fe02}' => {
            UnifiedIdeograph::for_char(before) || matches!(Script::for_char(before), Script::Myanmar | Script::PhagsPa)
        }
        '\u{e0100}'..='\u{e01ef}' => UnifiedIdeograph::for_char(before),
        '\u{180b}'..='\u{180f}' => Script::for_char(before) == Script::Mongolian && !is_invisible(before),
        '\u{e0020}'..='\u{e007f}' => is_tag_of_flag(chars, position),
        _ => false,
    }
}

/// Whether a joiner is between two pictographs, of which the first may have a style or a colour.
fn is_in_emoji(chars: &[char], position: usize) -> bool {
    let mut before = chars.get(..position).unwrap_or_default().iter().rev().copied();
    let picture = before.find(|c| *c != EMOJI_STYLE && !EmojiModifier::for_char(*c));
    let after = chars.get(position + 1).copied();
    picture.is_some_and(ExtendedPictographic::for_char) && after.is_some_and(ExtendedPictographic::for_char)
}

/// Whether a tag belongs to a flag such as Scotland's: a black flag, tags, and a closing tag.
fn is_tag_of_flag(chars: &[char], position: usize) -> bool {
    let is_tag = |c: &char| matches!(c, '\u{e0020}'..='\u{e007e}');
    let before = chars.get(..position).unwrap_or_default();
    let flag = before.iter().rposition(|c| !is_tag(c));
    let Some(flag) = flag.filter(|flag| before.get(*flag) == Some(&BLACK_FLAG)) else { return false };
    let mut tags = chars.get(flag + 1..).unwrap_or_default().iter().skip_while(|c| is_tag(c));
    // There must be at least one tag, and the closing one.
    chars.get(flag + 1).is_some_and(is_tag) && tags.next() == Some(&'\u{e007f}')
}

/// The form in which names are searched, and in which unique names must differ. Two names that look alike have the
/// same form, and so do `Zoë` and `zoe`, or `Straße` and `STRASSE`.
pub(crate) fn fold(text: &str) -> String {
    let plain: String = text.nfkd().filter(|c| !is_left_out(*c)).collect();
    let plain = CaseMapper::new().fold_string(&plain).nfkd().filter(|c| !is_left_out(*c)).collect::<String>();
    let mut folded = String::with_capacity(plain.len());
    for c in plain.nfc() {
        match c {
            c if c.is_ascii() && !WhiteSpace::for_char(c) => folded.push(c),
            c if is_space(c) => {
                if !folded.is_empty() && !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            '\u{2212}' => folded.push('-'),
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bb}' | '\u{2bc}' | '\u{2032}' => folded.push('\''),
            c if GeneralCategory::for_char(c) == GeneralCategory::DashPunctuation => folded.push('-'),
            // Latin letters with strokes, and ligatures: ø, ł, đ, ı, æ.
            c if Script::for_char(c) == Script::Latin => {
                folded.push_str(&deunicode::deunicode_char(c).map_or_else(|| c.to_string(), str::to_lowercase));
            }
            c => folded.push(c),
        }
    }
    folded.truncate(folded.trim_end_matches(' ').len());
    folded
}

/// Whether the character makes no difference to a name: invisible characters, those that only lengthen a word, and the
/// marks that a script's letters can do without. In other scripts, marks are letters themselves, such as the vowels of
/// Hindi and Thai, or make another letter, as in Japanese.
fn is_left_out(c: char) -> bool {
    let is_kana_mark = matches!(c, '\u{3099}' | '\u{309a}');
    let is_mark = is_combining_mark(c)
        && !is_kana_mark
        && matches!(
            Script::for_char(c),
            Script::Inherited | Script::Common | Script::Hebrew | Script::Arabic | Script::Syriac
        );
    let is_tatweel = c == '\u{640}';
    is_invisible(c) || is_mark || is_tatweel
}

/// The length in bytes above which a text is nothing that somebody typed as digits.
const LONGEST_DIGITS: usize = 1_000;

/// The digits that somebody typed, in any script and width. Spaces, hyphens, dots and other punctuation between them
/// are ignored. `None` if there is anything else.
pub(crate) fn digits(text: &str) -> Option<String> {
    if text.len() > LONGEST_DIGITS {
        return None;
    }
    let mut digits = String::new();
    for c in text.nfkd() {
        match digit(c) {
            Some(digit) => digits.push(digit),
            None if is_separator(c) => {}
            None => return None,
        }
    }
    Some(digits)
}

fn is_separator(c: char) -> bool {
    let is_white = WhiteSpace::for_char(c) || is_blank_symbol(c) || is_invisible(c);
    // The long vowel mark, which Japanese keyboards have where others have a hyphen, the minus sign, and a box-drawing
    // line.
    let is_dash = matches!(c, '\u{30fc}' | '\u{2212}' | '\u{2500}');
    let is_punctuation = matches!(
        GeneralCategory::for_char(c),
        GeneralCategory::DashPunctuation
            | GeneralCategory::ConnectorPunctuation
            | GeneralCategory::OpenPunctuation
            | GeneralCategory::ClosePunctuation
            | GeneralCategory::InitialPunctuation
            | GeneralCategory::FinalPunctuation
            | GeneralCategory::OtherPunctuation
    );
    is_white || is_dash || is_punctuation
}

/// The value of a digit. In each script, the digits from zero to nine are consecutive.
fn digit(c: char) -> Option<char> {
    if c.is_ascii_digit() {
        return Some(c);
    }
    let is_digit = |point: u32| {
        char::from_u32(point).is_some_and(|c| GeneralCategory::for_char(c) == GeneralCategory::DecimalNumber)
    };
    if !is_digit(c.into()) {
        return None;
    }
    let before = (0..u32::from(c)).rev().take_while(|point| is_digit(*point)).count();
    char::from_digit(u32::try_from(before % 10).ok()?, 10)
}

/// Transliterates a text into the letters a to z, as far as possible. For usernames and slugs.
pub(super) fn transliterated(text: &str) -> String {
    deunicode::deunicode(&composed(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Random texts of letters and of all kinds of characters that are treated specially.
    fn odd_text() -> impl Strategy<Value = String> {
        let odd = prop_oneof![
            any::<char>(),
            prop::char::range('\u{200b}', '\u{206f}'),
            prop::char::range('\u{300}', '\u{36f}'),
            prop::char::range('\u{fe00}', '\u{fe0f}'),
            prop::char::range('\u{e0020}', '\u{e007f}'),
            prop::char::range('\u{600}', '\u{6ff}'),
            prop::char::range('\u{900}', '\u{97f}'),
            prop::char::range('\u{1f1e6}', '\u{1f6ff}'),
            prop::char::range('\u{a0}', '\u{24f}'),
            prop::char::range('\u{1e00}', '\u{1eff}'),
            prop::char::range('\u{1f00}', '\u{1fff}'),
            prop::char::range('\u{1100}', '\u{11ff}'),
            prop::char::range('\u{3040}', '\u{30ff}'),
            prop::sample::select(vec![
                ' ',
                'a',
                'Z',
                '葛',
                '\u{1f3f4}',
                '\u{1f468}',
                '\u{2800}',
                '\u{3164}',
                '1',
                '\u{20e3}'
            ]),
        ];
        prop::collection::vec(odd, 0..12).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn the_canonical_form_is_its_own(text in odd_text()) {
            let once = canonical(&text, |_| false);
            prop_assert_eq!(canonical(&once, |_| false), once.clone());
            prop_assert_eq!(stray(&once), None);
            prop_assert_eq!(composed(&once), once);
        }

        #[test]
        fn a_folded_form_is_its_own_and_hangs_on_no_normal_form(text in odd_text()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once.clone(), "of {:?}", text);
            prop_assert_eq!(fold(&text.nfc().collect::<String>()), once.clone());
            prop_assert_eq!(fold(&text.nfd().collect::<String>()), once.clone());
            if !text.chars().any(is_control) {
                prop_assert_eq!(fold(&canonical(&text, |_| false)), once);
            }
        }

        #[test]
        fn what_can_be_seen_is_found(text in odd_text()) {
            // Marks alone can't be seen, and neither can characters that only lengthen a word.
            let seen = text.chars().any(|c| c.is_alphanumeric() && !is_left_out(c) && !is_blank(&c.to_string()));
            prop_assert!(!seen || !fold(&text).is_empty(), "{:?}", text);
        }

        #[test]
        fn codes_are_read_in_any_script(number in 0_u32..100_000_000, zero in prop::sample::select(vec![
            '0', '\u{660}', '\u{6f0}', '\u{966}', '\u{e50}', '\u{ff10}', '\u{1d7ce}', '\u{1d7d8}', '\u{1d7f6}', '\u{1e950}',
        ]), gap in prop::sample::select(vec!["", " ", "-", "\u{a0}", "\u{202f}", "\u{2013}", "\u{2212}", ".", "·", "\u{200b}", "ー", " – "])) {
            let plain = format!("{number:08}");
            let typed = plain.chars().map(|c| char::from_u32(u32::from(zero) + c.to_digit(10).unwrap()).unwrap().to_string());
            prop_assert_eq!(digits(&typed.collect::<Vec<_>>().join(gap)), Some(plain));
        }
    }

    #[test]
    fn what_renders_as_nothing_is_blank() {
        for blank in [
            "",
            " ",
            "\t\n",
            "\u{a0}\u{3000}",
            "\u{2800}",
            "\u{115f}",
            "\u{1160}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{200b}",
            "\u{ad}",
            "\u{2060}\u{feff}",
            "\u{200d}",
            "\u{301}",
            " \u{301}\u{302}",
            "\u{fe0f}",
            "\u{e0061}",
            "\u{180e}",
            "\u{17b4}",
            "\u{202e}",
            "\u{1d159}",
            "\u{fffc}",
            "\u{34f}",
            "\u{1d173}",
            "\u{2800} \u{3164}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in ["a", "中", "ㅤa", "\u{600}1", "👍", "-", "i\u{301}", "ก"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn scripts_and_emoji_keep_what_they_need() {
        for needed in [
            "می\u{200c}خواهم",
            "خانه\u{200c}ها",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "ന്\u{200d}",
            "র\u{200d}্য",
            "👩\u{200d}🔬",
            "👩🏽\u{200d}🔬",
            "❤\u{fe0f}\u{200d}🔥",
            "☎\u{fe0e}",
            "1\u{fe0f}\u{20e3}",
            "葛\u{e0100}",
            "ᠠ\u{180b}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
        ] {
            assert_eq!(stray(&composed(needed)), None, "{needed:?}");
            assert_eq!(canonical(needed, |_| false), composed(needed), "{needed:?}");
        }
        for (stray_text, kept) in [
            ("Ad\u{200b}a", "Ada"),
            ("Ad\u{200d}a", "Ada"),
            ("Ad\u{200c}a", "Ada"),
            ("Ada\u{fe0f}", "Ada"),
            ("1\u{fe0f}", "1"),
            ("Ada\u{202e}", "Ada"),
            ("Ada\u{2066}x", "Adax"),
            ("so\u{ad}ft", "soft"),
            ("\u{feff}Ada", "Ada"),
            ("a\u{3164}b", "ab"),
            ("می\u{200c}\u{200c}خواهم", "می\u{200c}خواهم"),
            ("🏴\u{e0067}", "🏴"),
            ("a\u{e0067}\u{e007f}", "a"),
            ("a\u{34f}\u{301}", "á"),
        ] {
            assert!(matches!(stray(&composed(stray_text)), Some(Stray::Invisible(_))), "{stray_text:?}");
            assert_eq!(canonical(stray_text, |_| false), kept, "{stray_text:?}");
        }
        for control in ["a\nb", "a\u{0}", "a\u{85}b", "a\u{2028}b", "a\u{ffff}"] {
            assert!(matches!(stray(control), Some(Stray::Control(_))), "{control:?}");
        }
    }

    #[test]
    fn names_are_folded_as_people_look_for_them() {
        for (name, folded) in [
            ("Zoë", "zoe"),
            ("Zoe\u{308}", "zoe"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("İSTANBUL", "istanbul"),
            ("ISTANBUL", "istanbul"),
            ("ısparta", "isparta"),
            ("Łódź", "lodz"),
            ("Ørsted", "orsted"),
            ("Æsir", "aesir"),
            ("Ἀθῆναι", "αθηναι"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("Ёлка", "елка"),
            ("ﬁne", "fine"),
            ("Ｗｉｄｅ", "wide"),
            ("ｶﾞ", "ガ"),
            ("が", "が"),
            ("한국", "한국"),
            ("מִשְׁפָּחָה", "משפחה"),
            ("مُحَمَّد", "محمد"),
            ("محـــمد", "محمد"),
            ("हिन्दी", "हिन्दी"),
            ("ที่", "ที่"),
            ("O’Brien", "o'brien"),
            ("Jean\u{2011}Pierre", "jean-pierre"),
            ("  A \u{a0}\u{3000} B ", "a b"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("👩\u{200d}🔬", "👩🔬"),
            ("❤\u{fe0f}", "❤"),
            ("a\u{2800}b", "a b"),
        ] {
            assert_eq!(fold(name), folded, "{name:?}");
        }
        assert_ne!(fold("か"), fold("が"));
        assert_ne!(fold("कुल"), fold("कल"));
    }

    #[test]
    fn what_is_no_code_has_no_digits() {
        for wrong in ["1234-567a", "12½", "1+1", "٣x", "一二三"] {
            assert_eq!(digits(wrong), None, "{wrong:?}");
        }
        assert_eq!(digits("“１２３４—５６７８”"), Some("12345678".to_owned()));
        assert_eq!(digits(""), Some(String::new()));
    }
}
