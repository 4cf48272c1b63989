//! Preparations before a round, made through the public API.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::load::{self, Load};
use crate::load::{Credentials, post};
use crate::rollcall::Rollcall;
use crate::scenarios::{Preparation, graphql};
use crate::smtp::{self, Sink};
use crate::world::{Accounts, Sizes, organization_id, token};

/// The number of codes created by one request.
const CODES: u64 = 50;
/// The number of sign-in emails of a round.
const SIGN_INS: u64 = 2_000;

/// Makes a preparation.
pub async fn make(
    preparation: &Preparation,
    api: &str,
    rollcall: &Rollcall,
    sizes: Sizes,
    accounts: &Accounts,
) -> anyhow::Result<()> {
    match preparation {
        Preparation::Nothing => Ok(()),
        Preparation::JoinCodes(supply) => {
            *supply.borrow_mut() = join_codes(api, sizes).await?;
            Ok(())
        }
        Preparation::SignInTokens(supply) => {
            *supply.borrow_mut() = sign_in_tokens(api, rollcall, sizes, accounts).await?;
            Ok(())
        }
    }
}

/// Creates join codes for each of the organizations used in requests, ordered so that the organizations alternate.
async fn join_codes(api: &str, sizes: Sizes) -> anyhow::Result<Vec<String>> {
    let query = "mutation($input: CreateJoinCodesInput!) { createJoinCodes(input: $input) { codes { code } userErrors { code message } } }";
    let load = Load::each(
        move |organization| {
            let input = json!({ "organizationId": organization_id(organization), "count": CODES });
            graphql(&token(sizes.owner(organization)), query, json!({ "input": input })).ok()
        },
        &[("\"userErrors\":[]", 1)],
    );
    let mut codes = Vec::new();
    for organization in 0..sizes.asked() {
        let answer: Value = serde_json::from_slice(&load::send_once(api, &load, organization).await?)?;
        let made =
            answer.pointer("/data/createJoinCodes/codes").and_then(Value::as_array).context("there are no codes")?;
        let texts = made.iter().filter_map(|code| code.get("code")?.as_str());
        codes.extend(texts.enumerate().map(|(number, code)| (number, code.to_owned())));
    }
    codes.sort();
    Ok(codes.into_iter().map(|(_, code)| code).collect())
}

/// Returns the tokens from the sign-in emails that a worker sends.
async fn sign_in_tokens(
    api: &str,
    rollcall: &Rollcall,
    sizes: Sizes,
    accounts: &Accounts,
) -> anyhow::Result<Vec<String>> {
    let query =
        "mutation($input: RequestSignInInput!) { requestSignIn(input: $input) { userErrors { code message } } }";
    let first = accounts.new_address();
    let count = SIGN_INS.min(sizes.people());
    let request = move |number: u64| {
        let email = format!("person{}@bench.example", (first + number) % sizes.people());
        let body = json!({ "query": query, "variables": { "input": { "email": email } } });
        (number < count).then(|| post("/graphql", Credentials::Nobody, body.to_string()).ok()).flatten()
    };
    let load = Load::each(request, &[("\"userErrors\":[]", 1)]);
    let sink = Sink::start().await?;
    let _worker = rollcall.work(&sink.address)?;
    load::run(api, &load, 8, Duration::ZERO, Duration::from_secs(120), || Ok(())).await?;
    let start = Instant::now();
    while u64::try_from(sink.count())? < count && start.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tokens: Vec<String> = sink.mails().iter().filter_map(|mail| smtp::sign_in_token(mail)).collect();
    ensure!(u64::try_from(tokens.len())? == count, "{} of {count} sign-in emails arrived", tokens.len());
    Ok(tokens)
}
