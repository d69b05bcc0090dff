//! AuthZEN Authorization API 1.0: any application asks before it acts, and what was decided is recorded.
//!
//! The application enforces, so that the records are `reported`; how the action ended it says later, as a record
//! of kind `outcome` that names the action.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use deed_gateway::{Answer, Intent, NO_SERVER, Place, Who};
use deed_identity::principal_name;
use deed_policy::Obligations;
use deed_record::{PrincipalType, Ruling, TraceId};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    api::json,
    app::App,
    auth::{Caller, Writing},
    body::Received,
    force::TENANT,
    problem::{Kind, Problem},
};

/// Evaluations of one request.
const MOST: usize = 100;

/// Somebody or something, as AuthZEN names it.
#[derive(Clone, Deserialize)]
struct Entity {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    /// Known to the caller, and not looked at here.
    #[serde(default, rename = "properties")]
    _properties: Option<Value>,
}

#[derive(Clone, Deserialize)]
struct Action {
    name: String,
    #[serde(default, rename = "properties")]
    _properties: Option<Value>,
}

/// One question, or what the questions of a request have in common.
#[derive(Clone, Deserialize)]
struct Evaluation {
    #[serde(default)]
    subject: Option<Entity>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    resource: Option<Entity>,
    #[serde(default)]
    context: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Evaluations {
    #[serde(default)]
    subject: Option<Entity>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    resource: Option<Entity>,
    #[serde(default)]
    context: Option<Box<RawValue>>,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
    #[serde(default)]
    options: Options,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    evaluations_semantic: Semantic,
}

/// Which evaluations are made (section 7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Semantic {
    #[default]
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// What of `context` is looked at.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Context {
    arguments: Option<Box<RawValue>>,
    deed: Deed,
}

/// `context.deed`: what AuthZEN has no word for.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Deed {
    initiator: Option<Entity>,
    trace_id: Option<TraceId>,
    task: Option<String>,
    credential: Option<Value>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Decision {
    decision: bool,
    context: Map<String, Value>,
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One question.
pub(crate) async fn evaluation(
    State(app): State<Arc<App>>,
    Writing(caller): Writing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: Evaluation = Received::read(&app, &headers, body).await?.json()?;
    answered(&headers, &decide(&app, &caller, &asked).await?)
}

/// Several questions.
pub(crate) async fn evaluations(
    State(app): State<Arc<App>>,
    Writing(caller): Writing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Evaluations { subject, action, resource, context, evaluations, options } =
        Received::read(&app, &headers, body).await?.json()?;
    let common = Evaluation { subject, action, resource, context };
    // Without a list it is one question (section 7.1).
    if evaluations.is_empty() {
        return answered(&headers, &decide(&app, &caller, &common).await?);
    }
    if evaluations.len() > MOST {
        return Err(Problem::new(Kind::BadRequest, format!("more than {MOST} evaluations in one request")));
    }
    let mut decisions = Vec::with_capacity(evaluations.len());
    for evaluation in evaluations {
        let asked = Evaluation {
            subject: evaluation.subject.or_else(|| common.subject.clone()),
            action: evaluation.action.or_else(|| common.action.clone()),
            resource: evaluation.resource.or_else(|| common.resource.clone()),
            context: evaluation.context.or_else(|| common.context.clone()),
        };
        let decision = decide(&app, &caller, &asked).await?;
        let is_last = match options.evaluations_semantic {
            Semantic::ExecuteAll => false,
            Semantic::DenyOnFirstDeny => !decision.decision,
            Semantic::PermitOnFirstPermit => decision.decision,
        };
        decisions.push(decision);
        if is_last {
            break;
        }
    }
    answered(&headers, &json!({ "evaluations": decisions }))
}

/// `/.well-known/authzen-configuration` (section 9).
pub(crate) async fn configuration(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = app.engine.settings().home().unwrap_or_else(|| format!("http://{host}"));
    json(&json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
    }))
}

/// Decides, and records it unless it is only tried.
async fn decide(app: &App, caller: &Caller, asked: &Evaluation) -> Result<Decision, Problem> {
    let context: Context = match &asked.context {
        Some(context) => serde_json::from_str(context.get())
            .map_err(|error| Problem::new(Kind::BadRequest, format!("context: {error}")))?,
        None => Context::default(),
    };
    let is_tried = context.deed.dry_run;
    let intent = intent(caller, asked, context)?;
    let tenant = caller.tenant().unwrap_or(TENANT);
    let decisions = app.engine.decisions();
    if is_tried {
        let (effect, reason, obligations) = decisions.consider(&intent, tenant);
        return Ok(told(effect, &reason, &obligations, None));
    }
    let answer = decisions.intend(&intent, tenant).await?;
    if answer.unrecordable {
        let why = format!("{}; that it was asked is recorded as `{}`", answer.reason, answer.id);
        return Err(Problem::new(Kind::Record, why));
    }
    Ok(told(answer.effect, &answer.reason, &answer.obligations, Some(&answer)))
}

