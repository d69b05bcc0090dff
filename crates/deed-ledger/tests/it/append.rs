//! Appending: receipts, names, refusals.

use deed_ledger::{AppendError, Key, Pace, Sender};
use deed_record::{Alias, Kind, Skeleton, Written, parse_one};
use serde_json::{Value, json};

use crate::support::{append, observations, open, sender};

#[test]
fn receipts_count_up_and_leaves_come_back() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let receipts = append(&ledger, &observations(0, 10));
    assert_eq!(receipts.iter().map(|r| r.index).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(ledger.size(), 10);
    let sealed = ledger.leaf(3).expect("there");
    let skeleton = sealed.skeleton().expect("a record");
    assert_eq!(skeleton.id, receipts[3].id);
    assert_eq!(skeleton.kind, Kind::Observation);
    assert_eq!(&*skeleton.submitter, "test");
    assert!(skeleton.recorded.0 > 0);
    let mut canonical = Vec::new();
    skeleton.write_canonical(&mut canonical);
    assert_eq!(canonical, &*sealed.leaf, "sealed bytes are canonical");
}

#[test]
fn people_are_sealed_as_accounts_and_named_beside() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(
        &ledger,
        r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","initiator":{"key":"okta:ann@example.com","type":"human","name":"Ann Example"},"executor":{"key":"bot","type":"agent"},"resource":{"uri":"mailbox:/ann@example.com/inbox"},"personal":{"address":"192.0.2.7"}}"#,
    );
    let sealed = ledger.leaf(0).expect("there");
    let text = std::str::from_utf8(&sealed.leaf).expect("text");
    for personal in ["ann@example.com", "Ann Example", "192.0.2.7"] {
        assert!(!text.contains(personal), "`{personal}` is in the skeleton: {text}");
    }
    let names = ledger.names(0).expect("names");
    assert!(
        names.iter().any(
            |(_, name)| name.key == "okta:ann@example.com" && name.name.as_deref() == Some("Ann Example")
        )
    );
    let ann = ledger.account("default", "okta:ann@example.com").expect("a key").expect("a tenant");
    assert_eq!(ledger.lookup(&Key::Initiator(ann), 10, None).expect("found"), [0]);
    assert_eq!(ledger.lookup(&Key::Executor(ann), 10, None).expect("looked"), [0_u64; 0]);
    assert_eq!(Alias::parse("okta:ann@example.com").system, "okta");
    let disclosed: Vec<String> = ledger.disclosures(0).expect("open").into_iter().map(|d| d.name).collect();
    assert_eq!(disclosed, ["initiator.name", "personal.address"]);
}

#[test]
fn people_in_uris_are_sealed_as_accounts_however_they_are_spelled() {
    let people = r#""initiator":{"key":"okta:ann.meyer@example.com","type":"human"},"executor":{"key":"corp:Jörg","type":"human"},"chain":[{"principal":{"key":"corp:ann","type":"human"}}]"#;
    for (uri, ann, sealed) in [
        ("mail:/ann.meyer%40example.com/in", true, "mail:/ACCOUNT/in"),
        ("mail:/Ann.Meyer@Example.COM", true, "mail:/ACCOUNT"),
        ("web:/?to=ANN%2emeyer%2540example.com&x=%2F", true, "web:/?to=ACCOUNT&x=%2F"),
        ("mail:/%61nn.meyer@example.com/ann.meyer@example.com", true, "mail:/ACCOUNT/ACCOUNT"),
        ("home:/J%C3%B6rg/%", false, "home:/ACCOUNT/%"),
        ("home:/J%F6RG/%zz", false, "home:/ACCOUNT/%zz"),
        ("home:/JÖRG%", false, "home:/ACCOUNT%"),
        ("db:/invoices%20of%20may", true, "db:/invoices%20of%20may"),
    ] {
        let dir = tempfile::tempdir().expect("folder");
        let ledger = open(dir.path());
        let effect =
            format!(r#"{{"kind":"grant","resource":{{"uri":"{uri}"}},"terms":{{"change":"issued"}}}}"#);
        append(
            &ledger,
            &format!(
                r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z",{people},"resource":{{"uri":"{uri}"}},"effects":[{effect}]}}"#
            ),
        );
        let leaf = ledger.leaf(0).expect("there");
        let record = deed_record::Skeleton::parse(&leaf.leaf).expect("a record");
        let key = if ann { "okta:ann.meyer@example.com" } else { "corp:Jörg" };
        let account = ledger.account("default", key).expect("a key").expect("a tenant").to_string();
        let sealed = sealed.replace("ACCOUNT", &account);
        assert_eq!(record.resource.as_ref().expect("one").uri.to_string(), sealed, "{uri}");
        let effects = record.effects.as_deref().expect("one");
        assert_eq!(effects[0].resource.as_ref().expect("one").uri.to_string(), sealed, "{uri}, in an effect");
    }
}

#[test]
fn disclosures_keep_the_exact_bytes_and_match_their_digests() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(
        &ledger,
        r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{"type":"unknown"},"disclose":{"arguments":{"x" : 1.50e0, "y":[1,  2]},"prompt":"hi","result":{}}}"#,
    );
    let opened = ledger.disclosures(0).expect("open");
    let value = |name: &str| {
        let json = &opened.iter().find(|d| d.name == name).expect(name).json;
        deed_seal::sd::Disclosure::from_json(json.clone()).expect("a disclosure").value_json().to_owned()
    };
    assert_eq!(value("x"), "1.50e0");
    assert_eq!(value("y"), "[1,  2]");
    assert_eq!(value("prompt"), "\"hi\"");
    assert_eq!(value("result"), "{}");
    let leaf = ledger.leaf(0).expect("there");
    let payload: Value = serde_json::from_slice(&leaf.leaf).expect("JSON");
    let disclosures: Vec<_> = opened
        .iter()
        .map(|d| deed_seal::sd::Disclosure::from_json(d.json.clone()).expect("a disclosure"))
        .collect();
    let unpacked = deed_seal::sd::unpack(&payload, &disclosures).expect("RFC 9901 accepts every disclosure");
    assert_eq!(
        unpacked["disclose"],
        json!({"arguments": {"x": 1.5, "y": [1, 2]}, "prompt": "hi", "result": {}})
    );
}

