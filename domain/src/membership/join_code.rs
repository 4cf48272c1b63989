//! Join codes: 8 digits that work once, within 24 hours (R26–R30).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, Person};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::expiry::{self, Expiring};
use crate::authority::issued::Issued;
use crate::authority::rights::{Action, Role};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{JoinCodeId, OrganizationId, UserId};
use crate::base::job::{ExpireJoinCode, JobClaim};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Keyring, Purpose};
use crate::base::sql::{FixedSql, Prepare as _};
use crate::base::text_enum::text_enum;
use crate::base::{limits, random, text};
use crate::database::schema::join_codes;
use crate::database::{Database, Transaction, now, rollcall_now};

text_enum! {
    /// The status of a join code.
    JoinCodeStatus {
        /// It can be used.
        Active = "active",
        /// Someone used it to join.
        Used = "used",
        /// It was revoked.
        Revoked = "revoked",
        /// It expired after 24 hours.
        Expired = "expired",
    }
}

/// A join code. Its digits aren't stored; only people who were given them know them.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = join_codes)]
pub struct JoinCode {
    /// The code's id.
    pub id: JoinCodeId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The role that the code gives.
    pub role: Role,
    /// The status. A code that ended together with its creator is revoked even before the worker has marked it.
    #[diesel(select_expression = status_now(), select_expression_type = FixedSql<Text>)]
    pub status: JoinCodeStatus,
    /// The creator's label for the code.
    pub label: Option<String>,
    /// The last two digits.
    pub hint: String,
    /// The user who created it.
    pub created_by_id: Option<UserId>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// The user who joined with it.
    pub used_by_id: Option<UserId>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
}

fn status_now() -> FixedSql<Text> {
    Issued::JoinCode.status("active", "revoked")
}

impl JoinCode {
    /// The status at a time. A code that is older than 24 hours is expired, whether or not the worker has marked it
    /// (R29).
    pub fn status_at(&self, at: DateTime<Utc>) -> JoinCodeStatus {
        if self.status == JoinCodeStatus::Active && self.expires_at <= at {
            JoinCodeStatus::Expired
        } else {
            self.status
        }
    }

    /// The code as it may be shown: ••••-••78.
    pub fn masked(&self) -> String {
        format!("••••-••{}", self.hint)
    }
}

/// The eight digits of a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Digits(String);

impl Digits {
    fn random() -> Self {
        Self(format!("{:08}", random::number(0..100_000_000)))
    }

    /// Parses a code with or without its hyphen, in the digits of any script.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text::digits(text).filter(|digits| digits.len() == 8).map(Self)
    }

    /// The code as people read it: 1234-5678.
    pub fn shown(&self) -> String {
        let (left, right) = self.0.split_at(4);
        format!("{left}-{right}")
    }

    fn hint(&self) -> String {
        self.0.chars().skip(6).collect()
    }

    fn digest(&self, keyring: &Keyring) -> Result<Vec<u8>> {
        keyring.digest(Purpose::JoinCode, &[self.0.as_bytes()])
    }

    /// The digests by which a code with these digits is found, with the current secret and the previous one.
    pub(super) fn accepted_digests(&self, keyring: &Keyring) -> Result<Vec<Vec<u8>>> {
        keyring.accepted_digests(Purpose::JoinCode, &[self.0.as_bytes()])
    }
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digits(…)")
    }
}

/// The command that creates join codes.
#[derive(Debug)]
pub struct CreateJoinCodes {
    /// The organization.
    pub organization_id: OrganizationId,
    /// How many codes to create: 1 to 50, and only 1 for ADMIN.
    pub count: i32,
    /// The role that the codes give: MEMBER or ADMIN.
    pub role: Role,
    /// A label for the codes.
    pub label: Option<String>,
}

