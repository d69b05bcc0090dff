//! A call of the Kubernetes API, read without trusting the shape of the event that tells of it.

use deed_record::{Resource, Status, Timestamp};
use serde_json::Value;

use crate::shared::{self, text, texts};

/// What all forms of the log say of a call.
pub(super) struct Call<'v> {
    /// The id that all stages of the call share.
    pub(super) id: String,
    pub(super) stage: Stage<'v>,
    pub(super) time: Timestamp,
    pub(super) duration_ms: Option<i64>,
    pub(super) cluster: Option<String>,
    pub(super) verb: Option<&'v str>,
    pub(super) object: Option<Object<'v>>,
    /// The path that was asked for, where it is none of an object.
    pub(super) path: Option<&'v str>,
    /// Whether the query asks that nothing be kept (`--dry-run=server`).
    pub(super) dry_run: bool,
    /// Who called: as the API server authenticated them.
    pub(super) user: Option<&'v Value>,
    pub(super) user_name: Option<&'v str>,
    /// With whose rights, where it was not with the caller's own.
    pub(super) acted_as: Option<&'v str>,
    /// Google accounts for which the caller acted, the first one first.
    pub(super) delegation: Vec<&'v str>,
    pub(super) decision: Option<&'v str>,
    pub(super) reason: Option<&'v str>,
    pub(super) ended: Option<Ended>,
    pub(super) address: Option<&'v str>,
    pub(super) annotations: Option<&'v Value>,
    pub(super) request: Option<&'v Value>,
    pub(super) response: Option<&'v Value>,
}

/// Where in the handling of a call an event was logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage<'v> {
    /// It is over: `ResponseComplete` or `Panic`, of which every call has one.
    Final,
    /// `RequestReceived`, `ResponseStarted`.
    Earlier(&'v str),
}

/// How a call was answered.
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) code: Option<String>,
}

/// What a call was about.
#[derive(Clone, Copy, Default)]
pub(super) struct Object<'v> {
    pub(super) group: Option<&'v str>,
    pub(super) resource: &'v str,
    pub(super) namespace: Option<&'v str>,
    pub(super) name: Option<&'v str>,
    pub(super) subresource: Option<&'v str>,
}

impl<'v> Call<'v> {
    /// Reads an event of `audit.k8s.io`.
    pub(super) fn read(value: &'v Value, cluster: Option<&str>) -> Result<Self, String> {
        if let Some(kind) = value.get("kind").filter(|kind| *kind != "Event") {
            let kind = if kind == "EventList" { "a list" } else { "another kind of object" };
            return Err(format!("field `kind`: expected `Event`, found {kind}"));
        }
        let id = text(value, &["auditID"]).ok_or_else(|| missing(value, "auditID"))?;
        let received = text(value, &["requestReceivedTimestamp"]);
        let logged = text(value, &["stageTimestamp"]).or_else(|| text(value, &["timestamp"]));
        let stage = match text(value, &["stage"]) {
            Some(stage @ ("RequestReceived" | "ResponseStarted")) => Stage::Earlier(stage),
            _ => Stage::Final,
        };
        let time_of = |field, at: Option<&str>| at.map(|at| shared::time(field, at)).transpose();
        let received = time_of("requestReceivedTimestamp", received)?;
        let logged = time_of("stageTimestamp", logged)?;
        // A call happened when it came in; of an earlier stage it is told when that was reached.
        let (first, second) = if stage == Stage::Final { (received, logged) } else { (logged, received) };
        let time = first.or(second).ok_or_else(|| missing(value, "requestReceivedTimestamp"))?;
        let took = received.zip(logged).map(|(from, to)| (to.0 - from.0) / 1000).filter(|took| *took >= 0);
        let object = object(value);
        Ok(Call {
            id: id.to_owned(),
            stage,
            time,
            duration_ms: took,
            cluster: cluster.map(str::to_owned),
            verb: text(value, &["verb"]),
            object,
            path: text(value, &["requestURI"]).map(without_query).filter(|_| object.is_none()),
            dry_run: text(value, &["requestURI"]).is_some_and(asks_for_dry_run),
            user: value.get("user"),
            user_name: text(value, &["user", "username"]),
            acted_as: text(value, &["impersonatedUser", "username"]),
            delegation: Vec::new(),
            decision: text(value, &["annotations", "authorization.k8s.io/decision"]),
            reason: text(value, &["annotations", "authorization.k8s.io/reason"]),
            ended: ended(value),
            // The API server puts the peer last; what stands before it is what the peer said.
            address: texts(value, &["sourceIPs"]).last(),
            annotations: value.get("annotations"),
            request: value.get("requestObject"),
            response: value.get("responseObject"),
        })
    }

