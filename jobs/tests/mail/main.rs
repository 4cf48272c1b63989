//! The mails as they are rendered, and as they arrive over a real SMTP conversation.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod lint;

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use chrono::{DateTime, TimeZone as _, Utc};
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use rollcall_domain::authority::rights::AccessLevel;
use rollcall_domain::departure::receipt::MembershipEnding;
use rollcall_domain::membership::invitation_grants::GrantInWords;
use rollcall_jobs::mail::{Envelope, Mail, Mailbox, Mailer, SendError};
use rollcall_jobs::mails::{
    AccountDeletedMail, AccountNotice, AccountNoticeMail, Count, CreditsSpentMail, DepartureToLeaverMail,
    DepartureToOwnerMail, EmailChangeLinkMail, EmailChangeRequestedMail, EmailChangedMail, EmailSetMail,
    GrantInvitationMail, InvitationAcceptedMail, InvitationMail, InvitationReminderMail, JoinedByCodeMail,
    MemberAddedMail, MembershipEnd, MembershipEndedMail, MembershipRestoredMail, Moved, NewSignInMail,
    OwnerReplacedMail, OwnerSetMail, OwnerWelcomeMail, OwnershipTransferredMail, RoleChangedMail, SignInMail,
    TransferAnswer, TransferAnsweredMail, TransferOfferMail, UpgradeRequestedMail, WebhookDisabledMail,
};
use rust_decimal::Decimal;
use url::Url;

// What is rendered

#[test]
fn mails_read_well() {
    for (label, mail) in mails(&Names::plain()) {
        insta::assert_snapshot!(format!("{label}.text"), format!("Subject: {}\n\n{}", mail.subject, mail.text));
        // A line per tag, so that a change can be read.
        insta::assert_snapshot!(format!("{label}.html"), mail.html.replace("><", ">\n<"));
    }
}

#[test]
fn html_passes_the_lint() {
    for (label, mail) in all_mails() {
        assert_eq!(lint::problems(&mail), [""; 0], "{label}");
    }
    let invitation = invitation(&Names::plain()).render(envelope(None)).unwrap();
    assert_eq!(links_of_text(&invitation.text).len(), 1);
}

#[test]
fn the_lint_finds_what_is_wrong() {
    let good = some_mail();
    let spoilt = |from: &str, to: &str| {
        assert!(good.html.contains(from), "{from}");
        Mail { html: good.html.replacen(from, to, 1), ..good.clone() }
    };
    let before = |inserted: &str| spoilt("</body>", &format!("{inserted}</body>"));
    for (what, mail) in [
        ("a script", before("<script>1</script>")),
        ("a picture", before("<img src=\"https://rollcall.example/a.png\" alt=\"\">")),
        ("a form", before("<form></form>")),
        ("a font", spoilt("<style type=\"text/css\">", "<style type=\"text/css\">@import 'a.css';")),
        ("a position", before("<div style=\"position:absolute\"></div>")),
        ("a handler", before("<div onclick=\"x\"></div>")),
        (
            "wrong nesting",
            before("<table border=\"0\" cellpadding=\"0\" cellspacing=\"0\" role=\"presentation\"><div></div></table>"),
        ),
        ("an element without an end", before("<div>")),
        ("a table that is read out", before("<table border=\"0\" cellpadding=\"0\" cellspacing=\"0\"></table>")),
        ("no language", spoilt(" lang=\"en\"", "")),
        ("a link to a script", before("<a href=\"javascript:x\">go</a>")),
        ("a link without encryption", before("<a href=\"http://rollcall.example/\">go</a>")),
        ("a link of the HTML alone", before("<a href=\"https://rollcall.example/\">go</a>")),
        ("a link without text", spoilt(">See the invitation</a>", "></a>")),
        ("a link that shows another", spoilt(">https://rollcall.example/", ">https://evil.example/")),
        ("a faint text", before("<p style=\"color:#dddddd\">Hello</p>")),
        ("escapes in a label", spoilt("aria-label=\"", "aria-label=\"\\u{301}")),
        ("another label than the subject", spoilt("aria-label=\"", "aria-label=\"No ")),
        ("a small text", spoilt("font-size:13px", "font-size:9px")),
        ("a named color", before("<p style=\"color:red\">Hello</p>")),
        ("two main headings", before("<h1>Hello</h1>")),
        ("too much", before(&"<br>".repeat(25_000))),
        (
            "a link of the text alone",
            Mail { text: format!("{}https://rollcall.example/\n", good.text), ..good.clone() },
        ),
    ] {
        assert!(!lint::problems(&mail).is_empty(), "{what} is not found");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever people call themselves and their things.
    #[test]
    fn no_name_spoils_a_mail(organization in a_name(), person in a_name(), username in a_name(), resource in a_name()) {
        let names = Names { organization: &organization, person: &person, username: &username, resource: &resource };
        let directory = empty_directory("no_name_spoils_a_mail");
        let mailer = Mailer::directory(&directory, from()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (label, mail) in mails(&names) {
            prop_assert_eq!(lint::problems(&mail), Vec::<String>::new(), "{}", label);
            let too_long = mail.text.lines().find(|line| !line.starts_with("https://") && line.chars().count() > 76);
            prop_assert_eq!(too_long, None, "{}", label);
            runtime.block_on(mailer.send(&mail)).unwrap();
            let raw = fs::read_to_string(directory.join(&files(&directory)[0])).unwrap();
            prop_assert!(raw.len() < 100_000, "{}: {} bytes", label, raw.len());
            prop_assert!(raw.is_ascii() && raw.split("\r\n").all(|line| line.len() <= 998), "{}", label);
            let message = MessageParser::new().parse(raw.as_bytes()).unwrap();
            prop_assert_eq!(message.subject(), Some(&*mail.subject), "{}", label);
            prop_assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n"), mail.text, "{}", label);
            prop_assert_eq!(message.body_html(0).unwrap().replace("\r\n", "\n"), mail.html, "{}", label);
            let names: BTreeSet<&str> = message.headers().iter().map(|header| header.name()).collect();
            prop_assert_eq!(names.len(), message.headers().len(), "{}: {:?}", label, names);
            prop_assert!(!names.contains("Bcc"), "{}", label);
        }
    }
}

/// A name of up to 100 characters, as the API takes them, of every script and of what means something in HTML, headers,
/// MJML and templates.
fn a_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "\\PC{1,20}",
        2 => "[a-z .:@/]{1,12}",
        1 => "[\u{5d0}-\u{5ea}\u{627}-\u{64a}]{1,12}",
        1 => "[\u{1f600}-\u{1f64f}\u{1f1e6}-\u{1f1ff}\u{200d}\u{fe0f}]{1,12}",
        1 => "[\u{300}-\u{36f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{200b}-\u{200f}]{1,12}",
        4 => prop::sample::select(vec![
            "<", ">", "&", "\"", "'", "&lt;", "&#0;", "<!--", "-->", "]]>", "<![CDATA[", "</mj-text>", "</style>", "<script>",
            "{{", "{%", "http://evil.example", "javascript:", "\r\n.\r\n", "\0", "=\u{3d}", "mj-include",
        ]).prop_map(str::to_owned),
    ];
    let name = prop::collection::vec(piece, 1..12);
    let name = name.prop_map(|pieces| pieces.concat().chars().take(100).collect::<String>());
    // A name without anything to see is refused.
    name.prop_filter("a name shows something", |name| name.chars().any(char::is_alphanumeric))
}

