//! The email with the link and the digits for signing in.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::device;
use rollcall_domain::base::id::TypedId;
use rollcall_domain::base::job::MailSignIn;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::base::secret::Purpose;
use rollcall_domain::membership::{invitation, organization};
use rollcall_domain::{database, sign_in};
use url::Url;

use crate::context::{Context, connection, hold, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{duration, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// Lets the recipient sign in. The email is the same whether or not the address has an account.
#[derive(Clone)]
pub struct SignInMail {
    /// The page for signing in.
    pub link: Url,
    /// The digits that can be typed instead.
    pub digits: String,
    /// The number of minutes for which the link works.
    pub link_minutes: u32,
    /// The number of minutes for which the digits work.
    pub digits_minutes: u32,
    /// The User-Agent header of the request. Only the browser and system recognized in it are shown.
    pub user_agent: Option<String>,
    /// The organization that the recipient can join after signing in, if there is one.
    pub organization_name: Option<String>,
}

impl SignInMail {
    /// Renders the email. It doesn't use the envelope's name, so that it is the same for addresses with and without an
    /// account.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let welcome = match &self.organization_name {
            Some(organization) => format!("Sign in, and you can join {} right after.", name(organization)),
            None => "Welcome. This is all you need to sign in; there is no password.".into(),
        };
        Document {
            // In the subject, people see the digits before they open the email, and can type them from there.
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
                paragraph("Or enter this code where you asked to sign in:"),
                Block::Code(self.digits.clone()),
                paragraph(format!(
                    "The link works for {} and the code for {}, each of them once. If you ask again, you get a new \
                    code and this one stops working.",
                    duration(self.link_minutes),
                    duration(self.digits_minutes)
                )),
                Block::Rows(vec![row("Asked from", device::name(self.user_agent.as_deref()))]),
                paragraph(
                    "If that wasn't you, ignore this email: nobody can get in without it. Never tell anyone the code; \
                    we will never ask you for it.",
                ),
            ],
            reason: "You received this email because someone entered your email address to sign in to Rollcall.".into(),
        }
        .render(Envelope { name: None, ..envelope })
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailSignIn) -> Result<(), JobError> {
    let id = payload.sign_in_request_id;
    sign_in::record_request(&context.database, id, &hold(job)).await.map_err(job_error)?;
    let mut reader = connection(context).await?;
    let Some(request) = sign_in::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    // An email with a link that no longer works would only confuse.
    let now = database::now(&reader).await.map_err(job_error)?;
    if request.used_at.is_some() || request.link_expires_at() <= now {
        return Ok(());
    }
    let organization_name = match request.invitation_id {
        None => None,
        Some(invitation_id) => match invitation::by_id(&mut reader, invitation_id).await.map_err(job_error)? {
            None => None,
            Some(invitation) => {
                Some(organization::by_id(&reader, invitation.organization_id).await.map_err(job_error)?.name)
            }
        },
    };
    drop(reader);
    // A retry is still the same email, so it isn't counted again.
    if job.attempt == 1 && !sign_in::take_mail_turn(&context.database, &request).await.map_err(job_error)? {
        tracing::info!("not sent: this address has had enough such mails, or strangers have from there");
        return Ok(());
    }
    // This comes before the email, whose digits may be typed as soon as it is there.
    sign_in::mark_mailed(&context.database, id).await.map_err(job_error)?;
    let keyring = context.database.keyring();
    let token = keyring.link_token(Purpose::SignInLink, id.uuid(), 1).map_err(job_error)?;
    let minutes = |lifetime: std::time::Duration| u32::try_from(lifetime.as_secs() / 60).unwrap_or(u32::MAX);
    let mail = SignInMail {
        link: context.link(Route::SignInLink(token.reveal())),
        digits: keyring.digits(id.uuid()).map_err(job_error)?,
        link_minutes: minutes(limits::SIGN_IN_LINK_LIFETIME),
        digits_minutes: minutes(limits::SIGN_IN_DIGITS_LIFETIME),
        user_agent: request.user_agent,
        organization_name,
    };
    let envelope = Envelope {
        key: format!("sign-in.{id}"),
        address: request.email.to_string(),
        name: None,
        date: request.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
