//! People whom a platform's own issuer signs in.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;

use crate::platform_key::key;
use crate::support::client::text;
use crate::support::issuer::{AUDIENCE, By, Issuer};
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json, until};

const VIEWER: &str = "{ viewer { email user { id name } activeOrganization { id } sessions(first: 5) { nodes { id current } } \
     identities { id issuer subject email lastUsedAt } } }";

async fn start(issuer: &Issuer, link_by_email: bool) -> TestApp {
    TestApp::builder().setting("ROLLCALL_ISSUERS", &issuer.setting(link_by_email)).start().await
}

async fn viewer(client: &Client) -> Value {
    client.query(VIEWER, json!({})).await["viewer"].clone()
}

/// Why a token isn't accepted.
async fn refusal(client: &Client) -> String {
    let answer = client.run("{ viewer { email } }", json!({})).await;
    assert_eq!((answer.error_code().as_str(), answer.status), ("UNAUTHENTICATED", 401), "{}", answer.body);
    text(&answer.body["errors"][0]["message"])
}

/// Tokens are issued in whole seconds.
async fn a_second() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

async fn users(app: &TestApp) -> i64 {
    app.database.number("SELECT count(*) AS value FROM users").await
}

// R53, R92, D6: an account on first sight, signed in as by a session; what ends an access ends it at once.
#[tokio::test]
async fn people_of_the_platform_are_signed_in_by_its_tokens() {
    let issuer = Issuer::start().await;
    let app = start(&issuer, true).await;
    let team = app.team().await;
    let token = issuer.sign_in("ada").await;
    let ada = app.client(&token);
    let seen = viewer(&ada).await;
    assert_eq!((&seen["email"], &seen["user"]["name"]), (&json!("ada@example.org"), &json!("Person ada")));
    let identity = &seen["identities"][0];
    assert_eq!(
        (&identity["issuer"], &identity["subject"], &identity["email"]),
        (&json!(issuer.url), &json!("ada"), &json!("ada@example.org"))
    );
    let node = "query($id: ID!) { node(id: $id) { id ... on Identity { subject } } }";
    let id = json!({ "id": identity["id"] });
    assert_eq!(ada.query(node, id.clone()).await["node"]["subject"], "ada");
    assert_eq!(team.owner.query(node, id.clone()).await["node"], Value::Null);
    // The next token is the same person's, however it is signed.
    let other = app.client(&issuer.sign_in_with("ada", "ES256").await);
    assert_eq!(viewer(&other).await["user"]["id"], seen["user"]["id"]);
    assert_eq!(
        app.database
            .texts(
                "SELECT summary AS value FROM audit_events WHERE action = 'user.signed_in' AND summary LIKE '%Platform'"
            )
            .await
            .len(),
        1
    );

    // As with a session: an invitation, the active organization, a key, a change of the address.
    let invitation = team.invite("ada@example.org", "MEMBER").await;
    let accepted = ada.ok("acceptInvitation", json!({ "id": invitation }), "member { id }").await;
    ada.ok("switchOrganization", json!({ "organizationId": team.id }), "").await;
    assert_eq!(viewer(&other).await["activeOrganization"]["id"], json!(team.id));
    ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "x" }), "secret").await;
    ada.ok("changeEmail", json!({ "email": "ada.new@example.org" }), "").await;
    let link = app.mail_to("ada.new@example.org").await.token();
    app.anonymous().ok("confirmEmailChange", json!({ "token": link }), "email").await;
    assert_eq!(viewer(&ada).await["email"], "ada.new@example.org");

    // A departure ends what the membership gave, by the commit.
    let project = ada.create(&team.id, "PROJECT", "Atlas").await;
    team.owner.ok("removeMember", json!({ "memberId": accepted["member"]["id"] }), "").await;
    let answer = ada.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": project })).await;
    assert_eq!((answer["node"].clone(), viewer(&ada).await["activeOrganization"].clone()), (Value::Null, Value::Null));
    // The platform's suspension lets the token rest.
    let services = key(&app, &["USERS_WRITE", "READ"]).await;
    let named = json!({ "user": { "id": seen["user"]["id"] } });
    services.ok("suspendUser", named.clone(), "").await;
    refusal(&ada).await;
    services.ok("unsuspendUser", named.clone(), "").await;
    viewer(&ada).await;
    // An ended session ends all tokens from before, and none from after it.
    ada.ok("signOut", json!({}), "signedOutSessionId").await;
    refusal(&ada).await;
    refusal(&other).await;
    a_second().await;
    let again = app.client(&issuer.sign_in("ada").await);
    assert_eq!(viewer(&again).await["user"]["id"], seen["user"]["id"]);
    refusal(&ada).await;
    refusal(&other).await;
    services.ok("endUserSessions", named, "").await;
    refusal(&again).await;
    app.finish().await;
}

