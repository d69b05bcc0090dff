//! An event, read without trusting its shape.

use deed_record::{Resource, Timestamp};
use serde_json::Value;

use crate::{
    json,
    shared::{self, text},
};

/// An event of the audit log.
pub(super) struct Event<'v> {
    value: &'v Value,
    pub(super) id: String,
    pub(super) time: Timestamp,
    /// `org.add_member`
    pub(super) action: &'v str,
}

impl<'v> Event<'v> {
    pub(super) fn read(value: &'v Value, document: &str) -> Result<Self, String> {
        let action = text(value, &["action"]).ok_or_else(|| match value.get("action") {
            None => "field `action`: missing".to_owned(),
            Some(other) => format!("field `action`: expected a text, found {}", json::kind_of(other)),
        })?;
        // Events by hand and of old exports have no id.
        let id = text(value, &["_document_id"]).map(str::to_owned);
        Ok(Event { value, id: id.unwrap_or_else(|| shared::digest_id(document)), time: time(value)?, action })
    }

    /// The string under `name`, in the event itself or in its `data`.
    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        text(self.value, &[name]).or_else(|| text(self.value, &["data", name]))
    }

    /// The string or number under `name`: the same id is one or the other.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        shared::word(self.value, &[name]).or_else(|| shared::word(self.value, &["data", name]))
    }

    /// The strings under `name`, which may be a list or a text with commas.
    pub(super) fn list(&self, name: &str) -> Vec<&'v str> {
        match self.text(name) {
            Some(text) => text.split([',', ' ']).filter(|word| !word.is_empty()).collect(),
            None => shared::texts(self.value, &[name]).collect(),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.value.get(name)?.as_bool()
    }

    /// Whether it is about a token: then `token_id` and the like are those of that token, not of what the actor showed.
    pub(super) fn is_about_a_token(&self) -> bool {
        matches!(
            self.family(),
            "personal_access_token" | "oauth_access" | "oauth_authorization" | "org_credential_authorization"
        )
    }

    /// Of a key of SSH: `SHA256:` and its digest in base64, of old ones an MD5 in hex.
    pub(super) fn key_fingerprint(&self) -> Option<&'v str> {
        self.text("deploy_key_fingerprint").or_else(|| self.text("fingerprint"))
    }

    /// Whether it is about a key: then its fingerprint is that key's, not that of what the actor showed.
    pub(super) fn is_about_a_key(&self) -> bool {
        matches!(self.family(), "public_key" | "deploy_key")
    }

    /// Whether it is about an application, which then did not act itself.
    pub(super) fn is_about_an_application(&self) -> bool {
        self.family().starts_with("oauth_")
            || self.family().starts_with("integration")
            || self.action.starts_with("org.oauth_app_access_")
    }

    /// `personal_access_token` of `personal_access_token.access_granted`.
    fn family(&self) -> &'v str {
        self.action.rsplit_once('.').map_or(self.action, |(family, _)| family)
    }

    /// `acme/app`.
    pub(super) fn repository(&self) -> Option<&'v str> {
        self.text("repo").or_else(|| self.text("repository"))
    }

    /// Whether everybody may read the repository.
    fn is_public(&self) -> bool {
        self.flag("repository_public").or_else(|| self.flag("public_repo")) == Some(true)
    }

    /// The organisation, also where only a repository of it is named.
    pub(super) fn organisation(&self) -> Option<&'v str> {
        self.text("org").or_else(|| self.repository()?.split_once('/').map(|(owner, _)| owner))
    }

    /// `github:acme`: by the organisation, else by the enterprise.
    pub(super) fn system(&self) -> String {
        match self.organisation().or_else(|| self.text("business")) {
            Some(name) => format!("github:{name}"),
            None => "github".to_owned(),
        }
    }

    /// The deployment environment that it is about.
    pub(super) fn environment(&self) -> Option<&'v str> {
        self.text("environment_name").or_else(|| self.text("environment"))
    }

    /// The narrowest thing that is named: a run, a repository, a team, an organisation, an enterprise.
    pub(super) fn resource(&self) -> Option<Resource<'static>> {
        let of = |uri: String, kind| Some(shared::resource(format!("github:{uri}"), Some(kind)));
        if let Some(repository) = self.repository() {
            let below = |what: &str, id: String, kind| of(format!("{repository}/{what}/{id}"), kind);
            if let Some(run) = self.word("workflow_run_id") {
                return below("actions/runs", run, "workflow_run");
            }
            if let Some(workflow) = self.word("workflow_id") {
                return below("actions/workflows", workflow, "workflow");
            }
            if let Some(environment) = self.environment() {
                return below("environments", environment.to_owned(), "environment");
            }
            return of(repository.to_owned(), "repository").map(|resource| Resource {
                classification: self.is_public().then(|| "public".into()),
                ..resource
            });
        }
        if let Some(team) = self.text("team") {
            let team = match (team.contains('/'), self.text("org")) {
                (false, Some(org)) => format!("{org}/{team}"),
                _ => team.to_owned(),
            };
            return of(format!("teams/{team}"), "team");
        }
        if let Some(org) = self.text("org") {
            return of(org.to_owned(), "organization");
        }
        of(format!("enterprises/{}", self.text("business")?), "enterprise")
    }
}

/// `@timestamp` or `created_at`, in milliseconds or as text.
fn time(value: &Value) -> Result<Timestamp, String> {
    let found = ["@timestamp", "at_sign_timestamp", "created_at"]
        .into_iter()
        .find_map(|name| Some((name, value.get(name).filter(|value| !value.is_null())?)));
    let Some((name, value)) = found else { return Err("field `@timestamp`: missing".to_owned()) };
    let millis = match value {
        Value::String(text) => match text.parse::<i64>() {
            Ok(millis) => millis,
            Err(_) => return shared::time(name, text),
        },
        // Tools that read every number as a floating one write it so; it is exact up to 2^53.
        Value::Number(number) => match number.as_i64() {
            Some(millis) => millis,
            None => number.as_f64().filter(|float| float.abs() < 9e15).map_or(i64::MAX, |float| float as i64),
        },
        other => return Err(format!("field `{name}`: expected a time, found {}", json::kind_of(other))),
    };
    let time = Timestamp::from_unix_nanos(i128::from(millis) * 1_000_000);
    let time = time.ok_or_else(|| format!("field `{name}`: expected milliseconds since 1970"))?;
    shared::in_range(name, time)
}
