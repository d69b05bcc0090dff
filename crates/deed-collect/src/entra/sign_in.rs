//! Sign-ins of users, service principals, managed identities and agents.

use deed_record::{
    ChainHop, Change, Credential, Decision, Outcome, Principal, PrincipalType, Ruling, Status, Timestamp,
};

use super::{Event, SYSTEM, Said, party};
use crate::authority::{self, nobody, of_credential, text};

pub(super) fn said(event: Event<'_>, time: Timestamp) -> Said {
    let parties = Parties::of(event);
    let outcome = outcome(event);
    let shown = shown(event);
    let token = party::id(event.is, &["uniqueTokenIdentifier"]).map(|id| Credential {
        issued: Some(time),
        parent: shown.as_ref().and_then(|shown| shown.id.clone()),
        ..authority::credential("token", Some(id), SYSTEM)
    });
    let succeeded = outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
    let issued = token.clone().filter(|_| succeeded);
    let subject = Some(parties.executor.clone()).filter(|subject| subject.key.is_some());
    let resource = event.is.any(&["resourceId", "resourceDisplayName"]).filter(|id| !id.starts_with('/'));
    let mut chain = parties.chain;
    // An agent identity has no credential of its own; what was shown is its blueprint's.
    if let Some(hop) = chain.last_mut() {
        hop.credential = shown.as_ref().and_then(|shown| shown.id.clone());
    }
    Said {
        chain,
        credential: shown.or(token),
        decision: decision(event),
        effects: issued.map(|token| of_credential(Change::Issued, token, subject)).into_iter().collect(),
        executor: parties.executor,
        initiator: parties.initiator,
        operation: operation(event),
        outcome,
        permission: None,
        request: None,
        resource: resource.map(|id| authority::resource(format!("{SYSTEM}:app/{id}"), "application")),
    }
}

struct Parties {
    chain: Vec<ChainHop<'static>>,
    executor: Principal<'static>,
    initiator: Option<Principal<'static>>,
}

impl Parties {
    fn of(event: Event<'_>) -> Self {
        let (user, service) = (party::user(event), party::service(event));
        let agentic = |name: &str| event.is.text(&["agent", name]).filter(|kind| party::is_agentic(kind));
        let subject = agentic("agentSubjectType");
        if subject.is_none() && agentic("agentType").is_none() {
            // A user who does not exist is nobody, and not the application.
            let is_service = party::id(event.is, &["servicePrincipalId"]).is_some()
                || event.is.text(&["userId"]).is_none();
            let executor = if is_service { service } else { user }.unwrap_or_else(nobody);
            let initiator = authority::asked(&executor);
            return Parties { chain: Vec::new(), executor, initiator };
        }
        let as_agent = |who: Principal<'static>| Principal { kind: PrincipalType::Agent, ..who };
        let parent = party::id(event.is, &["agent", "agentSubjectParentId"]).map(|id| {
            // The parent of an agent's user is the agent, the agent's is its blueprint.
            let kind = match subject {
                Some("agentIDuser") => PrincipalType::Agent,
                _ => PrincipalType::Workload,
            };
            let principal = party::of_object(kind, id, None);
            ChainHop { credential: None, delegation: None, principal, scope: Vec::new() }
        });
        let (executor, initiator) = match (user, service) {
            // The agent has a user account of its own.
            (Some(user), _) if subject == Some("agentIDuser") => (as_agent(user), None),
            // An agent that acts for somebody else.
            (user, Some(service)) => (as_agent(service), user),
            (Some(user), None) => (as_agent(user), None),
            (None, None) => (as_agent(nobody()), None),
        };
        Parties { chain: parent.into_iter().collect(), executor, initiator }
    }
}

/// The secret, certificate or federated credential with which an application signed in.
fn shown(event: Event<'_>) -> Option<Credential<'static>> {
    let names =
        ["servicePrincipalCredentialKeyId", "federatedCredentialId", "servicePrincipalCredentialThumbprint"];
    let id = names.iter().find_map(|name| party::id(event.is, &[name]))?;
    let kind = match event.is.text(&["clientCredentialType"]).unwrap_or_default() {
        "clientSecret" => "client_secret",
        "clientAssertion" | "certificate" => "certificate",
        "federatedIdentityCredential" => "federated",
        "managedIdentity" => "managed_identity",
        _ if party::id(event.is, &["federatedCredentialId"]).is_some() => "federated",
        _ => "key",
    };
    Some(authority::credential(kind, Some(id), SYSTEM))
}

/// `signIn/servicePrincipal`; `signIn/servicePrincipal/summary` of an event that stands for many.
fn operation(event: Event<'_>) -> String {
    let category = event.outer.text(&["category"]).unwrap_or_default();
    let said = event.is.texts(&["signInEventTypes"]).next();
    let sort = match (said, category) {
        (Some(said), _) => said,
        (None, "ServicePrincipalSignInLogs") => "servicePrincipal",
        (None, "ManagedIdentitySignInLogs") => "managedIdentity",
        (None, "NonInteractiveUserSignInLogs") => "nonInteractiveUser",
        (None, _) if party::id(event.is, &["servicePrincipalId"]).is_some() => "servicePrincipal",
        (None, _) if event.is.flag(&["isInteractive"]) == Some(false) => "nonInteractiveUser",
        (None, _) => "interactiveUser",
    };
    let count = ["signInCount", "aggregatedSignInCount", "aggregationCount"]
        .iter()
        .find_map(|name| event.is.number(&[name]));
    match count {
        Some(_) => format!("signIn/{sort}/summary"),
        None => format!("signIn/{sort}"),
    }
}

/// Error codes that say that the user was asked for something more, not that they were turned away.
const INTERRUPTED: &[i64] = &[
    16000, 50055, 50058, 50072, 50074, 50076, 50079, 50097, 50125, 50127, 50129, 50140, 50143, 50144, 51006,
    65001,
];

fn outcome(event: Event<'_>) -> Option<Outcome<'static>> {
    let code = event
        .is
        .number(&["status", "errorCode"])
        .or_else(|| event.outer.number(&["resultType"]))
        .filter(|code| *code >= 0)?;
    let status = match code {
        0 => Status::Success,
        code if INTERRUPTED.contains(&code) => Status::Unknown,
        _ => Status::Denied,
    };
    Some(Outcome { code: (code != 0).then(|| text(code.to_string())), ..Outcome::of(status) })
}

/// What conditional access decided.
fn decision(event: Event<'_>) -> Option<Decision<'static>> {
    let effect = match event.is.text(&["conditionalAccessStatus"])? {
        "success" => Ruling::Allow,
        "failure" => Ruling::Deny,
        _ => return None,
    };
    let policies = event
        .is
        .list(&["appliedConditionalAccessPolicies"])
        .filter(|policy| {
            policy
                .text(&["result"])
                .is_some_and(|result| matches!(result, "success" | "failure" | "interrupted" | "unsatisfied"))
        })
        .filter_map(|policy| policy.text(&["id"]))
        .map(text)
        .collect();
    Some(Decision {
        effect,
        engine: None,
        errors: Vec::new(),
        obligations: Vec::new(),
        policies,
        policy_set: None,
    })
}
