//! Actions and how they ended; what records say about authority.

use crate::support::House;

const INTENT: &str = "01930000-0000-7000-8000-0000000000";

fn intent(number: u32) -> String {
    format!(
        r#"{{"kind":"intent","id":"{INTENT}{number:02}","time":"2026-11-20T10:00:00Z","executor":{{"type":"agent","key":"agent:a"}},"operation":"tools/call"}}"#
    )
}

fn outcome(action: u32, time: &str, status: &str) -> String {
    format!(
        r#"{{"kind":"outcome","action":"{INTENT}{action:02}","time":"2026-11-20T{time}Z","executor":{{"type":"agent","key":"agent:a"}},"outcome":{{"status":"{status}","code":"{status}!","duration_ms":7}}}}"#
    )
}

/// What `actions` says, by look-ups and by the join.
fn endings(house: &House) -> Vec<Vec<String>> {
    let few = house.ask("SELECT right(id, 2), kind, outcome_status, outcome_code, duration_ms, outcome_leaf_index FROM actions ORDER BY id");
    // More rows than are looked up one by one.
    let many = house.ask(
        "SELECT right(id, 2), kind, outcome_status, outcome_code, duration_ms, outcome_leaf_index FROM actions
         WHERE operation IS DISTINCT FROM 'filler' ORDER BY id",
    );
    assert_eq!(few, many);
    few
}

