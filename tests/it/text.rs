//! Texts from outside in their one form: what is stored, what is found, and what is taken for the same.

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::process;
use crate::support::{Client, Team, TestApp, Value, json};

/// Signs in to the account of an address by the digits that are mailed to its one form.
async fn sign_in(app: &TestApp, written: &str, mailed: &str) -> Client {
    app.anonymous().ok("requestSignIn", json!({ "email": written }), "").await;
    let mail = app.mail_about(mailed, "sign in").await;
    let digits = json!({ "digits": { "email": written, "code": mail.digits() } });
    let payload = app.anonymous().ok("signIn", digits, "sessionToken viewer { user { id } }").await;
    let mut client = app.client(&text(&payload["sessionToken"]));
    client.user_id = text(&payload["viewer"]["user"]["id"]);
    client
}

/// Whatever takes a name, with the field that it stands in.
async fn named(team: &Team, name: &str) -> Vec<(&'static str, Value, &'static str)> {
    let id = &team.id;
    vec![
        ("createOrganization", json!({ "name": name }), "input.name"),
        ("updateOrganization", json!({ "id": id, "name": name }), "input.name"),
        ("updateProfile", json!({ "name": name }), "input.name"),
        ("createTeam", json!({ "organizationId": id, "name": name }), "input.name"),
        ("createResource", json!({ "organizationId": id, "kind": "SAMPLE", "name": name }), "input.name"),
        ("queueRun", json!({ "organizationId": id, "kind": "JOB", "name": name }), "input.name"),
        ("createApiKey", json!({ "organizationId": id, "name": name }), "input.name"),
        ("createServiceKey", json!({ "organizationId": id, "name": name }), "input.name"),
        ("createJoinCodes", json!({ "organizationId": id, "label": name }), "input.label"),
        ("updateBilling", json!({ "organizationId": id, "accountName": name }), "input.accountName"),
        (
            "inviteMembers",
            json!({ "organizationId": id, "invitations": [{ "email": "new@example.org", "name": name }] }),
            "input.invitations.0.name",
        ),
    ]
}

// R49: what can't be seen is no name.
#[tokio::test]
async fn a_name_that_renders_as_nothing_is_blank() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for name in [
        "\u{2800}",
        "\u{115f}\u{1160}",
        "\u{3164}",
        "\u{ffa0}",
        " \u{301}",
        "\u{200d}\u{2060}",
        "\u{e0061}",
        "\u{fe0f}",
        "\u{a0}\u{2800}",
    ] {
        for (mutation, input, field) in named(&team, name).await {
            assert_eq!(team.owner.refused(mutation, input).await.is(), ("BLANK", field), "{mutation} {name:?}");
        }
    }
    app.finish().await;
}

// R49: no two names look alike for what is invisible, and the error says what is to be done.
#[tokio::test]
async fn invisible_characters_are_named_and_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for c in [
        '\u{200b}',
        '\u{202e}',
        '\u{2066}',
        '\u{200e}',
        '\u{ad}',
        '\u{3164}',
        '\u{2060}',
        '\u{200d}',
        '\u{fe0f}',
        '\u{e0061}',
        '\u{180e}',
    ] {
        for (mutation, input, field) in named(&team, &format!("Ac{c}me")).await {
            let refused = team.owner.refused(mutation, input).await;
            assert_eq!(refused.is(), ("INVALID", field), "{mutation} {c:?}");
            let named = format!("U+{:04X}", u32::from(c));
            assert!(refused.message.contains(&named) && refused.message.contains("take it out"), "{}", refused.message);
        }
        for (mutation, input, field) in [
            ("changeEmail", json!({ "email": format!("ot{c}to@example.org") }), "input.email"),
            ("changeEmail", json!({ "email": format!("otto@exam{c}ple.org") }), "input.email"),
            ("updateProfile", json!({ "username": format!("ot{c}to") }), "input.username"),
            ("updateOrganization", json!({ "id": team.id, "slug": format!("ac{c}me") }), "input.slug"),
        ] {
            assert_eq!(team.owner.refused(mutation, input).await.is(), ("INVALID", field), "{mutation} {c:?}");
        }
    }
    // What scripts and emoji need stays, byte for byte.
    for name in [
        "می\u{200c}خواهم",
        "ന്\u{200d}",
        "👩🏽\u{200d}🔬 Labs",
        "葛\u{e0100}飾",
        "❤\u{fe0f}",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    ] {
        let payload = team.owner.ok("createOrganization", json!({ "name": name }), "organization { name }").await;
        assert_eq!(payload["organization"]["name"], name);
    }
    // Words to people lose what has no business there, and keep the rest.
    let input =
        json!({ "id": team.id, "description": "a\u{202e}b\r\n\u{200b}می\u{200c}خواهم e\u{308}\u{2028}👩\u{200d}🔬 " });
    let payload = team.owner.ok("updateOrganization", input, "organization { description }").await;
    assert_eq!(payload["organization"]["description"], "ab\nمی\u{200c}خواهم ë\n👩\u{200d}🔬");
    app.finish().await;
}

