//! Who runs the command: what the token of a CI system proves.

use std::{env, fs, time::Duration};

use bytes::Bytes;
use deed_gateway::{Refused, Who, proxy};
use deed_ledger::now;
use deed_token::{KeySet, OidcIssuer, Trust, Workload, trust::TenantOf};
use http::{StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time::timeout;

use crate::{
    access::Access,
    cli,
    client::{Request, query_value},
    exit::Failure,
};

/// How long a CI system may take to give a token.
const FETCHING: Duration = Duration::from_secs(15);
/// An answer with a token is shorter than this, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;
/// The tenant of this machine's store.
const TENANT: &str = "default";
/// Where GitHub's runner says how to ask for a token.
const GITHUB: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN");
/// Where other pipelines put a token that is for Deed.
const VARIABLE: &str = "DEED_ID_TOKEN";

/// Who runs the command, as far as that is known.
pub(super) enum Identity {
    /// Nobody proves anything: whoever the command line names.
    Claimed,
    /// A workload, by a token whose signature was verified.
    Proven(Box<Workload>),
    /// There should be a token, and there is none that is believed.
    Refused(Refused),
}

impl Identity {
    /// Looks for a token, and verifies it against the issuer that `run` names, or has it verified against those of
    /// the settings; `origin` is whom it is meant for unless `run` says so.
    ///
    /// # Errors
    /// The keys of the issuer cannot be used, or nobody answers.
    pub(super) async fn find(access: &Access, run: &cli::Run, origin: &str) -> Result<Self, Failure> {
        let refused = |code: &str, why: String| Ok(Identity::Refused(Refused { code: code.to_owned(), why }));
        if !shows_token(run)? {
            return Ok(Identity::Claimed);
        }
        let audience = run.audience.as_deref().unwrap_or(origin);
        let trust = match (&run.issuer, &run.issuer_jwks) {
            (Some(issuer), Some(jwks)) => Some(trust(issuer, jwks, audience, origin)?),
            _ => None,
        };
        let token = match token(run, Some(audience)).await {
            Ok(token) => token,
            Err(why) => return refused("no_token", why),
        };
        let verified = match trust {
            Some(trust) => trust.workload(token.trim(), now()).map_err(|error| error.to_string()),
            None => match by_settings(access, token.trim()).await? {
                Some(verified) => verified,
                None => {
                    let why = "no issuer is trusted with the token: `[[issuer]]` in `deed.toml`, or --issuer URL --issuer-jwks FILE";
                    return refused("token_issuer", why.into());
                }
            },
        };
        match verified {
            Ok(workload) => Ok(Identity::Proven(Box::new(workload))),
            Err(why) => refused("token", why),
        }
    }

    /// Who acts.
    pub(super) fn executor(&self) -> Option<Who> {
        match self {
            Identity::Claimed => None,
            Identity::Proven(workload) => Some(Who {
                kind: workload.principal.kind,
                key: Some(workload.principal.key.clone()),
                name: None,
                instance: workload.instance(),
            }),
            Identity::Refused(_) => Some(Who::unknown()),
        }
    }

    /// Who asked, where the CI system says on whose behalf it runs.
    pub(super) fn initiator(&self) -> Option<Who> {
        let Identity::Proven(workload) = self else { return None };
        let (kind, key, login) = workload.asked_by()?;
        Some(Who { kind, key: Some(key), name: Some(login), instance: None })
    }

    /// What else the token says, for policies.
    pub(super) fn claims(&self) -> Option<&Map<String, Value>> {
        match self {
            Identity::Proven(workload) => Some(&workload.claims),
            Identity::Claimed | Identity::Refused(_) => None,
        }
    }

    /// Whose it is, as the settings say of the issuer. One that the command line names has no tenant of its own.
    pub(super) fn tenant(&self) -> Option<&str> {
        let Identity::Proven(workload) = self else { return None };
        Some(&*workload.principal.tenant).filter(|tenant| *tenant != TENANT)
    }

    /// What was shown, as records have it (INVARIANT D9: its fingerprint).
    pub(super) fn credential(&self) -> Option<Box<RawValue>> {
        let Identity::Proven(workload) = self else { return None };
        serde_json::value::to_raw_value(&workload.credential()).ok()
    }
}

/// Whether a token is to be shown. What is meant for Deed is never passed over.
///
/// # Errors
/// Somebody else is to act than the token says.
pub(super) fn shows_token(run: &cli::Run) -> Result<bool, Failure> {
    let named = [&run.issuer, &run.audience, &run.id_token_env].into_iter().any(Option::is_some);
    let is_shown = named || run.id_token.is_some() || variable(VARIABLE).is_some();
    if is_shown && run.executor.is_some() {
        return Err(Failure::usage(format!(
            "`--as` names who acts, and so does the token in ${VARIABLE}: unset one of them"
        )));
    }
    Ok(is_shown)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What whoever holds the store says of a token, by the issuers of its settings; `None` where it has none.
///
/// # Errors
/// There is no answer.
async fn by_settings(access: &Access, token: &str) -> Result<Option<Result<Workload, String>>, Failure> {
    let body = json!({ "token": token }).to_string();
    let answer = access.call(&Request::post("/v1/workloads", "application/json", body)).await?;
    match answer.status {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::UNAUTHORIZED => {
            // Its words are about the token; what is said besides is about tokens of another kind.
            let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
            Ok(Some(
                Err(problem.map_or_else(|| "the token is not believed".into(), |problem| problem.detail)),
            ))
        }
        _ => Ok(Some(Ok(answer.json()?))),
    }
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

fn trust(issuer: &str, jwks: &std::path::Path, audience: &str, origin: &str) -> Result<Trust, Failure> {
    let failed =
        |why: String| Failure::new(format!("failed to use the keys in `{}`", jwks.display())).detail(why);
    let text = fs::read_to_string(jwks).map_err(|error| failed(error.to_string()))?;
    let keys = KeySet::parse(&text).map_err(|error| failed(error.to_string()))?;
    if keys.keys().is_empty() {
        return Err(failed("it holds no key that verifies signatures".into()));
    }
    let mut trust = Trust::new(origin, origin);
    let issuer = OidcIssuer::new(issuer, audience, TenantOf::Fixed(TENANT.into()), keys);
    trust.add_issuer(issuer).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(trust)
}

/// The token: of the file or variable that was named, of GitHub's runner for `audience`, or of [`VARIABLE`].
///
/// # Errors
/// Why there is none.
pub(super) async fn token(run: &cli::Run, audience: Option<&str>) -> Result<String, String> {
    if let Some(path) = &run.id_token {
        return fs::read_to_string(path)
            .map_err(|error| format!("failed to read the file with the token: {error}"));
    }
    if let Some(name) = &run.id_token_env {
        return variable(name).ok_or_else(|| "the variable that was named for the token is not set".into());
    }
    match (variable(GITHUB.0), variable(GITHUB.1), audience) {
        (Some(url), Some(bearer), Some(audience)) => from_github(&url, &bearer, audience).await,
        _ => variable(VARIABLE).ok_or_else(|| {
            format!("there is no token: in GitHub Actions the job needs `permissions: id-token: write`, elsewhere put it into ${VARIABLE}")
        }),
    }
}

/// GitHub Actions, OpenID Connect reference, methods for requesting the token.
async fn from_github(url: &str, bearer: &str, audience: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let failed = |why: String| format!("GitHub's runner gives no token: {why}");
    let separator = if url.contains('?') { '&' } else { '?' };
    let url: Uri = format!("{url}{separator}audience={}", query_value(audience))
        .parse()
        .map_err(|_| failed("the URL to ask at is none".into()))?;
    let is_loopback = matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme_str() != Some("https") && !is_loopback {
        return Err(failed("the URL to ask at is no https URL".into()));
    }
    let connector = HttpsConnectorBuilder::new().with_native_roots();
    let connector = connector.map_err(|error| failed(error.to_string()))?.https_or_http().enable_http1();
    let connector = connector.wrap_connector(proxy::Connector::new(HttpConnector::new()));
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = http::Request::get(url)
        .header(header::AUTHORIZATION, format!("bearer {bearer}"))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("deed/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|_| failed("the token to ask with holds characters that no header has".into()))?;
    let asked = timeout(FETCHING, async {
        let answer = client.request(request).await.map_err(|error| failed(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("it answered {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        Ok(body.map_err(|error| failed(error.to_string()))?.to_bytes())
    });
    let body = asked.await.map_err(|_| failed(format!("no answer within {} s", FETCHING.as_secs())))??;
    // INVARIANT D9: what is wrong in it is not shown.
    let answer: Result<Answer, _> = serde_json::from_slice(&body);
    answer.map(|answer| answer.value).map_err(|_| failed("its answer is none".into()))
}
