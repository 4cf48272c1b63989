//! The owner's receipt.

use rollcall_domain::departure::receipt::MembershipEnding;

use super::Moved;
use crate::mail::document::{Block, Document, line, name};
use crate::mail::words::{greeting, paragraph, thousands};
use crate::mail::{Envelope, Mail, RenderError};

/// The receipt that an owner gets.
#[derive(Debug, Clone)]
pub struct DepartureToOwnerMail {
    /// The organization.
    pub organization_name: String,
    /// How the membership ended.
    pub ending: MembershipEnding,
    /// The leaver's name.
    pub leaver_name: String,
    /// The leaver's username, without `@`.
    pub leaver_username: String,
    /// What moved to the recipient.
    pub moved: Moved,
    /// The names of others who received something because they owned the organization while the cascade was running.
    pub other_owners: Vec<String>,
    /// Whether the recipient still owns the organization.
    pub owns: bool,
    /// What the owner should do now, one sentence each, such as rotating secrets.
    pub advice: Vec<String>,
}

impl DepartureToOwnerMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let leaver = name(&self.leaver_name);
        let heading = match self.ending {
            MembershipEnding::Left => format!("{leaver} left {organization}"),
            MembershipEnding::Removed => format!("{leaver} was removed from {organization}"),
            MembershipEnding::Deactivated => format!("{leaver} was deactivated in {organization}"),
            MembershipEnding::Deleted => format!("The account of a member of {organization} was deleted"),
        };
        let total = self.moved.total();
        let gone = match self.ending {
            // A deleted account has neither name nor username left.
            MembershipEnding::Deleted => "Someone whose account was deleted".to_owned(),
            MembershipEnding::Left | MembershipEnding::Removed | MembershipEnding::Deactivated => {
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
            blocks.push(paragraph("What they owned there now belongs to you:"));
            blocks.extend(self.moved.blocks());
            if !others.is_empty() {
                blocks.push(paragraph(format!("The rest passed to {others}, who owned {organization} at the time.")));
            }
        }
        if self.moved.collected_samples > 0 {
            blocks.push(paragraph(format!(
                "Their samples that weren't in any project ({}) are now in a new project of yours. They stay theirs.",
                thousands(self.moved.collected_samples)
            )));
        }
        Document {
            subject: heading.clone(),
            preheader: match total {
                0 => "Their access ended immediately.".into(),
                _ => "Their access ended immediately, and what they owned now belongs to you.".into(),
            },
            heading,
            blocks,
            reason: match self.owns {
                true => {
                    format!(
                        "You received this email because you own {organization}; we tell the owner about everyone \
                        who leaves."
                    )
                }
                false => format!("You received this email because you owned {organization} when this was passed on."),
            },
        }
        .render(envelope)
    }
}
