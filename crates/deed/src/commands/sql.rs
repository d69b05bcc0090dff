//! `deed sql`: read-only SQL.

use std::io::{IsTerminal as _, Read as _};

use http_body_util::BodyExt;
use serde_json::json;

use crate::{
    access::{Access, Need},
    cli::{Global, Sql},
    client::{self, Request},
    exit::{Failure, Outcome},
    output::Output,
};

pub(crate) async fn run(global: &Global, sql: Sql, output: Output) -> Outcome {
    let query = match &*sql.query {
        "-" => {
            let mut query = String::new();
            std::io::stdin()
                .lock()
                .read_to_string(&mut query)
                .map_err(|error| Failure::new("failed to read the query").detail(error.to_string()))?;
            query
        }
        query => query.to_owned(),
    };
    if sql.format == "parquet" && std::io::stdout().is_terminal() {
        return Err(Failure::usage("Parquet is nothing for a terminal")
            .detail("write it to a file: deed sql --format parquet QUERY > FILE"));
    }
    let format = if output.json { "json" } else { &sql.format };
    let access = Access::open(global, Need::Existing)?;
    access
        .finish(print_rows(&access, &query, format, sql.tenant.as_deref(), output).await)
        .await
        .map_err(|failure| failure.doing("run the query"))
}

/// Asks, and prints the rows as they come.
async fn print_rows(
    access: &Access,
    query: &str,
    format: &str,
    tenant: Option<&str>,
    output: Output,
) -> Outcome {
    // A list that can be long is one object a line.
    let format = if format == "json" { "ndjson" } else { format };
    let body = json!({ "query": query, "format": format, "tenant": tenant }).to_string();
    let mut answer = access.stream(&Request::post("/v1/sql", "application/json", body)).await?;
    let broken = |error: hyper::Error| Failure::new("the rows broke off").detail(error.to_string());
    if !answer.status().is_success() {
        let status = answer.status();
        let said = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        return Err(client::refusal(status, &said));
    }
    while let Some(frame) = answer.body_mut().frame().await {
        if let Ok(rows) = frame.map_err(broken)?.into_data() {
            output.bytes(&rows)?;
        }
    }
    Ok(())
}