#[test]
fn the_same_id_gives_the_same_receipt_and_other_content_a_conflict() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let id = "0193a7c0-0000-7000-8000-000000000001";
    let record = |n: u32| {
        format!(
            r#"{{"id":"{id}","kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"disclose":{{"arguments":{{"n":{n}}}}}}}"#
        )
    };
    let first = append(&ledger, &record(1));
    let again = append(&ledger, &record(1));
    assert_eq!((first[0].index, again[0].index, again[0].duplicate), (0, 0, true));
    let conflict = ledger.append(record(2).as_bytes(), &sender()).expect_err("other content");
    assert!(matches!(conflict, AppendError::Conflict { first: 0, .. }), "{conflict}");
    // Twice in one body.
    let body = format!("[{},{}]", record(1).replace("001\"", "002\""), record(1).replace("001\"", "002\""));
    let both = append(&ledger, &body);
    assert_eq!((both[0].index, both[1].index, both[1].duplicate), (1, 1, true));
    assert_eq!(ledger.size(), 2);
}

#[test]
fn to_state_a_default_is_to_send_the_same() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let plain = |id: u32| {
        format!(
            r#"{{"id":"0193a7c0-0000-7000-8000-00000000000{id}","kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}}}}"#
        )
    };
    let stated = |id: u32, more: &str| plain(id).replacen('{', &format!("{{{more},"), 1);
    let all = r#""basis":"reported","tenant":"default","retention":"default""#;
    append(&ledger, &plain(1));
    for more in [r#""basis":"reported""#, r#""tenant":"default""#, all] {
        let again = append(&ledger, &stated(1, more));
        assert_eq!((again[0].index, again[0].duplicate), (0, true), "{more}");
    }
    append(&ledger, &stated(2, all));
    for again in [append(&ledger, &stated(2, all)), append(&ledger, &plain(2))] {
        assert_eq!((again[0].index, again[0].duplicate), (1, true));
    }
    let other = ledger.append(stated(1, r#""environment":"prod""#).as_bytes(), &sender());
    assert!(matches!(other, Err(AppendError::Conflict { first: 0, .. })));
}

#[test]
fn an_imported_event_is_known_by_its_original_bytes() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let record = |operation: &str, event: &str| {
        format!(
            r#"{{"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"{operation}","source":{{"system":"cloudtrail:1","event_id":"e-1"}},"disclose":{{"event":{event}}}}}"#
        )
    };
    let first = append(&ledger, &record("a", r#"{"x":1}"#));
    // A newer collector makes something else of the same bytes: nothing is added.
    let mapped_anew = append(&ledger, &record("b", r#"{"x":1}"#));
    assert_eq!((mapped_anew[0].id, mapped_anew[0].duplicate), (first[0].id, true));
    // Other bytes under the same event id are kept beside, once.
    let each = |event: &str| {
        ledger.append_each(record("a", event).as_bytes(), &sender()).expect("read")[0].clone().expect("kept")
    };
    let conflicting = each(r#"{"x":2}"#);
    assert_eq!((conflicting.index, conflicting.duplicate), (1, false));
    let sealed = ledger.leaf(1).expect("there");
    assert_eq!(sealed.skeleton().expect("a record").conflicts_with, Some(first[0].id));
    assert_eq!((each(r#"{"x":2}"#).index, each(r#"{"x":2}"#).duplicate), (1, true));
    assert_eq!(ledger.size(), 2);
    // And no less where all of a body is to be recorded or nothing.
    let third = append(&ledger, &record("a", r#"{"x":3}"#));
    assert_eq!((third[0].index, third[0].duplicate, ledger.size()), (2, false, 3));
}

#[test]
fn an_imported_event_is_one_whoever_gives_it_an_id() {
    let record = |id: &str, event: &str| {
        let id = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","#) };
        format!(
            r#"{{{id}"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"source":{{"system":"jira:acme","event_id":"e-1"}},"disclose":{event}}}"#
        )
    };
    let (a, b) = ("0193a7c0-0000-7000-8000-00000000000a", "0193a7c0-0000-7000-8000-00000000000b");
    let (one, other) = (r#"{"event":{"x":1}}"#, r#"{"event":{"x":2}}"#);
    // With the original event and without, in every order, in one body or after another.
    for event in [one, r#"{"arguments":{"x":1}}"#] {
        for ids in [[a, b, ""], ["", a, b], [a, "", a], [b, b, ""]] {
            let dir = tempfile::tempdir().expect("folder");
            let ledger = open(dir.path());
            let first = append(&ledger, &record(ids[0], event))[0].clone();
            for id in ids {
                let again = append(&ledger, &record(id, event))[0].clone();
                assert_eq!((again.id, again.index, again.duplicate), (first.id, 0, true), "{ids:?}");
            }
            ledger.close().expect("closed");
            let together = tempfile::tempdir().expect("folder");
            let ledger = open(together.path());
            let receipts = append(&ledger, &ids.map(|id| record(id, event)).join("\n"));
            assert!(receipts.iter().all(|receipt| receipt.id == first.id), "{receipts:?}");
            assert_eq!(ledger.size(), 1, "{ids:?}");
        }
    }
    // Other original bytes are kept beside, under the id that was asked for; the same id stands for no two.
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let first = append(&ledger, &record("", one))[0].clone();
    for duplicate in [false, true] {
        let beside = append(&ledger, &record(b, other))[0].clone();
        assert_eq!((beside.id.to_string().as_str(), beside.index, beside.duplicate), (b, 1, duplicate));
    }
    let conflicts_with = ledger.leaf(1).expect("there").skeleton().expect("a record").conflicts_with;
    assert_eq!(conflicts_with, Some(first.id));
    let refused = ledger.append(record(b, one.replace('1', "3").as_str()).as_bytes(), &sender());
    assert!(matches!(refused, Err(AppendError::Conflict { first: 1, .. })), "{refused:?}");
    assert_eq!(ledger.size(), 2);
}

#[test]
fn events_of_one_action_name_it_before_it_is_there() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let record = |event_id: &str, members: &str| {
        format!(
            r#"{{"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"source":{{"system":"vault","event_id":"{event_id}"}}{members}}}"#
        )
    };
    let begun = append(&ledger, &record("r-1/request", r#","action_event":"r-1""#));
    let ended = append(&ledger, &record("r-1", ""));
    let of = |index| ledger.leaf(index).expect("there").skeleton().expect("a record").action;
    assert_eq!((of(begun[0].index), of(ended[0].index)), (Some(ended[0].id), None));
    // Who knows the id may say it.
    let id = "0193a7c0-0000-7000-8000-000000000001";
    let said = append(&ledger, &record("r-2/request", &format!(r#","action_event":"r-2","action":"{id}""#)));
    assert_eq!(of(said[0].index).map(|id| id.to_string()).as_deref(), Some(id));
}

#[test]
fn an_event_that_several_records_tell_of_is_one_action() {
    let record = |event_id: &str, operation: &str| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"agent"}},"operation":"{operation}","action_event":"call/1","source":{{"system":"otlp:a","event_id":"{event_id}"}}}}"#
        )
    };
    let (span, log, run) = (record("call/1", "span"), record("call/1", "log"), record("run/1", "run"));
    for order in [[&span, &log, &run], [&log, &run, &span], [&run, &log, &span]] {
        let dir = tempfile::tempdir().expect("folder");
        let ledger = open(dir.path());
        let together = append(&ledger, &order.map(String::as_str).join("\n"));
        for (one, receipt) in order.into_iter().zip(&together) {
            let again = append(&ledger, one)[0].clone();
            assert_eq!((again.id, again.index, again.duplicate), (receipt.id, receipt.index, true));
        }
        assert_eq!(ledger.size(), 3);
        // The first that tells of the call is the action, and all else belongs to it.
        let action = together
            .iter()
            .zip(order)
            .find(|(_, one)| one.contains(r#""call/1"}"#))
            .map(|(receipt, _)| receipt.id);
        for receipt in &together {
            let sealed = ledger.leaf(receipt.index).expect("there");
            let is = sealed.skeleton().expect("a record");
            let belongs_to = action.filter(|action| *action != receipt.id);
            assert_eq!((is.action, is.conflicts_with), (belongs_to, None), "{order:?}");
        }
    }
}

#[test]
fn a_body_larger_than_a_journal_file_is_recorded_whole() {
    let dir = tempfile::tempdir().expect("folder");
    let options = || deed_ledger::Options { journal_file_bytes: 1 << 20, ..deed_ledger::Options::default() };
    let record = |n: usize| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"n{n}","disclose":{{"result":["{}"]}}}}"#,
            "x".repeat(60_000)
        )
    };
    let body: String = (0..200).map(|n| record(n) + "\n").collect();
    let ledger = deed_ledger::Ledger::open(dir.path(), options()).expect("opens");
    let receipts = append(&ledger, &body);
    assert_eq!(
        receipts.iter().map(|receipt| receipt.index).collect::<Vec<_>>(),
        (0..200).collect::<Vec<_>>()
    );
    assert_eq!(ledger.counters().commits, 1, "one write to the journal");
    append(&ledger, &record(200));
    ledger.close().expect("closed");
    let again = deed_ledger::Ledger::open(dir.path(), options()).expect("opens again");
    assert_eq!(again.size(), 201);
    for index in [0, 199, 200] {
        assert_eq!(again.disclosures(index).expect("open").len(), 1, "leaf {index}");
    }
}

#[test]
fn more_records_than_one_write_takes_are_refused_together() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let one = r#"{"kind":"step","time":"2026-11-20T10:00:00Z"}"#;
    let error = ledger.append(one.repeat(65_537).as_bytes(), &sender()).expect_err("too many");
    assert!(error.to_string().contains("send them in parts"), "{error}");
    assert_eq!(ledger.size(), 0);
}

#[test]
fn secrets_leave_only_fingerprints() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    append(
        &ledger,
        &format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"curl -H 'Authorization: Bearer {token}'","disclose":{{"arguments":{{"password":"hunter2!","text":"use {token} now"}}}}}}"#
        ),
    );
    ledger.clone().close().expect("closed");
    for file in walk(dir.path()) {
        let bytes = std::fs::read(&file).expect("read");
        for secret in [token, "hunter2!"] {
            assert!(memchr_find(&bytes, secret.as_bytes()).is_none(), "`{secret}` is in {}", file.display());
        }
    }
    let fingerprint = format!("sha256:{}", deed_seal::hash::Hash::of(token.as_bytes()));
    assert_eq!(
        ledger.lookup(&Key::Credential { tenant: "default", name: &fingerprint }, 10, None).expect("found"),
        [0]
    );
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir)
        .expect("listed")
        .flat_map(|entry| {
            let entry = entry.expect("read");
            if entry.file_type().expect("typed").is_dir() { walk(&entry.path()) } else { vec![entry.path()] }
        })
        .collect()
}

fn memchr_find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn a_leaf_has_65_535_bytes_and_not_one_more() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let record = |padding: usize| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"{}"}}"#,
            "x".repeat(padding)
        )
    };
    append(&ledger, &record(0));
    let base = ledger.leaf(0).expect("there").leaf.len();
    append(&ledger, &record(65_535 - base));
    assert_eq!(ledger.leaf(1).expect("there").leaf.len(), 65_535);
    let refused = ledger.append(record(65_536 - base).as_bytes(), &sender()).expect_err("too long");
    assert!(refused.to_string().contains("65536"), "{refused}");
    assert_eq!(ledger.size(), 2);
}

