//! What each mail says.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_domain::base::{device, limits};
use url::Url;

use super::{
    Envelope, Mail, RenderError,
    document::{Block, Document, address, line, name},
};

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

/// Tells somebody that they were signed in on a new device.
#[derive(Debug, Clone)]
pub struct NewSignIn {
    /// When.
    pub signed_in_at: DateTime<Utc>,
    /// The User-Agent header of the device. Only the browser and system recognized in it are shown.
    pub user_agent: Option<String>,
    /// The session's id.
    pub session_id: String,
    /// The page that ends sessions.
    pub account_link: Url,
}

/// Lets the recipient confirm that their address is an account's new one. It may be somebody else's address: it tells no
/// more of the account than its username.
#[derive(Clone)]
pub struct EmailChangeLink {
    /// The account's username, without `@`.
    pub username: String,
    /// The page that confirms.
    pub link: Url,
    /// For how long the link works.
    pub link_minutes: u32,
}

/// Tells an account's address that another one was asked for.
#[derive(Debug, Clone)]
pub struct EmailChangeRequested {
    /// The account's username, without `@`.
    pub username: String,
    /// The address that was asked for.
    pub new_address: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// The page that ends sessions.
    pub account_link: Url,
}

/// Tells an account's old address that another one took its place.
#[derive(Debug, Clone)]
pub struct EmailChanged {
    /// The account's username, without `@`.
    pub username: String,
    /// The account's address now.
    pub new_address: String,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// Confirms that the recipient's account was deleted.
#[derive(Debug, Clone)]
pub struct AccountDeleted {
    /// When.
    pub deleted_at: DateTime<Utc>,
}

/// Reminds the recipient of an invitation that expires soon.
#[derive(Clone)]
pub struct InvitationReminder {
    /// The organization.
    pub organization_name: String,
    /// The role offered, such as `Member`.
    pub role: String,
    /// The page that shows the invitation.
    pub link: Url,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// Tells an inviter that somebody accepted.
#[derive(Debug, Clone)]
pub struct InvitationAccepted {
    /// The organization.
    pub organization_name: String,
    /// Who joined.
    pub member_name: String,
    /// Their username, without `@`.
    pub username: String,
    /// The role they joined with, such as `Member`.
    pub role: String,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
}

/// Tells a member that their role changed.
#[derive(Debug, Clone)]
pub struct RoleChanged {
    /// The organization.
    pub organization_name: String,
    /// The role they had, such as `Member`.
    pub old_role: String,
    /// The role they have now.
    pub new_role: String,
    /// Who changed it; `None` where it was no member.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// Tells somebody that their membership was ended, before everything is passed on.
#[derive(Debug, Clone)]
pub struct MembershipEnded {
    /// The organization.
    pub organization_name: String,
    /// How it was ended.
    pub kind: DepartureKind,
    /// The end itself.
    pub end: MembershipEnd,
}

/// What the first mail about it says of a membership that was ended.
#[derive(Debug, Clone)]
pub struct MembershipEnd {
    /// What whoever ended it wants to tell the member.
    pub message: Option<String>,
    /// When.
    pub ended_at: DateTime<Utc>,
    /// Whether the account was suspended with it.
    pub suspended: bool,
}

/// Tells somebody that they are a member again.
#[derive(Debug, Clone)]
pub struct MembershipRestored {
    /// The organization.
    pub organization_name: String,
    /// The role that they have again, such as `Member`.
    pub role: String,
    /// Who brought them back; `None` where it was no member.
    pub restored_by: Option<String>,
    /// When.
    pub restored_at: DateTime<Utc>,
    /// Whether what they left behind goes back to them.
    pub returns: bool,
    /// The page to sign in at.
    pub sign_in_link: Url,
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

/// Tells an owner that the platform's staff gave the organization to somebody else.
#[derive(Debug, Clone)]
pub struct OwnerReplaced {
    /// The organization.
    pub organization_name: String,
    /// Who owns it now.
    pub new_owner_name: String,
    /// Their username, without `@`.
    pub new_owner_username: String,
    /// When.
    pub replaced_at: DateTime<Utc>,
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
    /// The member deleted their account, and left with it.
    Deleted,
}

/// What passed from a leaver to the owner.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// How many of each kind; kinds with none are not shown.
    pub counts: Vec<Count>,
    /// Names of some; the first 20 are shown.
    pub examples: Vec<String>,
    /// Samples that were collected into a project of the owner's and stay the leaver's.
    pub collected_samples: u64,
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
    /// The end itself, where no earlier mail told of it.
    pub end: Option<MembershipEnd>,
    /// Who has the leaver's things now; without a name the organization's owner.
    pub new_owner_name: Option<String>,
    /// Whose the project is that samples were collected into.
    pub samples_owner_name: Option<String>,
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
    /// What moved to the recipient.
    pub moved: Moved,
    /// Who else received something, having owned the organization while it passed on.
    pub other_owners: Vec<String>,
    /// Whether the recipient still owns the organization.
    pub owns: bool,
    /// What the owner should do now, such as secrets to renew; a sentence each.
    pub advice: Vec<String>,
}

/// Something is shared with an address that has no account.
#[derive(Debug, Clone)]
pub struct GrantInvitation {
    /// Who shares it.
    pub inviter_name: String,
    /// The organization that holds it.
    pub organization_name: String,
    /// What it is, such as `project`.
    pub kind: String,
    /// What it is called.
    pub resource_name: String,
    /// What the person may do with it.
    pub level: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// The page that shows it, to whoever is signed in.
    pub link: Url,
}

/// A project is offered to somebody.
#[derive(Debug, Clone)]
pub struct TransferOffer {
    /// Who offers it.
    pub offered_by_name: String,
    /// Their username, without `@`, where the recipient may know it.
    pub offered_by_username: Option<String>,
    /// The project.
    pub project_name: String,
    /// The organization that it is in.
    pub from_name: String,
    /// The organization that it is for, where one is named.
    pub to_name: Option<String>,
    /// The offer's id.
    pub transfer_id: String,
    /// Until when it is open.
    pub expires_at: DateTime<Utc>,
    /// Where one signs in.
    pub sign_in_link: Url,
}

/// What became of an offered project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferAnswer {
    /// It was accepted.
    Accepted,
    /// It was declined.
    Declined,
    /// Nobody answered in time.
    Expired,
}

/// An offer of a project has come to its end.
#[derive(Debug, Clone)]
pub struct TransferAnswered {
    /// In which way.
    pub answer: TransferAnswer,
    /// The project.
    pub project_name: String,
    /// The organization that it was offered from.
    pub from_name: String,
    /// The organization that it is for, where one was named or chosen.
    pub to_name: Option<String>,
    /// To whom it was offered.
    pub recipient_name: String,
    /// Their username, without `@`, where whoever offered it knows them.
    pub recipient_username: Option<String>,
    /// The offer's id.
    pub transfer_id: String,
}

impl Invitation {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let invites = match &self.inviter_name {
            Some(inviter) => format!("{} invites you to {organization}", name(inviter)),
            None => format!("You are invited to {organization}"),
        };
        let expires = deadline(self.expires_at, &envelope);
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
            // Where people see it before they open the mail, and can type it from.
            subject: format!("{} is your code to sign in to Rollcall", self.digits),
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
                Block::Rows(vec![row("Asked from", device::name(self.user_agent.as_deref()))]),
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

impl NewSignIn {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "New sign-in to your Rollcall account".into(),
            preheader: "If that was you, there is nothing to do.".into(),
            heading: "New sign-in to your account".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph("Your account was signed in to on a device that it wasn't signed in to on before."),
                Block::Rows(vec![
                    row("When", time(self.signed_in_at)),
                    row("Device", device::name(self.user_agent.as_deref())),
                    row("Session", name(&self.session_id)),
                ]),
                paragraph(
                    "If that was you, there is nothing to do. If it wasn't, end that session at once on the page of your \
                    account. Whoever signed in could read your mails: change the password of your mailbox, too.",
                ),
                Block::Button { label: "See where you are signed in", url: self.account_link.clone() },
            ],
            reason: "You get this mail because your Rollcall account has this address; we mail it when a new device \
                signs in."
                .into(),
        }
        .render(envelope)
    }
}