// R15: names are found however they are written, whatever the database's locale.
#[tokio::test]
async fn names_are_found_without_case_marks_and_normal_forms() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.owner.ok("updateProfile", json!({ "name": "Owner" }), "").await;
    let names = [
        "Zoe\u{308} Łukasz",
        "Straße 7",
        "İstanbul ısı",
        "ΟΔΥΣΣΕΥΣ",
        "Ｗｉｄｅ ﬁre",
        "한국",
        "O’Brien\u{2011}Smith",
        "محـمد",
    ];
    let searches = [
        &["zoe", "ZOË", "zoe\u{308}", "zoë łuk", "lukasz", "e l"][..],
        &["strasse", "STRASSE", "straße", "STRAẞE 7", " strasse\u{a0}\u{a0}7 "],
        &["ISTANBUL", "istanbul", "İSTANBUL", "isi"],
        &["οδυσσευς", "Οδυσσεύς", "ΟΔΥΣΣΕΎΣ"],
        &["wide", "ＷＩＤＥ", "fire", "de f"],
        &["\u{1112}\u{1161}\u{11ab}", "한국"],
        &["o'brien", "O’BRIEN-smith", "brien\u{2013}smi"],
        &["محمد", "مُحَمَّد"],
    ];
    for (number, name) in names.iter().enumerate() {
        let person = app.join(&team, &format!("person{number}@example.org"), "MEMBER").await;
        person.ok("updateProfile", json!({ "name": name }), "").await;
        team.owner.ok("createTeam", json!({ "organizationId": team.id, "name": name }), "").await;
        team.owner.create(&team.id, "DOCUMENT", name).await;
    }
    let query = "query($id: ID!, $search: String!) { organization(by: { id: $id }) { members(search: $search) { totalCount nodes { user { name } } } \
         teams(search: $search) { totalCount nodes { name } } resources(search: $search) { nodes { name } } } \
         viewer { resources(search: $search) { nodes { name } } } }";
    for (name, searches) in names.iter().zip(searches) {
        for search in searches {
            let data = team.owner.query(query, json!({ "id": team.id, "search": search })).await;
            let organization = &data["organization"];
            let found = [
                text(&nodes(&organization["members"])[0]["user"]["name"]),
                text(&nodes(&organization["teams"])[0]["name"]),
                text(&nodes(&organization["resources"])[0]["name"]),
                text(&nodes(&data["viewer"]["resources"])[0]["name"]),
            ];
            // In one form, whichever they were sent in.
            let stored = name.replace("e\u{308}", "ë");
            assert!(found.iter().all(|found| *found == stored), "{search:?}: {data}");
            let counts = [&organization["members"]["totalCount"], &organization["teams"]["totalCount"]];
            assert!(counts.iter().all(|count| **count == 1), "{search:?}: {data}");
        }
    }
    // Marks that make another letter of one aren't left out.
    for (name, other) in [("か", "が"), ("कुल", "कल")] {
        team.owner.create(&team.id, "DOCUMENT", name).await;
        let data = team.owner.query(query, json!({ "id": team.id, "search": other })).await;
        assert_eq!(data["organization"]["resources"]["nodes"], json!([]), "{other}");
    }
    app.finish().await;
}

