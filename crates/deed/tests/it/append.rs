//! `deed append`.

use serde_json::json;

use crate::support::{Home, record};

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
    let ran = crate::support::finish(shell.output().unwrap()).good();
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
