//! `deed token`: delegated credentials, exchanged and revoked at the token service of a server or a store.

use std::{fs, io, io::Read, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use deed_ledger::{fresh_id, now};
use deed_token::SigningKey;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    access::{Access, Need},
    cli::{Client, Exchange, Global, RevokeToken, Token, TokenCommand},
    client::{Request, Response, query_value, refusal},
    exit::{Code, Failure, Outcome},
    inputs::{is_stdin, name_of},
    output::Output,
};

const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:";
/// RFC 7523, section 2.2.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds for which an assertion is good.
const GOOD_FOR: i64 = 60;
/// PKCS #8 of an Ed25519 key: everything before its seed (RFC 8410, section 7).
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Where the service says it is (RFC 8414).
#[derive(Deserialize)]
struct Service {
    issuer: String,
    token_endpoint: String,
}

pub(crate) async fn run(global: &Global, token: Token, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    match token.does {
        TokenCommand::Exchange(asked) => {
            let answer = exchange(&access, *asked).await;
            let answer = access.finish(answer).await.map_err(|failure| failure.doing("exchange"))?;
            output.document(&answer)
        }
        TokenCommand::Revoke(asked) => {
            let done = revoke(&access, asked).await;
            access.finish(done).await.map_err(|failure| failure.doing("revoke the token"))?;
            if output.json { output.document(&json!({ "revoked": true })) } else { output.print("revoked\n") }
        }
    }
}

async fn exchange(access: &Access, asked: Exchange) -> Result<Value, Failure> {
    let subject = asked.subject_token.as_deref().map(read_token).transpose()?;
    let dpop = asked.dpop_key.as_deref().map(private_key).transpose()?;
    // The service comes first: what is made after its store was opened was never used.
    let service = service(access).await?;
    let client = credential(&asked.client, &service)?;
    let client = client.ok_or_else(|| Failure::usage("say who asks: --agent with --key, or --svid"))?;
    let mut form = Form::default();
    form.add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
    match &subject {
        Some(subject) => {
            let kind = if asked.id_token { "id_token" } else { "access_token" };
            form.add("subject_token", subject);
            form.add("subject_token_type", &format!("{TOKEN_TYPE}{kind}"));
            form.client(&client);
        }
        // It acts for itself.
        None => {
            form.add("subject_token", &client);
            form.add("subject_token_type", &format!("{TOKEN_TYPE}jwt"));
        }
    }
    for resource in &asked.resource {
        form.add(if resource.contains("://") { "resource" } else { "audience" }, resource);
    }
    let (hops, seconds) = (asked.hops.map(|n| n.to_string()), asked.expires_in.map(|n| n.to_string()));
    for (name, value) in [
        ("scope", &asked.scope),
        ("authorization_details", &asked.details),
        ("deed_may_act", &asked.may_act),
        ("deed_task", &asked.task),
        ("deed_hops", &hops),
        ("deed_expires_in", &seconds),
    ] {
        if let Some(value) = value {
            form.add(name, value);
        }
    }
    if asked.transaction {
        form.add("requested_token_type", &format!("{TOKEN_TYPE}txn_token"));
    }
    let mut request = Request::post("/oauth/token", FORM, form.text);
    if let Some(key) = dpop {
        let mut proof = HeaderValue::try_from(proof(&key, &service.token_endpoint)?)
            .map_err(|error| Failure::new(error.to_string()))?;
        proof.set_sensitive(true);
        request = request.header(HeaderName::from_static("dpop"), proof);
    }
    good(access.call(&request).await?)
}

async fn revoke(access: &Access, asked: RevokeToken) -> Result<Value, Failure> {
    let token = read_token(&asked.token)?;
    let service = service(access).await?;
    let mut form = Form::default();
    form.add("token", &token);
    if let Some(client) = credential(&asked.client, &service)? {
        form.client(&client);
    }
    good(access.call(&Request::post("/oauth/revoke", FORM, form.text)).await?)
}

async fn service(access: &Access) -> Result<Service, Failure> {
    access.call(&Request::get("/.well-known/oauth-authorization-server")).await?.json()
}