// R66: the names of teams differ in what people see.
#[tokio::test]
async fn teams_have_names_that_differ() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let create = async |name: &str| {
        let input = json!({ "organizationId": team.id, "name": name });
        team.owner.mutate("createTeam", input, "team { id }").await.user_errors("createTeam")
    };
    for (name, same) in [
        ("Zoë", &["zoe", "ZOE\u{308}", "Ｚｏｅ"][..]),
        ("Straße", &["STRASSE"]),
        ("می\u{200c}خواهم", &["میخواهم"]),
        ("👩\u{200d}🔬", &["👩🔬"]),
        ("R & D", &["r\u{a0}&  d", "R\u{2003}& D"]),
        ("❤", &["❤\u{fe0f}"]),
        ("A-Team", &["a\u{2011}team"]),
    ] {
        assert!(create(name).await.is_empty(), "{name}");
        for same in same {
            assert_eq!(create(same).await[0].is(), ("CONFLICT", "input.name"), "{same:?}");
        }
    }
    app.finish().await;
}

// R24, R25: an address is one, however its domain is written: one account, one invitation, one seat, one limit of
// mails.
#[tokio::test]
async fn an_address_is_one_however_it_is_written() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let forms = [
        "otto@münchen.example",
        "Otto@MU\u{308}NCHEN.Example",
        "otto@xn--mnchen-3ya.example",
        "ｏｔｔｏ＠münchen。example",
    ];
    let mailed = forms[2];
    let invite = async |email: &str| {
        let input = json!({ "organizationId": team.id, "invitations": [{ "email": email }] });
        team.owner.mutate("inviteMembers", input, "invitations { email }").await
    };
    let invited = invite(forms[0]).await;
    assert_eq!(invited.data()["inviteMembers"]["invitations"][0]["email"], mailed);
    for form in forms {
        let refused = &invite(form).await.user_errors("inviteMembers")[0];
        assert_eq!(refused.is(), ("ALREADY_INVITED", "input.invitations.0.email"), "{form}");
    }
    let seats = "query($id: ID!) { organization(by: { id: $id }) { billing { seatsUsed } } }";
    let seats = team.owner.query(seats, json!({ "id": team.id })).await;
    assert_eq!(seats["organization"]["billing"]["seatsUsed"], 2);
    // The server is given what it can take.
    let mail = app.mail_about(mailed, "invites you").await;
    assert_eq!((mail.recipient.as_str(), mail.to.as_str()), (mailed, mailed));
    let accepted = json!({ "token": mail.token(), "name": "Otto" });
    app.anonymous().ok("acceptInvitation", accepted, "member { id }").await;
    let first = sign_in(&app, forms[0], mailed).await;
    for form in forms {
        let again = sign_in(&app, form, mailed).await;
        assert_eq!(again.user_id, first.user_id, "{form}");
        let viewer = again.query("{ viewer { email } }", json!({})).await;
        assert_eq!(viewer["viewer"]["email"], mailed);
        let refused = &invite(form).await.user_errors("inviteMembers")[0];
        assert_eq!(refused.is(), ("ALREADY_MEMBER", "input.invitations.0.email"), "{form}");
        app.forget_mails().await;
    }
    // Owner and admins find it as people write it, and as it is stored.
    let query = "query($id: ID!, $search: String!) { organization(by: { id: $id }) { members(search: $search) { nodes { email } } } }";
    for search in ["münchen", "MUNCHEN", "otto@mün", mailed] {
        let found = team.owner.query(query, json!({ "id": team.id, "search": search })).await;
        assert_eq!(found["organization"]["members"]["nodes"], json!([{ "email": mailed }]), "{search}");
    }
    // As many mails as one person may be sent, and no more by writing to them otherwise.
    app.forget_mails().await;
    let project = team.owner.create(&team.id, "PROJECT", "Atlas").await;
    let share = async |email: &str| {
        let input = json!({ "resourceId": project, "grantee": { "email": email }, "level": "VIEW" });
        team.owner.mutate("grantAccess", input, "invited").await.user_errors("grantAccess")
    };
    let other = ["eva@bücher.example", "eva@xn--bcher-kva.example"];
    let mut refused = None;
    for n in 0..6 {
        refused = share(other[n % 2]).await.into_iter().next();
    }
    assert_eq!(refused.unwrap().is(), ("RATE_LIMITED", "input.grantee.email"));
    let invitations = "SELECT count(DISTINCT email) AS value FROM grant_invitations";
    assert_eq!(app.database.number(invitations).await, 1);
    let wrong = ["otto@xn--a.example", "otto@exa_mple.org", "o\u{a0}tto@example.org", "otto@-a.example"];
    for wrong in wrong {
        let refused = &invite(wrong).await.user_errors("inviteMembers")[0];
        assert_eq!(refused.is(), ("INVALID", "input.invitations.0.email"), "{wrong:?}");
    }
    app.finish().await;
}

