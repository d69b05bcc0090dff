//! What a decision costs the gateway: a hundred policies, asked with all that it knows at the time.

use std::{
    error::Error,
    fmt::Write,
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use deed_gateway::{DecisionPoint, InForce, Intent, Who};
use deed_identity::Inventory;
use deed_ledger::{Ledger, Options};
use deed_record::Ruling;
use serde_json::value::RawValue;

use super::policies::{self, AGENT, SERVER};

const TIMES: usize = 20_000;
/// Principals and resources that people declared.
const DECLARED: usize = 1_000;

/// p50 and p99 of one decision on one processor, with a store in `dir`.
pub(super) fn measure(dir: &Path) -> Result<(Duration, Duration), Box<dyn Error + Send + Sync>> {
    let ledger = Ledger::open(dir, Options::default())?;
    let set = policies::set()?;
    let force = InForce { inventory: Arc::new(Inventory::parse(&inventory()?)?), ..InForce::of(move || set) };
    let point = DecisionPoint::new(ledger.clone(), force, Duration::from_secs(3));
    let mut intent = Intent {
        server: SERVER.to_owned(),
        method: "tools/call".to_owned(),
        name: Some("echo".to_owned()),
        arguments: Some(RawValue::from_string(
            r#"{"path":"/srv/reports/2026-11.csv","amount":250}"#.to_owned(),
        )?),
        credential: Some(RawValue::from_string(
            r#"{"type":"dpop","jti":"a1","parent":"a0","scopes":["files:read","files:write"],"issued":"2026-11-20T10:00:00Z","expires":"2026-11-20T11:00:00Z"}"#
                .to_owned(),
        )?),
        reported_by: None,
        ..Intent::reported("bench", None)?
    };
    intent.place.executor = format!("agent:{AGENT}").parse::<Who>()?;
    intent.place.initiator = Some("human:ann".parse::<Who>()?);
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let started = Instant::now();
        let (effect, why, _) = black_box(point.consider(black_box(&intent), "default"));
        times.push(started.elapsed());
        if effect != Ruling::Allow {
            return Err(format!("the decision was another one: {why}").into());
        }
    }
    ledger.close()?;
    times.sort_unstable();
    Ok((times[TIMES / 2], times[TIMES * 99 / 100]))
}

fn inventory() -> Result<String, std::fmt::Error> {
    let mut text = format!(
        "[[principal]]\nkey = \"agents:{AGENT}\"\ntype = \"agent\"\naliases = [\"agent:{AGENT}\"]\n\
         owner = \"human:ann\"\nenvironments = [\"staging\"]\n\n"
    );
    for at in 0..DECLARED {
        writeln!(
            text,
            "[[principal]]\nkey = \"agents:bot-{at}\"\ntype = \"agent\"\naliases = [\"agent:bot-{at}\"]\n\n\
             [[resource]]\nmatch = \"mcp:{SERVER}/tool-{at}\"\nclassification = \"internal\"\n"
        )?;
    }
    Ok(text)
}
