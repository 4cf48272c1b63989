//! Decimal numbers that callers and settings give, read without losing a digit.

use rust_decimal::Decimal;
use serde_json::Number;

/// The number of significant digits with which every decimal number survives the way through a double.
const EXACT_DIGITS: usize = 15;
/// From here on, a double can't tell apart two numbers that differ in the ninth decimal place.
const EXACT_BELOW: f64 = 1_000_000.0;

/// Reads a decimal number such as `-12.50`. Nothing else is accepted: no plus sign, no exponent, no spaces, no
/// characters between the digits, and no more digits than a decimal number can hold.
pub fn parse(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !fraction.is_none_or(is_number) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

/// Reads a JSON number, unless it may have been rounded on its way through a double: whole numbers are exact; others
/// are if they have at most 15 significant digits and are below a million, since numbers with nine decimal places have
/// no more digits there.
pub fn of_number(number: &Number) -> Option<Decimal> {
    if let Some(whole) = number.as_i64() {
        return Some(Decimal::from(whole));
    }
    if let Some(whole) = number.as_u64() {
        return Some(Decimal::from(whole));
    }
    let double = number.as_f64()?;
    // The shortest digits that lead to this double.
    let text = format!("{double:e}");
    let mantissa = text.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if double.abs() >= EXACT_BELOW || digits > EXACT_DIGITS {
        return None;
    }
    Decimal::from_scientific(&text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_decimal_numbers_and_nothing_else() {
        for text in ["0", "12", "12.5", "-12.50", "007", "0.000000001", "1234567890123456789.123456789"] {
            assert_eq!(parse(text).map(|number| number.to_string()), Some(text.trim_start_matches("00").to_owned()));
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "-.5",
            "+1",
            "1_000",
            "1_",
            "_1",
            "1__0",
            "1 000",
            " 1",
            "1 ",
            "1,5",
            "1e3",
            "0x10",
            "NaN",
            "Infinity",
            "١",
            "1.2.3",
            "--1",
            "99999999999999999999999999999999",
            "0.00000000000000000000000000001",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_may_have_been_rounded_are_refused() {
        for (json, expected) in [
            ("4", Some("4")),
            ("-0.5", Some("-0.5")),
            ("2.5", Some("2.5")),
            ("1e-7", Some("0.0000001")),
            ("999999.123456789", Some("999999.123456789")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("0.12345678901234567", None),
            ("1234567.000000001", None),
            ("123456789.000000001", None),
            ("18446744073709551616", None),
            ("1e400", None),
        ] {
            let number: Option<Number> = serde_json::from_str(json).ok();
            let read = number.as_ref().and_then(of_number).map(|number| number.normalize().to_string());
            assert_eq!(read.as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_number_with_nine_decimal_places_is_read_exactly_or_not_at_all(whole in 0..=1_000_000_000_i64, nanos in 0..1_000_000_000_i64) {
            let text = format!("{whole}.{nanos:09}");
            let number: Number = serde_json::from_str(&text).unwrap();
            let expected = parse(&text);
            prop_assert!(expected.is_some());
            match of_number(&number) {
                Some(read) => prop_assert_eq!(Some(read), expected),
                None => prop_assert!(whole >= 1_000_000),
            }
        }
    }
}
