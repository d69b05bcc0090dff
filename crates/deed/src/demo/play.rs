//! Feeding the store: through the same doors that everybody else uses.

use std::{net::SocketAddr, time::Duration};

use deed_collect::{Source, records};
use deed_record::split_records;
use deed_seal::checkpoint::Checkpoint;

use super::samples;
use crate::{
    access::Access,
    client::{CallError, Client, Endpoint, Request},
    commands::records::{Sent, send_all, send_each},
    exit::{Failure, Outcome},
};

/// Exports every sample trace to the OTLP/HTTP receiver, as an agent does.
pub(super) async fn export_traces(receiver: SocketAddr) -> Outcome {
    let client = Client::new(Endpoint::of_address(receiver), None);
    for (agent, export) in samples::TRACES {
        let failed =
            |why: String| Failure::new(format!("failed to export the traces of {agent}")).detail(why);
        let request = Request::post("/v1/traces", "application/x-protobuf", export);
        let response = client.send(&request).await.map_err(|error: CallError| failed(error.to_string()))?;
        // A whole success is a message of which no member is set; a partial one says how many were rejected.
        if !response.good()?.is_empty() {
            return Err(failed("some spans were rejected".to_owned()));
        }
    }
    Ok(())
}

/// Imports the CloudTrail file, as `deed import` does.
pub(super) async fn import_cloudtrail(access: &Access) -> Outcome {
    let mapped: Result<Vec<_>, _> = records(Source::CloudTrail, samples::CLOUDTRAIL).collect();
    let failed = |why: String| Failure::new("failed to import the CloudTrail file").detail(why);
    let mapped = mapped.map_err(|rejected| failed(format!("line {}: {}", rejected.line, rejected.error)))?;
    let texts: Vec<&str> = mapped.iter().map(|mapped| mapped.record.as_str()).collect();
    for sent in send_each(access, &texts, false).await? {
        if let Sent::Refused(why) = sent {
            return Err(failed(why));
        }
    }
    Ok(())
}

/// Appends the story of the migration, as `deed append` does, and waits until a checkpoint covers it.
pub(super) async fn append_migration(access: &Access) -> Outcome {
    let records = split_records(samples::MIGRATION).map_err(|error| Failure::new(error.to_string()))?;
    match send_all(access, &records).await? {
        Ok(receipts) => {
            signed(access, receipts.iter().map(|receipt| receipt.index + 1).max().unwrap_or(0)).await
        }
        Err(refusal) => Err(refusal.failure.doing("append the records of the migration")),
    }
}

/// Waits until a signed checkpoint covers `size` leaves.
async fn signed(access: &Access, size: u64) -> Outcome {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let note = access.call(&Request::get("/checkpoint")).await?;
        let head = Checkpoint::open_unverified(&note.body).ok().filter(|_| note.status.is_success());
        if head.is_some_and(|(head, _)| head.size >= size) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new("no checkpoint was signed in time; `deed doctor` says why"))
}
