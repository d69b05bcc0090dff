//! The state is a function of the set of records, within its bounds.

use deed_identity::{Bounds, CredentialKey, GrantKey, Rank, Role, Standing, State};
use deed_record::Change;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    any::any_record,
    records::{account, at, bounded, enforced, fold, issues, logged, party, state, uses},
};

#[test]
fn accounts_are_counted_by_place() {
    let role = || party("role", "service_account");
    let records = [
        logged(1, "cloudtrail:1", json!({ "executor": role(), "environment": "prod" })),
        logged(2, "cloudtrail:1", json!({ "executor": role(), "environment": "prod" })),
        enforced(3, json!({ "kind": "intent", "executor": role(), "initiator": party("ann", "human") })),
        // An outcome is the end of an action, and no action.
        enforced(
            4,
            json!({
                "kind": "outcome", "executor": role(), "action": "0193a700-0000-8000-8000-000000000003",
                "outcome": { "status": "success" },
            }),
        ),
    ];
    let state = state(&records);
    let facts = state.account(account("role")).expect("known");
    assert_eq!((facts.executed, facts.initiated), (3, 0));
    let places: Vec<(&str, &str, u64)> =
        facts.places.iter().map(|place| (&*place.system, &*place.environment, place.executed)).collect();
    assert_eq!(places, [("cloudtrail:1", "prod", 2), ("deed", "", 1)]);
    assert_eq!((facts.first_seen, facts.last_seen), (at("2026-11-01T10:00:01Z"), at("2026-11-01T10:00:04Z")));
    assert_eq!(state.account(account("ann")).expect("known").initiated, 1);
    assert_eq!(state.tenant_of(account("ann")), Some("acme"));
    let link = &state.links_of(account("ann"))[0];
    assert_eq!(
        (link.from, link.to, link.rank, link.count),
        (account("ann"), account("role"), Rank::Enforced, 1)
    );
}

#[test]
fn whoever_issues_a_credential_did_not_ask_for_it() {
    let issued = |more: Value| {
        let mut record = json!({
            "kind": "credential", "executor": party("vault", "workload"), "credential": { "id": "lease-1" },
            "terms": { "change": "issued", "subject": party("job", "workload"), "by": party("vault", "workload") },
        });
        more.as_object().expect("an object").iter().for_each(|(name, value)| record[name] = value.clone());
        let state = state(&[logged(1, "vault:prod", record)]);
        let lease = state.credential(CredentialKey::of("acme", "lease-1")).expect("known");
        lease.holders.iter().map(|holder| (holder.account, holder.role)).collect::<Vec<_>>()
    };
    assert_eq!(issued(json!({})), [(account("job"), Role::Given)]);
    let holders = issued(json!({ "initiator": party("ann", "human") }));
    assert!(holders.contains(&(account("ann"), Role::Asked)) && holders.len() == 2, "{holders:?}");
}

#[test]
fn the_life_of_a_credential_is_known() {
    let user = || party("user", "unknown");
    let records = [
        logged(1, "cloudtrail:1", issues(user(), "AKIA1", "ASIA1", party("role", "service_account"))),
        logged(2, "cloudtrail:1", uses("ASIA1", party("role", "service_account"))),
        logged(
            3,
            "cloudtrail:1",
            json!({
                "executor": party("admin", "human"),
                "effects": [{ "kind": "credential", "credential": { "id": "AKIA1" }, "terms": { "change": "revoked" } }],
            }),
        ),
        logged(4, "cloudtrail:1", uses("AKIA1", user())),
    ];
    let state = state(&records);
    let key = |name: &str| CredentialKey::of("acme", name);
    let root = state.credential(key("AKIA1")).expect("known");
    assert_eq!(root.uses, 2);
    let now = at("2026-11-02T00:00:00Z");
    assert_eq!(Standing::at(now, &root.changes, root.expires), Standing::Revoked);
    assert_eq!(Standing::at(at("2026-11-01T10:00:02Z"), &root.changes, root.expires), Standing::Unknown);
    assert_eq!(state.children(key("AKIA1")), [key("ASIA1")]);
    let child = state.credential(key("ASIA1")).expect("known");
    assert_eq!(child.parent, Some(key("AKIA1")));
    let roles: Vec<_> = child.holders.iter().map(|holder| (holder.account, holder.role)).collect();
    for held in
        [(account("user"), Role::Asked), (account("role"), Role::Given), (account("role"), Role::Used)]
    {
        assert!(roles.contains(&held), "{held:?} in {roles:?}");
    }
    assert_eq!(Standing::at(now, &child.changes, child.expires), Standing::Active);
    assert_eq!(state.credentials_of(account("role")), [key("ASIA1")]);
    // The same id of another tenant is another credential.
    assert_eq!(state.credential(CredentialKey::of("other", "AKIA1")), None);
}

