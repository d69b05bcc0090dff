//! What policy is asked about an intent.

use std::collections::BTreeSet;

use deed_identity::Inventory;
use deed_policy::{
    ApprovalFacts, CredentialFacts, Decided, Facts, PolicySet, Request, Target, UNCLASSIFIED, folded,
};
use deed_record::{RecordId, Timestamp};

use crate::{
    approvals::Approval,
    intent::{Intent, Listing, Who},
    method::TOOL_CALL,
};

/// A decision, and what made it.
pub(crate) struct Ruled {
    pub(crate) decided: Decided,
    /// Digest of the policy set.
    pub(crate) policy_set: String,
    /// Fields that the inventory calls restricted.
    pub(crate) restricted: Vec<String>,
}

/// Asks `policy` about `intent`, given what `inventory` says of those who have a part in it.
pub(crate) fn decide(
    policy: &PolicySet,
    inventory: &Inventory,
    intent: &Intent,
    approval: Option<&Approval>,
    tenant: &str,
    now: Timestamp,
) -> Ruled {
    let decided = asking(inventory, intent, approval, tenant, now, |request| policy.decide(request));
    let declared = inventory.resource(&uri_of(intent));
    Ruled {
        decided,
        policy_set: policy.digest().to_owned(),
        restricted: declared.map(|resource| resource.restricted_fields.clone()).unwrap_or_default(),
    }
}

fn uri_of(intent: &Intent) -> String {
    match (&intent.name, &intent.uri) {
        (None, Some(uri)) => uri.clone(),
        // Tools and prompts can be classified like any other resource.
        _ => tool_uri(&intent.server, intent.name.as_deref().unwrap_or_default()),
    }
}

/// What `ask` says of the request that `intent` is.
fn asking<T>(
    inventory: &Inventory,
    intent: &Intent,
    approval: Option<&Approval>,
    tenant: &str,
    now: Timestamp,
    ask: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let name = intent.name.as_deref().unwrap_or_default();
    let uri = uri_of(intent);
    let declared = inventory.resource(&uri);
    let classification = declared.map_or(UNCLASSIFIED, |resource| &*resource.classification);
    let restricted_fields = declared
        .map(|resource| resource.restricted_fields.iter().map(String::as_str).collect())
        .unwrap_or_default();
    let resource = if intent.name.is_none() && intent.uri.is_some() {
        Target::Resource {
            uri: &uri,
            kind: declared.and_then(|resource| resource.kind.as_deref()),
            classification,
            restricted_fields,
        }
    } else {
        Target::Tool { server: &intent.server, name, version: None, classification, restricted_fields }
    };
    let executor = inventory_who(inventory, &intent.place.executor);
    let credential = intent.credential();
    let environment = executor.environments.first().copied();
    let request = Request {
        principal: executor,
        action: &intent.method,
        resource,
        context: Facts {
            initiator: intent.place.initiator.as_ref().map(|who| inventory_who(inventory, who)),
            chain_depth: u32::try_from(intent.place.chain.len()).unwrap_or(u32::MAX),
            arguments: intent.arguments.as_deref(),
            classification,
            environment,
            tenant,
            time: now,
            task: intent.task.as_deref(),
            credential: credential.as_ref().map(|credential| CredentialFacts {
                scopes: credential.scopes.iter().map(|scope| &**scope).collect(),
                expires: credential.expires,
                age_seconds: credential.issued.map(|issued| (now.0 - issued.0) / 1_000_000),
                delegated: credential.parent.is_some(),
            }),
            approval: approval.map(|approval| ApprovalFacts {
                by: inventory_who(inventory, &approval.by),
                time: approval.time,
            }),
        },
    };
    ask(&request)
}

/// Whether the caller of a list is not shown a tool: it may not be called, whatever its arguments are.
pub(crate) fn hides(
    policy: &PolicySet,
    inventory: &Inventory,
    listing: &Listing,
    name: &str,
    tenant: &str,
    now: Timestamp,
) -> bool {
    let Listing { server, place, credential, .. } = listing;
    let intent = Intent {
        name: Some(name.to_owned()),
        credential: credential.clone(),
        ..Intent::bare(RecordId([0; 16]), server, TOOL_CALL, place.clone())
    };
    !asking(inventory, &intent, None, tenant, now, |request| policy.may_allow(request))
}

/// The tools of `server` that a policy or the inventory names and that are called `name`, letter case aside.
pub(crate) fn tools_alike(
    policy: &PolicySet,
    inventory: &Inventory,
    server: &str,
    name: &str,
) -> BTreeSet<String> {
    let declared = inventory.resources().iter().filter_map(|resource| {
        let declared = resource.matches().strip_prefix("mcp:")?.strip_prefix(server)?.strip_prefix('/')?;
        (folded(declared) == folded(name)).then_some(declared)
    });
    policy.tools_alike(server, name).into_iter().chain(declared).map(str::to_owned).collect()
}

/// The name by which the inventory classifies a tool or a prompt of a server.
pub(crate) fn tool_uri(server: &str, name: &str) -> String {
    format!("mcp:{server}/{name}")
}

/// `who`, with what the inventory says of them.
fn inventory_who<'a>(inventory: &'a Inventory, who: &'a Who) -> deed_policy::Who<'a> {
    let key = who.key.as_deref().unwrap_or_default();
    match inventory.principal(key) {
        Some(declared) => deed_policy::Who {
            kind: declared.kind,
            id: declared.policy_name(),
            owner: declared.owner.as_deref(),
            sponsor: declared.sponsor.as_deref(),
            vendor: declared.vendor.as_deref(),
            environments: declared.environments.iter().map(String::as_str).collect(),
        },
        None => deed_policy::Who {
            // `agent:release-bot` is `Deed::Agent::"release-bot"`.
            id: key.strip_prefix(who.kind.as_str()).and_then(|rest| rest.strip_prefix(':')).unwrap_or(key),
            ..deed_policy::Who::new(who.kind, key)
        },
    }
}
