//! A mail's content as blocks, and its two renderings.

use askama::Template;
use mrml::prelude::render::RenderOptions;
use rollcall_domain::base::text;
use rollcall_domain::base::text::hyperlink;
use url::Url;

use super::{Envelope, Mail};

/// Stands for the subject while MJML is rendered, which writes it into an attribute too, with Rust's escapes.
const TITLE: &str = "the-subject";

/// Columns of the plain text.
const WIDTH: usize = 76;

/// A mail's content. Names in it have gone through [`name`].
#[derive(Template)]
#[template(path = "mail.mjml", escape = "html")]
pub(crate) struct Document {
    pub subject: String,
    /// What a list of mails shows beside the subject.
    pub preheader: String,
    pub heading: String,
    pub blocks: Vec<Block>,
    /// Why the recipient gets this mail.
    pub reason: String,
}

pub(crate) enum Block {
    Paragraph(String),
    Button {
        label: &'static str,
        url: Url,
    },
    /// Digits to read and type.
    Code(String),
    /// Pairs of label and value.
    Rows(Vec<(&'static str, String)>),
    List(Vec<String>),
}

/// A text as it stands in HTML.
#[derive(Template)]
#[template(source = "{{ text }}", ext = "html")]
struct Escaped<'a> {
    text: &'a str,
}

/// The layout does not render: a fault of the template, never of the content.
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

    /// `first` begins the first line, `indent`, of the same length, the others. A word longer than
    /// a line is cut.
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

/// A subject's words should be found by a search, without the joiners of [`line()`]; not so where they hold a link that
/// some readers would show as one.
fn subject(text: &str) -> String {
    let plain = one_line(text);
    if hyperlink::is_in(&plain) { text.to_owned() } else { plain }
}

/// A name that somebody chose, made harmless: [`line()`] with at most 80 characters.
pub(crate) fn name(raw: &str) -> String {
    line(raw, 80)
}

/// Text that holds what somebody chose, made harmless: on one line, cut at `limit` characters, and
/// never taken for a link by a mail reader (an invisible word joiner follows each dot, colon, slash and
/// at sign inside a word, in whichever script).
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

/// The address of a mailbox or a host, which people compare and copy: nothing is put between its characters.
pub(crate) fn address(raw: &str) -> String {
    one_line(raw).chars().take(254).collect()
}

/// What a link can't do without, and what browsers take for it.
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

/// Without line breaks and other control characters, without invisible ones that reorder or hide
/// text, without doubled spaces. Joiners and variation selectors stay, which scripts and emoji need.
pub(crate) fn one_line(raw: &str) -> String {
    let spaced: String = raw.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let visible = text::settled_line(&spaced);
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}
