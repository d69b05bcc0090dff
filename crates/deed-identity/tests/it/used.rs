//! What was used, by what, and what grants give.

use deed_identity::{CredentialKey, Rank, SeenBy, State, UsedAs};
use deed_record::Change;
use serde_json::{Value, json};

use crate::records::{account, at, bounded, enforced, gap, logged, party, state, uses};

fn bot() -> Value {
    party("bot", "agent")
}

#[test]
fn what_was_used_is_counted_by_name_and_what_was_denied_is_not() {
    let acts = |number, more: Value| {
        let mut record = logged(number, "app", json!({ "executor": bot(), "operation": "tools/call" }));
        more.as_object().expect("an object").iter().for_each(|(name, value)| record[name] = value.clone());
        record
    };
    let records = [
        acts(1, json!({ "permission": "db:read" })),
        acts(5, json!({ "permission": "db:read", "outcome": { "status": "success" } })),
        acts(3, json!({ "permission": "db:write", "outcome": { "status": "denied" } })),
        acts(
            4,
            json!({ "tool": { "server": "files", "name": "read" }, "outcome": { "status": "timed_out" } }),
        ),
        acts(6, json!({})),
        acts(7, json!({ "permission": "db:drop", "decision": { "effect": "deny" }, "kind": "intent" })),
        enforced(
            8,
            json!({
                "kind": "outcome", "action": "0193a700-0000-8000-8000-000000000007", "executor": bot(),
                "permission": "db:drop", "outcome": { "status": "denied" },
            }),
        ),
    ];
    let facts = state(&records).account(account("bot")).expect("known");
    let used: Vec<(&str, UsedAs, u64)> =
        facts.used.iter().map(|used| (&*used.what, used.named_as, used.count)).collect();
    assert_eq!(
        used,
        [
            ("db:read", UsedAs::Permission, 2),
            ("files/read", UsedAs::Tool, 1),
            ("tools/call", UsedAs::Operation, 1)
        ]
    );
    assert_eq!(
        (facts.used[0].first, facts.used[0].last),
        (at("2026-11-01T10:00:01Z"), at("2026-11-01T10:00:05Z"))
    );
    assert_eq!((facts.executed, facts.denied, facts.failed), (6, 2, 1));
    // An outcome is the end of an action, and no act of its own.
    assert_eq!(facts.last_acted.map(|(time, _)| time), Some(at("2026-11-01T10:00:07Z")));
    assert!(!facts.more_used);
}

#[test]
fn of_too_much_the_least_by_name_is_kept_whatever_came_first() {
    let records: Vec<Value> = (0..100)
        .map(|n| {
            let of = |what: &str| format!("{what}-{:02}", n * 37 % 100);
            let who =
                json!({ "account": account("bot").to_string(), "type": "agent", "instance": of("run") });
            let mut record = uses("k1", who);
            record["permission"] = of("p").into();
            record["task"] = of("t").into();
            logged(n, "app", record)
        })
        .collect();
    let all = state(&records);
    let backwards: Vec<Value> = records.iter().rev().cloned().collect();
    let mut halves = state(&records[..50]);
    halves.merge(&state(&records[50..]));
    assert_eq!(all.digest(), state(&backwards).digest());
    assert_eq!(all.digest(), halves.digest());
    let facts = all.account(account("bot")).expect("known");
    let used: Vec<String> = facts.used.iter().map(|used| used.what.clone()).collect();
    assert_eq!(used, (0..32).map(|n| format!("p-{n:02}")).collect::<Vec<_>>());
    assert!(facts.more_used);
    let credential = all.credential(CredentialKey::of("acme", "k1")).expect("known");
    for seen in [&facts.seen, &credential.seen] {
        let kept: Vec<(SeenBy, usize, bool)> =
            seen.iter().map(|seen| (seen.by, seen.each.len(), seen.more)).collect();
        assert_eq!(kept, [(SeenBy::Instance, 8, true), (SeenBy::Task, 8, true)]);
    }
}