// R92: an account that is there is linked only where issuer and deployment vouch for its address; nobody is merged.
#[tokio::test]
async fn an_account_is_linked_only_where_its_address_is_vouched_for() {
    let issuer = Issuer::start().await;
    let cautious = start(&issuer, false).await;
    let max = cautious.sign_up("max@example.org").await;
    let before = users(&cautious).await;
    let refused = refusal(&cautious.client(&issuer.sign_in("max").await)).await;
    assert!(refused.contains("another account has your email address"), "{refused}");
    let refused = refusal(&cautious.client(&issuer.sign_in("unverified-eve").await)).await;
    assert!(refused.contains("Example Platform names no verified email address"), "{refused}");
    assert_eq!(users(&cautious).await, before);
    assert_eq!(viewer(&max).await["identities"], json!([]));
    cautious.finish().await;

    let app = start(&issuer, true).await;
    let max = app.sign_up("max@example.org").await;
    let by_issuer = app.client(&issuer.sign_in("max").await);
    assert_eq!(viewer(&by_issuer).await["user"]["id"], json!(max.user_id));
    let linked = viewer(&max).await["identities"].clone();
    assert_eq!((linked.as_array().unwrap().len(), &linked[0]["subject"]), (1, &json!("max")));
    // Another subject with the same address is another person to the issuer.
    let refused = refusal(&app.client(&issuer.sign_in("max+2").await)).await;
    assert!(refused.contains("another account has your email address"), "{refused}");

    // What is unlinked stays unlinked, also for later tokens, and nobody else unlinks it.
    let id = json!({ "id": linked[0]["id"] });
    let eve = app.sign_up("eve@example.org").await;
    assert_eq!(eve.refused("unlinkIdentity", id.clone()).await.is(), ("NOT_FOUND", "input.id"));
    assert_eq!(by_issuer.ok("unlinkIdentity", id.clone(), "unlinkedIdentityId").await["unlinkedIdentityId"], id["id"]);
    assert_eq!(max.refused("unlinkIdentity", id).await.is(), ("NOT_FOUND", "input.id"));
    refusal(&by_issuer).await;
    a_second().await;
    for name in ["max", "max+2"] {
        let refused = refusal(&app.client(&issuer.sign_in(name).await)).await;
        assert!(refused.contains("another account has your email address"), "{refused}");
    }
    assert_eq!(viewer(&max).await["identities"], json!([]));

    // A deleted account doesn't come back by a token from before.
    let old = app.client(&issuer.sign_in("ivy").await);
    let ivy = text(&viewer(&old).await["user"]["id"]);
    old.ok("deleteAccount", json!({ "confirmEmail": "ivy@example.org" }), "deletedUserId").await;
    refusal(&old).await;
    assert_eq!(
        app.database
            .number(&format!(
                "SELECT count(*) AS value FROM identities WHERE user_id = '{}' OR email = 'ivy@example.org'",
                uuid(&ivy)
            ))
            .await,
        0
    );
    a_second().await;
    let new = app.client(&issuer.sign_in("ivy").await);
    assert_ne!(viewer(&new).await["user"]["id"], json!(ivy));
    refusal(&old).await;
    app.finish().await;
}

