//! What people issue, and how it ends together with them: invitations, join codes, invitations to resources, share
//! links and offers of projects (R42).
//!
//! However much somebody has issued, it ends with the commit that ends their membership or their right to issue it.
//! Every reader compares an object's position with the position of that end. Both come from one sequence, and the end's
//! position is taken under a lock on the membership that conflicts with the one for issuing, so no clock is involved.
//! When somebody returns, what they had issued stays ended. The worker marks what has ended and records it in the log.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::base::error::Result;
use crate::base::id::{
    CollaboratorId, DepartureId, GrantInvitationId, InvitationId, JoinCodeId, OrganizationId, ShareLinkId, TransferId,
    TypedId, UserId,
};
use crate::base::job::JobClaim;
use crate::base::limits;
use crate::base::sql::{FixedSql, Statements, fixed_sql, parameters};
use crate::database::{Database, Transaction};

/// The kinds of objects that people issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Issued {
    /// An invitation to an organization.
    Invitation,
    /// A join code.
    JoinCode,
    /// An email address's invitation to a resource.
    GrantInvitation,
    /// A link to a collection.
    ShareLink,
    /// An offer of a project.
    Transfer,
}

/// How a kind of issued object is stored. All fields are SQL of our own, never input, with the parameters of
/// [`EndedParameters`].
struct IssuedTable {
    table: &'static str,
    /// The condition for rows that have ended, whatever their status says.
    ended: &'static str,
    /// The condition for rows that can still be used, unless they have ended.
    waiting: &'static str,
    /// The condition for rows that end together with the membership of a leaver, `:user_id`.
    of_leaver: &'static str,
    /// The condition for rows that end for another reason that concerns the organization: a demotion, or the
    /// organization's deletion.
    of_organization: &'static str,
    /// The condition for rows that end together with an account, `:user_id`.
    of_account: &'static str,
    /// How a plan shows the row to people.
    shown: &'static str,
    /// The statement that marks the rows of `chunk` as ended.
    mark: &'static str,
    action: AuditAction,
    /// The noun that the log uses for these objects, and its key for their ids.
    noun: &'static str,
    key: &'static str,
    id: fn(Uuid) -> String,
}

fn id<T: TypedId>(uuid: Uuid) -> String {
    crate::base::id::to_text(T::from_uuid(uuid))
}

const NONE: &str = "false";

const INVITATION: IssuedTable = IssuedTable {
    table: "invitations",
    // The end depends on the role that the invitation gives: an admin who used to be the owner may still invite
    // members. The account is looked up by its key, row by row. With an EXISTS, PostgreSQL would read the accounts of
    // the whole deployment when many invitations are checked.
    ended: "EXISTS (SELECT FROM members m WHERE m.organization_id = invitations.organization_id \
         AND m.user_id = invitations.invited_by_id AND invitations.position <= CASE invitations.role \
         WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END) \
         OR (SELECT u.deleted_at FROM users u WHERE u.id = invitations.user_id) IS NOT NULL",
    waiting: "invitations.status = 'pending' AND invitations.expires_at > rollcall_now()",
    of_leaver: "invitations.organization_id = :organization_id AND invitations.invited_by_id = :user_id",
    of_organization: "invitations.organization_id = :organization_id AND EXISTS (SELECT FROM members m \
         WHERE m.organization_id = invitations.organization_id AND m.user_id = invitations.invited_by_id \
         AND invitations.position > m.issued_ended_position)",
    of_account: "invitations.user_id = :user_id",
    shown: "coalesce(invitations.email, (SELECT '@' || u.username FROM users u WHERE u.id = invitations.user_id), '')",
    mark: "UPDATE invitations SET status = 'revoked' FROM chunk",
    action: AuditAction::InvitationRevoked,
    noun: "invitation(s)",
    key: "invitationIds",
    id: id::<InvitationId>,
};

