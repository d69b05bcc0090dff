//! `deed find`: actions in a list.

use deed_review::{ActionRow, render};
use serde::Deserialize;

use super::principal;
use crate::{
    access::{Access, Need},
    cli::{Find, Global},
    client::{Request, query_value},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::{Output, count, note},
    values::span,
};

/// Most actions that are asked for at a time.
const PAGE: u32 = 1000;

pub(crate) async fn run(global: &Global, find: Find, output: Output) -> Outcome {
    span(find.since, find.until)?;
    let access = Access::open(global, Need::Existing)?;
    let hint = Hint::of(global);
    access
        .finish(list(&access, &find, &hint, output).await)
        .await
        .map_err(|failure| failure.doing("list actions"))
}

/// A page of actions, as the API gives it.
#[derive(Deserialize)]
pub(crate) struct Page {
    /// The actions, newest first.
    pub(crate) actions: Vec<ActionRow>,
    /// Where the next page begins; `None` where everything was looked at.
    next: Option<u64>,
}

/// One page of the actions that `query` wants.
///
/// # Errors
/// No answer, or a refusal.
pub(crate) async fn page(access: &Access, query: &str) -> Result<Page, Failure> {
    access.call(&Request::get(format!("/v1/actions?{query}"))).await?.json()
}

async fn list(access: &Access, find: &Find, hint: &Hint, output: Output) -> Outcome {
    let filter = query(find);
    let mut wanted = find.limit;
    let mut before: Option<u64> = None;
    let mut found = 0;
    let mut rows = Vec::new();
    loop {
        let from = before.map(|before| format!("&before={before}")).unwrap_or_default();
        let page = page(access, &format!("limit={}{from}{filter}", wanted.min(PAGE))).await?;
        wanted = wanted.saturating_sub(page.actions.len() as u32);
        found += page.actions.len() as u64;
        before = page.next;
        if output.json {
            page.actions.iter().try_for_each(|row| output.line(row))?;
        } else {
            rows.extend(page.actions);
        }
        // A page ends where it is full or its time is up; the search does not.
        if before.is_none() || wanted == 0 {
            break;
        }
    }
    if found == 0 {
        must_be_known(access, find, hint).await?;
    }
    if output.json {
        return Ok(());
    }
    if found == 0 {
        note("no action is like that");
        return Ok(());
    }
    output.print(&render::rows(&rows, hint.style(output, false)))?;
    if before.is_some() {
        note(&format!("the newest {}; more with --limit", count(found, "action")));
    }
    output.print(&format!("\n  next  {}\n", hint.deed("explain ID")))
}

/// Fails where the filter names somebody or something that no record names.
async fn must_be_known(access: &Access, find: &Find, hint: &Hint) -> Outcome {
    for key in [&find.initiator, &find.executor, &find.principal].into_iter().flatten() {
        principal::must_be_known(access, hint, find.tenant.as_deref(), key).await?;
    }
    // A tool that a server has may be known and not called yet.
    let Some(tool) = find.tool.as_deref().filter(|tool| !tool.contains('/')) else { return Ok(()) };
    let called = page(access, &format!("limit=1&tool={}", query_value(tool))).await?;
    if called.actions.is_empty() && called.next.is_none() {
        return Err(Failure::new(format!("no action calls a tool of the name `{tool}`"))
            .code(Code::NotFound)
            .detail(format!(
                "tools are named SERVER/NAME; {} shows those that were called",
                hint.deed("find")
            )));
    }
    Ok(())
}

/// The filter as a query string, each part with its `&`.
fn query(find: &Find) -> String {
    let text = |value: &Option<String>| value.clone();
    [
        ("trace", find.trace.map(|id| id.to_string())),
        ("initiator", text(&find.initiator)),
        ("executor", text(&find.executor)),
        ("principal", text(&find.principal)),
        ("credential", text(&find.credential)),
        ("tool", text(&find.tool)),
        ("resource", text(&find.resource)),
        ("effect", text(&find.effect)),
        ("status", text(&find.status)),
        ("since", find.since.map(|time| time.to_string())),
        ("until", find.until.map(|time| time.to_string())),
        ("text", text(&find.text)),
        ("tenant", text(&find.tenant)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("&{name}={}", query_value(&value?))))
    .collect()
}