#[test]
fn names_of_one_credential_belong_together() {
    let both = json!({ "executor": party("bot", "agent"), "credential": { "id": "k1", "fingerprint": "sha256:aa" } });
    let records = [
        logged(1, "a", both),
        logged(2, "a", json!({ "executor": party("bot", "agent"), "credential": { "id": "k1" } })),
        logged(
            3,
            "a",
            json!({ "executor": party("bot", "agent"), "credential": { "fingerprint": "sha256:aa" } }),
        ),
    ];
    let state = state(&records);
    let (one, other) = (CredentialKey::of("acme", "k1"), CredentialKey::of("acme", "sha256:aa"));
    assert_eq!(state.credential(one), state.credential(other));
    assert_eq!(state.credential(one).expect("known").uses, 3);
}

#[test]
fn grants_come_and_go() {
    let attach = |change: &str| {
        json!({
            "executor": party("admin", "human"),
            "effects": [{ "kind": "grant", "terms": {
                "change": change, "scopes": ["arn:aws:iam::aws:policy/AdministratorAccess"], "subject": party("user", "unknown"),
            } }],
        })
    };
    let records = [logged(1, "cloudtrail:1", attach("issued")), logged(9, "cloudtrail:1", attach("revoked"))];
    let state = state(&records);
    let grants = state.grants_of(account("user"));
    assert_eq!(grants.len(), 1, "{grants:?}");
    assert_eq!(Standing::at(at("2026-11-01T10:00:05Z"), &grants[0].changes, None), Standing::Active);
    assert_eq!(Standing::at(at("2026-11-02T00:00:00Z"), &grants[0].changes, None), Standing::Revoked);
    assert_eq!(
        grants[0].changes.iter().map(|entry| entry.change).collect::<Vec<_>>(),
        [Change::Issued, Change::Revoked]
    );
}

#[test]
fn all_that_somebody_has_on_a_resource_ends_at_once() {
    let grant = |n: u32, effects: &[(&str, Option<&str>)]| {
        let effects: Vec<Value> = effects
            .iter()
            .map(|(change, role)| {
                let mut terms = json!({ "change": change, "subject": party("dave", "human") });
                role.iter().for_each(|role| terms["role"] = json!(role));
                json!({ "kind": "grant", "resource": { "uri": "github:acme" }, "terms": terms })
            })
            .collect();
        let more = json!({ "executor": party("carol", "human"), "resource": { "uri": "github:acme" }, "effects": effects });
        logged(n, "github:acme", more)
    };
    let active = |records: &[Value]| {
        let mut told: Vec<Value> = records.to_vec();
        told.reverse();
        let of = |records: &[Value]| {
            let grants = state(records).grants_of(account("dave"));
            let now = at("2026-11-02T00:00:00Z");
            let active =
                grants.iter().filter(|grant| Standing::at(now, &grant.changes, None) == Standing::Active);
            let mut roles: Vec<String> = active.map(|grant| grant.role.clone().unwrap_or_default()).collect();
            roles.sort();
            roles
        };
        assert_eq!(of(&told), of(records), "whatever comes first");
        of(records)
    };
    let added = grant(1, &[("issued", Some("read"))]);
    let updated = grant(2, &[("revoked", None), ("issued", Some("admin"))]);
    let removed = grant(3, &[("revoked", None)]);
    assert_eq!(active(&[added.clone(), updated.clone()]), ["admin"]);
    assert_eq!(active(&[added.clone(), updated.clone(), removed.clone()]), [""; 0]);
    assert_eq!(active(&[added.clone(), updated, removed, grant(4, &[("issued", Some("read"))])]), ["read"]);
}

