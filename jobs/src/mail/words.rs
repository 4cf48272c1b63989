//! Phrases that the emails are made of.

use chrono::{DateTime, TimeDelta, Utc};

use super::Envelope;
use super::document::{Block, name};

pub(crate) fn greeting(envelope: &Envelope) -> Block {
    paragraph(match envelope.name.as_deref().map(name) {
        Some(name) if !name.is_empty() => format!("Hello {name},"),
        _ => "Hello,".into(),
    })
}

pub(crate) fn paragraph(text: impl Into<String>) -> Block {
    Block::Paragraph(text.into())
}

pub(crate) fn row(label: &'static str, value: String) -> (&'static str, String) {
    (label, value)
}

/// Formats a time like `29 November 2026, 14:05 UTC`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// Formats a future time, including how far it is from the email's date: `29 November 2026, 14:05 UTC (in 7 days)`.
pub(crate) fn deadline(deadline: DateTime<Utc>, envelope: &Envelope) -> String {
    // A deadline that was computed slightly before the email's date should still count as its full duration.
    let left = deadline - envelope.date + TimeDelta::seconds(1);
    let (days, hours, minutes) = (left.num_days(), left.num_hours(), left.num_minutes());
    let left = match (days, hours, minutes) {
        (2.., ..) => format!("in {days} days"),
        (_, 2.., _) => format!("in {hours} hours"),
        (_, _, 2..) => format!("in {minutes} minutes"),
        _ => "now".to_owned(),
    };
    format!("{} ({left})", time(deadline))
}

pub(crate) fn duration(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (1, 0) => "1 hour".into(),
        (hours, 0) if hours > 0 => format!("{hours} hours"),
        (0, 1) => "1 minute".into(),
        _ => format!("{minutes} minutes"),
    }
}

/// Formats a number like `20,000`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
