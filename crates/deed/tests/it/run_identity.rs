//! Who runs a command: tokens of CI systems, good and bad.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use deed_ledger::{Ledger, Options};
use deed_record::Kind;
use deed_token::SigningKey;
use serde_json::{Value, json};

use crate::{
    run::{command, newest, publish, run, waiting},
    support::{Home, Ran, finish},
};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const KEY: &str = "oidc:token.actions.githubusercontent.com/repo:acme%2Fweb:ref:refs%2Fheads%2Fmain";

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of a job, with `more` claims instead.
fn token(key: &SigningKey, more: Value) -> String {
    let mut claims = json!({
        "iss": GITHUB, "aud": "deed-prod", "sub": "repo:acme/web:ref:refs/heads/main", "jti": "job-1",
        "iat": seconds() - 5, "nbf": seconds() - 5, "exp": seconds() + 300,
        "repository": "acme/web", "ref": "refs/heads/main", "environment": "production", "actor": "ann",
        "run_id": "4711", "event_name": "push",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.sign("JWT", &[], &claims).unwrap()
}

fn jwks(home: &Home) -> PathBuf {
    home.write("jwks.json", json!({ "keys": [key(1).public().to_jwk()] }).to_string())
}

const TRUST: [&str; 6] = ["--issuer", GITHUB, "--issuer-jwks", "jwks.json", "--audience", "deed-prod"];

fn with_token(home: &Home, token: &str, script: &str) -> Ran {
    jwks(home);
    home.write("token", format!("{token}\n"));
    run(home, &[&TRUST[..], &["--id-token", "token"]].concat(), script)
}

#[test]
fn a_job_is_who_its_token_says() {
    let home = Home::new();
    publish(
        &home,
        r#"@id("main-only") permit (principal is Deed::Workload, action == Deed::Action::"run", resource)
           when {
             context.arguments has ci.ref && context.arguments.ci.ref == "refs/heads/main" &&
             context has credential.age_seconds && context.credential.age_seconds < 600
           };"#,
    );
    let good = token(&key(1), json!({}));
    for _ in 0..2 {
        with_token(&home, &good, "true").good();
    }
    let explained = newest(&home);
    let executor = &explained["executor"];
    assert_eq!((&executor["key"], &executor["type"]), (&KEY.into(), &"workload".into()));
    assert_eq!((&executor["edge"], &executor["instance"]), (&"proven".into(), &"4711".into()));
    assert_eq!(explained["initiator"]["key"], "github:ann");
    let credential = &explained["credential"];
    assert_eq!((&credential["jti"], &credential["issuer"]), (&"job-1".into(), &GITHUB.into()));
    assert_eq!(credential["edge"], "proven");
    // The token itself is nowhere; nor is it recorded twice that it was shown.
    let signature = good.rsplit('.').next().unwrap();
    assert!(!explained.to_string().contains(signature));
    let sql = "SELECT count(*) AS n FROM records WHERE kind = 'credential'";
    let counted: Value = serde_json::from_str(home.run(["sql", "--json", sql]).good().out.trim()).unwrap();
    assert_eq!(counted["n"], 1);
    with_token(&home, &token(&key(1), json!({ "ref": "refs/heads/x" })), "touch done").bad(6, &["denied"]);
    assert!(!home.path("done").exists());
    home.run(["verify"]).good();
}

#[test]
fn a_token_that_is_not_believed_is_refused_on_record() {
    let home = Home::new();
    jwks(&home);
    let with = |name: &str, value: Value| token(&key(1), json!({ name: value }));
    let good = token(&key(1), json!({}));
    for (token, says) in [
        (token(&key(2), json!({})), "signature"),
        (with("aud", "another".into()), "aud"),
        (with("iss", "https://evil.example".into()), "issuer"),
        (with("exp", (seconds() - 1).into()), "expired"),
        (with("nbf", (seconds() + 900).into()), "not valid yet"),
        (good[..good.len() - 4].to_owned(), "token"),
        ("nonsense".into(), ""),
        (String::new(), ""),
    ] {
        let ran = with_token(&home, &token, "touch done").bad(6, &["denied", says]);
        assert!(token.is_empty() || !ran.err.contains(&token), "{ran:?}");
        let explained = newest(&home);
        assert_eq!(
            (&explained["outcome"]["status"], &explained["outcome"]["code"]),
            (&"denied".into(), &"token".into())
        );
        assert_eq!(explained["executor"]["type"], "unknown");
    }
    // It was to be shown, and there is none.
    run(&home, &TRUST, "touch done").bad(6, &["no token"]);
    assert_eq!(newest(&home)["outcome"]["code"], "no_token");
    run(&home, &[&TRUST[..], &["--id-token", "missing"]].concat(), "touch done").bad(6, &["token"]);
    // It is meant for Deed, and nobody said whose tokens are believed.
    let mut untrusted = command(&home, &[], "touch done");
    finish(untrusted.env("DEED_ID_TOKEN", &good).output().unwrap()).bad(6, &["--issuer", "[[issuer]]"]);
    let mut both = command(&home, &["--as", "workload:ci"], "touch done");
    finish(both.env("DEED_ID_TOKEN", &good).output().unwrap()).bad(2, &["--as"]);
    assert!(!home.path("done").exists());
}

#[test]
fn issuers_of_the_settings_are_believed() {
    let home = Home::new();
    home.write("store/github.json", json!({ "keys": [key(1).public().to_jwk()] }).to_string());
    home.write(
        "store/deed.toml",
        format!("[tokens]\nissuer = \"https://deed.example\"\n[[issuer]]\nurl = \"{GITHUB}\"\naudiences = [\"deed-prod\"]\njwks_file = \"github.json\"\n"),
    );
    let shown = |token: &str| {
        home.write("token", token);
        run(&home, &["--id-token", "token"], "true")
    };
    shown(&token(&key(1), json!({}))).good();
    let explained = newest(&home);
    assert_eq!(
        (&explained["executor"]["key"], &explained["executor"]["edge"]),
        (&KEY.into(), &"proven".into())
    );
    shown(&token(&key(2), json!({}))).bad(6, &["signature"]);
    assert_eq!(newest(&home)["outcome"]["code"], "token");
    shown(&token(&key(1), json!({ "aud": "another" }))).bad(6, &["aud"]);
    let mut given = command(&home, &[], "true");
    finish(given.env("DEED_ID_TOKEN", token(&key(1), json!({}))).output().unwrap()).good();
    run(&home, &["--audience", "deed-prod"], "true").bad(6, &["no token"]);
}

/// A store of this machine decides for whom a server would.
#[test]
fn the_tenant_is_that_of_the_issuer() {
    let home = Home::new();
    home.write("store/github.json", json!({ "keys": [key(1).public().to_jwk()] }).to_string());
    home.write(
        "store/deed.toml",
        format!("[tokens]\nissuer = \"https://deed.example\"\n[[issuer]]\nurl = \"{GITHUB}\"\naudiences = [\"deed-prod\"]\njwks_file = \"github.json\"\ntenant = \"acme\"\n"),
    );
    publish(
        &home,
        r#"@id("rest") permit (principal, action, resource);
        @id("not-acme") forbid (principal, action, resource == Deed::Resource::"deploy:prod/web")
            when { context.tenant == "acme" };
        @id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Resource::"deploy:x");"#,
    );
    home.write("token", token(&key(1), json!({})));
    let shown = |resource: &str, more: &[&str]| {
        let base = ["run", "--action", "deploy", "--resource", resource, "--id-token", "token"];
        home.run([&base[..], more, &["--", "true"]].concat())
    };
    shown("deploy:prod/web", &[]).bad(6, &["not-acme"]);
    shown("deploy:test/web", &[]).good();
    shown("deploy:x", &["--wait", "0"]).bad(6, &["nobody approved it"]);
    let id = waiting(&home)["id"].as_str().unwrap().to_owned();
    home.run(["approve", &id, "--as", "human:bob"]).good();
    shown("deploy:x", &["--wait", "0"]).good();
    {
        let ledger = Ledger::open(&home.store(), Options::default()).unwrap();
        for index in 0..ledger.size() {
            let leaf = ledger.leaf(index).unwrap();
            let record = leaf.skeleton().unwrap();
            let is_of_run = !matches!(record.kind, Kind::Policy | Kind::Access);
            assert!(!is_of_run || *record.tenant == *"acme", "{}", String::from_utf8_lossy(&leaf.leaf));
        }
    }
    home.run(["suspend", KEY]).good();
    shown("deploy:test/web", &[]).bad(6, &["suspended"]);
}

#[test]
fn pipelines_give_their_token_in_a_variable() {
    let home = Home::new();
    jwks(&home);
    let gitlab = token(
        &key(1),
        json!({ "repository": null, "project_path": "acme/web", "user_login": "bob", "run_id": null, "job_id": "9" }),
    );
    for (name, flags) in [("DEED_ID_TOKEN", vec![]), ("CI_DEED", vec!["--id-token-env", "CI_DEED"])] {
        let mut ran = command(&home, &[&TRUST[..], &flags].concat(), "true");
        finish(ran.env(name, &gitlab).output().unwrap()).good();
        assert_eq!(newest(&home)["executor"]["edge"], "proven");
    }
}

#[test]
fn github_s_runner_is_asked_for_a_token() {
    let home = Home::new();
    jwks(&home);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?api-version=2", listener.local_addr().unwrap());
    let good = token(&key(1), json!({}));
    let runner = thread::spawn(move || {
        let mut heads = Vec::new();
        for body in [json!({ "value": good }).to_string(), "no".into()] {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            heads.push(
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"),
            );
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
        heads
    });
    let ask = |url: &str| {
        let mut ran = command(&home, &TRUST, "true");
        ran.env("ACTIONS_ID_TOKEN_REQUEST_URL", url).env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret");
        finish(ran.output().unwrap())
    };
    ask(&url).good();
    assert_eq!(newest(&home)["executor"]["key"], KEY);
    ask(&url).bad(6, &["no token"]);
    let heads = runner.join().unwrap();
    assert!(heads[0].starts_with("GET /token?api-version=2&audience=deed-prod HTTP/1.1"), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("authorization: bearer runner-secret"), "{heads:?}");
    // The token to ask with goes over no open road.
    let ran = ask("http://runner.example/token").bad(6, &["https"]);
    assert!(!ran.err.contains("runner-secret"));
}
