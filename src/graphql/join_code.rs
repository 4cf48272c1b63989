//! Join codes.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{JoinCodeId, OrganizationId};
use rollcall_domain::membership::{join_code, redeeming};

use super::connection::connection;
use super::context::{actor, database, request};
use super::error::{Payload, UserError, payload};
use super::id::Id;
use super::member::Member;
use super::rights::Role;
use super::user::User;

/// Where a join code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "join_code::JoinCodeStatus")]
pub enum JoinCodeStatus {
    /// It works.
    Active,
    /// Someone joined by it.
    Used,
    /// It was taken back.
    Revoked,
    /// Its 24 hours are over.
    Expired,
}

#[derive(Debug, Clone)]
pub struct JoinCode {
    code: join_code::JoinCode,
    at: DateTime<Utc>,
}

impl JoinCode {
    /// The code as it stands at a time.
    pub fn at(code: join_code::JoinCode, at: DateTime<Utc>) -> Self {
        Self { code, at }
    }
}

/// Eight digits that let one person in, once, for 24 hours; the digits themselves are shown only when they are made.
#[Object]
impl JoinCode {
    /// Begins with jco_.
    pub async fn id(&self) -> ID {
        self.code.id.to_string().into()
    }

    /// As what one joins: MEMBER or ADMIN.
    async fn role(&self) -> Role {
        self.code.role.into()
    }

    /// Where it stands.
    async fn status(&self) -> JoinCodeStatus {
        self.code.status_at(self.at).into()
    }

    /// What its maker calls it.
    async fn label(&self) -> Option<&str> {
        self.code.label.as_deref()
    }

    /// The last two digits, to tell codes apart.
    async fn hint(&self) -> &str {
        &self.code.hint
    }

    /// Who made it.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::load_optional(context, Some(self.code.created_by_id)).await
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.code.created_at
    }

    /// Until when it works: 24 hours from its making.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.code.expires_at
    }

    /// Who joined by it.
    async fn used_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::load_optional(context, self.code.used_by_id).await
    }
}

connection!(JoinCodeConnection, JoinCodeEdge, JoinCode, "join codes", total_count);

/// A new code with its digits.
#[derive(SimpleObject)]
pub struct NewJoinCode {
    /// As 1234-5678; shown this once.
    code: String,
    /// The code without its digits.
    join_code: JoinCode,
}

/// New codes as a file to download or print.
#[derive(SimpleObject)]
pub struct CodeFile {
    /// What to call it.
    filename: String,
    /// text/csv.
    content_type: String,
    /// One line a code, after a line that names the columns.
    content: String,
}

/// Codes to be made.
#[derive(InputObject)]
pub struct CreateJoinCodesInput {
    /// To which organization.
    organization_id: Id<OrganizationId>,
    /// 1 to 50 for MEMBER; 1 for ADMIN.
    #[graphql(default = 1)]
    count: i32,
    /// As what one joins: MEMBER, or by those who may, ADMIN.
    #[graphql(default_with = "Some(Role::Member)")]
    role: Option<Role>,
    /// What to call them, up to 100 characters.
    label: Option<String>,
}

/// New codes.
#[derive(SimpleObject, Default)]
pub struct CreateJoinCodesPayload {
    /// The codes with their digits; shown this once.
    codes: Option<Vec<NewJoinCode>>,
    /// The same as a file.
    file: Option<CodeFile>,
    /// Why none were made.
    user_errors: Vec<UserError>,
}
payload!(CreateJoinCodesPayload);

/// A code that someone was given.
#[derive(InputObject)]
pub struct RedeemJoinCodeInput {
    /// Eight digits, with or without the hyphen.
    code: String,
}

/// A new member.
#[derive(SimpleObject, Default)]
pub struct RedeemJoinCodePayload {
    /// The membership.
    member: Option<Member>,
    /// Why nobody joined.
    user_errors: Vec<UserError>,
}
payload!(RedeemJoinCodePayload);

/// A code to be taken back.
#[derive(InputObject)]
pub struct RevokeJoinCodeInput {
    /// The code's id.
    id: Id<JoinCodeId>,
}

/// A code that was taken back.
#[derive(SimpleObject, Default)]
pub struct RevokeJoinCodePayload {
    /// The code.
    join_code: Option<JoinCode>,
    /// Why none was taken back.
    user_errors: Vec<UserError>,
}
payload!(RevokeJoinCodePayload);

/// Join codes.
#[derive(Default)]
pub struct JoinCodeMutation;

#[Object]
impl JoinCodeMutation {
    /// Makes 1 to 50 codes for MEMBER, or one for ADMIN; of the latter, one is active at a time.
    async fn create_join_codes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, and for what.")] input: CreateJoinCodesInput,
    ) -> async_graphql::Result<CreateJoinCodesPayload> {
        let command = join_code::CreateJoinCodes {
            organization_id: input.organization_id.0,
            count: input.count,
            role: input.role.unwrap_or(Role::Member).into(),
            label: input.label,
        };
        let outcome = join_code::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |made| {
            let date = made.first().map(|(_, code)| code.created_at.format("%Y-%m-%d").to_string()).unwrap_or_default();
            let file = CodeFile {
                filename: format!("join-codes-{date}.csv"),
                content_type: "text/csv; charset=utf-8".to_owned(),
                content: join_code::file(&made),
            };
            let codes = made
                .into_iter()
                .map(|(digits, code)| {
                    let at = code.created_at;
                    NewJoinCode { code: digits.shown(), join_code: JoinCode::at(code, at) }
                })
                .collect();
            CreateJoinCodesPayload { codes: Some(codes), file: Some(file), user_errors: Vec::new() }
        })
    }

    /// Joins the organization of a code. A wrong, used, revoked and expired code all give the same answer.
    async fn redeem_join_code(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The code.")] input: RedeemJoinCodeInput,
    ) -> async_graphql::Result<RedeemJoinCodePayload> {
        let client = request(context).client;
        let outcome = redeeming::redeem(database(context), actor(context)?, &input.code, client).await;
        let member = match &outcome {
            Ok(id) => Member::load(context, *id).await?,
            Err(_) => None,
        };
        Payload::of(outcome, |_| RedeemJoinCodePayload { member, user_errors: Vec::new() })
    }

    /// Takes a code back: it stops working.
    async fn revoke_join_code(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which code.")] input: RevokeJoinCodeInput,
    ) -> async_graphql::Result<RevokeJoinCodePayload> {
        let outcome = join_code::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |code| {
            let at = code.created_at;
            RevokeJoinCodePayload { join_code: Some(JoinCode::at(code, at)), user_errors: Vec::new() }
        })
    }
}