const JOIN_CODE: IssuedTable = IssuedTable {
    table: "join_codes",
    ended: "EXISTS (SELECT FROM members m WHERE m.organization_id = join_codes.organization_id \
         AND m.user_id = join_codes.created_by_id AND join_codes.position <= CASE join_codes.role \
         WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END)",
    waiting: "join_codes.status = 'active' AND join_codes.expires_at > rollcall_now()",
    of_leaver: "join_codes.organization_id = :organization_id AND join_codes.created_by_id = :user_id",
    of_organization: "join_codes.organization_id = :organization_id AND EXISTS (SELECT FROM members m \
         WHERE m.organization_id = join_codes.organization_id AND m.user_id = join_codes.created_by_id \
         AND join_codes.position > m.issued_ended_position)",
    of_account: NONE,
    shown: "'••••-••' || join_codes.hint",
    mark: "UPDATE join_codes SET status = 'revoked' FROM chunk",
    action: AuditAction::JoinCodeRevoked,
    noun: "join code(s)",
    key: "joinCodeIds",
    id: id::<JoinCodeId>,
};

const GRANT_INVITATION: IssuedTable = IssuedTable {
    table: "grant_invitations",
    ended: "EXISTS (SELECT FROM members m WHERE m.organization_id = grant_invitations.organization_id \
         AND m.user_id = grant_invitations.invited_by_id AND grant_invitations.position <= m.issued_ended_position)",
    waiting: "grant_invitations.expires_at > rollcall_now()",
    of_leaver: "grant_invitations.organization_id = :organization_id AND grant_invitations.invited_by_id = :user_id",
    of_organization: NONE,
    of_account: NONE,
    shown: "grant_invitations.email",
    mark: "DELETE FROM grant_invitations USING chunk",
    action: AuditAction::GrantInvitationRevoked,
    noun: "invitation(s) to resources",
    key: "grantInvitationIds",
    id: id::<GrantInvitationId>,
};

const SHARE_LINK: IssuedTable = IssuedTable {
    table: "share_links",
    ended: "EXISTS (SELECT FROM members m WHERE m.organization_id = share_links.organization_id \
         AND m.user_id = share_links.created_by_id AND share_links.position <= m.issued_ended_position)",
    waiting: "share_links.revoked_at IS NULL AND (share_links.expires_at IS NULL OR share_links.expires_at > rollcall_now())",
    of_leaver: "share_links.organization_id = :organization_id AND share_links.created_by_id = :user_id",
    of_organization: NONE,
    of_account: NONE,
    shown: "'link …' || share_links.hint",
    mark: "UPDATE share_links SET revoked_at = rollcall_now() FROM chunk",
    action: AuditAction::ShareLinkRevoked,
    noun: "link(s)",
    key: "shareLinkIds",
    id: id::<ShareLinkId>,
};

const TRANSFER: IssuedTable = IssuedTable {
    table: "project_transfers",
    // Offers end together with the person who made them, the recipient, and the organizations between which the project
    // would move.
    ended: "EXISTS (SELECT FROM members m WHERE project_transfers.position <= m.issued_ended_position \
         AND (m.organization_id = project_transfers.organization_id \
           AND m.user_id IN (project_transfers.offered_by_id, project_transfers.recipient_id) \
           OR m.organization_id = project_transfers.to_organization_id AND m.user_id = project_transfers.recipient_id)) \
         OR EXISTS (SELECT FROM users u WHERE u.id IN (project_transfers.offered_by_id, project_transfers.recipient_id) \
           AND u.deleted_at IS NOT NULL) \
         OR EXISTS (SELECT FROM organizations o WHERE project_transfers.position <= o.offers_ended_position \
           AND o.id IN (project_transfers.organization_id, project_transfers.to_organization_id))",
    waiting: "project_transfers.status = 'offered' AND project_transfers.expires_at > rollcall_now()",
    of_leaver: "(project_transfers.organization_id = :organization_id AND :user_id IN (project_transfers.offered_by_id, project_transfers.recipient_id) \
         OR project_transfers.to_organization_id = :organization_id AND project_transfers.recipient_id = :user_id)",
    of_organization: "(project_transfers.organization_id = :organization_id OR project_transfers.to_organization_id = :organization_id)",
    of_account: "(project_transfers.offered_by_id = :user_id OR project_transfers.recipient_id = :user_id)",
    // The organization must not learn what another organization calls its projects.
    shown: "CASE project_transfers.organization_id WHEN :organization_id THEN 'offer of ' || project_transfers.resource_name \
         ELSE 'offer from another organization' END",
    mark: "UPDATE project_transfers SET status = 'cancelled' FROM chunk",
    action: AuditAction::TransferCancelled,
    noun: "offer(s) of projects",
    key: "transferIds",
    id: id::<TransferId>,
};

