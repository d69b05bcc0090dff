//! Okta System Log events.
//!
//! Field names are those of the System Log API's LogEvent; event types those of Okta's event types
//! catalogue. The table of what becomes what stands in `docs/collectors.md`.

mod effects;
mod party;

use deed_record::{
    Basis, Credential, Decision, Kind, Outcome, PersonalSent, PrincipalType, Resource, Ruling, Source,
    Status, StepType, Submission, Text, WHOLE,
};

use crate::{
    authority::{self, text},
    json,
    loose::{self, Loose},
    parse,
};

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "okta/4";

/// What Okta's ids are ids in. Events do not say which organisation they are of; their ids are unique
/// among all of them.
const SYSTEM: &str = "okta";

/// The record of one event of the System Log.
///
/// An event that a log stream delivered (EventBridge's `detail`, Splunk's `event`) is taken out of what
/// is around it first. What the mapping does not understand is recorded all the same, as what it is.
///
/// # Errors
/// Only for what is no event: not a JSON object, or without `uuid` or `published`. The error names the
/// field and completes "line 3, …".
pub fn map(event_text: &str) -> Result<String, String> {
    let whole = loose::unwrapped(event_text, "uuid", &["detail", "event"]);
    let value = parse::object(whole)?;
    let event = Event(Loose(&value));
    let id = event.0.id(&["uuid"])?;
    let time = event.0.happened(&["published"])?;
    let executor = party::actor(event);
    let kind = event.kind();
    let submission = Submission {
        basis: Some(Basis::Imported),
        credential: credential(event),
        decision: decision(event),
        effects: Some(effects::effects(event, time)).filter(|effects| !effects.is_empty()),
        initiator: party::initiator(event, &executor),
        executor: Some(executor),
        operation: Some(json::text(kind)),
        outcome: outcome(event),
        personal: personal(event),
        request: effects::request(event),
        resource: resource(event),
        session: event.session().map(json::text),
        source: Some(Source {
            collector: Some(MAPPING.into()),
            event_id: Some(json::text(id)),
            system: SYSTEM.into(),
        }),
        step_type: step_type(kind),
        ..Submission::new(Kind::Observation, time)
    };
    let mut disclose = json::Json::with_capacity(whole.len() + 16);
    disclose.name(WHOLE);
    disclose.raw(whole);
    json::record(&submission, &disclose)
}

/// An event of the System Log.
#[derive(Clone, Copy)]
struct Event<'v>(Loose<'v>);

impl<'v> Event<'v> {
    /// `eventType`.
    fn kind(self) -> &'v str {
        self.0.any(&["eventType", "legacyEventType"]).unwrap_or("event")
    }

    /// The text at `path`, where Okta knows what stands there.
    fn text(self, path: &[&str]) -> Option<&'v str> {
        known(self.0.text(path))
    }

    /// A member of `debugContext.debugData`.
    fn debug(self, name: &str) -> Option<&'v str> {
        self.text(&["debugContext", "debugData", name])
    }

    fn targets(self) -> impl Iterator<Item = Loose<'v>> + Clone + use<'v> {
        self.0.list(&["target"])
    }

    /// The first target of one of these types.
    fn target(self, types: &[&str]) -> Option<Loose<'v>> {
        types.iter().find_map(|kind| self.targets().find(|target| target.text(&["type"]) == Some(kind)))
    }

    /// The API token that the call was made with.
    fn token(self) -> Option<&'v str> {
        self.text(&["transaction", "detail", "requestApiTokenId"])
    }

    /// The session that a user opened by signing in.
    fn signed_in(self) -> Option<&'v str> {
        self.text(&["authenticationContext", "externalSessionId"])
    }

    /// The session; a request that belongs to none is one of its own.
    fn session(self) -> Option<&'v str> {
        self.signed_in().or_else(|| self.text(&["transaction", "id"]))
    }

    /// `SUCCESS`, `FAILURE`, `ALLOW`, `DENY`, …
    fn result(self) -> Option<&'v str> {
        self.0.text(&["outcome", "result"])
    }

    fn succeeded(self) -> bool {
        matches!(self.result(), Some("SUCCESS" | "ALLOW"))
    }
}

/// `said`, unless it is the word or the dash by which Okta says that it does not know.
fn known(said: Option<&str>) -> Option<&str> {
    said.filter(|said| !said.eq_ignore_ascii_case("unknown") && *said != "-")
}

