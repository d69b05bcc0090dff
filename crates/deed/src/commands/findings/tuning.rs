//! `deed findings suppress`, `unsuppress`, `suppressed` and `tune`: what is made of rules, each a record.

use std::collections::BTreeMap;

use deed_review::Threshold;
use deed_server::{
    EndSent, SuppressionList, SuppressionRow, SuppressionSent, ThresholdsInForce, ThresholdsSent,
};
use serde::Serialize;
use serde_json::Value;

use super::super::principal::moment;
use crate::{
    access::{Access, Need},
    cli::{FindingsCommand, Global, Suppress, Suppressed, Tune, Unsuppress},
    client::{Request, Response, query_value},
    exit::{Code, Failure, Outcome},
    output::{Output, clean, count, fold, note},
    values,
};

const SUPPRESSIONS: &str = "/v1/findings/suppressions";
const THRESHOLDS: &str = "/v1/findings/thresholds";
const JSON: &str = "application/json";

pub(super) async fn run(global: &Global, does: FindingsCommand, output: Output) -> Outcome {
    match does {
        FindingsCommand::Suppress(asked) => suppress(global, asked, output).await,
        FindingsCommand::Unsuppress(asked) => unsuppress(global, asked, output).await,
        FindingsCommand::Suppressed(asked) => suppressed(global, &asked, output).await,
        FindingsCommand::Tune(asked) => tune(global, asked, output).await,
    }
}

async fn suppress(global: &Global, asked: Suppress, output: Output) -> Outcome {
    let until = asked.until;
    let sent = SuppressionSent {
        rule: asked.rule,
        principal: asked.principal,
        credential: asked.credential,
        resource: asked.resource,
        action: asked.action,
        reason: asked.reason,
        until,
        by: Some(asked.by.unwrap_or_else(values::system_who)),
    };
    let request = Request::post(path(SUPPRESSIONS, asked.tenant.as_deref(), ""), JSON, body(&sent)?);
    let answer: Value = ask(global, &request).await.map_err(|failure| failure.doing("suppress findings"))?;
    if output.json {
        return output.document(&answer);
    }
    let id = answer["id"].as_str().unwrap_or("-");
    output.print(&format!("suppressed until {}\nrecorded as {id}\n", moment(until)))
}

async fn unsuppress(global: &Global, asked: Unsuppress, output: Output) -> Outcome {
    let by = Some(asked.by.unwrap_or_else(values::system_who));
    let sent = EndSent { reason: asked.reason, by };
    let path = path(&format!("{SUPPRESSIONS}/{}", asked.id), asked.tenant.as_deref(), "");
    let request = Request::delete(path, JSON, body(&sent)?);
    let answer: Value =
        ask(global, &request).await.map_err(|failure| failure.doing("end the suppression"))?;
    if output.json {
        return output.document(&answer);
    }
    let record = answer["receipt"]["id"].as_str().unwrap_or("-");
    output.print(&format!("ended: {}\nrecorded as {record}\n", asked.id))
}

async fn suppressed(global: &Global, asked: &Suppressed, output: Output) -> Outcome {
    let reasons = if asked.reasons { "&reasons=true" } else { "" };
    let request = Request::get(path(SUPPRESSIONS, asked.tenant.as_deref(), reasons));
    let list: SuppressionList =
        ask(global, &request).await.map_err(|failure| failure.doing("list suppressions"))?;
    let all = list.suppressions.len();
    let shown: Vec<SuppressionRow> =
        list.suppressions.into_iter().filter(|row| asked.all || row.state == "in_force").collect();
    if output.json {
        return shown.iter().try_for_each(|row| output.line(row));
    }
    if shown.is_empty() {
        note("nothing is suppressed");
    }
    let rows: Vec<String> = shown.iter().map(|row| text(row, output)).collect();
    output.print(&rows.join("\n"))?;
    if all > shown.len() {
        note(&format!("{} over: --all", count((all - shown.len()) as u64, "suppression")));
    }
    Ok(())
}

