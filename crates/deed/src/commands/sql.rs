//! `deed sql`: read-only SQL.

use std::io::{IsTerminal as _, Read as _};

use http_body_util::BodyExt;
use serde_json::json;

use crate::{
    access::{Access, Need},
    cli::{Global, Sql},
    client::{self, Request},
    exit::{Failure, Outcome},
    hint::Hint,
    output::{Output, clean},
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
        return Err(Failure::usage("Parquet is nothing for a terminal").detail(format!(
            "write it to a file: {} > FILE",
            Hint::of(global).deed("sql --format parquet QUERY")
        )));
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
    // A table is made harmless where it is made. CSV is for programs, which want what there is.
    let mut harmless = (format == "csv" && std::io::stdout().is_terminal()).then(Harmless::default);
    while let Some(frame) = answer.body_mut().frame().await {
        let Ok(rows) = frame.map_err(broken)?.into_data() else { continue };
        match &mut harmless {
            Some(harmless) => output.print(&harmless.take(&rows))?,
            None => output.bytes(&rows)?,
        }
    }
    Ok(())
}

/// Text that comes in pieces, with everything escaped but line ends that a terminal would act upon.
#[derive(Default)]
struct Harmless {
    /// The beginning of a character whose end is still to come.
    rest: Vec<u8>,
}

impl Harmless {
    fn take(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // What is no UTF-8 at all is shown as that; only an end that is missing is waited for.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len(),
        };
        let whole: Vec<u8> = self.rest.drain(..whole).collect();
        let lines: Vec<String> =
            String::from_utf8_lossy(&whole).split('\n').map(|line| clean(line).into_owned()).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_moves_no_cursor() {
        let mut harmless = Harmless::default();
        let text = "name,n\n\"a\u{1b}[2J\u{7}\nb\",\u{9b}1m\u{e9}\n";
        let mut shown = String::new();
        for piece in text.as_bytes().chunks(3) {
            shown.push_str(&harmless.take(piece));
        }
        assert_eq!(shown, "name,n\n\"a\\u{1b}[2J\\u{7}\nb\",\\u{9b}1m\u{e9}\n");
    }
}
