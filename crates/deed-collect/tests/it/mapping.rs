//! Mapping files, and the examples of them in `docs/collectors.md`.

use deed_collect::{Mapped, Mapping, Rejected};
use deed_record::{Answer, Change, Kind, PrincipalType, Status, StepType};

use crate::{otlp::payload, parse};

const DOCUMENTATION: &str = include_str!("../../../../docs/collectors.md");

/// The fenced examples of the section on mapping files, in order: TOML, CSV, TOML, JSON, TOML, CSV, TOML, CSV.
fn examples() -> Vec<&'static str> {
    let section = DOCUMENTATION.split("\n## ").find(|section| section.starts_with("Mapping files"));
    let mut parts = section.expect("a section").split("```");
    let mut found = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        found.push(block.split_once('\n').expect("a language").1);
    }
    assert_eq!(found.len(), 8);
    found
}

fn read(mapping: &str, text: &str) -> Vec<Result<Mapped, Rejected>> {
    let mapping = Mapping::parse(mapping).unwrap_or_else(|error| panic!("{error}"));
    mapping.records(text.as_bytes()).collect()
}

fn good(mapping: &str, text: &str) -> Vec<String> {
    read(mapping, text).into_iter().map(|mapped| mapped.expect("maps").record).collect()
}

#[test]
fn rights_from_before_the_log() {
    let examples = examples();
    let [right] = &good(examples[4], examples[5])[..] else { panic!("one right") };
    let record = parse(right);
    let Some([grant]) = record.effects.as_deref() else { panic!("one effect: {right}") };
    let terms = grant.terms.as_ref().expect("terms");
    assert_eq!(terms.subject.as_ref().and_then(|who| who.key.as_deref()), Some("postgres:etl"));
    assert_eq!(terms.scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(), ["data:read", "data:write"]);
    assert_eq!((terms.change, terms.expires), (Some(deed_record::Change::Issued), None));
    assert_eq!(grant.resource.as_ref().map(|on| &*on.uri), Some("db:orders/*"));
    assert_eq!(record.time.to_string(), "2026-03-02T08:00:00.000000Z");
}

#[test]
fn a_database_user_is_known_by_the_digest_of_its_name() {
    let examples = examples();
    let [made, own] = &good(examples[6], examples[7])[..] else { panic!("two statements") };
    assert_eq!(parse(own).credential, None);
    let credential = parse(made).credential.expect("a credential");
    // Vault's log gives the same: printf %s NAME | sha256sum
    assert_eq!(
        (credential.fingerprint.as_deref(), credential.id.as_deref(), credential.kind.as_deref()),
        (
            Some("sha256:cd2a4f8ea45effd262fbe5da3c46ae4a35f7fff786686ad71ebaa85c2fdffee1"),
            None,
            Some("database_user")
        )
    );
    // A short name could be guessed.
    let short =
        good(examples[6], &examples[7].replace("-kubernet-orders-r-x8Kd02nVq1ZtB7pLm4Ts-1795169100", "-ann"));
    assert_eq!(parse(&short[0]).credential.and_then(|credential| credential.fingerprint), None);
}