// R26, R30: a code is its digits, in whatever script and with whatever between them; what can't be one costs no try.
#[tokio::test]
async fn codes_are_read_however_people_type_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let typed = |code: &str, zero: char, gap: &str| {
        let digits = code.chars().filter_map(|c| c.to_digit(10));
        let digits = digits.map(|digit| char::from_u32(u32::from(zero) + digit).unwrap().to_string());
        digits.collect::<Vec<_>>().join(gap)
    };
    let manners = [
        ('٠', ""),
        ('۰', " "),
        ('०', "-"),
        ('０', "．"),
        ('0', "\u{a0}"),
        ('0', "\u{2013}"),
        ('0', "\u{2212}"),
        ('0', ".\u{200b}"),
        ('๐', "ー"),
    ];
    for (number, (zero, gap)) in manners.into_iter().enumerate() {
        let person = app.sign_up(&format!("person{number}@example.org")).await;
        let code = typed(&team.code("MEMBER").await, zero, gap);
        person.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    }
    // The mail's digits too.
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let mail = app.mail_about("ada@example.org", "sign in").await;
    for number in 0..20 {
        let code = ["", "12345", "1234567", "code", "12345½"][number % 5];
        let wrong = json!({ "digits": { "email": "ada@example.org", "code": code } });
        assert_eq!(app.anonymous().refused("signIn", wrong).await.is(), ("INVALID", "input.digits.code"));
        let wrong = ["", "1234567", "12345678x", "org_1", "½2345678", "1234-567"][number % 6];
        assert_eq!(
            ada.refused("redeemJoinCode", json!({ "code": wrong })).await.is(),
            ("INVALID", "input.code"),
            "{wrong}"
        );
    }
    let digits = json!({ "digits": { "email": "ada@example.org", "code": typed(&mail.digits(), '０', " ") } });
    app.anonymous().ok("signIn", digits, "sessionToken").await;
    let code = typed(&team.code("MEMBER").await, '۰', "\u{2010}");
    ada.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.finish().await;
}