impl Issued {
    /// All kinds of issued objects.
    const ALL: [Self; 5] = [Self::Invitation, Self::JoinCode, Self::GrantInvitation, Self::ShareLink, Self::Transfer];

    fn kept(self) -> &'static IssuedTable {
        match self {
            Self::Invitation => &INVITATION,
            Self::JoinCode => &JOIN_CODE,
            Self::GrantInvitation => &GRANT_INVITATION,
            Self::ShareLink => &SHARE_LINK,
            Self::Transfer => &TRANSFER,
        }
    }

    /// The condition for rows that have ended, for queries on the kind's table.
    pub(crate) fn has_ended(self) -> FixedSql<Bool> {
        fixed_sql(format!("({})", self.kept().ended))
    }

    /// The condition for rows that haven't ended, for queries on the kind's table.
    pub(crate) fn stands(self) -> FixedSql<Bool> {
        fixed_sql(format!("NOT ({})", self.kept().ended))
    }

    /// The condition for rows that can still be used, as SQL.
    pub(crate) fn open(self) -> String {
        let IssuedTable { waiting, ended, .. } = self.kept();
        format!("{waiting} AND NOT ({ended})")
    }

    /// The status that everybody sees, whether or not the worker has marked the row: if the row has ended, `over`
    /// instead of `waiting`.
    pub(crate) fn status(self, waiting: &str, over: &str) -> FixedSql<Text> {
        let IssuedTable { table, ended, .. } = self.kept();
        fixed_sql(format!("CASE WHEN {table}.status = '{waiting}' AND ({ended}) THEN '{over}' ELSE {table}.status END"))
    }
}

impl Issued {
    /// The status to store for a row that is over: `ended` if it has ended, otherwise `expired`.
    pub(crate) fn over(self, ended: &str, expired: &str) -> FixedSql<Text> {
        fixed_sql(format!("CASE WHEN {} THEN '{ended}' ELSE '{expired}' END", self.kept().ended))
    }
}

parameters! {
    struct AroundParameters {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
        most: Nullable<BigInt> = Option<i64>,
        examples: BigInt = i64,
    }
}

fn around_text(issued: &Issued) -> String {
    const TO_LEAVER: &str = " OR invitations.organization_id = :organization_id AND (invitations.user_id = :user_id \
         OR invitations.email = (SELECT u.email FROM users u WHERE u.id = :user_id))";
    let IssuedTable { table, of_leaver, shown, .. } = issued.kept();
    let to_leaver = if *issued == Issued::Invitation { TO_LEAVER } else { "" };
    let rows = format!("FROM {table} WHERE ({of_leaver}{to_leaver}) AND {}", issued.open());
    format!(include_str!("issued_around.sql"), rows = rows, shown = shown, table = table)
}

/// Counts what would end with somebody's departure and can still be used, and the invitations to that person, and
/// returns some examples for the plan. If there is a limit, no more rows of each kind are read.
pub(crate) async fn around(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    leaver: UserId,
    limit: Option<i64>,
    examples: i64,
) -> Result<(i64, Vec<String>)> {
    #[derive(QueryableByName)]
    struct IssuedAround {
        #[diesel(sql_type = BigInt)]
        count: i64,
        #[diesel(sql_type = Array<Text>)]
        examples: Vec<String>,
    }
    static STATEMENTS: Statements<Issued> = Statements::new();
    let (mut count, mut shown) = (0, Vec::new());
    for issued in Issued::ALL {
        let asked = AroundParameters { organization_id, user_id: leaver, most: limit, examples };
        let around: IssuedAround = STATEMENTS.with(issued, around_text, asked).get_result(connection).await?;
        count += around.count;
        shown.extend(around.examples);
    }
    shown.truncate(usize::try_from(examples).unwrap_or_default());
    Ok((count, shown))
}

