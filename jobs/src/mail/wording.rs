//! What each mail says.

use chrono::{DateTime, Utc};
use url::Url;

use super::{
    Envelope, Mail, RenderError,
    document::{Block, Document, line, name},
};

/// How many examples of what moved a mail names.
const EXAMPLES: usize = 20;

/// Invites the recipient to an organization.
#[derive(Clone)]
pub struct Invitation {
    /// The organization.
    pub organization_name: String,
    /// Who invites; `None` where the name is not to be told.
    pub inviter_name: Option<String>,
    /// The role offered, such as `Member`.
    pub role: String,
    /// The page that shows the invitation.
    pub link: Url,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// Lets the recipient sign in. It says the same whether or not the address has an account.
#[derive(Clone)]
pub struct SignIn {
    /// The page that signs in.
    pub link: Url,
    /// The digits to type instead.
    pub digits: String,
    /// For how long the link works.
    pub link_minutes: u32,
    /// For how long the digits work.
    pub digits_minutes: u32,
    /// The User-Agent header of the request. Only the browser and system recognized in it are
    /// shown.
    pub user_agent: Option<String>,
    /// The organization that the recipient joins after signing in, where there is one.
    pub organization_name: Option<String>,
}

/// Tells somebody that the platform's staff founded an organization for them.
#[derive(Debug, Clone)]
pub struct OwnerWelcome {
    /// The organization.
    pub organization_name: String,
    /// The page to sign in at.
    pub sign_in_link: Url,
}

/// Tells somebody that the platform's staff gave them an organization.
#[derive(Debug, Clone)]
pub struct OwnerSet {
    /// The organization.
    pub organization_name: String,
    /// The page to sign in at.
    pub sign_in_link: Url,
}

/// Tells the old or the new owner that the ownership passed between them.
#[derive(Debug, Clone)]
pub struct OwnershipTransferred {
    /// The organization.
    pub organization_name: String,
    /// The other of the two.
    pub other_name: String,
    /// Their username, without `@`.
    pub other_username: String,
    /// Whether the recipient is the new owner.
    pub receives: bool,
    /// The page to sign in at.
    pub sign_in_link: Url,
}

/// Tells an owner that somebody joined with a code.
#[derive(Debug, Clone)]
pub struct JoinedByCode {
    /// The organization.
    pub organization_name: String,
    /// Who joined.
    pub member_name: String,
    /// Their username, without `@`.
    pub username: String,
    /// The role they joined with, such as `Member`.
    pub role: String,
    /// What may be shown of the code, such as `••••-••78`.
    pub code_hint: String,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
}

/// Tells an owner that a webhook was disabled.
#[derive(Debug, Clone)]
pub struct WebhookDisabled {
    /// The organization.
    pub organization_name: String,
    /// Where it leads.
    pub host: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Its id, for whoever enables it again.
    pub webhook_id: String,
}

/// How a membership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepartureKind {
    /// The member left.
    Left,
    /// The member was removed.
    Removed,
    /// The member was deactivated.
    Deactivated,
}

/// What passed from a leaver to the owner.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// How many of each kind; kinds with none are not shown.
    pub counts: Vec<Count>,
    /// Names of some; the first 20 are shown.
    pub examples: Vec<String>,
}

/// So many of one kind.
#[derive(Debug, Clone)]
pub struct Count {
    /// The kind in the plural, such as `Projects`.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
}

/// The leaver's receipt.
#[derive(Debug, Clone)]
pub struct DepartureToLeaver {
    /// The organization.
    pub organization_name: String,
    /// How the membership ended.
    pub kind: DepartureKind,
    /// Who has the leaver's things now; `the owner` where the leaver is not to know the name.
    pub new_owner_name: String,
    /// What moved.
    pub moved: Moved,
}