impl EmailChangeLink {
    /// Renders the mail. The envelope's name is left out, since the address may be somebody else's.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let lifetime = duration(self.link_minutes);
        Document {
            subject: "Confirm your new address for Rollcall".into(),
            preheader: format!("The link works for {lifetime}."),
            heading: "Is this your new address?".into(),
            blocks: vec![
                paragraph(format!(
                    "The person with the Rollcall account @{} says that this is their address now.",
                    name(&self.username)
                )),
                Block::Button { label: "See the new address", url: self.link.clone() },
                paragraph(format!(
                    "You confirm it on the page that opens; opening it changes nothing. The link works for {lifetime}, \
                    and once."
                )),
                paragraph(
                    "If you did not ask for this, ignore this mail: nothing happens to the address or to any account of \
                    yours.",
                ),
            ],
            reason: "You get this mail because someone entered this address as the new one of their Rollcall account."
                .into(),
        }
        .render(Envelope { name: None, ..envelope })
    }
}

impl EmailChangeRequested {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let new_address = address(&self.new_address);
        Document {
            subject: "A new address was asked for on your Rollcall account".into(),
            preheader: "Nothing has changed yet. If that was you, there is nothing to do.".into(),
            heading: "A new address was asked for".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "Someone who is signed in to your account asked for another address. Nothing has changed yet: it \
                    changes once the link that we mailed to the new address is confirmed.",
                ),
                Block::Rows(vec![
                    row("Account", format!("@{}", name(&self.username))),
                    row("New address", new_address),
                    row("Asked for", time(self.requested_at)),
                ]),
                paragraph(
                    "If that was you, there is nothing to do here. If it wasn't, somebody else is signed in to your \
                    account: end their session on the page of your account, and write to the platform's staff.",
                ),
                Block::Button { label: "See where you are signed in", url: self.account_link.clone() },
            ],
            reason: "You get this mail because your Rollcall account has this address.".into(),
        }
        .render(envelope)
    }
}