// R49, R19: slugs and usernames are made of names in any script, and some words are nobody's.
#[tokio::test]
async fn slugs_and_usernames_are_made_of_names() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let found = async |name: &str| {
        let payload = team.owner.ok("createOrganization", json!({ "name": name }), "organization { slug }").await;
        text(&payload["organization"]["slug"])
    };
    for (name, slug) in [
        ("Ärzte ohne Grenzen", "arzte-ohne-grenzen"),
        ("Cafe\u{301}", "cafe"),
        ("Łódź", "lodz"),
        ("Ørsted", "orsted"),
        ("Straße", "strasse"),
        ("Кириллица", "kirillitsa"),
        ("日本", "ri-ben"),
        ("Ｗｉｄｅ", "wide"),
    ] {
        assert_eq!(found(name).await, slug, "{name}");
    }
    let nameless = found("!!!").await;
    assert!(nameless.starts_with("organization"), "{nameless}");
    for word in ["admin", "API", "graphql", "new", "settings", "support", "www", "ｎｅｗ", "rollcall", "sign-in"] {
        let (founding, renaming) = (json!({ "name": "Mine", "slug": word }), json!({ "id": team.id, "slug": word }));
        for (mutation, input) in [("createOrganization", founding), ("updateOrganization", renaming)] {
            let refused = team.owner.refused(mutation, input).await;
            assert_eq!(refused.is(), ("SLUG_TAKEN", "input.slug"), "{mutation} {word}");
            assert!(refused.message.contains("kept for the platform"), "{}", refused.message);
        }
        let refused = team.owner.refused("updateProfile", json!({ "username": word })).await;
        assert_eq!(refused.is(), ("USERNAME_TAKEN", "input.username"), "{word}");
        // Made of a name, they get a number.
        let slug = found(word).await;
        assert!(slug.rsplit_once('-').is_some_and(|(_, number)| number.parse::<u32>().is_ok()), "{word}: {slug}");
    }
    team.invite("new@example.org", "MEMBER").await;
    let token = app.mail_to("new@example.org").await.token();
    let accept = json!({ "token": token, "username": "support" });
    assert_eq!(app.anonymous().refused("acceptInvitation", accept).await.is(), ("USERNAME_TAKEN", "input.username"));
    let admin = app.sign_up("admin@example.org").await;
    assert!(admin.username().await.starts_with("admin-"), "{}", admin.username().await);
    // Whoever has one from before keeps it.
    app.database.sql(&format!("UPDATE users SET username = 'support' WHERE id = '{}'", uuid(&admin.user_id))).await;
    admin.ok("updateProfile", json!({ "username": "support", "name": "Ada" }), "").await;
    assert_eq!(admin.username().await, "support");
    app.finish().await;
}

// R47: a name is typed as it stands, by whichever keyboard.
#[tokio::test]
async fn a_name_is_confirmed_in_either_normal_form() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.owner.ok("updateOrganization", json!({ "id": team.id, "name": "Zoë می\u{200c}خواهم" }), "").await;
    for wrong in ["Zoe می\u{200c}خواهم", "zoë می\u{200c}خواهم", ""] {
        let input = json!({ "id": team.id, "confirmOrganizationName": wrong });
        let refused = team.owner.refused("deleteOrganization", input).await;
        assert_eq!(refused.is(), ("CONFIRMATION_MISMATCH", "input.confirmOrganizationName"), "{wrong:?}");
    }
    let input = json!({ "id": team.id, "confirmOrganizationName": " Zoe\u{308} می\u{200c}خواهم " });
    team.owner.ok("deleteOrganization", input, "deletedOrganizationId").await;
    app.finish().await;
}

fn migrate(app: &TestApp) -> std::process::Output {
    let settings = [("DATABASE_URL".to_owned(), app.database.url.clone())];
    process::command(process::rollcall(), std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), &settings)
        .arg("migrate")
        .output()
        .unwrap()
}

