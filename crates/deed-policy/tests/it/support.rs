//! Policy sets and requests in a line.

use std::collections::BTreeMap;

use deed_policy::{Decided, Facts, LoadError, PolicySet, Request, Target, Who};
use deed_record::PrincipalType;
use serde_json::value::RawValue;

/// A Friday.
pub(crate) const NOW: &str = "2026-11-20T10:15:30.123456Z";

/// A permit for everything, to be restricted.
pub(crate) const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

pub(crate) fn try_set(text: &str) -> Result<PolicySet, LoadError> {
    PolicySet::of_files(BTreeMap::from([("a.cedar".to_owned(), text.to_owned())]))
}

pub(crate) fn set(text: &str) -> PolicySet {
    try_set(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

pub(crate) fn with_schema(text: &str, schema: &str) -> Result<PolicySet, LoadError> {
    let files = [("a.cedar", text), ("schema.cedarschema", schema)];
    PolicySet::of_files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into())
}

pub(crate) fn request() -> Request<'static> {
    Request {
        principal: Who::new(PrincipalType::Agent, "release-bot"),
        action: "tools/call",
        resource: Target::tool("files", "write"),
        context: Facts::at(NOW.parse().expect("a time")),
    }
}

pub(crate) fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("JSON")
}

/// The decision on a call with these arguments.
pub(crate) fn with_arguments(policies: &PolicySet, json: &str) -> Decided {
    let mut request = request();
    request.context.arguments = Some(raw(json));
    policies.decide(&request)
}
