//! A GraphQL client, with or without a bearer token.

use serde_json::{Value, json};

use super::PATIENCE;

/// Asks as someone; each client has connections of its own.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    /// What it sends as bearer token.
    pub token: Option<String>,
    /// The address of the person, where it is one.
    pub email: String,
    /// The id of the person, where it is one.
    pub user_id: String,
}

/// What can be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    pub code: String,
    /// The path, joined by dots: `input.email`.
    pub field: String,
    pub message: String,
}

impl UserError {
    /// Code and field, to compare.
    pub fn is(&self) -> (&str, &str) {
        (&self.code, &self.field)
    }
}

/// A GraphQL answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The header X-Request-Id.
    pub request_id: Option<String>,
    pub body: Value,
}

impl Client {
    pub fn new(base_url: &str, token: Option<&str>) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self {
            http,
            url: format!("{base_url}/graphql"),
            token: token.map(str::to_owned),
            email: String::new(),
            user_id: String::new(),
        }
    }

    /// The same person over connections of its own.
    pub fn twin(&self) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { http, ..self.clone() }
    }

    /// The same person from another address of this machine, such as 127.0.0.2, and with what a proxy there would add.
    pub fn from(&self, address: &str, forwarded_for: Option<&str>) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        if let Some(forwarded_for) = forwarded_for {
            headers.insert("x-forwarded-for", forwarded_for.parse().unwrap());
        }
        let address: std::net::IpAddr = address.parse().unwrap();
        let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
        Self { http: builder.local_address(address).default_headers(headers).build().unwrap(), ..self.clone() }
    }

    /// The same person on another device, which names itself so.
    pub fn on(&self, user_agent: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().user_agent(user_agent).build().unwrap();
        Self { http, ..self.clone() }
    }

    /// The same connections with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same platform key, acting for a person.
    pub fn on_behalf_of(&self, named: &str) -> Self {
        self.with_headers(&[("rollcall-on-behalf-of", named)], PATIENCE)
    }

    /// The same person, whose requests have this idempotency key.
    pub fn under(&self, key: &str) -> Self {
        self.with_headers(&[("idempotency-key", key)], PATIENCE)
    }

    /// The same person over connections of its own, whose requests have these headers and wait no longer than this.
    pub fn with_headers(&self, headers: &[(&'static str, &str)], patience: std::time::Duration) -> Self {
        let parse = |(name, value): &(&'static str, &str)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
        };
        let builder = reqwest::Client::builder().timeout(patience).no_proxy();
        Self { http: builder.default_headers(headers.iter().map(parse).collect()).build().unwrap(), ..self.clone() }
    }

    /// Sends an operation.
    pub async fn run(&self, query: &str, variables: Value) -> Answer {
        self.send(&json!({ "query": query, "variables": variables })).await
    }

    /// Sends a body as it is.
    pub async fn send(&self, body: &Value) -> Answer {
        self.try_send(body, None).await.unwrap()
    }

    /// Sends a body with a request id, where one is given; the service may break off.
    pub async fn try_send(&self, body: &Value, request_id: Option<&str>) -> reqwest::Result<Answer> {
        let mut request = self.http.post(&self.url).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = request_id {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let request_id = response.headers().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON, status {status}: {text}"));
        Ok(Answer { status, request_id, body })
    }

    /// A query's data.
    pub async fn query(&self, query: &str, variables: Value) -> Value {
        self.run(query, variables).await.data().clone()
    }

    /// Runs a mutation with its input; `selection` stands beside userErrors.
    pub async fn mutate(&self, mutation: &str, input: Value, selection: &str) -> Answer {
        self.run(&document(mutation, selection), json!({ "input": input })).await
    }

    /// The payload of a mutation that succeeds.
    pub async fn ok(&self, mutation: &str, input: Value, selection: &str) -> Value {
        let answer = self.mutate(mutation, input, selection).await;
        let errors = answer.user_errors(mutation);
        assert!(errors.is_empty(), "{mutation} is refused: {errors:?}");
        answer.data()[mutation].clone()
    }

    /// The only user error of a mutation that is refused.
    pub async fn refused(&self, mutation: &str, input: Value) -> UserError {
        let mut errors = self.refusals(mutation, input).await;
        assert_eq!(errors.len(), 1, "{mutation}: {errors:?}");
        errors.remove(0)
    }

    /// The user errors of a mutation that is refused.
    pub async fn refusals(&self, mutation: &str, input: Value) -> Vec<UserError> {
        let answer = self.mutate(mutation, input.clone(), "").await;
        let errors = answer.user_errors(mutation);
        assert!(!errors.is_empty(), "{mutation} is not refused: {input}");
        for error in &errors {
            assert!(!error.message.is_empty() && error.field.starts_with("input"), "{mutation}: {error:?}");
        }
        errors
    }

    /// The code of a mutation's top-level error.
    pub async fn error_code(&self, mutation: &str, input: Value) -> String {
        self.mutate(mutation, input, "").await.error_code()
    }
}

/// A mutation's document: `createTeam` takes `CreateTeamInput!`.
pub fn document(mutation: &str, selection: &str) -> String {
    let input = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    format!(
        "mutation($input: {input}!) {{ {mutation}(input: $input) {{ {selection} userErrors {{ code message field }} }} }}"
    )
}

impl Answer {
    /// The data of an answer without errors.
    pub fn data(&self) -> &Value {
        assert!(self.body.get("errors").is_none(), "status {}: {}", self.status, self.body);
        assert_eq!(self.status, 200, "{}", self.body);
        &self.body["data"]
    }

    /// A mutation's user errors.
    pub fn user_errors(&self, mutation: &str) -> Vec<UserError> {
        let errors = self.data()[mutation]["userErrors"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        errors
            .iter()
            .map(|error| UserError {
                code: error["code"].as_str().unwrap().to_owned(),
                field: error["field"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|part| part.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join("."),
                message: error["message"].as_str().unwrap().to_owned(),
            })
            .collect()
    }

    /// The code of the first top-level error.
    pub fn error_code(&self) -> String {
        let code = self.body["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no error with a code, status {}: {}", self.status, self.body)).to_owned()
    }
}

/// The nodes of a connection.
pub fn nodes(connection: &Value) -> &Vec<Value> {
    connection["nodes"].as_array().unwrap_or_else(|| panic!("no connection: {connection}"))
}

/// A text in an answer.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