/// What ended, together with the objects that are to be marked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EndedWith {
    /// A departure: ends what the leaver issued or could have accepted, up to a position.
    Departure {
        /// The departure.
        id: DepartureId,
        /// The organization that was left.
        organization_id: OrganizationId,
        /// The person who left.
        leaver: UserId,
        /// The position at which the membership ended.
        position: i64,
    },
    /// A right to issue objects in an organization, or the organization itself.
    Organization(OrganizationId),
    /// An account.
    Account(UserId),
    /// The access of a collaborator: ends what they issued or could have accepted.
    Collaboration {
        /// The collaborator.
        id: CollaboratorId,
        /// The organization that gave access.
        organization_id: OrganizationId,
        /// The person.
        user_id: UserId,
    },
}

impl EndedWith {
    fn parameters(self) -> EndedParameters {
        let (organization_id, user_id, position) = match self {
            Self::Departure { organization_id, leaver, position, .. } => {
                (Some(organization_id), Some(leaver), Some(position))
            }
            Self::Organization(id) => (Some(id), None, None),
            Self::Account(id) => (None, Some(id), None),
            Self::Collaboration { organization_id, user_id, .. } => (Some(organization_id), Some(user_id), None),
        };
        EndedParameters { organization_id, user_id, position, most: limits::CASCADE_CHUNK }
    }

    fn ending(self) -> EndedWithKind {
        match self {
            Self::Departure { .. } => EndedWithKind::Departure,
            Self::Organization(_) => EndedWithKind::Organization,
            Self::Account(_) => EndedWithKind::Account,
            Self::Collaboration { .. } => EndedWithKind::Collaboration,
        }
    }

    fn event(self, organization_id: OrganizationId, action: AuditAction) -> NewEvent {
        match self {
            Self::Departure { id, leaver, .. } => NewEvent::by_system(organization_id, action, id).about(leaver),
            Self::Organization(id) => NewEvent::by_system(organization_id, action, id),
            Self::Account(id) => NewEvent::by_system(organization_id, action, id).about(id),
            Self::Collaboration { id, user_id, .. } => NewEvent::by_system(organization_id, action, id).about(user_id),
        }
    }

    fn because(self) -> String {
        match self {
            Self::Departure { leaver, .. } => format!("{leaver} departed"),
            Self::Organization(_) => "whoever issued them may not any more, or an organization was deleted".to_owned(),
            Self::Account(user_id) => format!("the account {user_id} was deleted"),
            Self::Collaboration { .. } => "a collaborator was removed".to_owned(),
        }
    }
}

parameters! {
    /// Which objects have ended: the organization, the member or account, and the last position.
    struct EndedParameters {
        organization_id: Nullable<SqlUuid> = Option<OrganizationId>,
        user_id: Nullable<SqlUuid> = Option<UserId>,
        position: Nullable<BigInt> = Option<i64>,
        most: BigInt = i64,
    }
}

/// The kind of an [`EndedWith`]. Statements differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum EndedWithKind {
    Departure,
    Organization,
    Account,
    Collaboration,
}

impl EndedWithKind {
    /// The condition for the rows of a kind of object that are to be marked.
    fn condition(self, issued: Issued) -> String {
        let IssuedTable { table, ended, waiting, of_leaver, of_organization, of_account, .. } = issued.kept();
        let concerned = match self {
            Self::Departure => format!("{of_leaver} AND {table}.position <= :position"),
            Self::Organization => (*of_organization).to_owned(),
            Self::Account => (*of_account).to_owned(),
            // Nothing has ended before it is marked, since no membership ended. Offers of other organizations stay.
            Self::Collaboration => {
                return format!("{of_leaver} AND {table}.organization_id = :organization_id AND {waiting}");
            }
        };
        format!("{concerned} AND {waiting} AND ({ended})")
    }

