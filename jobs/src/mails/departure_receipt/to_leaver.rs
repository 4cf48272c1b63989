//! The leaver's receipt.

use rollcall_domain::departure::receipt::MembershipEnding;

use super::Moved;
use crate::mail::document::{Document, name};
use crate::mail::words::{greeting, paragraph, thousands};
use crate::mail::{Envelope, Mail, RenderError};
use crate::mails::membership_ended::MembershipEnd;

/// The receipt that the leaver gets.
#[derive(Debug, Clone)]
pub struct DepartureToLeaverMail {
    /// The organization.
    pub organization_name: String,
    /// How the membership ended.
    pub ending: MembershipEnding,
    /// The end of the membership, if no earlier email told of it.
    pub end: Option<MembershipEnd>,
    /// The name of the user who received the leaver's resources. `None` if the email is to say only that it is the
    /// organization's owner.
    pub new_owner_name: Option<String>,
    /// The name of the user who owns the project that samples were collected into.
    pub samples_owner_name: Option<String>,
    /// What moved.
    pub moved: Moved,
}

impl DepartureToLeaverMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let owner = self.new_owner_name.as_deref().map_or_else(|| "the organization's owner".to_owned(), name);
        let (heading, back) = match self.ending {
            MembershipEnding::Left | MembershipEnding::Deleted => {
                (format!("You left {organization}"), "You can come back with a new invitation or a join code.")
            }
            MembershipEnding::Removed => {
                (format!("You were removed from {organization}"), "You can come back with a new invitation.")
            }
            MembershipEnding::Deactivated => {
                (format!("You were deactivated in {organization}"), "Only the organization can let you back in.")
            }
        };
        let total = self.moved.total();
        let mut blocks = vec![greeting(&envelope)];
        match &self.end {
            Some(end) => {
                blocks.push(paragraph(format!(
                    "Your membership in {organization} has ended, and your access with it. Your API keys and share \
                    links there no longer work, and your invitations, codes and offers that nobody had answered have \
                    ended, too. {back}"
                )));
                blocks.extend(end.blocks(&organization));
            }
            None => blocks.push(paragraph(format!(
                "Your membership in {organization} has ended, and your access with it. {back}"
            ))),
        }
        if total == 0 {
            blocks.push(paragraph("You owned nothing there that had to be passed on."));
        } else {
            blocks.push(paragraph(format!("What you owned there is safe: it now belongs to {owner}.")));
            blocks.extend(self.moved.blocks());
        }
        if self.moved.collected_samples > 0 {
            blocks.push(paragraph(format!(
                "Your samples that weren't in any project ({}) are now in a new project, which belongs to {}. They \
                stay yours.",
                thousands(self.moved.collected_samples),
                self.samples_owner_name.as_deref().map_or_else(|| owner.clone(), name),
            )));
        }
        blocks.push(paragraph(format!(
            "There is nothing you need to do. If you think this is a mistake or something of yours is missing, please \
            ask {owner}."
        )));
        Document {
            subject: heading.clone(),
            preheader: match total {
                0 => "Your access has ended.".into(),
                _ => format!("Your access has ended, and what you owned there now belongs to {owner}."),
            },
            heading,
            blocks,
            reason: format!("You received this email because you were a member of {organization}."),
        }
        .render(envelope)
    }
}
