//! A mail as its recipient reads it.

use std::collections::BTreeSet;

use mail_parser::{HeaderValue, Message, MessageParser};

#[derive(Clone, Debug)]
pub struct Mail {
    /// The envelope's recipient.
    pub recipient: String,
    pub from: String,
    pub to: String,
    /// Empty where a reply goes to the sender.
    pub reply_to: String,
    pub subject: String,
    pub message_id: String,
    pub auto_submitted: String,
    /// In seconds since 1970.
    pub date: Option<i64>,
    pub text: String,
    pub html: String,
}

impl Mail {
    pub fn parse(recipient: &str, data: &str) -> Self {
        let message = MessageParser::default().parse(data).unwrap();
        let address = |address: Option<&mail_parser::Address<'_>>| {
            address
                .and_then(|address| address.first())
                .and_then(|address| address.address())
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            recipient: recipient.to_owned(),
            from: address(message.from()),
            to: address(message.to()),
            reply_to: address(message.reply_to()),
            subject: message.subject().unwrap_or_default().to_owned(),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            auto_submitted: header(&message, "Auto-Submitted"),
            date: message.date().map(mail_parser::DateTime::to_timestamp),
            // As they were written: the parser would make one of the other where it is missing.
            text: message.text_part(0).and_then(|part| part.text_contents()).unwrap_or_default().replace("\r\n", "\n"),
            html: message.html_part(0).and_then(|part| part.text_contents()).unwrap_or_default().replace("\r\n", "\n"),
        }
    }

    /// The links that the text shows.
    pub fn links(&self) -> BTreeSet<String> {
        let words = self.text.split_whitespace();
        words.filter(|word| word.starts_with("http://") || word.starts_with("https://")).map(str::to_owned).collect()
    }

    /// The links that the HTML can follow.
    pub fn html_links(&self) -> BTreeSet<String> {
        let links = self.html.split("href=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        links.map(|(link, _)| link.replace("&amp;", "&").replace("&#38;", "&").replace("&#39;", "'")).collect()
    }

    /// The one link whose path begins so.
    pub fn link(&self, path: &str) -> String {
        let found: Vec<String> = self.links().into_iter().filter(|link| link.contains(path)).collect();
        assert_eq!(found.len(), 1, "links with {path} in {}", self.text);
        found.into_iter().next().unwrap()
    }

    /// The token of the mail's link.
    pub fn token(&self) -> String {
        let pages = ["/sign-in/", "/invitations/", "/email-change/"];
        let link = self.links().into_iter().find(|link| pages.iter().any(|page| link.contains(page)));
        link.unwrap_or_else(|| panic!("no link in {}", self.text)).rsplit('/').next().unwrap().to_owned()
    }

    /// The six digits of a sign-in mail.
    pub fn digits(&self) -> String {
        let mut digits = self
            .text
            .lines()
            .map(str::trim)
            .filter(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
        digits.next().unwrap_or_else(|| panic!("no digits in {}", self.text)).to_owned()
    }
}

fn header(message: &Message<'_>, name: &str) -> String {
    match message.header(name) {
        Some(HeaderValue::Text(text)) => text.to_string(),
        other => message.header_raw(name).map(|raw| raw.trim().to_owned()).unwrap_or_else(|| format!("{other:?}")),
    }
}
