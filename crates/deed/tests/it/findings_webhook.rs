//! Findings sent to a webhook: signed, at least once, and through a crash.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use serde_json::Value;

use crate::support::{Home, examples};

/// What a receiver was sent: the id and the body.
type Heard = (String, Value);

/// A receiver that answers the first messages with `bad`, and all others with 204.
fn receiver(bad: &[&'static str]) -> (String, Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let (sender, heard) = sync_channel(64);
    let mut answers: Vec<&str> = bad.iter().rev().copied().collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut id, mut signed) = (0, String::new(), false);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 || line.trim_end().is_empty() {
                    break;
                }
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "webhook-id" => id = value.to_owned(),
                    "webhook-signature" => signed = value.starts_with("v1,"),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).is_err() || !signed {
                continue;
            }
            let answer = answers.pop().unwrap_or("204 No Content");
            let text = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _gone = stream.get_mut().write_all(text.as_bytes()).is_err();
            let _unheard =
                sender.send((format!("{answer} {id}"), serde_json::from_slice(&body).unwrap())).is_err();
        }
    });
    (url, heard)
}

fn settings(home: &Home, url: &str, more: &str) {
    home.write("store/findings.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    home.write(
        "store/deed.toml",
        format!("[findings]\nwebhook = \"{url}\"\nsecret_file = \"findings.secret\"\n{more}"),
    );
}

/// The migration once more, under ids of its own.
fn another() -> String {
    let text = std::fs::read_to_string(examples().join("i9.ndjson")).unwrap();
    text.replace("019f92a4-7c00-7000-8000-", "019f92a4-7c00-7000-8001-")
        .replace("\"event_id\":\"", "\"event_id\":\"b-")
}

fn next(heard: &Receiver<Heard>) -> Heard {
    heard.recv_timeout(Duration::from_secs(120)).expect("a message")
}

/// Messages that were taken until no more come.
fn taken(heard: &Receiver<Heard>, most: usize) -> Vec<String> {
    let ok = |(id, _): Heard| id.strip_prefix("204 No Content ").map(str::to_owned);
    (0..most).map(|_| next(heard)).filter_map(ok).collect()
}

#[test]
fn each_finding_is_sent_once_although_the_receiver_fails_and_the_server_is_killed() {
    let home = Home::with_migration();
    let expected = home.run(["findings", "--json"]).good().json_lines().len();
    assert!(expected > 0);
    let (url, heard) = receiver(&["503 Busy", "500 Broken"]);
    settings(&home, &url, "backfill = true\n");
    let serving = home.serve(&[]);
    let (first, body) = next(&heard);
    let (second, again) = next(&heard);
    // The same message under the same id.
    assert_eq!(first.strip_prefix("503 Busy "), second.strip_prefix("500 Broken "));
    assert_eq!(body, again);
    assert_eq!(body["type"], "finding.created");
    assert!(body["data"]["principal"].as_str().unwrap().starts_with("acct:"), "{body}");
    let mut all = taken(&heard, expected);
    assert_eq!(all.len(), expected);
    serving.kill();

    // What was there is not sent again; what comes is. One may have been under way.
    let serving = home.serve(&[]);
    home.run_with_input(["append", "-"], another().as_bytes()).good();
    let there = home.run(["findings", "--json"]).good().json_lines().len();
    assert!(there > expected);
    while all.len() < there {
        all.extend(taken(&heard, 1).into_iter().filter(|id| !all.contains(id)).collect::<Vec<_>>());
    }
    assert!(heard.recv_timeout(Duration::from_secs(3)).is_err(), "nothing is sent twice");
    let health = home.run(["doctor", "--json"]).good().json();
    let checks = health["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "webhook" && check["ok"] == true), "{health}");
    assert_eq!(serving.stop(), 0);
}

#[test]
fn what_waits_is_sent_although_it_was_taken_up_from_the_store() {
    let home = Home::with_migration();
    let before = home.run(["findings", "--json"]).good().json_lines().len();
    // Nobody listens there.
    settings(&home, "http://127.0.0.1:1/hooks", "");
    let serving = home.serve(&[]);
    let kept = home.store().join("follow/findings-webhook");
    while !kept.exists() {
        std::thread::sleep(Duration::from_millis(100));
    }
    home.run_with_input(["append", "-"], another().as_bytes()).good();
    let after = home.run(["findings", "--json"]).good().json_lines().len();
    assert!(after > before);
    assert_eq!(serving.stop(), 0);
    home.run(["rebuild"]).good();
    assert!(home.store().join("findings/state").exists());

    let (url, heard) = receiver(&[]);
    settings(&home, &url, "");
    let serving = home.serve(&[]);
    let mut all = taken(&heard, after - before);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), after - before);
    assert_eq!(serving.stop(), 0);
}