#[test]
fn text_is_wrapped_and_links_stay_whole() {
    for (label, mail) in all_mails() {
        for line in mail.text.lines().filter(|line| !line.starts_with("https://")) {
            assert!(line.chars().count() <= 76, "{label}: {line}");
        }
        assert!(mail.text.contains("\n-- \nYou received this email because"), "{label}");
    }
}

#[test]
fn hostile_names_stay_text() {
    for (label, mail) in mails(&Names::hostile()) {
        assert!(!mail.subject.contains(['\r', '\n', '\u{202E}']), "{label}: {}", mail.subject);
        assert!(!mail.html.contains("<b>"), "{label}");
        assert!(!mail.html.contains("onclick=\""), "{label}");
        assert!(!mail.html.contains("evil.example"), "{label}: a name became a link");
        assert!(!mail.text.contains("evil.example"), "{label}: a name became a link");
        assert!(!mail.subject.contains("evil.example"), "{label}: a name became a link");
        assert!(!mail.text.contains("\nBcc"), "{label}");
    }
    let invitation = invitation(&Names::hostile()).render(envelope(None)).unwrap();
    assert!(invitation.html.contains("&#60;b&#62;&#34; onclick=&#34;"), "{}", invitation.html);
    // A subject is shown as it is, but for a link, which nothing becomes there either.
    let readable = invitation.subject.replace('\u{2060}', "");
    assert!(readable.starts_with("<b>\" onclick=\"x Bcc: a@evil.example"), "{}", invitation.subject);
}

// A screen reader begins with the label of the mail: the subject in words, whichever script they are in.
#[test]
fn the_label_of_a_mail_is_its_subject() {
    for name in ["Ecole d'\u{e9}t\u{e9}", "C:\\Labs \"North\"", "क्षत्रिय", "👩🏽‍🔬 & Co.", "J.R. Hartley", "Tab\there"]
    {
        let names = Names { organization: name, person: name, username: name, resource: name };
        let mail = invitation(&names).render(envelope(None)).unwrap();
        assert_eq!(lint::label(&mail).as_deref(), Some(mail.subject.as_str()), "{name}");
        assert!(mail.subject.contains(&name.replace('\t', " ")), "{}", mail.subject);
    }
}

// What is to be compared and copied has nothing invisible in it.
#[test]
fn addresses_can_be_copied() {
    let copied = ["grace@navy.example", "hooks.example.org"];
    let mut found = 0;
    for (label, mail) in mails(&Names::plain()) {
        assert!(!mail.text.contains('\u{2060}') && !mail.html.contains('\u{2060}'), "{label}");
        found += copied.iter().filter(|address| mail.text.contains(*address) && mail.html.contains(*address)).count();
    }
    assert_eq!(found, 5);
}

#[test]
fn what_ends_says_how_long_that_is_from_the_mail() {
    let minutes = chrono::TimeDelta::minutes;
    for (left, expected) in [
        (minutes(7 * 24 * 60), "in 7 days"),
        (minutes(7 * 24 * 60) - chrono::TimeDelta::milliseconds(5), "in 7 days"),
        (minutes(7 * 24 * 60 + 13 * 60), "in 7 days"),
        (minutes(48 * 60), "in 2 days"),
        (minutes(47 * 60 + 50), "in 47 hours"),
        (minutes(24 * 60), "in 24 hours"),
        (minutes(90), "in 90 minutes"),
        (minutes(-5), "now"),
    ] {
        let invitation = InvitationMail { expires_at: at(1) + left, ..invitation(&Names::plain()) };
        let text = invitation.render(envelope(None)).unwrap().text;
        let line = text.lines().find(|line| line.starts_with("Open until:")).unwrap();
        assert!(line.contains(" November 2026, ") && line.ends_with(&format!(" UTC ({expected})")), "{line}");
    }
}

#[test]
fn signing_in_says_the_same_to_everybody() {
    let sign_in = sign_in(&Names::plain());
    let (known, unknown) = (sign_in.render(envelope(Some("Grace Hopper"))), sign_in.render(envelope(None)));
    assert!(known.unwrap() == unknown.unwrap());
}

#[test]
fn a_departure_says_how_in_subject_and_text() {
    for (ending, to_leaver, to_owner) in [
        (MembershipEnding::Left, "You left", "left"),
        (MembershipEnding::Removed, "You were removed from", "was removed from"),
        (MembershipEnding::Deactivated, "You were deactivated in", "was deactivated in"),
    ] {
        let leaver =
            DepartureToLeaverMail { ending, ..departure_to_leaver(&Names::plain()) }.render(envelope(None)).unwrap();
        let owner = DepartureToOwnerMail {
            organization_name: "Acme Genomics".into(),
            ending,
            leaver_name: "Ada Lovelace".into(),
            leaver_username: "ada".into(),
            moved: Moved::default(),
            other_owners: Vec::new(),
            owns: true,
            advice: Vec::new(),
        };
        let owner = owner.render(envelope(None)).unwrap();
        for (mail, how) in [(leaver, to_leaver), (owner, to_owner)] {
            assert!(mail.subject.contains(how) && mail.text.contains(how), "{how}: {}\n{}", mail.subject, mail.text);
        }
    }
}

