//! What a credential allows beside its scope (RFC 9396), as far as the gateway can tell.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    intent::{Listed, Listing, Refused, Shown},
    method,
};

/// The type of the details that the gateway understands.
const TYPE: &str = "mcp";

/// What may be done with a credential.
#[derive(Clone, Debug, Default)]
pub struct Allowance(Option<Vec<Detail>>);

/// One detail: what it names is allowed, and what it does not name is not limited.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    r#type: String,
    /// Servers, by their resource.
    locations: Option<Vec<String>>,
    /// Methods.
    actions: Option<Vec<String>>,
    /// The tool or prompt, or the URI of the resource.
    identifier: Option<String>,
}

impl Allowance {
    /// What `details`, an array, allow at the server that is `resource`. No details limit nothing; those of another
    /// type, or with members that are not known, allow nothing (INVARIANT D13).
    pub fn of(details: &Value, resource: &str) -> Self {
        let Value::Array(details) = details else { return Allowance(Some(Vec::new())) };
        if details.is_empty() {
            return Allowance(None);
        }
        let known = details.iter().filter_map(|detail| Detail::deserialize(detail).ok());
        let here = |detail: &Detail| {
            let at = detail.locations.as_ref();
            detail.r#type == TYPE && at.is_none_or(|at| at.iter().any(|at| at == resource))
        };
        Allowance(Some(known.filter(here).collect()))
    }

    /// What of a listing may be seen: what cannot be called is not shown.
    pub(crate) fn narrow(&self, mut shown: Shown, listing: &Listing) -> Shown {
        if self.0.is_some() {
            shown.personal = true;
            let refused = |tool: &&Listed| self.refuses(method::TOOL_CALL, Some(&tool.name)).is_some();
            shown.hidden.extend(listing.tools.iter().filter(refused).map(|tool| tool.name.clone()));
        }
        shown
    }

    /// Why `method` on `what` is not allowed, if it is not.
    pub(crate) fn refuses(&self, method: &str, what: Option<&str>) -> Option<Refused> {
        let details = self.0.as_ref()?;
        let allows = |detail: &Detail| {
            detail.actions.as_ref().is_none_or(|actions| actions.iter().any(|action| action == method))
                && detail.identifier.as_deref().is_none_or(|identifier| Some(identifier) == what)
        };
        if method::class(method) != Some(method::Class::Decided) || details.iter().any(allows) {
            return None;
        }
        let why = "the `authorization_details` of the token do not allow it".into();
        Some(Refused { code: "outside_details".into(), why })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_understood_allows_nothing() {
        let at = "https://deed.example/mcp/files";
        let allows = |details: Value, name: &str| {
            Allowance::of(&details, at).refuses("tools/call", Some(name)).is_none()
        };
        assert!(allows(json!([]), "read"));
        let read =
            json!({ "type": "mcp", "locations": [at], "actions": ["tools/call"], "identifier": "read" });
        assert!(allows(json!([read]), "read"));
        assert!(!allows(json!([read]), "write"));
        assert!(allows(json!([{ "type": "payment" }, read]), "read"));
        for other in [
            json!({ "type": "payment" }),
            json!({ "type": "mcp", "locations": ["https://deed.example/mcp/tickets"] }),
            json!({ "type": "mcp", "actions": ["resources/read"] }),
            json!({ "type": "mcp", "actions": [] }),
            json!({ "type": "mcp", "until": "noon" }),
        ] {
            assert!(!allows(json!([other]), "read"), "{other}");
        }
        let nothing = Allowance::of(&json!([{ "type": "payment" }]), at);
        assert!(nothing.refuses("tools/list", None).is_none(), "only what policy decides");
    }
}