// R92: first requests at once make one account with one identity and one session, in whichever process.
#[tokio::test]
async fn first_requests_at_once_make_one_account() {
    let issuer = Issuer::start().await;
    let mut app = start(&issuer, true).await;
    let other = app.another_api().await;
    for name in ["ada", "bob", "cleo"] {
        if name == "cleo" {
            app.sign_up("cleo@example.org").await;
        }
        let token = issuer.sign_in(name).await;
        let ask = async |number: usize| {
            let client = if number.is_multiple_of(2) { app.client(&token) } else { Client::new(&other, Some(&token)) };
            text(&viewer(&client).await["user"]["id"])
        };
        let seen = join_all((0..16).map(ask)).await;
        assert!(seen.iter().all(|id| *id == seen[0]), "{seen:?}");
        let count = async |table: &str| {
            app.database
                .number(&format!("SELECT count(*) AS value FROM {table} WHERE user_id = '{}'", uuid(&seen[0])))
                .await
        };
        let sessions = if name == "cleo" { 2 } else { 1 };
        assert_eq!((count("identities").await, count("sessions").await), (1, sessions));
    }
    // Two people with one address at once: one is it, and the other is refused.
    let tokens = [issuer.sign_in("dora").await, issuer.sign_in("dora+2").await];
    let seen = join_all(tokens.iter().map(async |token| app.client(token).run(VIEWER, json!({})).await.status)).await;
    let mut seen = seen;
    seen.sort_unstable();
    assert_eq!(seen, [200, 401]);
    app.finish().await;
}

// R92: the attacks that the standards name: other ways of signing, other keys, other kinds of tokens, other times.
#[tokio::test]
async fn tokens_that_no_issuer_signed_for_this_are_refused() {
    let issuer = Issuer::start().await;
    let stranger = Issuer::start().await;
    let app = start(&issuer, true).await;
    let now = Utc::now().timestamp();
    let [rsa, ec, ed] = issuer.keys.each_ref().map(String::as_str);
    let claims = json!({
        "iss": issuer.url, "sub": "ada", "aud": AUDIENCE, "iat": now - 5, "exp": now + 300,
        "email": "ada@example.org", "email_verified": true,
    });
    let with = |more: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid, "typ": "at+jwt" });
    // All ways that are accepted are.
    for (alg, kid) in [("RS256", rsa), ("ES256", ec), ("EdDSA", ed)] {
        viewer(&app.client(&issuer.sign(header(alg, kid), claims.clone(), By::Key(kid)).await)).await;
    }
    for fine in [json!({ "aud": ["other", AUDIENCE] }), json!({ "nbf": now - 10 }), json!({ "email_verified": "true" })]
    {
        viewer(&app.client(&issuer.sign(header("RS256", rsa), with(fine), By::Key(rsa)).await)).await;
    }
    viewer(&app.client(&issuer.sign(json!({ "alg": "ES256" }), claims.clone(), By::Key(ec)).await)).await;
    let before = users(&app).await;

    let mut wrong = vec![
        ("no signature", issuer.sign(header("none", rsa), claims.clone(), By::Secret("")).await),
        ("None", issuer.sign(header("None", ""), claims.clone(), By::Secret("")).await),
        (
            "a public key as a secret",
            issuer.sign(header("HS256", rsa), claims.clone(), By::Secret(&public(&issuer, rsa).await)).await,
        ),
        ("another issuer's key", stranger.sign(header("RS256", rsa), claims.clone(), By::Key(&stranger.keys[0])).await),
        ("its own key in the header", {
            let mut header = header("RS256", "mine");
            header["jwk"] = serde_json::from_str(&public(&stranger, &stranger.keys[0]).await).unwrap();
            stranger.sign(header, claims.clone(), By::Key(&stranger.keys[0])).await
        }),
        ("a key of another kind", issuer.sign(header("ES256", rsa), claims.clone(), By::Key(ec)).await),
        ("an unknown key", issuer.sign(header("RS256", "unknown"), claims.clone(), By::Key(rsa)).await),
        ("an extension that matters", {
            let mut header = header("RS256", rsa);
            header["crit"] = json!(["b64"]);
            header["b64"] = json!(false);
            issuer.sign(header, claims.clone(), By::Key(rsa)).await
        }),
        (
            "a token that ends sessions",
            issuer.sign(json!({ "alg": "RS256", "kid": rsa, "typ": "logout+jwt" }), claims.clone(), By::Key(rsa)).await,
        ),
    ];
    for (what, more) in [
        ("another issuer", json!({ "iss": stranger.url })),
        ("an issuer that begins so", json!({ "iss": format!("{}/", issuer.url) })),
        ("a list of issuers", json!({ "iss": [issuer.url] })),
        ("no issuer", json!({ "iss": null })),
        ("another audience", json!({ "aud": "other" })),
        ("no audience", json!({ "aud": null })),
        ("expired", json!({ "exp": now - 120 })),
        ("without an end", json!({ "exp": null })),
        ("an end that is text", json!({ "exp": "tomorrow" })),
        ("not yet", json!({ "nbf": now + 300 })),
        ("from the future", json!({ "iat": now + 300 })),
        ("of no time", json!({ "iat": null })),
        ("very old", json!({ "iat": now - 31 * 24 * 60 * 60 })),
        ("nobody", json!({ "sub": "" })),
        ("no subject", json!({ "sub": null })),
        ("a long subject", json!({ "sub": "x".repeat(256) })),
        ("a subject that can't be stored", json!({ "sub": "a\u{0}b" })),
        ("bound to a key", json!({ "cnf": { "jkt": "x" } })),
        ("of a logout", json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })),
        ("too large", json!({ "more": "x".repeat(9_000) })),
    ] {
        wrong.push((what, issuer.sign(header("RS256", rsa), with(more), By::Key(rsa)).await));
    }
    let token = issuer.sign(header("RS256", rsa), claims.clone(), By::Key(rsa)).await;
    let parts: Vec<&str> = token.split('.').collect();
    wrong.push(("a cut signature", token[..token.len() - 4].to_owned()));
    wrong.push(("no parts", "..".to_owned()));
    wrong.push(("other claims", {
        let claims = with(json!({ "sub": "root" })).to_string();
        let claims = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
        format!("{}.{claims}.{}", parts[0], parts[2])
    }));
    for (what, token) in &wrong {
        let refused = refusal(&app.client(token)).await;
        assert!(refused.contains("unknown, expired or revoked"), "{what}: {refused}");
    }
    assert_eq!(users(&app).await, before);
    // Nobody acts for others with one.
    let acting = app.client(&token).on_behalf_of("external:x");
    assert_eq!(acting.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    // Without issuers there are no such tokens.
    let plain = TestApp::start().await;
    refusal(&plain.client(&token)).await;
    plain.finish().await;
    app.finish().await;
}

