//! The emails of a machine without a mail server: shows the .eml files of a directory at `/mail`.
//!
//! Anybody who can read these pages can sign in as anyone. Therefore they are served only on a loopback listener, and
//! only under a loopback name. Otherwise, a website whose name resolves to 127.0.0.1 (DNS rebinding) could read them
//! through a visitor's browser.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use askama::Template;
use axum::{
    Router,
    extract::{self, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use mail_parser::{Address, Message, MessageParser};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rollcall_domain::base::link::{PublicUrl, Route};

/// The characters that are percent-encoded in paths.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// How many emails the list shows.
const LISTED: usize = 200;

const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// An email's own HTML can't run scripts or load anything. Its links open in a new tab, which isn't sandboxed.
const HTML_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
     frame-ancestors 'self'",
);

/// The pages that show the .eml files of a directory, which doesn't have to exist yet: `/mail` and everything below
/// it.
///
/// They must be mounted only on a loopback listener, and never if emails are sent by SMTP.
pub fn router<S>(site: Arc<PublicUrl>, directory: PathBuf) -> Router<S> {
    let name = "{name}";
    let mailbox = Arc::new(Mailbox { site, directory });
    Router::new()
        .route(&Route::Mails.path(), get(list))
        .route(&Route::Mail(name).path(), get(show))
        .route(&Route::MailHtml(name).path(), get(html))
        .route(&Route::MailFile(name).path(), get(raw))
        .layer(middleware::from_fn_with_state(mailbox.clone(), guard))
        .with_state(mailbox)
}

/// The directory that the pages show, and the public URL.
struct Mailbox {
    site: Arc<PublicUrl>,
    directory: PathBuf,
}

type Shown = State<Arc<Mailbox>>;

/// Refuses requests that come through a proxy or have a host name other than a loopback one, and adds protective
/// headers to every response.
async fn guard(State(mailbox): Shown, request: Request, next: Next) -> Response {
    let mut response = if is_passed_on(&request) {
        let message = "There is no page at this address.";
        Problem { status: StatusCode::NOT_FOUND, title: "Page not found", message }.page(&mailbox.site)
    } else if is_for_loopback(&request) {
        next.run(request).await
    } else {
        let message = "Emails are shown on this machine only: open this page at localhost.";
        Problem { status: StatusCode::FORBIDDEN, title: "Not available here", message }.page(&mailbox.site)
    };
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(PAGE_POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether the request comes through a proxy, which shows in the headers that proxies add. Such a request comes from
/// another machine, whatever its host name is.
fn is_passed_on(request: &Request) -> bool {
    const BY_PROXIES: [&str; 12] = [
        "via",
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-original-url",
        "x-envoy-external-address",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "cdn-loop",
    ];
    request
        .headers()
        .keys()
        .map(|name| name.as_str())
        .any(|name| name.starts_with("x-forwarded") || BY_PROXIES.contains(&name))
}

/// Whether the request names its server, and every name that it gives is a loopback one.
fn is_for_loopback(request: &Request) -> bool {
    let hosts = request.headers().get_all(HOST);
    let mut names = hosts
        .iter()
        .map(|host| host.to_str().unwrap_or_default())
        .chain(request.uri().authority().map(|authority| authority.as_str()))
        .peekable();
    names.peek().is_some() && names.all(is_loopback)
}

fn is_loopback(name: &str) -> bool {
    let Ok(authority) = name.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let is_loopback =
        host.eq_ignore_ascii_case("localhost") || host == "[::1]" || host.parse() == Ok(Ipv4Addr::LOCALHOST);
    is_loopback && !name.contains('@')
}

async fn list(State(mailbox): Shown) -> Response {
    let site = &mailbox.site;
    let folder = Arc::clone(&mailbox);
    let mails = blocking(move || {
        let folder = &folder.directory;
        let mut files = files(folder)?;
        let total = files.len();
        files.sort_by(|a, b| b.cmp(a));
        files.truncate(LISTED);
        // An email that has been deleted in the meantime is left out.
        let mails = files.iter().filter_map(|(_, name)| read(folder, name).ok()).map(|file| file.summary());
        Ok((mails.collect::<Vec<_>>(), total))
    });
    match mails.await {
        Ok((mails, total)) => {
            page(&ListPage { site, mails, total, directory: mailbox.directory.display().to_string() })
        }
        Err(problem) => problem.page(site),
    }
}

async fn show(State(mailbox): Shown, extract::Path(name): extract::Path<String>) -> Response {
    let site = &mailbox.site;
    let folder = Arc::clone(&mailbox);
    match blocking(move || read(&folder.directory, &name)).await {
        Ok(file) => {
            let mail = file.summary();
            let message = file.parse();
            let message = message.as_ref();
            page(&MailPage {
                site,
                mail,
                from: addresses(message.and_then(Message::from)),
                has_html: message.is_some_and(|message| html_of(message).is_some()),
                text: linked(&message.and_then(|message| message.body_text(0)).unwrap_or_default()),
                headers: message.map(headers_of).unwrap_or_default(),
            })
        }
        Err(problem) => problem.page(site),
    }
}

async fn html(State(mailbox): Shown, extract::Path(name): extract::Path<String>) -> Response {
    let site = &mailbox.site;
    let folder = Arc::clone(&mailbox);
    let file = match blocking(move || read(&folder.directory, &name)).await {
        Ok(file) => file,
        Err(problem) => return problem.page(site),
    };
    match file.parse().as_ref().and_then(html_of) {
        Some(html) => ([(CONTENT_SECURITY_POLICY, HTML_POLICY)], Html(with_links_in_new_tabs(html))).into_response(),
        None => {
            let message = "This email only has a text part.";
            Problem { status: StatusCode::NOT_FOUND, title: "No HTML", message }.page(site)
        }
    }
}

async fn raw(State(mailbox): Shown, extract::Path(name): extract::Path<String>) -> Response {
    let folder = Arc::clone(&mailbox);
    match blocking(move || read(&folder.directory, &name)).await {
        Ok(file) => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/rfc822"));
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            (headers, file.content).into_response()
        }
        Err(problem) => problem.page(&mailbox.site),
    }
}

/// Runs file access on a thread where it doesn't block other requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            let message = "There is no email with that name; it may have been deleted.";
            Err(Problem { status: StatusCode::NOT_FOUND, title: "Not found", message })
        }
        outcome => {
            let error = outcome.map(|result| result.err().map(|error| error.to_string()));
            tracing::error!(?error, "the mail folder can't be read");
            let message = "The email folder can't be read; the log says why.";
            Err(Problem { status: StatusCode::INTERNAL_SERVER_ERROR, title: "Can't be read", message })
        }
    }
}