/// What the call was made with: an API token, else the session, which is derived from the one that the
/// user opened first.
fn credential(event: Event<'_>) -> Option<Credential<'static>> {
    if let Some(token) = event.token() {
        return Some(authority::credential("api_token", Some(token), SYSTEM));
    }
    let session = event.signed_in()?;
    let root = event.text(&["authenticationContext", "rootSessionId"]).filter(|root| *root != session);
    Some(Credential { parent: root.map(text), ..authority::credential("session", Some(session), SYSTEM) })
}

/// What a sign-on policy decided.
fn decision(event: Event<'_>) -> Option<Decision<'static>> {
    if !event.kind().starts_with("policy.evaluate_") {
        return None;
    }
    let effect = match event.result()? {
        "ALLOW" | "SUCCESS" => Ruling::Allow,
        "CHALLENGE" => Ruling::StepUp,
        "DENY" | "FAILURE" => Ruling::Deny,
        _ => return None,
    };
    let policies = event
        .targets()
        .filter(|target| target.text(&["type"]).is_some_and(|kind| kind.starts_with("Policy")))
        .filter_map(|target| target.text(&["id"]))
        .map(text)
        .collect();
    Some(Decision {
        effect,
        engine: None,
        errors: Vec::new(),
        obligations: Vec::new(),
        policies,
        policy_set: None,
    })
}

/// How it ended; `None` where the event does not say.
fn outcome(event: Event<'_>) -> Option<Outcome<'static>> {
    let result = event.result()?;
    let reason = event.0.text(&["outcome", "reason"]);
    // Who is not let in is denied; what does not work fails.
    let is_sign_in = ["user.session.", "user.authentication.", "user.account.lock", "app.oauth2."]
        .iter()
        .any(|prefix| event.kind().starts_with(prefix));
    let status = match result {
        "SUCCESS" | "ALLOW" => Status::Success,
        "FAILURE" if is_sign_in => Status::Denied,
        "DENY" | "RATE_LIMIT" => Status::Denied,
        "FAILURE" => Status::Failure,
        "SKIPPED" | "ABANDONED" => Status::Cancelled,
        "UNANSWERED" => Status::TimedOut,
        _ => Status::Unknown,
    };
    // A reason is a code or free text; only a code can be sealed.
    let code = reason.filter(|reason| is_code(reason)).or(Some(result).filter(|result| is_code(result)));
    Some(Outcome { code: code.filter(|_| status != Status::Success).map(text), ..Outcome::of(status) })
}

fn is_code(reason: &str) -> bool {
    reason.len() <= 64 && reason.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn personal(event: Event<'_>) -> Option<PersonalSent<'static>> {
    let address = event.text(&["client", "ipAddress"]);
    let device = event.text(&["device", "id"]).or_else(|| event.debug("dtHash"));
    (address.is_some() || device.is_some())
        .then(|| PersonalSent { address: address.map(text), device: device.map(text) })
}

/// What was acted upon: a target that is no person and no request for something, else the first.
fn resource(event: Event<'_>) -> Option<Resource<'static>> {
    let is_thing = |target: &Loose<'_>| {
        let kind = target.text(&["type"]).unwrap_or_default();
        !matches!(kind, "User" | "AppUser") && !kind.to_ascii_lowercase().ends_with("request")
    };
    let first = event.targets().find(is_thing);
    let target = first.or_else(|| event.targets().next())?;
    of_target(target)
}

/// `okta:AppInstance/0oa1`.
fn of_target(target: Loose<'_>) -> Option<Resource<'static>> {
    let kind = target.text(&["type"])?;
    let id = known(target.text(&["id"])).filter(|id| authority::is_impersonal(id))?;
    Some(authority::resource(format!("{SYSTEM}:{kind}/{id}"), kind))
}

fn step_type(kind: &str) -> Option<StepType> {
    let noticed =
        ["security.", "user.risk.", "device.signals."].iter().any(|prefix| kind.starts_with(prefix))
            || kind.ends_with(".detect_reuse")
            || kind.contains("report_suspicious_activity")
            || kind.ends_with(".attack.start")
            || kind.ends_with(".attack.end");
    if noticed {
        Some(StepType::SecurityEvent)
    } else if kind.starts_with("policy.evaluate_") {
        Some(StepType::PolicyCheck)
    } else {
        None
    }
}

/// What an actor or a target is, by Okta's word for its type.
fn type_of(kind: &str) -> PrincipalType {
    match kind {
        "User" | "AppUser" => PrincipalType::Human,
        "AIAgent" | "AI_AGENT" | "AiAgent" => PrincipalType::Agent,
        "SystemPrincipal" | "PublicClientApp" | "AppInstance" | "ServiceApp" => PrincipalType::Workload,
        "ServiceAccount" => PrincipalType::ServiceAccount,
        _ => PrincipalType::Unknown,
    }
}

/// Words that stand in one text, parted by commas or spaces.
fn words(list: &str) -> Vec<Text<'static>> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(text).collect()
}