/// The owner's receipt.
#[derive(Debug, Clone)]
pub struct DepartureToOwner {
    /// The organization.
    pub organization_name: String,
    /// How the membership ended.
    pub kind: DepartureKind,
    /// Who is gone.
    pub leaver_name: String,
    /// Their username, without `@`.
    pub leaver_username: String,
    /// What moved.
    pub moved: Moved,
    /// What the owner should do now, such as secrets to renew; a sentence each.
    pub advice: Vec<String>,
}

impl Invitation {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let invites = match &self.inviter_name {
            Some(inviter) => format!("{} invites you to {organization}", name(inviter)),
            None => format!("You are invited to {organization}"),
        };
        let expires = time(self.expires_at);
        Document {
            subject: invites.clone(),
            preheader: format!("See the invitation, then accept or decline it. It is open until {expires}."),
            heading: format!("Join {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "{invites} on Rollcall, where its members share and look after their work \
                    together."
                )),
                Block::Rows(vec![
                    row("Organization", organization),
                    row("Your role", name(&self.role)),
                    row("Open until", expires),
                ]),
                Block::Button { label: "See the invitation", url: self.link.clone() },
                paragraph(
                    "You accept or decline on the page that opens; opening it changes nothing. \
                    You need no account: accepting makes one.",
                ),
                paragraph(
                    "If you would rather not join, you can ignore this mail and the invitation \
                    ends by itself. The link is meant for you alone, so please don't pass it \
                    on.",
                ),
            ],
            reason: format!(
                "You get this mail because someone in {} entered your address to invite \
                you.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

impl SignIn {
    /// Renders the mail. The envelope's name is left out, so that nothing differs between addresses
    /// with and without an account.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let welcome = match &self.organization_name {
            Some(organization) => format!("Sign in, and you can join {} right after.", name(organization)),
            None => "Welcome. This is all it takes to sign in; there is no password.".into(),
        };
        Document {
            subject: "Your link to sign in to Rollcall".into(),
            preheader: format!(
                "The link works for {}, the code for {}.",
                duration(self.link_minutes),
                duration(self.digits_minutes)
            ),
            heading: "Sign in to Rollcall".into(),
            blocks: vec![
                paragraph(welcome),
                Block::Button { label: "Sign in", url: self.link.clone() },
                paragraph("Or type this code where you asked to sign in:"),
                Block::Code(self.digits.clone()),
                paragraph(format!(
                    "The link works for {}, the code for {}, and each of them once. Asking \
                    again gives a new code and ends this one.",
                    duration(self.link_minutes),
                    duration(self.digits_minutes)
                )),
                Block::Rows(vec![row("Asked from", device(self.user_agent.as_deref()))]),
                paragraph(
                    "If that was not you, ignore this mail: without it nobody gets in. Never \
                    tell anyone the code; we won't ask you for it.",
                ),
            ],
            reason: "You get this mail because someone entered your address to sign in to \
                Rollcall."
                .into(),
        }
        .render(Envelope { name: None, ..envelope })
    }
}