impl CreateJoinCodes {
    fn parse(&self) -> Result<(usize, Option<String>)> {
        let mut refusals = Vec::new();
        if self.count < 1 {
            refusals.push(Refusal::new(Code::Invalid, "count", "make at least one code"));
        }
        if self.count > limits::MAX_JOIN_CODES {
            refusals.push(Refusal::new(
                Code::TooMany,
                "count",
                format!("must be at most {} at once", limits::MAX_JOIN_CODES),
            ));
        }
        match self.role {
            Role::Member => {}
            Role::Admin if self.count == 1 => {}
            Role::Admin => refusals.push(Refusal::new(Code::Invalid, "count", "admin codes are made one at a time")),
            Role::Owner | Role::Viewer => {
                refusals.push(Refusal::new(Code::Invalid, "role", "a code is for MEMBER or ADMIN"))
            }
        }
        let label = text::optional_line("label", self.label.as_deref(), limits::LABEL).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            None
        });
        if !refusals.is_empty() {
            return Err(Error::Refused(refusals));
        }
        Ok((usize::try_from(self.count).unwrap_or_default(), label))
    }
}

/// Fails with TOO_MANY if the organization already has enough active codes.
async fn require_room(transaction: &mut Transaction, organization_id: OrganizationId) -> Result<()> {
    let active: i64 = join_codes::table
        .filter(join_codes::organization_id.eq(organization_id))
        .filter(join_codes::status.eq(JoinCodeStatus::Active))
        .filter(join_codes::expires_at.gt(rollcall_now()))
        .filter(Issued::JoinCode.stands())
        .count()
        .get_result(&mut **transaction)
        .await?;
    if active < limits::MAX_ACTIVE_JOIN_CODES {
        return Ok(());
    }
    let message =
        format!("{active} codes are waiting to be used; revoke those that nobody needs, or wait until they expire");
    Err(Error::refused(Code::TooMany, "organizationId", message))
}

/// Creates codes (R26–R28). This is the only time that their digits are shown.
///
/// # Errors
///
/// INVALID or TOO_MANY for invalid input; NOT_FOUND or FORBIDDEN if the actor may not create such codes; TOO_MANY while
/// too many codes are active; CONFLICT on `role` while an admin code is active.
pub async fn create(database: &Database, actor: &Actor, command: &CreateJoinCodes) -> Result<Vec<(Digits, JoinCode)>> {
    let (count, label) = command.parse()?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            // The organization's policy decides who may create admin codes, so it must not change meanwhile.
            let lock = if command.role == Role::Admin { Lock::Organization } else { Lock::Membership };
            let action = Action::CreateJoinCodes;
            let permit = access::authorize(transaction, actor, organization_id, lock, action, "organizationId").await?;
            if command.role == Role::Admin {
                permit.require_on(Action::CreateAdminJoinCode, "role")?;
            }
            require_room(transaction, organization_id).await?;
            let mut events = match command.role {
                Role::Admin => make_room_for_admin_code(transaction, organization_id).await?,
                Role::Owner | Role::Member | Role::Viewer => Vec::new(),
            };
            let created_at = now(transaction).await?;
            let expires_at = created_at + limits::JOIN_CODE_LIFETIME;
            let mut made: Vec<(Digits, JoinCode)> = Vec::with_capacity(count);
            // Digits that are already in use are drawn again.
            while made.len() < count {
                let drawn: Vec<(Digits, Vec<u8>)> = (made.len()..count)
                    .map(|_| {
                        let digits = Digits::random();
                        let digest = digits.digest(transaction.keyring())?;
                        Ok((digits, digest))
                    })
                    .collect::<Result<_>>()?;
                let rows: Vec<_> = drawn
                    .iter()
                    .map(|(digits, digest)| {
                        (
                            join_codes::id.eq(JoinCodeId::new()),
                            join_codes::organization_id.eq(organization_id),
                            join_codes::digest.eq(digest),
                            join_codes::role.eq(command.role),
                            join_codes::label.eq(label.as_deref()),
                            join_codes::hint.eq(digits.hint()),
                            join_codes::created_by_id.eq(permit.user_id()),
                            join_codes::created_at.eq(created_at),
                            join_codes::expires_at.eq(expires_at),
                        )
                    })
                    .collect();
                let inserted = diesel::insert_into(join_codes::table)
                    .values(rows)
                    .on_conflict(join_codes::digest)
                    .filter_target(diesel::dsl::sql::<Bool>("status = 'active'"))
                    .do_nothing()
                    .returning((join_codes::digest, JoinCode::as_returning()))
                    .get_results::<(Vec<u8>, JoinCode)>(&mut **transaction)
                    .await;
                let inserted =
                    crate::base::error::on_violation(inserted, "join_codes_one_admin_code_key", admin_code_active)?;
                for (digest, code) in inserted {
                    if let Some((digits, _)) = drawn.iter().find(|(_, drawn)| *drawn == digest) {
                        made.push((digits.clone(), code));
                    }
                }
            }
            made.sort_by_key(|(_, code)| code.id);
            let expiries: Vec<_> = made.iter().map(|(_, code)| ExpireJoinCode { join_code_id: code.id }).collect();
            transaction.enqueue_all_at(&expiries, expires_at).await?;
            let ids: Vec<String> = made.iter().map(|(_, code)| code.id.to_string()).collect();
            events.push(
                NewEvent::by(actor, organization_id, AuditAction::JoinCodesCreated, organization_id)
                    .summary(format!("made {} join code(s) for {}", made.len(), command.role))
                    .with(json!({ "role": command.role.as_str(), "joinCodeIds": ids })),
            );
            audit::record(transaction, events).await?;
            Ok(made)
        })
        .await
}