/// Whether the name can belong to one of the directory's emails: it is a single path component inside the directory.
fn is_mail(name: &str) -> bool {
    name.ends_with(".eml") && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// The names of the directory's emails, with the time when each was written. Without a directory, there are none.
fn files(directory: &Path) -> io::Result<Vec<(SystemTime, String)>> {
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok().filter(|name| is_mail(name))?;
        let metadata = entry.metadata().ok().filter(|metadata| metadata.is_file())?;
        Some((metadata.modified().ok()?, name))
    });
    Ok(files.collect())
}

struct MailFile {
    name: String,
    modified: Option<SystemTime>,
    content: Vec<u8>,
}

/// Reads an email. Symbolic links aren't followed, since they could lead out of the directory.
fn read(directory: &Path, name: &str) -> io::Result<MailFile> {
    if !is_mail(name) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let path = directory.join(name);
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(MailFile { name: name.to_owned(), modified: metadata.modified().ok(), content: std::fs::read(path)? })
}

impl MailFile {
    /// Parses the email. `None` if the file is empty, for example because it is just being written.
    fn parse(&self) -> Option<Message<'_>> {
        MessageParser::default().parse(&self.content)
    }

    fn summary(&self) -> Summary {
        let message = self.parse();
        let message = message.as_ref();
        let sent = message.and_then(Message::date).and_then(|date| DateTime::from_timestamp(date.to_timestamp(), 0));
        let date = sent.or_else(|| self.modified.map(DateTime::<Utc>::from));
        Summary {
            path: utf8_percent_encode(&self.name, ESCAPED).to_string(),
            subject: message.and_then(Message::subject).unwrap_or("(no subject)").to_owned(),
            to: addresses(message.and_then(Message::to)),
            date: date.map(|date| date.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default(),
        }
    }
}

