//! Joins: what is joined, by what, and what is not.

use std::collections::BTreeMap;

use deed_identity::{Basis, CredentialKey, Declarations, Role, Why};
use deed_record::{Account, PrincipalType};
use serde_json::json;

use crate::records::{account, enforced, issues, logged, party, state, told, uses};

/// An inventory, by account.
#[derive(Default)]
struct Inventory {
    of: BTreeMap<Account, usize>,
    principals: Vec<(PrincipalType, Vec<Account>, Vec<Account>)>,
}

impl Inventory {
    fn with(mut self, kind: PrincipalType, names: &[&str], not_same: &[&str]) -> Self {
        let accounts = |names: &[&str]| names.iter().map(|name| account(name)).collect::<Vec<_>>();
        self.of.extend(accounts(names).into_iter().map(|account| (account, self.principals.len())));
        self.principals.push((kind, accounts(names), accounts(not_same)));
        self
    }
}

impl Declarations for Inventory {
    fn of(&self, account: Account) -> Option<usize> {
        self.of.get(&account).copied()
    }
    fn accounts(&self, principal: usize) -> Vec<Account> {
        self.principals[principal].1.clone()
    }
    fn kind(&self, principal: usize) -> PrincipalType {
        self.principals[principal].0
    }
    fn not_same(&self, principal: usize) -> Vec<Account> {
        self.principals[principal].2.clone()
    }
}

fn members(joined: &deed_identity::Joined) -> Vec<(Account, Basis)> {
    let mut members: Vec<_> = joined.members.iter().map(|member| (member.account, member.basis)).collect();
    members.sort_unstable();
    members
}

/// The same key in the logs of two systems.
fn seen_twice() -> [serde_json::Value; 3] {
    let role = || party("aws-role", "service_account");
    [
        logged(1, "cloudtrail:1", issues(party("user", "unknown"), "AKIA1", "ASIA1", role())),
        logged(2, "cloudtrail:1", uses("ASIA1", role())),
        logged(3, "kubernetes:eks", uses("ASIA1", party("k8s-user", "unknown"))),
    ]
}

#[test]
fn one_key_in_two_systems_is_one_holder() {
    let records = seen_twice();
    let joined = state(&records).principal(account("k8s-user"), &());
    assert_eq!(joined.members.len(), 2, "{joined:?}");
    let learned =
        joined.members.iter().find(|member| member.basis == Basis::Learned).expect("a learned join");
    let ids: Vec<String> = learned.evidence.iter().map(ToString::to_string).collect();
    assert!(ids.iter().any(|id| id.ends_with("03")) && ids.len() == 2, "{ids:?}");
    assert_eq!(joined.kind, PrincipalType::ServiceAccount);
    // Whoever had it issued is somebody else.
    assert!(joined.members.iter().all(|member| member.account != account("user")));
    // Without its evidence there is no join.
    assert_eq!(state(&records[..2]).principal(account("aws-role"), &()).members.len(), 1);
}

#[test]
fn a_person_and_a_machine_are_never_one() {
    let records = [
        logged(1, "cloudtrail:1", uses("AKIA1", party("user", "human"))),
        logged(2, "agents", uses("AKIA1", party("bot", "agent"))),
    ];
    let joined = state(&records).principal(account("bot"), &());
    assert_eq!(members(&joined), [(account("bot"), Basis::Recorded)]);
    assert_eq!(joined.refused.len(), 1);
    assert_eq!((joined.refused[0].why, joined.refused[0].why.is_conflict()), (Why::Types, true));
    assert_eq!(joined.refused[0].evidence.len(), 2);
    // Nor by way of somebody of whom it is not known.
    let records = [
        logged(1, "cloudtrail:1", uses("AKIA1", party("user", "human"))),
        logged(2, "agents", uses("AKIA1", party("between", "unknown"))),
        logged(3, "agents", uses("AKIA2", party("between", "unknown"))),
        logged(4, "cloudtrail:1", uses("AKIA2", party("bot", "agent"))),
    ];
    let state = state(&records);
    for name in ["user", "between", "bot"] {
        assert_eq!(state.principal(account(name), &()).members.len(), 1, "{name}");
    }
}

#[test]
fn who_acted_for_somebody_is_not_that_somebody_although_nobody_says_what_they_are() {
    let acts = |who| {
        let mut record = uses("t1", party("app", who));
        record["initiator"] = party("ann", "unknown");
        record
    };
    let seen = logged(1, "proxy", uses("t1", party("ann", "unknown")));
    for kind in ["third_party", "agent"] {
        let records = [seen.clone(), logged(2, "github:acme", acts(kind))];
        let joined = state(&records).principal(account("ann"), &());
        assert_eq!((joined.members.len(), joined.kind), (1, PrincipalType::Unknown), "{kind}");
        assert_eq!(
            (joined.refused[0].why, joined.refused[0].why.is_conflict()),
            (Why::Parties, true),
            "{kind}"
        );
    }
    // What is declared counts as what records say.
    let records = [seen.clone(), logged(2, "github:acme", acts("unknown"))];
    let inventory = Inventory::default().with(PrincipalType::Human, &["ann"], &[]);
    assert_eq!(state(&records).principal(account("ann"), &inventory).refused[0].why, Why::Parties);
    // A sender alone takes no log's join away, and a role may act as a user of its own.
    let told = [
        seen.clone(),
        logged(2, "github:acme", uses("t1", party("app", "agent"))),
        told(3, "x", acts("agent")),
    ];
    for records in [&told[..], &[seen, logged(2, "kubernetes:eks", acts("service_account"))]] {
        assert_eq!(state(records).principal(account("ann"), &()).members.len(), 2);
    }
}