fn admin_code_active() -> Refusal {
    Refusal::new(
        Code::Conflict,
        "role",
        "an admin code is active, and there is one at a time; revoke it or wait until it is used or expires",
    )
}

/// Marks an admin code that has expired or ended, so that a new one can be created even if the worker hasn't run yet.
/// Returns the events to record.
async fn make_room_for_admin_code(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
) -> Result<Vec<NewEvent>> {
    let overdue: Vec<JoinCodeId> = join_codes::table
        .filter(join_codes::organization_id.eq(organization_id))
        .filter(join_codes::role.eq(Role::Admin))
        .filter(join_codes::status.eq(JoinCodeStatus::Active))
        .filter(join_codes::expires_at.le(rollcall_now()).or(Issued::JoinCode.has_ended()))
        .select(join_codes::id)
        .load(&mut **transaction)
        .await?;
    mark_over(transaction, &overdue).await
}

/// Returns the codes as a CSV file to hand out.
pub fn file(codes: &[(Digits, JoinCode)]) -> String {
    let mut file = String::from("code,role,label,expires_at\r\n");
    for (digits, code) in codes {
        let label = code.label.as_deref().unwrap_or_default();
        // A spreadsheet would execute a label that begins like a formula. Some spreadsheets also accept the full-width
        // characters.
        let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];
        let guard = if label.starts_with(formula) { "'" } else { "" };
        file.push_str(&format!(
            "{},{},\"{guard}{}\",{}\r\n",
            digits.shown(),
            code.role.as_str().to_uppercase(),
            label.replace('"', "\"\""),
            code.expires_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        ));
    }
    file
}

/// Returns the organization of an active code.
pub(super) async fn organization_of(
    connection: &mut AsyncPgConnection,
    digests: &[Vec<u8>],
) -> Result<Option<OrganizationId>> {
    Ok(join_codes::table
        .filter(join_codes::digest.eq_any(digests))
        .filter(join_codes::status.eq(JoinCodeStatus::Active))
        .filter(join_codes::expires_at.gt(rollcall_now()))
        .filter(Issued::JoinCode.stands())
        .select(join_codes::organization_id)
        .first(connection)
        .await
        .optional()?)
}

/// Proof that a person has used up a code. Only [`use_up`] creates one.
#[derive(Debug)]
pub(crate) struct UsedJoinCode {
    id: JoinCodeId,
    user_id: UserId,
    organization_id: OrganizationId,
    role: Role,
}

impl UsedJoinCode {
    /// The code.
    pub(super) fn id(&self) -> JoinCodeId {
        self.id
    }

    /// The person who used it.
    pub(super) fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The organization of the code.
    pub(super) fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// The role that the code gives.
    pub(super) fn role(&self) -> Role {
        self.role
    }
}

/// Uses up a code of the organization for a person. Returns `None` if the code isn't active any more.
pub(super) async fn use_up(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    digests: &[Vec<u8>],
    person: Person<'_>,
) -> Result<Option<UsedJoinCode>> {
    let used: Option<(JoinCodeId, Role)> = diesel::update(
        join_codes::table
            .filter(join_codes::organization_id.eq(organization_id))
            .filter(join_codes::digest.eq_any(digests))
            .filter(join_codes::status.eq(JoinCodeStatus::Active))
            .filter(join_codes::expires_at.gt(rollcall_now()))
            .filter(Issued::JoinCode.stands()),
    )
    .set(join_codes::status.eq(JoinCodeStatus::Used))
    .returning((join_codes::id, join_codes::role))
    .prepared()
    .get_result(&mut **transaction)
    .await
    .optional()?;
    Ok(used.map(|(id, role)| UsedJoinCode { id, user_id: person.user_id(), organization_id, role }))
}

