//! The playground at `/`: GraphiQL with tabs that walk through the main tasks. All of its files are in the binary, and
//! its Content-Security-Policy doesn't let it load anything from elsewhere.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    sync::LazyLock,
};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use rollcall_domain::base::link::{PublicUrl, Route};

macro_rules! tab {
    ($name:literal) => {
        (
            include_str!(concat!("playground/tabs/", $name, ".graphql")),
            include_str!(concat!("playground/tabs/", $name, ".json")),
        )
    };
}

/// The tabs in the order of the walk-through, each with its document and its variables in JSON.
pub const TABS: &[(&str, &str)] = &[
    tab!("01_request_sign_in"),
    tab!("02_sign_in"),
    tab!("03_viewer"),
    tab!("04_create_organization"),
    tab!("05_invite_members"),
    tab!("06_create_join_codes"),
    tab!("07_redeem_join_code"),
    tab!("08_create_resources"),
    tab!("09_members"),
    tab!("10_remove_member"),
    tab!("11_departures"),
    tab!("12_audit_log"),
    tab!("13_follow"),
];

/// GraphiQL sets styles on its elements. Nothing else is inline.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const STYLESHEET: &str = include_str!("style.css");

/// The page at `/`, and its assets below `/playground`. If `mailbox` is set, the page links to the emails at `/mail`.
pub fn router<S: Clone + Send + Sync + 'static>(site: &PublicUrl, mailbox: bool) -> Router<S> {
    let [from_here, from_elsewhere] = ["here", "elsewhere"].map(|origin| Bytes::from(page(site, mailbox, origin)));
    let show = async move |headers: HeaderMap| {
        let page = if comes_from_elsewhere(&headers) { from_elsewhere } else { from_here };
        let vary = (VARY, HeaderValue::from_static(FETCH_SITE));
        ([(CONTENT_SECURITY_POLICY, POLICY), no_referrer(), no_sniffing(), vary], Html(page))
    };
    Router::new()
        .route(&Route::Playground.path(), get(show))
        .route(&Route::PlaygroundFile("{version}", "{name}").path(), get(asset))
}

const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a page of another site has led the browser here. Such a page could bring a token of its own, and then see
/// what is entered with it, so the page asks before it takes the token. It also asks where the browser doesn't tell.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_none_or(|site| site != "none" && site != "same-origin")
}

/// The stylesheet of the server-rendered pages, at `/style.css`.
pub fn stylesheet<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(&Route::Style.path(), get(style))
}

fn page(site: &PublicUrl, mailbox: bool, origin: &str) -> String {
    let tabs: Vec<_> = TABS
        .iter()
        .map(|(query, variables)| serde_json::json!({ "query": query.trim_end(), "variables": variables.trim_end() }))
        .collect();
    // Within a script element, only `<` could end the JSON.
    let tabs = serde_json::Value::from(tabs).to_string().replace('<', "\\u003c");
    include_str!("playground/page.html")
        .replace("{graphql}", &site.path(Route::Graphql))
        .replace("{origin}", origin)
        .replace("{sign_in}", &site.path(Route::SignIn))
        .replace("{assets}", site.path(Route::PlaygroundFile(&VERSION, "")).trim_end_matches('/'))
        .replace(
            "{mails}",
            &if mailbox { format!(r#"<a href="{}">Emails</a>"#, site.path(Route::Mails)) } else { String::new() },
        )
        .replace("{tabs}", &tabs)
}

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    gzipped: Vec<u8>,
}

/// The files, compressed once when the first of them is requested.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|&(name, content)| Asset {
            name,
            media_type: if name.ends_with(".css") {
                "text/css; charset=utf-8"
            } else {
                "text/javascript; charset=utf-8"
            },
            content: content.as_bytes(),
            gzipped: gzip(content.as_bytes()),
        })
        .collect()
});

const FILES: &[(&str, &str)] = &[
    ("graphiql.min.css", include_str!("playground/graphiql.min.css")),
    ("graphiql.min.js", include_str!("playground/graphiql.min.js")),
    ("react.production.min.js", include_str!("playground/react.production.min.js")),
    ("react-dom.production.min.js", include_str!("playground/react-dom.production.min.js")),
    ("page.css", include_str!("playground/page.css")),
    ("page.js", include_str!("playground/page.js")),
];

/// A version that changes with any of the files, so that browsers may cache them forever.
static VERSION: LazyLock<String> = LazyLock::new(|| digest(&FILES));

fn digest(content: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Compresses a file. The result is empty on failure, which doesn't happen when writing to memory; the file is then
/// sent uncompressed.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default()
}