#[test]
fn the_latest_real_outcome_wins() {
    let house = House::new();
    house.append(&[
        intent(1),
        intent(2),
        intent(3),
        outcome(1, "10:00:05", "success"),
        outcome(1, "10:00:09", "unknown"),
        outcome(1, "10:00:01", "failure"),
        outcome(2, "10:00:09", "unknown"),
        // An observation that saw the end of intent 2, and one that is an action of its own.
        format!(r#"{{"kind":"observation","action":"{INTENT}02","time":"2026-11-20T10:00:08Z","executor":{{"type":"unknown"}},"outcome":{{"status":"denied"}}}}"#),
        format!(r#"{{"kind":"observation","id":"{INTENT}04","time":"2026-11-20T10:00:08Z","executor":{{"type":"unknown"}},"outcome":{{"status":"failure"}}}}"#),
        // Another tenant cannot end it.
        format!(r#"{{"kind":"outcome","tenant":"globex","action":"{INTENT}03","time":"2026-11-20T11:00:00Z","executor":{{"type":"unknown"}},"outcome":{{"status":"success"}}}}"#),
        r#"{"kind":"task","time":"2026-11-20T10:00:00Z","executor":{"type":"agent","key":"agent:a"},"task":"t"}"#.to_owned(),
    ].join("\n"));
    let expected = [
        ["01", "intent", "success", "success!", "7", "3"],
        ["02", "intent", "denied", "", "", "7"],
        ["03", "intent", "", "", "", ""],
        ["04", "observation", "failure", "", "", "8"],
    ];
    assert_eq!(endings(&house), expected);
    assert_eq!(house.number("SELECT count(*) FROM actions WHERE outcome_status = 'success'"), 1);
    assert_eq!(house.number("SELECT count(*) FROM actions"), 4);

    // The same in the company of many: then they are joined, not looked up.
    let filler: String = (0..1000).map(|n| format!(r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"agent","key":"f"}},"operation":"filler","outcome":{{"status":"success","duration_ms":{n}}}}}"#) + "\n").collect();
    house.append(&filler);
    let joined = house.ask("SELECT right(id, 2), kind, outcome_status, outcome_code, duration_ms, outcome_leaf_index FROM (SELECT * FROM actions LIMIT 100000) WHERE operation IS DISTINCT FROM 'filler' ORDER BY id");
    assert_eq!(joined, expected);
    assert_eq!(
        house.ask("SELECT outcome_status, count(*) FROM actions GROUP BY 1 ORDER BY 1 NULLS FIRST"),
        [["", "1"], ["denied", "1"], ["failure", "1"], ["success", "1001"]]
    );

    // The first few of a sorted selection.
    let top = house.ask("SELECT right(a.id, 2) AS n, a.outcome_status FROM actions a WHERE operation IS DISTINCT FROM 'filler' ORDER BY a.time DESC, a.id LIMIT 2");
    assert_eq!(top, [["04", "failure"], ["01", "success"]]);
    let plan = house.ask("EXPLAIN SELECT id, outcome_status FROM actions ORDER BY time DESC LIMIT 2");
    assert!(plan.iter().any(|row| row[1].contains("OutcomesExec")), "{plan:?}");
}

#[test]
fn what_was_corrected_or_seen_twice_is_one_action() {
    let house = House::new();
    house.append(&[
        format!(r#"{{"kind":"observation","id":"{INTENT}01","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"old"}}"#),
        format!(r#"{{"kind":"observation","id":"{INTENT}02","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"new","supersedes":"{INTENT}01"}}"#),
        format!(r#"{{"kind":"observation","id":"{INTENT}03","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"kept"}}"#),
        format!(r#"{{"kind":"observation","tenant":"globex","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"theirs","supersedes":"{INTENT}03"}}"#),
    ].join("\n"));
    assert_eq!(house.ask("SELECT operation FROM actions ORDER BY 1"), [["kept"], ["new"], ["theirs"]]);
    assert_eq!(house.number("SELECT count(*) FROM records"), 4);
}

#[test]
fn authority_is_read_from_records_and_from_effects() {
    let house = House::new();
    house.append(&[
        r#"{"kind":"request","id":"01930000-0000-7000-8000-0000000000a1","time":"2026-11-20T09:00:00Z","initiator":{"type":"human","key":"human:ann"},"terms":{"change":"requested","role":"db-admin","subject":{"type":"service_account","key":"sa:etl"}}}"#,
        r#"{"kind":"approval","time":"2026-11-20T09:05:00Z","request":"01930000-0000-7000-8000-0000000000a1","terms":{"answer":"approved","by":{"type":"human","key":"human:bob","name":"Bob"}}}"#,
        r#"{"kind":"grant","time":"2026-11-20T09:06:00Z","request":"01930000-0000-7000-8000-0000000000a1","resource":{"uri":"db:/crm","type":"table"},"terms":{"change":"issued","role":"db-admin","scopes":["ddl","dml"],"expires":"2026-11-21T00:00:00Z","subject":{"type":"service_account","key":"sa:etl"}}}"#,
        r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{"type":"human","key":"human:ann"},"operation":"sts:AssumeRole",
            "chain":[{"principal":{"type":"agent","key":"agent:one"},"credential":"tok-1","scope":["a"]},{"principal":{"type":"agent","key":"agent:two","vendor":"Initech"},"credential":"tok-2"}],
            "effects":[{"kind":"credential","credential":{"id":"ASIA0001","type":"temporary_key","parent":"AKIA0001","scopes":["s3"],"expires":"2026-11-20T11:00:00Z"},"terms":{"change":"issued","subject":{"type":"service_account","key":"aws:role"}}},
                       {"kind":"grant","terms":{"change":"revoked","role":"old"}}]}"#,
    ].join("\n"));
    assert_eq!(
        house.ask("SELECT change, role, array_to_string(scopes, ' '), resource_uri, subject_type, CAST(expires AS VARCHAR) FROM grants ORDER BY time, effect_order"
            .replace("time, effect_order", "time, role").as_str()),
        [["issued", "db-admin", "ddl dml", "db:/crm", "service_account", "2026-11-21T00:00:00Z"], ["revoked", "old", "", "", "", ""]]
    );
    assert_eq!(
        house.ask(
            "SELECT credential, credential_type, credential_parent, change, subject_type FROM credentials"
        ),
        [["ASIA0001", "temporary_key", "AKIA0001", "issued", "service_account"]]
    );
    assert_eq!(
        house.ask("SELECT answer, by_type, request FROM approvals"),
        [["approved", "human", "01930000-0000-7000-8000-0000000000a1"]]
    );
    assert_eq!(
        house.ask("SELECT hop, chain_depth, type, vendor, credential, array_to_string(scopes, ' ') FROM delegations ORDER BY hop"),
        [["1", "2", "agent", "", "tok-1", "a"], ["2", "2", "agent", "Initech", "tok-2", ""]]
    );
    // Ann asked and acted, Bob approved; the ETL account was asked for and granted; the role; two agents.
    assert_eq!(
        house.ask("SELECT type, count(*), sum(mentions) FROM principals GROUP BY type ORDER BY type"),
        [["agent", "2", "2"], ["human", "2", "3"], ["service_account", "2", "3"]]
    );
    assert_eq!(
        house.ask("SELECT a.alias, a.name, p.vendor FROM aliases a JOIN principals p ON p.key = a.principal AND p.tenant = a.tenant ORDER BY 1"),
        [["agent:one", "", ""], ["agent:two", "", "Initech"], ["aws:role", "", ""], ["human:ann", "", ""], ["human:bob", "Bob", ""], ["sa:etl", "", ""]]
    );
    assert_eq!(house.ask("SELECT count(*) FROM records r JOIN aliases a ON a.account = r.executor WHERE a.alias = 'human:ann'"), [["1"]]);
    assert_eq!(house.number("SELECT count(*) FROM findings"), 0);
}
