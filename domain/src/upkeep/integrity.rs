//! Checks every invariant on the whole database, for `rollcall admin verify`.
//!
//! These checks should never find anything. They look at the stored data with plain SQL, from the outside, and don't
//! use the code that maintains the invariants. The exceptions are the forms of texts and the hashes of the audit logs,
//! which are computed again.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::authority::verification;
use crate::base::error::Result;
use crate::base::id::{
    ApiKeyId, DepartureId, GrantId, InvitationId, JoinCodeId, MemberId, OrganizationId, ResourceId, RunId, SessionId,
    TransferId, TypedId, UserId, WebhookId,
};
use crate::base::limits;
use crate::base::sql::{Statements, parameters};
use crate::database::schema::audit_heads;
use crate::database::{Database, stored_text};

/// A condition that the database must satisfy at every moment.
struct Invariant {
    /// The condition in words.
    name: &'static str,
    /// An SQL query for the ids of what violates it, as `id`.
    broken: &'static str,
    /// Formats such an id.
    id: fn(Uuid) -> String,
}

fn id<T: TypedId>(uuid: Uuid) -> String {
    crate::base::id::to_text(T::from_uuid(uuid))
}

const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "each organization has one owner (D2)",
        broken: "SELECT o.id FROM organizations o LEFT JOIN members m \
             ON m.organization_id = o.id AND m.role = 'owner' AND m.status = 'active' GROUP BY o.id HAVING count(m.id) <> 1",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "each owner's account lives (D2)",
        broken: "SELECT o.id FROM organizations o JOIN members m ON m.organization_id = o.id AND m.role = 'owner' AND m.status = 'active' \
             JOIN users u ON u.id = m.user_id \
             WHERE o.deleted_at IS NULL AND (u.deleted_at IS NOT NULL \
             OR u.suspended_at IS NOT NULL AND u.platform_suspension IS NULL AND o.personal_user_id IS NULL)",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "a personal organization is its account's alone (D5)",
        broken: "SELECT o.id FROM organizations o WHERE o.personal_user_id IS NOT NULL AND ( \
             EXISTS (SELECT FROM members m WHERE m.organization_id = o.id AND m.user_id <> o.personal_user_id) \
             OR EXISTS (SELECT FROM invitations i WHERE i.organization_id = o.id) \
             OR EXISTS (SELECT FROM join_codes c WHERE c.organization_id = o.id) \
             OR EXISTS (SELECT FROM teams t WHERE t.organization_id = o.id))",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "whoever isn't a member any more has departed (D6)",
        broken: "SELECT m.id FROM members m WHERE m.status <> 'active' AND NOT EXISTS (SELECT FROM departures d WHERE d.member_id = m.id)",
        id: id::<MemberId>,
    },
    Invariant {
        name: "an account that an organization suspended belongs to no organization (D6)",
        broken: "SELECT m.id FROM members m JOIN users u ON u.id = m.user_id JOIN organizations o ON o.id = m.organization_id \
             WHERE m.status = 'active' AND u.suspended_at IS NOT NULL AND u.platform_suspension IS NULL AND o.personal_user_id IS NULL \
             AND o.deleted_at IS NULL",
        id: id::<MemberId>,
    },
    Invariant {
        name: "a deleted account is a way in nowhere",
        broken: "SELECT u.id FROM users u WHERE u.deleted_at IS NOT NULL AND ( \
             EXISTS (SELECT FROM members m JOIN organizations o ON o.id = m.organization_id \
               WHERE m.user_id = u.id AND m.status = 'active' AND o.personal_user_id IS NULL) \
             OR EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id) \
             OR EXISTS (SELECT FROM identities i WHERE i.user_id = u.id) \
             OR EXISTS (SELECT FROM api_keys k JOIN organizations o ON o.id = k.organization_id \
               WHERE k.user_id = u.id AND k.revoked_at IS NULL AND NOT k.service AND o.deleted_at IS NULL))",
        id: id::<UserId>,
    },
    Invariant {
        name: "no account has a username that is kept for another",
        broken: "SELECT u.id FROM users u JOIN reserved_names r ON r.kind = 'username' AND r.name = u.username \
             WHERE r.reserved_until IS NULL OR r.reserved_until > rollcall_now()",
        id: id::<UserId>,
    },
    Invariant {
        name: "no organization has a slug that is kept for another",
        broken: "SELECT o.id FROM organizations o JOIN reserved_names r ON r.kind = 'slug' AND r.name = o.slug \
             WHERE r.reserved_until IS NULL OR r.reserved_until > rollcall_now()",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "no key of a leaver works (R32)",
        broken: "SELECT k.id FROM api_keys k JOIN members m USING (organization_id, user_id) \
             WHERE k.revoked_at IS NULL AND NOT k.service AND m.status <> 'active'",
        id: id::<ApiKeyId>,
    },
    Invariant {
        name: "an account that an organization suspended has no keys (R32)",
        broken: "SELECT k.id FROM api_keys k JOIN users u ON u.id = k.user_id \
             WHERE u.suspended_at IS NOT NULL AND u.platform_suspension IS NULL AND k.revoked_at IS NULL AND NOT k.service",
        id: id::<ApiKeyId>,
    },
    Invariant {
        name: "no session is active where its person is no member (R42)",
        broken: "SELECT s.id FROM sessions s WHERE s.active_organization_id IS NOT NULL AND s.expires_at > rollcall_now() AND NOT EXISTS ( \
             SELECT FROM members m WHERE m.organization_id = s.active_organization_id AND m.user_id = s.user_id AND m.status = 'active')",
        id: id::<SessionId>,
    },
    Invariant {
        name: "nobody's default bill-to is an organization that they may not bill (R55)",
        broken: "SELECT u.id FROM users u WHERE u.default_bill_to_id IS NOT NULL AND NOT EXISTS (SELECT FROM members m \
             WHERE m.organization_id = u.default_bill_to_id AND m.user_id = u.id AND m.status = 'active' AND (m.role IN ('owner', 'admin') \
             OR m.role = 'member' AND m.billable_activities))",
        id: id::<UserId>,
    },
    Invariant {
        name: "open invitations are of someone who may issue them (R42)",
        broken: "SELECT i.id FROM invitations i JOIN organizations o ON o.id = i.organization_id \
             JOIN members m ON m.organization_id = i.organization_id AND m.user_id = i.invited_by_id \
             WHERE i.status = 'pending' AND NOT (m.status = 'active' AND (m.role = 'owner' \
             OR m.role = 'admin' AND (i.role <> 'admin' OR o.admin_powers = 'owner_equivalent'))) \
             AND i.position > CASE i.role WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END",
        id: id::<InvitationId>,
    },
    Invariant {
        name: "nobody who belongs to an organization is invited there (R25)",
        broken: "SELECT i.id FROM invitations i JOIN users u ON u.email = i.email OR u.id = i.user_id \
             JOIN members m ON m.organization_id = i.organization_id AND m.user_id = u.id \
             WHERE i.status = 'pending' AND m.status = 'active'",
        id: id::<InvitationId>,
    },
    Invariant {
        name: "active codes are of someone who may issue them (R42)",
        broken: "SELECT c.id FROM join_codes c JOIN organizations o ON o.id = c.organization_id \
             JOIN members m ON m.organization_id = c.organization_id AND m.user_id = c.created_by_id \
             WHERE c.status = 'active' AND NOT (m.status = 'active' AND (m.role = 'owner' \
             OR m.role = 'admin' AND (c.role <> 'admin' OR o.admin_powers = 'owner_equivalent'))) \
             AND c.position > CASE c.role WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END",
        id: id::<JoinCodeId>,
    },
    Invariant {
        // R42: whoever leaves an organization leaves its teams.
        name: "a team holds members, and collaborators to whom something is granted (R66, R68, R81)",
        broken: "SELECT t.user_id AS id FROM team_members t LEFT JOIN members m USING (organization_id, user_id) \
             WHERE m.status IS DISTINCT FROM 'active' AND NOT (t.outside AND EXISTS (SELECT FROM grants g \
             WHERE g.organization_id = t.organization_id AND g.user_id = t.user_id AND (m.id IS NULL OR g.position > m.ended_at_position)))",
        id: id::<UserId>,
    },
    Invariant {
        name: "the list of collaborators misses nobody who reaches something (R67)",
        broken: "SELECT g.id FROM grants g LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id \
             WHERE g.user_id IS NOT NULL AND NOT g.outside AND m.status IS DISTINCT FROM 'active' \
             AND (m.id IS NULL OR g.position > m.ended_at_position)",
        id: id::<GrantId>,
    },
    Invariant {
        name: "every resource's owner is a member, save of samples, unless a departure is passing it on or it moves (R33, R34, R35, R61)",
        broken: "SELECT r.id FROM resources r LEFT JOIN members m ON m.organization_id = r.organization_id AND m.user_id = r.owner_id \
             WHERE m.status IS DISTINCT FROM 'active' AND r.kind <> 'sample' AND NOT r.moving \
             AND NOT EXISTS (SELECT FROM resources p WHERE p.id = r.container_id AND p.moving) AND NOT EXISTS (SELECT FROM departures d \
             WHERE d.member_id = m.id AND d.status IN ('running', 'failed'))",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "a leaver's samples lie in projects, unless a departure is collecting them (R36)",
        broken: "SELECT r.id FROM resources r LEFT JOIN members m ON m.organization_id = r.organization_id AND m.user_id = r.owner_id \
             WHERE r.kind = 'sample' AND r.container_id IS NULL AND m.status IS DISTINCT FROM 'active' AND NOT EXISTS ( \
             SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed'))",
        id: id::<ResourceId>,
    },
    Invariant {
        // Grants on projects are kept, but dormant, if the person had uploaded a sample there. The sample may have
        // been deleted since.
        name: "what was shared with a leaver isn't any more, but for projects (R37, R38)",
        broken: "SELECT g.resource_id AS id FROM grants g JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id \
             JOIN resources p ON p.id = g.resource_id WHERE m.status <> 'active' AND g.position <= m.ended_at_position AND p.kind <> 'project' \
             AND NOT EXISTS (SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed', 'reverting'))",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "who is back has what a departure has kept for them, and nothing else of before (R37)",
        broken: "SELECT g.resource_id AS id FROM grants g JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id \
             WHERE m.status = 'active' AND g.position <= m.ended_at_position AND coalesce(g.kept_position < m.ended_at_position, true) \
             AND NOT EXISTS (SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed', 'reverting'))",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "nothing waits for an address whose account was seen long after it was shared (R6)",
        broken: "SELECT g.resource_id AS id FROM grant_invitations g JOIN users u ON u.email = g.email WHERE g.expires_at > rollcall_now() \
             AND EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id AND s.last_seen_at > g.created_at + interval '1 hour')",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "no link or invitation to a resource is of a leaver (R42)",
        broken: "SELECT s.resource_id AS id FROM (SELECT organization_id, resource_id, created_by_id, created_at, position FROM share_links \
             WHERE revoked_at IS NULL UNION ALL \
             SELECT organization_id, resource_id, invited_by_id, created_at, position FROM grant_invitations WHERE expires_at > rollcall_now()) s \
             JOIN members m ON m.organization_id = s.organization_id AND m.user_id = s.created_by_id \
             WHERE m.status <> 'active' AND s.position > m.issued_ended_position \
             AND EXISTS (SELECT FROM departures d WHERE d.member_id = m.id AND d.started_at >= s.created_at)",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "what was issued ends where its issuer's membership ended (R42)",
        broken: "SELECT m.id FROM members m WHERE m.issued_ended_position < (SELECT max(d.ended_at_position) FROM departures d \
             WHERE d.member_id = m.id AND EXISTS (SELECT FROM departure_steps s WHERE s.departure_id = d.id AND s.step = 'revoke_issued' \
             AND s.completed_at IS NULL)) OR m.invites_ended_position < m.issued_ended_position \
             OR m.admin_invites_ended_position < m.issued_ended_position",
        id: id::<MemberId>,
    },
    Invariant {
        name: "what has ended with its issuer is marked, unless a departure or a job is about to (R42)",
        broken: "SELECT m.id FROM members m JOIN (SELECT organization_id, invited_by_id AS user_id, position, role FROM invitations \
               WHERE status = 'pending' AND expires_at > rollcall_now() UNION ALL \
             SELECT organization_id, created_by_id, position, role FROM join_codes WHERE status = 'active' AND expires_at > rollcall_now() \
             UNION ALL SELECT organization_id, created_by_id, position, NULL FROM share_links \
               WHERE revoked_at IS NULL AND coalesce(expires_at > rollcall_now(), true) UNION ALL \
             SELECT organization_id, invited_by_id, position, NULL FROM grant_invitations WHERE expires_at > rollcall_now() UNION ALL \
             SELECT organization_id, offered_by_id, position, NULL FROM project_transfers \
               WHERE status = 'offered' AND expires_at > rollcall_now()) i USING (organization_id, user_id) \
             WHERE i.position <= CASE coalesce(i.role, '') WHEN '' THEN m.issued_ended_position \
               WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END \
             AND NOT EXISTS (SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed', 'reverting')) \
             AND NOT EXISTS (SELECT FROM jobs j WHERE j.queue = 'departure' AND j.kind = 'mark_ended' \
               AND j.status IN ('waiting', 'running', 'given_up') AND j.payload ->> 'organization_id' = m.organization_id::text)",
        id: id::<MemberId>,
    },
    Invariant {
        name: "what has ended with an account is marked, unless a job is about to (R42)",
        broken: "SELECT u.id FROM users u WHERE u.deleted_at IS NOT NULL AND ( \
             EXISTS (SELECT FROM invitations i WHERE i.user_id = u.id AND i.status = 'pending' AND i.expires_at > rollcall_now()) \
             OR EXISTS (SELECT FROM project_transfers t WHERE u.id IN (t.offered_by_id, t.recipient_id) AND t.status = 'offered' \
               AND t.expires_at > rollcall_now())) \
             AND NOT EXISTS (SELECT FROM jobs j WHERE j.queue = 'departure' AND j.kind = 'mark_ended_with_account' \
               AND j.status IN ('waiting', 'running', 'given_up') AND j.payload ->> 'user_id' = u.id::text)",
        id: id::<UserId>,
    },
    Invariant {
        name: "what has ended with an organization is marked, unless a job is about to (R48)",
        broken: "SELECT o.id FROM organizations o JOIN project_transfers t \
             ON o.id IN (t.organization_id, t.to_organization_id) AND t.position <= o.offers_ended_position \
             WHERE t.status = 'offered' AND t.expires_at > rollcall_now() \
             AND NOT EXISTS (SELECT FROM jobs j WHERE j.queue = 'departure' AND j.kind = 'mark_ended' \
               AND j.status IN ('waiting', 'running', 'given_up') AND j.payload ->> 'organization_id' = o.id::text)",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "a team's grants are on resources of its organization (R66)",
        broken: "SELECT g.resource_id AS id FROM grants g JOIN resources r ON r.id = g.resource_id JOIN teams t ON t.id = g.team_id \
             WHERE t.organization_id <> r.organization_id OR g.organization_id <> r.organization_id",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "resources lie in what holds their kind, of the same organization, and not deeper than two (R65, R72)",
        broken: "SELECT r.id FROM resources r JOIN resources c ON c.id = r.container_id LEFT JOIN resources w ON w.id = c.container_id \
             WHERE c.organization_id <> r.organization_id OR w.container_id IS NOT NULL OR NOT CASE c.kind \
             WHEN 'workspace' THEN r.kind NOT IN ('workspace', 'sample') WHEN 'project' THEN r.kind IN ('volume', 'sample', 'document', 'app') \
             WHEN 'source_group' THEN r.kind = 'source' ELSE false END",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "collections gather what holds nothing, of their organization, and by its kind (R73)",
        broken: "SELECT i.collection_id AS id FROM collection_items i JOIN resources k ON k.id = i.collection_id \
             JOIN resources r ON r.id = i.resource_id WHERE k.kind <> 'collection' OR k.organization_id <> r.organization_id \
             OR r.kind <> i.kind OR r.kind IN ('project', 'workspace', 'source_group', 'collection')",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "runs are counted as they are (R69)",
        broken: "SELECT coalesce(c.organization_id, r.organization_id) AS id FROM run_counts c FULL JOIN ( \
             SELECT organization_id, kind, count(*) AS total, count(*) FILTER (WHERE status = 'queued') AS queued, \
               count(*) FILTER (WHERE status = 'running') AS running FROM runs GROUP BY organization_id, kind) r \
             ON r.organization_id = c.organization_id AND r.kind = c.kind \
             WHERE (c.total, c.queued, c.running) IS DISTINCT FROM (r.total, r.queued, r.running) \
             UNION ALL SELECT coalesce(d.organization_id, r.organization_id) FROM run_days d FULL JOIN ( \
             SELECT organization_id, (queued_at AT TIME ZONE 'UTC')::date AS day, count(*) AS total FROM runs GROUP BY 1, 2) r \
             ON r.organization_id = d.organization_id AND r.day = d.day WHERE d.total IS DISTINCT FROM r.total",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "what is bought and spent is the sum of purchases and ledger (R70)",
        broken: "SELECT o.id FROM organizations o LEFT JOIN organization_credits c ON c.organization_id = o.id \
             LEFT JOIN LATERAL (SELECT count(*) AS purchases, sum(amount) AS purchased FROM credit_purchases p WHERE p.organization_id = o.id) p ON true \
             LEFT JOIN LATERAL (SELECT sum(credits) AS spent FROM usage_entries e WHERE e.organization_id = o.id) e ON true \
             WHERE coalesce(c.purchases, 0) <> p.purchases OR coalesce(c.purchased, 0) <> coalesce(p.purchased, 0) \
               OR coalesce(c.spent, 0) <> coalesce(e.spent, 0)",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "usage by day and month is the sum of the ledger (R69)",
        broken: "SELECT coalesce(t.organization_id, e.organization_id) AS id FROM usage_totals t FULL JOIN ( \
             SELECT e.organization_id, g.grouped_by, s.span, date_trunc(s.span, e.occurred_at AT TIME ZONE 'UTC')::date AS starts_on, g.key, \
               CASE g.grouped_by WHEN 'kind' THEN sum(e.quantity) END AS quantity, sum(e.credits) AS credits \
             FROM usage_entries e CROSS JOIN (VALUES ('day'), ('month')) AS s (span) \
             CROSS JOIN LATERAL (VALUES ('kind', e.kind), ('member', coalesce(e.user_id::text, '')), \
               ('workspace', coalesce(e.workspace_id::text, ''))) AS g (grouped_by, key) GROUP BY 1, 2, 3, 4, 5) e \
             ON (e.organization_id, e.grouped_by, e.span, e.starts_on, e.key) = (t.organization_id, t.grouped_by, t.span, t.starts_on, t.key) \
             WHERE (t.quantity, t.credits) IS DISTINCT FROM (e.quantity, e.credits)",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "what a run used is what the ledger has of its reports (R70)",
        broken: "SELECT r.id FROM runs r LEFT JOIN LATERAL ( \
             SELECT coalesce(sum(quantity) FILTER (WHERE kind = 'cpu_hours'), 0) AS cpu_hours, \
               coalesce(sum(quantity) FILTER (WHERE kind = 'memory_gib_hours'), 0) AS memory_gib_hours, coalesce(sum(credits), 0) AS credits \
             FROM usage_entries e WHERE e.run_id = r.id AND e.idempotency_key IS NULL) e ON true \
             WHERE (r.cpu_hours, r.memory_gib_hours, r.credits) <> (e.cpu_hours, e.memory_gib_hours, e.credits)",
        id: id::<RunId>,
    },
    Invariant {
        name: "queued runs are of members, unless a departure is cancelling them (R42)",
        broken: "SELECT r.id FROM runs r LEFT JOIN members m ON m.organization_id = r.organization_id AND m.user_id = r.queued_by_id \
             WHERE r.status = 'queued' AND m.status IS DISTINCT FROM 'active' AND NOT EXISTS ( \
             SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed'))",
        id: id::<RunId>,
    },
    Invariant {
        name: "sizes add up (R64)",
        broken: "SELECT coalesce(s.organization_id, r.organization_id) AS id FROM organization_storage s FULL JOIN \
             (SELECT coalesce(t.to_organization_id, r.organization_id) AS organization_id, sum(r.size_bytes) AS bytes FROM resources r \
             LEFT JOIN resources p ON p.moving AND p.id IN (r.id, r.container_id) \
             LEFT JOIN project_transfers t ON t.resource_id = p.id AND t.status = 'accepted' AND t.moved_at IS NULL GROUP BY 1) r \
             USING (organization_id) \
             WHERE coalesce(s.used_bytes, 0) <> coalesce(r.bytes, 0)",
        id: id::<OrganizationId>,
    },
    Invariant {
        name: "what moves to another organization has been accepted, and has its job, be it given up (R61, R76)",
        broken: "SELECT r.id FROM resources r WHERE r.moving AND NOT EXISTS (SELECT FROM project_transfers t JOIN jobs j \
             ON j.queue = 'departure' AND j.payload ->> 'transfer_id' = t.id::text AND j.status IN ('waiting', 'running', 'given_up') \
             WHERE t.resource_id = r.id AND t.status = 'accepted' AND t.moved_at IS NULL) \
             UNION ALL SELECT r.id FROM resources r JOIN project_transfers t ON t.resource_id = r.id \
             WHERE t.status = 'accepted' AND t.moved_at IS NULL AND NOT r.moving",
        id: id::<ResourceId>,
    },
    Invariant {
        name: "open offers of projects are of members of where those are (R42, R61)",
        broken: "SELECT t.id FROM project_transfers t WHERE t.status = 'offered' AND \
             t.expires_at > rollcall_now() AND NOT EXISTS (SELECT FROM members m \
             WHERE m.organization_id = t.organization_id AND m.user_id = t.offered_by_id \
             AND (m.status = 'active' OR t.position <= m.issued_ended_position))",
        id: id::<TransferId>,
    },
    Invariant {
        name: "nothing is offered to a leaver, or from or to deleted organizations (R42, R48)",
        broken: "SELECT t.id FROM project_transfers t WHERE t.status = 'offered' AND t.expires_at > rollcall_now() AND ( \
             EXISTS (SELECT FROM departures d JOIN members m ON m.id = d.member_id WHERE d.user_id = t.recipient_id \
               AND d.organization_id IN (t.organization_id, t.to_organization_id) AND d.started_at >= t.created_at \
               AND t.position > m.issued_ended_position) \
             OR EXISTS (SELECT FROM organizations o WHERE o.id IN (t.organization_id, t.to_organization_id) AND o.deleted_at IS NOT NULL \
               AND t.position > o.offers_ended_position))",
        id: id::<TransferId>,
    },
    Invariant {
        name: "a departure is of its membership's user and organization, which ended in its way (D6)",
        broken: "SELECT d.id FROM departures d JOIN members m ON m.id = d.member_id \
             WHERE m.user_id <> d.user_id OR m.organization_id <> d.organization_id \
             UNION ALL SELECT d.id FROM members m CROSS JOIN LATERAL (SELECT id, kind FROM departures d \
               WHERE d.member_id = m.id ORDER BY started_at DESC, id DESC LIMIT 1) d WHERE m.status <> 'active' AND m.status <> CASE d.kind \
               WHEN 'leave' THEN 'left' WHEN 'remove' THEN 'removed' ELSE 'deactivated' END",
        id: id::<DepartureId>,
    },
    Invariant {
        name: "a departure under way has its job (R76)",
        broken: "SELECT d.id FROM departures d WHERE (d.status = 'running' OR d.status = 'reverting' AND d.error IS NULL) AND NOT EXISTS ( \
             SELECT FROM jobs j WHERE j.queue = 'departure' AND j.status IN ('waiting', 'running') \
             AND j.payload ->> 'departure_id' = d.id::text)",
        id: id::<DepartureId>,
    },
    Invariant {
        name: "a departure that came to its end has done all its steps",
        broken: "SELECT DISTINCT d.id FROM departures d JOIN departure_steps s ON s.departure_id = d.id \
             WHERE d.status = 'completed' AND s.completed_at IS NULL",
        id: id::<DepartureId>,
    },
    Invariant {
        name: "a departure that was taken back has dealt with all it had moved (R45)",
        broken: "SELECT DISTINCT d.id FROM departures d JOIN resource_moves v ON v.departure_id = d.id \
             WHERE d.status = 'reverted' AND v.reverted_at IS NULL AND v.kept_because IS NULL",
        id: id::<DepartureId>,
    },
    Invariant {
        name: "every move of a departure is written down",
        broken: "SELECT d.id FROM departures d WHERE d.status = 'completed' AND \
             (SELECT coalesce(sum(s.done), 0) FROM departure_steps s WHERE s.departure_id = d.id AND s.step IN \
             ('transfer_projects', 'transfer_volumes', 'transfer_others', 'collect_samples', 'share_documents')) \
             <> (SELECT count(*) FROM resource_moves m WHERE m.departure_id = d.id)",
        id: id::<DepartureId>,
    },
    Invariant {
        name: "a webhook's earlier secrets are older than its own, and end within a day (R75)",
        broken: "SELECT DISTINCT w.id FROM webhooks w JOIN webhook_previous_secrets s ON s.webhook_id = w.id \
             WHERE s.version >= w.secret_version OR s.ends_at > rollcall_now() + interval '24 hours'",
        id: id::<WebhookId>,
    },
    Invariant {
        name: "no webhook is ahead of its organization's log (R75)",
        broken: "SELECT w.id FROM webhooks w LEFT JOIN audit_heads h ON h.organization_id = w.organization_id \
             WHERE w.organization_id IS NOT NULL AND w.cursor > coalesce(h.sequence, 0)",
        id: id::<WebhookId>,
    },
    Invariant {
        name: "no webhook of the platform is ahead of the feed (R90)",
        broken: "SELECT w.id FROM webhooks w WHERE w.organization_id IS NULL \
             AND w.cursor_feed_position > (SELECT max(feed_position) FROM audit_events)",
        id: id::<WebhookId>,
    },
    Invariant {
        name: "webhooks of the platform have told nothing that their keys don't reach (R85, R90)",
        broken: "SELECT DISTINCT w.id FROM webhooks w JOIN platform_keys k ON k.id = w.platform_key_id AND k.limited \
             JOIN webhook_deliveries d ON d.webhook_id = w.id JOIN organizations o ON o.id = d.log_id WHERE NOT EXISTS ( \
             SELECT FROM platform_key_organizations r WHERE r.platform_key_id = k.id AND r.organization_id = d.log_id)",
        id: id::<WebhookId>,
    },
    Invariant {
        name: "lists of members are by the names that people have (R15)",
        broken: "SELECT m.id FROM members m JOIN users u ON u.id = m.user_id WHERE (m.sort_name, m.search_names, m.search_email) \
             IS DISTINCT FROM (u.folded_name, u.folded_name || E'\\n' || u.username, u.folded_email)",
        id: id::<MemberId>,
    },
];

