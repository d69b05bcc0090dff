//! `GET /v1/inventory` and `PUT /v1/inventory`.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use deed_identity::Inventory;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    api::{Params, json, with_type},
    app::App,
    auth::{Operating, Reading},
    body::{Received, media_type},
    inventory::{ChangeError, from_json, text, to_json},
    problem::{Kind, Problem},
};

/// How TOML is called.
const TOML: &str = "application/toml";

/// The inventory in force: JSON, or the file itself where `Accept` asks for TOML.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    _: Operating,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let text = app.ask(|engine| text(engine.ledger().dir()).map_err(unreadable)).await?;
    let digest = Inventory::digest_of(&text);
    let wants_toml = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.to_ascii_lowercase().contains(TOML));
    let mut response = if wants_toml {
        with_type(text, TOML)
    } else {
        let mut all = to_json(&text).map_err(|error| Problem::new(Kind::Inventory, error.to_string()))?;
        all.insert("digest".to_owned(), Value::from(&*digest));
        json(&all)?
    };
    tag(&mut response, &digest);
    Ok(response)
}

/// Who changes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    #[serde(default)]
    by: Option<String>,
}

/// Makes what is sent the inventory: recorded first, then written as a whole.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    _: Operating,
    Reading(caller): Reading,
    Params(By { by }): Params<By>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_json = match media_type(&headers).as_deref() {
        Some("application/json") => true,
        Some(TOML | "text/plain") | None => false,
        Some(_) => {
            return Err(Problem::new(Kind::MediaType, format!("expected `{TOML}` or `application/json`")));
        }
    };
    let body = Received::read(&app, &headers, body).await?.plain()?;
    let text = if is_json {
        let sent: serde_json::Map<String, Value> =
            serde_json::from_slice(&body).map_err(|error| match error.is_data() {
                true => Problem::new(Kind::Inventory, format!("expected an object: {error}")),
                false => Problem::new(Kind::NotJson, error.to_string()),
            })?;
        from_json(&sent)
    } else {
        String::from_utf8(body).map_err(|_| Problem::new(Kind::Inventory, "the inventory is not UTF-8"))?
    };
    let expected: Option<Vec<String>> = headers.contains_key(header::IF_MATCH).then(|| {
        let all = headers.get_all(header::IF_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        all.flat_map(|tags| tags.split(',')).map(|tag| tag.trim().trim_matches('"').to_owned()).collect()
    });
    let by = by.unwrap_or_else(|| caller.sender.name.clone());
    let changed = app.ask(move |engine| {
        let matches =
            |now: &str| expected.is_none_or(|expected| expected.iter().any(|tag| tag == "*" || tag == now));
        engine.put_inventory(&text, &by, matches).map_err(|error| match error {
            ChangeError::Wrong(error) => {
                let shown = if is_json { shown(&text, &error) } else { String::new() };
                Problem::new(Kind::Inventory, format!("{error}{shown}"))
            }
            ChangeError::Changed(_) => Problem::new(Kind::Precondition, error.to_string()),
            ChangeError::Unrecorded(error) => error.into(),
            ChangeError::Io(_) => Problem::new(Kind::Internal, error.to_string()),
        })
    });
    let changed = changed.await?;
    let mut response = json(&changed)?;
    tag(&mut response, changed.digest());
    Ok(response)
}

/// The line that is wrong: whoever sent JSON has not seen it.
fn shown(text: &str, error: &deed_identity::InventoryError) -> String {
    let deed_identity::InventoryError::Wrong { line, .. } = error else { return String::new() };
    text.lines().nth(line - 1).map(|line| format!(", in `{line}`")).unwrap_or_default()
}

fn tag(response: &mut Response, digest: &str) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{digest}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

fn unreadable(error: std::io::Error) -> Problem {
    Problem::new(Kind::Internal, format!("failed to read the inventory: {error}"))
}
