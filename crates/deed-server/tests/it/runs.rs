//! Commands of other machines: who may ask, what they may claim, and what a ticket is good for.

use std::{net::SocketAddr, path::Path, time::Duration};

use deed_seal::hash::Hash;
use deed_server::{ServeOptions, Server, settings::Settings};
use deed_token::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Plain, by, call, call_unix, get, open, options, post, with};

const CI: &str = "https://ci.example";
const KEY: &str = "oidc:ci.example/repo:acme%2Fweb";
/// By what it does: write and read everything, write in one tenant, only read.
const ADMIN: &str = "admin-0123456789abcdef0123456789abcdef";
const GLOBEX: &str = "globex-0123456789abcdef0123456789abcde";
const READER: &str = "reader-0123456789abcdef0123456789abcde";

const POLICIES: &str = r#"
@id("rest") permit (principal, action, resource);
@id("no-force") forbid (principal, action == Deed::Action::"run", resource)
  when { context.arguments has command && context.arguments.command.contains("--force") };
@id("main-only") forbid (principal is Deed::Workload, action == Deed::Action::"run", resource)
  when { context.arguments has ci.ref && context.arguments.ci.ref != "refs/heads/main" };
@id("ask") @effect("step_up") forbid (principal, action == Deed::Action::"run", resource)
  when { resource.uri like "deploy:prod/*" };
"#;

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

fn seconds() -> i64 {
    deed_ledger::now().0 / 1_000_000
}

