//! The objects that events of several classes share.

use deed_record::{Kind, PrincipalType, Ruling, Status, Timestamp};
use serde_json::{Map, Value, json};

use super::{PRODUCT, Telling, VERSION, class};
use crate::{
    explain::hex,
    explanation::{Decision, Who},
    words::Edge,
};

/// Milliseconds since 1970, as OCSF writes time.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.0.div_euclid(1000)
}

const NOBODY: &str = "unknown";

impl Telling<'_> {
    /// `uid` is the event's own name; the profiles are those whose members stand in it.
    pub(super) fn metadata(&self, uid: String, traced: bool) -> Value {
        let record = self.record;
        let source = record.source.as_ref();
        let trace = record.trace_id.map(|id| id.to_string());
        let profiles = match traced && trace.is_some() {
            true => vec!["security_control", "trace"],
            false => vec!["security_control"],
        };
        json!({
            "version": VERSION, "uid": uid, "profiles": profiles,
            "product": { "name": PRODUCT.0, "vendor_name": PRODUCT.0, "version": PRODUCT.1 },
            "tenant_uid": record.tenant,
            "correlation_uid": trace.or_else(|| text(&record.session)).or_else(|| text(&record.task)),
            "original_time": record.time.to_string(),
            "logged_time": millis(record.recorded),
            "log_name": &*self.found.log,
            "sequence": self.found.sealed.index,
            "log_provider": source.map(|source| source.system.to_string()),
            "original_event_uid": source.and_then(|source| text(&source.event_id)),
            "event_code": text(&record.operation),
            "labels": record.environment.iter().map(|name| format!("environment:{name}")).collect::<Vec<_>>(),
        })
    }

    pub(super) fn leaf_hash(&self) -> String {
        hex(&self.found.leaf_hash)
    }

    /// Where the record stands in its log, and what proves it there.
    pub(super) fn integrity(&self) -> Value {
        let evidence = self.answer.map(|answer| &answer.evidence);
        json!({
            "log": &*self.found.log, "index": self.found.sealed.index,
            "leaf_hash": self.leaf_hash(),
            "checkpoint_size": evidence.map(|evidence| evidence.checkpoint_size),
            "records": evidence.map(|evidence| &evidence.records),
        })
    }

    /// Who asked, by what right, and with whom the one who acts is called something else.
    pub(super) fn actor(&self) -> Value {
        let (asked, acted) = (self.initiator(), self.executor());
        let is_one = |one: &Who, other: &Who| one.account.is_some() && one.account == other.account;
        let alone = match (&asked, &acted) {
            (Some(asked), Some(acted)) => is_one(asked, acted),
            (None, Some(acted)) => acted.kind == PrincipalType::Human,
            _ => false,
        };
        let user = asked.as_ref().or(acted.as_ref().filter(|_| alone));
        let app = acted.as_ref().filter(|_| !alone);
        let named = |who: &Who| who.name.clone().or_else(|| who.key.clone()).filter(|_| self.names);
        let mut actor = json!({
            "user": user.and_then(|who| self.user(who)),
            "app_uid": app.and_then(|who| who.account).map(|account| account.to_string()),
            "app_name": app.map(|who| named(who).unwrap_or_else(|| who.kind.to_string())),
            "session": self.session(),
            "authorizations": self.authorizations(),
        });
        if user.and_then(|who| who.account).is_none() && app.is_none() {
            actor["app_name"] = json!(NOBODY);
        }
        actor
    }

    /// Who asked.
    fn initiator(&self) -> Option<Who> {
        let record = self.record;
        match self.answer {
            Some(answer) => {
                let who = &answer.initiator;
                who.account?;
                Some(Who {
                    key: who.key.clone(),
                    kind: who.kind,
                    name: who.name.clone(),
                    principal: who.principal.clone(),
                    account: who.account,
                    instance: None,
                    vendor: None,
                })
            }
            None => {
                let terms = record.terms.as_ref();
                let party = record.initiator.as_ref().or(terms.and_then(|terms| terms.by.as_ref()));
                party.map(|party| self.who(party))
            }
        }
    }

    /// Who acted.
    fn executor(&self) -> Option<Who> {
        match self.answer {
            Some(answer) => {
                let who = &answer.executor;
                Some(Who {
                    key: who.key.clone(),
                    kind: who.kind,
                    name: who.name.clone(),
                    principal: who.principal.clone(),
                    account: who.account,
                    instance: who.instance.clone(),
                    vendor: who.vendor.clone(),
                })
            }
            None => self.record.executor.as_ref().map(|party| self.who(party)),
        }
    }

    /// Somebody as a user: the account as sealed, and names only where they are asked for.
    fn user(&self, who: &Who) -> Option<Value> {
        let account = who.account?;
        let (type_id, kind) = match who.kind {
            PrincipalType::Human => (1, "User"),
            PrincipalType::ServiceAccount => (4, "Service"),
            PrincipalType::Unknown => (0, "Unknown"),
            other => (99, other.as_str()),
        };
        let named = |name: &Option<String>| name.clone().filter(|_| self.names);
        Some(json!({
            "uid": account.to_string(), "type_id": type_id, "type": kind,
            "name": named(&who.key), "full_name": named(&who.name), "uid_alt": named(&who.principal),
            "org": who.vendor.as_ref().map(|vendor| json!({ "name": vendor })),
        }))
    }

    /// Whom a change of authority is about; never empty, for the schema asks for somebody.
    pub(super) fn about(&self) -> Value {
        let terms = class::changed(self.record).and_then(|(_, _, terms)| terms);
        let subject = terms.and_then(|terms| terms.subject.as_ref());
        let who = subject.map(|party| self.who(party)).or_else(|| self.executor());
        let user = who.and_then(|who| self.user(&who));
        user.unwrap_or_else(|| json!({ "name": NOBODY, "type_id": 0, "type": "Unknown" }))
    }

    /// What it was done with.
    pub(super) fn session(&self) -> Value {
        let changed = class::changed(self.record).and_then(|(_, credential, _)| credential);
        let sealed = self.record.credential.as_ref().or(changed);
        let said = |field: Option<&Option<String>>| field.cloned().flatten();
        let answer = self.answer.and_then(|answer| answer.credential.as_ref());
        let name = sealed.and_then(|credential| credential.names().next()).map(str::to_owned);
        let issued = answer.and_then(|with| with.issued).or(sealed.and_then(|with| with.issued));
        let expires = answer.and_then(|with| with.expires).or(sealed.and_then(|with| with.expires));
        json!({
            "uid": text(&self.record.session),
            "credential_uid": name,
            "issuer": said(answer.map(|with| &with.issuer)).or_else(|| text(&sealed?.issuer)),
            "created_time": issued.map(millis),
            "expiration_time": expires.map(millis),
        })
    }

    fn authorizations(&self) -> Value {
        let Some(decision) = self.answer.and_then(|answer| answer.decision.as_ref()) else {
            return Value::Null;
        };
        let one = |effect: Ruling, set: &Option<String>, policies: &[String]| {
            let policy = (set.is_some() || !policies.is_empty()).then(|| {
                json!({ "uid": set, "name": policies.join(", "), "version": decision.engine, "is_applied": true })
            });
            json!({ "decision": effect.as_str(), "policy": policy })
        };
        let first = one(decision.effect, &decision.policy_set, &decision.policies);
        let then = decision.then.as_ref().map(|then| one(then.effect, &then.policy_set, &then.policies));
        json!([first, then])
    }

    /// What was decided, where the profile `security_control` has it.
    pub(super) fn decided(&self, event: &mut Value) {
        let decision = self.answer.and_then(|answer| answer.decision.as_ref());
        let last = |decision: &Decision| decision.then.as_ref().map_or(decision.effect, |then| then.effect);
        let denied = self.answer.is_some_and(|answer| answer.outcome.status == Status::Denied);
        let (action, disposition) = match decision.map(last) {
            Some(Ruling::Allow) => ((1, "Allowed"), (1, "Allowed")),
            Some(Ruling::Deny) => ((2, "Denied"), (2, "Blocked")),
            Some(Ruling::StepUp) => ((99, "step_up"), (14, "Delayed")),
            None if denied => ((2, "Denied"), (2, "Blocked")),
            None => ((3, "Observed"), (17, "Logged")),
        };
        event["action_id"] = json!(action.0);
        event["action"] = json!(action.1);
        event["disposition_id"] = json!(disposition.0);
        event["disposition"] = json!(disposition.1);
        event["authorizations"] = self.authorizations();
    }

    /// How it ended.
    pub(super) fn ended(&self, event: &mut Value) {
        let outcome = self.answer.map(|answer| &answer.outcome);
        let status = outcome.map_or(Status::Unknown, |outcome| outcome.status);
        let (id, caption) = match status {
            Status::Success => (1, "Success"),
            Status::Failure | Status::Denied | Status::Cancelled | Status::TimedOut => (2, "Failure"),
            Status::RolledBack => (99, status.as_str()),
            Status::Unknown => (0, "Unknown"),
        };
        if !self.record.kind.is_action() {
            return;
        }
        event["status_id"] = json!(id);
        event["status"] = json!(caption);
        event["status_code"] = json!(outcome.and_then(|outcome| outcome.code.clone()));
        event["status_detail"] = json!((id == 2 && status != Status::Failure).then(|| status.as_str()));
        event["duration"] = json!(outcome.and_then(|outcome| outcome.duration_ms));
    }

    pub(super) fn operation(&self) -> Option<String> {
        let record = self.record;
        record.tool.as_ref().map(|tool| tool.name.to_string()).or_else(|| text(&record.operation))
    }

    pub(super) fn api(&self) -> Value {
        let record = self.record;
        let tool = record.tool.as_ref();
        json!({
            "operation": self.operation().unwrap_or_else(|| record.kind.to_string()),
            "version": tool.and_then(|tool| text(&tool.version)),
            "service": self.service(),
            "group": tool.and(text(&record.operation)).map(|name| json!({ "name": name })),
            "request": { "uid": record.id },
        })
    }

    /// What was asked to do it.
    pub(super) fn service(&self) -> Value {
        let record = self.record;
        let server = record.tool.as_ref().and_then(|tool| text(&tool.server));
        let name = server.or_else(|| record.source.as_ref().map(|source| source.system.to_string()));
        json!({ "name": name.unwrap_or_else(|| record.submitter.to_string()) })
    }

    /// Where it came from; the schema asks for something where nobody says.
    pub(super) fn src_endpoint(&self) -> Value {
        let personal = self.record.personal;
        let address = personal.and_then(|personal| personal.address).map(|address| address.to_string());
        let device = personal.and_then(|personal| personal.device).map(|device| device.to_string());
        let instance = self.record.executor.as_ref().and_then(|who| text(&who.instance));
        let nowhere = address.is_none() && device.is_none() && instance.is_none();
        json!({
            "uid": address, "instance_uid": device.or(instance),
            "name": nowhere.then_some(NOBODY),
        })
    }

    pub(super) fn resource(&self) -> Value {
        let Some(resource) = &self.record.resource else { return Value::Null };
        let labels = resource.classification.iter().map(|word| format!("classification:{word}"));
        json!({
            "uid": resource.uri, "name": resource.uri, "type": text(&resource.kind), "role_id": 1, "role": "Target",
            "labels": labels.collect::<Vec<_>>(),
        })
    }

    /// Its place in a trace; when a span ended is said only where somebody knows.
    pub(super) fn trace(&self) -> Value {
        let record = self.record;
        let Some(trace) = record.trace_id else { return Value::Null };
        let outcome = self.answer.map(|answer| &answer.outcome);
        let took = outcome.and_then(|outcome| outcome.duration_ms);
        let end = took.map(|took| millis(record.time).saturating_add(took));
        let end = end.or_else(|| outcome.and_then(|outcome| outcome.time).map(millis));
        let span = record.span_id.zip(end).map(|(span, end)| {
            json!({
                "uid": span, "parent_uid": record.parent_span_id, "operation": self.operation(),
                "start_time": millis(record.time), "end_time": end.max(millis(record.time)),
            })
        });
        json!({ "uid": trace, "span": span })
    }

    /// What is given or taken away; never empty, for the schema asks for it.
    pub(super) fn privileges(&self) -> Value {
        let terms = class::changed(self.record).and_then(|(_, _, terms)| terms);
        let scopes = terms.iter().flat_map(|terms| &terms.scopes).map(|scope| scope.to_string());
        let role = terms.and_then(|terms| text(&terms.role));
        let mut all: Vec<String> = scopes.chain(role).collect();
        if all.is_empty() {
            let resource =
                self.record.effects.iter().flatten().next().and_then(|effect| effect.resource.as_ref());
            let resource = resource.or(self.record.resource.as_ref());
            all.push(resource.map_or_else(|| "unspecified".to_owned(), |resource| resource.uri.to_string()));
        }
        json!(all)
    }

    /// What a change of authority is about, where that is no user's right.
    pub(super) fn entity(&self) -> Value {
        let record = self.record;
        let changed = class::changed(record);
        let kind = changed.map_or(record.kind, |(kind, ..)| kind);
        let id = record.id.to_string();
        match kind {
            Kind::Credential => {
                let credential = changed.and_then(|(_, credential, _)| credential);
                let name = credential.and_then(|credential| credential.names().next()).map(str::to_owned);
                let what = credential.and_then(|credential| text(&credential.kind));
                json!({ "uid": name.unwrap_or(id), "type_id": 99, "type": what.unwrap_or_else(|| "credential".into()) })
            }
            Kind::Principal => json!({ "uid": id, "type_id": 2, "type": "User", "user": self.about() }),
            Kind::Policy => {
                let artifact = record.artifact.as_ref();
                let digest = artifact.and_then(|artifact| text(&artifact.digest));
                let uid = digest.or_else(|| Some(record.resource.as_ref()?.uri.to_string())).unwrap_or(id);
                json!({ "uid": uid, "type_id": 5, "type": "Policy", "policy": { "uid": uid } })
            }
            Kind::Tool if record.tool.is_some() => {
                let tool = record.tool.as_ref();
                let server =
                    tool.and_then(|tool| text(&tool.server)).map(|server| server + "/").unwrap_or_default();
                json!({
                    "uid": tool.map(|tool| format!("{server}{}", tool.name)), "type_id": 99, "type": "tool",
                    "version": tool.and_then(|tool| text(&tool.version)),
                })
            }
            Kind::Redaction => {
                let uid = record.resource.as_ref().map_or(id, |resource| resource.uri.to_string());
                json!({ "uid": uid, "type_id": 99, "type": "disclosure" })
            }
            other => {
                let uid = record.request.filter(|_| other == Kind::Approval).or(record.action);
                json!({ "uid": uid.map_or(id, |uid| uid.to_string()), "type_id": 99, "type": other.as_str() })
            }
        }
    }

    /// What Deed makes of it: verdicts and how each link is known.
    pub(super) fn enrichments(&self) -> Value {
        let Some(answer) = self.answer else { return Value::Null };
        let verdict = &answer.verdict;
        let one = |name: &str, value: &str, reasons: &[String]| json!({ "name": name, "value": value, "type": "verdict", "provider": PRODUCT.0, "data": { "reasons": reasons } });
        let class_reason = std::slice::from_ref(&verdict.class_reason);
        json!([
            one("verdict.class", verdict.class.as_str(), class_reason),
            one("verdict.attribution", verdict.attribution.value.as_str(), &verdict.attribution.reasons),
            one("verdict.authority", verdict.authority.value.as_str(), &verdict.authority.reasons),
            one("verdict.scope", verdict.scope.value.as_str(), &verdict.scope.reasons),
        ])
    }

    /// What OCSF has no place for.
    pub(super) fn unmapped(&self) -> Value {
        let record = self.record;
        let common = json!({
            "kind": record.kind, "basis": record.basis, "operation": self.operation(),
            "step_type": record.step_type, "task": text(&record.task),
            "permission": text(&record.permission), "environment": text(&record.environment),
            "submitter": record.submitter,
            "collector": record.source.as_ref().and_then(|source| text(&source.collector)),
            "artifact": record.artifact.as_ref().map(|artifact| json!(artifact)),
            "tool_digest": record.tool.as_ref().and_then(|tool| text(&tool.digest)),
            "effects": self.effects(),
            "integrity": self.integrity(),
        });
        let (Value::Object(mut all), Some(answer)) = (common, self.answer) else {
            return json!({ "kind": record.kind, "basis": record.basis, "operation": self.operation(),
                           "integrity": self.integrity(),
                           "effects": self.effects(), "action": record.action, "request": record.request });
        };
        let acted = &answer.executor;
        let mut executor =
            self.executor().map(|who| self.somebody(&who, Some(acted.edge))).unwrap_or_default();
        if self.names {
            executor["owner"] = json!(acted.owner);
            executor["sponsor"] = json!(acted.sponsor);
        }
        let chain = answer.chain.iter().map(|hop| {
            let who = self.somebody(&hop.principal, Some(hop.edge));
            json!({ "principal": who, "credential": hop.credential, "delegation": hop.delegation,
                    "scope": hop.scope, "edge": hop.edge })
        });
        let approvals = answer.approvals.iter().map(|approval| {
            json!({ "uid": approval.id, "by": approval.by.as_ref().map(|by| self.somebody(by, Some(approval.edge))),
                    "answer": approval.answer, "counts": approval.counts })
        });
        let credential = answer.credential.as_ref().map(|with| {
            json!({ "fingerprint": with.fingerprint, "id": with.id, "jti": with.jti, "type": with.kind,
                    "scopes": with.scopes, "parents": with.parents, "revoked": with.revoked, "rotated": with.rotated,
                    "upstream": with.upstream, "edge": with.edge })
        });
        let more = json!({
            "initiator_edge": answer.initiator.edge,
            "executor": executor,
            "delegation": chain.collect::<Vec<_>>(),
            "request": answer.request.as_ref().map(|request| json!({ "uid": request.id, "edge": request.edge })),
            "approvals": approvals.collect::<Vec<_>>(),
            "grant": answer.grant.as_ref().map(|grant| {
                json!({ "uid": grant.id, "role": grant.role, "scopes": grant.scopes, "expires": grant.expires,
                        "revoked": grant.revoked, "edge": grant.edge })
            }),
            "credential": credential,
            "decision": answer.decision.as_ref().map(|decision| {
                json!({ "errors": decision.errors, "obligations": decision.obligations, "edge": decision.edge })
            }),
            "outcome": { "status": answer.outcome.status, "edge": answer.outcome.edge,
                         "compensates": answer.outcome.compensates, "retry_of": answer.outcome.retry_of },
        });
        if let Value::Object(more) = more {
            all.extend(more);
        }
        Value::Object(all)
    }

    fn effects(&self) -> Value {
        let effects = self.record.effects.iter().flatten().map(|effect| {
            let terms = effect.terms.as_ref();
            let names = |credential: &deed_record::Credential<'_>| {
                credential.names().map(str::to_owned).collect::<Vec<_>>()
            };
            json!({
                "kind": effect.kind, "change": terms.and_then(|terms| terms.change),
                "subject": terms.and_then(|terms| terms.subject.as_ref()).and_then(|who| who.account),
                "role": terms.and_then(|terms| text(&terms.role)),
                "credential": effect.credential.as_ref().map(names),
                "resource": effect.resource.as_ref().map(|resource| resource.uri.to_string()),
            })
        });
        json!(effects.collect::<Vec<_>>())
    }

    fn somebody(&self, who: &Who, edge: Option<Edge>) -> Value {
        let mut members = Map::new();
        members.insert("account".into(), json!(who.account));
        members.insert("type".into(), json!(who.kind));
        members.insert("instance".into(), json!(who.instance));
        members.insert("vendor".into(), json!(who.vendor));
        members.insert("edge".into(), json!(edge));
        if self.names {
            members.insert("key".into(), json!(who.key));
            members.insert("name".into(), json!(who.name));
            members.insert("principal".into(), json!(who.principal));
        }
        Value::Object(members)
    }
}

fn text(value: &Option<deed_record::Text<'_>>) -> Option<String> {
    value.as_ref().map(|text| text.to_string())
}
