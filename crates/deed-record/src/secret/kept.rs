//! What stores keep, in their own logs: Secrets of Kubernetes, and whatever Vault was given.

/// A member whose name alone tells nothing.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// What is kept.
    Data,
    /// What it is to be from now on.
    Value,
    /// Something around it.
    Around,
}

impl Part {
    /// The part that a member called `name` may be.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "data" | "stringData" => Some(Part::Data),
            "value" => Some(Part::Value),
            "items" | "requestObject" | "responseObject" | "request" | "response" => Some(Part::Around),
            _ => None,
        }
    }
}

/// What the other members of an object say of secrets in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    Nothing,
    /// It is a Secret of Kubernetes: all its data is.
    Secret,
    /// It is a call of a store of Vault that keeps whatever it is given: all its data is.
    Vault,
    /// It is a list of Secrets, or a call about some: so it is below, in what does not say so itself.
    Around,
}

/// Whether `path`, a JSON Pointer, is that of the data of a Secret.
pub(super) fn is_path_of_secret(path: &str) -> bool {
    ["/data", "/stringData"]
        .iter()
        .any(|data| path.strip_prefix(data).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
