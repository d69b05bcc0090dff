//! `deed append`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::json;

use crate::support::{Home, finish, record, signal};

#[test]
fn gives_a_receipt_for_each_record() {
    let home = Home::new();
    let file = home.write("records.ndjson", format!("{}\n\n{}\n", record(1), record(2)));
    let receipts = home.run(["append", "--json", file.to_str().unwrap()]).good().json()["receipts"].clone();
    assert_eq!(receipts.as_array().unwrap().len(), 2);
    for (index, receipt) in receipts.as_array().unwrap().iter().enumerate() {
        assert_eq!(receipt["index"], index);
        assert!(receipt["log"].as_str().unwrap().starts_with("deed-"));
        assert_eq!(receipt["id"].as_str().unwrap().as_bytes()[14], b'7', "a UUIDv7: {receipt}");
        assert_eq!(receipt["duplicate"], serde_json::Value::Null);
    }
    let text = home.run_with_input(["append", "-"], format!("[{}]", record(3)).as_bytes()).good().out;
    assert!(text.contains("leaf 2") && text.contains("1 record recorded"), "{text}");
}

#[test]
fn the_same_id_again_is_the_same_record() {
    let home = Home::new();
    let id = "019f92a4-7c00-7000-8000-0000000000aa";
    let with_id = record(1).replacen('{', &format!("{{\"id\":\"{id}\","), 1);
    home.run_with_input(["append", "-"], with_id.as_bytes()).good();
    let again = home.run_with_input(["append", "--json", "-"], with_id.as_bytes()).good().json();
    assert_eq!(
        again,
        json!({ "receipts": [{ "id": id, "log": again["receipts"][0]["log"], "index": 0, "duplicate": true }] })
    );
    let other = record(2).replacen('{', &format!("{{\"id\":\"{id}\","), 1);
    home.run_with_input(["append", "-"], other.as_bytes())
        .bad(1, &["failed to append `standard input`", id, "leaf 0", "nothing was recorded"]);
    // Beside it the others are taken: what is said is what happened.
    let both = format!("{}\n{other}\n", record(3));
    home.run_with_input(["append", "-"], both.as_bytes())
        .bad(1, &["line 2", id, "the others up to line 2 are recorded"]);
    assert_eq!(home.run(["find", "--json"]).good().json_lines().len(), 2);
}

#[test]
fn one_bad_record_and_nothing_is_recorded() {
    let home = Home::new();
    let bad = r#"{"kind":"observation","time":"yesterday","executor":{"type":"agent"}}"#;
    let file = home.write("records.json", format!("[\n{},\n{bad}\n]", record(1)));
    home.run(["append", file.to_str().unwrap()]).bad(
        1,
        &["failed to append", "records.json", "line 3, field `time`", "`yesterday`", "nothing was recorded"],
    );
    home.run_with_input(["append", "-"], b"{\"kind\":").bad(1, &["not JSON", "nothing was recorded"]);
    home.run_with_input(["append", "-"], b"").bad(1, &["holds no record"]);
    let enforced = record(1).replacen('{', "{\"basis\":\"enforced\",", 1);
    home.run_with_input(["append", "-"], enforced.as_bytes()).bad(1, &["field `basis`", "enforced"]);
    home.run(["append", "nowhere.json"]).bad(1, &["nowhere.json", "No such file"]);
    // None of that made a store.
    home.run(["find"]).bad(3, &["there is no store"]);
}

#[test]
fn the_example_of_the_help_page_works() {
    let home = Home::new();
    let help = home.run(["append", "--help"]).good().out;
    let example = help.split("  echo ").nth(1).unwrap().split("\n\n").next().unwrap();
    let deed = std::path::Path::new(env!("CARGO_BIN_EXE_deed")).parent().unwrap().to_owned();
    let path = format!("{}:{}", deed.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("echo {example}")]).env("PATH", path).env("DEED_DATA", home.store());
    let ran = finish(shell.output().unwrap()).good();
    assert!(ran.out.contains("1 record recorded"), "{ran:?}");
}

#[test]
fn goes_in_whatever_the_size() {
    let home = Home::new();
    let all: String = (0..1201).map(|number| record(number) + "\n").collect();
    let receipts = home.run_with_input(["append", "--json", "-"], all.as_bytes()).good().json();
    let receipts = receipts["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 1201);
    assert!(receipts.iter().enumerate().all(|(index, receipt)| receipt["index"] == index));
}

/// A server in front of the one at `to`: it passes `good` answers on, and says 503 instead of each other one, once what was
/// sent is recorded.
fn forgetful(to: std::net::SocketAddr, good: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut answered = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = message(&stream) else { continue };
            let mut behind = TcpStream::connect(to).unwrap();
            behind.write_all(&request).unwrap();
            let answer = message(&behind).unwrap();
            answered += 1;
            let unavailable =
                b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(if answered > good { unavailable } else { &answer }).unwrap();
        }
    });
    url
}