/// The additional invariant of deployments that allow one organization per user (D3).
const ONE_ORGANIZATION: Invariant = Invariant {
    name: "everyone belongs to one organization (D3)",
    broken: "SELECT m.user_id AS id FROM members m JOIN organizations o ON o.id = m.organization_id \
         WHERE m.status = 'active' AND o.personal_user_id IS NULL AND o.deleted_at IS NULL GROUP BY m.user_id HAVING count(*) > 1",
    id: id::<UserId>,
};

/// The result of checking an invariant.
#[derive(Debug)]
pub struct Outcome {
    /// The invariant in words.
    pub invariant: &'static str,
    /// How many things violate it.
    pub broken: i64,
    /// The first [`limits::VERIFY_EXAMPLES`] of them.
    pub examples: Vec<String>,
}

#[derive(QueryableByName)]
struct BrokenCount {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Array<SqlUuid>)]
    examples: Vec<Uuid>,
}

/// Checks every invariant. Each is checked by one statement, and thus at one moment, whatever happens in the meantime.
/// The forms of texts and the audit logs are recomputed in chunks of rows.
pub async fn verify(database: &Database) -> Result<Vec<Outcome>> {
    let one_organization = database.deployment().one_organization_per_user.then_some(&ONE_ORGANIZATION);
    let mut outcomes = Vec::new();
    for invariant in INVARIANTS.iter().chain(one_organization) {
        outcomes.push(check(&mut *database.connection().await?, invariant).await?);
    }
    outcomes.push(text_forms(database).await?);
    outcomes.push(audit_logs(database).await?);
    Ok(outcomes)
}

