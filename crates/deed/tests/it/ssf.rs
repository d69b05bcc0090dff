//! Security events: imported, and polled through a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use deed_token::SigningKey;
use serde_json::{Value, json};

use crate::{import::numbers, support::Home};

#[test]
fn a_file_of_events_is_imported_once() {
    let home = Home::new();
    let events = include_str!("../../../deed-collect/tests/fixtures/ssf.jsonl");
    let file = home.write("events.jsonl", format!("{events}{{\"iss\": \"https://idp.example\"}}\n"));
    let import = |source: &str| {
        let ran = home.run(["import", "--json", source, file.to_str().unwrap()]).good();
        (numbers(&ran), ran.json()["sources"].clone())
    };
    assert_eq!(import("auto"), ([36, 35, 0, 1], json!({ "ssf": 1 })));
    assert_eq!(import("ssf").0, [36, 0, 35, 1]);
}

/// What a transmitter has to say, and what was acknowledged.
type State = Arc<Mutex<(BTreeMap<String, String>, BTreeSet<String>)>>;

/// Answers one poll with three events at most (RFC 8936).
fn answer(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim_end().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let asked: Value = serde_json::from_slice(&body)?;
    assert_eq!(asked.get("setErrs"), None, "{asked}");
    let sets = {
        let mut state = state.lock().unwrap();
        for jti in asked["ack"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            state.0.remove(jti);
            state.1.insert(jti.to_owned());
        }
        state.0.iter().take(3).map(|(jti, set)| (jti.clone(), set.clone())).collect::<BTreeMap<_, _>>()
    };
    let text = json!({ "sets": sets, "moreAvailable": true }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    stream.get_mut().write_all(format!("{head}{text}").as_bytes())
}

fn rows(home: &Home) -> u64 {
    let count = home.run(["sql", "--json", "SELECT count(*) AS n FROM records"]).good().json();
    count["n"].as_u64().unwrap()
}

#[test]
fn a_receiver_that_is_killed_loses_no_event() {
    const EVENTS: usize = 90;
    let key = SigningKey::ed25519(&[7; 32]).unwrap();
    let issuer = "https://idp.example/1";
    let set = |number: usize| {
        let kind = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let claims = json!({
            "iss": issuer, "jti": format!("j-{number:03}"), "iat": 1_790_000_000 + number, "aud": "deed",
            "sub_id": { "format": "opaque", "id": format!("sess-{number}") }, "events": { kind: {} },
        });
        (format!("j-{number:03}"), key.sign("secevent+jwt", &[], &claims).unwrap())
    };
    let state: State = Arc::new(Mutex::new(((0..EVENTS).map(set).collect(), BTreeSet::new())));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/poll", listener.local_addr().unwrap());
    let serving = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A receiver that was killed has gone in the middle.
            let _gone = stream.and_then(|stream| answer(stream, &serving)).is_err();
        }
    });
    let home = Home::new();
    home.write("store/ssf.token", "0123456789abcdef0123456789abcdef\n");
    home.write("store/jwks.json", json!({ "keys": [key.public().to_jwk()] }).to_string());
    home.write(
        "store/deed.toml",
        format!(
            "[ssf.idp]\nissuer = \"{issuer}\"\naudience = \"deed\"\njwks_file = \"jwks.json\"\npoll = \"{url}\"\n\
             token_file = \"ssf.token\"\n"
        ),
    );
    let acked = || state.lock().unwrap().1.len();
    let until = |enough: usize| {
        for _ in 0..6000 {
            if acked() >= enough {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} of {EVENTS} were acknowledged", acked());
    };
    for enough in [EVENTS / 3, 2 * EVENTS / 3] {
        let serving = home.serve(&[]);
        until(enough);
        serving.kill();
        // Whatever was acknowledged is in the log.
        let acked = acked();
        let recorded = rows(&home);
        assert!(recorded >= acked as u64, "{recorded} recorded, {acked} acknowledged");
    }
    let serving = home.serve(&[]);
    until(EVENTS);
    assert_eq!(serving.stop(), 0);
    assert_eq!(rows(&home), EVENTS as u64, "each is there once");
}