#[test]
fn refusals_name_the_record_and_nothing_is_recorded() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let good = observations(0, 2);
    let error =
        ledger.append(format!("{good}{{\"kind\":\"intent\"}}").as_bytes(), &sender()).expect_err("bad");
    assert!(error.to_string().contains("record 2"), "{error}");
    assert_eq!(ledger.size(), 0);
    let each = ledger
        .append_each(format!("{good}{{\"kind\":\"intent\"}}\n{}", observations(5, 1)).as_bytes(), &sender())
        .expect("read");
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(ledger.size(), 3);
}

#[test]
fn a_token_binds_the_tenant() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let bound = Sender { tenant: Some("acme".into()), name: "token:ci".into(), ours: false };
    let record = |tenant: &str| {
        format!(
            r#"{{"kind":"observation","tenant":"{tenant}","time":"2026-11-20T10:00:00Z","executor":{{"key":"a","type":"agent"}}}}"#
        )
    };
    ledger.append(record("acme").as_bytes(), &bound).expect("its own");
    let error = ledger.append(record("other").as_bytes(), &bound).expect_err("another's");
    assert!(matches!(error, AppendError::Tenant { .. }), "{error}");
    // Hidden behind an escape, the parser still sees it.
    let error = ledger
        .append(record("other").replace("tenant", "t\\u0065nant").as_bytes(), &bound)
        .expect_err("another's");
    assert!(matches!(error, AppendError::Tenant { .. }), "{error}");
    assert_eq!(ledger.size(), 1);
    // The same key is another account in another tenant.
    ledger.append(record("other").as_bytes(), &sender()).expect("free choice");
    let account = |index: u64| {
        ledger.leaf(index).expect("there").skeleton().expect("a record").executor.and_then(|p| p.account)
    };
    assert_ne!(account(0), account(1));
}

