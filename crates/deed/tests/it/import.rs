//! `deed import`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Home, Ran, examples, finish, record, signal};

pub(crate) fn numbers(ran: &Ran) -> [u64; 4] {
    let answer = ran.json();
    let rejected = answer["rejected"].as_array().unwrap().len() as u64;
    let number = |name: &str| answer[name].as_u64().unwrap();
    let numbers = [number("events"), number("recorded"), number("duplicates"), rejected];
    assert_eq!(numbers[0], numbers[1] + numbers[2] + numbers[3], "{answer}");
    numbers
}

#[test]
fn aggregated_events_are_passed_over_and_texts_cut_within_a_character_taken() {
    let home = Home::new();
    let event = |id: &str, agent: &str| {
        format!(
            r#"{{"eventID":"{id}","eventTime":"2026-11-01T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","userIdentity":{{"type":"Root","accountId":"111122223333"}},"userAgent":"{agent}"}}"#
        )
    };
    let file = format!(r#"{{"Records":[{},{}]}}"#, event("1", "cut \\ud83d"), event("2", "whole"));
    home.write("logs/a.json", file);
    let sums_up = r#"{"Records":[{"eventVersion":"1.0","accountId":"111122223333","eventId":"3","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"eu-west-1","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2026-11-21T12:00:00Z","windowEnd":"2026-11-21T12:05:00Z","windowSize":"PT5M"},"summary":{"primaryDimension":{"dimension":"resourceARN","statistics":[{"name":"arn:aws:s3:::shop-assets","value":512}]},"details":[]}}]}"#;
    home.write("logs/b.json", sums_up);
    for source in ["cloudtrail", "auto"] {
        let ran = home.run(["import", "--json", source, home.path("logs").to_str().unwrap()]).good();
        let answer = ran.json();
        assert_eq!((numbers(&ran)[0], numbers(&ran)[3]), (2, 0), "{answer}");
        assert!(answer["skipped"][0].as_str().unwrap().ends_with("b.json"), "{answer}");
    }
    let text = home.run(["import", "cloudtrail", home.path("logs").to_str().unwrap()]).good();
    assert!(format!("{}{}", text.out, text.err).contains("aggregated events of CloudTrail"), "{text:?}");
}

#[test]
fn importing_twice_adds_nothing() {
    let home = Home::new();
    let cloudtrail = examples().join("cloudtrail");
    let import = || home.run(["import", "--json", "cloudtrail", cloudtrail.to_str().unwrap()]).good();
    let first = import();
    assert_eq!(numbers(&first), [3, 3, 0, 0]);
    let answer = first.json();
    assert_eq!(answer["source"], "cloudtrail");
    assert_eq!(answer["files"], 1);
    assert_eq!(answer["complete"], true);
    assert!(answer["seconds"].is_number());
    let skipped: Vec<&str> =
        answer["skipped"].as_array().unwrap().iter().filter_map(|skipped| skipped.as_str()).collect();
    assert!(
        skipped.len() == 2 && skipped[0].ends_with("LICENSE") && skipped[1].ends_with("NOTICE"),
        "{answer}"
    );
    assert_eq!(numbers(&import()), [3, 0, 3, 0]);
    // What Deed's own records say is known by its text, where they have no id.
    let file = home.write("own.ndjson", format!("{}\n{}\n", record(1), record(2)));
    let import = || home.run(["import", "--json", "deed", file.to_str().unwrap()]).good();
    assert_eq!(numbers(&import()), [2, 2, 0, 0]);
    assert_eq!(numbers(&import()), [2, 0, 2, 0]);
}

#[test]
fn guesses_what_each_file_is() {
    let home = Home::new();
    let samples = ["cloudtrail", "otlp", "i9.ndjson"].map(|name| examples().join(name));
    let import = |flags: &[&str]| {
        home.run(flags.iter().copied().chain(samples.iter().map(|path| path.to_str().unwrap()))).good()
    };
    let answer = import(&["import", "--json", "auto"]).json();
    assert_eq!(answer["source"], "auto");
    assert_eq!(answer["sources"], serde_json::json!({ "cloudtrail": 1, "deed": 1, "otlp": 2 }));
    assert_eq!(answer["rejected"], serde_json::json!([]));
    assert_eq!(answer["events"], 3 + 9 + 5 + 12);
    let text = import(&["import", "auto"]).out;
    assert!(text.contains("0 recorded, 29 there before, 0 rejected"), "{text}");
    let unknown = home.write("what.txt", "hello\n");
    let ran = home.run(["import", "--json", "auto", unknown.to_str().unwrap()]);
    assert_eq!((ran.code, numbers(&ran)), (1, [1, 0, 0, 1]), "{ran:?}");
}

#[test]
fn bad_events_keep_no_other_out() {
    let home = Home::new();
    let broken = r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{"type":"agent"},"#;
    let wrong = record(3).replace("observation", "obsevation");
    let nested = record(4).replacen("{", r#"{"unknown":1,"#, 1);
    let file = home.write(
        "mixed.ndjson",
        format!("{}\n{broken}\n{wrong}\n{}\n{nested}\nnoise\n{}\n", record(1), record(2), record(5)),
    );
    let ran = home.run(["import", "--json", "deed", file.to_str().unwrap(), "nowhere"]).good();
    assert_eq!(numbers(&ran), [8, 3, 0, 5]);
    let rejected = ran.json()["rejected"].clone();
    let at = |line: u64| {
        let found = rejected.as_array().unwrap().iter().find(|rejected| rejected["line"] == line);
        found.unwrap_or_else(|| panic!("line {line}: {rejected}"))["error"].as_str().unwrap().to_owned()
    };
    assert!(at(3).contains("field `kind`"), "{rejected}");
    assert!(at(5).contains("`unknown`"), "{rejected}");
    assert!(!at(2).is_empty() && !at(6).is_empty());
    let missing = rejected.as_array().unwrap().iter().find(|rejected| rejected["file"] == "nowhere").unwrap();
    assert_eq!(missing["line"], Value::Null);
    let text = home.run(["import", "deed", file.to_str().unwrap()]).good().out;
    assert!(
        text.contains("rejected") && text.contains("line 3: field `kind`") && text.contains("jq .rejected"),
        "{text}"
    );
    // Nothing at all.
    let ran = home.run(["import", "--json", "deed", "nowhere"]);
    assert_eq!((ran.code, numbers(&ran)), (1, [1, 0, 0, 1]), "{ran:?}");
}

#[test]
fn a_file_of_another_system_or_of_none_is_named_as_such() {
    let home = Home::new();
    let told = |file: &std::path::Path, words: &[&str]| {
        let ran = home.run(["import", "okta", file.to_str().unwrap()]);
        assert!(ran.code == 1 && words.iter().all(|word| ran.out.contains(word)), "{words:?}: {ran:#?}");
    };
    let file = examples().join("cloudtrail/leave-organization.json");
    told(
        &file,
        &["leave-organization.json, line 2", "looks like one of `cloudtrail`", "no event could be read"],
    );
    let empty = home.write("empty.json", "\n");
    told(&empty, &["there is no event in it"]);
    let wide: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = home.write("wide.jsonl", wide);
    told(&wide, &["wide.jsonl, line 1", "iconv -f UTF-16"]);
}

#[test]
fn what_is_told_of_one_action_is_one_in_any_order() {
    let entry = |kind: &str, id: u32| {
        format!(
            r#"{{"time":"2026-11-20T10:00:00Z","type":"{kind}","request":{{"id":"r-{id}","operation":"read","path":"secret/data/db"}}}}"#
        ) + "\n"
    };
    let home = Home::new();
    let import = |text: String| {
        numbers(&home.run_with_input(["import", "--json", "auto", "-"], text.as_bytes()).good())
    };
    let found = || {
        let found = home.run(["find", "--json"]).good().json_lines();
        found
            .iter()
            .map(|action| (action["id"].to_string(), action["status"].to_string()))
            .collect::<Vec<_>>()
    };
    // Until the response is there, the request stands for the call.
    import(entry("request", 1));
    assert_eq!(found().len(), 1);
    let lonely = found()[0].0.clone();
    import(entry("response", 1));
    import(entry("response", 2));
    import(entry("request", 2));
    assert_eq!(found().len(), 2);
    assert!(found().iter().all(|(id, status)| *id != lonely && status == "\"success\""), "{:?}", found());
    assert_eq!(import(entry("request", 1) + &entry("response", 1)), [2, 0, 2, 0]);
    // Asked for by the request, it is the same action.
    let explained = home.run(["explain", "--json", lonely.trim_matches('"')]).good().json();
    assert_eq!(explained["outcome"]["status"], "success");
    assert_ne!(explained["action"]["id"].to_string(), lonely);
}

#[test]
fn spans_and_log_records_of_an_agents_call_are_one_action() {
    const TRACE: &str = "5b8efff798038103d269b633813fc60c";
    let attributes = |members: Value| -> Value {
        let one = |value: &Value| {
            if value.is_boolean() { json!({"boolValue": value}) } else { json!({"stringValue": value}) }
        };
        members
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| json!({"key": key, "value": one(value)}))
            .collect()
    };
    let resource = json!({"attributes": attributes(json!({"service.name": "claude-code"}))});
    let span = |name: &str, id: &str, parent: &str, members| {
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{
            "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": name, "startTimeUnixNano": "1795456802000000000",
            "endTimeUnixNano": "1795456805000000000", "attributes": attributes(members),
        }]}]}]})
    };
    let log = |name: &str, members| {
        json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{
            "traceId": TRACE, "spanId": "aaaaaaaaaaaaaaa1", "eventName": name, "timeUnixNano": "1795456805000000000",
            "attributes": attributes(members),
        }]}]}]})
    };
    let (session, call) = ("s-1", "toolu_1");
    // Each comes in an export of its own.
    let exports = [
        span(
            "claude_code.tool",
            "aaaaaaaaaaaaaaa2",
            "aaaaaaaaaaaaaaa1",
            json!({"session.id": session, "tool_use_id": call, "tool_name": "mcp__tickets__create"}),
        ),
        span(
            "claude_code.tool.execution",
            "aaaaaaaaaaaaaaa3",
            "aaaaaaaaaaaaaaa2",
            json!({"session.id": session, "tool_use_id": call, "success": true}),
        ),
        log(
            "claude_code.tool_decision",
            json!({"session.id": session, "tool_use_id": call, "tool_name": "mcp__tickets__create", "decision": "accept", "source": "config"}),
        ),
        log(
            "claude_code.tool_result",
            json!({"session.id": session, "tool_use_id": call, "tool_name": "mcp__tickets__create", "success": "true"}),
        ),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 1, 3, 0], [1, 0, 3, 2]] {
        let home = Home::new();
        for _ in 0..2 {
            for at in order {
                home.run_with_input(["import", "otlp", "-"], exports[at].to_string().as_bytes()).good();
            }
        }
        let found = home.run(["find", "--json", "--tool", "tickets/create"]).good().json_lines();
        let [row] = &found[..] else { panic!("{order:?}: {found:#?}") };
        assert_eq!(row["status"], "success", "{order:?}");
        #[cfg(feature = "sql")]
        {
            let query = "SELECT id, outcome_status FROM actions";
            let actions = home.run(["sql", "--json", query]).good().json_lines();
            assert_eq!(actions, [json!({"id": row["id"], "outcome_status": "success"})], "{order:?}");
        }
        let answer = home.run(["explain", "--json", row["id"].as_str().unwrap()]).good().json();
        assert_eq!(
            (&answer["decision"]["effect"], &answer["outcome"]["status"], &answer["action"]["conflicts"]),
            (&json!("allow"), &json!("success"), &json!([])),
            "{order:?}"
        );
        assert_eq!(home.run(["find", "--json"]).good().json_lines().len(), 1, "{order:?}");
    }
}

