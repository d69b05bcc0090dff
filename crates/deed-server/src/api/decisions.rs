//! What doors of this machine ask: `POST /v1/intents`, `/v1/waits`, `/v1/listings`,
//! `/v1/outcomes`; and what people do about decisions: `/v1/approvals`, `POST /v1/policies`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use deed_gateway::{Conclusion, Intent, Listing, Reply, ReplyError, Suspension, Wait};
use deed_record::{RecordId, is_label};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{Named, json, with_type},
    app::App,
    auth::{Answering, Enforcing, Operating, Reading},
    body::Received,
    force::{PublishError, TENANT},
    problem::{Kind, Problem},
};

/// How long a suspension waits for what records say of tenants: it is urgent.
const FOLDED_WITHIN: Duration = Duration::from_millis(500);
/// No question waits longer for a human.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Decides on an intent, and answers once that is recorded (INVARIANT D1).
pub(crate) async fn intend(
    State(app): State<Arc<App>>,
    Enforcing(process): Enforcing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let intent: Intent = Received::read(&app, &headers, body).await?.json()?;
    let tenant = tenant(intent.tenant.as_deref())?;
    json(&app.engine.decisions().intend_for(process, &intent, tenant).await?)
}

/// Waits for a human to answer a step-up.
pub(crate) async fn wait(
    State(app): State<Arc<App>>,
    Enforcing(process): Enforcing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Wait { answer, seconds } = Received::read(&app, &headers, body).await?.json()?;
    let patience = Duration::from_secs(seconds).min(LONGEST_WAIT);
    json(&app.engine.decisions().wait_for(process, &answer, patience).await?)
}

/// Lists what waits for a human: step-ups, and tools whose definition changed; of the caller's tenant, where it has one.
pub(crate) async fn approvals(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
) -> Result<Response, Problem> {
    let waiting = app.engine.decisions().waiting(&caller.sender.name, caller.tenant()).await?;
    let mut tools = app.ask(|engine| Ok(engine.decisions().held_tools()?)).await?;
    tools.retain(|tool| caller.tenant().is_none_or(|tenant| tool.tenant == tenant));
    json(&json!({ "approvals": waiting, "tools": tools }))
}

/// Answers a step-up. A token says nothing of who holds it, and answers for nobody.
pub(crate) async fn reply(
    State(app): State<Arc<App>>,
    _: Answering,
    Named(id): Named<RecordId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let reply: Reply = Received::read(&app, &headers, body).await?.json()?;
    answer(&app, id, &reply).await
}

/// Has an answer recorded, whichever way it came, and lets it count.
pub(super) async fn answer(app: &App, id: RecordId, reply: &Reply) -> Result<Response, Problem> {
    if let Some(other) = reply.id.filter(|other| *other != id) {
        let why = format!("the answer is to `{other}`, and was sent to `{id}`: nothing is answered by it");
        return Err(Problem::new(Kind::BadRequest, why));
    }
    let (engine, said) = (app.engine.clone(), reply.clone());
    let replied = App::settle(async move { engine.decisions().reply(id, &said).await }).await?;
    let replied = replied.map_err(|error| match error {
        ReplyError::Unknown(_) => Problem::new(Kind::NotFound, error.to_string()),
        ReplyError::NotTheirs(why) => Problem::new(Kind::NotTheirs, why),
        ReplyError::Unavailable(error) => error.into(),
    })?;
    let mut answer = json!({ "approval_id": replied.record, "action_id": id, "approved": reply.approved });
    if let Some(waits) = replied.waits {
        answer["waits"] = waits.into();
    }
    json(&answer)
}

/// Says how a step-up is answered, to whoever a client shows it to. It tells nothing of the action, and looking at
/// it approves nothing.
pub(crate) async fn approval_page(Named(id): Named<RecordId>) -> Response {
    let page = include_str!("approval.html").replace("{id}", &id.to_string());
    let mut response = with_type(page, "text/html; charset=utf-8");
    let policy =
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Stops somebody or something at every door, or lets it go on.
pub(crate) async fn suspend(
    State(app): State<Arc<App>>,
    _: Operating,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let said: Suspension = Received::read(&app, &headers, body).await?.json()?;
    // It holds for every tenant, and so is looked for in the records of all of them.
    let tenants = app.ask(|engine| Ok(engine.tenants(FOLDED_WITHIN))).await.unwrap_or_default();
    let tenants = Arc::new(tenants);
    let (asked, among) = (said.clone(), tenants.clone());
    let credential = app.ask(move |engine| Ok(engine.decisions().names_credential(&asked, &among)?)).await;
    let said = Suspension { credential: credential.unwrap_or(said.credential), ..said };
    let asked = said.clone();
    let before = app.ask(move |engine| Ok(engine.decisions().is_suspended(&asked, TENANT)?)).await.ok();
    let (engine, asked) = (app.engine.clone(), said.clone());
    let suspending = async move {
        let names = engine.decisions().suspend(&asked, TENANT).await;
        if let Some(tokens) = engine.tokens() {
            tokens.look_again();
        }
        names
    };
    let names = App::settle(suspending).await??;
    let changed = if said.suspended { "suspended" } else { "resumed" };
    // It holds by now, and nothing that cannot be read makes it fail.
    let known = app.ask(move |engine| Ok(engine.decisions().knows(&said, &tenants)?)).await.ok();
    json(&json!({ changed: names, "known": known, "before": before }))
}

/// Notes what a server offers, and says what of it the caller may see.
pub(crate) async fn catalog(
    State(app): State<Arc<App>>,
    _: Enforcing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let listing: Listing = Received::read(&app, &headers, body).await?.json()?;
    json(&app.engine.decisions().catalog(&listing, TENANT).await?)
}

/// Records how an action ended.
pub(crate) async fn conclude(
    State(app): State<Arc<App>>,
    _: Enforcing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conclusion: Conclusion = Received::read(&app, &headers, body).await?.json()?;
    let tenant = tenant(conclusion.tenant.as_deref())?.to_owned();
    json(&app.engine.decisions().conclude(&[conclusion], &tenant).await?)
}

/// Whose what a door of this machine asks is: the tenant that it verified, else that of whoever is bound to none.
fn tenant(said: Option<&str>) -> Result<&str, Problem> {
    match said {
        None => Ok(TENANT),
        Some(tenant) if is_label(tenant) => Ok(tenant),
        Some(_) => {
            Err(Problem::new(Kind::BadRequest, "`tenant`: expected 1 to 64 letters, digits, `-`, `_` or `.`"))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    files: BTreeMap<String, String>,
    /// Who publishes it, as the system knows them.
    by: String,
}

/// Records a policy set and puts it into force.
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    _: Operating,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Publication { files, by } = Received::read(&app, &headers, body).await?.json()?;
    let answer = app.ask(move |engine| {
        let (set, receipt, replaced) = engine.publish(files, &by).map_err(|error| match error {
            PublishError::Wrong(error) => Problem::new(Kind::Policy, error.to_string()),
            PublishError::Unrecorded(error) => error.into(),
        })?;
        let policies = set.policies().len();
        Ok(json!({ "policy_set": set.digest(), "policies": policies, "receipt": receipt, "replaced": replaced }))
    });
    json(&answer.await?)
}

/// Derives a recorded decision again.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(id): Named<RecordId>,
) -> Result<Response, Problem> {
    let answer = app.ask(move |engine| {
        let replayed = engine.replay(id, caller.tenant());
        let replayed = replayed.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
        replayed.ok_or_else(|| Problem::new(Kind::NotFound, format!("no record `{id}` holds a decision")))
    });
    json(&answer.await?)
}
