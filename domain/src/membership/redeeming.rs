//! Joining an organization with a join code.

use serde_json::json;

use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::MemberId;
use crate::base::job::MailJoinedByCode;
use crate::base::limits;
use crate::database::Database;
use crate::membership::cause::Admission;
use crate::membership::join_code::{self, Digits};
use crate::membership::{joining, organization};

/// Joins an organization with a join code.
///
/// # Errors
///
/// NOT_FOUND on `code` for a code that is wrong, used, revoked or expired, always with the same answer (R30); whatever
/// forbids joining; RATE_LIMITED after too many attempts.
pub async fn redeem(database: &Database, actor: &Actor, code: &str, client: ClientNetwork) -> Result<MemberId> {
    let person = actor.person("code")?;
    let wrong = || {
        Refusal::new(
            Code::NotFound,
            "code",
            "this code doesn't work: it is wrong, used, revoked or older than 24 hours; ask for a new one",
        )
    };
    let digits = Digits::parse(code)
        .ok_or_else(|| Refusal::new(Code::Invalid, "code", "a code has 8 digits, such as 1234-5678"))?;
    // The attempt is counted and committed before anything is looked up.
    let tried =
        attempt::count_attempt(database, &limits::JOIN_CODE_TRIES, &person.user_id().to_string(), client).await?;
    let digests = digits.accepted_digests(database.keyring())?;
    let redeemed = database
        .transaction(async |transaction| {
            let found = join_code::organization_of(transaction, &digests).await?;
            // A platform key that acts for the person may not reach that organization.
            let organization_id = found.filter(|id| actor.present(*id).is_some()).ok_or_else(wrong)?;
            access::lock_users(transaction, &[person.user_id()]).await?;
            if !access::lock_organization(transaction, organization_id).await? {
                return Err(wrong().into());
            }
            let used = join_code::use_up(transaction, organization_id, &digests, person).await?;
            let code = used.ok_or_else(wrong)?;
            let organization = organization::by_id(transaction, organization_id).await?;
            let admission = Admission::JoinCode { code: &code, permissions: organization.default_permissions.into() };
            let (member_id, mut events) = joining::join(transaction, admission, "code").await?;
            join_code::set_user(transaction, &code).await?;
            transaction.enqueue(&MailJoinedByCode { join_code_id: code.id() }).await?;
            events.push(
                admission
                    .event(AuditAction::MemberJoined, member_id)
                    .summary(format!("{} joined by code as {}", code.user_id(), code.role()))
                    .about(code.user_id())
                    .with(json!({
                        "via": "join_code", "joinCodeIds": [code.id().to_string()], "role": code.role().as_str(),
                    })),
            );
            audit::record(transaction, events.into_iter().map(|event| event.through(actor))).await?;
            Ok(member_id)
        })
        .await;
    tried.refund_if_right(redeemed).await
}