#[test]
fn text_that_is_no_json_spoils_no_batch() {
    let home = Home::new();
    // Whole as far as braces tell, and yet no JSON: it is found among the records that it was sent with.
    let all: String = (0..40)
        .map(
            |number| if number == 23 { "{\"kind\":observation}\n".to_owned() } else { record(number) + "\n" },
        )
        .collect();
    let ran = home.run_with_input(["import", "--json", "deed", "-"], all.as_bytes()).good();
    assert_eq!(numbers(&ran), [40, 39, 0, 1]);
    assert_eq!(ran.json()["rejected"][0]["line"], 24);
}

#[test]
fn reads_standard_input_and_gzip() {
    let home = Home::new();
    let trail = std::fs::read(examples().join("cloudtrail/leave-organization.json")).unwrap();
    assert_eq!(numbers(&home.run_with_input(["import", "--json", "auto", "-"], &trail).good()), [3, 3, 0, 0]);
    let plain = home.write("trail.json", &trail);
    let zipped = Command::new("gzip").arg("-k").arg(&plain).status();
    if zipped.is_ok_and(|status| status.success()) {
        std::fs::remove_file(plain).unwrap();
        assert_eq!(
            numbers(&home.run(["import", "--json", "cloudtrail", "trail.json.gz"]).good()),
            [3, 0, 3, 0]
        );
        // Cut off before its end: what came before is not lost, however little it is.
        let whole = std::fs::read(home.path("trail.json.gz")).unwrap();
        home.write("cut.json.gz", &whole[..whole.len() - 8]);
        let cut = home.run(["import", "--json", "auto", "cut.json.gz"]).good();
        assert_eq!(numbers(&cut), [4, 0, 3, 1]);
        assert!(cut.json()["rejected"][0]["error"].as_str().unwrap().contains("cut off"), "{cut:?}");
    } else {
        println!("skipped: there is no gzip here");
    }
}