/// A public key of an issuer, as it publishes it.
async fn public(issuer: &Issuer, id: &str) -> String {
    let keys: Value = reqwest::get(format!("{}/jwks", issuer.url)).await.unwrap().json().await.unwrap();
    keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == id).unwrap().to_string()
}

// R92: keys are followed when they rotate; an issuer that is down ends nothing, and doesn't refuse anybody for good.
#[tokio::test]
async fn keys_are_followed_and_outlive_their_issuer() {
    let issuer = Issuer::start().await;
    let app = start(&issuer, true).await;
    let (ada, bob) = (issuer.sign_in("ada").await, issuer.sign_in("bob").await);
    viewer(&app.client(&ada)).await;
    let cold = TestApp::builder().setting("ROLLCALL_ISSUERS", &issuer.setting(true)).start().await;
    let port = issuer.stop().await;
    // What is known stays good, also for people who come for the first time.
    viewer(&app.client(&ada)).await;
    viewer(&app.client(&bob)).await;
    let answer = cold.client(&ada).run("{ viewer { email } }", json!({})).await;
    assert_eq!((answer.error_code().as_str(), answer.status), ("UNAVAILABLE", 503), "{}", answer.body);
    assert!(answer.body["errors"][0]["extensions"]["retryAfter"].is_number(), "{}", answer.body);
    viewer(&cold.sign_up("zoe@example.org").await).await;

    let issuer = Issuer::start_at(port).await;
    let new = issuer.sign_in("ada").await;
    until("the new keys are followed", async || {
        let answer = app.client(&new).run("{ viewer { email } }", json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    // Keys that the issuer doesn't have any more sign nobody in.
    refusal(&app.client(&ada)).await;
    until("the issuer is asked again", async || {
        let answer = cold.client(&new).run("{ viewer { email } }", json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert!(cold.api_log().contains("the keys of an issuer can't be fetched"));
    cold.finish_with_errors().await;
    app.finish_with_errors().await;
}
