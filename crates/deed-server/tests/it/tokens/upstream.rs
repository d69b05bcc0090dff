//! What a server behind the gateway is shown: it verifies that by itself, with keys fetched over HTTP, and keeps a log of
//! its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::post as posted,
};
use deed_ledger::Key;
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::world::{Ask, TICKETS, World, ann, seconds};
use crate::support::{Answer, by, call, get, post, with};

/// What the server calls itself.
const ITSELF: &str = "https://tickets.internal";

/// A server that takes nobody without a token that it can verify.
#[derive(Default)]
struct Verifier {
    deed: OnceLock<SocketAddr>,
    /// Claims of each call that it has done.
    log: Mutex<Vec<Value>>,
    /// Every value of `Authorization` that it has heard.
    heard: Mutex<Vec<String>>,
}

impl Verifier {
    async fn start() -> (Arc<Self>, String) {
        let verifier = Arc::new(Verifier::default());
        let router = Router::new().route("/mcp", posted(answer)).with_state(verifier.clone());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (verifier, url)
    }

    /// The claims of a token, if it is for this server and of that issuer.
    async fn claims(&self, token: &str) -> Option<Value> {
        let deed = *self.deed.get().unwrap();
        let metadata = call(deed, get("/.well-known/oauth-authorization-server")).await.json();
        let jwks = metadata["jwks_uri"].as_str()?.strip_prefix(metadata["issuer"].as_str()?)?.to_owned();
        let jwks: JwkSet = serde_json::from_value(call(deed, get(&jwks)).await.json()).ok()?;
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = DecodingKey::from_jwk(jwks.find(&header.kid?)?).ok()?;
        let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.set_audience(&[ITSELF]);
        validation.set_issuer(&[metadata["issuer"].as_str()?]);
        validation.leeway = 0;
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims;
        (header.typ.as_deref() == Some("at+jwt")).then_some(claims)
    }

    fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(State(verifier): State<Arc<Verifier>>, headers: HeaderMap, body: Bytes) -> Response {
    let shown = headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
    verifier.heard.lock().unwrap().push(shown.clone());
    let Some(claims) = verifier.claims(shown.strip_prefix("Bearer ").unwrap_or_default()).await else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    verifier.log.lock().unwrap().push(claims);
    let message: Value = serde_json::from_slice(&body).unwrap();
    let result = json!({ "content": [{ "type": "text", "text": "done" }] });
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// A gateway before a server that takes tokens; `more` of its settings.
async fn start(token: &str, more: &str) -> (World, Arc<Verifier>) {
    let (verifier, url) = Verifier::start().await;
    let world = World::serving(&format!("url = \"{url}\"\ntoken = {token}\n{more}")).await;
    verifier.deed.set(world.http()).unwrap();
    (world, verifier)
}

fn tool(arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "close", "arguments": arguments } })
}

fn closing() -> crate::support::Plain {
    let request = post("/mcp/tickets", "application/json", tool(&json!({})).to_string());
    with(request, "accept", "application/json, text/event-stream")
}

async fn close(world: &World, token: &str) -> Answer {
    call(world.http(), by(token, closing())).await
}

/// Coder's token on behalf of Ann, for the gateway.
async fn coders(world: &World, more: &str) -> String {
    world.token(Ask::of(&ann(json!({})), "coder").with(&format!("resource={TICKETS}{more}"))).await
}

async fn jti(world: &World, token: &str) -> String {
    world.introspect(token).await["jti"].as_str().unwrap().to_owned()
}

fn is_done(answer: &Answer) -> bool {
    answer.status == 200 && answer.json()["result"]["content"][0]["text"] == "done"
}

/// Records of the tenant that name a credential, oldest first.
fn naming(world: &World, name: &str) -> Vec<Value> {
    let ledger = world.server.engine().ledger();
    let mut leaves = ledger.lookup(&Key::Credential { tenant: "acme", name }, 99, None).unwrap();
    leaves.sort_unstable();
    leaves.iter().map(|leaf| serde_json::from_slice(&ledger.leaf(*leaf).unwrap().leaf).unwrap()).collect()
}

fn of_kind<'r>(records: &'r [Value], kind: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

const NARROW: &str = "{ audience = \"https://tickets.internal\", scope = \"tickets:read tickets:admin\" }";