#[test]
fn a_stranger_cannot_write_into_the_sign_in_mail() {
    let asked_from = |user_agent: Option<&str>| {
        let sign_in = SignInMail { user_agent: user_agent.map(Into::into), ..sign_in(&Names::plain()) };
        let text = sign_in.render(envelope(None)).unwrap().text;
        text.lines().find_map(|line| line.strip_prefix("Asked from: ")).unwrap().to_owned()
    };
    assert_eq!(asked_from(None), "an unknown device");
    assert_eq!(asked_from(Some("Call 555-0199 now")), "an unknown device");
    assert_eq!(asked_from(Some("curl/8.9.1")), "curl");
    assert_eq!(
        asked_from(Some(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
            Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
        )),
        "Edge on Windows"
    );
    assert_eq!(
        asked_from(Some(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) \
            AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 \
            Safari/604.1"
        )),
        "Safari on an iPhone"
    );
}

#[test]
fn receipts_fit_what_moved() {
    let render = |moved: Moved, ending: MembershipEnding| {
        let receipt = DepartureToLeaverMail { ending, moved, ..departure_to_leaver(&Names::plain()) };
        receipt.render(envelope(None)).unwrap()
    };
    let none = render(Moved::default(), MembershipEnding::Left);
    assert!(none.text.contains("You owned nothing there that had to be passed on."));
    assert_eq!(none.subject, "You left Acme Genomics");

    let count = |kind, count| Count { kind, count };
    let few = Moved {
        counts: vec![count("Projects", 2), count("Volumes", 0)],
        examples: vec!["Liver atlas".into(), "Heart atlas".into()],
        collected_samples: 0,
    };
    let few = render(few, MembershipEnding::Deactivated);
    assert!(few.text.contains("Projects: 2\n\n- Liver atlas\n- Heart atlas\n\n"), "{}", few.text);
    assert!(!few.text.contains("Volumes"));

    let counts_only = Moved { counts: vec![count("Projects", 1_234_567)], ..Moved::default() };
    let counts_only = render(counts_only, MembershipEnding::Removed).text;
    assert!(counts_only.contains("Projects: 1,234,567\n\nThere is"), "{counts_only}");

    let samples_only = Moved { collected_samples: 1_234, ..Moved::default() };
    let samples_only = render(samples_only, MembershipEnding::Removed).text;
    assert!(
        samples_only.contains("any project (1,234)") && samples_only.contains("They stay yours."),
        "{samples_only}"
    );
}

// What is sent

#[tokio::test]
async fn arrives_over_smtp_as_it_was_rendered() {
    let server = SmtpServer::start([]);
    let mut mail = invitation(&Names::plain()).render(envelope(Some("Ģirts Bērziņš"))).unwrap();
    mail.subject = "Ada lädt dich zu “Gēnu laboratorija” ein, die einen wirklich recht langen Namen hat".into();
    server.mailer("").send(&mail).await.unwrap();

    let raw = server.received().pop().unwrap();
    assert!(raw.is_ascii());
    assert!(raw.lines().all(|line| line.len() <= 998));
    let message = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert_eq!(message.subject(), Some(mail.subject.as_str()));
    assert_eq!(message.message_id(), Some("inv_01jd.1@rollcall.example"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-11-22T01:45:00Z");
    let (from, to) = (message.from().unwrap().first().unwrap(), message.to().unwrap().first().unwrap());
    assert_eq!((from.name(), from.address()), (Some("Rollcall"), Some("no-reply@rollcall.example")));
    assert_eq!((to.name(), to.address()), (Some("Ģirts Bērziņš"), Some("grace@example.org")));
    assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert!(message.is_content_type("multipart", "alternative"));
    assert_eq!(message.text_body_count(), 1);
    assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n"), mail.text);
    assert_eq!(message.body_html(0).unwrap().replace("\r\n", "\n"), mail.html);
}

// A reply reaches somebody, where the deployment says whom.
#[tokio::test]
async fn a_reply_goes_where_it_is_read() {
    let server = SmtpServer::start([]);
    server.mailer("").send(&some_mail()).await.unwrap();
    let raw = server.received().pop().unwrap();
    assert!(MessageParser::new().parse(raw.as_bytes()).unwrap().reply_to().is_none());
    for (address, expected) in
        [("support@example.org", "support@example.org"), ("help@bērziņš.example", "help@xn--brzi-bva32apg.example")]
    {
        server.mailer("").with_reply_to(address).unwrap().send(&some_mail()).await.unwrap();
        let raw = server.received().pop().unwrap();
        let message = MessageParser::new().parse(raw.as_bytes()).unwrap();
        let (from, reply_to) = (message.from().unwrap().first().unwrap(), message.reply_to().unwrap().first().unwrap());
        assert_eq!((from.address(), reply_to.address()), (Some("no-reply@rollcall.example"), Some(expected)));
    }
    assert!(server.mailer("").with_reply_to("nobody").is_none());
}

#[tokio::test]
async fn no_header_can_be_smuggled_in() {
    let server = SmtpServer::start([]);
    let hostile = Envelope {
        key: "inv_01jd.1@x>\r\nBcc: a@evil.example".into(),
        ..envelope(Some("Grace\r\nBcc: a@evil.example"))
    };
    let mail = invitation(&Names::hostile()).render(hostile).unwrap();
    server.mailer("").send(&mail).await.unwrap();

    let raw = server.received().pop().unwrap();
    let message = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert!(message.header("Bcc").is_none());
    assert_eq!(message.to().unwrap().iter().count(), 1);
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("grace@example.org"));
    assert_eq!(message.message_id(), Some("inv_01jd.1xBccaevil.example@rollcall.example"));
}

#[tokio::test]
async fn one_connection_serves_many_mails() {
    let server = SmtpServer::start([]);
    let mailer = server.mailer("");
    for _ in 0..5 {
        mailer.send(&some_mail()).await.unwrap();
    }
    assert_eq!(server.received().len(), 5);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refusal_tells_the_servers_words() {
    let server = SmtpServer::start([
        Script::AtRecipient("550 5.1.1 No such user"),
        Script::AtEnd("554-5.7.1 Looks like spam\r\n554 5.7.1 See https://policy.example"),
        Script::AtRecipient("451 4.7.1 Greylisted, come back later"),
        Script::AtEnd("452 4.2.2 Mailbox full"),
    ]);
    let mailer = server.mailer("");
    assert_eq!(mailer.send(&some_mail()).await, permanent("550 5.1.1 No such user"));
    assert_eq!(mailer.send(&some_mail()).await, permanent("554 5.7.1 Looks like spam See https://policy.example"));
    assert_eq!(mailer.send(&some_mail()).await, temporary("451 4.7.1 Greylisted, come back later"));
    assert_eq!(mailer.send(&some_mail()).await, temporary("452 4.2.2 Mailbox full"));
    assert_eq!(mailer.send(&some_mail()).await, Ok(()));
}

#[tokio::test]
async fn a_refused_login_is_not_the_recipients_fault() {
    let server =
        SmtpServer::start([Script::AtLogin("535 5.7.8 Bad password"), Script::AtRecipient("530 5.7.0 Log in first")]);
    let mailer = server.mailer("rollcall:p%40ss@");
    assert_eq!(mailer.send(&some_mail()).await, temporary("535 5.7.8 Bad password"));
    assert_eq!(mailer.send(&some_mail()).await, temporary("530 5.7.0 Log in first"));
    assert_eq!(mailer.send(&some_mail()).await, Ok(()));
}

#[tokio::test]
async fn a_broken_or_silent_connection_is_temporary_and_never_used_again() {
    let server = SmtpServer::start([Script::DropAfterData, Script::SilentAfterData, Script::Accept]);
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}?timeout=1", server.port).into(), from()).unwrap();
    assert!(matches!(mailer.send(&some_mail()).await, Err(SendError::Temporary { .. })));
    assert_eq!(mailer.send(&some_mail()).await, temporary("no answer within 1 seconds"));
    assert_eq!(mailer.send(&some_mail()).await, Ok(()));
    assert_eq!(server.connections(), 3);
    let received = server.received();
    let ids: BTreeSet<_> = received
        .iter()
        .map(|raw| MessageParser::new().parse(raw.as_bytes()).unwrap().message_id().unwrap().to_owned())
        .collect();
    assert_eq!((received.len(), ids.len()), (3, 1), "a repeat has the same Message-ID");
}

#[tokio::test]
async fn a_refusal_counts_where_the_server_falls_silent_after_it() {
    let server = SmtpServer::start([Script::SilentAfterRefusal("550 5.1.1 No such user")]);
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}?timeout=2", server.port).into(), from()).unwrap();
    assert_eq!(mailer.send(&some_mail()).await, permanent("550 5.1.1 No such user"));
}

