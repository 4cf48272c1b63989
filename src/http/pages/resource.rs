//! The page of a resource that is shared with somebody. The link in the email about it leads here.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use rollcall_domain::Error;
use rollcall_domain::authority::rights::AccessLevel;
use rollcall_domain::base::id::ResourceId;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::membership::organization;
use rollcall_domain::resource;

use super::super::form::Notice;
use super::visit::{Answer, Visit};

#[derive(Template)]
#[template(path = "pages/resource.html")]
struct ResourcePage<'a> {
    site: &'a PublicUrl,
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    description: Option<&'a str>,
    organization: &'a str,
    level: &'a str,
}

/// Shows a resource to people who can reach it. Somebody who isn't signed in returns here after signing in.
pub async fn show(mut visit: Visit, Path(text): Path<String>) -> Answer {
    let id: Option<ResourceId> = text.parse().ok();
    let Some(actor) = visit.signed_in().await? else {
        visit.remember_resource(id);
        let text = "Use the address that the email was sent to, and you will see what is shared with you.";
        return visit.redirect_with(Route::SignIn, Notice::done("Sign in first", text));
    };
    let found = async {
        let (Some(id), Some((user_id, _))) = (id, actor.session()) else { return Ok(None) };
        let mut connection = visit.app.database.connection().await?;
        let level = resource::access_for(&mut connection, &actor, user_id, &[id]).await?.pop();
        let Some(level) = level.filter(|level| *level > AccessLevel::None) else { return Ok(None) };
        let Some(resource) = resource::by_ids(&mut connection, &[id]).await?.pop() else { return Ok(None) };
        let organization = organization::by_id(&connection, resource.organization_id).await?;
        Ok::<_, Error>(Some((resource, organization.name, level)))
    };
    let Some((resource, organization, level)) = visit.check(found.await)? else {
        let email = visit.email_of(&actor).await?;
        visit.remember_resource(id);
        let text = format!(
            "Nothing here is shared with {email}, at least not anymore. If the email went to another address of yours, \
            sign in with that one."
        );
        return visit.message(StatusCode::NOT_FOUND, "There is nothing here", &text, Some((Route::SignIn, "Sign in")));
    };
    visit.page(&ResourcePage {
        site: visit.site(),
        id: &text,
        name: &resource.name,
        kind: resource.kind.label(),
        description: resource.description.as_deref(),
        organization: &organization,
        level: level.as_str(),
    })
}