#[test]
fn a_right_is_taken_back_by_what_it_was() {
    let asked = |n: u8| format!("0193a700-0000-8000-8000-00000000000{n}");
    let said = |n: u32, change: &str, request: Option<u8>, terms: Value| {
        let mut all = json!({ "change": change, "subject": party("app", "service_account") });
        terms.as_object().into_iter().flatten().for_each(|(name, value)| all[name] = value.clone());
        let mut more = json!({ "kind": "grant", "executor": party("boss", "human"), "terms": all });
        request.iter().for_each(|request| more["request"] = json!(asked(*request)));
        logged(n, "hr", more)
    };
    // The same right as an effect of an event.
    let effect = |mut record: Value| {
        record["kind"] = json!("observation");
        record["effects"] = json!([{ "kind": "grant", "terms": record["terms"].take() }]);
        record
    };
    let standing = |records: &[Value]| {
        let of = |records: &[Value]| {
            let grants = state(records).grants_of(account("app")).into_iter();
            let now = at("2026-11-02T00:00:00Z");
            let mut all: Vec<Standing> =
                grants.map(|grant| Standing::at(now, &grant.changes, None)).collect();
            all.sort_unstable();
            all
        };
        let mut told = records.to_vec();
        told.reverse();
        assert_eq!(of(&told), of(records), "whatever comes first");
        of(records)
    };
    let whole = || json!({ "role": "r7", "scopes": ["admin", "read"] });
    let given = said(1, "issued", Some(1), whole());
    let (active, gone) = ([Standing::Active], [Standing::Revoked]);
    assert_eq!(standing(std::slice::from_ref(&given)), active);
    for (terms, is_it) in [
        (whole(), true),
        (json!({ "role": "r7" }), true),
        (json!({ "scopes": ["read", "admin"] }), true),
        (json!({}), true),
        (json!({ "role": "r8" }), false),
        (json!({ "scopes": ["read"] }), false),
    ] {
        for (request, also) in [(None, true), (Some(1), true), (Some(2), false)] {
            let taken = said(2, "revoked", request, terms.clone());
            let is_gone = is_it && also;
            // What it is that was taken back stands by itself where nobody is known to have had it.
            let expected =
                if is_gone { vec![Standing::Revoked] } else { vec![Standing::Active, Standing::Revoked] };
            assert_eq!(standing(&[given.clone(), taken.clone()]), expected, "{terms} {request:?}");
            assert_eq!(standing(&[given.clone(), effect(taken)]), expected, "{terms} {request:?}");
        }
        let expected =
            if is_it { vec![Standing::Revoked] } else { vec![Standing::Active, Standing::Revoked] };
        let as_effect = effect(said(1, "issued", None, whole()));
        assert_eq!(standing(&[as_effect, said(2, "revoked", None, terms.clone())]), expected, "{terms}");
    }
    let expired = said(2, "expired", None, whole());
    assert_eq!(standing(&[given.clone(), expired]), [Standing::Expired]);
    // Given again: a grant of its own, and the first one is gone.
    let taken = said(2, "revoked", None, json!({ "role": "r7" }));
    let again = said(3, "issued", None, whole());
    assert_eq!(standing(&[given.clone(), taken.clone(), again]), [Standing::Active, Standing::Revoked]);
    let before = said(1, "revoked", None, whole());
    assert_eq!(standing(&[before, said(2, "issued", None, whole())]), [Standing::Active, Standing::Revoked]);
    let unknown = standing(std::slice::from_ref(&taken));
    assert_eq!(unknown, gone, "nobody tells that it was given");
    // Somebody else's.
    let mut others = taken;
    others["terms"]["subject"] = party("other", "service_account");
    assert_eq!(standing(&[given, others]), active);
}