#[tokio::test]
async fn an_answer_without_end_is_not_kept() {
    let server = SmtpServer::start([Script::EndlessLine]);
    let mailer = server.mailer("");
    assert_eq!(mailer.send(&some_mail()).await, temporary("network error: the server's answer is too long"));
    assert_eq!(mailer.send(&some_mail()).await, Ok(()));
}

// What comes with the answer to STARTTLS wasn't received with TLS. Nothing is said after it, not even the beginning of
// TLS.
#[tokio::test]
async fn what_a_server_says_before_tls_ends_the_conversation() {
    let server = SmtpServer::start([Script::MoreAfterStartTls, Script::MoreAfterStartTls]);
    for tls in ["required", "opportunistic"] {
        let url = format!("smtp://127.0.0.1:{}?tls={tls}", server.port);
        let mailer = Mailer::smtp(&url.into(), from()).unwrap();
        let Err(SendError::Temporary { reply }) = mailer.send(&some_mail()).await else { panic!("{tls}") };
        assert!(reply.ends_with("the server spoke out of turn"), "{reply}");
    }
    assert!(server.received().iter().all(String::is_empty));
}

#[tokio::test]
async fn without_the_encryption_that_is_required_nothing_is_sent() {
    let server = SmtpServer::start([]);
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}?tls=required", server.port).into(), from()).unwrap();
    assert!(matches!(mailer.send(&some_mail()).await, Err(SendError::Temporary { .. })));
    assert_eq!(server.received(), [""; 0]);
}

#[tokio::test]
async fn no_server_is_temporary() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{port}").into(), from()).unwrap();
    assert!(matches!(mailer.send(&some_mail()).await, Err(SendError::Temporary { .. })));
}

#[tokio::test]
async fn addresses_that_cannot_be_written_to_are_permanent() {
    let server = SmtpServer::start([]);
    let mailer = server.mailer("");
    let to = |address: &str| Mail { envelope: Envelope { address: address.into(), ..envelope(None) }, ..some_mail() };
    for address in
        ["", "grace", "@example.org", "grace@", "grace@example.org\r\nRCPT TO:<a@evil.example>", "a b@example.org"]
    {
        assert_eq!(mailer.send(&to(address)).await, permanent("the address is not valid"), "{address:?}");
    }
    // This server does not speak SMTPUTF8.
    assert!(matches!(mailer.send(&to("ģirts@example.org")).await, Err(SendError::Permanent { .. })));
    mailer.send(&to("grace@bērziņš.example")).await.unwrap();
    assert!(server.received().pop().unwrap().contains("To: grace@xn--brzi-bva32apg.example"));
}