// What was stored before is brought to its form by `rollcall migrate`, whatever collides; `rollcall admin verify` tells
// what isn't.
#[tokio::test]
async fn what_is_stored_is_brought_to_its_form() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let zoe = app.join(&team, "zoe@example.org", "MEMBER").await;
    let twin = app.sign_up("twin@example.org").await;
    let group = async |name: &str| {
        let input = json!({ "organizationId": team.id, "name": name });
        uuid(&text(&team.owner.ok("createTeam", input, "team { id }").await["team"]["id"]))
    };
    let teams = [group("One").await, group("Two").await, group("Three").await];
    let document = team.owner.create(&team.id, "DOCUMENT", "Atlas").await;
    app.until_idle().await;
    app.stop_workers().await;
    // As the version before has left it: folded by the database, the addresses as they were typed.
    let old = format!(
        "UPDATE users SET name = E'Zoe\\u0308\\u200b', folded_name = E'zoe\\u0308\\u200b', email = 'zoe@münchen.example', folded_email = 'zoe@münchen.example' WHERE id = '{zoe}'; \
         UPDATE users SET email = 'zoe@xn--mnchen-3ya.example', folded_email = 'zoe@xn--mnchen-3ya.example' WHERE id = '{twin}'; \
         UPDATE teams SET name = 'Zoe', folded_name = 'zoe' WHERE id = '{0}'; \
         UPDATE teams SET name = 'Zoë', folded_name = 'zoë' WHERE id = '{1}'; \
         UPDATE teams SET name = E'\\u2800', folded_name = E'\\u2800' WHERE id = '{2}'; \
         UPDATE resources SET name = 'STRAẞE', folded_name = 'straẞe', description = E'a\\r\\nb\\u202e' WHERE id = '{document}'; \
         UPDATE organizations SET name = E'Cafe\\u0301' WHERE id = '{organization}'; \
         UPDATE text_forms SET version = 0",
        teams[0],
        teams[1],
        teams[2],
        zoe = uuid(&zoe.user_id),
        twin = uuid(&twin.user_id),
        document = uuid(&document),
        organization = uuid(&team.id),
    );
    app.database.sql(&old).await;
    let verify = |app: &TestApp| {
        let verified = app.admin(&["verify"]);
        (verified.status.success(), String::from_utf8_lossy(&verified.stdout).into_owned())
    };
    // No process works on what isn't brought to its form.
    let refused = app.admin(&["verify"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rollcall migrate"), "{refused:?}");
    app.database.sql("UPDATE text_forms SET version = 1").await;
    let (whole, told) = verify(&app);
    assert!(!whole && told.contains("in their one form") && told.contains(&document), "{told}");
    app.database.sql("UPDATE text_forms SET version = 0").await;
    let migrated = migrate(&app);
    assert!(migrated.status.success(), "{migrated:?}");
    let texts = |sql: String| {
        let app = &app;
        async move { app.database.texts(&sql).await }
    };
    let names =
        texts(format!("SELECT name AS value FROM teams WHERE organization_id = '{}' ORDER BY id", uuid(&team.id)))
            .await;
    assert_eq!(names, ["Zoe", "Zoë (2)", "Unnamed"]);
    let folded = texts(format!(
        "SELECT folded_name AS value FROM teams WHERE organization_id = '{}' ORDER BY id",
        uuid(&team.id)
    ))
    .await;
    assert_eq!(folded, ["zoe", "zoe (2)", "unnamed"]);
    let stored = texts(format!(
        "SELECT name || '/' || folded_name || '/' || description AS value FROM resources WHERE id = '{}'",
        uuid(&document)
    ))
    .await;
    assert_eq!(stored, ["STRAẞE/strasse/a\nb"]);
    let stored = texts(format!("SELECT name AS value FROM organizations WHERE id = '{}'", uuid(&team.id))).await;
    assert_eq!(stored, ["Café"]);
    let person = format!(
        "SELECT u.name || '/' || m.sort_name || '/' || u.email AS value FROM users u JOIN members m ON m.user_id = u.id WHERE m.organization_id = '{}' AND u.id = '{}'",
        uuid(&team.id),
        uuid(&zoe.user_id)
    );
    // Two accounts can't become one by themselves: this one is named, and left as it is.
    assert_eq!(texts(person.clone()).await, ["Zoë/zoe/zoe@münchen.example"]);
    let (whole, told) = verify(&app);
    assert!(!whole && told.contains(&zoe.user_id) && !told.contains(&twin.user_id), "{told}");
    app.database.sql(&format!("UPDATE users SET email = 'twin@example.org', folded_email = 'twin@example.org' WHERE id = '{}'; UPDATE text_forms SET version = 0", uuid(&twin.user_id))).await;
    assert!(migrate(&app).status.success());
    assert_eq!(texts(person).await, ["Zoë/zoe/zoe@xn--mnchen-3ya.example"]);
    app.finish().await;
}
