//! Every endpoint, in one place.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};

use crate::{
    api::{
        self, actions, authzen, decisions, findings, health, identity, inventory, log, oauth, ocsf, patterns,
        rebuild, records, reports, runs, sql, ssf, tuning, webhook, workloads,
    },
    app::App,
    mcp, otlp,
};

/// One endpoint.
pub(crate) struct Route {
    /// Its path, as axum and OpenAPI write it.
    pub(crate) path: &'static str,
    /// Its method, as OpenAPI writes it; what knows `get` knows `HEAD` too.
    pub(crate) method: &'static str,
    does: MethodRouter<Arc<App>>,
}

fn gets<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { path, method: "get", does: get(handler) }
}

fn posts<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { path, method: "post", does: post(handler) }
}

/// What the main listener and the Unix socket serve.
pub(crate) fn api() -> Vec<Route> {
    vec![
        posts("/v1/records", records::append),
        gets("/v1/actions", actions::list),
        gets("/v1/actions/{id}", actions::one),
        gets("/v1/actions/{id}/explain", actions::explain),
        gets("/v1/records/{id}/led-to", actions::led_to),
        gets("/v1/traces/{trace_id}", actions::trace),
        gets("/v1/principals/{key}", identity::principal),
        gets("/v1/blast/{credential}", identity::blast),
        gets("/v1/findings", findings::list),
        gets("/v1/findings/suppressions", tuning::list),
        posts("/v1/findings/suppressions", tuning::suppress),
        Route { path: "/v1/findings/suppressions/{id}", method: "delete", does: delete(tuning::unsuppress) },
        gets("/v1/findings/thresholds", tuning::thresholds),
        Route { path: "/v1/findings/thresholds", method: "put", does: put(tuning::tune) },
        gets("/v1/reports/{name}", reports::report),
        gets("/v1/ocsf", ocsf::events),
        gets("/v1/patterns", patterns::list),
        gets("/v1/inventory", inventory::read),
        Route { path: "/v1/inventory", method: "put", does: put(inventory::put) },
        posts("/v1/sql", sql::query),
        posts("/v1/rebuild", rebuild::rebuild),
        posts("/access/v1/evaluation", authzen::evaluation),
        posts("/access/v1/evaluations", authzen::evaluations),
        gets("/.well-known/authzen-configuration", authzen::configuration),
        posts("/v1/intents", decisions::intend),
        posts("/v1/listings", decisions::catalog),
        posts("/v1/outcomes", decisions::conclude),
        posts("/v1/waits", decisions::wait),
        posts("/v1/workloads", workloads::know),
        posts("/v1/runs", runs::ask),
        posts("/v1/runs/{id}/wait", runs::wait),
        posts("/v1/runs/{id}/outcome", runs::conclude),
        gets("/v1/approvals", decisions::approvals),
        posts("/v1/approvals/{id}", decisions::reply),
        gets("/approvals/{id}", decisions::approval_page),
        posts("/v1/approvals/{id}/webhook", webhook::reply),
        posts("/v1/ssf/{name}", ssf::push),
        gets("/v1/decisions/{id}/replay", decisions::replay),
        posts("/v1/suspensions", decisions::suspend),
        posts("/v1/policies", decisions::publish),
        posts("/oauth/token", oauth::token),
        posts("/oauth/revoke", oauth::revoke),
        posts("/oauth/introspect", oauth::introspect),
        gets("/.well-known/oauth-authorization-server", oauth::metadata),
        gets("/.well-known/jwks.json", oauth::jwks),
        gets("/.well-known/oauth-protected-resource/mcp/{server}", oauth::resource),
        gets("/v1/keys", log::keys),
        gets("/v1/schema", health::schema),
        gets("/v1/health", health::health),
        gets("/checkpoint", log::checkpoint),
        gets("/tile/{*path}", log::tile),
        gets("/openapi.json", health::openapi),
        // Other methods too: that they are refused is recorded.
        Route { path: "/mcp/{server}", method: "post", does: post(mcp::take).fallback(mcp::take) },
        Route { path: "/mcp/{server}", method: "get", does: get(mcp::take) },
        Route { path: "/mcp/{server}", method: "delete", does: delete(mcp::take) },
        gets("/healthz", health::live),
        gets("/readyz", health::ready),
        gets("/metrics", health::numbers),
    ]
}

/// What an OTLP/HTTP listener serves; the main listener does too.
pub(crate) fn otlp() -> Vec<Route> {
    vec![
        posts("/v1/traces", otlp::http::traces),
        posts("/v1/logs", otlp::http::logs),
        posts("/v1/metrics", otlp::http::metrics),
    ]
}

/// The router of the main listener and the Unix socket.
pub(crate) fn main_router(app: &Arc<App>) -> Router {
    build(app, api().into_iter().chain(otlp()))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .with_state(app.clone())
}

/// The router of an OTLP/HTTP listener.
pub(crate) fn otlp_router(app: &Arc<App>) -> Router {
    build(app, otlp())
        .fallback(otlp::http::not_found)
        .method_not_allowed_fallback(otlp::http::method_not_allowed)
        .with_state(app.clone())
}

fn build(app: &Arc<App>, routes: impl IntoIterator<Item = Route>) -> Router<Arc<App>> {
    routes.into_iter().fold(Router::new(), |router, Route { path, method, does }| {
        router.route(path, does.layer(middleware::from_fn_with_state((app.clone(), method, path), count)))
    })
}

type Counted = (Arc<App>, &'static str, &'static str);

async fn count(State((app, method, path)): State<Counted>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app.metrics.answered(method, path, response.status());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_these_routes_and_no_others() {
        let document: serde_json::Value = serde_json::from_str(health::OPENAPI).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
            })
            .collect();
        // axum marks a path that goes on to the end, OpenAPI cannot.
        let served = api()
            .into_iter()
            .chain(otlp())
            .map(|route| (route.path.replace("{*", "{"), route.method.to_owned()));
        assert_eq!(documented, served.collect());
    }
}
