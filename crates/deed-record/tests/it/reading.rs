//! Records are read strictly, and errors say where and what without showing a value.

use deed_record::{Disclosable, RecordError, Skeleton, parse_one, parse_records, split_records};
use proptest::prelude::*;

use crate::full;

const GOOD: &str = r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{"type":"unknown"}}"#;

fn refusal(body: &[u8]) -> String {
    parse_records(body, false).expect_err("it is refused").to_string()
}

/// `GOOD` with these members in front.
fn with(members: &str) -> String {
    format!("{{{members},{}", &GOOD[1..])
}

#[test]
fn errors_read_well_and_name_the_place() {
    for (body, expected) in [
        ("nonsense".to_owned(), "record 0, not JSON: expected ident at line 1 column 2"),
        (
            "{}".to_owned(),
            "record 0, field `kind`: missing; every record says what it is about, such as `observation`",
        ),
        (
            r#"{"kind":"task"}"#.to_owned(),
            "record 0, field `time`: missing; every record says when it happened, such as 2026-11-20T10:00:00Z",
        ),
        ("5".to_owned(), "record 0, expected an object, found a number"),
        ("null".to_owned(), "record 0, expected an object, found null"),
        (r#"[["task"]]"#.to_owned(), "record 0, expected an object, found an array"),
        (
            r#"{"kind":"task","time":"2026-11-20T10:00:00Z"}"#.to_owned(),
            "record 0, field `executor`: missing; an action has one, `{\"type\":\"unknown\"}` where nobody knows",
        ),
        (
            format!("{GOOD}\n{GOOD}\n{{\"kind\":1}}"),
            "record 2, field `kind`: expected one of `task`, `step`, `intent`, `outcome`, `observation`, `principal`, `request`, `approval`, `grant`, `credential`, `tool`, `review`, `exception`, found a number",
        ),
        (format!("[{GOOD}, {GOOD}, 7]"), "record 2, expected an object, found a number"),
        (format!("[{GOOD}, {GOOD}, {{]"), "record 2, not JSON: key must be a string at line 1 column 171"),
        (format!("[{GOOD},]"), "record 1, not JSON: trailing comma at line 1 column 85"),
        (format!("{GOOD}\n{GOOD},"), "record 2, not JSON: expected value at line 2 column 83"),
        (format!("[{GOOD}] []"), "record 1, not JSON: trailing characters at line 1 column 86"),
        (with(r#""executor":{"type":"human"}"#), "record 0, field `executor`: stands twice"),
        (
            with(r#""chain":[{"principal":{"type":"human","key":"a","key":"b"}}]"#),
            "record 0, field `chain[0].principal.key`: stands twice",
        ),
        (
            with(r#""initator":{"type":"human"}"#),
            "record 0, field `initator`: unknown member; did you mean `initiator`?",
        ),
        (
            with(r#""colour":"red""#),
            "record 0, field `colour`: unknown member; payloads belong under `disclose`, and `deed schema` lists the members",
        ),
        (
            with(r#""v":1"#),
            "record 0, field `v`: unknown member; payloads belong under `disclose`, and `deed schema` lists the members",
        ),
        (with(r#""kin":1"#), "record 0, field `kin`: unknown member; did you mean `kind`?"),
        (
            with(&format!(r#""initiator":{{"type":"human","{}":1}}"#, "1234".repeat(8))),
            "record 0, field `initiator`: unknown member of 32 characters; known are `instance`, `key`, `name`, `type`, `vendor`",
        ),
        (
            with(r#""initiator":{"type":"human","color":"red"}"#),
            "record 0, field `initiator.color`: unknown member; known are `instance`, `key`, `name`, `type`, `vendor`",
        ),
        (
            with(r#""initiator":{"key":"ann"}"#),
            "record 0, field `initiator.type`: missing; everybody has one, `unknown` where nobody knows",
        ),
        (
            with(r#""effects":[{}]"#),
            "record 0, field `effects[0].kind`: missing; an effect says what was changed, such as `grant`",
        ),
        (
            with(r#""initiator":{"type":"robot"}"#),
            "record 0, field `initiator.type`: expected one of `human`, `agent`, `workload`, `service_account`, `third_party`, `unknown`, found `robot`",
        ),
        (with(r#""initiator":"ann""#), "record 0, field `initiator`: expected an object, found a string"),
        (with(r#""initiator":["human"]"#), "record 0, field `initiator`: expected an object, found an array"),
        (
            with(r#""initiator":{"type":{"human":null}}"#),
            "record 0, field `initiator.type`: expected one of `human`, `agent`, `workload`, `service_account`, `third_party`, `unknown`, found an object",
        ),
        (
            with(r#""chain":[{"principal":{"type":"human"}},{"principal":{"type":"human","key":7}}]"#),
            "record 0, field `chain[1].principal.key`: expected a string, found a number",
        ),
        (
            with(r#""chain":[{"principal":{"type":"human"}},{"principal":{"type":"human","key":""}}]"#),
            "record 0, field `chain[1].principal.key`: empty; leave it out where nobody knows",
        ),
        (
            with(r#""approvals":["4711"]"#),
            "record 0, field `approvals[0]`: expected a UUID with hyphens, found `4711`",
        ),
        (with(r#""approvals":{}"#), "record 0, field `approvals`: expected an array, found an object"),
        (
            with(r#""source":{"system":"x","time":"yesterday"}"#),
            "record 0, field `source.time`: unknown member; known are `collector`, `event_id`, `system`",
        ),
        (
            with(r#""terms":{"expires":"tomorrow"}"#),
            "record 0, field `terms.expires`: expected an RFC 3339 time such as 2026-11-20T10:00:00Z, found `tomorrow`",
        ),
        (
            with(r#""effects":[{"kind":"grant","terms":{"subject":{"type":"human","key":""}}}]"#),
            "record 0, field `effects[0].terms.subject.key`: empty; leave it out where nobody knows",
        ),
        (
            with(r#""effects":[{"kind":"step"}]"#),
            "record 0, field `effects[0].kind`: `step` is no kind of authority",
        ),
        (
            with(r#""trace_id":"4BF92F3577B34DA6A3CE929D0E0E4736""#),
            "record 0, field `trace_id`: expected 32 lower-case hex digits, not all zero, found a text of 32 characters",
        ),
        (
            with(r#""outcome":{"status":"success","duration_ms":9007199254740993}"#),
            "record 0, field `outcome.duration_ms`: expected an integer within ±2^53, found a number",
        ),
        (
            with(r#""outcome":{"status":"success","duration_ms":1e400}"#),
            "record 0, field `outcome.duration_ms`: not JSON: number out of range at line 1 column 50",
        ),
        (
            with(r#""operation":"\ud800""#),
            "record 0, field `operation`: not JSON: unexpected end of hex escape at line 1 column 21",
        ),
        (with(r#""disclose":"x""#), "record 0, field `disclose`: expected an object, found a string"),
        (
            with(r#""disclose":{"arguments":{"a":1,"b":2,"a":3}}"#),
            "record 0, field `disclose.arguments`: the member `a` stands twice",
        ),
        (with(r#""disclose":{"a":1,"a":2}"#), "record 0, field `disclose`: the member `a` stands twice"),
        (
            with(r#""disclose":{"_sd":1}"#),
            "record 0, field `disclose`: the name `_sd` is reserved by RFC 9901",
        ),
        (
            with(r#""disclose":{"arguments":{"...":1}}"#),
            "record 0, field `disclose.arguments`: the name `...` is reserved by RFC 9901",
        ),
        (
            with(r#""initiator":{"type":"human","name":"Ann"},"disclose":{"initiator.name":"Bob"}"#),
            "record 0, field `disclose.initiator.name`: the name is taken by that of the principal",
        ),
        (
            with(r#""personal":{"device":"x"},"disclose":{"personal.device":"y"}"#),
            "record 0, field `disclose.personal.device`: the name is taken by the personal value",
        ),
        (
            with(r#""basis":"enforced""#),
            "record 0, field `basis`: only Deed itself says `enforced`; send `reported`, or leave it out",
        ),
        (
            r#"{"kind":"gap","time":"2026-11-20T10:00:00Z"}"#.to_owned(),
            "record 0, field `kind`: only Deed itself records `gap`",
        ),
        (
            with(r#""credential":{"fingerprint":"hunter2hunter2"}"#),
            "record 0, field `credential.fingerprint`: expected the name of a hash and its digest, such as `sha256:` and the 64 hex digits of SHA-256, never the secret itself",
        ),
        (
            with(r#""effects":[{"kind":"credential","credential":{"fingerprint":"sha256:xyz"}}]"#),
            "record 0, field `effects[0].credential.fingerprint`: expected the name of a hash and its digest, such as `sha256:` and the 64 hex digits of SHA-256, never the secret itself",
        ),
        (
            r#"{"kind":"credential","time":"2026-11-20T10:00:00Z","credential":{}}"#.to_owned(),
            "record 0, field `credential`: names none; send its `fingerprint`, `id` or `jti`, or at least its `type`",
        ),
        (
            r#"{"kind":"request","time":"9999-12-31T23:59:59Z"}"#.to_owned(),
            "record 0, field `time`: expected a time from 1970 to 2199, found `9999-12-31T23:59:59.000000Z`",
        ),
        (
            with(r#""outcome":{"status":"success","duration_ms":-1}"#),
            "record 0, field `outcome.duration_ms`: expected 0 or more, found a negative number",
        ),
        (
            with(
                r#""id":"0193a700-0001-7000-8000-000000000001","supersedes":"0193A700-0001-7000-8000-000000000001""#,
            ),
            "record 0, field `supersedes`: the record itself; expected the id of an earlier one",
        ),
        (
            with(r#""artifact":{"name":"x","digest":"zz"}"#),
            "record 0, field `artifact.digest`: expected the name of a hash and its digest, such as `sha256:` and the 64 hex digits of SHA-256",
        ),
        (
            with(r#""tenant":".acme""#),
            "record 0, field `tenant`: expected 1 to 64 letters, digits, `-`, `_` or `.`, the first no `.`",
        ),
    ] {
        assert_eq!(refusal(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn no_error_shows_a_value_that_may_be_secret() {
    let secret = "hunter2-secret";
    let token = ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    for value in [
        format!("\"{secret}\""),
        format!("\"{token}\""),
        "73512846".to_owned(),
        format!("[\"{secret}\"]"),
        format!("{{\"{token}\":1}}"),
    ] {
        for member in [
            "kind",
            "time",
            "executor",
            "basis",
            "outcome",
            "id",
            "action",
            "approvals",
            "trace_id",
            "span_id",
            "tool",
            "chain",
            "step_type",
            "credential",
            "effects",
            "terms",
            "tenant",
            "retention",
            "personal",
            "disclose",
            &token,
        ] {
            for record in [
                format!(r#"{{"{member}":{value},"kind":"task","time":"2026-11-20T10:00:00Z"}}"#),
                format!(r#"{{"outcome":{{"duration_ms":{value},"{member}":{value}}}}}"#),
                format!(r#"{{"terms":{{"expires":{value},"subject":{value}}}}}"#),
                format!(r#"{{"disclose":{{"a":{value}}},"chain":[{{"{member}":{value}}}]}}"#),
                format!(r#"{{"disclose":{{"{token}":{{"_sd":{value}}}}}}}"#),
                format!(r#"{{"disclose":{{"{token}":1,"{token}":{value}}}}}"#),
                format!(r#"{{"disclose":{{"a":{{"{token}":1,"{token}":{value}}}}}}}"#),
            ] {
                let Err(error) = parse_records(record.as_bytes(), false) else { continue };
                let shown = error.to_string().replace("2026-11-20T10:00:00Z", "");
                for hidden in [secret, &token, "73512846"] {
                    assert!(!shown.contains(hidden), "{record}: {error}");
                }
                assert!(error.to_string().len() < 400, "{error}");
            }
        }
    }
}

#[test]
fn bodies_are_arrays_or_lines() {
    let two =
        |body: &str| assert_eq!(parse_records(body.as_bytes(), false).map(|r| r.len()), Ok(2), "{body}");
    two(&format!("[{GOOD},{GOOD}]"));
    two(&format!(" \r\n[ {GOOD} , {GOOD} ]\n"));
    two(&format!("{GOOD}\n{GOOD}"));
    two(&format!("\n{GOOD}\r\n\n{GOOD}\n\n"));
    two(&format!("\u{feff}{GOOD}\n{GOOD}"));
    two(&format!("\u{feff}[{GOOD},{GOOD}]"));
    for empty in ["", " \n", "[]", "\u{feff}"] {
        assert_eq!(parse_records(empty.as_bytes(), false), Ok(vec![]), "{empty:?}");
    }
    assert_eq!(split_records(format!("[ {GOOD} ]").as_bytes()), Ok(vec![GOOD]));
}

#[test]
fn other_encodings_are_refused() {
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, expected) in [
        ([b"\xff\xfe", &*utf16].concat(), "record 0, byte 0 is not UTF-8; records are JSON in UTF-8"),
        (utf16, "record 0, not JSON: key must be a string at line 1 column 2"),
        (format!("{GOOD}\n{GOOD}\0").into_bytes(), "record 2, not JSON: expected value at line 2 column 83"),
        (
            [GOOD.as_bytes(), b"\n{\"kind\":\"\xff\"}"].concat(),
            "record 1, byte 92 is not UTF-8; records are JSON in UTF-8",
        ),
        (
            b"{\"kind\":\"\0\"}".to_vec(),
            "record 0, not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 9",
        ),
    ] {
        assert_eq!(refusal(&body), expected);
    }
}

#[test]
fn payloads_are_kept_as_they_came() {
    // What other systems write is evidence, also where readers differ on it.
    let values = [
        r#"1e400"#,
        r#""\ud800""#,
        "-0.0",
        r#"{"a" : 1,"a":2}"#,
        "[ ]",
        r#""\u0041\/""#,
        "123456789012345678901234567890",
        "{}",
    ];
    let text = with(&format!(
        r#""disclose":{{"arguments":{{{}}},"whole":{{}},"event":{{"_sd" : 1}},"none":null}}"#,
        values
            .iter()
            .enumerate()
            .map(|(at, value)| format!(r#""v{at}":{value}"#))
            .collect::<Vec<_>>()
            .join(" ,\n")
    ));
    let record = parse_one(&text, false).expect("a record");
    let Some(Disclosable::Members(members)) = record.disclose.get("arguments") else { panic!("no members") };
    assert_eq!(members.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), values);
    for (name, value) in [("whole", "{}"), ("event", r#"{"_sd" : 1}"#), ("none", "null")] {
        assert_eq!(record.disclose.get(name), Some(&Disclosable::Whole(value.into())));
    }
}

#[test]
fn limits_are_exact() {
    let nested =
        |depth: usize| with(&format!(r#""disclose":{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    assert!(parse_one(&nested(126), false).is_ok());
    let too_deep = "record 0, field `disclose.a`: nested deeper than 128";
    assert_eq!(refusal(nested(127).as_bytes()), too_deep);
    assert_eq!(refusal(nested(100_000).as_bytes()), too_deep);
    assert!(parse_one(&with(&format!(r#""disclose":{{"a":"{}"}}"#, "[\\\"{".repeat(200))), false).is_ok());
    // Depth where no payload belongs.
    let deep = "[".repeat(100_000);
    assert!(parse_records(deep.as_bytes(), false).is_err());
    assert!(parse_records(with(&format!(r#""tool":{deep}"#)).as_bytes(), false).is_err());
    assert!(
        parse_records(format!("{}{}", r#"{"tool":"#.repeat(100_000), "}".repeat(100_000)).as_bytes(), false)
            .is_err()
    );

    let members =
        |count: usize| (0..count).map(|at| format!(r#""m{at}":{at}"#)).collect::<Vec<_>>().join(",");
    let most = "more than 1424 members in all; send them inside an array to commit to them whole";
    assert!(parse_one(&with(&format!(r#""disclose":{{"a":{{{}}}}}"#, members(1424))), false).is_ok());
    assert!(
        parse_one(
            &with(&format!(r#""disclose":{{"a":{{{}}},"b":{{{}}}}}"#, members(1000), members(424))),
            false
        )
        .is_ok()
    );
    for disclose in [
        format!(r#"{{"a":{{{}}}}}"#, members(1425)),
        format!("{{{}}}", members(1425)),
        format!(r#"{{"a":{{{}}},"b":{{{}}}}}"#, members(1000), members(425)),
    ] {
        let error = refusal(with(&format!(r#""disclose":{disclose}"#)).as_bytes());
        assert_eq!(error, format!("record 0, field `disclose`: {most}"), "{}", &disclose[..20]);
    }
    assert!(parse_one(&with(&format!(r#""disclose":{{"a":{{{},"m7":1}}}}"#, members(1400))), false).is_err());
}

#[test]
fn null_is_the_same_as_leaving_out() {
    let nothing = parse_one(GOOD, false).expect("a record");
    let full = serde_json::to_value(full::submission()).expect("a record");
    let given = ["kind", "time", "executor"];
    let nulls: Vec<String> = full
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !given.contains(&&***name))
        .map(|name| format!(r#""{name}":null"#))
        .collect();
    assert_eq!(parse_one(&with(&nulls.join(",")), false), Ok(nothing));
}

#[test]
fn a_full_record_comes_back_as_it_was_written() {
    let record = full::submission();
    let text = serde_json::to_string(&record).expect("JSON");
    assert_eq!(parse_one(&text, false), Ok(record));
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let record = serde_json::to_string(&full::submission()).expect("JSON");
    let leaf = serde_json::to_string(&full::skeleton()).expect("JSON");
    for at in 1..record.len() {
        assert!(parse_records(&record.as_bytes()[..at], true).is_err(), "{at}");
        assert!(parse_records(format!("[{}", &record[..at]).as_bytes(), true).is_err(), "{at}");
    }
    for at in 0..leaf.len() {
        assert!(Skeleton::parse(&leaf.as_bytes()[..at]).is_err(), "{at}");
    }
}

#[test]
fn what_a_newer_version_sealed_is_named_as_such() {
    let says = |leaf: &str| Skeleton::parse(leaf.as_bytes()).map_err(|e| e.to_string()).err();
    let error = |v: i64| Some(format!("record 0, field `v`: sealed format {v}; this program reads 1"));
    assert_eq!(says(r#"{"v":2,"new":1}"#), error(2));
    assert_eq!(
        says(&serde_json::to_string(&full::skeleton()).expect("JSON").replace("\"v\":1}", "\"v\":3}")),
        error(3)
    );
    assert_eq!(
        says(&serde_json::to_string(&full::skeleton()).expect("JSON").replace("\"v\":1}", "\"v\":300}")),
        error(300)
    );
    assert!(says(r#"{"v":1,"new":1}"#).is_some_and(|e| e.contains("unknown member `new`")));
    assert!(says("[1]").is_some());
}

#[test]
fn an_error_carries_its_place_in_what_was_sent() {
    assert_eq!(
        RecordError::new("a", "b").at(3),
        RecordError { index: 3, field: "a".into(), message: "b".into() }
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,ekindtasm 0-9\\\\u\\PC]{0,80}") {
        for body in [&*bytes, text.as_bytes()] {
            let _either = parse_records(body, true);
            let _either = Skeleton::parse(body);
        }
    }

    #[test]
    fn a_flipped_byte_is_survived(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut record = serde_json::to_vec(&full::submission()).expect("JSON");
        let place = at.index(record.len());
        record[place] = byte;
        let _either = parse_records(&record, true);
        let mut leaf = serde_json::to_vec(&full::skeleton()).expect("JSON");
        let place = at.index(leaf.len());
        leaf[place] = byte;
        let _either = Skeleton::parse(&leaf);
    }
}