fn text(row: &SuppressionRow, output: Output) -> String {
    let state = match row.state.as_str() {
        "in_force" => format!("until {}, hides {}", moment(row.until), count(row.hides, "finding")),
        "expired" => format!("expired at {}", moment(row.until)),
        state => state.to_owned(),
    };
    let mut text = format!("{}  {state}\n", output.strong(&clean(&row.rule)));
    let mut line = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            let value = fold(&clean(value), 80).replace('\n', &format!("\n{:14}", ""));
            text.push_str(&format!("    {label:<9} {value}\n"));
        }
    };
    let action = row.action.map(|id| id.to_string());
    line("about", row.principal.as_deref());
    line("with", row.credential.as_deref());
    line("on", row.resource.as_deref());
    line("action", action.as_deref());
    let by = row.by.as_deref().unwrap_or("nobody known");
    line("granted", Some(&format!("{} by {by}", moment(row.granted))));
    line("reason", row.reason.as_deref());
    if let Some(end) = &row.ended {
        let by = end.by.as_deref().unwrap_or("nobody known");
        line("ended", Some(&format!("{} by {by} ({})", moment(end.time), end.record)));
        line("reason", end.reason.as_deref());
    }
    line("record", Some(&row.id.to_string()));
    text
}

async fn tune(global: &Global, asked: Tune, output: Output) -> Outcome {
    let set = [
        (Threshold::StandingDays, asked.standing_days),
        (Threshold::StaticKeyDays, asked.static_key_days),
        (Threshold::TokenHours, asked.token_hours),
        (Threshold::DormantDays, asked.dormant_days),
        (Threshold::StormTries, asked.storm_tries),
    ];
    let set: Vec<(&str, u32)> =
        set.into_iter().filter_map(|(name, value)| Some((name.as_str(), value?))).collect();
    let path = path(THRESHOLDS, asked.tenant.as_deref(), "");
    let access = Access::open(global, Need::Existing)?;
    let done = async {
        let in_force: ThresholdsInForce = access.call(&Request::get(&*path)).await?.json()?;
        if set.is_empty() && asked.reset.is_empty() {
            return match asked.reason {
                Some(_) => Err(Failure::new("nothing is set: name a threshold").code(Code::Usage)),
                None => Ok(in_force),
            };
        }
        let kept = in_force.thresholds.iter().filter(|(_, row)| row.value != row.default);
        let mut thresholds: BTreeMap<String, u32> =
            kept.map(|(name, row)| (name.clone(), row.value)).collect();
        thresholds.retain(|name, _| !asked.reset.contains(name));
        thresholds.extend(set.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let sent = ThresholdsSent {
            thresholds,
            reason: asked.reason.unwrap_or_default(),
            over: in_force.record,
            by: Some(asked.by.unwrap_or_else(values::system_who)),
        };
        access.call(&Request::put(&*path, JSON, body(&sent)?)).await?.json()
    };
    let done = done.await;
    let in_force: ThresholdsInForce =
        access.finish(done).await.map_err(|failure| failure.doing("tune findings"))?;
    if output.json {
        return output.document(&in_force);
    }
    let mut text = String::new();
    for (name, row) in &in_force.thresholds {
        let by_default = match row.value == row.default {
            true => String::new(),
            false => format!("   {} by default", row.default),
        };
        text.push_str(&format!("{name:<18}{:>7}{by_default}\n", row.value));
    }
    if let (Some(record), Some(set)) = (in_force.record, in_force.set) {
        let by = in_force.by.as_deref().map_or("nobody known".into(), clean);
        text.push_str(&format!("\nset at {} by {by}, recorded as {record}\n", moment(set)));
    }
    output.print(&text)
}

async fn ask<T: serde::de::DeserializeOwned>(global: &Global, request: &Request) -> Result<T, Failure> {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.call(request).await;
    access.finish(answer.and_then(|answer: Response| answer.json())).await
}

fn path(path: &str, tenant: Option<&str>, more: &str) -> String {
    let tenant = tenant.map(|tenant| format!("&tenant={}", query_value(tenant))).unwrap_or_default();
    let query = format!("{tenant}{more}");
    match query.strip_prefix('&') {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn body<T: Serialize>(sent: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(sent).map_err(|error| Failure::new(error.to_string()))
}