impl EmailChanged {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "The address of your Rollcall account was changed".into(),
            preheader: "If that was you, there is nothing to do.".into(),
            heading: "Your account has another address".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "The new address of your account was confirmed. You sign in with it from here on, and mails go \
                    there. This is the last one to the old address.",
                ),
                Block::Rows(vec![
                    row("Account", format!("@{}", name(&self.username))),
                    row("New address", address(&self.new_address)),
                    row("Changed", time(self.changed_at)),
                ]),
                paragraph(
                    "If that was you, there is nothing to do. If it wasn't, write to the platform's staff at once, from \
                    this address.",
                ),
            ],
            reason: "You get this mail because your Rollcall account had this address until now.".into(),
        }
        .render(envelope)
    }
}

impl AccountDeleted {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "Your Rollcall account was deleted".into(),
            preheader: "You have left every organization, and your name and address are gone from it.".into(),
            heading: "Your account was deleted".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "Your account was deleted, as you asked, on {}. You have left every organization; what you owned \
                    there belongs to their owners now. Your sessions and API keys have ended.",
                    time(self.deleted_at)
                )),
                paragraph(
                    "Your name, username and address are gone from the account. What was in your personal organization \
                    is removed after 30 days.",
                ),
                paragraph(
                    "If you sign in with this address again, that makes a new account. If you did not ask for this, write \
                    to the platform's staff at once.",
                ),
            ],
            reason: "You get this mail because the account with this address was deleted; it is the last one.".into(),
        }
        .render(envelope)
    }
}

