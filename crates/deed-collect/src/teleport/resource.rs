//! What was acted upon.

use deed_record::Resource;

use super::{Event, SYSTEM};
use crate::{
    authority::{self, is_impersonal},
    loose::Loose,
};

/// The database, cluster, application, desktop or host; of events about Teleport's own things, the thing.
pub(super) fn resource(event: Event<'_>) -> Option<Resource<'static>> {
    let is = event.0;
    let kind = event.kind();
    if kind.starts_with("mcp.")
        && let Some(uri) = is.text(&["message", "params", "uri"])
    {
        return named("mcp_resource", uri.to_owned());
    }
    if let Some(service) = is.text(&["db_service"]) {
        let name = is.text(&["db_name"]).map_or_else(String::new, |name| format!("/{name}"));
        return named("database", format!("{SYSTEM}:database/{service}{name}"));
    }
    if let Some(cluster) = is.text(&["kubernetes_cluster"]) {
        return kubernetes(is, cluster);
    }
    if let Some(app) = is.any(&["app_name", "app_uri"]) {
        return named(
            if kind.starts_with("mcp.") { "mcp_server" } else { "application" },
            format!("{SYSTEM}:app/{app}"),
        );
    }
    if let Some(desktop) = is.any(&["desktop_name", "desktop_addr"]) {
        return named("desktop", format!("{SYSTEM}:desktop/{desktop}"));
    }
    if kind.starts_with("access_request.") {
        return asked_for(is);
    }
    if let Some((what, _)) = kind.split_once('.')
        && is_own(what)
    {
        let name = is.any(&["name", "access_list_name"]).filter(|name| is_impersonal(name))?;
        return named(what, format!("{SYSTEM}:{what}/{name}"));
    }
    let host = is.any(&["server_hostname", "server_id", "server_addr"])?;
    named("node", format!("{SYSTEM}:node/{host}"))
}

/// Things that Teleport itself keeps.
fn is_own(what: &str) -> bool {
    matches!(
        what,
        "role"
            | "lock"
            | "bot"
            | "access_list"
            | "join_token"
            | "github"
            | "saml"
            | "oidc"
            | "app"
            | "db"
            | "trusted_cluster"
    )
}

fn kubernetes(is: Loose<'_>, cluster: &str) -> Option<Resource<'static>> {
    let mut uri = format!("{SYSTEM}:kubernetes/{cluster}");
    for part in ["resource_namespace", "resource_kind", "resource_name"] {
        if let Some(part) = is.text(&[part]) {
            uri.push('/');
            uri.push_str(part);
        }
    }
    named(is.text(&["resource_kind"]).unwrap_or("kubernetes"), uri)
}

/// The first of what is asked for: `{"cluster", "kind", "name"}`.
fn asked_for(is: Loose<'_>) -> Option<Resource<'static>> {
    let first = is.list(&["resource_ids"]).next()?;
    let (kind, name) = (first.text(&["kind"])?, first.text(&["name"])?);
    named(kind, format!("{SYSTEM}:{kind}/{name}"))
}

fn named(kind: &str, uri: String) -> Option<Resource<'static>> {
    Some(authority::resource(uri, kind))
}