/// What stands of all grants to `ann` and of the session S1 of hers, whatever comes first.
fn standing_of_ann(records: &[Value]) -> (Vec<Standing>, Standing) {
    let of = |records: &[Value]| {
        let state = state(records);
        let now = at("2026-11-02T00:00:00Z");
        let grants = state.grants_of(account("ann")).into_iter();
        let session = state.credential(CredentialKey::of("acme", "S1")).expect("known");
        let again = State::read(&state.dump(), Bounds::default()).expect("a dump");
        assert_eq!(again.digest(), state.digest());
        (grants.map(|grant| Standing::at(now, &grant.changes, None)).collect(), session.standing(now))
    };
    let mut told = records.to_vec();
    told.reverse();
    assert_eq!(of(&told), of(records), "whatever comes first");
    of(records)
}

#[test]
fn a_lock_that_is_lifted_by_its_name_lets_go_on() {
    let (admin, ann) = (party("admin", "human"), party("ann", "human"));
    let tells = |n: u32, mut more: Value| {
        more["executor"] = admin.clone();
        logged(n, "teleport:t", more)
    };
    let grant = json!({ "kind": "grant", "terms": { "change": "issued", "role": "dba", "subject": ann } });
    let session = json!({ "kind": "credential", "credential": { "id": "S1", "type": "session" },
        "terms": { "change": "issued", "subject": ann } });
    let begun = [tells(1, json!({ "effects": [grant] })), tells(2, json!({ "effects": [session] }))];
    let gone = json!([{ "kind": "principal", "terms": { "change": "revoked", "subject": ann } }]);
    let lock = |name: &str| json!({ "uri": format!("teleport:lock/{name}"), "type": "lock" });
    let put = |n: u32, name: &str| tells(n, json!({ "resource": lock(name), "effects": gone }));
    let lifted = |n: u32, name: &str| {
        let renewed =
            json!({ "kind": "principal", "resource": lock(name), "terms": { "change": "renewed" } });
        tells(n, json!({ "effects": [renewed] }))
    };
    use Standing::{Active, Revoked};
    let then = |more: &[Value]| standing_of_ann(&[&begun, more].concat());
    assert_eq!(then(&[put(3, "a")]), (vec![Revoked], Revoked));
    assert_eq!(then(&[put(3, "a"), lifted(4, "a")]), (vec![Active], Active));
    assert_eq!(then(&[put(3, "a"), put(4, "b"), lifted(5, "a")]), (vec![Revoked], Revoked));
    // Whoever was removed meanwhile is gone.
    let removed = tells(4, json!({ "effects": gone }));
    assert_eq!(then(&[put(3, "a"), removed, lifted(5, "a")]), (vec![Revoked], Revoked));
}