#[test]
fn a_wrong_smtp_url_is_told_without_its_password() {
    for url in [
        "",
        "mail.example",
        "http://u:hunter2@mail.example",
        "smtp://u:hunter2@mail.example?tls=maybe",
        "smtp://u:hunter2@mail.example?timeout=0",
        "smtp://u:hunter2@mail.example?timeout=61",
        "smtp://u:hunter2@mail.example?time=5",
        "smtp://u:hunter2@",
        "smtp://u:hunter2@mail.example",
        "smtp://u:hunter2@mail.example?tls=opportunistic",
        "smtps://u:hunter2@mail.example?tls=none",
        "smtp://hunter2@mail.example?tls=required",
    ] {
        let error = Mailer::smtp(&url.to_owned().into(), from()).err().unwrap().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
    for url in [
        "smtps://u:p@mail.example",
        "smtp://mail.example?tls=required&timeout=60",
        "smtp://mail.example:2525?tls=opportunistic",
        "smtp://u:p@mail.example:2525?tls=none",
    ] {
        assert!(Mailer::smtp(&url.to_owned().into(), from()).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn mails_are_files_without_a_server() {
    let directory = empty_directory("mails_are_files_without_a_server").join("mails");
    let mailer = Mailer::directory(&directory, from()).unwrap();
    let later = Mail { envelope: Envelope { key: "../sgn_02".into(), date: at(14), ..envelope(None) }, ..some_mail() };
    for mail in [&later, &some_mail(), &some_mail()] {
        mailer.send(mail).await.unwrap();
    }

    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files(&directory), ["20261122T014500.000Z-inv_01jd.1.eml", "20261122T144500.000Z-..sgn_02.eml"]);
    let raw = fs::read(directory.join("20261122T014500.000Z-inv_01jd.1.eml")).unwrap();
    let message = MessageParser::new().parse(&raw).unwrap();
    assert_eq!(message.subject(), Some("Ada Lovelace invites you to join Acme Genomics"));

    fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(mailer.send(&later).await, Err(SendError::Temporary { .. })));
}

// The mails under test

struct Names<'a> {
    organization: &'a str,
    person: &'a str,
    username: &'a str,
    resource: &'a str,
}

impl Names<'static> {
    fn plain() -> Self {
        Self { organization: "Acme Genomics", person: "Ada Lovelace", username: "ada", resource: "Liver atlas" }
    }

    fn hostile() -> Self {
        let markup = "<b>\" onclick=\"x\r\nBcc: a@evil.example\u{202E} ' --> ]]> </mj-text> {{ \
            subject }} &lt; http://evil.example www.evil.example";
        Self { organization: markup, person: markup, username: markup, resource: markup }
    }

    fn wide() -> Self {
        let wide = "👩🏽‍🔬 ﷽ ﷽ 𒐫𒐫 ＷＷＷＷＷＷＷＷＷＷ شركة الأبحاث ﷽ 👩🏽‍🔬👩🏽‍🔬 ＷＷＷＷＷＷＷＷＷＷ מעבדה 𒐫𒐫𒐫𒐫 ﷽ 👩🏽‍🔬👩🏽‍🔬";
        Self { organization: wide, person: wide, username: wide, resource: wide }
    }

    fn long() -> Self {
        let long = concat!(
            "<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
            "&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&"
        );
        Self { organization: long, person: long, username: long, resource: long }
    }
}

fn mails(names: &Names<'_>) -> Vec<(&'static str, Mail)> {
    let grace = || envelope(Some("Grace Hopper"));
    let advice = vec![
        format!("Renew the secret of the webhook “{}”.", names.resource),
        "Renew the service key “Nightly import”.".into(),
    ];
    let to_owner = DepartureToOwnerMail {
        organization_name: names.organization.into(),
        ending: MembershipEnding::Left,
        leaver_name: names.person.into(),
        leaver_username: names.username.into(),
        moved: moved(names),
        other_owners: vec![names.person.into()],
        owns: true,
        advice,
    };
    let joined = JoinedByCodeMail {
        organization_name: names.organization.into(),
        member_name: names.person.into(),
        username: names.username.into(),
        role: "Member".into(),
        code_hint: "••••-••78".into(),
        joined_at: at(14),
    };
    let welcome = OwnerWelcomeMail {
        organization_name: names.organization.into(),
        sign_in_link: "https://rollcall.example/sign-in".parse().unwrap(),
    };
    let owner_set = OwnerSetMail {
        organization_name: names.organization.into(),
        sign_in_link: "https://rollcall.example/sign-in".parse().unwrap(),
    };
    let owner_replaced = OwnerReplacedMail {
        organization_name: names.organization.into(),
        new_owner_name: names.person.into(),
        new_owner_username: names.username.into(),
        replaced_at: at(14),
    };
    let accepted = InvitationAcceptedMail {
        organization_name: names.organization.into(),
        member_name: names.person.into(),
        username: names.username.into(),
        role: "Member".into(),
        joined_at: at(14),
    };
    let reminder = InvitationReminderMail {
        organization_name: names.organization.into(),
        role: "Member".into(),
        grants: granted(names),
        link: link("invitations", "?a=1&b='2'"),
        expires_at: Utc.with_ymd_and_hms(2026, 11, 29, 14, 5, 0).unwrap(),
    };
    let change_link =
        EmailChangeLinkMail { username: names.username.into(), link: link("email-change", ""), link_minutes: 60 };
    let change_requested = EmailChangeRequestedMail {
        username: names.username.into(),
        new_address: "grace@navy.example".into(),
        requested_at: at(14),
        account_link: account_link(),
    };
    let changed = EmailChangedMail {
        username: names.username.into(),
        new_address: "grace@navy.example".into(),
        changed_at: at(14),
    };
    vec![
        ("new_sign_in", new_sign_in().render(grace()).unwrap()),
        ("email_change_link", change_link.render(grace()).unwrap()),
        ("email_change_requested", change_requested.render(grace()).unwrap()),
        ("email_changed", changed.render(grace()).unwrap()),
        ("email_set_old", email_set(names, false).render(grace()).unwrap()),
        ("email_set_new", email_set(names, true).render(grace()).unwrap()),
        ("account_suspended", account_notice(names, AccountNotice::Suspended).render(grace()).unwrap()),
        ("account_suspension_lifted", account_notice(names, AccountNotice::SuspensionLifted).render(grace()).unwrap()),
        ("account_sessions_ended", account_notice(names, AccountNotice::SessionsEnded).render(grace()).unwrap()),
        ("account_deleted", deletion_mail(false).render(grace()).unwrap()),
        ("invitation_reminder", reminder.render(grace()).unwrap()),
        ("invitation_accepted", accepted.render(grace()).unwrap()),
        ("role_changed", role_changed(names).render(grace()).unwrap()),
        ("member_added", member_added(names).render(grace()).unwrap()),
        ("membership_ended", membership_ended(names).render(grace()).unwrap()),
        ("membership_restored", membership_restored(names).render(grace()).unwrap()),
        ("ownership_transferred", transferred(names, true).render(grace()).unwrap()),
        ("webhook_disabled", webhook_disabled(names).render(grace()).unwrap()),
        ("credits_spent", credits_spent(names, 80).render(grace()).unwrap()),
        ("upgrade_requested", upgrade_requested(names).render(envelope(None)).unwrap()),
        ("owner_set", owner_set.render(grace()).unwrap()),
        ("owner_replaced", owner_replaced.render(grace()).unwrap()),
        ("invitation", invitation(names).render(grace()).unwrap()),
        ("grant_invitation", grant_invitation(names).render(envelope(None)).unwrap()),
        ("transfer_offer", transfer_offer(names).render(grace()).unwrap()),
        ("transfer_accepted", transfer_answered(names, TransferAnswer::Accepted).render(grace()).unwrap()),
        ("transfer_declined", transfer_answered(names, TransferAnswer::Declined).render(grace()).unwrap()),
        ("transfer_expired", transfer_answered(names, TransferAnswer::Expired).render(grace()).unwrap()),
        ("sign_in", sign_in(names).render(envelope(None)).unwrap()),
        ("owner_welcome", welcome.render(grace()).unwrap()),
        ("joined_by_code", joined.render(grace()).unwrap()),
        ("departure_to_leaver", departure_to_leaver(names).render(envelope(Some(names.person))).unwrap()),
        ("departure_to_owner", to_owner.render(grace()).unwrap()),
    ]
}