parameters! {
    struct Examples { examples: BigInt = i64 }
}

fn check_text(invariant: &Invariant) -> String {
    format!(
        "WITH broken AS MATERIALIZED ({}) SELECT (SELECT count(*) FROM broken) AS count, \
         ARRAY(SELECT id FROM broken ORDER BY id LIMIT :examples) AS examples",
        invariant.broken
    )
}

async fn check(connection: &mut AsyncPgConnection, invariant: &Invariant) -> Result<Outcome> {
    static STATEMENTS: Statements<&str> = Statements::new();
    let asked = Examples { examples: limits::VERIFY_EXAMPLES };
    let statement = STATEMENTS.with(invariant.name, |_| check_text(invariant), asked);
    let broken: BrokenCount = statement.get_result(connection).await?;
    Ok(Outcome {
        invariant: invariant.name,
        broken: broken.count,
        examples: broken.examples.into_iter().map(invariant.id).collect(),
    })
}

async fn text_forms(database: &Database) -> Result<Outcome> {
    let broken = stored_text::unsettled(&mut *database.connection().await?).await?;
    Ok(outcome("names, addresses and texts are stored in their one form, and found by it", &broken))
}

fn outcome(invariant: &'static str, broken: &[String]) -> Outcome {
    let examples = usize::try_from(limits::VERIFY_EXAMPLES).unwrap_or(usize::MAX);
    Outcome {
        invariant,
        broken: i64::try_from(broken.len()).unwrap_or(i64::MAX),
        examples: broken.iter().take(examples).cloned().collect(),
    }
}

async fn audit_logs(database: &Database) -> Result<Outcome> {
    let logs: Vec<OrganizationId> = audit_heads::table
        .select(audit_heads::organization_id)
        .order(audit_heads::organization_id)
        .load(&mut *database.connection().await?)
        .await?;
    let mut broken = Vec::new();
    for organization_id in logs {
        let mut from = Some(1);
        while let Some(sequence) = from {
            let verified = verification::verify(database, organization_id, Some(sequence)).await?;
            from = verified.next_sequence.filter(|_| verified.ok());
            if !verified.ok() {
                broken.push(organization_id.to_string());
            }
        }
    }
    Ok(outcome("every audit log is whole (R74)", &broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_checks_name_their_parameters() {
        INVARIANTS.iter().chain([&ONE_ORGANIZATION]).for_each(|one| require_fit::<Examples>([check_text(one)]));
    }
}
