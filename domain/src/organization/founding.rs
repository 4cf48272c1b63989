//! Creating an organization.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::new_account::{self, NewUser};
use crate::account::reserved_name::{self, Holder};
use crate::account::user;
use crate::authority::access;
use crate::authority::actor::{Actor, Operator, Person};
use crate::authority::attempt::{self, PendingAttempts};
use crate::authority::audit::{self, AuditAction};
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::platform::PlatformScope;
use crate::authority::rights::Role;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Result, on_violation};
use crate::base::id::OrganizationId;
use crate::base::job::MailOwnerWelcome;
use crate::base::text::{EmailAddress, Slug};
use crate::database::deployment::OrganizationCreation;
use crate::database::schema::organizations;
use crate::database::{Database, Transaction, now};
use crate::membership::cause::Admission;
use crate::membership::{joining, member_writes};
use crate::organization::ownership;
use crate::organization::profile::{Profile, ProfileInput};

/// Creates an organization. Its creator owns it (R11), or, if staff name one, the account with `owner_email` (R1).
///
/// # Errors
///
/// FORBIDDEN if the actor may not create organizations, or may not name an owner; BLANK or INVALID for invalid fields;
/// SLUG_TAKEN; SUSPENDED, ONE_ORGANIZATION or TOO_MANY if the owner can't own another organization; RATE_LIMITED.
pub async fn create(
    database: &Database,
    actor: &Actor,
    profile: &ProfileInput,
    owner_email: Option<&str>,
    client: ClientNetwork,
) -> Result<OrganizationId> {
    let field = "ownerEmail";
    let operator = match actor {
        Actor::Staff { .. } | Actor::Platform(_) => {
            Some(actor.operator(PlatformScope::OrganizationsWrite, None, "name", "ask them")?)
        }
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Service { .. } | Actor::OnBehalf { .. } => None,
    };
    let founder = match (operator, owner_email) {
        (Some(operator), Some(email)) => Founder::Appointed(operator, EmailAddress::parse(field, email)?),
        (Some(_), None) => {
            return Err(Error::refused(Code::Blank, field, "name the owner by email address"));
        }
        (None, Some(_)) => {
            let message = "only the platform's staff name another owner; leave it out";
            return Err(Error::refused(Code::Forbidden, field, message));
        }
        (None, None) => {
            let person = actor.person_everywhere("name")?;
            if database.deployment().organization_creation == OrganizationCreation::Staff {
                return Err(Error::refused(
                    Code::Forbidden,
                    "name",
                    "here the platform's staff create organizations; ask them",
                ));
            }
            Founder::Self_(person)
        }
    };
    if profile.name.is_none() {
        return Err(Error::refused(Code::Blank, "name", "may not be empty"));
    }
    let parsed = profile.parse()?;
    // The slug reveals whether another organization has it (R21), even if it is derived from the name. Therefore, an
    // actor who has made too many guesses gets a derived slug that reveals nothing.
    let is_named = matches!(parsed.slug, Some(Some(_)));
    let (guess, salted) = match attempt::count_guesses(database, actor, client, 1).await {
        Err(Error::RateLimited { .. }) if !is_named => (PendingAttempts::none(), true),
        guess => (guess?, false),
    };
    // A platform key chooses name and recipient, so its emails count like others that strangers cause. Staff are
    // accountable for theirs.
    let welcome = match (actor, &founder) {
        (Actor::Platform(_), Founder::Appointed(_, email)) => Some(CausedMail::new(email.clone(), ["ownerEmail"])),
        (
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::Platform(_)
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. },
            _,
        ) => None,
    };
    let mails = mail_limit::count(database, actor, client, welcome.as_slice(), "ownerEmail").await?;
    let created = database
        .transaction(async |transaction| {
            let mut events = Vec::new();
            let user_id = match &founder {
                Founder::Self_(person) => person.user_id(),
                Founder::Appointed(_, email) => match user::by_email(transaction, email).await? {
                    Some(user) => user.id,
                    None => {
                        // This pre-registers the address: whoever controls it can sign in as the owner.
                        let new = NewUser { email, name: None, username: None, origin_organization_id: None };
                        let created = new_account::create(transaction, new).await?;
                        events.extend(created.events);
                        created.user_id
                    }
                },
            };
            access::lock_users(transaction, &[user_id]).await?;
            let (field, reader) = match &founder {
                Founder::Self_(_) => ("name", Reader::Themselves),
                Founder::Appointed(..) => ("ownerEmail", Reader::Another),
            };
            let user = user::require_living(transaction, user_id, field).await?;
            user.require_unsuspended(transaction.deployment(), reader, field)?;
            joining::require_room_for_another(transaction, user_id, reader, field).await?;
            ownership::require_room_for_owner(transaction, user_id, field).await?;
            guess.mark_made();
            let (id, is_salted) = insert(transaction, parsed.clone(), salted).await?;
            let tells_of_another = is_salted && !salted;
            let admission = match founder {
                Founder::Self_(person) => Admission::Founder { person, organization_id: id },
                Founder::Appointed(operator, _) => Admission::Operator { operator, user_id, organization_id: id },
            };
            member_writes::admit(transaction, admission, None).await?;
            mails.require(transaction).await?;
            if let Admission::Operator { .. } = admission {
                transaction.enqueue(&MailOwnerWelcome { organization_id: id, user_id }).await?;
            }
            events.push(
                admission
                    .event(AuditAction::OrganizationCreated, id)
                    .summary(format!("founded with the owner {user_id}"))
                    .about(user_id)
                    .with(json!({ "owner": user_id.to_string(), "role": Role::Owner.as_str() })),
            );
            audit::record(transaction, events).await?;
            Ok((id, tells_of_another))
        })
        .await;
    let created = mails.settle(created).await;
    match created {
        Ok((id, tells_of_another)) => {
            guess.refund_all_but(usize::from(tells_of_another)).await;
            Ok(id)
        }
        Err(error) => guess.refund_if_right(Err(error)).await,
    }
}

