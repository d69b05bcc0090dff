//! `GET /v1/reports/{name}`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use deed_review::{
    render::Style,
    report::{ReportName, html, text},
};

use crate::{
    api::{Named, Params, actions::tenant_of, with_type},
    app::App,
    auth::Reading,
    problem::{Kind, Problem},
    reports::{MOST_ROWS, ReportQuery, make},
};

/// One report, as JSON, text or HTML.
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(name): Named<String>,
    Params(mut query): Params<ReportQuery>,
) -> Result<Response, Problem> {
    query.tenant = tenant_of(&caller, query.tenant)?;
    let known = || ReportName::ALL.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(name) = ReportName::parse(&name) else {
        let detail = format!("there is no report `{}`; {}", name.escape_debug(), known());
        return Err(Problem::new(Kind::NotFound, detail));
    };
    let refused = |what: String| Err(Problem::new(Kind::BadRequest, format!("query string: {what}")));
    if let Some(limit) = query.limit.filter(|limit| !(1..=MOST_ROWS).contains(limit)) {
        return refused(format!("limit: expected 1 to {MOST_ROWS}, found {limit}"));
    }
    if query.change.is_some() && name != ReportName::Controls {
        return refused("change: only `controls` is made before and after a change".to_owned());
    }
    let format = query.format.take().unwrap_or_else(|| "json".to_owned());
    if !["json", "text", "html"].contains(&&*format) {
        return refused(format!("format: expected json, text or html, found `{}`", format.escape_debug()));
    }
    let json = make(&app, name, query).await?;
    let page = || name.page(&json).map_err(|error| Problem::new(Kind::Internal, error.to_string()));
    Ok(match &*format {
        "html" => with_type(html(&page()?), "text/html; charset=utf-8"),
        "text" => with_type(text(&page()?, Style::default()), "text/plain; charset=utf-8"),
        _ => with_type(json, "application/json"),
    })
}
