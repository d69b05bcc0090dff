//! Every error of the table in `docs/api.md`, as a client meets it.

use http::{Method, header};

use crate::support::{Running, call, get, gzip, observation, post, small, with};

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_wrong_say_where() {
    let running = Running::start().await;
    let good = observation(1, "agent:a");
    for (body, index, field) in [
        (good.replace("2026-11-20T10:00:00Z", "yesterday"), 0, Some("time")),
        (format!("[{good},{}]", good.replace("\"observation\"", "\"observatoin\"")), 1, Some("kind")),
        (format!("{good}\n{}", good.replace("\"kind\":\"observation\",", "")), 1, Some("kind")),
        (good.replacen('{', r#"{"basis":"enforced","#, 1), 0, Some("basis")),
        ("[7]".into(), 0, None),
        (good.replace("\"operation\"", "\"opration\""), 0, Some("opration")),
    ] {
        let answer = running.append(&body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "record-refused"), "{body}");
        let problem = answer.json();
        assert_eq!(problem["index"], index, "{problem}");
        assert_eq!(problem.get("field").and_then(|field| field.as_str()), field, "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_another_error() {
    let running = Running::start().await;
    for body in ["{", "[{}", "hello", "{}{", "[1,2", "\u{1}"] {
        let answer = running.append(body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "not-json"),
            "{body}: {}",
            answer.text()
        );
    }
    let answer = call(running.http(), post("/v1/records", "application/json", &b"[\"\xff\"]"[..])).await;
    assert_eq!(answer.problem(), "not-json");
    let answer =
        call(running.http(), with(post("/v1/records", "application/json", "[]"), "content-encoding", "gzip"))
            .await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_content_is_a_conflict() {
    let running = Running::start().await;
    let named = |trace| {
        observation(trace, "agent:a").replacen('{', r#"{"id":"0193a7b0-0000-7000-8000-000000000001","#, 1)
    };
    running.record(&observation(9, "agent:a")).await;
    running.record(&named(1)).await;
    let answer = running.append(&named(2)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "conflict"));
    let problem = answer.json();
    assert_eq!(problem["index"], 0);
    assert_eq!(problem["id"], "0193a7b0-0000-7000-8000-000000000001");
    assert_eq!(problem["first"], 1);
    assert_eq!(running.size(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_limit_before_and_after_decompression() {
    let running = Running::with(small()).await;
    let large = format!("[{}]", " ".repeat(2 << 20));
    for request in [
        post("/v1/records", "application/json", large.clone()),
        with(post("/v1/records", "application/json", gzip(large.as_bytes())), "content-encoding", "gzip"),
        with(post("/v1/records", "application/json", gzip(&vec![0; 64 << 20])), "content-encoding", "gzip"),
    ] {
        let answer = call(running.http(), request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));
    }
    // Exactly at the limit is fine.
    let full = format!("[{}]", " ".repeat((1 << 20) - 2));
    for request in [
        post("/v1/records", "application/json", full.clone()),
        with(post("/v1/records", "application/json", gzip(full.as_bytes())), "content-encoding", "gzip"),
    ] {
        assert_eq!(call(running.http(), request).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_encodings_that_are_not_taken() {
    let running = Running::start().await;
    let body = observation(1, "agent:a");
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/x-protobuf"]
    {
        let answer = call(running.http(), post("/v1/records", content_type, body.clone())).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (415, "unsupported-media-type"),
            "{content_type}"
        );
    }
    let answer =
        call(running.http(), with(post("/v1/records", "application/json", body), "content-encoding", "br"))
            .await;
    assert_eq!(answer.status, 415);
    assert_eq!(answer.header(header::ACCEPT_ENCODING), "gzip");
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_parameters_that_do_not_exist() {
    let running = Running::start().await;
    let answer = running.get("/v1/nothing").await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"));
    let mut request = get("/v1/records");
    *request.method_mut() = Method::DELETE;
    let answer = call(running.http(), request).await;
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"));
    assert_eq!(answer.header(header::ALLOW), "POST");
    for path in [
        "/v1/actions?limit=many",
        "/v1/actions?limit=0",
        "/v1/actions?limit=1001",
        "/v1/actions?limit=-1",
        "/v1/actions?colour=red",
        "/v1/actions?since=yesterday",
        "/v1/actions?trace=0",
        "/v1/actions?status=splendid",
        "/v1/actions/7",
        "/v1/actions/x/explain",
        "/v1/traces/4bf92f",
    ] {
        let answer = running.get(path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{path}");
    }
    for path in ["/v1/actions", "/v1/findings", "/v1/ocsf", "/v1/blast/x", "/v1/reports/standing"] {
        let answer = running.get(&format!("{path}?limit=x")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("`limit`: expected a whole number"), "{path}: {}", answer.text());
    }
    assert!(running.get("/v1/actions?colour=red").await.text().contains("colour"));
    let answer = call(running.http(), post("/v1/records?all=true", "application/json", "[]")).await;
    assert_eq!(answer.problem(), "bad-request");
    for path in [
        "/v1/actions/0193a7b0-0000-7000-8000-000000000001",
        "/v1/actions/0193a7b0-0000-7000-8000-000000000001/explain",
        "/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736",
    ] {
        let answer = running.get(path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_too_large_is_refused_at_once() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let running = Running::start().await;
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = format!(
        "POST /v1/records HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        running.http()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Nothing of the body is sent, and nothing more will be: what is answered is answered to the head.
    let mut answer = [0; 12];
    let answered = std::time::Instant::now();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // The rest of the body is waited for five seconds, beside the answer.
    assert!(answered.elapsed() < std::time::Duration::from_secs(5), "{:?}", answered.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_show_no_secret() {
    let running = Running::start().await;
    let secret = "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789";
    for body in [
        observation(1, "agent:a").replace("\"success\"", &format!("\"{secret}\"")),
        observation(1, "agent:a").replace("\"operation\"", &format!("\"{secret}\"")),
        observation(1, "agent:a").replace("2026-11-20T10:00:00Z", secret),
        format!("{{\"a\": {secret}"),
    ] {
        let answer = running.append(&body).await;
        assert!(answer.status >= 400);
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_repeats_a_token_that_was_sent_as_a_name() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    let token = ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    for path in ["blast/@", "principals/@", "reports/@", "@", "actions?@=1", "actions/@"] {
        let answer = running.get(&format!("/v1/{}", path.replace('@', &token))).await;
        assert!(answer.status == 404 || answer.status == 400, "{path}: {}", answer.status);
        assert!(!answer.text().contains(&token), "{path}: {}", answer.text());
    }
    let text = running.get(&format!("/v1/principals/{token}")).await.text();
    assert!(text.contains("nobody is known as a text of 40 characters"), "{text}");
}
