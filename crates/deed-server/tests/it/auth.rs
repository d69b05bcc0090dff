//! Tokens, tenants, trust, and requests that a browser was tricked into.

use std::{collections::BTreeSet, net::SocketAddr};

use deed_seal::hash::Hash;
use deed_server::{
    ServeError, ServeOptions, serve,
    settings::{Listen, Right, Settings, Token},
};
use http::header;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Answer, Running, array, by, call, call_unix, engine, get, observation, open, options, post, with,
};

const ADMIN: &str = "admin-0123456789abcdef0123456789abcdef";
const ACME: &str = "acme-0123456789abcdef0123456789abcdefg";
const WRITER: &str = "writer-0123456789abcdef0123456789abcde";
const SHORT: &str = "hunter2";

fn token(name: &str, secret: &str, tenant: Option<&str>, rights: &[Right]) -> Token {
    let hash = Hash::of(secret.as_bytes()).0;
    Token {
        name: name.into(),
        hash,
        tenant: tenant.map(Into::into),
        rights: rights.iter().copied().collect::<BTreeSet<_>>(),
    }
}

fn settings() -> Settings {
    let all = [Right::Write, Right::Read, Right::Otlp];
    Settings {
        tokens: vec![
            token("admin", ADMIN, None, &all),
            token("acme", ACME, Some("acme"), &all),
            token("writer", WRITER, None, &[Right::Write]),
            token("short", SHORT, None, &all),
        ],
        ..Settings::default()
    }
}

/// A server that can be reached from elsewhere, and the address by which this test reaches it.
async fn exposed(settings: Settings) -> (Running, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let options = ServeOptions { listen: Some("0.0.0.0:0".parse().unwrap()), ..options() };
    let running = Running { server: open(dir.path(), settings, options).await, dir };
    let address = SocketAddr::from(([127, 0, 0, 1], running.http().port()));
    (running, address)
}