#[test]
fn a_removed_account_holds_nothing() {
    let admin = || party("admin", "human");
    let ann = || party("ann", "human");
    let granted = |n: u32| {
        let terms = json!({ "change": "issued", "role": "dba", "subject": ann() });
        logged(n, "okta:1", json!({ "executor": admin(), "effects": [{ "kind": "grant", "terms": terms }] }))
    };
    let session = json!({ "kind": "credential", "credential": { "id": "S1", "type": "session" }, "terms": { "change": "issued", "subject": ann() } });
    let session = logged(2, "okta:1", json!({ "executor": ann(), "effects": [session] }));
    let became = |n: u32, change: &str, expires: Option<&str>| {
        let mut terms = json!({ "change": change, "subject": ann() });
        expires.iter().for_each(|expires| terms["expires"] = json!(expires));
        logged(
            n,
            "okta:1",
            json!({ "executor": admin(), "effects": [{ "kind": "principal", "terms": terms }] }),
        )
    };
    use Standing::{Active, Revoked};
    let begun = [granted(1), session];
    let then = |more: &[Value]| standing_of_ann(&[&begun, more].concat());
    assert_eq!(then(&[]), (vec![Active], Active));
    assert_eq!(then(&[became(3, "revoked", None)]), (vec![Revoked], Revoked));
    assert_eq!(then(&[became(3, "revoked", None), became(4, "renewed", None)]), (vec![Active], Active));
    // Made anew under the same name, it has what it is given since.
    let anew = [became(3, "revoked", None), became(4, "issued", None)];
    assert_eq!(then(&anew), (vec![Revoked], Revoked));
    assert_eq!(then(&[&anew[..], &[granted(5)]].concat()), (vec![Active], Revoked));
    // A lock that ends by itself takes nothing away.
    assert_eq!(then(&[became(3, "revoked", Some("2026-11-01T11:00:00Z"))]), (vec![Active], Active));
    // Nobody's own word does.
    let mut told = became(3, "revoked", None);
    told["basis"] = json!("reported");
    assert_eq!(then(&[told]), (vec![Active], Active));
}

#[test]
fn who_left_an_organisation_has_nothing_in_it() {
    let grant = |n: u32, org: &str, resource: &str, change: &str, role: Option<&str>| {
        let mut terms = json!({ "change": change, "subject": party("dave", "human") });
        role.iter().for_each(|role| terms["role"] = json!(role));
        let effects = json!([{ "kind": "grant", "resource": { "uri": resource }, "terms": terms }]);
        logged(n, org, json!({ "executor": party("carol", "human"), "effects": effects }))
    };
    let records = [
        grant(1, "github:acme", "github:acme/api", "issued", Some("write")),
        grant(2, "github:other", "github:other/api", "issued", Some("write")),
        grant(3, "github:acme", "github:acme", "revoked", None),
        grant(4, "github:acme", "github:acme/docs", "issued", Some("read")),
    ];
    let now = at("2026-11-02T00:00:00Z");
    let active = |records: &[Value]| {
        let grants = state(records).grants_of(account("dave"));
        let active =
            grants.iter().filter(|grant| Standing::at(now, &grant.changes, None) == Standing::Active);
        let mut active: Vec<String> = active.filter_map(|grant| grant.resource.clone()).collect();
        active.sort();
        active
    };
    assert_eq!(active(&records), ["github:acme/docs", "github:other/api"]);
    let restored = grant(5, "github:acme", "github:acme", "renewed", None);
    let restored = active(&[&records[..], &[restored]].concat());
    assert!(restored.contains(&"github:acme/api".to_owned()), "{restored:?}");
}

#[test]
fn sessions_that_were_revoked_all_at_once_stand_no_more() {
    let role = || party("role", "service_account");
    let opened = |n: u32, id: &str| {
        let session = json!({ "id": id, "type": "temporary_key" });
        let terms = json!({ "change": "issued", "subject": role() });
        let effects = json!([{ "kind": "credential", "credential": session, "terms": terms }]);
        logged(n, "cloudtrail:1", json!({ "executor": party("ann", "human"), "effects": effects }))
    };
    let all = |n: u32, change: &str, before: &str| {
        let terms = json!({ "change": change, "not_before": before, "subject": role() });
        let effects =
            json!([{ "kind": "credential", "credential": { "type": "temporary_key" }, "terms": terms }]);
        logged(n, "cloudtrail:1", json!({ "executor": party("admin", "human"), "effects": effects }))
    };
    let mut records = vec![opened(1, "OLD"), opened(5, "NEW"), all(6, "revoked", "2026-11-01T10:00:04Z")];
    let standing = |records: &[Value]| {
        ["OLD", "NEW"].map(|id| {
            let facts = state(records).credential(CredentialKey::of("acme", id)).expect("known");
            facts.standing(at("2026-11-02T00:00:00Z"))
        })
    };
    assert_eq!(standing(&records), [Standing::Revoked, Standing::Active]);
    records.reverse();
    assert_eq!(standing(&records), [Standing::Revoked, Standing::Active]);
    records.push(all(7, "renewed", "2026-11-01T10:00:07Z"));
    assert_eq!(standing(&records), [Standing::Active, Standing::Active]);
}