impl OwnerWelcome {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        Document {
            subject: format!("{organization} is ready for you"),
            preheader: "Sign in with this address; you own the organization.".into(),
            heading: format!("{organization} is ready"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "We have founded the organization {organization} on Rollcall for you, and \
                    you are its owner."
                )),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "Sign in with the address this mail went to; there is no password, we mail \
                    you a link. Then invite the people you work with, or hand out join codes.",
                ),
                paragraph(
                    "If you did not expect this, you can ignore it: nothing happens until you \
                    sign in.",
                ),
            ],
            reason: format!(
                "You get this mail because the platform's staff made you the owner of {}.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

impl OwnerSet {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        Document {
            subject: format!("You own {organization} now"),
            preheader: "The platform's staff passed the ownership to you.".into(),
            heading: format!("You own {organization} now"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "The platform's staff passed the ownership of {organization} to you. Whoever owned it before is an \
                    admin there."
                )),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "If you did not expect this, please ask the platform's staff: as the owner you answer for the \
                    organization's members and work.",
                ),
            ],
            reason: format!(
                "You get this mail because the platform's staff made you the owner of {}.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

impl OwnershipTransferred {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let other = format!("{} (@{})", name(&self.other_name), name(&self.other_username));
        let (heading, preheader, what, reason) = if self.receives {
            (
                format!("You own {organization} now"),
                format!("{other} passed the ownership to you."),
                format!(
                    "{other} passed the ownership of {organization} to you, and is an admin there now. As the owner you \
                    answer for the organization's members and work, and what people leave behind passes to you."
                ),
                format!("You get this mail because you own {organization} now."),
            )
        } else {
            (
                format!("{organization} has a new owner"),
                format!("You passed the ownership to {other}."),
                format!("You passed the ownership of {organization} to {other}. You are an admin there now."),
                format!("You get this mail because you owned {organization}."),
            )
        };
        Document {
            subject: heading.clone(),
            preheader,
            heading,
            blocks: vec![
                greeting(&envelope),
                paragraph(what),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "If you did not expect this, please write to the platform's staff at once: they can put it right.",
                ),
            ],
            reason,
        }
        .render(envelope)
    }
}

impl WebhookDisabled {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let host = line(&self.host, 200);
        let mut rows = vec![("Webhook", self.webhook_id.clone()), ("Leads to", host.clone())];
        rows.extend(self.error.as_ref().map(|error| ("Last attempt", line(error, 200))));
        Document {
            subject: format!("A webhook of {organization} was disabled"),
            preheader: format!("{host} has taken no delivery for 24 hours."),
            heading: format!("A webhook of {organization} was disabled"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "Rollcall tells {host} what happens in {organization}. It could not deliver anything there for 24 hours, \
                    or was told that nobody wants it any more, and has stopped trying."
                )),
                Block::Rows(rows),
                paragraph(
                    "Nothing is lost. Once the receiver works again, have an owner or admin enable the webhook: it goes on \
                    with the event after the last one delivered. If nobody needs it, delete it.",
                ),
            ],
            reason: format!("You get this mail because you own {organization}."),
        }
        .render(envelope)
    }
}

impl JoinedByCode {
    /// Renders the mail.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let member = name(&self.member_name);
        Document {
            subject: format!("{member} joined {organization} with a code"),
            preheader: "If you know this person, there is nothing to do.".into(),
            heading: format!("{member} joined {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "Someone entered one of your organization's join codes and is a member now. \
                    The code can't be used again.",
                ),
                Block::Rows(vec![
                    row("Name", member),
                    row("Username", format!("@{}", name(&self.username))),
                    row("Role", name(&self.role)),
                    row("Code", name(&self.code_hint)),
                    row("Joined", time(self.joined_at)),
                ]),
                paragraph(
                    "If you know this person, there is nothing to do. If you don't, remove them \
                    in the members list: their access ends at once. Then revoke the codes you \
                    no longer need.",
                ),
            ],
            reason: format!(
                "You get this mail because you own {organization}; the owner is told of \
                everyone who joins with a code."
            ),
        }
        .render(envelope)
    }
}

impl DepartureToLeaver {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let owner = name(&self.new_owner_name);
        let (heading, back) = match self.kind {
            DepartureKind::Left => {
                (format!("You left {organization}"), "You can come back by a new invitation or a join code.")
            }
            DepartureKind::Removed => {
                (format!("You were removed from {organization}"), "You can come back by a new invitation.")
            }
            DepartureKind::Deactivated => {
                (format!("You were deactivated in {organization}"), "Only the organization can let you back in.")
            }
        };
        let total = self.moved.total();
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!("Your membership in {organization} has ended, and your access to it with it. {back}")),
        ];
        if total == 0 {
            blocks.push(paragraph("You owned nothing there that had to be passed on."));
        } else {
            blocks.push(paragraph(format!("What you owned there is safe: it belongs to {owner} now.")));
            blocks.extend(self.moved.blocks());
        }
        blocks.push(paragraph(format!(
            "There is nothing you need to do. If you think this is a mistake, or miss \
            something of yours, please ask {owner}."
        )));
        Document {
            subject: heading.clone(),
            preheader: match total {
                0 => "Your access has ended.".into(),
                _ => format!("Your access has ended, and what you owned there belongs to {owner} now."),
            },
            heading,
            blocks,
            reason: format!("You get this mail because you were a member of {organization}."),
        }
        .render(envelope)
    }
}

