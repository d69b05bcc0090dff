//! What is no action stands in the log too.

use std::time::Duration;

use deed_seal::{
    checkpoint::Checkpoint,
    tile::{TilePath, bundle_entries},
};
use serde_json::Value;

use crate::{access::Access, client::Request, exit::Failure};

/// Waits until the signed log holds a record that `is` wants.
///
/// # Errors
/// It does not, in time.
pub(super) async fn holds(access: &Access, what: &str, is: impl Fn(&Value) -> bool) -> Result<(), Failure> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        if records(access).await?.iter().any(&is) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new(format!("the log holds no {what}, although it must")))
}

/// Every sealed record of the log, as its newest checkpoint has it.
async fn records(access: &Access) -> Result<Vec<Value>, Failure> {
    let note = access.call(&Request::get("/checkpoint")).await?.good()?;
    let Ok((head, _)) = Checkpoint::open_unverified(&note) else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for index in 0.. {
        let Some(path) = TilePath::entries(index, head.size) else { break };
        let bundle = access.call(&Request::get(format!("/{path}"))).await?.good()?;
        let entries = bundle_entries(&bundle)
            .map_err(|error| Failure::new("the log is not understood").detail(error.to_string()))?;
        records.extend(entries.iter().filter_map(|entry| serde_json::from_slice::<Value>(entry).ok()));
    }
    Ok(records)
}