#[test]
fn a_first_start_sends_what_comes_and_not_what_was_there() {
    let home = Home::with_migration();
    let (url, heard) = receiver(&[]);
    settings(&home, &url, "format = \"ocsf\"\nmin_severity = \"high\"\n");
    let serving = home.serve(&[]);
    let kept = home.store().join("follow/findings-webhook");
    while !kept.exists() {
        std::thread::sleep(Duration::from_millis(100));
    }
    home.run_with_input(["append", "-"], another().as_bytes()).good();
    let (id, event) = next(&heard);
    assert!(id.contains("finding_019f92a4-7c00-7000-8001-"), "{id}");
    assert_eq!((&event["class_uid"], &event["severity_id"]), (&2004.into(), &4.into()), "{event}");
    assert_eq!(serving.stop(), 0);
}

#[test]
fn identities_are_told_of_and_what_is_suppressed_is_held_back() {
    let home = Home::new();
    let logged = |event: &str, time: &str, more: Value| {
        let mut record = serde_json::json!({
            "kind": "observation", "basis": "imported", "source": { "system": "cloudtrail:1", "event_id": event },
            "time": format!("2026-11-20T{time}Z"), "executor": { "key": "aws:user/ann", "type": "human" },
        });
        for (name, value) in more.as_object().unwrap() {
            record[name] = value.clone();
        }
        record.to_string() + "\n"
    };
    let used = |event: &str, time: &str, who: &str| {
        let who = serde_json::json!({ "key": who, "type": "service_account" });
        let more = serde_json::json!({ "executor": who, "credential": { "id": "AKIA1" }, "operation": "s3:GetObject" });
        logged(event, time, more)
    };
    let effect = serde_json::json!({ "kind": "credential", "credential": { "id": "AKIA1" }, "terms": { "change": "revoked" } });
    let revoked = logged("r", "11:00:00", serde_json::json!({ "effects": [effect] }));
    let records = [revoked, used("a", "12:00:00", "aws:user/etl"), used("b", "10:00:00", "aws:user/ci")];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    let suppress =
        ["findings", "suppress", "used-after-revocation", "--until", "1d", "--reason", "x", "--json"];
    let id = home.run(suppress).good().json()["id"].as_str().unwrap().to_owned();
    let (url, heard) = receiver(&[]);
    settings(&home, &url, "backfill = true\n");
    let serving = home.serve(&[]);
    let (name, body) = next(&heard);
    assert!(name.starts_with("204 No Content finding_shared-account_"), "{name}");
    assert_eq!(
        (&body["data"]["rule"], &body["data"]["subject"]),
        (&"shared-account".into(), &"AKIA1".into())
    );
    let others = body["data"]["others"].as_array().unwrap();
    assert!(
        others.len() == 2 && others.iter().all(|who| who.as_str().unwrap().starts_with("acct:")),
        "{body}"
    );
    assert!(heard.recv_timeout(Duration::from_secs(3)).is_err(), "what is suppressed is not sent");
    let health = home.run(["doctor", "--json"]).good().json();
    let checks = health["checks"].as_array().unwrap();
    let webhook = checks.iter().find(|check| check["name"] == "webhook").unwrap();
    assert!(webhook["detail"].as_str().unwrap().contains("1 suppressed"), "{webhook}");
    home.run(["findings", "unsuppress", &id]).good();
    let (name, body) = next(&heard);
    assert!(name.ends_with("_used-after-revocation"), "{name}");
    assert_eq!(body["data"]["rule"], "used-after-revocation");
    // That it was sent is kept behind the answer.
    while !home.run(["doctor", "--json"]).good().out.contains("2 findings sent") {
        std::thread::sleep(Duration::from_millis(200));
    }
    serving.kill();

    // Both were sent; a restart sends neither again, nor does the next look.
    let serving = home.serve(&[]);
    home.run_with_input(["append", "-"], used("c", "10:30:00", "aws:user/etl").as_bytes()).good();
    assert!(heard.recv_timeout(Duration::from_secs(8)).is_err(), "nothing is sent twice");
    assert_eq!(serving.stop(), 0);
}