#[test]
fn ctrl_c_leaves_a_clean_state() {
    let home = Home::new();
    let mut child = home
        .command(["import", "--json", "deed", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Two batches and a part of one, and then the input hangs.
    for number in 0..1200 {
        stdin.write_all((record(number) + "\n").as_bytes()).unwrap();
    }
    stdin.flush().unwrap();
    while home.store().join("deed.sock").metadata().is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    signal(&child, "INT");
    let ran = finish(child.wait_with_output().unwrap()).bad(1, &["interrupted", "run it again"]);
    drop(stdin);
    let [events, recorded, ..] = numbers(&ran);
    assert_eq!(ran.json()["complete"], false);
    assert_eq!((events, recorded), (1000, 1000), "what was sent is told");
    assert!(!home.store().join("deed.sock").exists(), "it let go of the store");
    assert_eq!(home.run(["find", "--json", "--limit", "5000"]).good().json_lines().len(), 1000);
    home.run(["verify"]).good();
}

#[test]
fn imports_the_real_samples() {
    let Some(samples) = std::env::var_os("DEED_DATA_SAMPLES") else {
        return println!("skipped: DEED_DATA_SAMPLES is not set");
    };
    let samples = std::path::PathBuf::from(samples);
    let home = Home::new();
    for (source, files, events) in [("cloudtrail", 35, 310), ("otlp", 8, 76)] {
        let folder = samples.join(source);
        let import = || home.run(["import", "--json", source, folder.to_str().unwrap()]).good();
        let first = import();
        assert_eq!(first.json()["files"], files, "{source}");
        let [all, recorded, duplicates, rejected] = numbers(&first);
        assert_eq!((all, rejected), (events, 0), "{source}");
        assert_eq!(recorded + duplicates, events);
        assert_eq!(numbers(&import()), [events, 0, events, 0], "{source}");
    }
    home.run(["verify"]).good();
}

#[test]
fn what_is_suggested_works_when_it_is_pasted() {
    let home = Home::new();
    let one = home.write("my logs/a.ndjson", record(1) + "\n");
    let other = home.write("it's/b.ndjson", format!("{}\nnoise\n", record(2)));
    let data = home.path("my store");
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    let import = |more: &[&str]| {
        home.run([&["import", "deed", one], more, &["--data", data.to_str().unwrap()]].concat()).good().out
    };
    let hint = |text: &str, label: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no `{label}`: {text}")).trim().to_owned()
    };
    let paste = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env_remove("DEED_DATA").env("XDG_DATA_HOME", home.path("elsewhere"));
        finish(shell.stdin(Stdio::null()).current_dir(home.path("")).output().unwrap()).good().out
    };
    let text = import(&[other]);
    let all = hint(&text, "all of it").replace("| jq .rejected", "");
    let answer: Value = serde_json::from_str(&paste(&all)).unwrap();
    assert_eq!((&answer["duplicates"], &answer["recorded"]), (&2.into(), &0.into()), "{all}");
    assert_eq!(answer["rejected"][0]["line"], 2, "{all}");
    let next = hint(&import(&[]), "next");
    let [find, verify] = next.split("    ").map(str::trim).collect::<Vec<_>>()[..] else { panic!("{next}") };
    let found = paste(find);
    assert!(found.contains("tickets/create"), "{found}");
    paste(verify);
    // And so on from there.
    let id = found.split_whitespace().find(|word| word.len() == 36).unwrap();
    let explained = paste(&hint(&found, "next").replace("explain ID", &format!("explain {id}")));
    assert!(
        explained.contains("tickets/create") && explained.contains(data.to_str().unwrap()),
        "{explained}"
    );
    assert!(!home.path("elsewhere").exists(), "nothing was made elsewhere");
    // Where there is no store, what would make it.
    let nowhere = home.path("no where");
    let ran = home.run(["find", "--data", nowhere.to_str().unwrap()]).bad(3, &["import auto PATH --data '"]);
    assert!(ran.err.contains("no where'"), "{ran:?}");
}

