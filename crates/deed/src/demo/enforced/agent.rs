//! Agents of the story: they exchange tokens and call tools, over HTTP, as agents elsewhere do.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::setting::{Keys, RESOURCE};
use crate::{
    client::{CallError, Client, Request, query_value},
    exit::Failure,
};

const VERSION: &str = "2026-07-28";

/// The token service's answer to an exchange.
pub(super) enum Exchanged {
    /// A token.
    Token(String),
    /// The OAuth error.
    Refused(String),
}

/// Exchanges `subject` for a token of `agent` with `scope`, which it may hand to `next`.
///
/// # Errors
/// No answer, or none that is understood.
pub(super) async fn exchange(
    client: &Client,
    keys: &Keys,
    subject: &str,
    agent: &str,
    scope: &str,
    next: Option<&str>,
) -> Result<Exchanged, Failure> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
    }
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    let assertion = keys.assertion(agent)?;
    let mut form = String::from("grant_type=urn:ietf:params:oauth:grant-type:token-exchange");
    let asked = [
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("client_assertion", &assertion),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("resource", RESOURCE),
        ("scope", scope),
    ];
    for (name, value) in asked.into_iter().chain(next.map(|next| ("deed_may_act", next))) {
        form.push_str(&format!("&{name}={}", query_value(value)));
    }
    let request = Request::post("/oauth/token", "application/x-www-form-urlencoded", form);
    let answer = client.send(&request).await.map_err(unreachable)?;
    if answer.status.is_success() {
        let Issued { access_token } = answer.json()?;
        return Ok(Exchanged::Token(access_token));
    }
    let refused = serde_json::from_slice::<Refused>(&answer.body);
    match refused {
        Ok(Refused { error }) => Ok(Exchanged::Refused(error)),
        Err(_) => {
            answer.good().and_then(|_| Err(Failure::new("the token service's answer is not understood")))
        }
    }
}

/// An agent with a token: an MCP client.
pub(super) struct Agent {
    pub(super) client: Arc<Client>,
    pub(super) token: String,
    /// The trace that all of this is part of (W3C Trace Context).
    pub(super) trace: String,
}

impl Agent {
    /// Calls a tool; what came back, whether that is a result or a refusal.
    ///
    /// # Errors
    /// No answer.
    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Result<Heard, Failure> {
        let result =
            self.ask("tools/call", Some(tool), json!({ "name": tool, "arguments": arguments })).await?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        Ok(Heard { is_refused: result["isError"] == true, text, found: result["structuredContent"].clone() })
    }

    /// The names of the tools that it is offered.
    ///
    /// # Errors
    /// No answer.
    pub(super) async fn tools(&self) -> Result<Vec<String>, Failure> {
        let result = self.ask("tools/list", None, json!({})).await?;
        let tools = result["tools"].as_array().into_iter().flatten();
        Ok(tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect())
    }

    async fn ask(&self, method: &str, name: Option<&str>, mut params: Value) -> Result<Value, Failure> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": { "name": "deed-demo", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
            "traceparent": format!("00-{}-{}-01", self.trace, crate::output::hex(&crate::demo::random::<8>()?)),
        });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let value = |text: &str| HeaderValue::try_from(text).map_err(|error| Failure::new(error.to_string()));
        let mut bearer = value(&format!("Bearer {}", self.token))?;
        bearer.set_sensitive(true);
        let mut request = Request::post("/mcp/vendors", "application/json", message.to_string())
            .header(header::AUTHORIZATION, bearer)
            .header(HeaderName::from_static("mcp-protocol-version"), value(VERSION)?)
            .header(HeaderName::from_static("mcp-method"), value(method)?);
        if let Some(name) = name {
            request = request.header(HeaderName::from_static("mcp-name"), value(name)?);
        }
        let body = self.client.send(&request).await.map_err(unreachable)?.good()?;
        let text = String::from_utf8_lossy(&body);
        // One message, or the last of a stream of events.
        let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
        let answer: Value = serde_json::from_str(last.unwrap_or(&text)).map_err(|error| {
            Failure::new("the gateway's answer is not understood").detail(error.to_string())
        })?;
        match answer.get("error") {
            Some(error) => Err(Failure::new(format!("`{method}` failed: {error}"))),
            None => Ok(answer["result"].clone()),
        }
    }
}

/// What an agent heard of a call.
pub(super) struct Heard {
    pub(super) is_refused: bool,
    /// The first text of it.
    pub(super) text: String,
    /// Its structured content.
    pub(super) found: Value,
}

fn unreachable(error: CallError) -> Failure {
    Failure::new("Deed does not answer").detail(error.to_string())
}