fn append(body: String) -> crate::support::Plain {
    post("/v1/records", "application/json", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_to_the_world_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), Settings::default());
    for options in [
        ServeOptions { listen: Some("0.0.0.0:0".parse().unwrap()), ..options() },
        ServeOptions { otlp_http: Some("[::]:0".parse().unwrap()), ..options() },
    ] {
        match serve(engine.clone(), options).await {
            Err(error @ ServeError::NoToken { .. }) => {
                assert!(error.to_string().contains("sha256sum"), "{error}")
            }
            _ => panic!("it was served"),
        }
    }
    assert!(!dir.path().join("deed.sock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_asks_for_a_token() {
    let (running, address) = exposed(settings()).await;
    let document: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", "0193a7b0-0000-7000-8000-000000000001")
            .replace("{trace_id}", &"1".repeat(32))
            .replace("{server}", "files")
            .replace("{path}", "0/000");
        for method in methods.as_object().unwrap().keys() {
            let mut request = post(&path, "application/json", "{}");
            *request.method_mut() = method.to_uppercase().parse().unwrap();
            let answer = call(address, request).await;
            let expected = match path.as_str() {
                "/healthz" | "/readyz" => 200,
                // It says where the endpoints are, and nothing else.
                "/.well-known/authzen-configuration" => 200,
                // It says how something is approved, and nothing of what.
                path if path.starts_with("/approvals/") => 200,
                // Their clients authenticate themselves by OAuth's means; there is no token service here.
                path if path.starts_with("/oauth/") || path.starts_with("/.well-known/") => 404,
                // Its messages are signed, and none is taken without a secret of this server.
                path if path.ends_with("/webhook") => 404,
                // Transmitters show what was agreed upon with them; there is none here.
                path if path.starts_with("/v1/ssf/") => 404,
                // Metrics are not recorded, whoever sends them.
                "/v1/metrics" => 404,
                _ => 401,
            };
            assert_eq!(answer.status, expected, "{method} {path}");
            if expected == 401 {
                assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
            }
        }
    }
    // On the listeners that are still on loopback too: a proxy may stand before them.
    assert_eq!(call(running.otlp(), post("/v1/logs", "application/json", "{}")).await.status, 401);
    assert_eq!(call(running.otlp(), by(ADMIN, post("/v1/logs", "application/json", "{}"))).await.status, 200);
    // Strangers hear which check failed and no more.
    let stranger = call(address, get("/readyz")).await.json();
    assert!(stranger["checks"][0].get("detail").is_none(), "{stranger}");
    let known = call(address, by(ADMIN, get("/readyz"))).await.json();
    assert!(known["checks"][0]["detail"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_known_or_refused() {
    let (running, address) = exposed(settings()).await;
    for (token, status) in
        [(ADMIN, 200), (SHORT, 401), ("", 401), ("admin-0123456789abcdef0123456789abcdee", 401)]
    {
        assert_eq!(call(address, by(token, get("/v1/actions"))).await.status, status, "{token}");
    }
    for value in [format!("Basic {ADMIN}"), ADMIN.to_owned(), format!("bearer  {ADMIN} "), "Bearer".into()] {
        let answer = call(address, with(get("/v1/actions"), "authorization", &value)).await;
        assert_eq!(answer.status, if value.starts_with("bearer") { 200 } else { 401 }, "{value}");
        assert!(!answer.text().contains(ADMIN));
    }
    // A wrong token is refused where none is needed, too.
    let socket = running.server.addresses().socket.clone().unwrap();
    assert_eq!(call_unix(&socket, get("/v1/actions")).await.status, 200);
    assert_eq!(call_unix(&socket, by("wrong", get("/v1/actions"))).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_kept_apart() {
    let (running, address) = exposed(settings()).await;
    let answer = call(address, by(WRITER, append(observation(1, "agent:a")))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let leaf = running.server.engine().ledger().leaf(0).unwrap();
    assert_eq!(&*leaf.skeleton().unwrap().submitter, "writer");
    for path in ["/v1/actions", "/checkpoint", "/tile/0/000.p/1", "/metrics", "/v1/health", "/v1/keys"] {
        let answer = call(address, by(WRITER, get(path))).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{path}");
    }
    let answer = call(address, by(WRITER, post("/v1/traces", "application/json", "{}"))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &7.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_and_writes_its_own_tenant_only() {
    let (running, address) = exposed(settings()).await;
    let in_tenant = |trace, tenant: &str| {
        observation(trace, "agent:a").replacen('{', &format!(r#"{{"tenant":"{tenant}","#), 1)
    };
    let id = |answer: Answer| answer.json()["receipts"][0]["id"].as_str().unwrap().to_owned();
    let other = id(call(address, by(ADMIN, append(in_tenant(1, "globex")))).await);
    // The tenant of the token is the record's, named or not.
    let own = id(call(address, by(ACME, append(observation(1, "agent:a")))).await);
    call(address, by(ACME, append(in_tenant(1, "acme")))).await;

    let answer =
        call(address, by(ACME, append(array(&[observation(3, "agent:a"), in_tenant(3, "globex")])))).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "wrong-tenant"));
    assert_eq!((&answer.json()["index"], &answer.json()["field"]), (&1.into(), &"tenant".into()));
    assert_eq!(running.size(), 3);

    let count = async |token, query: &str| {
        let page = call(address, by(token, get(&format!("/v1/actions?{query}")))).await.json();
        page["actions"].as_array().unwrap().len()
    };
    assert_eq!((count(ADMIN, "").await, count(ACME, "").await), (3, 2));
    assert_eq!((count(ACME, "executor=agent:a").await, count(ACME, "tenant=acme").await), (2, 2));
    assert_eq!(
        (count(ADMIN, "executor=agent:a").await, count(ADMIN, "executor=agent:a&tenant=globex").await),
        (0, 1)
    );
    let answer = call(address, by(ACME, get("/v1/actions?tenant=globex"))).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "wrong-tenant"));
    for path in [format!("/v1/actions/{other}"), format!("/v1/actions/{other}/explain")] {
        assert_eq!(call(address, by(ACME, get(&path))).await.status, 404);
        assert_eq!(call(address, by(ADMIN, get(&path))).await.status, 200);
    }
    assert_eq!(call(address, by(ACME, get(&format!("/v1/actions/{own}")))).await.status, 200);
    // Both tenants used the same trace id.
    let steps = async |token| {
        call(address, by(token, get(&format!("/v1/traces/{:032x}", 1)))).await.json()["steps"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((steps(ADMIN).await, steps(ACME).await), (3, 2));
    // The log holds everybody's.
    for path in ["/checkpoint", "/tile/0/000.p/1"] {
        assert_eq!(call(address, by(ACME, get(path))).await.problem(), "wrong-tenant");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_log_needs_no_token() {
    let settings = Settings { listen: Listen { public_log: true, ..Listen::default() }, ..settings() };
    let (running, address) = exposed(settings).await;
    call(address, by(WRITER, append(observation(1, "agent:a")))).await;
    assert!(running.server.engine().ledger().wait_signed(0, std::time::Duration::from_secs(10)));
    assert_eq!(call(address, get("/checkpoint")).await.status, 200);
    let tile = call(address, get("/tile/entries/000.p/1")).await;
    assert_eq!((tile.status, tile.header(header::CACHE_CONTROL)), (200, "public, max-age=60, immutable"));
    assert_eq!(call(address, get("/v1/actions")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_and_other_names_are_refused_on_loopback() {
    let running = Running::start().await;
    let own = running.http().to_string();
    let port = running.http().port();
    let call = |request| call(running.http(), request);
    for host in [own.clone(), format!("localhost:{port}"), "localhost".into(), format!("[::1]:{port}")] {
        assert_eq!(call(with(get("/v1/actions"), "host", &host)).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.1.2.3:7400", "127.0.0.1.evil.example"] {
        let answer = call(with(get("/healthz"), "host", host)).await;
        assert_eq!(answer.status, 421, "{host}");
    }
    let page = |origin: &str| with(append(observation(1, "agent:a")), "origin", origin);
    assert_eq!(call(page(&format!("http://{own}"))).await.status, 200);
    for origin in ["http://evil.example", "null", "http://localhost:3000", &format!("https://{own}")] {
        let answer = call(page(origin)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "foreign-site"), "{origin}");
    }
    for (site, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)] {
        assert_eq!(call(with(get("/v1/actions"), "sec-fetch-site", site)).await.status, status, "{site}");
    }
    assert_eq!(running.size(), 1);
    // An exporter hears it in its own words.
    let export = with(post("/v1/traces", "application/x-protobuf", ""), "origin", "http://evil.example");
    let answer = crate::support::call(running.otlp(), export).await;
    assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (403, "application/x-protobuf"));
}

/// Whoever stands on the way may have looked at the other one (RFC 9112, section 3.2).
#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_are_refused() {
    let running = Running::start().await;
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let request =
        "GET /v1/keys HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
