//! `deed run` on a machine without a store: a server elsewhere decides and records.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use deed_seal::hash::Hash;
use deed_token::SigningKey;
use serde_json::{Value, json};

use crate::{
    run::{newest, publish, until, waiting},
    run_identity::seconds,
    support::{Home, Ran, Serving, finish, serve, signal},
};

const CI: &str = "https://ci.example";
/// A token that may write, and one that may not.
pub(crate) const ADMIN: &str = "admin-0123456789abcdef0123456789abcdef";
const READER: &str = "reader-0123456789abcdef0123456789abcde";

const POLICIES: &str = r#"
@id("rest") permit (principal, action, resource);
@id("no-force") forbid (principal, action == Deed::Action::"run", resource)
  when { context.arguments has command && context.arguments.command.contains("--force") };
@id("production") @effect("step_up")
forbid (principal, action == Deed::Action::"run", resource) when { resource.uri like "deploy:prod/*" };
"#;

/// A server that can be reached from elsewhere, and a runner that has no store.
pub(crate) struct World {
    home: Home,
    pub(crate) runner: Home,
    serving: Option<Serving>,
    port: u16,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

/// A job's token, with `more` claims instead.
fn token(seed: u8, more: Value) -> String {
    let mut claims = json!({
        "iss": CI, "aud": "deed-prod", "sub": "repo:acme/web", "jti": "job-1", "iat": seconds() - 5,
        "exp": seconds() + 300, "repository": "acme/web", "ref": "refs/heads/main", "actor": "ann", "run_id": "4711",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key(seed).sign("JWT", &[], &claims).unwrap()
}

fn listening(home: &Home, port: u16) -> Serving {
    let listen = format!("0.0.0.0:{port}");
    serve(&mut home.command([
        "serve",
        "--json",
        "--listen",
        &listen,
        "--otlp-grpc",
        "off",
        "--otlp-http",
        "off",
    ]))
}

impl World {
    /// The runner has a good token in its file `token`.
    pub(crate) fn start() -> Self {
        let (home, runner) = (Home::new(), Home::new());
        let of_settings = |name: &str, secret: &str, rights: &str| {
            let hash = Hash::of(secret.as_bytes());
            format!("[[token]]\nname = \"{name}\"\nhash = \"sha256:{hash}\"\nrights = [{rights}]\n")
        };
        home.write("store/trust/ci.json", json!({ "keys": [key(1).public().to_jwk()] }).to_string());
        home.write(
            "store/deed.toml",
            format!(
                "[tokens]\nissuer = \"https://deed.example\"\n[[issuer]]\nurl = \"{CI}\"\naudiences = [\"deed-prod\"]\n\
                 jwks_file = \"trust/ci.json\"\n{}{}",
                of_settings("admin", ADMIN, "\"write\", \"read\""),
                of_settings("reader", READER, "\"read\"")
            ),
        );
        runner.write("token", token(1, json!({})) + "\n");
        let serving = listening(&home, 0);
        let port = serving.http.unwrap().port();
        World { home, runner, serving: Some(serving), port }
    }

    fn with_policies() -> Self {
        let world = World::start();
        publish(&world.home, POLICIES);
        world
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn kill(&mut self) {
        self.serving.take().unwrap().kill();
    }

    fn serve_again(&mut self) {
        self.serving = Some(listening(&self.home, self.port));
    }

    /// `deed run` on the runner, of a script.
    fn command(&self, resource: &str, flags: &[&str], script: &str) -> Command {
        let all = ["run", "--action", "deploy", "--resource", resource, "--server", &self.url()];
        let mut command = self.runner.command([&all, flags, &["--", "sh", "-c", script]].concat());
        command.env("USER", "ann");
        command
    }

    fn run(&self, flags: &[&str], script: &str) -> Ran {
        finish(self.command("deploy:test/web", flags, script).output().unwrap())
    }

    /// The same by another way.
    pub(crate) fn ran(&self, url: &str, ca: Option<&PathBuf>, flags: &[&str], script: &str) -> Ran {
        let all = ["run", "--action", "deploy", "--resource", "deploy:prod/web", "--server", url];
        let mut command = self.runner.command([&all, flags, &["--", "sh", "-c", script]].concat());
        ca.map(|ca| command.env("SSL_CERT_FILE", ca));
        finish(command.output().unwrap())
    }

    fn begin(&self, resource: &str, flags: &[&str], script: &str) -> Child {
        let mut command = self.command(resource, flags, script);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn explain(&self, id: &str) -> Value {
        self.home.run(["explain", id, "--json"]).good().json()
    }

    /// The newest that was done to `deploy:prod/web`.
    pub(crate) fn newest(&self) -> Value {
        newest(&self.home)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.runner.path(name)).unwrap().trim().to_owned()
    }

    /// Nothing was started, and nothing is kept here.
    #[track_caller]
    fn nothing_done(&self) {
        assert!(!self.runner.path("done").exists() && !self.runner.store().exists());
    }
}

#[test]
fn the_server_decides_and_records_and_the_runner_keeps_nothing() {
    let world = World::with_policies();
    world.runner.write("web.tar", "the release");
    let script = "echo \"$DEED_ACTION_ID $TRACEPARENT\"; exit 3";
    let flags = ["--id-token", "token", "--artifact", "web.tar", "--id-file", "id"];
    let ran = world.run(&flags, script);
    assert_eq!(ran.code, 3, "{ran:?}");
    let id = world.file("id");
    let explained = world.explain(&id);
    let (trace, span) = (&explained["action"]["trace_id"], &explained["action"]["span_id"]);
    assert_eq!(ran.out.trim(), format!("{id} 00-{}-{}-01", trace.as_str().unwrap(), span.as_str().unwrap()));
    assert_eq!(explained["executor"]["key"], "oidc:ci.example/repo:acme%2Fweb");
    assert_eq!(
        (&explained["executor"]["edge"], &explained["executor"]["instance"]),
        (&"proven".into(), &"4711".into())
    );
    assert_eq!(explained["initiator"]["key"], "github:ann");
    assert_eq!(explained["action"]["artifact"]["name"], "web.tar");
    assert_eq!(
        (&explained["outcome"]["status"], &explained["outcome"]["code"]),
        (&"failure".into(), &"3".into())
    );
    assert!(explained["outcome"]["duration_ms"].is_u64());
    world.nothing_done();
    // A rollback is in the trace of what it undoes; the variable names the server as the flag does.
    let mut rollback = world.runner.command(["run", "--action", "rollback", "--resource", "deploy:test/web"]);
    rollback.env_remove("DEED_DATA").env("DEED_SERVER", world.url());
    rollback.args(["--id-token", "token", "--compensates", &id, "--id-file", "other", "--", "true"]);
    finish(rollback.output().unwrap()).good();
    let undoing = world.explain(&world.file("other"));
    assert_eq!(
        (&undoing["outcome"]["compensates"], &undoing["action"]["trace_id"]),
        (&id.as_str().into(), trace)
    );
    let nothing = "0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4";
    world
        .run(&["--id-token", "token", "--compensates", nothing], "touch done")
        .bad(3, &[nothing, "not started"]);
    // A trace that is named is honoured.
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ran = world.run(&["--id-token", "token", "--trace", given], "echo $TRACEPARENT").good();
    assert!(ran.out.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{ran:?}");
    world.nothing_done();
    world.home.run(["verify"]).good();
}

#[test]
fn what_is_denied_does_not_start() {
    let world = World::with_policies();
    let flags =
        ["run", "--action", "deploy", "--resource", "deploy:test/web", "--id-token", "token", "--server"];
    let url = world.url();
    let forced = [&flags[..], &[&url, "--", "touch", "--force", "done"]].concat();
    world.runner.run(forced).bad(6, &["`no-force`", "not started", "explain"]);
    for (shown, says) in [
        (token(2, json!({})), "signature"),
        (token(1, json!({ "aud": "another" })), "aud"),
        (token(1, json!({ "iss": "https://evil.example" })), "issuer"),
        (token(1, json!({ "exp": seconds() - 1 })), "expired"),
        ("nonsense".to_owned(), ""),
    ] {
        world.runner.write("bad", &shown);
        let ran = world.run(&["--id-token", "bad"], "touch done").bad(6, &["denied", says, "not started"]);
        assert!(!ran.err.contains(&shown), "{ran:?}");
    }
    world.run(&["--id-token", "missing"], "touch done").bad(6, &["denied", "not started"]);
    world.run(&["--audience", "deed-prod"], "touch done").bad(6, &["there is no token", "not started"]);
    world.run(&[], "touch done").bad(6, &["denied", "$DEED_TOKEN", "not started"]);
    let with = |secret: &str| {
        let mut command = world.command("deploy:test/web", &[], "touch done");
        finish(command.env("DEED_TOKEN", secret).output().unwrap())
    };
    with("wrong-0123456789abcdef0123456789abcdef").bad(6, &["not one of this server's", "not started"]);
    with(READER).bad(6, &["no right `write`", "not started"]);
    // Whom a server believes is not for the command line to say.
    world.runner.write("jwks.json", "{}");
    let own = ["--issuer", CI, "--issuer-jwks", "jwks.json", "--id-token", "token"];
    world.run(&own, "touch done").bad(2, &["[[issuer]]"]);
    world.run(&["--id-token", "token", "--for", "human:zoe"], "touch done").bad(2, &["--for", "not started"]);
    world.nothing_done();
}

#[test]
fn whoever_has_a_token_of_the_server_claims_who_runs_it() {
    let world = World::with_policies();
    let mut command = world.command(
        "deploy:test/web",
        &["--as", "workload:ci", "--for", "human:ann", "--id-file", "id"],
        "true",
    );
    let ran = finish(command.env("DEED_TOKEN", ADMIN).output().unwrap()).good();
    assert!(!ran.err.contains("without TLS"), "{ran:?}");
    let explained = world.explain(&world.file("id"));
    assert_eq!(
        (&explained["executor"]["key"], &explained["executor"]["edge"]),
        (&"workload:ci".into(), &"asserted".into())
    );
    assert_eq!(explained["initiator"]["key"], "human:ann");
    // Not of this machine: whoever stands on the way reads along. What worked goes on, with a warning; a job's token is not
    // sent at all.
    let open = format!("http://0.0.0.0:{}", world.port);
    let mut find = world.runner.command(["find", "--server", &open]);
    let ran = finish(find.env("DEED_TOKEN", ADMIN).output().unwrap()).good();
    assert!(ran.err.contains("without TLS") && !ran.err.contains(ADMIN), "{ran:?}");
    world.ran(&open, None, &["--id-token", "token"], "touch done").bad(2, &["without TLS", "https://"]);
    world.nothing_done();
}

/// What was taken out of a command line for the record is told again to a server that was started meanwhile.
#[test]
fn a_run_with_a_secret_waits_on_while_its_server_is_started_again() {
    let mut world = World::with_policies();
    let script = "true ghp_16C7e42F292c6912E7710c838347Ae178B4a; touch done; exit 5";
    let child = world.begin("deploy:prod/web", &["--id-token", "token"], script);
    let id = waiting(&world.home)["id"].as_str().unwrap().to_owned();
    world.kill();
    world.serve_again();
    world.home.run(["approve", &id, "--as", "human:bob"]).good();
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(world.runner.path("done").exists());
    assert_eq!(world.explain(&id)["outcome"]["code"], "5");
}

#[test]
fn a_human_approves_on_the_server() {
    let world = World::with_policies();
    let child = world.begin("deploy:prod/web", &["--id-token", "token"], "touch done; exit 5");
    let id = waiting(&world.home)["id"].as_str().unwrap().to_owned();
    assert!(!world.runner.path("done").exists());
    world.home.run(["approve", &id, "--as", "human:bob", "--reason", "CHG-12"]).good();
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains(&format!("approve {id}")) && world.runner.path("done").exists(), "{ran:?}");
    let explained = world.explain(&id);
    assert_eq!(explained["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(explained["outcome"]["code"], "5");
    fs::remove_file(world.runner.path("done")).unwrap();

    let child = world.begin("deploy:prod/web", &["--id-token", "token"], "touch done");
    let id = waiting(&world.home)["id"].as_str().unwrap().to_owned();
    world.home.run(["refuse", &id, "--as", "human:bob", "--reason", "freeze"]).good();
    finish(child.wait_with_output().unwrap()).bad(6, &["human:bob", "freeze", "not started"]);
    let never =
        world.command("deploy:prod/web", &["--id-token", "token", "--wait", "0"], "touch done").output();
    finish(never.unwrap()).bad(6, &["nobody approved it"]);
    let given_up = waiting(&world.home)["id"].as_str().unwrap().to_owned();
    assert_eq!(world.explain(&given_up)["outcome"]["code"], "not_approved_in_time");
    let child = world.begin("deploy:prod/web", &["--id-token", "token"], "touch done");
    until("nothing waits", || {
        world.home.run(["approvals", "--json"]).good().json()["approvals"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    });
    signal(&child, "INT");
    finish(child.wait_with_output().unwrap()).bad(1, &["SIGINT", "not started"]);
    assert_eq!(newest(&world.home)["outcome"]["code"], "client");
    world.nothing_done();
    // Whoever gave up does not go on, and the same command asked for again does.
    world.home.run(["approve", &given_up, "--as", "human:bob"]).good();
    assert_eq!(world.explain(&given_up)["outcome"]["status"], "denied");
    let again = world.command("deploy:prod/web", &["--id-token", "token", "--wait", "0"], "touch done");
    finish({ again }.output().unwrap()).good();
}

/// Answers every connection with `answer`, or with nothing at all.
fn impostor(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(answer) = &answer else {
                kept.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    url
}

fn http(status: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

/// INVARIANT D1: without a recorded decision nothing starts, whatever is answered instead.
#[test]
fn without_a_decision_nothing_starts() {
    let mut world = World::with_policies();
    let told = |answer: Value| {
        json!({
            "nonce": "another", "trace_id": "1".repeat(32), "span_id": "1".repeat(16), "ticket": "t", "answer": answer,
        })
    };
    let allowed =
        json!({ "id": "0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4", "log": "l", "effect": "allow", "reason": "" });
    for answer in [
        http("200 OK", "{}"),
        http("200 OK", "<html>"),
        http("200 OK", "null"),
        http("200 OK", &allowed.to_string()),
        http("200 OK", &told(allowed.clone()).to_string()),
        http("204 No Content", ""),
        http("302 Found", ""),
        http("401 Unauthorized", ""),
        http("500 Internal Server Error", r#"{"type":"tag:deed,2026:internal","detail":"x"}"#),
        http(
            "503 Service Unavailable",
            r#"{"type":"tag:deed,2026:recorder-unavailable","detail":"disk full"}"#,
        ),
        // Cut off in the middle.
        Some("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_owned()),
        Some("SSH-2.0-OpenSSH_9.9\r\n".to_owned()),
    ] {
        let ran = world.ran(&impostor(answer.clone()), None, &["--id-token", "token"], "touch done");
        assert_eq!(ran.code, 7, "{answer:?}: {ran:?}");
        assert!(ran.err.contains("not started"), "{ran:?}");
    }
    // One that takes the question and says nothing.
    let since = Instant::now();
    world
        .ran(&impostor(None), None, &["--id-token", "token"], "touch done")
        .bad(7, &["no answer within", "not started"]);
    assert!(since.elapsed() < Duration::from_secs(60));
    // Nobody at all: there was one, and it was killed.
    world.kill();
    world.run(&["--id-token", "token"], "touch done").bad(7, &["failed to reach", "not started"]);
    world.nothing_done();
}

/// INVARIANT D11: what was let run has an end.
#[test]
fn a_server_that_is_killed_meanwhile_hears_the_end_once_it_is_back() {
    let mut world = World::with_policies();
    let script = "touch up; until test -e go; do sleep 0.05; done; exit 6";
    let child = world.begin("deploy:test/web", &["--id-token", "token", "--id-file", "id"], script);
    until("the command does not start", || world.runner.path("up").exists());
    world.kill();
    world.runner.write("go", "");
    thread::sleep(Duration::from_secs(2));
    world.serve_again();
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(!ran.err.contains("unknown"), "{ran:?}");
    let outcome = world.explain(&world.file("id"))["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"failure".into(), &"6".into()));
}

#[test]
fn an_end_that_nobody_hears_is_said_and_becomes_unknown() {
    let mut world = World::with_policies();
    let script = "touch up; until test -e go; do sleep 0.05; done; exit 6";
    let child = world.begin("deploy:test/web", &["--id-token", "token", "--id-file", "id"], script);
    until("the command does not start", || world.runner.path("up").exists());
    world.kill();
    world.runner.write("go", "");
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 6, "the command's own: {ran:?}");
    assert!(ran.err.contains("could not be recorded and will be unknown"), "{ran:?}");
    world.serve_again();
    let id = world.file("id");
    until("it has no end", || world.explain(&id)["outcome"]["code"] == "no_outcome");
    assert_eq!(world.explain(&id)["outcome"]["status"], "unknown");
}

#[test]
fn signals_and_changed_artifacts_are_recorded_there_too() {
    let world = World::with_policies();
    let sleeper = "trap 'exit 9' TERM; touch up; while :; do sleep 0.05; done";
    let child = world.begin("deploy:test/web", &["--id-token", "token", "--id-file", "id"], sleeper);
    until("the command does not start", || world.runner.path("up").exists());
    signal(&child, "TERM");
    assert_eq!(finish(child.wait_with_output().unwrap()).code, 9);
    let outcome = world.explain(&world.file("id"))["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"cancelled".into(), &"9".into()));

    world.runner.write("web.tar", "the release");
    let flags = ["--id-token", "token", "--artifact", "web.tar"];
    let child = world.begin("deploy:prod/web", &flags, "touch done");
    let id = waiting(&world.home)["id"].as_str().unwrap().to_owned();
    world.runner.write("web.tar", "another release");
    world.home.run(["approve", &id, "--as", "human:bob"]).good();
    finish(child.wait_with_output().unwrap()).bad(1, &["changed", "not started"]);
    assert_eq!(world.explain(&id)["outcome"]["code"], "artifact_changed");
    world.nothing_done();
}

/// INVARIANT D9: neither the job's token nor the ticket is in the store, nor in what is said.
#[test]
fn nothing_that_is_shown_is_kept() {
    let world = World::with_policies();
    let ran = world.run(&["--id-token", "token"], "env; true").good();
    let secret = world.file("token").rsplit('.').next().unwrap().to_owned();
    assert!(!ran.err.contains(&secret) && !ran.out.contains(&secret), "{ran:?}");
    let (mut folders, mut read) = (vec![world.home.store()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read::<&Path>(&path) {
                read += 1;
                assert!(
                    !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
                    "{}",
                    path.display()
                );
            }
        }
    }
    assert!(read > 5);
}