fn email_set(names: &Names<'_>, to_new: bool) -> EmailSetMail {
    EmailSetMail {
        username: names.username.into(),
        new_address: "grace@navy.example".into(),
        changed_at: at(14),
        to_new,
    }
}

fn account_notice(names: &Names<'_>, notice: AccountNotice) -> AccountNoticeMail {
    AccountNoticeMail {
        notice,
        username: names.username.into(),
        done_at: at(14),
        sign_in_link: "https://rollcall.example/sign-in".parse().unwrap(),
    }
}

fn deletion_mail(by_platform: bool) -> AccountDeletedMail {
    AccountDeletedMail { deleted_at: at(14), by_platform }
}

fn credits_spent(names: &Names, percent: i32) -> CreditsSpentMail {
    CreditsSpentMail {
        organization_name: names.organization.into(),
        percent,
        purchased: Decimal::from(500),
        available: Decimal::new(99_999, 3),
        upgrade_url: Some("https://example.org/plans".parse().unwrap()),
    }
}

fn webhook_disabled(names: &Names) -> WebhookDisabledMail {
    WebhookDisabledMail {
        organization_name: Some(names.organization.into()),
        host: "hooks.example.org".into(),
        error: Some(format!("503 {}", names.resource)),
        webhook_id: "whk_01m80mff7qeqnawy0e1cm38ebs".into(),
    }
}

fn upgrade_requested(names: &Names) -> UpgradeRequestedMail {
    UpgradeRequestedMail {
        organization_name: names.organization.into(),
        organization_id: "org_01m80mff7qeqnawy0e1cm38ebs".into(),
        plan: "Campus".into(),
        asked_by: names.person.into(),
        email: Some("grace@example.org".into()),
        message: Some(format!("We need 300 seats.\n{}", names.resource)),
        usage: vec![("Seats", "12 of 12".into()), ("Workspaces", "3, without a limit".into())],
    }
}

/// Every mail, every variant of it, and the names that are hardest to render.
fn all_mails() -> Vec<(&'static str, Mail)> {
    let names = [Names::plain(), Names::hostile(), Names::long(), Names::wide()];
    names.iter().flat_map(|names| mails(names).into_iter().chain(variants(names))).collect()
}

/// The mails where something is left out or said otherwise.
fn variants(names: &Names<'_>) -> Vec<(&'static str, Mail)> {
    let anonymous = InvitationMail { inviter_name: None, ..invitation(names) };
    let bare_invitation = InvitationMail { grants: Vec::new(), message: None, ..invitation(names) };
    let plain_sign_in = SignInMail { organization_name: None, user_agent: None, ..sign_in(names) };
    let left = |moved| DepartureToLeaverMail {
        ending: MembershipEnding::Left,
        end: None,
        moved,
        ..departure_to_leaver(names)
    };
    let deactivated = DepartureToLeaverMail { ending: MembershipEnding::Deactivated, ..departure_to_leaver(names) };
    let to_owner = |ending, moved| DepartureToOwnerMail {
        organization_name: names.organization.into(),
        ending,
        leaver_name: names.person.into(),
        leaver_username: names.username.into(),
        moved,
        other_owners: Vec::new(),
        owns: true,
        advice: Vec::new(),
    };
    let counts_only = Moved { examples: Vec::new(), ..moved(names) };
    let removed = to_owner(MembershipEnding::Removed, counts_only);
    let gone = to_owner(MembershipEnding::Deactivated, Moved::default());
    let account_deleted = to_owner(MembershipEnding::Deleted, moved(names));
    let suspended = MembershipEnd { message: None, suspended: true, ..membership_end(names) };
    let deactivated_now = MembershipEndedMail {
        ending: MembershipEnding::Deactivated,
        end: suspended.clone(),
        organization_name: names.organization.into(),
    };
    let deactivated_and_done = DepartureToLeaverMail {
        ending: MembershipEnding::Deactivated,
        end: Some(suspended),
        moved: Moved::default(),
        ..departure_to_leaver(names)
    };
    let told_before = DepartureToLeaverMail { end: None, ..departure_to_leaver(names) };
    let to_nothing = MembershipRestoredMail { restored_by: None, returns: false, ..membership_restored(names) };
    let by_nobody = RoleChangedMail { changed_by: None, ..role_changed(names) };
    let spent = CreditsSpentMail { upgrade_url: None, ..credits_spent(names, 100) };
    let wordless = UpgradeRequestedMail { message: None, email: None, ..upgrade_requested(names) };
    let of_platform = WebhookDisabledMail { organization_name: None, error: None, ..webhook_disabled(names) };
    let unknown_device = NewSignInMail { user_agent: None, ..new_sign_in() };
    vec![
        ("account_deleted by the platform", deletion_mail(true).render(envelope(None)).unwrap()),
        ("departure_to_owner of a deleted account", account_deleted.render(envelope(None)).unwrap()),
        ("membership_ended by deactivation", deactivated_now.render(envelope(None)).unwrap()),
        ("departure_to_leaver of a suspended account", deactivated_and_done.render(envelope(None)).unwrap()),
        ("departure_to_leaver told before", told_before.render(envelope(None)).unwrap()),
        ("membership_restored to nothing", to_nothing.render(envelope(None)).unwrap()),
        ("role_changed by nobody", by_nobody.render(envelope(None)).unwrap()),
        ("new_sign_in on an unknown device", unknown_device.render(envelope(None)).unwrap()),
        ("credits_spent to the last", spent.render(envelope(None)).unwrap()),
        ("webhook_disabled of the platform", of_platform.render(envelope(None)).unwrap()),
        ("upgrade_requested without a word", wordless.render(envelope(None)).unwrap()),
        ("invitation without inviter", anonymous.render(envelope(None)).unwrap()),
        ("invitation without grants and message", bare_invitation.render(envelope(None)).unwrap()),
        ("sign_in without organization", plain_sign_in.render(envelope(None)).unwrap()),
        ("ownership_transferred away", transferred(names, false).render(envelope(None)).unwrap()),
        ("departure_to_leaver with nothing", left(Moved::default()).render(envelope(None)).unwrap()),
        ("departure_to_leaver deactivated", deactivated.render(envelope(None)).unwrap()),
        ("departure_to_owner with counts", removed.render(envelope(None)).unwrap()),
        ("departure_to_owner with nothing", gone.render(envelope(None)).unwrap()),
    ]
}