/// A whole message of HTTP that says its length.
fn message(stream: &TcpStream) -> Option<Vec<u8>> {
    let (mut reader, mut all, mut length) = (BufReader::new(stream), Vec::new(), 0);
    loop {
        let begins = all.len();
        reader.read_until(b'\n', &mut all).ok().filter(|read| *read > 0)?;
        let line = String::from_utf8_lossy(&all[begins..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let head = all.len();
    all.resize(head + length, 0);
    reader.read_exact(&mut all[head..]).ok()?;
    Some(all)
}

/// What stands behind `--retry` in what was said.
fn retry(said: &str) -> String {
    said.split("--retry ").nth(1).unwrap().split('`').next().unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn what_was_recorded_without_an_answer_is_not_recorded_twice() {
    let home = Home::new();
    let serving = home.serve(&[]);
    let http = serving.http.unwrap();
    // Two of them are equal on purpose.
    let all: String = [1, 2, 2].map(|number| record(number) + "\n").concat();
    let file = home.write("some.ndjson", &all);
    let file = file.to_str().unwrap();
    let ran = home.run(["append", file, "--server", &forgetful(http, 0)]);
    let ran = ran.bad(7, &["whether any of it was recorded is open", "nothing twice"]);
    assert!(!ran.err.contains("nothing was recorded"), "{ran:?}");
    let again = home.run(["append", "--json", file, "--retry", &retry(&ran.err)]).good().json();
    let receipts = again["receipts"].as_array().unwrap().clone();
    assert_eq!(receipts.len(), 3);
    assert!(receipts.iter().all(|receipt| receipt["duplicate"] == true), "{receipts:?}");
    // Without it, they are other records.
    let anew = home.run(["append", "--json", file]).good().json();
    assert_eq!(anew["receipts"][2]["index"], 5);
    assert_eq!(serving.stop(), 0);
}

#[test]
fn an_append_that_failed_on_its_way_goes_on_where_it_was() {
    let home = Home::new();
    let serving = home.serve(&[]);
    let http = serving.http.unwrap();
    let all: String = (0..1201).map(|number| record(number) + "\n").collect();
    let file = home.write("all.ndjson", &all);
    let ran = home.run(["append", file.to_str().unwrap(), "--server", &forgetful(http, 1)]);
    let ran = ran.bad(7, &["500 records before it recorded; whether any from line 501 on were is open"]);
    // A line more at the top: all others are known again.
    let more = home.write("all.ndjson", format!("{}\n{all}", record(1201)));
    let id = retry(&ran.err);
    let nobody = ["append", more.to_str().unwrap(), "--retry", &id, "--server", "http://127.0.0.1:1"];
    assert_eq!(retry(&home.run(nobody).bad(7, &["nothing more was recorded"]).err), id);
    let retried = home.run(["append", "--json", more.to_str().unwrap(), "--retry", &id]).good();
    let receipts = retried.json()["receipts"].as_array().unwrap().clone();
    let there_before = receipts.iter().filter(|receipt| receipt["duplicate"] == true).count();
    assert_eq!((receipts.len(), there_before), (1202, 1000));
    assert_eq!(serving.stop(), 0);
}

#[test]
fn a_line_that_is_refused_late_is_mended_and_the_rest_recorded() {
    let home = Home::new();
    let id = "019f92a4-7c00-7000-8000-0000000000ab";
    let with_id = |number| record(number).replacen('{', &format!("{{\"id\":\"{id}\","), 1);
    home.run_with_input(["append", "-"], with_id(1).as_bytes()).good();
    let file = home.write("two.ndjson", format!("{}\n{}\n", record(3), with_id(2)));
    let ran = home.run(["append", file.to_str().unwrap()]);
    let ran = ran.bad(1, &["line 2", "the others up to line 2 are recorded"]);
    home.write("two.ndjson", format!("{}\n{}\n", record(3), record(2)));
    let retried = home.run(["append", "--json", file.to_str().unwrap(), "--retry", &retry(&ran.err)]).good();
    assert_eq!(retried.json()["receipts"][0]["duplicate"], true);
    assert_eq!(retried.json()["receipts"][1]["index"], 2);
    // What names itself needs no `--retry`.
    let named = home.write("named.ndjson", format!("{}\n{}\n", with_id(2), with_id(1)));
    let ran = home.run(["append", named.to_str().unwrap()]).bad(1, &["line 1", "nothing twice"]);
    assert!(!ran.err.contains("--retry"), "{ran:?}");
}

#[test]
fn what_was_never_sent_is_not_recorded() {
    let home = Home::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{nobody}");
    home.run_with_input(["append", "-", "--server", &server], record(1).as_bytes())
        .bad(7, &["nobody answers", "nothing was recorded"]);
}

#[test]
fn an_append_that_is_interrupted_says_how_to_go_on() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let file = home.write("one.ndjson", record(1));
    let child = home
        .command(["append", file.to_str().unwrap(), "--server", &server])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has been sent, and nobody answers.
    let sent = message(&silent.accept().unwrap().0);
    assert!(sent.is_some());
    signal(&child, "INT");
    let ran = finish(child.wait_with_output().unwrap());
    ran.bad(1, &["interrupted", "is open", "--retry", "nothing twice"]);
}