impl DepartureToOwner {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let leaver = name(&self.leaver_name);
        let heading = match self.kind {
            DepartureKind::Left => format!("{leaver} left {organization}"),
            DepartureKind::Removed => format!("{leaver} was removed from {organization}"),
            DepartureKind::Deactivated => format!("{leaver} was deactivated in {organization}"),
        };
        let total = self.moved.total();
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!(
                "{leaver} (@{}) is no longer a member of {organization}, and all access \
                ended at once.",
                name(&self.leaver_username)
            )),
        ];
        if self.advice.is_empty() {
            blocks.push(paragraph("There is nothing you need to do."));
        } else {
            blocks.push(paragraph("Please look at this now:"));
            blocks.push(Block::List(self.advice.iter().map(|advice| line(advice, 300)).collect()));
        }
        if total == 0 {
            blocks.push(paragraph("They owned nothing there that had to be passed on."));
        } else {
            blocks.push(paragraph("What they owned there belongs to you now:"));
            blocks.extend(self.moved.blocks());
        }
        Document {
            subject: heading.clone(),
            preheader: match total {
                0 => "All access ended at once.".into(),
                _ => "All access ended at once, and what they owned belongs to you now.".into(),
            },
            heading,
            blocks,
            reason: format!(
                "You get this mail because you own {organization}; the owner is told of \
                everyone who goes."
            ),
        }
        .render(envelope)
    }
}

impl Moved {
    fn total(&self) -> u64 {
        self.counts.iter().map(|kind| kind.count).sum()
    }

    fn blocks(&self) -> Vec<Block> {
        let rows = self
            .counts
            .iter()
            .filter(|kind| kind.count > 0)
            .map(|kind| row(kind.kind, thousands(kind.count)))
            .collect();
        let mut blocks = vec![Block::Rows(rows)];
        let mut examples: Vec<String> = self.examples.iter().take(EXAMPLES).map(|example| name(example)).collect();
        if !examples.is_empty() {
            let more = self.total().saturating_sub(examples.len() as u64);
            if more > 0 {
                examples.push(format!("and {} more", thousands(more)));
            }
            blocks.push(Block::List(examples));
        }
        blocks
    }
}

fn greeting(envelope: &Envelope) -> Block {
    paragraph(match envelope.name.as_deref().map(name) {
        Some(name) if !name.is_empty() => format!("Hello {name},"),
        _ => "Hello,".into(),
    })
}

fn paragraph(text: impl Into<String>) -> Block {
    Block::Paragraph(text.into())
}

fn row(label: &'static str, value: String) -> (&'static str, String) {
    (label, value)
}

/// Such as `29 November 2026, 14:05 UTC`.
fn time(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

fn duration(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (1, 0) => "1 hour".into(),
        (hours, 0) if hours > 0 => format!("{hours} hours"),
        (0, 1) => "1 minute".into(),
        _ => format!("{minutes} minutes"),
    }
}

/// Such as `20,000`.
fn thousands(count: u64) -> String {
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

/// Only known names are shown: a stranger who asks for a mail to somebody else must not get to
/// write in it.
fn device(user_agent: Option<&str>) -> String {
    let known = |names: &[(&str, &'static str)]| {
        let agent = user_agent.unwrap_or_default();
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    // In this order: Edge and Opera also call themselves Chrome, all of them call themselves
    // Safari, and Android calls itself Linux.
    let browser = known(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = known(&[
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Mac OS X", "a Mac"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "an unknown device".to_owned(),
    }
}