impl InvitationReminder {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let expires = deadline(self.expires_at, &envelope);
        Document {
            subject: format!("Your invitation to {organization} expires soon"),
            preheader: format!("You can accept or decline it until {expires}."),
            heading: format!("Do you want to join {organization}?"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("You were invited to {organization} on Rollcall and have not answered yet.")),
                Block::Rows(vec![
                    row("Organization", organization),
                    row("Your role", name(&self.role)),
                    row("Open until", expires),
                ]),
                Block::Button { label: "See the invitation", url: self.link.clone() },
                paragraph(
                    "You accept or decline on the page that opens; opening it changes nothing. If you would rather not \
                    join, you can ignore this mail and the invitation ends by itself. There won't be another reminder.",
                ),
            ],
            reason: format!(
                "You get this mail because someone in {} entered your address to invite you.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

impl InvitationAccepted {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let member = name(&self.member_name);
        Document {
            subject: format!("{member} accepted your invitation to {organization}"),
            preheader: "They are a member now; there is nothing to do.".into(),
            heading: format!("{member} joined {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("{member} accepted your invitation and is a member of {organization} now.")),
                Block::Rows(vec![
                    row("Name", member),
                    row("Username", format!("@{}", name(&self.username))),
                    row("Role", name(&self.role)),
                    row("Joined", time(self.joined_at)),
                ]),
                paragraph(
                    "There is nothing to do. If that isn't whom you meant to invite, remove them in the members list: \
                    their access ends at once.",
                ),
            ],
            reason: format!("You get this mail because you invited them to {organization}."),
        }
        .render(envelope)
    }
}

impl RoleChanged {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let (old, new) = (name(&self.old_role), name(&self.new_role));
        let mut rows = vec![row("Role until now", old.clone()), row("Role now", new.clone())];
        rows.extend(self.changed_by.as_deref().map(|by| row("Changed by", name(by))));
        rows.push(row("When", time(self.changed_at)));
        Document {
            subject: format!("Your role in {organization} is now {new}"),
            preheader: format!("Until now it was {old}."),
            heading: format!("Your role in {organization} changed"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("Your role in {organization} is now {new}; it was {old}.")),
                Block::Rows(rows),
                paragraph(
                    "There is nothing you need to do. If you did not expect this, please ask whoever changed it, or the \
                    organization's owner.",
                ),
            ],
            reason: format!("You get this mail because you are a member of {organization}."),
        }
        .render(envelope)
    }
}

impl MembershipEnded {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let what = match self.kind {
            DepartureKind::Left | DepartureKind::Deleted => format!("You left {organization}."),
            DepartureKind::Removed => format!("You were removed from {organization}."),
            DepartureKind::Deactivated => format!("You were deactivated in {organization}."),
        };
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!(
                "{what} Your access has ended, and with it your API keys and share links there, and those of your \
                invitations, codes and offers that nobody had answered."
            )),
        ];
        blocks.extend(self.end.blocks(&organization));
        blocks.push(paragraph(
            "What you owned there passes to the organization's owner. Once that is done you get a receipt that names it.",
        ));
        Document {
            subject: format!("Your access to {organization} has ended"),
            preheader: what.clone(),
            heading: format!("Your access to {organization} has ended"),
            blocks,
            reason: format!("You get this mail because you were a member of {organization}."),
        }
        .render(envelope)
    }
}

impl MembershipEnd {
    fn blocks(&self, organization: &str) -> Vec<Block> {
        let mut rows = vec![row("Organization", organization.to_owned()), row("When", time(self.ended_at))];
        rows.extend(self.message.as_deref().map(|message| row("Message to you", line(message, limits::DESCRIPTION))));
        let mut blocks = vec![Block::Rows(rows)];
        if self.suspended {
            blocks.push(paragraph(format!(
                "Your account came from {organization} and belongs to no other organization, so it was suspended: until an \
                organization invites you and you accept, you can't use it."
            )));
        }
        blocks
    }
}

impl MembershipRestored {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let mut rows = vec![row("Organization", organization.clone()), row("Your role", name(&self.role))];
        rows.extend(self.restored_by.as_deref().map(|by| row("Brought back by", name(by))));
        rows.push(row("When", time(self.restored_at)));
        let left_behind = match self.returns {
            true => "What you left behind goes back to you, as far as it still is where it was passed on.",
            false => "What you left behind stays with whoever received it.",
        };
        Document {
            subject: format!("You are back in {organization}"),
            preheader: "You have your role and permissions again.".into(),
            heading: format!("You are back in {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "You are a member of {organization} again, with the role and permissions that you had. {left_behind}"
                )),
                Block::Rows(rows),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "API keys, share links and invitations that ended with your membership have not come back: make new ones \
                    where you need them. If you would rather not be a member, you can leave at any time.",
                ),
            ],
            reason: format!("You get this mail because you are a member of {organization}."),
        }
        .render(envelope)
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