struct Summary {
    /// The percent-encoded file name.
    path: String,
    subject: String,
    to: String,
    date: String,
}

fn addresses(addresses: Option<&Address<'_>>) -> String {
    let each =
        addresses.into_iter().flat_map(|addresses| addresses.iter()).map(|one| match (one.name(), one.address()) {
            (Some(name), Some(address)) => format!("{name} <{address}>"),
            (name, address) => name.or(address).unwrap_or_default().to_owned(),
        });
    each.collect::<Vec<_>>().join(", ")
}

/// The HTML part of the email. Without this check, the parser would convert a text part to HTML.
fn html_of<'a>(message: &'a Message<'_>) -> Option<&'a str> {
    message.html_part(0).filter(|part| part.is_text_html()).and_then(|part| part.text_contents())
}

fn headers_of(message: &Message<'_>) -> Vec<(String, String)> {
    message.headers_raw().map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Makes the email's links open in new tabs. Otherwise they would open within its sandboxed frame, where forms can't
/// be sent.
fn with_links_in_new_tabs(html: &str) -> String {
    let base = "<base target=\"_blank\">";
    // The tag goes inside the head, since a doctype must stay first. ASCII lower case doesn't change any index.
    let lower = html.to_ascii_lowercase();
    let head_ends = lower.find("<head").and_then(|start| Some(start + lower.get(start..)?.find('>')? + 1));
    match head_ends.and_then(|end| html.split_at_checked(end)) {
        Some((before, after)) => format!("{before}{base}{after}"),
        None => format!("{base}{html}"),
    }
}

/// A part of an email's text.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Link(String),
}

/// Splits the text into web addresses and the text between them.
fn linked(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = ["https://", "http://"].into_iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, from_link) = rest.split_at(start);
        let end = from_link.find(|c: char| c.is_whitespace() || "<>\"".contains(c)).unwrap_or(from_link.len());
        // Characters that end a sentence or close a parenthesis aren't part of the address.
        let link = from_link.split_at(end).0.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Link(link.to_owned()));
        rest = from_link.split_at(link.len()).1;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    pieces
}

#[derive(Template)]
#[template(path = "mailbox/list.html")]
struct ListPage<'a> {
    site: &'a PublicUrl,
    mails: Vec<Summary>,
    total: usize,
    directory: String,
}

#[derive(Template)]
#[template(path = "mailbox/mail.html")]
struct MailPage<'a> {
    site: &'a PublicUrl,
    mail: Summary,
    from: String,
    has_html: bool,
    text: Vec<Piece>,
    headers: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "mailbox/problem.html")]
struct ProblemPage<'a> {
    site: &'a PublicUrl,
    title: &'a str,
    message: &'a str,
}

/// Why a page can't be shown.
struct Problem {
    status: StatusCode,
    title: &'static str,
    message: &'static str,
}

impl Problem {
    fn page(self, site: &PublicUrl) -> Response {
        (self.status, page(&ProblemPage { site, title: self.title, message: self.message })).into_response()
    }
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const INVITATION: &str = "From: Rollcall <rollcall@example.org>\r\nTo: \"Grace Hopper\" <grace@example.org>\r\n\
        Subject: Come & join <us>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=x\r\n\r\n\
        --x\r\nContent-Type: text/plain\r\n\r\nOpen http://localhost:8080/invitation/abc?a=1&b=2.\r\n\
        --x\r\nContent-Type: text/html\r\n\r\n<!doctype html><html><HEAD lang=en></HEAD><body><script>1</script><a href=\"http://localhost/x\">Join</a></body></html>\r\n--x--\r\n";