fn some_mail() -> Mail {
    invitation(&Names::plain()).render(envelope(None)).unwrap()
}

fn invitation(names: &Names<'_>) -> InvitationMail {
    InvitationMail {
        organization_name: names.organization.into(),
        inviter_name: Some(names.person.into()),
        role: "Member".into(),
        grants: granted(names),
        message: Some(format!("Welcome!\nStart with the {}.", names.resource)),
        link: link("invitations", "?a=1&b='2'"),
        expires_at: Utc.with_ymd_and_hms(2026, 11, 29, 14, 5, 0).unwrap(),
    }
}

fn granted(names: &Names<'_>) -> Vec<GrantInWords> {
    let grant = |kind: &str, level| GrantInWords { name: names.resource.into(), kind: kind.into(), level };
    vec![grant("project", AccessLevel::Upload), grant("workspace", AccessLevel::Administer)]
}

fn new_sign_in() -> NewSignInMail {
    NewSignInMail {
        signed_in_at: at(14),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Firefox/144.0".into()),
        session_id: "ses_01m80mff7qeqnawy0e1cm38ebs".into(),
        account_link: account_link(),
    }
}

fn account_link() -> Url {
    "https://rollcall.example/account".parse().unwrap()
}

fn grant_invitation(names: &Names<'_>) -> GrantInvitationMail {
    GrantInvitationMail {
        inviter_name: names.person.into(),
        organization_name: names.organization.into(),
        kind: "project".into(),
        resource_name: names.resource.into(),
        level: "view".into(),
        link: "https://rollcall.example/resources/res_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        expires_at: Utc.with_ymd_and_hms(2026, 11, 29, 14, 5, 0).unwrap(),
    }
}

fn transfer_offer(names: &Names<'_>) -> TransferOfferMail {
    TransferOfferMail {
        offered_by_name: names.person.into(),
        offered_by_username: Some(names.username.into()),
        project_name: names.resource.into(),
        from_name: names.organization.into(),
        to_name: None,
        transfer_id: "trf_01h455vb4pex5vsknk084sn02q".into(),
        expires_at: Utc.with_ymd_and_hms(2026, 11, 29, 14, 5, 0).unwrap(),
        sign_in_link: "https://rollcall.example/sign-in".parse().unwrap(),
    }
}

fn transfer_answered(names: &Names<'_>, answer: TransferAnswer) -> TransferAnsweredMail {
    TransferAnsweredMail {
        answer,
        project_name: names.resource.into(),
        from_name: names.organization.into(),
        to_name: (answer == TransferAnswer::Accepted).then(|| names.organization.into()),
        recipient_name: names.person.into(),
        recipient_username: Some(names.username.into()),
        transfer_id: "trf_01h455vb4pex5vsknk084sn02q".into(),
    }
}

fn role_changed(names: &Names<'_>) -> RoleChangedMail {
    RoleChangedMail {
        organization_name: names.organization.into(),
        old_role: "Member".into(),
        new_role: "Admin".into(),
        changed_by: Some(names.person.into()),
        changed_at: at(14),
    }
}

fn member_added(names: &Names<'_>) -> MemberAddedMail {
    MemberAddedMail {
        organization_name: names.organization.into(),
        role: "Member".into(),
        added_at: at(14),
        sign_in_link: link("sign-in", ""),
    }
}

fn membership_restored(names: &Names<'_>) -> MembershipRestoredMail {
    MembershipRestoredMail {
        organization_name: names.organization.into(),
        role: "Member".into(),
        restored_by: Some(names.person.into()),
        restored_at: at(14),
        returns: true,
        sign_in_link: link("sign-in", ""),
    }
}

fn membership_ended(names: &Names<'_>) -> MembershipEndedMail {
    MembershipEndedMail {
        organization_name: names.organization.into(),
        ending: MembershipEnding::Removed,
        end: membership_end(names),
    }
}

fn membership_end(names: &Names<'_>) -> MembershipEnd {
    MembershipEnd {
        message: Some(format!("The contract for {} has ended.\nThank you for everything.", names.resource)),
        ended_at: at(14),
        suspended: false,
    }
}