#[test]
fn what_a_thing_gave_ends_with_it_and_with_its_being_made_anothers() {
    let thing = json!({ "uri": "k8s:pay/rolebindings/rb" });
    let grant = |subject: &str, change: &str| {
        let terms =
            json!({ "change": change, "role": "reader", "subject": party(subject, "service_account") });
        json!({ "kind": "grant", "resource": { "uri": "k8s:pay/*" }, "terms": terms })
    };
    let whole = |change: &str| json!({ "kind": "grant", "resource": thing, "terms": { "change": change, "role": "reader" } });
    let bound = |n: u32, effects: Vec<Value>| {
        let more = json!({ "executor": party("carol", "human"), "resource": thing, "effects": effects });
        logged(n, "k8s:1", more)
    };
    let standing = |records: &[Value], whose: &str| {
        let mut told: Vec<Value> = records.to_vec();
        let of = |records: &[Value]| {
            let grants = state(records).grants_of(account(whose));
            assert_eq!(grants.len(), 1, "{grants:?}");
            Standing::at(at("2026-11-02T00:00:00Z"), &grants[0].changes, None)
        };
        let standing = of(&told);
        told.reverse();
        assert_eq!(of(&told), standing, "whatever comes first");
        standing
    };
    let given = bound(1, vec![grant("app", "issued")]);
    let both = bound(2, vec![grant("app", "altered"), grant("other", "altered"), whole("altered")]);
    let others = bound(3, vec![grant("other", "altered"), whole("altered")]);
    let gone = bound(4, vec![whole("revoked")]);
    assert_eq!(standing(&[given.clone(), both.clone()], "app"), Standing::Active);
    assert_eq!(standing(&[given.clone(), both.clone(), others.clone()], "app"), Standing::Revoked);
    assert_eq!(standing(&[given.clone(), both.clone(), others.clone()], "other"), Standing::Active);
    assert_eq!(standing(&[given.clone(), both, gone], "other"), Standing::Revoked);
    // Given back.
    let back = bound(5, vec![grant("app", "altered"), whole("altered")]);
    assert_eq!(standing(&[given, others, back], "app"), Standing::Active);
}

#[test]
fn a_grant_is_used_by_whoever_names_it() {
    let id = "0193a700-0000-8000-8000-000000000001";
    let given = json!({ "kind": "grant", "terms": { "role": "db", "subject": party("bot", "agent"), "expires": "2026-11-01T11:00:00.000000Z" } });
    let used = json!({ "kind": "intent", "executor": party("bot", "agent"), "grant": id });
    let state = state(&[enforced(1, given), enforced(2, used)]);
    let grants = state.grants_of(account("bot"));
    assert_eq!((grants[0].key, grants[0].uses), (GrantKey::of_record(id.parse().expect("an id")), 1));
    assert_eq!(
        Standing::at(at("2026-11-01T11:00:00Z"), &grants[0].changes, grants[0].expires),
        Standing::Expired
    );
}

