//! The content of an email as a list of blocks, and its two renderings.

use askama::Template;
use mrml::prelude::render::RenderOptions;
use rollcall_domain::base::text;
use rollcall_domain::base::text::hyperlink;
use url::Url;

use super::{Envelope, Mail};

/// A placeholder for the subject while MJML is rendered. MJML also writes the title into an attribute, where Rust's
/// escapes would appear.
const TITLE: &str = "the-subject";

/// The width of the plain text in columns.
const WIDTH: usize = 76;

/// The content of an email. Names in it have gone through [`name`].
#[derive(Template)]
#[template(path = "mail.mjml", escape = "html")]
pub(crate) struct Document {
    pub subject: String,
    /// The text that mail programs show beside the subject in a list of emails.
    pub preheader: String,
    pub heading: String,
    pub blocks: Vec<Block>,
    /// Why the recipient gets this email.
    pub reason: String,
}

pub(crate) enum Block {
    Paragraph(String),
    Button {
        label: &'static str,
        url: Url,
    },
    /// A code of digits to read and type.
    Code(String),
    /// A table of labels and values.
    Rows(Vec<(&'static str, String)>),
    List(Vec<String>),
}

/// A text, escaped for HTML.
#[derive(Template)]
#[template(source = "{{ text }}", ext = "html")]
struct Escaped<'a> {
    text: &'a str,
}

/// The error when an email's layout can't be rendered. It is a fault of the template, never of the content.
#[derive(Debug, thiserror::Error)]
#[error("the mail can't be rendered: {0}")]
pub struct RenderError(String);

impl Document {
    pub(crate) fn render(self, envelope: Envelope) -> Result<Mail, RenderError> {
        Ok(Mail { html: self.html()?, text: self.text(), subject: subject(&self.subject), envelope })
    }

    fn html(&self) -> Result<String, RenderError> {
        let mjml = Template::render(self).map_err(|error| RenderError(error.to_string()))?;
        let parsed = mrml::parse(&mjml).map_err(|error| RenderError(error.to_string()))?;
        let options = RenderOptions { disable_comments: true, fonts: Default::default(), ..Default::default() };
        let html = parsed.element.render(&options).map_err(|error| RenderError(error.to_string()))?;
        let title =
            Escaped { text: &subject(&self.subject) }.render().map_err(|error| RenderError(error.to_string()))?;
        Ok(html.replacen(&format!("<title>{TITLE}</title>"), &format!("<title>{title}</title>"), 1).replacen(
            &format!("aria-label=\"{TITLE}\""),
            &format!("aria-label=\"{title}\""),
            1,
        ))
    }

    fn text(&self) -> String {
        let mut text = Text::default();
        text.wrapped("", "", &self.heading);
        text.line(&"-".repeat(self.heading.chars().count().min(WIDTH)));
        for block in &self.blocks {
            text.line("");
            match block {
                Block::Paragraph(paragraph) => text.wrapped("", "", paragraph),
                Block::Button { label, url } => {
                    text.line(&format!("{label}:"));
                    text.line(url.as_str());
                }
                Block::Code(code) => text.line(&format!("    {code}")),
                Block::Rows(rows) => {
                    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 2;
                    for (label, value) in rows {
                        text.wrapped(&format!("{:<width$}", format!("{label}:")), &" ".repeat(width), value);
                    }
                }
                Block::List(items) => items.iter().for_each(|item| text.wrapped("- ", "  ", item)),
            }
        }
        text.line("");
        text.line("-- ");
        text.wrapped("", "", &self.reason);
        text.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Adds a text, wrapped into lines. The first line begins with `first`, the others with `indent`, which has the
    /// same length. A word that is longer than a line is broken.
    fn wrapped(&mut self, first: &str, indent: &str, text: &str) {
        let room = WIDTH - indent.chars().count();
        let mut line = String::new();
        let mut length = 0;
        let mut start = first;
        for word in text.split_whitespace() {
            let characters: Vec<char> = word.chars().collect();
            for piece in characters.chunks(room) {
                if length > 0 && length + 1 + piece.len() > room {
                    self.line(&format!("{start}{line}"));
                    line.clear();
                    length = 0;
                    start = indent;
                }
                if length > 0 {
                    line.push(' ');
                    length += 1;
                }
                line.extend(piece);
                length += piece.len();
            }
        }
        self.line(&format!("{start}{line}"));
    }
}

/// A subject without the joiners of [`line()`], so that a search finds its words. If it contains a link that some mail
/// programs would make clickable, the joiners stay.
fn subject(text: &str) -> String {
    let plain = one_line(text);
    if hyperlink::is_in(&plain) { text.to_owned() } else { plain }
}

/// Makes a name that somebody chose harmless, like [`line()`], and cuts it at 80 characters.
pub(crate) fn name(raw: &str) -> String {
    line(raw, 80)
}

/// Makes a text that somebody wrote harmless. It is put on one line, cut at `limit` characters, and changed so that no
/// mail program takes any part of it for a link: an invisible word joiner follows each dot, colon, slash and at sign
/// inside a word, in any script.
pub(crate) fn line(raw: &str, limit: usize) -> String {
    let whole = one_line(raw);
    let mut line = String::new();
    let mut characters = whole.chars().peekable();
    for _ in 0..limit {
        let Some(character) = characters.next() else {
            break;
        };
        line.push(character);
        if is_of_link(character) && characters.peek().is_some_and(|next| *next != ' ') {
            line.push('\u{2060}');
        }
    }
    if characters.next().is_some() {
        line.push('…');
    }
    line
}

/// The address of a mailbox or a host, which people compare and copy. Therefore nothing is put between its characters.
pub(crate) fn address(raw: &str) -> String {
    one_line(raw).chars().take(254).collect()
}

/// Whether the character is one that links need, or one that browsers treat like it.
fn is_of_link(character: char) -> bool {
    matches!(
        character,
        '.' | ':'
            | '@'
            | '/'
            | '\u{2024}'
            | '\u{3002}'
            | '\u{FE52}'
            | '\u{FE55}'
            | '\u{FE6B}'
            | '\u{FF0E}'
            | '\u{FF0F}'
            | '\u{FF1A}'
            | '\u{FF20}'
            | '\u{FF61}'
    )
}

/// Puts a text on one line: without line breaks and other control characters, without invisible characters that
/// reorder or hide text, and without repeated spaces. Joiners and variation selectors stay, since scripts and emoji
/// need them.
pub(crate) fn one_line(raw: &str) -> String {
    let spaced: String = raw.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let visible = text::settled_line(&spaced);
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}