    /// A mailbox that is served on a port of its own, with a directory that is removed at the end.
    struct Served {
        folder: PathBuf,
        port: u16,
    }

    impl Served {
        async fn serve() -> Self {
            let folder =
                std::env::temp_dir().join(format!("rollcall-mailbox-{}", rollcall_domain::base::id::new_name()));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let site = Arc::new("http://localhost".parse().unwrap());
            let router = router(site, folder.join("mails"));
            tokio::spawn(async move { axum::serve(listener, router).await });
            Self { folder, port }
        }

        /// Writes an email whose modification time is this many seconds ago.
        fn write(&self, name: &str, content: &str, seconds_ago: u64) {
            let folder = self.folder.join("mails");
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            let written = std::fs::metadata(&path).unwrap().modified().unwrap() - Duration::from_secs(seconds_ago);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        }

        async fn get(&self, path: &str) -> (u16, HeaderMap, String) {
            self.get_as(path, &format!("localhost:{}", self.port)).await
        }

        async fn get_as(&self, path: &str, host: &str) -> (u16, HeaderMap, String) {
            let url = format!("http://127.0.0.1:{}{path}", self.port);
            let response = reqwest::Client::new().get(url).header("host", host).send().await.unwrap();
            (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
        }
    }

    impl Drop for Served {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[tokio::test]
    async fn without_a_folder_there_are_no_mails_yet() {
        let mailbox = Served::serve().await;
        let (status, _, page) = mailbox.get("/mail").await;
        assert_eq!(status, 200);
        assert!(page.contains("No emails yet"));
        assert!(page.contains(r#"http-equiv="refresh""#));
    }

    #[tokio::test]
    async fn the_newest_mails_come_first_and_only_200_of_them() {
        let mailbox = Served::serve().await;
        for number in 0..201 {
            mailbox.write(&format!("{number}.eml"), &format!("Subject: Number {number}\r\n\r\n"), 1000 + number);
        }
        mailbox.write("envelope.json", "{}", 0);
        mailbox.write(".half.eml", "", 0);
        let (_, _, page) = mailbox.get("/mail").await;
        assert_eq!(page.matches("<li>").count(), 200);
        assert!(page.contains("newest 200 of 201"));
        assert!(page.find("Number 0<").unwrap() < page.find("Number 1<").unwrap());
        assert!(!page.contains("Number 200<"));
    }

    #[tokio::test]
    async fn a_mail_shows_its_parts() {
        let mailbox = Served::serve().await;
        mailbox.write("a b&c.eml", INVITATION, 0);
        let (_, _, list) = mailbox.get("/mail").await;
        assert!(list.contains("Come &#38; join &#60;us&#62;"), "{list}");
        assert!(list.contains("2026-11-22 09:00:00 UTC"), "{list}");
        assert!(list.contains("/mail/a%20b%26c.eml"), "{list}");
        let (status, headers, page) = mailbox.get("/mail/a%20b%26c.eml").await;
        assert_eq!(status, 200);
        assert!(page.contains(r#"href="http://localhost:8080/invitation/abc?a=1&#38;b=2""#), "{page}");
        assert!(page.contains("Grace Hopper &#60;grace@example.org&#62;"), "{page}");
        assert!(!page.contains("<script"));
        assert_eq!(headers[CONTENT_SECURITY_POLICY], PAGE_POLICY);
        let (_, headers, html) = mailbox.get("/mail/a%20b%26c.eml/html").await;
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox allow-popups "));
        assert!(!headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script"));
        assert!(html.starts_with(r#"<!doctype html><html><HEAD lang=en><base target="_blank">"#), "{html}");
        let (_, headers, raw) = mailbox.get("/mail/a%20b%26c.eml/raw").await;
        assert_eq!((headers[CONTENT_DISPOSITION].to_str().unwrap(), raw.as_str()), ("attachment", INVITATION));
    }

    #[tokio::test]
    async fn a_mail_without_html_or_content_is_shown_too() {
        let mailbox = Served::serve().await;
        mailbox.write("text.eml", "Subject: Plain\r\n\r\nHello\r\n", 0);
        mailbox.write("empty.eml", "", 0);
        let (status, _, page) = mailbox.get("/mail/text.eml").await;
        assert_eq!((status, page.contains("<iframe"), page.contains("Hello")), (200, false, true));
        assert_eq!(mailbox.get("/mail/text.eml/html").await.0, 404);
        assert_eq!(mailbox.get("/mail/empty.eml").await.0, 200);
        assert!(mailbox.get("/mail").await.2.contains("(no subject)"));
    }

    #[tokio::test]
    async fn nothing_outside_of_the_folder_is_shown() {
        let mailbox = Served::serve().await;
        mailbox.write("inside.eml", "Subject: Inside\r\n\r\n", 0);
        let secret = mailbox.folder.join("secret.eml");
        std::fs::write(&secret, "Subject: Secret\r\n\r\n").unwrap();
        std::fs::create_dir(mailbox.folder.join("mails/folder.eml")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&secret, mailbox.folder.join("mails/link.eml")).unwrap();
        for name in [
            "..%2Fsecret.eml",
            "..%2fmails%2finside.eml",
            "%2e%2e%2fsecret.eml",
            "..%5Csecret.eml",
            &secret.display().to_string().replace('/', "%2F"),
            "link.eml",
            "folder.eml",
            "inside.eml%00",
            "inside",
            "other.eml",
        ] {
            for part in ["", "/html", "/raw"] {
                let (status, _, body) = mailbox.get(&format!("/mail/{name}{part}")).await;
                assert_eq!(status, 404, "{name}{part}: {body}");
            }
        }
        let (_, _, list) = mailbox.get("/mail").await;
        assert_eq!(list.matches("<li>").count(), 1);
    }

    #[tokio::test]
    async fn other_names_than_loopback_ones_are_refused() {
        let mailbox = Served::serve().await;
        mailbox.write("a.eml", INVITATION, 0);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080"] {
            assert_eq!(mailbox.get_as("/mail", host).await.0, 200, "{host}");
        }
        for host in
            ["example.org", "localhost.example.org", "127.0.0.1.example.org", "x@localhost", "192.168.1.2", "[::2]", ""]
        {
            for path in ["/mail", "/mail/a.eml", "/mail/a.eml/html", "/mail/a.eml/raw"] {
                let (status, _, body) = mailbox.get_as(path, host).await;
                assert_eq!((status, body.contains("Grace")), (403, false), "{host} {path}");
            }
        }
        assert!(!is_for_loopback(&Request::new(axum::body::Body::empty())), "no name at all");
    }

    #[test]
    fn web_addresses_in_text_become_links() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let link = |link: &str| Piece::Link(link.to_owned());
        for (given, expected) in [
            ("", vec![]),
            ("no link", vec![text("no link")]),
            ("see https://a.org/x?y=(1), or", vec![text("see "), link("https://a.org/x?y=(1"), text("), or")]),
            ("<http://a.org/>", vec![text("<"), link("http://a.org/"), text(">")]),
            ("http://a\nhttps://b!", vec![link("http://a"), text("\n"), link("https://b"), text("!")]),
            ("javascript:alert(1)", vec![text("javascript:alert(1)")]),
            ("https://", vec![link("https://")]),
            ("ü https://ü.org/ä ö", vec![text("ü "), link("https://ü.org/ä"), text(" ö")]),
        ] {
            assert_eq!(linked(given), expected, "{given}");
        }
    }
}