impl OwnerReplaced {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let owner = format!("{} (@{})", name(&self.new_owner_name), name(&self.new_owner_username));
        Document {
            subject: format!("{organization} has a new owner"),
            preheader: format!("The platform's staff passed the ownership to {owner}."),
            heading: format!("{organization} has a new owner"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "The platform's staff passed the ownership of {organization} from you to {owner}. You are an admin there \
                    now. Open invitations and codes of yours that an admin can't issue have ended."
                )),
                Block::Rows(vec![
                    row("Organization", organization.clone()),
                    row("New owner", owner),
                    row("When", time(self.replaced_at)),
                ]),
                paragraph("If you did not ask for this, and nobody has told you why, please ask the platform's staff."),
            ],
            reason: format!("You get this mail because you owned {organization}."),
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

impl GrantInvitation {
    /// Renders the mail.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let (inviter, organization) = (name(&self.inviter_name), name(&self.organization_name));
        let (resource, kind) = (name(&self.resource_name), name(&self.kind));
        let expires = deadline(self.expires_at, &envelope);
        Document {
            subject: format!("{inviter} shares {resource} with you"),
            preheader: format!("Sign in with this address by {expires}."),
            heading: format!("{resource} is shared with you"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("{inviter} shares the {kind} {resource} of {organization} with you on Rollcall.")),
                Block::Rows(vec![
                    row("What", format!("{resource} ({kind})")),
                    row("You may", name(&self.level)),
                    row("Sign in by", expires),
                ]),
                Block::Button { label: "See what is shared", url: self.link.clone() },
                paragraph(
                    "You sign in on the page that opens, with this address, with or without an account; then you have access. If \
                    you don't know the sender, ignore this mail.",
                ),
            ],
            reason: format!("You get this mail because {inviter} entered this address."),
        }
        .render(envelope)
    }
}

impl TransferOffer {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let project = name(&self.project_name);
        let offered_by = match &self.offered_by_username {
            Some(username) => format!("{} (@{})", name(&self.offered_by_name), name(username)),
            None => name(&self.offered_by_name),
        };
        let expires = deadline(self.expires_at, &envelope);
        let pays = match &self.to_name {
            Some(to) => format!("{} will hold it and pay for it.", name(to)),
            None => "the organization that you choose, one that you may bill, will hold it and pay for it.".to_owned(),
        };
        let mut rows = vec![row("Project", project.clone()), row("It is in", name(&self.from_name))];
        rows.extend(self.to_name.as_deref().map(|to| row("For", name(to))));
        rows.push(row("Offer", name(&self.transfer_id)));
        rows.push(row("Open until", expires.clone()));
        Document {
            subject: format!("{} offers you the project {project}", name(&self.offered_by_name)),
            preheader: format!("Accept or decline it until {expires}."),
            heading: format!("The project {project} is offered to you"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("{offered_by} offers you this project. If you accept, you will own it, and {pays}")),
                Block::Rows(rows),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "Accept or decline it in the platform that you use, where the offer has the id above. If you do nothing, \
                    it expires.",
                ),
            ],
            reason: "You get this mail because the project was offered to your account.".to_owned(),
        }
        .render(envelope)
    }
}

impl TransferAnswered {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let project = name(&self.project_name);
        let recipient = match &self.recipient_username {
            Some(username) => format!("{} (@{})", name(&self.recipient_name), name(username)),
            None => name(&self.recipient_name),
        };
        let (subject, said, follows) = match self.answer {
            TransferAnswer::Accepted => (
                format!("{} accepted the project {project}", name(&self.recipient_name)),
                format!("{recipient} accepted the project that you offered, and owns it from now on."),
                "It is read-only until it has moved with everything that lies in it. The people it is shared with keep their \
                access; teams, and invitations that nobody has answered, don't come along.",
            ),
            TransferAnswer::Declined => (
                format!("{} declined the project {project}", name(&self.recipient_name)),
                format!("{recipient} declined the project that you offered."),
                "It stays where it is, and nothing about it has changed.",
            ),
            TransferAnswer::Expired => (
                format!("Your offer of the project {project} has expired"),
                format!("{recipient} did not answer your offer of this project in time."),
                "It stays where it is, and nothing about it has changed. Offer it again if you like.",
            ),
        };
        let mut rows = vec![row("Project", project), row("Offered from", name(&self.from_name))];
        rows.extend(self.to_name.as_deref().map(|to| row("For", name(to))));
        rows.push(row("Offer", name(&self.transfer_id)));
        Document {
            subject: subject.clone(),
            preheader: follows.to_owned(),
            heading: subject,
            blocks: vec![greeting(&envelope), paragraph(said), Block::Rows(rows), paragraph(follows)],
            reason: "You get this mail because you offered the project.".to_owned(),
        }
        .render(envelope)
    }
}

