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

/// The status of a join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "join_code::JoinCodeStatus")]
pub enum JoinCodeStatus {
    /// It can be redeemed.
    Active,
    /// Somebody joined with it.
    Used,
    /// It was revoked.
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
    /// The code, with its status at the given time.
    pub fn at(code: join_code::JoinCode, at: DateTime<Utc>) -> Self {
        Self { code, at }
    }
}

/// A code of eight digits with which one person can join, once, within 24 hours. The digits are shown only when the
/// code is created.
#[Object]
impl JoinCode {
    /// The code's id. It begins with `jco_`.
    pub async fn id(&self) -> ID {
        self.code.id.to_string().into()
    }

    /// The role that the person gets: MEMBER or ADMIN.
    async fn role(&self) -> Role {
        self.code.role.into()
    }

    /// The code's status.
    async fn status(&self) -> JoinCodeStatus {
        self.code.status_at(self.at).into()
    }

    /// The label that its creator gave it.
    async fn label(&self) -> Option<&str> {
        self.code.label.as_deref()
    }

    /// The last two digits, which help people to tell codes apart.
    async fn hint(&self) -> &str {
        &self.code.hint
    }

    /// The user who created the code.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::optional_for_people(context, self.code.created_by_id).await
    }

    /// When the code was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.code.created_at
    }

    /// When the code expires: 24 hours after it was created.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.code.expires_at
    }

    /// The user who joined with the code.
    async fn used_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::optional_for_people(context, self.code.used_by_id).await
    }
}

connection!(JoinCodeConnection, JoinCodeEdge, JoinCode, "join codes", total_count);

/// A new join code and its digits.
#[derive(SimpleObject)]
pub struct NewJoinCode {
    /// The digits, written as 1234-5678. They are shown only this once.
    code: String,
    /// The join code.
    join_code: JoinCode,
}

/// New join codes as a file to download or print.
#[derive(SimpleObject)]
pub struct CodeFile {
    /// The file's name.
    filename: String,
    /// The file's media type, `text/csv`.
    content_type: String,
    /// The file's content: a line that names the columns, and then one line for each code.
    content: String,
}

/// Describes the join codes to create.
#[derive(InputObject)]
pub struct CreateJoinCodesInput {
    /// The organization that the codes let people join.
    organization_id: Id<OrganizationId>,
    /// The number of codes: 1 to 50 for MEMBER, and 1 for ADMIN.
    #[graphql(default = 1)]
    count: i32,
    /// The role that people get: MEMBER, or ADMIN if the viewer may create such codes.
    #[graphql(default_with = "Some(Role::Member)")]
    role: Option<Role>,
    /// A label for the codes, up to 100 characters.
    label: Option<String>,
}

/// The result of creating join codes.
#[derive(SimpleObject, Default)]
pub struct CreateJoinCodesPayload {
    /// The codes and their digits, which are shown only this once.
    codes: Option<Vec<NewJoinCode>>,
    /// The same codes as a file. It is shown only this once.
    file: Option<CodeFile>,
    /// Why no codes were created.
    user_errors: Vec<UserError>,
}
payload!(CreateJoinCodesPayload);

/// Contains the join code to redeem.
#[derive(InputObject)]
pub struct RedeemJoinCodeInput {
    /// The eight digits, with or without the hyphen.
    code: String,
}

/// The result of redeeming a join code.
#[derive(SimpleObject, Default)]
pub struct RedeemJoinCodePayload {
    /// The new membership.
    member: Option<Member>,
    /// Why the viewer didn't join.
    user_errors: Vec<UserError>,
}
payload!(RedeemJoinCodePayload);

/// Identifies the join code to revoke.
#[derive(InputObject)]
pub struct RevokeJoinCodeInput {
    /// The code's id.
    id: Id<JoinCodeId>,
}

/// The result of revoking a join code.
#[derive(SimpleObject, Default)]
pub struct RevokeJoinCodePayload {
    /// The join code, now with the status REVOKED.
    join_code: Option<JoinCode>,
    /// Why the code wasn't revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeJoinCodePayload);

/// The mutations of join codes.
#[derive(Default)]
pub struct JoinCodeMutation;

#[Object]
impl JoinCodeMutation {
    /// Creates 1 to 50 join codes for MEMBER, or one for ADMIN. Only one code for ADMIN can be active at a time.
    async fn create_join_codes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The number of codes, and what they are for.")] input: CreateJoinCodesInput,
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

    /// Joins the organization that a code belongs to. Wrong, used, revoked and expired codes all get the same
    /// response.
    async fn redeem_join_code(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The code to redeem.")] input: RedeemJoinCodeInput,
    ) -> async_graphql::Result<RedeemJoinCodePayload> {
        let client = request(context).client;
        let outcome = redeeming::redeem(database(context), actor(context)?, &input.code, client).await;
        let member = match &outcome {
            Ok(id) => Member::load(context, *id).await?,
            Err(_) => None,
        };
        Payload::of(outcome, |_| RedeemJoinCodePayload { member, user_errors: Vec::new() })
    }

    /// Revokes a join code. It stops working.
    async fn revoke_join_code(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The code to revoke.")] input: RevokeJoinCodeInput,
    ) -> async_graphql::Result<RevokeJoinCodePayload> {
        let outcome = join_code::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |code| {
            let at = code.created_at;
            RevokeJoinCodePayload { join_code: Some(JoinCode::at(code, at)), user_errors: Vec::new() }
        })
    }
}