#[test]
fn people_who_act_through_one_role_are_not_each_other() {
    let role = || party("aws-role", "service_account");
    let records = [
        logged(1, "desk", uses("ASIA1", party("ann", "unknown"))),
        logged(2, "cloudtrail:1", uses("ASIA1", role())),
        logged(3, "desk", uses("ASIA2", party("bob", "unknown"))),
        logged(4, "cloudtrail:1", uses("ASIA2", role())),
    ];
    for name in ["ann", "bob", "aws-role"] {
        let joined = state(&records).principal(account(name), &());
        assert_eq!((joined.members.len(), joined.refused[0].why), (1, Why::Apart), "{name}");
    }
    assert_eq!(state(&records[..2]).principal(account("ann"), &()).members.len(), 2);
}

#[test]
fn a_shared_key_tells_nobody_apart() {
    let records = [
        logged(1, "cloudtrail:1", uses("AKIA1", party("role", "service_account"))),
        logged(2, "agents", uses("AKIA1", party("bot-1", "agent"))),
        logged(3, "agents", uses("AKIA1", party("bot-2", "agent"))),
    ];
    let joined = state(&records).principal(account("role"), &());
    assert_eq!(joined.members.len(), 1, "{joined:?}");
    assert!(joined.refused.iter().all(|refused| refused.why == Why::Shared) && !joined.refused.is_empty());
}

#[test]
fn what_only_a_sender_says_joins_nobody() {
    let records = [
        logged(1, "cloudtrail:1", uses("AKIA1", party("role", "service_account"))),
        told(2, "somebody", uses("AKIA1", party("bot", "agent"))),
    ];
    let joined = state(&records).principal(account("role"), &());
    assert_eq!((joined.members.len(), joined.refused[0].why), (1, Why::Told));
}

#[test]
fn what_deed_issued_and_verified_is_proven() {
    let records = [
        enforced(
            1,
            json!({
                "kind": "credential", "credential": { "jti": "t1" }, "executor": party("client", "workload"),
                "terms": { "change": "issued", "subject": party("agent", "agent") },
            }),
        ),
        enforced(
            2,
            json!({
                "kind": "intent", "executor": party("spiffe", "workload"), "credential": { "jti": "t1" },
            }),
        ),
    ];
    let joined = state(&records).principal(account("agent"), &());
    assert_eq!(joined.kind, PrincipalType::Agent);
    assert!(joined.members.iter().any(|member| member.basis == Basis::Proven), "{joined:?}");
    assert!(joined.members.iter().all(|member| member.account != account("client")));
}

#[test]
fn the_inventory_joins_parts_and_takes_back() {
    let records = seen_twice();
    let state = state(&records);
    let agent = PrincipalType::Agent;
    // Declared names are one, and what is learned of one of them goes with it.
    let inventory = Inventory::default().with(agent, &["agent", "aws-role"], &[]);
    let joined = state.principal(account("k8s-user"), &inventory);
    assert_eq!((joined.kind, joined.declared), (agent, Some(0)));
    let mut expected = vec![
        (account("agent"), Basis::Declared),
        (account("aws-role"), Basis::Declared),
        (account("k8s-user"), Basis::Learned),
    ];
    expected.sort_unstable();
    assert_eq!(members(&joined), expected);
    // Said not to be the same: the join goes, and says why.
    let inventory = Inventory::default().with(agent, &["agent", "aws-role"], &["k8s-user"]);
    let joined = state.principal(account("aws-role"), &inventory);
    assert_eq!(joined.members.len(), 2);
    assert_eq!((joined.refused[0].why, joined.refused[0].why.is_conflict()), (Why::NotSame, false));
    // Declared as two: evidence for one is a conflict.
    let inventory = Inventory::default().with(agent, &["aws-role"], &[]).with(agent, &["k8s-user"], &[]);
    let joined = state.principal(account("aws-role"), &inventory);
    assert_eq!((joined.members.len(), joined.refused[0].why), (1, Why::Declared));
}