    pub(super) fn is_earlier(&self) -> bool {
        self.stage != Stage::Final
    }

    /// Whether it is over and did what it should.
    pub(super) fn succeeded(&self) -> bool {
        !self.is_earlier() && self.ended.as_ref().is_some_and(|ended| ended.status == Status::Success)
    }

    /// Whether nothing was kept of it, as the query says or the object that was sent along.
    pub(super) fn is_rehearsal(&self) -> bool {
        let mut objects = [self.request, self.response].into_iter().flatten();
        self.dry_run || objects.any(|object| shared::texts(object, &["dryRun"]).any(|stage| stage == "All"))
    }

    /// `kubernetes:CLUSTER`, or `kubernetes` where nothing tells the cluster.
    pub(super) fn system(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!("kubernetes:{cluster}"),
            None => "kubernetes".to_owned(),
        }
    }

    /// The key of what the cluster calls `name`.
    pub(super) fn key(&self, name: &str) -> String {
        match &self.cluster {
            Some(cluster) => format!("kubernetes:{cluster}/{name}"),
            None => format!("kubernetes:{name}"),
        }
    }

    /// `create pods/exec`, `update deployments.apps`; `get` of what is no object.
    pub(super) fn operation(&self) -> Option<String> {
        let verb = self.verb?;
        Some(match &self.object {
            Some(object) => format!("{verb} {}", object.kind()),
            None => verb.to_owned(),
        })
    }

    pub(super) fn resource(&self) -> Option<Resource<'static>> {
        match (&self.object, self.path) {
            (Some(object), _) => Some(shared::resource(self.key(&object.path()), Some(&object.kind()))),
            (None, Some(path)) => Some(shared::resource(self.key(path.trim_start_matches('/')), None)),
            (None, None) => None,
        }
    }

    /// The object itself, without what of it was asked for.
    pub(super) fn whole(&self) -> Option<Resource<'static>> {
        let whole = Object { subresource: None, ..self.object? };
        Some(shared::resource(self.key(&whole.path()), Some(&whole.kind())))
    }
}

impl Object<'_> {
    /// As kubectl writes it: `pods/exec`, `deployments.apps`.
    pub(super) fn kind(&self) -> String {
        let mut kind = self.resource.to_owned();
        if let Some(group) = self.group {
            kind.push('.');
            kind.push_str(group);
        }
        if let Some(subresource) = self.subresource {
            kind.push('/');
            kind.push_str(subresource);
        }
        kind
    }

    /// `namespaces/NAMESPACE/pods/NAME/exec`.
    fn path(&self) -> String {
        let kind = Object { subresource: None, ..*self }.kind();
        let mut path = match self.namespace.filter(|_| self.resource != "namespaces") {
            Some(namespace) => format!("namespaces/{namespace}/{kind}"),
            None => kind,
        };
        for part in [self.name, self.subresource].into_iter().flatten() {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

fn missing(value: &Value, field: &str) -> String {
    match value.get(field) {
        None => format!("field `{field}`: missing"),
        Some(_) => format!("field `{field}`: expected a text"),
    }
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or(uri)
}

fn asks_for_dry_run(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', '#']).any(|pair| pair == "dryRun=All")
}

fn object(value: &Value) -> Option<Object<'_>> {
    let at = |name: &str| text(value, &["objectRef", name]);
    // What is created has no name until the answer gives it one.
    let created = || {
        let answered = text(value, &["responseObject", "metadata", "name"]);
        answered.or_else(|| text(value, &["requestObject", "metadata", "name"]))
    };
    let subresource = at("subresource");
    let name = at("name")
        .or_else(|| created().filter(|_| subresource.is_none() && text(value, &["verb"]) == Some("create")));
    Some(Object {
        group: at("apiGroup"),
        resource: at("resource")?,
        namespace: at("namespace"),
        name,
        subresource,
    })
}

fn ended(value: &Value) -> Option<Ended> {
    if text(value, &["stage"]) == Some("Panic") {
        return Some(Ended { status: Status::Failure, code: Some("Panic".to_owned()) });
    }
    let code = shared::at(value, &["responseStatus", "code"])?.as_u64()?;
    let status = match code {
        401 | 403 => Status::Denied,
        ..=399 => Status::Success,
        408 | 504 => Status::TimedOut,
        _ => Status::Failure,
    };
    let reason = text(value, &["responseStatus", "reason"]).filter(|reason| {
        // A word of the API (`Forbidden`, `NotFound`), not a sentence.
        reason.len() <= 64 && reason.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    Some(Ended { status, code: Some(reason.map_or_else(|| code.to_string(), str::to_owned)) })
}