/// Records who joined with a code, once they have.
pub(super) async fn set_user(transaction: &mut Transaction, code: &UsedJoinCode) -> Result<()> {
    diesel::update(join_codes::table.find(code.id))
        .set((join_codes::used_by_id.eq(code.user_id), join_codes::used_at.eq(rollcall_now().nullable())))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

type Query = diesel::helper_types::IntoBoxed<'static, join_codes::table, diesel::pg::Pg>;

/// Revokes a code.
///
/// # Errors
///
/// On `id`: NOT_FOUND or FORBIDDEN if the actor may not revoke the code; ALREADY_USED, REVOKED or EXPIRED if it isn't
/// active any more.
pub async fn revoke(database: &Database, actor: &Actor, id: JoinCodeId) -> Result<JoinCode> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such join code");
    database
        .transaction(async |transaction| {
            let found: JoinCode = by_ids(transaction, &[id]).await?.pop().ok_or_else(not_found)?;
            let permit =
                access::enter(transaction, actor, found.organization_id, Lock::Membership, not_found()).await?;
            permit.require_or(Action::CreateJoinCodes, "id", not_found())?;
            if !permit.standing().may_issue(found.role) {
                return Err(Error::refused(
                    Code::Forbidden,
                    "id",
                    "your role here doesn't allow issuing this code's role",
                ));
            }
            let revoked: Option<JoinCode> = diesel::update(
                join_codes::table
                    .find(id)
                    .filter(join_codes::status.eq(JoinCodeStatus::Active))
                    .filter(join_codes::expires_at.gt(rollcall_now()))
                    .filter(Issued::JoinCode.stands()),
            )
            .set(join_codes::status.eq(JoinCodeStatus::Revoked))
            .returning(JoinCode::as_returning())
            .prepared()
            .get_result(&mut **transaction)
            .await
            .optional()?;
            let Some(revoked) = revoked else {
                let at = now(transaction).await?;
                let current = by_ids(transaction, &[id]).await?.pop().ok_or_else(not_found)?;
                let (code, message) = match current.status_at(at) {
                    JoinCodeStatus::Used => {
                        (Code::AlreadyUsed, "someone has joined by this code; remove that member instead")
                    }
                    JoinCodeStatus::Revoked => (Code::Revoked, "this code was revoked before"),
                    JoinCodeStatus::Expired | JoinCodeStatus::Active => {
                        (Code::Expired, "this code has expired by itself")
                    }
                };
                return Err(Error::refused(code, "id", message));
            };
            let event = NewEvent::by(actor, revoked.organization_id, AuditAction::JoinCodeRevoked, id)
                .summary("took a join code back");
            audit::record(transaction, [event]).await?;
            Ok(revoked)
        })
        .await
}

impl Expiring for JoinCode {
    type Id = JoinCodeId;

    async fn lock_overdue(transaction: &mut Transaction, at: DateTime<Utc>, limit: u32) -> Result<Vec<JoinCodeId>> {
        Ok(expiry::overdue!(join_codes, JoinCodeStatus::Active, at, limit).load(&mut **transaction).await?)
    }

    async fn mark_over(transaction: &mut Transaction, ids: &[JoinCodeId]) -> Result<Vec<NewEvent>> {
        mark_over(transaction, ids).await
    }
}

/// Marks a code as expired if its time is over. The worker calls this (R29).
pub async fn expire(database: &Database, id: JoinCodeId, claim: JobClaim<'_>) -> Result<()> {
    expiry::expire::<JoinCode>(database, id, claim).await
}

