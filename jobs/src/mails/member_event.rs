//! The audit event that an email to a member is about.

use diesel_async::AsyncPgConnection;
use rollcall_domain::Result;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::authority::audit::{self, AuditEvent};
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::id::{AuditEventId, MemberId};
use rollcall_domain::membership::member::{self, Member};
use rollcall_domain::membership::organization;

/// Something that was done to a member, who is still a member.
pub(crate) struct MemberEvent {
    pub(crate) event: AuditEvent,
    pub(crate) member: Member,
    pub(crate) user: User,
    pub(crate) organization_name: String,
    /// The name of the user who did it. `None` if that wasn't a member, or if the member may not see who leads the
    /// organization (R77).
    pub(crate) done_by: Option<String>,
}

impl MemberEvent {
    /// Loads the event. `None` if there is nothing to tell any more, because the member is gone or the organization is
    /// deleted.
    pub(crate) async fn find(reader: &mut AsyncPgConnection, id: AuditEventId) -> Result<Option<Self>> {
        let Some(event) = audit::by_id(reader, id).await? else { return Ok(None) };
        let member_id: Option<MemberId> = event.target_id.as_deref().and_then(|id| id.parse().ok());
        let found = member::by_ids(reader, member_id.as_slice()).await?.pop();
        let Some(member) = found.filter(|member| member.status == MemberStatus::Active) else { return Ok(None) };
        let organization = organization::by_id(reader, event.organization_id).await?;
        if organization.deleted_at.is_some() {
            return Ok(None);
        }
        let user = user::by_id(reader, member.user_id).await?;
        let done_by = match event.actor_id.filter(|_| organization.standing_of(member.role).sees_structure()) {
            Some(id) => Some(user::by_id(reader, id).await?.name),
            None => None,
        };
        Ok(Some(Self { event, member, user, organization_name: organization.name, done_by }))
    }
}
