//! Teleport audit events.
//!
//! Field names are those of Teleport's `events.proto`, versions 8 to 18; names of events and codes those of
//! its audit event reference. The table of what becomes what stands in `docs/collectors.md`.

mod effects;
mod outcome;
mod party;
mod resource;

use deed_record::{Basis, Kind, PersonalSent, RecordId, Source, StepType, Submission, Tool, WHOLE};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    authority::{self, text},
    json::{self, Json},
    loose::{self, Loose},
    otlp, parse,
};

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "teleport/4";

/// What Teleport's names are names in, together with the cluster.
const SYSTEM: &str = "teleport";

/// The record of one audit event, as a line of the audit log or as the event handler exports it.
///
/// An event that a forwarder put into an object of its own (`event`, `record`) is taken out of it first.
/// What the mapping does not understand is recorded all the same, as what it is.
///
/// # Errors
/// Only for what is no event: not a JSON object, or without `uid` or `time`. The error names the field and
/// completes "line 3, …".
pub fn map(event_text: &str) -> Result<String, String> {
    let whole = loose::unwrapped(event_text, "uid", &["event", "record"]);
    let value = parse::object(whole)?;
    let event = Event(Loose(&value));
    let id = event.0.id(&["uid"])?;
    let time = event.0.happened(&["time"])?;
    let parties = party::parties(event);
    let submission = Submission {
        basis: Some(Basis::Imported),
        chain: (!parties.chain.is_empty()).then_some(parties.chain),
        credential: parties.credential,
        effects: Some(effects::effects(event, time)).filter(|effects| !effects.is_empty()),
        executor: Some(parties.executor),
        initiator: parties.initiator,
        operation: Some(json::text(event.operation())),
        outcome: outcome::outcome(event),
        personal: personal(event),
        request: event.request(),
        resource: resource::resource(event),
        session: event.0.text(&["sid"]).map(json::text),
        source: Some(Source {
            collector: Some(MAPPING.into()),
            event_id: Some(json::text(id)),
            system: json::text(event.system()),
        }),
        step_type: step_type(event),
        tool: tool(event),
        ..Submission::new(Kind::Observation, time)
    };
    let mut disclose = Json::with_capacity(whole.len() + 16);
    push_payloads(&mut disclose, event, whole);
    disclose.name(WHOLE);
    disclose.raw(whole);
    json::record(&submission, &disclose)
}

/// An audit event.
#[derive(Clone, Copy)]
struct Event<'v>(Loose<'v>);

impl<'v> Event<'v> {
    /// `event`: `session.start`, `db.session.query`, …
    fn kind(self) -> &'v str {
        self.0.text(&["event"]).unwrap_or("event")
    }

    fn code(self) -> &'v str {
        self.0.text(&["code"]).unwrap_or_default()
    }

    fn cluster(self) -> Option<&'v str> {
        self.0.text(&["cluster_name"])
    }

    fn system(self) -> String {
        match self.cluster() {
            Some(cluster) => format!("{SYSTEM}:{cluster}"),
            None => SYSTEM.to_owned(),
        }
    }

    /// The method of a request or notification of MCP, else the event's name.
    fn operation(self) -> &'v str {
        self.mcp_method().unwrap_or(self.kind())
    }

    fn mcp_method(self) -> Option<&'v str> {
        let is_message = matches!(self.kind(), "mcp.session.request" | "mcp.session.notification");
        self.0.text(&["message", "method"]).filter(|_| is_message)
    }

    /// The access request that the event is about, or on which the user acts.
    fn request(self) -> Option<RecordId> {
        let own = || self.0.text(&["id"]).filter(|_| self.kind().starts_with("access_request."));
        let active = || self.0.texts(&["access_requests"]).next();
        let of_certificate = || self.0.texts(&["identity", "access_requests"]).next();
        let of_lock = || self.0.text(&["target", "access_request"]);
        let id = own().or_else(active).or_else(of_certificate).or_else(of_lock)?;
        Some(authority::request_id(&self.system(), id))
    }
}

fn personal(event: Event<'_>) -> Option<PersonalSent<'static>> {
    let address = ["addr.remote", "addr_remote", "remote_addr", "client_addr"];
    let address = event.0.any(&address).or_else(|| event.0.text(&["identity", "client_ip"]));
    let device = event
        .0
        .text(&["trusted_device", "device_id"])
        .or_else(|| event.0.text(&["device", "device_id"]))
        .or_else(|| event.0.text(&["mfa_device", "mfa_device_uuid"]));
    (address.is_some() || device.is_some()).then(|| PersonalSent {
        // The port is another one each time.
        address: address.map(without_port).map(text),
        device: device.map(text),
    })
}

/// `192.0.2.1:35194`, `[2001:db8::1]:65123`: the address alone.
fn without_port(address: &str) -> &str {
    if let Some((inner, _)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inner;
    }
    match address.split_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    }
}

fn step_type(event: Event<'_>) -> Option<StepType> {
    match event.mcp_method() {
        Some("tools/call") => return Some(StepType::Tool),
        Some("resources/read" | "prompts/get") => return Some(StepType::DataRead),
        _ => {}
    }
    let noticed = event.kind() == "cert.generation_mismatch"
        || event.kind() == "session.rejected"
        || event.kind().starts_with("crown_jewel.")
        || event.kind().ends_with(".malformed_packet");
    noticed.then_some(StepType::SecurityEvent)
}

fn tool(event: Event<'_>) -> Option<Tool<'static>> {
    let name = match event.mcp_method()? {
        "tools/call" => event.0.text(&["message", "params", "name"])?,
        _ => return None,
    };
    let server = event.0.text(&["app_name"]).map(text);
    Some(Tool { digest: None, name: text(name), server, version: None })
}

/// What is worth showing or redacting by itself: the arguments of a call, a query, a command, a reason.
fn push_payloads(out: &mut Json, event: Event<'_>, whole: &str) {
    if event.mcp_method().is_some()
        && let Ok(Raw { message: Some(RawMessage { params: Some(RawParams { arguments: Some(raw) }) }) }) =
            serde_json::from_str::<Raw<'_>>(whole)
    {
        otlp::push_text_members(out, "arguments", raw.get());
    }
    if let Some(query) = event.0.text(&["db_query"]) {
        out.name("query");
        out.string(query);
    }
    if let Some(command) = event.0.text(&["command"]) {
        out.name("command");
        out.string(command);
    }
    if let Some(reason) = event.0.text(&["reason"]) {
        out.name("reason");
        out.string(reason);
    }
}

/// The arguments of a call in the bytes that came.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    message: Option<RawMessage<'a>>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    params: Option<RawParams<'a>>,
}

#[derive(Deserialize)]
struct RawParams<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_an_address() {
        for (given, address) in [
            ("192.0.2.1:35194", "192.0.2.1"),
            ("[2001:db8::1]:65123", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ] {
            assert_eq!(without_port(given), address);
        }
    }
}