#[test]
fn not_even_the_inventory_makes_a_person_a_machine() {
    let records = [
        logged(1, "okta", uses("s1", party("ann", "human"))),
        logged(2, "a", uses("k", party("bot", "agent"))),
    ];
    let inventory = Inventory::default().with(PrincipalType::Agent, &["bot", "ann"], &[]);
    let state = state(&records);
    let joined = state.principal(account("bot"), &inventory);
    assert_eq!(joined.members.iter().map(|member| member.account).collect::<Vec<_>>(), [account("bot")]);
    assert_eq!(joined.refused.iter().map(|refused| refused.why).collect::<Vec<_>>(), [Why::Types]);
    assert_eq!(state.principal(account("ann"), &inventory).declared, None);
}

#[test]
fn whose_a_machine_is_the_inventory_says() {
    let state = state(&seen_twice());
    let third = PrincipalType::ThirdParty;
    // A log calls a vendor's role what it is to that system, and what is learned of it goes with it.
    let inventory = Inventory::default().with(third, &["aws-role", "vendor"], &[]);
    let joined = state.principal(account("k8s-user"), &inventory);
    assert_eq!((joined.kind, joined.declared, joined.members.len()), (third, Some(0), 3), "{joined:?}");
    assert!(joined.refused.is_empty(), "{joined:?}");
    // What a log calls another's may be one of ours.
    let records = [logged(1, "github:acme", uses("k", party("app", "third_party")))];
    let state = crate::records::state(&records);
    let inventory = Inventory::default().with(PrincipalType::Agent, &["app"], &[]);
    let joined = state.principal(account("app"), &inventory);
    assert_eq!((joined.kind, joined.refused.len()), (PrincipalType::Agent, 0), "{joined:?}");
    // A person stays a person.
    let records = [logged(1, "okta", uses("s1", party("ann", "human")))];
    let state = crate::records::state(&records);
    let inventory = Inventory::default().with(third, &["ann"], &[]);
    assert_eq!(state.principal(account("ann"), &inventory).declared, None);
}

#[test]
fn who_acts_through_another_shares_no_credential_with_them() {
    let role = || party("aws-role", "service_account");
    let mut pod = uses("ASIA1", party("pod", "service_account"));
    pod["chain"] = json!([{ "principal": role() }]);
    let records = [logged(1, "cloudtrail:1", uses("ASIA1", role())), logged(2, "kubernetes:eks", pod)];
    let key = CredentialKey::of("acme", "ASIA1");
    let is_shared = |records: &[serde_json::Value], name: &str| {
        let state = state(records);
        let facts = state.credential(key).expect("a credential");
        state.is_shared(&facts, &[account(name)].into())
    };
    assert!(!is_shared(&records, "aws-role") && !is_shared(&records, "pod"));
    // Whoever else a log tells of shares it with both, and whoever only a sender names with nobody.
    let other = uses("ASIA1", party("other", "agent"));
    let more = [&records[..], &[told(3, "somebody", other.clone())]].concat();
    assert!(!is_shared(&more, "aws-role"));
    let more = [&records[..], &[logged(3, "proxy", other)]].concat();
    assert!(["aws-role", "pod", "other"].iter().all(|name| is_shared(&more, name)));
    // Where no log tells of anybody, senders do.
    let told =
        ["a", "b"].iter().zip(1..).map(|(name, at)| told(at, "x", uses("ASIA1", party(name, "agent"))));
    assert!(is_shared(&told.collect::<Vec<_>>(), "a"));
}

#[test]
fn accounts_that_were_made_for_one_caller_each_are_nobody_else() {
    let vault = |n: u32, lease: &str, digest: &str| {
        let credential = json!({ "id": lease, "fingerprint": digest, "parent": "accessor" });
        let effect =
            json!({ "kind": "credential", "credential": credential, "terms": { "change": "issued" } });
        let more = json!({ "executor": party("entity", "unknown"), "credential": { "id": "accessor" }, "effects": [effect] });
        logged(n, "vault", more)
    };
    let acts = |n: u32, who: &str, digest: &str| {
        let used = json!({ "executor": party(who, "unknown"), "credential": { "fingerprint": digest } });
        logged(n, "postgres:orders", used)
    };
    let mut records = [
        vault(1, "l/1", "sha256:01"),
        vault(2, "l/2", "sha256:02"),
        acts(3, "v-1", "sha256:01"),
        acts(4, "v-2", "sha256:02"),
    ];
    let known = state(&records);
    for (who, lease) in [("v-1", "l/1"), ("v-2", "l/2")] {
        let joined = known.principal(account(who), &());
        assert_eq!((members(&joined), joined.refused.len()), (vec![(account(who), Basis::Recorded)], 0));
        // Who had it made is known by every name of it.
        let facts = known.credential(CredentialKey::of("acme", lease)).expect("known");
        let roles: Vec<_> = facts.holders.iter().map(|holder| (holder.account, holder.role)).collect();
        assert_eq!(roles.len(), 2, "{roles:?}");
        for held in [(account("entity"), Role::Asked), (account(who), Role::Used)] {
            assert!(roles.contains(&held), "{held:?} in {roles:?}");
        }
    }
    records.reverse();
    assert_eq!(state(&records).dump(), known.dump());
}