#[test]
fn instances_at_work_in_turns_overlap() {
    let run = |number, instance: &str| {
        let who = json!({ "account": account("bot").to_string(), "type": "agent", "instance": instance });
        logged(number, "app", uses("k1", who))
    };
    let overlap = |records: &[Value]| {
        let state = state(records);
        let facts = state.credential(CredentialKey::of("acme", "k1")).expect("known");
        facts.seen.iter().find(|seen| seen.by == SeenBy::Instance).expect("instances").overlap()
    };
    assert!(!overlap(&[run(1, "a"), run(2, "a"), run(3, "b"), run(4, "b")]));
    assert!(overlap(&[run(1, "a"), run(2, "b"), run(3, "a"), run(4, "b")]));
}

#[test]
fn a_grant_says_what_it_gives_who_gave_it_and_what_it_relies_on() {
    let given = json!({
        "kind": "grant", "request": "0193a700-0000-8000-8000-00000000000a",
        "approvals": ["0193a700-0000-8000-8000-00000000000b"], "resource": { "uri": "db:orders/*" },
        "terms": { "change": "issued", "role": "ddl", "scopes": ["db:write", "db:read"], "subject": bot(), "by": party("ann", "human") },
    });
    let narrowed = json!({
        "kind": "grant", "grant": "0193a700-0000-8000-8000-000000000001",
        "terms": { "change": "altered", "scopes": ["db:read"], "subject": bot(), "by": party("ann", "human") },
    });
    let ended = json!({
        "kind": "grant", "grant": "0193a700-0000-8000-8000-000000000001", "terms": { "change": "revoked", "subject": bot() },
    });
    let used =
        json!({ "kind": "intent", "executor": bot(), "grant": "0193a700-0000-8000-8000-000000000001" });
    let records = [enforced(1, given), enforced(2, used.clone()), enforced(4, used), enforced(9, ended)];
    let first = state(&records);
    let grants: Vec<_> = first.grants("acme").collect();
    assert_eq!(grants, first.grants_of(account("bot")));
    let grant = &grants[0];
    assert_eq!((grant.role.as_deref(), grant.resource.as_deref()), (Some("ddl"), Some("db:orders/*")));
    assert_eq!(grant.scopes, ["db:read", "db:write"]);
    assert_eq!(grant.by, Some(account("ann")));
    assert!(grant.names_request && grant.names_approval && !grant.more_scopes);
    assert_eq!(grant.given().map(|(time, _)| time), Some(at("2026-11-01T10:00:01Z")));
    let times = [grant.first_used, grant.last_used].map(|used| used.map(|(time, _)| time));
    assert_eq!(times, [Some(at("2026-11-01T10:00:02Z")), Some(at("2026-11-01T10:00:04Z"))]);
    // The last that says what it gives counts.
    let altered = state(&[records.to_vec(), vec![enforced(5, narrowed)]].concat());
    let grant = altered.grants("acme").next().expect("a grant");
    assert_eq!((grant.role.as_deref(), &*grant.scopes), (None, &["db:read".to_owned()][..]));
    assert_eq!(altered.grants("other").count(), 0);
}

#[test]
fn a_credential_is_as_old_as_anybody_says() {
    let issued = "2026-03-01T00:00:00.000000Z";
    let mut used = uses("AKIA1", bot());
    used["credential"]["issued"] = issued.into();
    used["credential"]["type"] = "access_key".into();
    let state = state(&[logged(1, "aws", used)]);
    let facts = state.credential(CredentialKey::of("acme", "AKIA1")).expect("known");
    assert_eq!((facts.issued, facts.first_issued()), (Some(at(issued)), Some(at(issued))));
    assert_eq!(facts.is_static(), Some(true));
    assert_eq!(facts.longest_in_use(), Some(at("2026-11-01T10:00:01Z").0 - at(issued).0));
}

