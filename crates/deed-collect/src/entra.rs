//! Microsoft Entra ID: sign-ins, audit events and the activity of Microsoft Graph.
//!
//! Field names are those of Microsoft Graph's `signIn` (beta) and `directoryAudit`, which Azure's diagnostic
//! settings deliver under `properties`. The table of what becomes what stands in `docs/collectors.md`.

mod audit;
mod effects;
mod graph;
mod keys;
mod party;
mod role;
mod sign_in;

use deed_record::{
    Basis, ChainHop, Credential, Decision, EffectSent, Kind, Outcome, PersonalSent, Principal, RecordId,
    Resource, Source, Submission, Timestamp, WHOLE,
};
use sha2::{Digest, Sha256};

use crate::{authority::text, json, loose::Loose, parse};

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "entra/4";

/// What Entra's object ids are ids in.
const SYSTEM: &str = "entra";

/// The record of one sign-in, audit event or call of Microsoft Graph.
///
/// What the mapping does not understand is recorded all the same, as what it is.
///
/// # Errors
/// Only for what is no event: not a JSON object, or without an id or a time. The error names the field
/// and completes "line 3, …".
pub fn map(event_text: &str) -> Result<String, String> {
    let whole = event_text.trim();
    let value = parse::object(whole)?;
    let event = Event::new(Loose(&value));
    let time = event.time()?;
    let id = event.id(whole)?;
    let said = match event.sort {
        Sort::SignIn => sign_in::said(event, time),
        Sort::Graph => graph::said(event),
        Sort::Audit => audit::said(event, time),
    };
    let submission = Submission {
        basis: Some(Basis::Imported),
        chain: (!said.chain.is_empty()).then_some(said.chain),
        credential: said.credential,
        decision: said.decision,
        effects: (!said.effects.is_empty()).then_some(said.effects),
        executor: Some(said.executor),
        initiator: said.initiator,
        operation: Some(json::text(said.operation)),
        outcome: said.outcome,
        permission: said.permission.map(json::text),
        personal: event.personal(),
        request: said.request,
        resource: said.resource,
        session: event.session().map(json::text),
        source: Some(Source {
            collector: Some(MAPPING.into()),
            event_id: Some(json::text(id)),
            system: json::text(event.system()),
        }),
        ..Submission::new(Kind::Observation, time)
    };
    let mut disclose = json::Json::with_capacity(whole.len() + 16);
    disclose.name(WHOLE);
    disclose.raw(whole);
    json::record(&submission, &disclose)
}

/// What the sorts of events say each in their own way.
struct Said {
    chain: Vec<ChainHop<'static>>,
    credential: Option<Credential<'static>>,
    decision: Option<Decision<'static>>,
    effects: Vec<EffectSent<'static>>,
    executor: Principal<'static>,
    initiator: Option<Principal<'static>>,
    operation: String,
    outcome: Option<Outcome<'static>>,
    permission: Option<String>,
    request: Option<RecordId>,
    resource: Option<Resource<'static>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    SignIn,
    Audit,
    /// A call of Microsoft Graph (`MicrosoftGraphActivityLogs`).
    Graph,
}

/// An event, as Graph gives it and as Azure puts it into an envelope.
#[derive(Clone, Copy)]
struct Event<'v> {
    /// The envelope; the event itself where there is none.
    outer: Loose<'v>,
    /// The event as Graph gives it.
    is: Loose<'v>,
    sort: Sort,
}

impl<'v> Event<'v> {
    fn new(outer: Loose<'v>) -> Self {
        let inner = outer.at(&["properties"]);
        let is = if inner.0.is_object() { inner } else { outer };
        let has = |names: &[&str]| names.iter().any(|name| is.get(&[name]).is_some());
        let category = outer.text(&["category"]).unwrap_or_default();
        let sort = if category == "MicrosoftGraphActivityLogs" || has(&["requestUri"]) {
            Sort::Graph
        } else if category.ends_with("SignInLogs")
            || has(&["createdDateTime", "signInEventTypes"]) && !has(&["activityDateTime"])
        {
            Sort::SignIn
        } else {
            Sort::Audit
        };
        Event { outer, is, sort }
    }

    fn time(self) -> Result<Timestamp, String> {
        let names = ["createdDateTime", "activityDateTime", "timeGenerated", "aggregatedDateTime"];
        match self.is.happened(&names) {
            Ok(time) => Ok(time),
            // What the service wrote is nearer to the event than when it was put into its envelope.
            Err(error) => match self.outer.get(&["time"]) {
                Some(_) => self.outer.happened(&["time"]),
                None => Err(error),
            },
        }
    }

    /// The event's own id. In an envelope one may be missing: there the same bytes are the same event.
    fn id(self, whole: &str) -> Result<String, String> {
        let names: &[&str] =
            if self.sort == Sort::Graph { &["requestId", "id", "operationId"] } else { &["id"] };
        match self.is.id(names) {
            Ok(id) => Ok(id.into_owned()),
            Err(_) if self.outer.get(&["time"]).is_some() && self.outer.get(&["properties"]).is_some() => {
                Ok(format!("sha256/{}", json::hex(&Sha256::digest(whole.as_bytes())[..16])))
            }
            Err(error) => Err(error),
        }
    }

    /// The directory that wrote the event, where the envelope says it.
    fn tenant(self) -> Option<&'v str> {
        let of_resource = || self.outer.text(&["resourceId"])?.strip_prefix("/tenants/")?.split('/').next();
        self.outer.text(&["tenantId"]).or_else(of_resource).filter(|tenant| !tenant.is_empty())
    }

    fn system(self) -> String {
        match self.tenant() {
            Some(tenant) => format!("{SYSTEM}:{tenant}"),
            None => SYSTEM.to_owned(),
        }
    }

    /// What the directory does on a call of Graph it logs under the id of that call.
    fn session(self) -> Option<&'v str> {
        let call = self.is.text(&["requestId"]).filter(|_| self.sort == Sort::Graph);
        let own = || self.is.any(&["sessionId", "correlationId"]);
        call.or_else(own).or_else(|| self.outer.text(&["correlationId"]))
    }

    fn personal(self) -> Option<PersonalSent<'static>> {
        let by = ["initiatedBy", "user", "ipAddress"];
        let address = self
            .is
            .text(&["ipAddress"])
            .or_else(|| self.is.text(&by))
            .or_else(|| self.outer.text(&["callerIpAddress"]));
        // Of a device that is not registered the id is empty.
        let device = self.is.text(&["deviceDetail", "deviceId"]).filter(|id| !id.is_empty());
        (address.is_some() || device.is_some())
            .then(|| PersonalSent { address: address.map(text), device: device.map(text) })
    }
}