/// A job's token, with `more` claims instead.
fn token(seed: u8, more: Value) -> String {
    let mut claims = json!({
        "iss": CI, "aud": "deed-prod", "sub": "repo:acme/web", "jti": "job-1", "iat": seconds() - 5,
        "exp": seconds() + 300, "repository": "acme/web", "repository_owner": "acme", "ref": "refs/heads/main", "actor": "ann", "run_id": "4711",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key(seed).sign("JWT", &[], &claims).unwrap()
}

fn settings() -> Settings {
    let token = |name: &str, secret: &str, more: &str| {
        format!("[[token]]\nname = \"{name}\"\nhash = \"sha256:{}\"\n{more}\n", Hash::of(secret.as_bytes()))
    };
    let text = [
        format!(
            "[tokens]\nissuer = \"https://deed.example\"\n[[issuer]]\nurl = \"{CI}\"\naudiences = [\"deed-prod\"]\n\
             claims = {{ repository_owner = \"acme\" }}\njwks_file = \"ci.json\"\ntenant = \"acme\"\n"
        ),
        token("admin", ADMIN, "rights = [\"write\", \"read\"]"),
        token("globex", GLOBEX, "tenant = \"globex\"\nrights = [\"write\", \"read\"]"),
        token("reader", READER, "rights = [\"read\"]"),
    ];
    Settings::parse(&text.concat()).unwrap()
}

/// A server that can be reached from elsewhere, with those policies.
struct World {
    server: Server,
    dir: TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let jwks = json!({ "keys": [key(1).public().to_jwk()] }).to_string();
        std::fs::write(dir.path().join("ci.json"), jwks).unwrap();
        let world = World { server: World::open(dir.path()).await, dir };
        let body = json!({ "files": { "a.cedar": POLICIES }, "by": "os:ann" }).to_string();
        assert_eq!(world.at_home(post("/v1/policies", "application/json", body)).await.status, 200);
        world
    }

    async fn open(dir: &Path) -> Server {
        let options = ServeOptions { listen: Some("0.0.0.0:0".parse().unwrap()), ..options() };
        open(dir, settings(), options).await
    }

    async fn again(self) -> Self {
        let World { server, dir } = self;
        server.shutdown().await.unwrap();
        World { server: World::open(dir.path()).await, dir }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.addresses().http.unwrap().port()))
    }

    /// Over the socket.
    async fn at_home(&self, request: Plain) -> Answer {
        call_unix(self.server.addresses().socket.as_ref().unwrap(), request).await
    }

    async fn ask(&self, bearer: &str, body: &Value) -> Answer {
        call(self.address(), by(bearer, post("/v1/runs", "application/json", body.to_string()))).await
    }

    /// What is answered to somebody who may ask.
    async fn told(&self, bearer: &str, body: &Value) -> Value {
        let answer = self.ask(bearer, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    async fn step(&self, step: &str, id: &str, ticket: &str, body: &Value) -> Answer {
        let path = format!("/v1/runs/{id}/{step}");
        call(self.address(), by(ticket, post(&path, "application/json", body.to_string()))).await
    }

    async fn explain(&self, id: &str) -> Value {
        self.at_home(get(&format!("/v1/actions/{id}/explain"))).await.json()
    }

    async fn newest(&self) -> Value {
        let page = self.at_home(get("/v1/actions?limit=1")).await.json();
        self.explain(page["actions"][0]["id"].as_str().unwrap()).await
    }

    fn size(&self) -> u64 {
        self.server.engine().ledger().size()
    }
}

fn run(resource: &str) -> Value {
    let nonce = deed_ledger::fresh_id().unwrap().to_string();
    json!({ "nonce": nonce, "action": "deploy", "resource": resource, "command": ["./deploy.sh"] })
}

fn with_member(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn ended(status: &str) -> Value {
    json!({ "time": deed_ledger::now().to_string(), "status": status, "code": "0", "duration_ms": 12 })
}

/// Nobody approved it for as long as it was waited for.
fn given_up() -> Value {
    json!({ "time": deed_ledger::now().to_string(), "status": "denied", "code": "not_approved_in_time" })
}

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("no {at} in {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_who_its_token_says_in_the_tenant_of_its_issuer() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let told = world.told(&shown, &run("deploy:test/web")).await;
    assert_eq!(told["answer"]["effect"], "allow");
    let (id, ticket) = (text(&told, "/answer/id"), text(&told, "/ticket"));
    let explained = world.explain(id).await;
    assert_eq!(
        (&explained["executor"]["key"], &explained["executor"]["edge"]),
        (&KEY.into(), &"proven".into())
    );
    assert_eq!(explained["executor"]["instance"], "4711");
    assert_eq!(explained["initiator"]["key"], "github:ann");
    assert_eq!(explained["credential"]["jti"], "job-1");
    assert_eq!(
        (&explained["action"]["basis"], &explained["action"]["operation"]),
        (&"enforced".into(), &"deploy".into())
    );
    assert_eq!(explained["action"]["span_id"], told["span_id"]);
    let leaf = world.server.engine().ledger().leaf(told["answer"]["index"].as_u64().unwrap()).unwrap();
    let record = leaf.skeleton().unwrap();
    assert_eq!((&*record.tenant, &*record.submitter), ("acme", "deed:run"));
    // Another tenant sees nothing of it.
    let foreign = call(world.address(), by(GLOBEX, get(&format!("/v1/actions/{id}")))).await;
    assert_eq!(foreign.status, 404);

    let answer = world.step("outcome", id, ticket, &ended("success")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let outcome = &world.explain(id).await["outcome"];
    assert_eq!(
        (&outcome["status"], &outcome["code"], &outcome["duration_ms"]),
        (&"success".into(), &"0".into(), &12.into())
    );
    // What it claims is decided on.
    let denied = world.told(&token(1, json!({ "ref": "refs/heads/x" })), &run("deploy:test/web")).await;
    assert_eq!((&denied["answer"]["effect"], denied.get("ticket")), (&"deny".into(), None));
    let id = text(&denied, "/answer/id");
    assert_eq!(world.explain(id).await["outcome"]["status"], "denied");
    assert!(!world.explain(id).await.to_string().contains(shown.rsplit('.').next().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_believed_is_refused_on_record() {
    let world = World::start().await;
    let good = token(1, json!({}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for (shown, says) in [
        (token(2, json!({})), "signature"),
        (token(1, json!({ "aud": "another" })), "aud"),
        (token(1, json!({ "iss": "https://evil.example" })), "issuer"),
        (token(1, json!({ "repository_owner": "evil" })), "repository_owner"),
        (token(1, json!({ "repository_owner": null })), "repository_owner"),
        (token(1, json!({ "repository_owner": ["acme"] })), "repository_owner"),
        (token(1, json!({ "exp": seconds() - 1 })), "expired"),
        (token(1, json!({ "nbf": seconds() + 900 })), "not valid yet"),
        (unsigned, ""),
        ("a.b.c".to_owned(), ""),
        ("admin-0123456789abcdef0123456789abcdee".to_owned(), "not one of this server's"),
    ] {
        let (size, answer) = (world.size(), world.ask(&shown, &run("deploy:test/web")).await);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{shown}");
        assert!(answer.text().contains(says) && !answer.text().contains(&shown), "{says}: {}", answer.text());
        assert_eq!(world.size(), size + 2, "an intent and its end");
        let explained = world.newest().await;
        assert_eq!(
            (&explained["outcome"]["status"], &explained["outcome"]["code"]),
            (&"denied".into(), &"token".into())
        );
        assert_eq!(explained["executor"]["type"], "unknown");
    }
    // Who shows nothing is nobody.
    let size = world.size();
    let answer =
        call(world.address(), post("/v1/runs", "application/json", run("deploy:x").to_string())).await;
    assert_eq!(answer.status, 401);
    let two = with(post("/v1/runs", "application/json", "{}"), "authorization", &format!("Bearer {good}"));
    let mut two = two;
    two.headers_mut().append("authorization", format!("Bearer {ADMIN}").parse().unwrap());
    assert_eq!(call(world.address(), two).await.status, 400);
    let mut two = by(ADMIN, post("/v1/runs", "application/json", run("deploy:x").to_string()));
    two.headers_mut().append("authorization", format!("Bearer {good}").parse().unwrap());
    assert_eq!(call(world.address(), two).await.status, 400);
    assert_eq!(world.ask(READER, &run("deploy:test/web")).await.problem(), "forbidden");
    assert_eq!(world.size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_token_of_the_settings_only_claims() {
    let world = World::start().await;
    let claims = with_member(run("deploy:test/web"), "executor", "workload:ci".into());
    let claims = with_member(claims, "initiator", "human:ann".into());
    let told = world.told(GLOBEX, &claims).await;
    let explained = world.explain(text(&told, "/answer/id")).await;
    assert_eq!(
        (&explained["executor"]["key"], &explained["executor"]["edge"]),
        (&"workload:ci".into(), &"asserted".into())
    );
    assert_eq!(explained["initiator"]["key"], "human:ann");
    assert_eq!(explained["credential"], Value::Null);
    let leaf = world.server.engine().ledger().leaf(told["answer"]["index"].as_u64().unwrap()).unwrap();
    let record = leaf.skeleton().unwrap();
    assert_eq!((&*record.tenant, &*record.submitter), ("globex", "deed:run/globex"));
    // Without a claim it is the token's holder.
    let told = world.told(ADMIN, &run("deploy:test/web")).await;
    let explained = world.explain(text(&told, "/answer/id")).await;
    assert_eq!(
        (&explained["executor"]["key"], &explained["executor"]["type"]),
        (&"token:admin".into(), &"service_account".into())
    );

    let size = world.size();
    for (bearer, name, value, says) in [
        (ADMIN, "executor", json!(KEY), "executor"),
        (ADMIN, "executor", json!("token:globex"), "executor"),
        (ADMIN, "initiator", json!("ann"), "TYPE:NAME"),
        (&*token(1, json!({})), "executor", json!("human:ann"), "--as"),
        (&*token(1, json!({})), "initiator", json!("human:zoe"), "--for"),
        (ADMIN, "tenant", json!("acme"), "tenant"),
        (ADMIN, "method", json!("tools/call"), "method"),
        (ADMIN, "id", json!("0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4"), "id"),
        (ADMIN, "command", json!([]), "command"),
        (ADMIN, "action", json!("a b"), "action"),
        (ADMIN, "resource", json!("web"), "resource"),
        (ADMIN, "nonce", json!("short"), "nonce"),
        (
            ADMIN,
            "artifact",
            json!({ "name": "a", "digest": "sha256:12", "signature": "verified" }),
            "artifact",
        ),
    ] {
        let answer = world.ask(bearer, &with_member(run("deploy:test/web"), name, value)).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(answer.text().contains(says), "{name}: {}", answer.text());
    }
    // Two readings.
    let twice = run("deploy:test/web").to_string().replacen('{', r#"{"command":["true"],"#, 1);
    let answer = call(world.address(), by(ADMIN, post("/v1/runs", "application/json", twice))).await;
    assert_eq!((answer.status, answer.text().contains("duplicate")), (400, true), "{}", answer.text());
    let large = with_member(run("deploy:test/web"), "command", json!(["x".repeat(1 << 20)]));
    assert_eq!(world.ask(ADMIN, &large).await.problem(), "too-large");
    assert_eq!(world.size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_is_decided_on_once_and_nobody_chooses_an_id() {
    let world = World::start().await;
    let (asked, shown) = (run("deploy:test/web"), token(1, json!({})));
    let first = world.told(&shown, &asked).await;
    let size = world.size();
    let again = world.told(&shown, &asked).await;
    assert_eq!(again["answer"]["id"], first["answer"]["id"]);
    assert_eq!(again["span_id"], first["span_id"]);
    assert_eq!(world.size(), size);
    // Somebody else's is another one, and so is one about something else.
    let other = world.told(GLOBEX, &asked).await;
    let changed = with_member(asked.clone(), "command", json!(["./other.sh"]));
    let changed = world.told(&shown, &changed).await;
    let ids = [&first, &other, &changed].map(|told| text(told, "/answer/id").to_owned());
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2], "{ids:?}");
    let forced = with_member(asked, "command", json!(["./deploy.sh", "--force"]));
    assert_eq!(world.told(&shown, &forced).await["answer"]["effect"], "deny");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_for_one_step_of_one_action() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let (one, other) =
        (world.told(&shown, &run("deploy:test/a")).await, world.told(&shown, &run("deploy:test/b")).await);
    let waits = world.told(GLOBEX, &run("deploy:prod/web")).await;
    assert_eq!(waits["answer"]["effect"], "step_up");
    let (id, other_id, waiting) =
        (text(&one, "/answer/id"), text(&other, "/answer/id"), text(&waits, "/answer/id"));
    let size = world.size();
    for (step, id, ticket, status) in [
        // Somebody else's action, or another of one's own.
        ("outcome", other_id, text(&one, "/ticket"), 403),
        ("outcome", waiting, text(&one, "/ticket"), 403),
        // Nobody has let it run.
        ("outcome", waiting, text(&waits, "/ticket"), 403),
        ("wait", id, text(&one, "/ticket"), 403),
        // What asks is not what ends.
        ("outcome", id, &shown, 401),
        ("outcome", id, ADMIN, 401),
        ("outcome", id, "e30.e30", 401),
    ] {
        let answer = world.step(step, id, ticket, &ended("success")).await;
        assert_eq!(answer.status, status, "{step} {id}: {}", answer.text());
        assert!(!answer.text().contains(ticket));
    }
    for (name, value) in [
        ("status", json!("denied")),
        ("status", json!("rolled_back")),
        ("code", json!("")),
        ("code", json!("a\nb")),
        ("duration_ms", json!(-1)),
        ("executor", json!("human:ann")),
    ] {
        let answer = world
            .step("outcome", id, text(&one, "/ticket"), &with_member(ended("success"), name, value))
            .await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    assert_eq!(world.size(), size);
    // Told twice it is recorded once, and what was told first counts.
    let end = ended("failure");
    for _ in 0..2 {
        assert_eq!(world.step("outcome", id, text(&one, "/ticket"), &end).await.status, 200);
    }
    assert_eq!(world.step("outcome", id, text(&one, "/ticket"), &ended("failure")).await.status, 200);
    let answer = world.step("outcome", id, text(&one, "/ticket"), &ended("success")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "conflict"));
    assert_eq!(world.size(), size + 1);
    // The clock of that machine says nothing impossible.
    let late = with_member(ended("success"), "time", "2199-01-01T00:00:00.000000Z".into());
    assert_eq!(world.step("outcome", other_id, text(&other, "/ticket"), &late).await.status, 200);
    assert_eq!(world.explain(other_id).await["outcome"]["status"], "success");
    let leaf = world.server.engine().ledger().leaf(world.size() - 1).unwrap();
    assert!(leaf.skeleton().unwrap().time <= deed_ledger::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_outlives_the_token_and_the_server() {
    let world = World::start().await;
    let shown = token(1, json!({ "exp": seconds() + 2 }));
    let told = world.told(&shown, &run("deploy:test/web")).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(world.ask(&shown, &run("deploy:test/web")).await.status, 401);
    let world = world.again().await;
    let id = text(&told, "/answer/id");
    assert_eq!(world.step("outcome", id, text(&told, "/ticket"), &ended("success")).await.status, 200);
    let explained = world.explain(id).await;
    assert_eq!(explained["outcome"]["status"], "success");
    assert_eq!(explained["executor"]["key"], KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_lets_it_run() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let (soon, later) = (json!({ "seconds": 0 }), json!({ "seconds": 10 }));
    let reply = async |id: &str, by: &str, approved: bool| {
        let body = json!({ "approved": approved, "by": { "type": "human", "key": by } }).to_string();
        world.at_home(post(&format!("/v1/approvals/{id}"), "application/json", body)).await.status
    };
    let told = world.told(&shown, &run("deploy:prod/web")).await;
    let (id, ticket) = (text(&told, "/answer/id"), text(&told, "/ticket"));
    let waits = world.step("wait", id, ticket, &soon).await.json();
    assert_eq!(waits["answer"]["effect"], "step_up");
    // Not whom the token names.
    assert_eq!(reply(id, "github:ann", true).await, 403);
    let approve = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        reply(id, "human:bob", true).await
    };
    let (heard, approved) = tokio::join!(world.step("wait", id, ticket, &later), approve);
    assert_eq!((approved, &heard.json()["answer"]["effect"]), (200, &json!("allow")));
    // What was let through was not given up.
    assert_eq!(world.step("outcome", id, ticket, &given_up()).await.status, 409);
    assert_eq!(world.step("outcome", id, ticket, &ended("success")).await.status, 403);
    let heard = heard.json();
    assert_eq!(world.step("outcome", id, text(&heard, "/ticket"), &ended("success")).await.status, 200);
    let explained = world.explain(id).await;
    assert_eq!(explained["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(explained["outcome"]["status"], "success");
    // An answer that was lost is given again, and nothing is decided twice.
    let size = world.size();
    let again = world.step("wait", id, ticket, &soon).await.json();
    assert_eq!((&again["answer"], &again["ticket"]), (&heard["answer"], &heard["ticket"]));
    assert_eq!(world.size(), size);
    // It is used up: the same command, asked again, waits for another one.
    let other = world.told(&shown, &run("deploy:prod/web")).await;
    assert_eq!(other["answer"]["effect"], "step_up");

    let told = world.told(&shown, &run("deploy:prod/other")).await;
    let (id, ticket) = (text(&told, "/answer/id"), text(&told, "/ticket"));
    assert_eq!(reply(id, "human:bob", false).await, 200);
    let heard = world.step("wait", id, ticket, &soon).await.json();
    assert_eq!((&heard["answer"]["effect"], heard.get("ticket")), (&json!("deny"), None));
}

/// INVARIANT D11: whoever gives up says so, and does not go on by an approval that comes later; the same command asked again does.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_not_let_run() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let soon = json!({ "seconds": 0 });
    let told = world.told(&shown, &run("deploy:prod/web")).await;
    let (id, ticket) = (text(&told, "/answer/id").to_owned(), text(&told, "/ticket").to_owned());
    assert_eq!(world.step("outcome", &id, &ticket, &ended("failure")).await.status, 403);
    for _ in 0..2 {
        assert_eq!(world.step("outcome", &id, &ticket, &given_up()).await.status, 200);
    }
    let outcome = &world.explain(&id).await["outcome"];
    assert_eq!((&outcome["status"], &outcome["code"]), (&json!("denied"), &json!("not_approved_in_time")));
    let body = json!({ "approved": true, "by": { "type": "human", "key": "human:bob" } }).to_string();
    let approved = world.at_home(post(&format!("/v1/approvals/{id}"), "application/json", body)).await;
    assert_eq!((approved.status, approved.json()["waits"].clone()), (200, json!(false)));
    assert_eq!(world.step("wait", &id, &ticket, &soon).await.json()["answer"]["effect"], "deny");
    let world = world.again().await;
    let heard = world.step("wait", &id, &ticket, &json!({ "seconds": 0, "command": ["./deploy.sh"] })).await;
    assert_eq!(heard.json()["answer"]["effect"], "deny");
    let again = world.told(&shown, &run("deploy:prod/web")).await;
    assert_eq!(again["answer"]["effect"], "allow");
}

/// INVARIANT D8: all of what was approved is known, or the approval is not for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_goes_on_after_a_restart() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let now = json!({ "seconds": 0 });
    world.told(&shown, &run("deploy:test/web")).await;
    let before = world.told(&shown, &run("deploy:prod/before")).await;
    let after = world.told(&shown, &run("deploy:prod/after")).await;
    let secret = json!(["deploy", "--token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"]);
    let secret = world.told(&shown, &with_member(run("deploy:prod/secret"), "command", secret)).await;
    let approve = async |world: &World, told: &Value| {
        let path = format!("/v1/approvals/{}", text(told, "/answer/id"));
        let reply = json!({ "approved": true, "by": "human:bob" }).to_string();
        let answer = world.at_home(post(&path, "application/json", reply)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    approve(&world, &before).await;
    // Nobody hears this answer: the server ends just then.
    let unheard = world.told(&shown, &run("deploy:prod/unheard")).await;
    approve(&world, &unheard).await;
    let lost = world.step("wait", text(&unheard, "/answer/id"), text(&unheard, "/ticket"), &now).await.json();
    assert_eq!(lost["answer"]["effect"], "allow");
    let world = world.again().await;
    approve(&world, &after).await;
    approve(&world, &secret).await;
    let wait = async |world: &World, told: &Value| {
        world.step("wait", text(told, "/answer/id"), text(told, "/ticket"), &now).await.json()
    };
    for told in [&before, &after, &unheard] {
        let heard = wait(&world, told).await;
        assert_eq!(heard["answer"]["effect"], "allow", "{heard}");
        let id = text(told, "/answer/id");
        let ended = world.step("outcome", id, text(&heard, "/ticket"), &ended("success")).await;
        assert_eq!(ended.status, 200, "{}", ended.text());
        let explained = world.explain(id).await;
        assert_eq!(
            (&explained["outcome"]["status"], &explained["executor"]["key"]),
            (&json!("success"), &json!(KEY))
        );
    }
    // No record kept all of it: it goes on once it is told again, and nothing else does.
    let heard = wait(&world, &secret).await;
    assert_eq!((&heard["answer"]["effect"], &heard["wants_command"]), (&json!("step_up"), &json!(true)));
    let tell = async |token: &str| {
        let again = json!({ "seconds": 0, "command": ["deploy", "--token", token] });
        world.step("wait", text(&secret, "/answer/id"), text(&secret, "/ticket"), &again).await.json()
    };
    let other = tell("ghp_26C7e42F292c6912E7710c838347Ae178B4a").await;
    assert_eq!((&other["answer"]["effect"], &other["wants_command"]), (&json!("step_up"), &json!(true)));
    let heard = tell("ghp_16C7e42F292c6912E7710c838347Ae178B4a").await;
    assert_eq!(heard["answer"]["effect"], "allow", "{heard}");
    let id = text(&secret, "/answer/id");
    assert_eq!(world.step("outcome", id, text(&heard, "/ticket"), &ended("success")).await.status, 200);
    // INVARIANT D8: for the same command asked anew it is used up, and so it is once the command has ended.
    let anew = world.told(&shown, &run("deploy:prod/unheard")).await;
    assert_eq!(anew["answer"]["effect"], "step_up");
    let world = world.again().await;
    let heard = wait(&world, &unheard).await;
    assert_eq!((&heard["answer"]["effect"], heard.get("ticket")), (&json!("deny"), None), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_reads_sees_what_waits_and_answers_nothing() {
    let world = World::start().await;
    world.told(GLOBEX, &run("deploy:test/web")).await;
    let waits = world.told(GLOBEX, &run("deploy:prod/web")).await;
    let job = world.told(&token(1, json!({})), &run("deploy:prod/other")).await;
    let list = async |token: &str| {
        let answer = call(world.address(), by(token, get("/v1/approvals"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let listed = answer.json();
        let ids = listed["approvals"].as_array().unwrap().iter().map(|one| text(one, "/id").to_owned());
        ids.collect::<Vec<_>>()
    };
    let (of_globex, of_acme) = (text(&waits, "/answer/id"), text(&job, "/answer/id"));
    let mut all = list(READER).await;
    all.sort();
    let mut both = vec![of_globex.to_owned(), of_acme.to_owned()];
    both.sort();
    assert_eq!(all, both);
    assert_eq!(list(GLOBEX).await, [of_globex]);
    let reply = json!({ "approved": true, "by": "human:bob" }).to_string();
    let path = format!("/v1/approvals/{of_globex}");
    let refused = call(world.address(), by(ADMIN, post(&path, "application/json", reply.clone()))).await;
    assert_eq!(
        (refused.status, refused.text().contains("answers for nobody")),
        (403, true),
        "{}",
        refused.text()
    );
    // Who says yes is said in one of three ways, and by a name at all.
    for wrong in [json!("bob"), json!({ "type": "human" }), json!({ "type": "human", "name": "" }), json!(7)]
    {
        let reply = json!({ "approved": true, "by": wrong }).to_string();
        let refused = world.at_home(post(&path, "application/json", reply)).await;
        assert!(refused.status == 400 && refused.text().contains("the body: "), "{}", refused.text());
    }
    for (id, who) in [(of_globex, json!({ "type": "human", "name": "bob" })), (of_acme, json!("human:bob"))] {
        let reply = json!({ "approved": true, "by": who }).to_string();
        let answer = world.at_home(post(&format!("/v1/approvals/{id}"), "application/json", reply)).await;
        assert_eq!((answer.status, &answer.json()["waits"]), (200, &json!(false)), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_is_of_the_same_tenant() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let undone = world.told(&shown, &run("deploy:test/web")).await;
    let id = text(&undone, "/answer/id");
    let rollback = with_member(run("deploy:test/web"), "compensates", id.into());
    assert_eq!(world.ask(GLOBEX, &rollback).await.problem(), "not-found");
    let told = world.told(&shown, &rollback).await;
    assert_eq!(told["trace_id"], undone["trace_id"]);
    let of_rollback = text(&told, "/answer/id");
    assert_eq!(
        world.step("outcome", of_rollback, text(&told, "/ticket"), &ended("success")).await.status,
        200
    );
    assert_eq!(world.explain(of_rollback).await["outcome"]["compensates"], id);
}

/// `deed suspend` stops somebody whatever the tenant of their issuer is.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_runs_nothing() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    world.told(&shown, &run("deploy:test/web")).await;
    let suspend = async |what: &str, suspended: bool| {
        let body =
            json!({ "what": what, "suspended": suspended, "by": { "type": "human", "key": "human:bob" } });
        world.at_home(post("/v1/suspensions", "application/json", body.to_string())).await.status
    };
    for what in [KEY, "github:ann"] {
        assert_eq!(suspend(what, true).await, 200);
        let told = world.told(&shown, &run("deploy:test/web")).await;
        assert_eq!(told["answer"]["effect"], "deny", "{what}");
        assert!(text(&told, "/answer/reason").contains("suspended"));
        assert_eq!(suspend(what, false).await, 200);
    }
    assert_eq!(world.told(&shown, &run("deploy:test/web")).await["answer"]["effect"], "allow");
}

/// INVARIANT D1: what cannot be recorded is not let through.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_recorder_nothing_is_let_through() {
    let world = World::start().await;
    let shown = token(1, json!({}));
    let told = world.told(&shown, &run("deploy:test/web")).await;
    let moved = world.dir.path().with_extension("moved");
    std::fs::rename(world.dir.path(), &moved).unwrap();
    let answer = world.ask(&shown, &run("deploy:test/web")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "recorder-unavailable"));
    let id = text(&told, "/answer/id");
    assert_eq!(world.step("outcome", id, text(&told, "/ticket"), &ended("success")).await.status, 503);
    std::fs::rename(&moved, world.dir.path()).unwrap();
    assert_eq!(world.step("outcome", id, text(&told, "/ticket"), &ended("success")).await.status, 200);
}