#[test]
fn what_a_record_refers_to_is_found_from_both_ends() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let intent = append(&ledger, r#"{"kind":"intent","time":"2026-11-20T10:00:00Z","executor":{"key":"a","type":"agent"},"session":"s-1"}"#)[0].id;
    append(
        &ledger,
        &format!(
            r#"{{"kind":"outcome","action":"{intent}","time":"2026-11-20T10:00:01Z","executor":{{"key":"a","type":"agent"}},"outcome":{{"status":"success"}}}}"#
        ),
    );
    assert_eq!(ledger.lookup(&Key::Id(intent), 10, None).expect("found"), [0]);
    assert_eq!(ledger.lookup(&Key::Ref(intent), 10, None).expect("found"), [1]);
    assert_eq!(
        ledger.lookup(&Key::Session { tenant: "default", session: "s-1" }, 10, None).expect("found"),
        [0]
    );
    let a = ledger.account("default", "a").expect("key").expect("tenant");
    assert_eq!(ledger.lookup(&Key::Executor(a), 10, None).expect("found"), [1, 0]);
    assert_eq!(ledger.lookup(&Key::Executor(a), 1, None).expect("found"), [1]);
    assert_eq!(ledger.lookup(&Key::Executor(a), 10, Some(1)).expect("found"), [0]);
    let leaf = ledger.leaf(1).expect("there");
    assert_eq!(Skeleton::parse(&leaf.leaf).expect("a record").action_id(), intent);
}

#[test]
fn what_nobody_waits_for_is_recorded_all_the_same() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    // The keys of everybody in them are made.
    append(&ledger, &observations(0, 20));
    let leisurely = |from| {
        let text = observations(from, 1);
        let written = Written::new(parse_one(text.trim_end(), false).expect("a record"));
        let begun = ledger.begin_written(&[written], &sender(), Pace::AtLeisure).expect("taken");
        begun.expect("its keys are there")
    };
    // Alone it becomes durable by itself.
    assert_eq!(leisurely(20).wait().expect("recorded").len(), 1);
    assert_eq!(ledger.size(), 21);
    // Beside others it keeps its place.
    let (before, after) = (leisurely(21), leisurely(22));
    let others = append(&ledger, &observations(23, 1));
    let index = |pending: deed_ledger::Pending| {
        let recorded = pending.wait().expect("recorded").pop().expect("one");
        recorded.expect("a receipt").index
    };
    assert_eq!((index(before), index(after), others[0].index), (21, 22, 23));
    // A ledger that closes forgets none.
    let last = leisurely(24);
    ledger.close().expect("closed");
    assert_eq!(index(last), 24);
}