#[test]
fn a_full_state_keeps_the_same_whatever_came_first() {
    let bounds = Bounds { accounts: 16, credentials: 16, grants: 4, links: 8, sources: 2, tried: 3 };
    let records: Vec<Value> = (0..100)
        .map(|n| logged(n, "s", uses(&format!("key-{n}"), party(&format!("bot-{n}"), "agent"))))
        .collect();
    let all = bounded(&records, bounds);
    let backwards: Vec<Value> = records.iter().rev().cloned().collect();
    assert_eq!(all.digest(), bounded(&backwards, bounds).digest());
    let mut halves = bounded(&records[..50], bounds);
    halves.merge(&bounded(&records[50..], bounds));
    assert_eq!(all.digest(), halves.digest());
    let sizes = all.sizes();
    assert!((1..=16).contains(&sizes.accounts) && (1..=16).contains(&sizes.credentials), "{sizes:?}");
    assert!(
        all.left_out().iter().any(|what| what.starts_with("there are more accounts")),
        "{:?}",
        all.left_out()
    );
    assert_eq!(State::default().left_out(), Vec::<String>::new());
}

#[test]
fn what_is_damaged_is_no_state() {
    let dump = state(&[logged(1, "s", uses("k", party("bot", "agent")))]).dump();
    assert!(State::read(&dump, Bounds::default()).is_ok());
    for cut in 0..dump.len() {
        assert!(State::read(&dump[..cut], Bounds::default()).is_err(), "{cut}");
    }
    let mut longer = dump.clone();
    longer.push(0);
    assert!(State::read(&longer, Bounds::default()).is_err());
    // A length that is a lie asks for no memory.
    for at in 0..dump.len() {
        let mut wrong = dump.clone();
        wrong[at] ^= 0xff;
        drop(State::read(&wrong, Bounds::default()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 64, max_shrink_iters: 500, ..ProptestConfig::default()
    })]

    // INVARIANT D5, D6.
    #[test]
    fn any_order_and_any_split_give_the_same(
        records in prop::collection::vec(any_record(), 1..40),
        order in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        small in any::<bool>(),
    ) {
        let bounds = if small { Bounds { accounts: 3, credentials: 2, grants: 3, links: 3, sources: 2, tried: 3 } } else { Bounds::default() };
        let all = bounded(&records, bounds);
        let mut turned = records.clone();
        turned.rotate_left(order.index(records.len()));
        turned.reverse();
        prop_assert_eq!(all.dump(), bounded(&turned, bounds).dump());
        let (before, after) = records.split_at(at.index(records.len() + 1));
        let mut parts = bounded(before, bounds);
        parts.merge(&bounded(after, bounds));
        prop_assert_eq!(all.dump(), parts.dump());
        // Through a snapshot, and on from there.
        let mut kept = State::read(&bounded(before, bounds).dump(), bounds).expect("just written");
        after.iter().for_each(|record| fold(&mut kept, record));
        prop_assert_eq!(all.dump(), kept.dump());
        for name in ["ann", "bot", "role", "other", "vendor"] {
            prop_assert_eq!(all.principal(account(name), &()), kept.principal(account(name), &()));
            prop_assert_eq!(all.account(account(name)), parts.account(account(name)));
            prop_assert_eq!(all.grants_of(account(name)), parts.grants_of(account(name)));
            prop_assert_eq!(all.credentials_of(account(name)), parts.credentials_of(account(name)));
        }
    }

    /// Whoever is asked for, the principal is the same, and everybody is of one only.
    #[test]
    fn principals_are_classes(records in prop::collection::vec(any_record(), 1..40)) {
        let state = state(&records);
        for name in ["ann", "bot", "role", "other", "vendor"] {
            let joined = state.principal(account(name), &());
            let members: Vec<_> = joined.members.iter().map(|member| member.account).collect();
            prop_assert!(members.contains(&account(name)));
            for member in &members {
                let same = state.principal(*member, &());
                prop_assert_eq!(&members, &same.members.iter().map(|member| member.account).collect::<Vec<_>>());
                prop_assert_eq!(&joined.refused, &same.refused);
            }
        }
    }
}
