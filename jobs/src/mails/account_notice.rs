//! The email that tells somebody what the platform did with their account (R84).

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::authority::audit::{self, AuditAction, AuditEvent};
use rollcall_domain::base::job::MailAccountNotice;
use rollcall_domain::base::link::Route;
use url::Url;

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// What the platform did with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountNotice {
    /// It suspended the account.
    Suspended,
    /// It lifted the account's suspension.
    SuspensionLifted,
    /// It ended all sessions.
    SessionsEnded,
}

impl AccountNotice {
    fn of(event: &AuditEvent) -> Option<Self> {
        [
            (AuditAction::UserSuspended, Self::Suspended),
            (AuditAction::UserSuspensionLifted, Self::SuspensionLifted),
            (AuditAction::UserSignedOut, Self::SessionsEnded),
        ]
        .into_iter()
        .find_map(|(action, notice)| (event.action == action.as_str()).then_some(notice))
    }
}

/// Tells the recipient what the platform did with their account.
#[derive(Debug, Clone)]
pub struct AccountNoticeMail {
    /// What it did.
    pub notice: AccountNotice,
    /// The account's username, without `@`.
    pub username: String,
    /// When that happened.
    pub done_at: DateTime<Utc>,
    /// The page on which people sign in.
    pub sign_in_link: Url,
}

impl AccountNoticeMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let rows =
            Block::Rows(vec![row("Account", format!("@{}", name(&self.username))), row("When", time(self.done_at))]);
        let sign_in = Block::Button { label: "Sign in", url: self.sign_in_link.clone() };
        let (subject, preheader, heading, blocks) = match self.notice {
            AccountNotice::Suspended => (
                "Your Rollcall account was suspended",
                "You can't sign in until the suspension is lifted.",
                "Your account was suspended",
                vec![
                    greeting(&envelope),
                    paragraph(
                        "The platform suspended your account. Until the suspension is lifted, you can't sign in, and \
                        your sessions and API keys don't work. Your memberships stay, and what you own stays yours.",
                    ),
                    rows,
                    paragraph(
                        "If you don't know why, or think that this is a mistake, please contact the platform's staff.",
                    ),
                ],
            ),
            AccountNotice::SuspensionLifted => (
                "Your Rollcall account works again",
                "The suspension of your account was lifted.",
                "Your account works again",
                vec![
                    greeting(&envelope),
                    paragraph(
                        "The platform lifted the suspension of your account. You can sign in again. Sessions and API \
                        keys that haven't expired or ended meanwhile work again, too.",
                    ),
                    rows,
                    sign_in,
                ],
            ),
            AccountNotice::SessionsEnded => (
                "You were signed out of Rollcall everywhere",
                "Sign in again to go on.",
                "You were signed out everywhere",
                vec![
                    greeting(&envelope),
                    paragraph(
                        "The platform ended all sessions of your account, on every device. Your API keys still work. \
                        Sign in again to go on.",
                    ),
                    rows,
                    sign_in,
                    paragraph("If nobody has told you why, please contact the platform's staff."),
                ],
            ),
        };
        Document {
            subject: subject.into(),
            preheader: preheader.into(),
            heading: heading.into(),
            blocks,
            reason: "You received this email because your Rollcall account has this email address.".into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailAccountNotice) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = audit::by_id(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    let Some(event) = found else { return Ok(()) };
    let not_of_this_kind = || JobError::discard("the event isn't about what the platform did with an account");
    let notice = AccountNotice::of(&event).ok_or_else(not_of_this_kind)?;
    let user_id = event.subject().ok_or_else(not_of_this_kind)?;
    let user = user::by_id(&mut reader, user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = user.email else { return Ok(()) };
    let mail = AccountNoticeMail {
        notice,
        username: user.username.to_string(),
        done_at: event.occurred_at,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("account-notice.{}", event.id),
        address: email.to_string(),
        name: Some(user.name),
        date: event.occurred_at,
    };
    context.send(job, mail.render(envelope)).await
}