fn transferred(names: &Names<'_>, receives: bool) -> OwnershipTransferredMail {
    OwnershipTransferredMail {
        organization_name: names.organization.into(),
        other_name: names.person.into(),
        other_username: names.username.into(),
        receives,
        sign_in_link: "https://rollcall.example/sign-in".parse().unwrap(),
    }
}

fn sign_in(names: &Names<'_>) -> SignInMail {
    SignInMail {
        link: link("sign-in", ""),
        digits: "402913".into(),
        link_minutes: 60,
        digits_minutes: 10,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Firefox/144.0".into()),
        organization_name: Some(names.organization.into()),
    }
}

fn link(page: &str, query: &str) -> Url {
    let token = "4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899a";
    format!("https://rollcall.example/{page}/{token}{query}").parse().unwrap()
}

fn departure_to_leaver(names: &Names<'_>) -> DepartureToLeaverMail {
    DepartureToLeaverMail {
        organization_name: names.organization.into(),
        ending: MembershipEnding::Removed,
        end: Some(membership_end(names)),
        new_owner_name: Some("Grace Hopper".into()),
        samples_owner_name: Some("Grace Hopper".into()),
        moved: moved(names),
    }
}

fn moved(names: &Names<'_>) -> Moved {
    let count = |kind| Count { kind, count: 10_000 };
    Moved {
        counts: vec![count("Projects"), count("Volumes")],
        examples: (1..=20).map(|number| format!("{} {number}", names.resource)).collect(),
        collected_samples: 10_000,
    }
}

fn envelope(name: Option<&str>) -> Envelope {
    Envelope { key: "inv_01jd.1".into(), address: "grace@example.org".into(), name: name.map(Into::into), date: at(1) }
}

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 45, 0).unwrap()
}

fn from() -> Mailbox {
    "Rollcall <no-reply@rollcall.example>".parse().unwrap()
}

fn permanent(reply: &str) -> Result<(), SendError> {
    Err(SendError::Permanent { reply: reply.into() })
}

fn temporary(reply: &str) -> Result<(), SendError> {
    Err(SendError::Temporary { reply: reply.into() })
}

fn links_of_text(text: &str) -> BTreeSet<String> {
    text.split_whitespace().filter(|word| word.starts_with("https://")).map(Into::into).collect()
}

fn empty_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    directory
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

// An SMTP server

/// What the server does with the next mail; after the last script it accepts.
#[derive(Clone, Copy)]
enum Script {
    Accept,
    AtLogin(&'static str),
    AtRecipient(&'static str),
    SilentAfterRefusal(&'static str),
    AtEnd(&'static str),
    DropAfterData,
    SilentAfterData,
    /// Answers MAIL by a line that never ends.
    EndlessLine,
    /// Offers STARTTLS, and says more in the packet with the answer to it.
    MoreAfterStartTls,
}

struct SmtpServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: VecDeque<Script>,
    connections: usize,
    received: Vec<String>,
}

impl SmtpServer {
    fn start<const N: usize>(scripts: [Script; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { scripts: scripts.into(), ..State::default() }));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = shared.clone();
                state.lock().unwrap().connections += 1;
                // A client that hangs up ends the conversation.
                thread::spawn(move || converse(stream.unwrap(), &state).ok());
            }
        });
        Self { port, state }
    }

    /// `login` is empty or ends in `@`.
    fn mailer(&self, login: &str) -> Mailer {
        let tls = if login.is_empty() { "" } else { "?tls=none" };
        Mailer::smtp(&format!("smtp://{login}127.0.0.1:{}{tls}", self.port).into(), from()).unwrap()
    }

    fn received(&self) -> Vec<String> {
        self.state.lock().unwrap().received.clone()
    }

    fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

fn converse(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let next_script = || state.lock().unwrap().scripts.pop_front().unwrap_or(Script::Accept);
    let mut script = None;
    stream.write_all(b"220 test\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let answer = match (verb, script) {
            ("EHLO", _) => match state.lock().unwrap().scripts.front() {
                Some(Script::MoreAfterStartTls) => "250-test\r\n250 STARTTLS",
                _ => "250-test\r\n250 AUTH PLAIN",
            },
            ("STARTTLS", _) => {
                next_script();
                stream.write_all(b"220 Go ahead\r\n250-test\r\n250 AUTH PLAIN\r\n")?;
                let mut answer = String::new();
                for line in lines {
                    answer.push_str(&line?);
                }
                state.lock().unwrap().received.push(answer);
                return Ok(());
            }
            ("AUTH", _) => {
                match state.lock().unwrap().scripts.pop_front_if(|script| matches!(script, Script::AtLogin(_))) {
                    Some(Script::AtLogin(answer)) => answer,
                    _ => "235 Welcome",
                }
            }
            ("MAIL", _) => {
                script = Some(next_script());
                if let Some(Script::EndlessLine) = script {
                    loop {
                        stream.write_all(&[b'2'; 4_096])?;
                    }
                }
                "250 OK"
            }
            ("RCPT", Some(Script::AtRecipient(answer))) => answer,
            ("RCPT", Some(Script::SilentAfterRefusal(answer))) => {
                stream.write_all(format!("{answer}\r\n").as_bytes())?;
                return stream.read_to_end(&mut Vec::new()).map(drop);
            }
            ("DATA", _) => {
                stream.write_all(b"354 Go on\r\n")?;
                let mut message = String::new();
                while let Some(line) = lines.next().transpose()?.filter(|line| line != ".") {
                    message.push_str(line.strip_prefix('.').unwrap_or(&line));
                    message.push_str("\r\n");
                }
                state.lock().unwrap().received.push(message);
                match script {
                    Some(Script::AtEnd(answer)) => answer,
                    Some(Script::DropAfterData) => return Ok(()),
                    Some(Script::SilentAfterData) => {
                        // Until the client hangs up.
                        return stream.read_to_end(&mut Vec::new()).map(drop);
                    }
                    _ => "250 Queued",
                }
            }
            ("QUIT", _) => {
                stream.write_all(b"221 Bye\r\n")?;
                return Ok(());
            }
            _ => "250 OK",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}