async fn asset(Path((version, name)): Path<(String, String)>, request: HeaderMap) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.name == name && version == *VERSION);
    let Some(asset) = asset else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        no_sniffing(),
    ]);
    if accepts_gzip(&request) && !asset.gzipped.is_empty() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (headers, asset.gzipped.as_slice()).into_response()
    } else {
        (headers, asset.content).into_response()
    }
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|quality| quality.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The stylesheet is small and has a fixed path, so browsers ask each time whether it has changed.
async fn style(request: HeaderMap) -> Response {
    static TAG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", digest(&STYLESHEET)));
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (ETAG, TAG.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if request.get(IF_NONE_MATCH).is_some_and(|known| known == TAG.as_str()) {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, STYLESHEET).into_response()
    }
}

fn no_referrer() -> (axum::http::HeaderName, HeaderValue) {
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
}

fn no_sniffing() -> (axum::http::HeaderName, HeaderValue) {
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server(u16);

    impl Server {
        async fn start(mailbox: bool) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let site = "http://localhost".parse().unwrap();
            let router = router(&site, mailbox).merge(stylesheet());
            tokio::spawn(async move { axum::serve(listener, router).await });
            Self(port)
        }

        async fn get(&self, path: &str, header: (&str, &str)) -> reqwest::Response {
            let url = format!("http://127.0.0.1:{}{path}", self.0);
            reqwest::Client::new().get(url).header(header.0, header.1).send().await.unwrap()
        }
    }

    #[tokio::test]
    async fn the_page_and_what_it_loads_come_from_here() {
        let server = Server::start(true).await;
        let response = server.get("/", ("accept", "*/*")).await;
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        let page = response.text().await.unwrap();
        assert!(page.contains(r#"href="/mail""#));
        assert!(!page.contains("http:") && !page.contains("https:"), "{page}");
        let paths: Vec<_> = page.split(['"']).filter(|part| part.starts_with("/playground/")).collect();
        assert_eq!(paths.len(), FILES.len());
        for path in paths {
            let plain = server.get(path, ("accept-encoding", "identity, gzip;q=0")).await;
            assert_eq!(plain.status(), 200, "{path}");
            assert!(plain.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
            assert!(!plain.headers().contains_key(CONTENT_ENCODING));
            let plain = plain.bytes().await.unwrap();
            let gzipped = server.get(path, ("accept-encoding", "br, GZIP;q=0.5")).await;
            assert_eq!(gzipped.headers()[CONTENT_ENCODING], "gzip");
            let mut unpacked = flate2::write::GzDecoder::new(Vec::new());
            unpacked.write_all(&gzipped.bytes().await.unwrap()).unwrap();
            assert!(unpacked.finish().unwrap() == plain, "{path}");
        }
    }

    #[tokio::test]
    async fn other_versions_and_names_are_not_found() {
        let server = Server::start(false).await;
        for path in ["/playground/0/page.js", &format!("/playground/{}/page.html", *VERSION), "/playground/x"] {
            assert_eq!(server.get(path, ("accept", "*/*")).await.status(), 404, "{path}");
        }
        let page = server.get("/", ("accept", "*/*")).await.text().await.unwrap();
        assert!(!page.contains("/mail\""), "there are no mails to link to");
    }

    #[tokio::test]
    async fn the_stylesheet_is_sent_once() {
        let server = Server::start(false).await;
        let first = server.get("/style.css", ("accept", "*/*")).await;
        assert_eq!(
            (first.status().as_u16(), &first.headers()[CONTENT_TYPE]),
            (200, &"text/css; charset=utf-8".parse().unwrap())
        );
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(first.text().await.unwrap(), STYLESHEET);
        assert_eq!(server.get("/style.css", ("if-none-match", &tag)).await.status(), 304);
        assert_eq!(server.get("/style.css", ("if-none-match", "\"other\"")).await.status(), 200);
    }

    #[test]
    fn every_tab_explains_itself_and_uses_its_variables() {
        for (number, (query, variables)) in (1..).zip(TABS) {
            assert!(query.starts_with(&format!("# {number}. ")), "{query}");
            let document = async_graphql::parser::parse_query(query).unwrap();
            let variables: serde_json::Map<String, serde_json::Value> = serde_json::from_str(variables).unwrap();
            for (_, operation) in document.operations.iter() {
                let mut declared: Vec<_> =
                    operation.node.variable_definitions.iter().map(|it| it.node.name.node.to_string()).collect();
                declared.sort();
                assert_eq!(declared, variables.keys().cloned().collect::<Vec<_>>(), "{query}");
            }
        }
    }
}