/// Marks overdue codes as expired, and those that ended together with their creator as revoked. Returns the events to
/// record.
async fn mark_over(transaction: &mut Transaction, ids: &[JoinCodeId]) -> Result<Vec<NewEvent>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let over: Vec<(JoinCodeId, OrganizationId, JoinCodeStatus)> = diesel::update(
        join_codes::table
            .filter(join_codes::id.eq_any(ids))
            .filter(join_codes::status.eq(JoinCodeStatus::Active))
            .filter(join_codes::expires_at.le(rollcall_now()).or(Issued::JoinCode.has_ended())),
    )
    .set(join_codes::status.eq(Issued::JoinCode.over("revoked", "expired")))
    .returning((join_codes::id, join_codes::organization_id, join_codes::status))
    .prepared()
    .get_results(&mut **transaction)
    .await?;
    let events = over.into_iter().map(|(id, organization_id, status)| match status {
        JoinCodeStatus::Revoked => NewEvent::by_system(organization_id, AuditAction::JoinCodeRevoked, id)
            .summary("revoked: its maker may not make it any more"),
        _ => NewEvent::by_system(organization_id, AuditAction::JoinCodeExpired, id)
            .summary("nobody used the code within 24 hours"),
    });
    Ok(events.collect())
}

/// Returns the codes with these ids without checking access.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[JoinCodeId]) -> Result<Vec<JoinCode>> {
    Ok(join_codes::table.filter(join_codes::id.eq_any(ids)).select(JoinCode::as_select()).load(connection).await?)
}

/// Returns those of the codes that the actor may see.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[JoinCodeId],
) -> Result<Vec<JoinCode>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|code| code.organization_id)).await?;
    let may_see = |code: &JoinCode| {
        permits.get(&code.organization_id).is_some_and(|permit| permit.standing().allows(Action::CreateJoinCodes))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// Returns a page of the organization's codes, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<JoinCodeStatus>,
    page: &PageRequest,
) -> Result<Page<JoinCode>> {
    permit.require(Action::CreateJoinCodes)?;
    let slice = page.slice()?;
    let mut rows: Vec<JoinCode> = Vec::new();
    for range in of_organization(permit.organization_id(), status) {
        rows.extend(by_id!(range.select(JoinCode::as_select()), slice, join_codes::id).load(connection).await?);
    }
    let rows = slice.merge(rows, |code| code.id);
    slice.page(rows, |code: &JoinCode| code.id)
}

/// Counts the codes that [`list`] returns over all pages.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit, status: Option<JoinCodeStatus>) -> Result<i64> {
    permit.require(Action::CreateJoinCodes)?;
    let mut count = 0;
    for range in of_organization(permit.organization_id(), status) {
        count += range.select(diesel::dsl::count_star()).first::<i64>(connection).await?;
    }
    Ok(count)
}

/// The organization's codes with a status, as ranges of the index. Those that the worker hasn't marked yet, which are
/// few, are read first, so that a code that is marked meanwhile isn't missed.
fn of_organization(organization_id: OrganizationId, status: Option<JoinCodeStatus>) -> Vec<Query> {
    let all = || join_codes::table.into_boxed().filter(join_codes::organization_id.eq(organization_id));
    let of = |status: JoinCodeStatus| all().filter(join_codes::status.eq(status));
    let active = || of(JoinCodeStatus::Active);
    match status {
        None => vec![all()],
        Some(JoinCodeStatus::Active) => {
            vec![active().filter(join_codes::expires_at.gt(rollcall_now())).filter(Issued::JoinCode.stands())]
        }
        Some(status @ JoinCodeStatus::Expired) => {
            let overdue = active().filter(join_codes::expires_at.le(rollcall_now()));
            vec![overdue.filter(Issued::JoinCode.stands()), of(status)]
        }
        Some(status @ JoinCodeStatus::Revoked) => vec![active().filter(Issued::JoinCode.has_ended()), of(status)],
        Some(status @ JoinCodeStatus::Used) => vec![of(status)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // R26: with or without the hyphen.
        #[test]
        fn codes_are_read_as_they_are_shown(number in 0..100_000_000_u32) {
            let digits = Digits(format!("{number:08}"));
            prop_assert_eq!(Digits::parse(&digits.shown()), Some(digits.clone()));
            prop_assert_eq!(Digits::parse(&digits.0), Some(digits));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            if let Some(digits) = Digits::parse(&text) {
                prop_assert_eq!(digits.shown().len(), 9);
            }
        }
    }

    #[test]
    fn other_texts_are_no_codes() {
        for wrong in ["", "1234567", "123456789", "1234-567a", "一二三四五六七八"] {
            assert_eq!(Digits::parse(wrong), None, "{wrong}");
        }
    }
}