impl WebhookDisabled {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let host = address(&self.host);
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
        let owner = self.new_owner_name.as_deref().map_or_else(|| "the organization's owner".to_owned(), name);
        let (heading, back) = match self.kind {
            DepartureKind::Left | DepartureKind::Deleted => {
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
        let mut blocks = vec![greeting(&envelope)];
        match &self.end {
            Some(end) => {
                blocks.push(paragraph(format!(
                    "Your membership in {organization} has ended, and your access with it: your API keys and share links there, \
                    and those of your invitations, codes and offers that nobody had answered. {back}"
                )));
                blocks.extend(end.blocks(&organization));
            }
            None => blocks.push(paragraph(format!(
                "Your membership in {organization} has ended, and your access to it with it. {back}"
            ))),
        }
        if total == 0 {
            blocks.push(paragraph("You owned nothing there that had to be passed on."));
        } else {
            blocks.push(paragraph(format!("What you owned there is safe: it belongs to {owner} now.")));
            blocks.extend(self.moved.blocks());
        }
        if self.moved.collected_samples > 0 {
            blocks.push(paragraph(format!(
                "Your samples that lay in no project ({}) are in a new project now, which belongs to {}. They stay yours.",
                thousands(self.moved.collected_samples),
                self.samples_owner_name.as_deref().map_or_else(|| owner.clone(), name),
            )));
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
            DepartureKind::Deleted => format!("A member of {organization} deleted their account"),
        };
        let total = self.moved.total();
        let gone = match self.kind {
            // Neither name nor username is left.
            DepartureKind::Deleted => "Someone who deleted their account".to_owned(),
            DepartureKind::Left | DepartureKind::Removed | DepartureKind::Deactivated => {
                format!("{leaver} (@{})", name(&self.leaver_username))
            }
        };
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!("{gone} is no longer a member of {organization}; their access ended immediately.")),
        ];
        if self.advice.is_empty() {
            blocks.push(paragraph("There is nothing you need to do."));
        } else {
            blocks.push(paragraph("Please take care of this:"));
            blocks.push(Block::List(self.advice.iter().map(|advice| line(advice, 300)).collect()));
        }
        let others: Vec<String> = self.other_owners.iter().map(|owner| name(owner)).collect();
        let others = others.join(" and ");
        if total == 0 && others.is_empty() {
            blocks.push(paragraph("They owned nothing there that had to be passed on."));
        } else if total == 0 {
            blocks.push(paragraph(format!(
                "What they owned there passed to {others}, who owned {organization} at the time."
            )));
        } else {
            blocks.push(paragraph("What they owned there belongs to you now:"));
            blocks.extend(self.moved.blocks());
            if !others.is_empty() {
                blocks.push(paragraph(format!("The rest passed to {others}, who owned {organization} at the time.")));
            }
        }
        if self.moved.collected_samples > 0 {
            blocks.push(paragraph(format!(
                "Their samples that lay in no project ({}) are in a new project of yours now. They stay theirs.",
                thousands(self.moved.collected_samples)
            )));
        }
        Document {
            subject: heading.clone(),
            preheader: match total {
                0 => "Their access ended immediately.".into(),
                _ => "Their access ended immediately, and what they owned belongs to you now.".into(),
            },
            heading,
            blocks,
            reason: match self.owns {
                true => {
                    format!("You get this mail because you own {organization}; the owner is told of everyone who goes.")
                }
                false => format!("You get this mail because you owned {organization} when this passed on."),
            },
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
        let mut examples: Vec<String> = self.examples.iter().map(|example| name(example)).collect();
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

/// A time to come, also as counted from the mail's date: `29 November 2026, 14:05 UTC (in 7 days)`.
fn deadline(deadline: DateTime<Utc>, envelope: &Envelope) -> String {
    // What was counted from a moment before the mail's is as long as it was meant to be.
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
