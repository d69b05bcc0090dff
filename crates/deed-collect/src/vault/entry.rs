//! An entry, read without trusting its shape.

use deed_record::{Resource, Timestamp};
use serde_json::Value;

use crate::{
    json,
    shared::{self, at, text},
};

/// An audit entry.
pub(super) struct Entry<'v> {
    pub(super) value: &'v Value,
    pub(super) time: Timestamp,
    response: bool,
    /// Instead of a request's id, where it has none.
    digest: Option<String>,
}

/// What Vault says where it lets nobody through. The rest of an error may quote what was sent.
const REFUSALS: &[&str] = &[
    "permission denied",
    "invalid token",
    "missing client token",
    "bad token",
    "token not found",
    "invalid credentials",
    "invalid username or password",
    "invalid role or secret ID",
    "ldap operation failed: failed to bind as user",
    "namespace not authorized",
];

/// `path` without whom it names: `auth/userpass/login/ann`, `auth/ldap/users/ann`. What is sealed nobody can ever
/// take out.
fn without_person(path: &str) -> &str {
    let below = |name: &str| Some(path.find(name)? + name.len() - 1);
    let end = if path.starts_with("auth/") { below("/login/").or_else(|| below("/users/")) } else { None };
    end.map_or(path, |end| &path[..end])
}

impl<'v> Entry<'v> {
    pub(super) fn read(value: &'v Value, document: &str) -> Result<Self, String> {
        let response = match value.get("type") {
            Some(kind) if kind == "request" => false,
            Some(kind) if kind == "response" => true,
            None => return Err("field `type`: missing".to_owned()),
            Some(_) => return Err("field `type`: expected `request` or `response`".to_owned()),
        };
        let time = match value.get("time") {
            None => return Err("field `time`: missing".to_owned()),
            Some(Value::String(text)) => shared::time("time", text)?,
            Some(other) => {
                return Err(format!(
                    "field `time`: expected an RFC 3339 time, found {}",
                    json::kind_of(other)
                ));
            }
        };
        let digest = text(value, &["request", "id"]).is_none().then(|| shared::digest_id(document));
        Ok(Entry { value, time, response, digest })
    }

    pub(super) fn is_response(&self) -> bool {
        self.response
    }

    /// Of the response the id of the request, so that it is the action; of the request that and `/request`.
    pub(super) fn event_id(&self) -> String {
        match (self.request("id"), &self.digest) {
            (Some(id), _) if self.response => id.to_owned(),
            (Some(id), _) => format!("{id}/request"),
            (None, digest) => digest.clone().unwrap_or_default(),
        }
    }

    /// The event whose record is the action, where that is another one.
    pub(super) fn action_event(&self) -> Option<&'v str> {
        self.request("id").filter(|_| !self.response)
    }

    /// The string under `name` of `request`.
    pub(super) fn request(&self, name: &str) -> Option<&'v str> {
        text(self.value, &["request", name])
    }

    /// The string at `path` in the request's parameters.
    pub(super) fn asked(&self, name: &str) -> Option<&'v str> {
        text(self.value, &["request", "data", name])
    }

    /// The string at `path` in the answer's data.
    pub(super) fn answered(&self, name: &str) -> Option<&'v str> {
        text(self.value, &["response", "data", name])
    }

    /// The path without the slash that some clients put before it.
    pub(super) fn path(&self) -> &'v str {
        self.request("path").unwrap_or_default().trim_start_matches('/')
    }

    /// The sort of engine behind the path: `kv`, `database`, `token`, `system`, …
    pub(super) fn engine(&self) -> Option<&'v str> {
        self.request("mount_type").or_else(|| text(self.value, &["response", "mount_type"]))
    }

    /// `kv:read`.
    pub(super) fn operation(&self) -> Option<String> {
        let operation = self.request("operation")?;
        Some(match self.engine() {
            Some(engine) => format!("{engine}:{operation}"),
            None => operation.to_owned(),
        })
    }

    /// Whether something was changed, or asked for that gives out something new.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.request("operation"), Some("create" | "update" | "patch"))
    }

    pub(super) fn is_delete(&self) -> bool {
        self.request("operation") == Some("delete")
    }

    /// `vault:NAMESPACE/PATH`.
    pub(super) fn resource(&self) -> Option<Resource<'static>> {
        let path = self.request("path").map(|_| without_person(self.path()))?;
        Some(shared::resource(self.uri(path), self.engine()))
    }

    pub(super) fn uri(&self, path: &str) -> String {
        let namespace = text(self.value, &["request", "namespace", "path"]).unwrap_or_default();
        format!("vault:{namespace}{path}")
    }

    pub(super) fn error(&self) -> Option<&'v str> {
        // The answer to some calls has its error in the data.
        text(self.value, &["error"]).or_else(|| self.answered("error").filter(|_| self.response))
    }

    pub(super) fn succeeded(&self) -> bool {
        self.response && self.error().is_none()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal().is_some()
    }

    pub(super) fn refusal(&self) -> Option<&'static str> {
        let error = self.error()?;
        REFUSALS.iter().find(|refusal| error.contains(*refusal)).copied()
    }

    pub(super) fn allowed(&self) -> Option<bool> {
        at(self.value, &["auth", "policy_results", "allowed"])?.as_bool()
    }

    /// The policies that let the call through.
    pub(super) fn granting(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        let all = at(self.value, &["auth", "policy_results", "granting_policies"]).and_then(Value::as_array);
        all.into_iter().flatten().filter_map(|policy| text(policy, &["name"]))
    }
}