#[test]
fn reads_old_files_anew_with_a_newer_mapping() {
    let home = Home::new();
    let event = |version: u32, operation: &str| {
        format!(
            r#"{{"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"{operation}","source":{{"system":"s","event_id":"e1","collector":"x/{version}"}},"disclose":{{"event":{{"raw":1}}}}}}"#
        )
    };
    let import = |more: &[&str], text: String| {
        numbers(
            &home.run_with_input([&["import", "--json", "deed", "-"], more].concat(), text.as_bytes()).good(),
        )
    };
    assert_eq!(import(&[], event(1, "read wrongly")), [1, 1, 0, 0]);
    assert_eq!(import(&[], event(2, "read well")), [1, 0, 1, 0]);
    assert_eq!(import(&["--again"], event(2, "read well")), [1, 1, 0, 0]);
    assert_eq!(import(&["--again"], event(2, "read well")), [1, 0, 1, 0]);
    let rows = home.run(["find", "--json"]).good().json_lines();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["operation"], "read well");
    home.run(["verify"]).good();
    // The mapping of this version reads its own events as before.
    let trail = examples().join("cloudtrail");
    let import = |more: &[&str]| {
        numbers(
            &home.run([&["import", "--json", "cloudtrail", trail.to_str().unwrap()], more].concat()).good(),
        )
    };
    assert_eq!(import(&["--again"]), [3, 3, 0, 0]);
    assert_eq!(import(&["--again"]), [3, 0, 3, 0]);
}