fn told(effect: Ruling, reason: &str, obligations: &Obligations, answer: Option<&Answer>) -> Decision {
    let mut deed = Map::from_iter([("effect".to_owned(), Value::from(effect.as_str()))]);
    // Whoever enforces keeps to them too (P6); of what is not done, there are none.
    if effect == Ruling::Allow {
        deed.insert("obligations".into(), obligations.to_texts().into());
    }
    if let Some(answer) = answer {
        deed.insert("action_id".into(), answer.id.to_string().into());
        if let Some(spooled) = answer.spooled {
            deed.insert("spooled".into(), spooled.to_string().into());
        }
        if effect == Ruling::StepUp {
            // What a human answers: deed approve ID.
            deed.insert("approval_id".into(), answer.id.to_string().into());
        }
    }
    let mut context = Map::from_iter([("deed".to_owned(), Value::from(deed))]);
    if effect != Ruling::Allow {
        context.insert("reason_admin".into(), json!({ "en": reason }));
    }
    Decision { decision: effect == Ruling::Allow, context }
}

fn intent(caller: &Caller, asked: &Evaluation, context: Context) -> Result<Intent, Problem> {
    let missing = |what: &str| Problem::new(Kind::BadRequest, format!("`{what}` is missing"));
    let subject = asked.subject.as_ref().ok_or_else(|| missing("subject"))?;
    let action = asked.action.as_ref().ok_or_else(|| missing("action"))?;
    let resource = asked.resource.as_ref().ok_or_else(|| missing("resource"))?;
    for (what, text) in [
        ("subject.id", &subject.id),
        ("subject.type", &subject.kind),
        ("action.name", &action.name),
        ("resource.id", &resource.id),
        ("resource.type", &resource.kind),
    ] {
        if text.is_empty() {
            return Err(Problem::new(Kind::BadRequest, format!("`{what}` is empty")));
        }
    }
    let Deed { initiator, trace_id, task, credential, .. } = context.deed;
    let (server, name, uri) = match resource.id.split_once('/') {
        Some((server, name)) if resource.kind == "tool" => (server.to_owned(), Some(name.to_owned()), None),
        _ => (NO_SERVER.to_owned(), None, Some(named(resource))),
    };
    let initiator = initiator.as_ref().map(|entity| who("context.deed.initiator", entity)).transpose()?;
    let executor = who("subject", subject)?;
    let fresh = Intent::reported(&caller.sender.name, trace_id)?;
    Ok(Intent {
        server,
        method: action.name.clone(),
        name,
        uri,
        arguments: context.arguments,
        task,
        credential: credential.and_then(|credential| serde_json::value::to_raw_value(&credential).ok()),
        place: Place { initiator, executor, ..fresh.place },
        ..fresh
    })
}

/// Whom `entity`, which stands at `at`, names; a `user` is a human, and the same one as the human of that name.
fn who(at: &str, entity: &Entity) -> Result<Who, Problem> {
    let key = principal_name(&named(entity)).into_owned();
    let kind = match &*entity.kind {
        "user" => PrincipalType::Human,
        kind => kind.parse().unwrap_or(PrincipalType::Unknown),
    };
    let who = Who { kind, key: Some(key), name: None, instance: None };
    who.visible().map_err(|why| Problem::new(Kind::BadRequest, format!("`{at}`: {why}")))
}

/// `type:id`, unless the id says already whose it is.
fn named(entity: &Entity) -> String {
    match entity.id.contains(':') {
        true => entity.id.clone(),
        false => format!("{}:{}", entity.kind, entity.id),
    }
}

/// The answer, with the id by which the caller knows the request (section 10.1.3).
fn answered(headers: &HeaderMap, answer: &impl Serialize) -> Result<Response, Problem> {
    let mut response = json(answer)?;
    if let Some(id) = headers.get(X_REQUEST_ID) {
        response.headers_mut().insert(X_REQUEST_ID, id.clone());
    }
    Ok(response)
}