enum Founder<'a> {
    Self_(Person<'a>),
    Appointed(Operator<'a>, EmailAddress),
}

/// Inserts the organization. If it has no slug, one is derived from its name; with `salted`, in a form that reveals
/// nothing. Also returns whether the slug is salted; otherwise, a salted slug reveals that another organization has
/// the one that the name would give.
async fn insert(transaction: &mut Transaction, mut profile: Profile, salted: bool) -> Result<(OrganizationId, bool)> {
    let id = OrganizationId::new();
    let at = now(transaction).await?;
    let holder = Holder::Organization(id);
    if let Some(Some(slug)) = &profile.slug {
        reserved_name::require_free(transaction, holder, slug.as_str()).await?;
        let inserted = diesel::insert_into(organizations::table)
            .values((organizations::id.eq(id), organizations::created_at.eq(at), profile))
            .execute(&mut **transaction)
            .await;
        on_violation(inserted, "organizations_slug_key", || holder.taken())?;
        return Ok((id, false));
    }
    let name = profile.name.clone().unwrap_or_default();
    let mut salt = if salted { reserved_name::salt() } else { String::new() };
    for _ in 0..10 {
        let slug = Slug::derived(&name, &salt);
        if !reserved_name::is_reserved(transaction, holder, slug.as_str()).await? {
            profile.slug = Some(Some(slug));
            let inserted = diesel::insert_into(organizations::table)
                .values((organizations::id.eq(id), organizations::created_at.eq(at), profile.clone()))
                .on_conflict(organizations::slug)
                .do_nothing()
                .execute(&mut **transaction)
                .await?;
            if inserted == 1 {
                return Ok((id, !salt.is_empty()));
            }
        }
        salt = reserved_name::salt();
    }
    Err(Error::refused(Code::SlugTaken, "slug", "name a slug: the ones made from the name are in use"))
}
