//! The page of a shared collection, for everyone who has its link.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::page::PageRequest;
use rollcall_domain::resource::share_link;
use serde::Deserialize;

use super::visit::{Answer, Visit};

/// How many items a page shows.
const ITEMS: i32 = 100;

#[derive(Template)]
#[template(path = "pages/shared.html")]
struct SharedCollectionPage<'a> {
    site: &'a PublicUrl,
    name: &'a str,
    description: Option<&'a str>,
    organization: &'a str,
    items: Vec<SharedItem>,
    more: Option<String>,
}

/// An item, as the page shows it.
struct SharedItem {
    name: String,
    kind: &'static str,
    size: String,
}

/// The position in a long collection at which a page begins.
#[derive(Deserialize)]
pub struct PageQuery {
    after: Option<String>,
}

/// Shows the collection behind a share link. Reading it changes nothing (R73).
pub async fn show(visit: Visit, Path(token): Path<String>, Query(PageQuery { after }): Query<PageQuery>) -> Answer {
    let request = PageRequest { first: Some(ITEMS), after, ..PageRequest::default() };
    let opened = match visit.app.database.connection().await {
        Ok(mut connection) => share_link::open(&mut connection, &token, &request).await,
        Err(error) => Err(error),
    };
    let Some(opened) = visit.check(opened)? else {
        let text =
            "This link doesn't work: it is incomplete, has expired or was revoked. Ask the person who gave it to you.";
        return visit.message(StatusCode::NOT_FOUND, "There is nothing here", text, None);
    };
    let items = opened.items.items.iter().map(|(_, item)| SharedItem {
        name: item.name.clone(),
        kind: item.kind.label(),
        size: size(item.size_bytes),
    });
    let more = opened.items.items.last().filter(|_| opened.items.has_next);
    let path = visit.site().path(Route::Shared(&token));
    let mut response = visit.page(&SharedCollectionPage {
        site: visit.site(),
        name: &opened.collection.name,
        description: opened.collection.description.as_deref(),
        organization: &opened.organization_name,
        items: items.collect(),
        more: more.map(|(cursor, _)| format!("{path}?after={cursor}")),
    })?;
    let headers = response.headers_mut();
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// Formats a size for people.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes as f64;
    let mut shown = format!("{bytes} bytes");
    for unit in UNITS {
        if size < 1_024.0 {
            break;
        }
        size /= 1_024.0;
        shown = format!("{size:.1} {unit}");
    }
    shown
}