/// I1 from end to end: a ticket, its approval and the role given on it, a call through the gateway with a token derived
/// from a person's sign-in, and the log of the system behind.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_behind_logs_is_the_same_action_with_the_whole_chain() {
    let (world, verifier) = start(NARROW, "").await;
    let callers = coders(&world, "").await;
    assert!(is_done(&close(&world, &callers).await));
    let theirs = verifier.log()[0]["jti"].as_str().unwrap().to_owned();
    let told = |system: &str, event: &str, more: Value| {
        let mut record = json!({ "kind": "observation", "basis": "imported", "time": deed_ledger::now(),
                                 "source": { "system": system, "event_id": event } });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let sender =
            deed_ledger::Sender { tenant: Some("acme".into()), name: "importer".into(), ours: false };
        let ledger = world.server.engine().ledger();
        let receipts = ledger.begin(record.to_string().as_bytes(), &sender).unwrap().wait().unwrap();
        receipts[0].as_ref().unwrap().id.to_string()
    };
    let coder = json!({ "key": "agent:coder", "type": "agent" });
    let early = "2026-01-01T00:00:00Z";
    let ticket = json!({ "kind": "request", "time": early, "initiator": { "key": "oidc:idp.example/ann", "type": "human" },
                         "terms": { "change": "requested", "role": "closer", "subject": coder } });
    let ticket = told("jira:acme", "OPS-1", ticket);
    let approval = json!({ "kind": "approval", "time": early, "request": ticket,
                           "terms": { "answer": "approved", "by": { "key": "jira:bob", "type": "human" } } });
    let approval = told("jira:acme", "OPS-1/approved", approval);
    let role = json!({ "time": early, "executor": { "key": "aws:root", "type": "unknown" }, "request": ticket,
                       "operation": "iam:AttachRolePolicy",
                       "effects": [{ "kind": "grant", "terms": { "change": "issued", "role": "closer", "subject": coder } }] });
    let role = told("cloudtrail:1", "role", role);
    let seen = json!({ "executor": coder, "operation": "close", "credential": { "jti": theirs }, "request": ticket,
                       "outcome": { "status": "success" } });
    let seen = told("cloudtrail:1", "seen", seen);

    let explain = async |id: &str| call(world.http(), get(&format!("/v1/actions/{id}/explain"))).await.json();
    let mut answer = explain(&seen).await;
    // The gateway records how the call ended after it has answered.
    for _ in 0..200 {
        if answer["outcome"]["edge"] == "corroborated" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = explain(&seen).await;
    }
    assert_eq!(
        (&answer["action"]["kind"], &answer["action"]["basis"]),
        (&json!("intent"), &json!("enforced")),
        "{answer:#}"
    );
    let intent = answer["action"]["id"].as_str().unwrap().to_owned();
    let mut other = explain(&intent).await;
    // Another checkpoint may have been signed meanwhile.
    for name in ["checkpoint_size", "checkpoint_time"] {
        other["evidence"][name] = answer["evidence"][name].clone();
    }
    assert_eq!(other, answer);
    assert_eq!(answer["counterparts"][0]["record"], json!(seen));
    assert_eq!(answer["counterparts"][0]["edge"], "corroborated");
    // Who asked, who approved, what was given, with what, what was decided, what happened.
    assert_eq!(
        (&answer["initiator"]["key"], &answer["initiator"]["edge"]),
        (&json!("oidc:idp.example/ann"), &json!("proven"))
    );
    assert_eq!(answer["request"]["id"], json!(ticket));
    assert_eq!(answer["approvals"][0]["id"], json!(approval));
    assert_eq!((&answer["grant"]["edge"], &answer["decision"]["edge"]), (&json!("proven"), &json!("proven")));
    assert_eq!(answer["credential"]["upstream"], json!(theirs));
    assert_eq!(
        (&answer["outcome"]["status"], &answer["outcome"]["edge"]),
        (&json!("success"), &json!("corroborated"))
    );
    let evidence = answer["evidence"]["records"].as_array().unwrap();
    assert!(evidence.iter().any(|record| record["id"] == json!(seen)), "{evidence:#?}");

    // And from the ticket to all of it.
    let led = call(world.http(), get(&format!("/v1/records/{ticket}/led-to"))).await.json();
    let ids = |of: &str| {
        led[of].as_array().unwrap().iter().map(|came| came["id"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids("approvals"), ids("grants"), ids("actions")),
        (vec![&*approval], vec![&*role], vec![&*intent]),
        "{led:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_shown_a_token_of_its_own_and_both_ids_are_on_the_record() {
    let (world, verifier) = start(NARROW, "").await;
    let callers = coders(&world, "").await;
    for _ in 0..2 {
        let answer = close(&world, &callers).await;
        assert!(is_done(&answer), "{}", answer.text());
    }
    // The server knows for whom and who acts, and has the right to no more than both allow.
    let log = verifier.log();
    let claims = &log[0];
    let own = world.introspect(&callers).await;
    assert_eq!((&claims["sub"], &claims["act"]), (&own["sub"], &own["act"]));
    assert_eq!(
        (&claims["sub"], &claims["act"]["sub"]),
        (&json!("oidc:idp.example/ann"), &json!("agent:coder"))
    );
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!([ITSELF]), &json!("tickets:read")));
    assert_eq!((&claims["deed"]["relation"], &claims["deed"]["parent"]), (&json!("upstream"), &own["jti"]));
    assert!(claims["exp"].as_i64() <= own["exp"].as_i64());
    // It is kept for the same token, and another one has another.
    assert_eq!(log[0]["jti"], log[1]["jti"]);
    let others = coders(&world, "").await;
    assert!(is_done(&close(&world, &others).await));
    assert_ne!(verifier.log()[2]["jti"], log[0]["jti"]);
    for heard in verifier.heard() {
        assert!(!heard.contains(&callers) && !heard.contains(&others), "the caller's own");
    }

    // From the server's log to the record: the issue, before what was done with it.
    let (theirs, ours) = (claims["jti"].as_str().unwrap(), own["jti"].as_str().unwrap());
    let records = naming(&world, theirs);
    assert_eq!((records[0]["kind"].as_str(), records[0]["id"].as_str()), (Some("credential"), Some(theirs)));
    assert_eq!(
        (&records[0]["credential"]["parent"], &records[0]["terms"]["change"]),
        (&own["jti"], &json!("issued"))
    );
    let intents = of_kind(&records, "intent");
    assert_eq!(intents.len(), 2, "{records:#?}");
    for intent in &intents {
        assert_eq!(
            (&intent["credential"]["jti"], &intent["credential"]["upstream"]),
            (&json!(ours), &json!(theirs))
        );
    }
    let found = call(world.http(), get(&format!("/v1/actions?tenant=acme&credential={theirs}"))).await.json();
    let ids = |actions: &Value| {
        let mut ids: Vec<String> = actions
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let mut expected: Vec<_> =
        intents.iter().map(|intent| intent["id"].as_str().unwrap().to_owned()).collect();
    expected.sort();
    assert_eq!(ids(&found["actions"]), expected, "{found}");
    let explained = call(world.http(), get(&format!("/v1/actions/{}/explain", expected[0]))).await.json();
    assert_eq!(
        (&explained["credential"]["jti"], &explained["credential"]["upstream"]),
        (&json!(ours), &json!(theirs))
    );

    // No token stands in the store, neither clear nor in any file of it.
    let shown: Vec<String> =
        verifier.heard().iter().map(|heard| heard.strip_prefix("Bearer ").unwrap().to_owned()).collect();
    assert_eq!(world.introspect(&shown[0]).await["active"], true);
    let ledger = world.server.engine().ledger();
    for leaf in 0..ledger.size() {
        let mut all = ledger.leaf(leaf).unwrap().leaf.to_vec();
        all.extend(ledger.disclosures(leaf).unwrap().iter().flat_map(|opened| opened.json.to_vec()));
        let text = String::from_utf8_lossy(&all).into_owned();
        for secret in shown.iter().chain([&callers]) {
            let signature = secret.rsplit('.').next().unwrap();
            assert!(!text.contains(signature), "{text}");
        }
    }
    for file in walk(world.dir()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(memchr::memmem::find(&bytes, shown[0].as_bytes()).is_none(), "{}", file.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let files = entries.flat_map(|entry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => walk(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    });
    files.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_no_longer_than_what_the_caller_showed() {
    let (world, verifier) = start(NARROW, "").await;
    let short = coders(&world, "&deed_expires_in=40").await;
    let ends = world.introspect(&short).await["exp"].clone();
    for _ in 0..3 {
        assert!(is_done(&close(&world, &short).await));
    }
    let log = verifier.log();
    assert_eq!(log[0]["exp"], ends);
    // It cannot be made to hold longer, and is not issued for every call.
    assert!(log.iter().all(|claims| claims["jti"] == log[0]["jti"]), "{log:#?}");

    let (world, verifier) =
        start("{ audience = \"https://tickets.internal\", seconds = 7 }", "wait_seconds = 0").await;
    assert!(is_done(&close(&world, &coders(&world, "&scope=tickets:write").await).await));
    let claims = &verifier.log()[0];
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 7);
    assert_eq!(claims["scope"], "tickets:write", "all of the caller's where the settings say nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_makes_room_for_another() {
    let (world, verifier) =
        start("{ audience = \"https://tickets.internal\", seconds = 2 }", "wait_seconds = 0").await;
    let callers = coders(&world, "").await;
    let until = seconds() + 4;
    while seconds() < until {
        assert!(is_done(&close(&world, &callers).await));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let log = verifier.log();
    let mut ids: Vec<&Value> = log.iter().map(|claims| &claims["jti"]).collect();
    ids.dedup();
    assert!((2..log.len()).contains(&ids.len()), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_or_suspension_ends_its_use_at_once() {
    let (world, verifier) = start(NARROW, "").await;
    let callers = coders(&world, "").await;
    assert!(is_done(&close(&world, &callers).await));
    let shown = verifier.heard()[0].strip_prefix("Bearer ").unwrap().to_owned();
    let theirs = verifier.log()[0]["jti"].as_str().unwrap().to_owned();

    let suspend = async |what: &str, suspended: bool| {
        let body = json!({
            "what": what, "suspended": suspended, "credential": !what.contains(':'),
            "by": { "type": "human", "key": "human:op" },
        });
        let request = post("/v1/suspensions", "application/json", body.to_string());
        assert_eq!(call(world.http(), request).await.status, 200);
    };
    for what in ["agent:coder", "oidc:idp.example/ann", &jti(&world, &callers).await] {
        suspend(what, true).await;
        assert_eq!(world.introspect(&shown).await, json!({ "active": false }), "{what}");
        assert_eq!(close(&world, &callers).await.status, 401, "{what}");
        suspend(what, false).await;
        assert!(is_done(&close(&world, &callers).await), "{what}");
    }
    // The token for the server alone is suspended: it is shown no more, and another one takes its place.
    suspend(&theirs, true).await;
    let before = verifier.log().len();
    assert!(is_done(&close(&world, &callers).await));
    assert_ne!(verifier.log()[before]["jti"], json!(theirs));

    let heard = verifier.heard().len();
    assert_eq!(world.revoke(&callers, Some("coder")).await.status, 200);
    assert_eq!(world.introspect(&shown).await, json!({ "active": false }));
    assert_eq!(close(&world, &callers).await.status, 401);
    assert_eq!(verifier.heard().len(), heard, "the server heard nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_good_for_nothing_else() {
    let (world, verifier) = start(NARROW, "").await;
    let callers = coders(&world, "").await;
    assert!(is_done(&close(&world, &callers).await));
    let shown = verifier.heard()[0].strip_prefix("Bearer ").unwrap().to_owned();
    assert_eq!(close(&world, &shown).await.status, 401, "it is not for the gateway");
    for agent in ["coder", "reviewer"] {
        let refused = world.ask(Ask::of(&shown, agent)).await;
        assert_eq!(refused.json()["error"], "unauthorized_client", "{agent}");
    }
    // Whoever acts may revoke it, and the caller's own stays as it is.
    assert_eq!(world.revoke(&shown, Some("coder")).await.status, 200);
    assert_eq!(world.introspect(&shown).await, json!({ "active": false }));
    assert_eq!(world.introspect(&callers).await["active"], true);
    assert!(is_done(&close(&world, &callers).await));
    assert_ne!(verifier.log()[0]["jti"], verifier.log()[1]["jti"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_there_is_no_token_and_no_call() {
    // The first call needs a token; the second one has it already.
    for calls in 0..2 {
        let (world, verifier) = start(NARROW, "").await;
        let callers = coders(&world, "").await;
        for _ in 0..calls {
            assert!(is_done(&close(&world, &callers).await));
        }
        let ledger = world.server.engine().ledger().clone();
        tokio::task::spawn_blocking(move || ledger.close()).await.unwrap().unwrap();
        let answer = close(&world, &callers).await;
        assert_eq!(answer.json()["result"]["isError"], true, "{}", answer.text());
        assert!(answer.text().contains("the recorder cannot write"), "{}", answer.text());
        assert_eq!(verifier.heard().len(), calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_nothing_there_is_told_what_it_takes() {
    let (world, verifier) =
        start("{ audience = \"https://tickets.internal\", scope = \"tickets:admin\" }", "").await;
    let answer = close(&world, &coders(&world, "").await).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header(header::WWW_AUTHENTICATE);
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"tickets:admin\""),
        "{challenge}"
    );
    assert_eq!(verifier.heard(), Vec::<String>::new());
    let ledger = world.server.engine().ledger();
    let last: Value = serde_json::from_slice(&ledger.leaf(ledger.size() - 1).unwrap().leaf).unwrap();
    assert_eq!((&last["tenant"], &last["outcome"]["code"]), (&json!("acme"), &json!("insufficient_scope")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_of_the_caller_the_settings_say_who_and_what() {
    let (world, verifier) =
        start(NARROW, "as = \"agent:cron\"\nfor = \"human:bob\"\nrequire_token = false").await;
    let answer = call(world.http(), closing()).await;
    assert!(is_done(&answer), "{}", answer.text());
    let claims = &verifier.log()[0];
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("human:bob"), &json!("agent:cron")));
    assert_eq!(claims["scope"], "tickets:admin tickets:read");
    let found =
        call(world.http(), get(&format!("/v1/actions?credential={}", claims["jti"].as_str().unwrap())))
            .await
            .json();
    let action = found["actions"][0]["id"].as_str().unwrap();
    let explained = call(world.http(), get(&format!("/v1/actions/{action}/explain"))).await.json();
    // What Deed issues on the settings' word proves nobody.
    assert_eq!(explained["credential"]["upstream"], claims["jti"]);
    assert_eq!(
        (&explained["credential"]["jti"], &explained["credential"]["edge"]),
        (&Value::Null, &json!("missing"))
    );
    assert_eq!(explained["initiator"]["edge"], "asserted");

    let (world, verifier) = start(NARROW, "require_token = false").await;
    let answer = call(world.http(), closing()).await;
    assert!(answer.text().contains("nobody says whose"), "{}", answer.text());
    assert_eq!(verifier.heard(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_own_token_stands_for_the_person_and_the_client() {
    let (world, verifier) = start(NARROW, "").await;
    let person = ann(json!({ "aud": TICKETS, "scope": "tickets:read" }));
    assert!(is_done(&close(&world, &person).await));
    let claims = &verifier.log()[0];
    assert_eq!(claims["sub"], "oidc:idp.example/ann");
    assert_eq!(claims["act"]["sub"], "oidc:idp.example/desktop");
    assert_eq!(claims["scope"], "tickets:read");
    let fingerprint = deed_token::Fingerprint::of(&person).to_string();
    let issue = naming(&world, claims["jti"].as_str().unwrap());
    assert_eq!(issue[0]["credential"]["parent"], json!(fingerprint));
    let body = json!({
        "what": fingerprint, "suspended": true, "credential": true,
        "by": { "type": "human", "key": "human:op" },
    });
    assert_eq!(
        call(world.http(), post("/v1/suspensions", "application/json", body.to_string())).await.status,
        200
    );
    let shown = verifier.heard()[0].strip_prefix("Bearer ").unwrap().to_owned();
    assert_eq!(world.introspect(&shown).await, json!({ "active": false }));
    assert_eq!(close(&world, &person).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_not_made_once_its_token_was_revoked_or_expired_whoever_approves_it() {
    // The server behind takes no token of Deed's.
    let (verifier, url) = Verifier::start().await;
    let world = World::serving(&format!("url = \"{url}\"\nwait_seconds = 30")).await;
    let body = json!({ "files": { "a.cedar": ASK_FIRST }, "by": "os:ann" }).to_string();
    assert_eq!(call(world.http(), post("/v1/policies", "application/json", body)).await.status, 200);
    let waiting = async || {
        let waiting = call(world.http(), get("/v1/approvals")).await.json()["approvals"].clone();
        waiting
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for why in ["revoked", "parent", "expired"] {
        let parent = coders(&world, "").await;
        let seconds = if why == "expired" { "&deed_expires_in=2" } else { "" };
        let resource = format!("resource={TICKETS}{seconds}");
        let token = match why {
            "parent" => world.token(Ask::of(&parent, "coder").with(&resource)).await,
            _ => coders(&world, seconds).await,
        };
        let jti = jti(&world, &token).await;
        let held = tokio::spawn(call(world.http(), by(&token, closing())));
        let action = loop {
            if let Some(action) = waiting().await.pop() {
                break action;
            }
        };
        let revoked = if why == "parent" { &parent } else { &token };
        if why != "expired" {
            assert_eq!(world.revoke(revoked, Some("coder")).await.status, 200);
        }
        let told =
            tokio::time::timeout(std::time::Duration::from_secs(20), held).await.expect("in time").unwrap();
        let code = if why == "expired" { "expired" } else { "revoked" };
        assert!(told.text().contains("isError") && told.text().contains(code), "{why}: {}", told.text());
        while !waiting().await.is_empty() {}
        let yes = json!({ "approved": true, "by": { "type": "human", "key": "human:bob" } }).to_string();
        let late =
            call(world.http(), post(&format!("/v1/approvals/{action}"), "application/json", yes)).await;
        assert_eq!(late.status, 404, "{}", late.text());
        let ended = call(world.http(), get(&format!("/v1/actions/{action}/explain"))).await.json();
        assert_eq!(
            (&ended["outcome"]["status"], &ended["outcome"]["code"]),
            (&json!("denied"), &json!(code)),
            "{ended}"
        );
        assert_eq!(of_kind(&naming(&world, &jti), "intent").len(), 1);
    }
    assert!(verifier.heard().is_empty(), "the server heard nothing of it");
}

const ASK_FIRST: &str = "@id(\"rest\") permit (principal, action, resource);\n\
     @id(\"ask\") @effect(\"step_up\") forbid (principal, action, resource == Deed::Tool::\"tickets/close\");";

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_whose_token_was_renewed_is_recorded_with_the_one_that_is_shown() {
    let (world, verifier) = start(NARROW, "wait_seconds = 10").await;
    let body = json!({ "files": { "a.cedar": ASK_FIRST }, "by": "os:ann" }).to_string();
    assert_eq!(call(world.http(), post("/v1/policies", "application/json", body)).await.status, 200);
    let showing = |state: Option<&str>| {
        let mut message = tool(&json!({}));
        message["params"]["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } },
        });
        if let Some(state) = state {
            message["params"]["inputResponses"] = json!({ "deed_approval": { "action": "accept" } });
            message["params"]["requestState"] = json!(state);
        }
        let request = post("/mcp/tickets", "application/json", message.to_string());
        let request = with(request, "accept", "application/json, text/event-stream");
        let request = with(request, "mcp-protocol-version", "2026-07-28");
        with(with(request, "mcp-method", "tools/call"), "mcp-name", "close")
    };
    let first = coders(&world, "").await;
    let asked = call(world.http(), by(&first, showing(None))).await.json();
    let state = asked["result"]["requestState"].as_str().unwrap_or_else(|| panic!("{asked}"));
    let url = asked["result"]["inputRequests"]["deed_approval"]["params"]["url"].as_str().unwrap();
    let held = url.rsplit('/').next().unwrap();
    let reply = json!({ "approved": true, "by": { "type": "human", "key": "human:bob" } }).to_string();
    let approved =
        call(world.http(), post(&format!("/v1/approvals/{held}"), "application/json", reply)).await;
    assert_eq!(approved.status, 200, "{}", approved.text());

    let renewed = world.token(Ask::of(&first, "coder")).await;
    let answer = call(world.http(), by(&renewed, showing(Some(state)))).await;
    assert!(is_done(&answer), "{}", answer.text());
    let shown = verifier.log()[0]["jti"].as_str().unwrap().to_owned();
    let records = naming(&world, &shown);
    let intents = of_kind(&records, "intent");
    assert_eq!(intents.len(), 1, "{records:#?}");
    assert_eq!(intents[0]["credential"]["jti"], json!(jti(&world, &renewed).await));
    assert_ne!(intents[0]["id"], json!(held));
}