#[test]
fn a_mapping_file_reads_what_deed_does_not_know() {
    let documentation = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/collectors.md"),
    )
    .unwrap();
    let section = documentation.split("\n## Mapping files").nth(1).unwrap();
    let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).take(4).collect();
    let home = Home::new();
    let files: Vec<_> = ["pam.toml", "pam.csv", "tickets.toml", "tickets.json"]
        .iter()
        .zip(&blocks)
        .map(|(name, block)| home.write(name, block.split_once('\n').unwrap().1))
        .collect();
    let import = |mapping: usize, events: usize| {
        home.run([
            "import",
            "--json",
            "--mapping",
            files[mapping].to_str().unwrap(),
            files[events].to_str().unwrap(),
        ])
    };
    let sessions = import(0, 1).good();
    assert_eq!(numbers(&sessions), [2, 2, 0, 0]);
    assert_eq!(sessions.json()["source"], "pam:acme");
    assert_eq!(numbers(&import(2, 3).good()), [2, 2, 0, 0]);
    assert_eq!(numbers(&import(0, 1).good()), [2, 0, 2, 0], "importing again adds nothing");

    // What the tickets say is joined to the session that names them.
    let found = home.run(["find", "--json", "--status", "success", "--resource", "host:db1"]).good();
    let explained = home.run(["explain", "--json", found.json()["id"].as_str().unwrap()]).good().json();
    assert_eq!(explained["initiator"]["type"], "human", "{explained}");
    assert_eq!(explained["request"]["edge"], "asserted", "{explained}");
    assert_eq!(explained["approvals"][0]["answer"], "approved", "{explained}");
    assert_eq!(explained["grant"]["role"], "db-admin", "{explained}");
    assert_eq!(explained["verdict"]["scope"]["value"], "in", "{explained}");

    // The mapping file is read before anything else.
    let wrong = home.write("wrong.toml", "name = \"x\"\nsystem = \"s\"\nformat = \"csv\"\nrecords = 1\n");
    let ran = home.run(["import", "--mapping", wrong.to_str().unwrap(), files[1].to_str().unwrap()]);
    assert!(ran.code == 1 && ran.err.contains("line 4: unknown key `records`"), "{ran:?}");
    let ran = home.run(["import", "nosuch", files[1].to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("cloudtrail"), "{ran:?}");
}