/// The body of a good answer; a refusal as OAuth has it (RFC 6749, section 5.2).
fn good(answer: Response) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
        error_description: Option<String>,
    }
    if answer.status.is_success() {
        return answer.json();
    }
    let Ok(Refused { error, error_description }) = serde_json::from_slice(&answer.body) else {
        return Err(refusal(answer.status, &answer.body));
    };
    let failure = Failure::new(format!("{error}: {}", error_description.unwrap_or_default()));
    Err(match (answer.status, error.as_str()) {
        (StatusCode::SERVICE_UNAVAILABLE, _) => failure.code(Code::Unavailable),
        (_, "unauthorized_client" | "invalid_scope" | "invalid_target" | "invalid_authorization_details") => {
            failure.code(Code::Denied)
        }
        _ => failure,
    })
}

/// What the client shows that it is who it is.
fn credential(client: &Client, service: &Service) -> Result<Option<Zeroizing<String>>, Failure> {
    match (&client.agent, &client.key, &client.svid) {
        (Some(agent), Some(key), _) => {
            let key = private_key(key)?;
            let now = now().0;
            let claims = json!({
                "iss": agent, "sub": agent, "aud": service.issuer, "jti": id()?,
                // To the microsecond, so that a service that has just begun knows it as newer than itself.
                "iat": now as f64 / 1e6, "exp": now / 1_000_000 + GOOD_FOR,
            });
            let signed = key.sign("JWT", &[], &claims);
            signed
                .map(|assertion| Some(Zeroizing::new(assertion)))
                .map_err(|error| Failure::new(error.to_string()))
        }
        (_, _, Some(svid)) => read_token(svid).map(Some),
        _ => Ok(None),
    }
}

/// A proof of possession (RFC 9449, section 4.2).
fn proof(key: &SigningKey, endpoint: &str) -> Result<String, Failure> {
    let mut jwk = key.public().to_jwk();
    if let Some(jwk) = jwk.as_object_mut() {
        jwk.retain(|name, _| !matches!(name.as_str(), "kid" | "use" | "alg"));
    }
    let claims = json!({ "htm": "POST", "htu": endpoint, "iat": now().0 as f64 / 1e6, "jti": id()? });
    key.sign("dpop+jwt", &[("jwk", jwk)], &claims).map_err(|error| Failure::new(error.to_string()))
}

fn id() -> Result<String, Failure> {
    fresh_id().map(|id| id.to_string()).map_err(|error| Failure::new(error.to_string()))
}

/// A token that stands in a file by itself, or comes on standard input.
fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = match is_stdin(path) {
        true => io::stdin().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(path).map(|read| text = Zeroizing::new(read)),
    };
    let wrong = |why: String| Failure::new(format!("failed to read `{}`", name_of(path))).detail(why);
    read.map_err(|error| wrong(error.to_string()))?;
    let token = text.trim();
    match token.is_empty() || token.contains(char::is_whitespace) {
        true => Err(wrong("expected a token and nothing else".to_owned())),
        false => Ok(Zeroizing::new(token.to_owned())),
    }
}

/// A private key: PKCS #8 in PEM, of Ed25519 or P-256.
fn private_key(path: &Path) -> Result<SigningKey, Failure> {
    let wrong = |why: String| Failure::new(format!("failed to read `{}`", name_of(path))).detail(why);
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?);
    let expected = || {
        wrong("expected a private key in PEM (PKCS #8), of Ed25519 or P-256".to_owned())
            .detail("make one: openssl genpkey -algorithm ed25519 -out KEY.pem")
    };
    let body: Zeroizing<String> = Zeroizing::new(
        text.lines()
            .skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----")
            .skip(1)
            .take_while(|line| !line.starts_with("-----"))
            .map(str::trim)
            .collect(),
    );
    let der = Zeroizing::new(STANDARD.decode(&*body).map_err(|_| expected())?);
    let key = match der.strip_prefix(&ED25519) {
        Some(seed) => SigningKey::ed25519(seed),
        None => SigningKey::es256(&der),
    };
    key.map_err(|_| expected())
}

/// A form, as it is sent.
#[derive(Default)]
struct Form {
    text: String,
}

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&query_value(value));
    }

    fn client(&mut self, assertion: &str) {
        self.add("client_assertion", assertion);
        self.add("client_assertion_type", ASSERTION);
    }
}