#[test]
fn a_session_log_as_csv() {
    let examples = examples();
    let sessions = good(examples[0], examples[1]);
    assert_eq!(sessions.len(), 2);
    let record = parse(&sessions[0]);
    assert_eq!(record.time.to_string(), "2026-11-20T10:00:00.000000Z");
    let executor = record.executor.as_ref().expect("an action");
    assert_eq!((executor.key.as_deref(), executor.kind), (Some("pam:root"), PrincipalType::ServiceAccount));
    let initiator = record.initiator.as_ref().expect("who asked");
    assert_eq!((initiator.key.as_deref(), initiator.kind), (Some("ldap:ann"), PrincipalType::Human));
    assert_eq!(record.operation.as_deref(), Some("session/ssh"));
    assert_eq!(
        record.resource.as_ref().map(|r| (&*r.uri, r.kind.as_deref())),
        Some(("host:db1", Some("host")))
    );
    assert_eq!(
        record.outcome.as_ref().map(|o| (o.status, o.duration_ms)),
        Some((Status::Success, Some(41_000)))
    );
    let source = record.source.as_ref().expect("a source");
    assert_eq!(
        (&*source.system, source.event_id.as_deref(), source.collector.as_deref()),
        ("pam:acme", Some("S-1"), Some("acme-pam/1"))
    );
    // The whole row is kept.
    assert!(payload(&record, "event").is_some_and(|row| row.contains(r#""Ticket":"T-7""#)));

    let record = parse(&sessions[1]);
    assert_eq!(record.outcome.as_ref().map(|o| (o.status, o.duration_ms)), Some((Status::Denied, None)));
    assert_eq!((record.step_type, record.request), (Some(StepType::PolicyCheck), None));
}

#[test]
fn tickets_are_requests_and_approvals_of_what_names_them() {
    let examples = examples();
    let tickets = good(examples[2], examples[3]);
    let sessions = good(examples[0], examples[1]);
    let (asked, answered, session) = (parse(&tickets[0]), parse(&tickets[1]), parse(&sessions[0]));
    assert!(asked.request.is_some());
    assert_eq!((asked.request, answered.request), (answered.request, session.request));
    let [request] = asked.effects.as_deref().expect("a request") else { panic!("one effect") };
    let terms = request.terms.as_ref().expect("terms");
    assert_eq!(
        (request.kind, terms.change, terms.role.as_deref()),
        (Kind::Request, Some(Change::Requested), Some("db-admin"))
    );
    assert_eq!(terms.subject.as_ref().and_then(|s| s.key.as_deref()), Some("ldap:ann"));
    assert_eq!(terms.scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(), ["login:root"]);
    assert_eq!(payload(&asked, "reason"), Some("\"disk full on db1\""));
    let [approval, grant] = answered.effects.as_deref().expect("an answer") else { panic!("two effects") };
    assert_eq!((grant.kind, grant.terms.as_ref().and_then(|t| t.expires).is_some()), (Kind::Grant, true));
    let terms = approval.terms.as_ref().expect("terms");
    assert_eq!((approval.kind, terms.answer), (Kind::Approval, Some(Answer::Approved)));
    assert_eq!(terms.by.as_ref().and_then(|by| by.key.as_deref()), Some("ldap:carol"));
    assert_eq!(answered.executor.as_ref().map(|e| e.kind), Some(PrincipalType::Human));
}

const SMALL: &str = "name = \"x\"\nsystem = \"s\"\nformat = \"csv\"\n[record]\nevent_id = { field = \"id\" }\ntime = { field = \"at\" }\n";

#[test]
fn rows_that_do_not_fit_are_rejected_alone() {
    let mapping = format!(
        "{SMALL}outcome.status = {{ field = \"r\", values = {{ ok = \"success\" }} }}\noutcome.duration_ms = {{ field = \"ms\" }}\n"
    );
    let text = "id,at,r,ms\n1,2026-11-20T10:00:00Z,ok,5\n2,yesterday,ok,5\n3,2026-11-20T10:00:00Z,hunter2,5\n\
                4,2026-11-20T10:00:00Z,ok,-1\n5,2026-11-20T10:00:00Z\n,2026-11-20T10:00:00Z,ok,5\n\"7\n8\",2026-11-20T10:00:00Z,ok,\n9,,ok,\n\"10\n\n\n\",,ok,\n\n11,2026-11-20T10:00:00Z,ok,\n";
    let refused = |text: &str| Err(text.to_owned());
    let expected = [
        Ok(2),
        refused("3: field `at`: expected an RFC 3339 time; `format` tells another form"),
        refused("4: field `r`: expected one of `ok`"),
        refused("5: field `ms`: expected a whole number of 0 or more"),
        refused("6: expected 4 values, found 2"),
        refused("7: field `id`: missing"),
        Ok(8),
        refused("10: field `at`: missing"),
        refused("11: field `at`: missing; the row goes on to line 14, in quotes"),
        Ok(16),
    ];
    for text in [text.to_owned(), text.replace('\n', "\r\n"), text.trim_end().to_owned()] {
        let found: Vec<_> = read(&mapping, &text)
            .into_iter()
            .map(|mapped| mapped.map(|m| m.line).map_err(|r| format!("{}: {}", r.line, r.error)))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }
}

/// A quote that nobody closed takes in the lines behind it: they are named.
#[test]
fn a_row_of_many_lines_says_where_it_ends() {
    let text = "id,at\n1,\"2026-11-20T10:00:00Z\n2,2026-11-20T10:00:01Z\n3,2026-11-20T10:00:02Z\n";
    for text in [text.to_owned(), text.replace('\n', "\r\n"), text.trim_end().to_owned()] {
        let found: Vec<_> = read(SMALL, &text)
            .into_iter()
            .map(|m| m.map(|m| m.line).map_err(|r| (r.line, r.error)))
            .collect();
        let [Err((2, error))] = &found[..] else { panic!("{found:?}") };
        assert!(error.ends_with("the row goes on to line 4, in quotes"), "{error}");
    }
}

#[test]
fn files_come_in_other_forms() {
    let headless = format!("{SMALL}session = {{ field = [\"none\", \"id\"] }}\n")
        .replace("[record]", "columns = [\"id\", \"at\"]\ndelimiter = \"\\t\"\n[record]");
    let found = good(&headless, "\u{feff}1\t2026-11-20 10:00:00\r\n\r\n2\t2026-11-20 10:00:01\r\n");
    assert_eq!(found.len(), 2);
    assert_eq!(parse(&found[1]).session.as_deref(), Some("2"));

    let json = SMALL.replace("\"csv\"", "\"json\"");
    let one = r#"{"id":1,"at":"2026-11-20T10:00:00Z","deep":{"list":["a","b"],"a.b":1}}"#;
    for text in
        [one.to_owned(), format!("[{one}]"), format!("{one}\n{one}"), format!("{{\"value\":[{one}]}}")]
    {
        assert!(!good(&json, &text).is_empty(), "{text}");
    }
    // An event may have lists of its own, wherever in it its id stands.
    let lists = r#"{"id":2,"at":"2026-11-20T10:00:00Z","items":[{"id":"a"}]}
        {"items":[],"at":"2026-11-20T10:00:00Z","id":3}
        {"records":[{"n":{"x":[1]}}],
         "at":"2026-11-20T10:00:00Z","id":4}"#;
    assert_eq!(good(&json, lists).len(), 3);
    let inside = format!("{json}credential.scopes = {{ field = \"deep.list\" }}\n")
        .replace("[record]", "at = \"data.rows\"\n[record]");
    let found = read(&inside, &format!("{{\"n\":1,\n\"data\":{{\"rows\":[\n{one},\n7]}}}}"));
    let mapped = found[0].as_ref().expect("maps");
    assert_eq!(mapped.line, 3);
    assert_eq!(parse(&mapped.record).credential.map(|c| c.scopes.len()), Some(2));
    assert_eq!(found[1], Err(Rejected { line: 4, error: "expected an object".to_owned() }));
    for (text, error) in [
        ("{}", "field `data.rows`: missing"),
        ("{\"data\":{\"rows\":1}}", "field `data.rows`: expected a list"),
    ] {
        assert_eq!(read(&inside, text), [Err(Rejected { line: 0, error: error.to_owned() })]);
    }
    assert!(
        read(&inside, "{")
            .first()
            .is_some_and(|found| found.as_ref().is_err_and(|r| r.error.starts_with("not JSON")))
    );
}

#[test]
fn tests_choose_what_more_is_said() {
    let mapping = format!(
        "{}\n[[when]]\nmatch = {{ a = {{ prefix = \"x\" }}, b = {{ present = true }} }}\nrecord.operation = \"both\"\n\
         [[when]]\nmatch = {{ a = \"xy\" }}\nrecord.operation = \"later\"\n[[when]]\nrecord.permission = \"always\"\n",
        SMALL.replace("\"csv\"", "\"json\"")
    );
    let operation = |more: &str| {
        let text = format!("{{\"id\":1,\"at\":\"2026-11-20T10:00:00Z\"{more}}}");
        let found = good(&mapping, &text);
        let record = parse(&found[0]);
        assert_eq!(record.permission.as_deref(), Some("always"));
        assert_eq!(record.executor.map(|e| e.kind), Some(PrincipalType::Unknown));
        record.operation.map(|operation| operation.to_string())
    };
    assert_eq!(operation(""), None);
    assert_eq!(operation(r#","a":"x1""#), None);
    assert_eq!(operation(r#","a":"x1","b":false"#).as_deref(), Some("both"));
    // The one that is said last stands.
    assert_eq!(operation(r#","a":["q","xy"],"b":"""#).as_deref(), Some("later"));
}

#[test]
fn what_a_mapping_file_does_not_know_is_named_with_its_line() {
    for (text, line, message) in [
        ("nam = 1\n".to_owned(), 1, "unknown key `nam`"),
        (format!("{SMALL}executer.key = \"x\"\n"), 7, "a record has no member `executer`"),
        (format!("{SMALL}kind = \"outcome\"\n"), 7, "expected one of `observation`, `step`, `task`"),
        (
            format!("{SMALL}outcome.status = {{ field = \"r\", values = {{ ok = \"good\" }} }}\n"),
            7,
            "expected one of `success`",
        ),
        (format!("{SMALL}operation = {{ feild = \"x\" }}\n"), 7, "unknown key `feild`"),
        (
            format!("{SMALL}operation = {{ field = \"x\", format = \"unix\" }}\n"),
            7,
            "`format` is for times only",
        ),
        (format!("{SMALL}request = \"T-1\"\n"), 7, "another one for each event"),
        (format!("{SMALL}[[when]]\nmatch.a = 1\n"), 7, "says nothing"),
        (format!("{SMALL}[[when]]\nmatch.a.b = \"c\"\nrecord.task = \"t\"\n"), 8, "stands in quotes"),
        (
            format!("{SMALL}[[when]]\n[[when.effect]]\nchange = \"issued\"\n"),
            8,
            "`kind` of the effect is missing",
        ),
        (format!("{SMALL}[[when]]\n[[when.effect]]\nkind = \"outcome\"\n"), 9, "expected one of `principal`"),
        (SMALL.replace("\"csv\"", "\"xml\""), 3, "expected one of `csv`, `json`"),
        (SMALL.replace("[record]", "delimiter = \"::\"\n[record]"), 4, "one ASCII character"),
        (SMALL.replace("\"csv\"", "\"csv\"\nat = \"x\""), 4, "`at` is of format `json` only"),
        (
            SMALL.replace(
                "time = { field = \"at\" }",
                "time = { field = \"at\", format = \"%d\", zone = \"CET\" }",
            ),
            6,
            "a distance from UTC",
        ),
        (SMALL.replace("time =", "task ="), 1, "`record.time` is missing"),
        ("name = \"x\"\nsystem".to_owned(), 2, "key with no value"),
        (String::new(), 1, "`name` is missing"),
    ] {
        let error = Mapping::parse(&text).expect_err(&text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.message.contains(message), "{text}: {error}");
    }
}

#[test]
fn a_row_without_an_end_holds_no_memory() {
    let text = format!("id,at\n\"{}", "x".repeat(20 << 20));
    let found = read(SMALL, &text);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].as_ref().is_err_and(|r| r.error.contains("larger than 16777216 bytes")),
        "{:?}",
        found[0].as_ref().err()
    );
}