#[test]
fn everything_is_listed_once_and_by_tenant() {
    let both = json!({ "executor": bot(), "credential": { "id": "k1", "fingerprint": "sha256:aa" } });
    let mut other = uses("k9", party("vendor", "third_party"));
    other["tenant"] = "other".into();
    let state = state(&[
        logged(1, "aws", both),
        logged(2, "aws", uses("k2", party("ann", "human"))),
        // Two systems know the same key: one principal.
        logged(3, "k8s", uses("k3", bot())),
        logged(4, "aws", uses("k3", party("role", "service_account"))),
        logged(5, "aws", other),
        gap(6, "aws"),
    ]);
    assert_eq!(state.tenants(), ["acme", "other"]);
    let keys: Vec<CredentialKey> = state.credentials("acme").map(|facts| facts.key).collect();
    let mut expected: Vec<CredentialKey> = [&["k1", "sha256:aa"][..], &["k2"], &["k3"]]
        .iter()
        .filter_map(|names| names.iter().map(|name| CredentialKey::of("acme", name)).min())
        .collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let mut members: Vec<usize> =
        state.principals("acme", &()).map(|principal| principal.members.len()).collect();
    members.sort_unstable();
    assert_eq!(members, [1, 2]);
    let sources: Vec<(String, Rank, u64, u64)> = state
        .sources("acme")
        .into_iter()
        .map(|source| (source.system, source.rank, source.records, source.gaps))
        .collect();
    assert_eq!(sources, [("aws".to_owned(), Rank::Logged, 4, 1), ("k8s".to_owned(), Rank::Logged, 1, 0)]);
}

#[test]
fn what_is_tried_in_vain_is_counted_by_ten_minutes() {
    let tries = |number, status: &str| {
        let act = json!({
            "executor": bot(), "tool": { "server": "db", "name": "query" }, "permission": "db:read",
            "resource": { "uri": "db:orders" }, "outcome": { "status": status },
        });
        logged(number, "app", act)
    };
    let mut refused = tries(4, "unknown");
    refused["decision"] = json!({ "effect": "deny" });
    let state =
        state(&[tries(1, "denied"), tries(2, "failure"), tries(3, "success"), refused, tries(700, "denied")]);
    let tried: Vec<_> = state.tried("acme").collect();
    assert_eq!(tried.iter().map(|tried| (tried.denied, tried.failed)).collect::<Vec<_>>(), [(2, 1), (1, 0)]);
    assert_eq!((&*tried[0].what, tried[0].resource.as_deref()), ("db/query", Some("db:orders")));
    assert_eq!((tried[0].first.0, tried[0].last.0), (at("2026-11-01T10:00:01Z"), at("2026-11-01T10:00:04Z")));
}

#[test]
fn a_call_that_was_not_permitted_is_one_try() {
    let told = |number, check: bool| {
        let more = match check {
            true => {
                json!({ "kind": "step", "step_type": "policy_check", "decision": { "effect": "deny" } })
            }
            false => json!({ "decision": { "effect": "deny" }, "outcome": { "status": "denied" } }),
        };
        let mut record = logged(number, "agent", more);
        record["executor"] = bot();
        record["tool"] = json!({ "name": "Bash" });
        record
    };
    let denied = |records: &[Value]| state(records).tried("acme").map(|tried| tried.denied).sum::<u64>();
    let checks: Vec<Value> = (0..5).map(|n| told(2 * n, true)).collect();
    let ends = (0..5).map(|n| told(2 * n + 1, false));
    assert_eq!(denied(&checks), 5, "where the check is all there is");
    assert_eq!(denied(&checks.into_iter().chain(ends).collect::<Vec<_>>()), 5);
}

#[test]
fn who_was_removed_is_known() {
    let removed = json!({
        "executor": party("admin", "human"),
        "effects": [{ "kind": "principal", "terms": { "change": "revoked", "subject": party("ann", "human") } }],
    });
    let state: State = bounded(&[logged(1, "okta", removed)], deed_identity::Bounds::default());
    let changes = state.account(account("ann")).expect("known").changes;
    assert_eq!(changes.iter().map(|entry| entry.change).collect::<Vec<_>>(), [Change::Revoked]);
    // Nobody acts who is only named.
    assert_eq!(state.account(account("ann")).expect("known").last_acted, None);
}