    fn count_text(&self) -> String {
        let count =
            |issued: Issued| format!("(SELECT count(*) FROM {} WHERE {})", issued.kept().table, self.condition(issued));
        format!("SELECT {} AS count", Issued::ALL.map(count).join(" + "))
    }

    fn mark_text(self, issued: Issued) -> String {
        let IssuedTable { table, mark, .. } = issued.kept();
        format!(include_str!("mark_ended.sql"), table = table, condition = self.condition(issued), mark = mark)
    }
}

/// Counts the objects that are to be marked.
pub(crate) async fn count_ended(transaction: &mut Transaction, with: EndedWith) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    static STATEMENTS: Statements<EndedWithKind> = Statements::new();
    let statement = STATEMENTS.with(with.ending(), EndedWithKind::count_text, with.parameters());
    let found: Count = statement.get_result(&mut **transaction).await?;
    Ok(found.count)
}

/// Marks up to `most` objects that have ended. Returns how many, and the events to record: one for each kind and
/// organization, which names all of its objects.
pub(crate) async fn mark(transaction: &mut Transaction, with: EndedWith, most: i64) -> Result<(i64, Vec<NewEvent>)> {
    #[derive(QueryableByName)]
    struct MarkedRow {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
    }
    static STATEMENTS: Statements<(EndedWithKind, Issued)> = Statements::new();
    let (mut room, mut events) = (most, Vec::new());
    for issued in Issued::ALL {
        let kept = issued.kept();
        let key = (with.ending(), issued);
        let chunk = EndedParameters { most: room, ..with.parameters() };
        let statement = STATEMENTS.with(key, |(ending, issued)| ending.mark_text(*issued), chunk);
        let mut marked: Vec<MarkedRow> = statement.load(&mut **transaction).await?;
        room -= i64::try_from(marked.len()).unwrap_or(i64::MAX);
        marked.sort_by_key(|one| (one.organization_id, one.id));
        for of_one in marked.chunk_by(|one, next| one.organization_id == next.organization_id) {
            let Some(first) = of_one.first() else { continue };
            let ids: Vec<String> = of_one.iter().map(|one| (kept.id)(one.id)).collect();
            let event = with
                .event(first.organization_id, kept.action)
                .summary(format!("{} {} ended: {}", ids.len(), kept.noun, with.because()))
                .with(json!({ kept.key: ids }));
            events.push(event);
        }
    }
    Ok((most - room, events))
}

/// Marks a chunk of what ended in an organization because of demotions or together with the organization, in a
/// transaction of its own. Returns `false` if nothing is left to mark.
pub async fn mark_of_organization(database: &Database, id: OrganizationId, claim: JobClaim<'_>) -> Result<bool> {
    mark_chunk(database, EndedWith::Organization(id), claim).await
}

/// Like [`mark_of_organization`], for what ended together with an account.
pub async fn mark_of_account(database: &Database, id: UserId, claim: JobClaim<'_>) -> Result<bool> {
    mark_chunk(database, EndedWith::Account(id), claim).await
}

async fn mark_chunk(database: &Database, with: EndedWith, claim: JobClaim<'_>) -> Result<bool> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let (marked, events) = mark(transaction, with, limits::CASCADE_CHUNK).await?;
            audit::record(transaction, events).await?;
            Ok(marked == limits::CASCADE_CHUNK)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_statements_name_their_parameters() {
        require_fit::<AroundParameters>(Issued::ALL.iter().map(around_text));
        let endings = [
            EndedWithKind::Departure,
            EndedWithKind::Organization,
            EndedWithKind::Account,
            EndedWithKind::Collaboration,
        ];
        require_fit::<EndedParameters>(endings.iter().flat_map(|ending| {
            Issued::ALL.map(|issued| ending.mark_text(issued)).into_iter().chain([ending.count_text()])
        }));
    }
}
