//! `deed report`: a question about everything that is on record, answered for somebody who judges or has to prove it.

use std::{fs, path::Path};

use deed_review::report::{Page, ReportName, html, text};

use crate::{
    access::{Access, Need},
    cli::{Global, Report},
    client::{Request, query_value},
    exit::{Failure, Outcome},
    hint::Hint,
    output::{Output, clean, note, shell_word},
    values::span,
};

pub(crate) async fn run(global: &Global, asked: Report, output: Output) -> Outcome {
    if asked.change.is_some() && asked.name != ReportName::Controls.as_str() {
        return Err(Failure::usage("--change is for `deed report controls`"));
    }
    span(asked.since, asked.until)?;
    let access = Access::open(global, Need::Existing)?;
    let answer = access.finish(answer(&access, &asked).await).await;
    let json = answer.map_err(|failure| failure.doing(format!("make the report `{}`", asked.name)))?;
    let format = if output.json { "json" } else { &asked.format };
    let made = match format {
        "json" => pretty(&json)?,
        "html" => html(&page(&asked, &json)?),
        _ if asked.output.is_some() => text(&page(&asked, &json)?, deed_review::render::Style::default()),
        _ => text(&page(&asked, &json)?, output.style()),
    };
    match &asked.output {
        Some(file) => write(file, &made),
        None => {
            output.print(&made)?;
            if format == "text" {
                note(&next(&asked, &Hint::of(global)));
            }
            Ok(())
        }
    }
}

async fn answer(access: &Access, asked: &Report) -> Result<Vec<u8>, Failure> {
    let time = |time: Option<deed_record::Timestamp>| time.map(|time| time.to_string());
    let parts = [
        ("tenant", asked.tenant.clone()),
        ("since", time(asked.since)),
        ("until", time(asked.until)),
        ("change", time(asked.change)),
        ("limit", Some(asked.limit.to_string())),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", query_value(&value))).collect();
    let path = format!("/v1/reports/{}?{}", asked.name, query.join("&"));
    Ok(access.call(&Request::get(path)).await?.good()?.to_vec())
}

fn page(asked: &Report, json: &[u8]) -> Result<Page, Failure> {
    let not_understood = |why: String| {
        Failure::new("the server's answer is not understood")
            .detail(why)
            .detail("--json prints it as it came")
    };
    let name = ReportName::parse(&asked.name).ok_or_else(|| not_understood("no such report".to_owned()))?;
    name.page(json).map_err(|error| not_understood(error.to_string()))
}

/// The answer as it came, indented for people who look at it all the same.
fn pretty(json: &[u8]) -> Result<String, Failure> {
    let value: serde_json::Value =
        serde_json::from_slice(json).map_err(|error| Failure::new(error.to_string()))?;
    let text = serde_json::to_string_pretty(&value).map_err(|error| Failure::new(error.to_string()))?;
    Ok(text + "\n")
}

fn write(file: &Path, made: &str) -> Outcome {
    let name = file.display().to_string();
    fs::write(file, made).map_err(|error| Failure::new(format!("cannot write `{name}`: {error}")))?;
    note(&format!("written to `{}`", clean(&name)));
    Ok(())
}

/// The same to be handed on.
fn next(asked: &Report, hint: &Hint) -> String {
    let mut more = String::new();
    let time = |time: Option<deed_record::Timestamp>| time.map(|time| time.to_string());
    for (flag, value) in [
        ("--tenant", asked.tenant.clone()),
        ("--since", time(asked.since)),
        ("--until", time(asked.until)),
        ("--change", time(asked.change)),
    ] {
        if let Some(value) = value {
            more.push_str(&format!(" {flag} {}", shell_word(&value)));
        }
    }
    format!("\n  next  {}", hint.deed(&format!("report {0}{more} --format html -o {0}.html", asked.name)))
}
