//! `deed verify` on the store, its parts apart.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{Outcome, figure, grouped, server};

pub(crate) fn run(store: &Path) -> Outcome {
    let output = Command::new(server::program()?).args(["verify", "--json", "--data"]).arg(store).output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    if report["verified"] != Value::Bool(true) {
        return Err(format!("the store does not verify: {}", report["problems"]).into());
    }
    let leaves = report.pointer("/checked/leaves").and_then(Value::as_f64).unwrap_or(0.0);
    let seconds =
        |part: &str| report.pointer(&format!("/seconds/{part}")).and_then(Value::as_f64).unwrap_or(f64::NAN);
    figure(
        "verify: leaves, tiles, checkpoints",
        format!("{}/s", grouped(leaves / seconds("merkle"))),
        "at least 1,000,000 leaves/s",
    );
    figure("verify: disclosures and index", format!("{}/s", grouped(leaves / seconds("disclosures"))), "");
    figure("verify: rows", format!("{}/s", grouped(leaves / seconds("rows"))), "");
    figure(
        "verify: all of it",
        format!("{}/s", grouped(leaves / seconds("total"))),
        "at least 300,000 records/s",
    );
    Ok(())
}
