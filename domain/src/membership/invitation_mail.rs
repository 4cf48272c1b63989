//! What the emails about an invitation say.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::base::error::Result;
use crate::base::id::InvitationId;
use crate::base::text::EmailAddress;
use crate::database::rollcall_now;
use crate::database::schema::{invitations, organizations, users};
use crate::membership::invitation::Invitation;
use crate::membership::invitation_grants::{self, GrantInWords};
use crate::membership::organization::Organization;

/// An invitation with everything that its emails say.
#[derive(Debug, Clone)]
pub struct InvitationToMail {
    /// The invitation.
    pub invitation: Invitation,
    /// The organization.
    pub organization: Organization,
    /// The inviter's name; `None` if the platform invited.
    pub inviter_name: Option<String>,
    /// The address, and the name to greet. `None` if the invited account is deleted.
    pub recipient: Option<(EmailAddress, Option<String>)>,
    /// What is granted with the membership.
    pub grants: Vec<GrantInWords>,
    /// The time at which this was read.
    pub at: DateTime<Utc>,
}

/// Loads an invitation for its emails, without checking access.
pub async fn by_id(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<InvitationToMail>> {
    type Account = (Option<EmailAddress>, String);
    type Found = (Invitation, Organization, Option<String>, Option<Account>, DateTime<Utc>);
    let (inviters, invitees) = diesel::alias!(users as inviters, users as invitees);
    let found: Option<Found> = invitations::table
        .find(id)
        .inner_join(organizations::table.on(organizations::id.eq(invitations::organization_id)))
        .left_join(inviters.on(inviters.field(users::id).nullable().eq(invitations::invited_by_id)))
        .left_join(invitees.on(invitees.field(users::id).nullable().eq(invitations::user_id)))
        .select((
            Invitation::as_select(),
            Organization::as_select(),
            inviters.field(users::name).nullable(),
            invitees.fields((users::email, users::name)).nullable(),
            rollcall_now(),
        ))
        .first(connection)
        .await
        .optional()?;
    let Some((invitation, organization, inviter_name, account, at)) = found else { return Ok(None) };
    let grants = invitation_grants::in_words(connection, &invitation).await?;
    let recipient = match (invitation.email.clone(), account) {
        (Some(email), _) => Some((email, invitation.name.clone())),
        (None, Some((Some(email), name))) => Some((email, invitation.name.clone().or(Some(name)))),
        (None, Some((None, _)) | None) => None,
    };
    Ok(Some(InvitationToMail { invitation, organization, inviter_name, recipient, grants, at }))
}
