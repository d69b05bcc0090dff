//! `GET /v1/ocsf`.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use deed_record::RecordId;
use http::{HeaderName, HeaderValue};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    api::{Params, actions::tenant_of, chunks::Chunks, with_type},
    app::App,
    auth::{Caller, Reading},
    ocsf::{self, MOST_EVENTS, OcsfPage, OcsfQuery},
    problem::{Kind, Problem},
};

/// The leaf to go on from.
const NEXT: HeaderName = HeaderName::from_static("deed-next");
/// Whether that is the end of the log.
const LAST: HeaderName = HeaderName::from_static("deed-last");
/// When it was looked which findings about identities there are: `found` of the next page.
const FOUND: HeaderName = HeaderName::from_static("deed-found");
const NDJSON: &str = "application/x-ndjson";
/// How often whoever follows looks at the log.
const PAUSE: Duration = Duration::from_millis(500);

/// Actions, authority and findings as OCSF events, one a line, oldest first.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(mut query): Params<OcsfQuery>,
) -> Result<Response, Problem> {
    query.tenant = tenant_of(&caller, query.tenant)?;
    if let Some(limit) = query.limit.filter(|limit| !(1..=MOST_EVENTS).contains(limit)) {
        let detail = format!("query string: limit: expected 1 to {MOST_EVENTS}, found {limit}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    if query.id.is_some() && query.follow {
        return Err(Problem::new(Kind::BadRequest, "query string: `id` cannot be followed"));
    }
    let page = page(&app, &caller, &query).await?;
    if query.follow {
        return Ok(with_type(Body::new(follow(app, caller, query, page)), NDJSON));
    }
    let mut response = with_type(page.lines, NDJSON);
    let headers = response.headers_mut();
    headers.insert(NEXT, HeaderValue::from(page.next));
    headers.insert(LAST, HeaderValue::from_static(if page.is_last { "true" } else { "false" }));
    if let Some(found) = page.found.and_then(|found| HeaderValue::try_from(found.to_string()).ok()) {
        headers.insert(FOUND, found);
    }
    Ok(response)
}

async fn page(app: &App, caller: &Arc<Caller>, query: &OcsfQuery) -> Result<OcsfPage, Problem> {
    let (caller, query) = (caller.clone(), query.clone());
    let Some(ids) = &query.id else {
        return app.ask(move |engine| ocsf::page(engine, &query, caller.tenant())).await;
    };
    let wrong = |error| Problem::new(Kind::BadRequest, format!("query string: id: {error}"));
    let ids = ids.split(',').map(str::parse).collect::<Result<Vec<RecordId>, _>>().map_err(wrong)?;
    let page = app.ask(move |engine| Ok(ocsf::of_ids(engine, &ids, &query, caller.tenant())?)).await?;
    page.map_err(|id| Problem::new(Kind::NotFound, format!("no record `{id}`")))
}

/// The pages after `first`, and then whatever comes, until the client leaves or the server stops.
fn follow(app: Arc<App>, caller: Arc<Caller>, mut query: OcsfQuery, first: OcsfPage) -> Chunks {
    let (chunks, rest) = mpsc::channel(2);
    let mut stopping = app.stopping.clone();
    tokio::spawn(async move {
        let going = async {
            let mut page = first;
            loop {
                if !page.lines.is_empty() && chunks.send(Ok(Bytes::from(page.lines))).await.is_err() {
                    return;
                }
                query.after = page.next;
                query.found = page.found.or(query.found);
                query.live |= page.is_last;
                if page.is_last {
                    sleep(PAUSE).await;
                }
                if chunks.is_closed() {
                    return;
                }
                page = match self::page(&app, &caller, &query).await {
                    Ok(page) => page,
                    Err(problem) => {
                        // The answer breaks off; the client goes on from the last `metadata.sequence` that it has.
                        let _unheard = chunks.send(Err(problem)).await.is_err();
                        return;
                    }
                };
            }
        };
        tokio::select! {
            () = going => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    });
    Chunks::new(Bytes::new(), rest)
}
