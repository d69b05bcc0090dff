//! The log as a stranger checks it: fetched over HTTP, verified with `deed-seal` alone.

use std::{collections::BTreeMap, time::Duration};

use deed_seal::{
    checkpoint::Checkpoint,
    hash::leaf_hash,
    merkle::{inclusion_proof, verify_inclusion},
    note::VerifierKey,
    tile::{TilePath, TileTree, bundle_entries},
};
use http::header;
use serde_json::Value;

use crate::support::{Answer, Running, array, observation};

async fn signed(running: &Running) -> Answer {
    let ledger = running.server.engine().ledger();
    assert!(ledger.wait_signed(ledger.size() - 1, Duration::from_secs(10)));
    running.get("/checkpoint").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_proved_from_checkpoint_and_tiles() {
    let running = Running::start().await;
    let mut receipts = Vec::new();
    for start in [0, 350] {
        let records: Vec<String> = (start..start + 350).map(|n| observation(n + 1, "agent:a")).collect();
        let answer = running.append(&array(&records)).await;
        receipts.extend(answer.json()["receipts"].as_array().unwrap().clone());
    }
    let keys = running.get("/v1/keys").await.json();
    let vkeys: Vec<VerifierKey> =
        keys["vkeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().parse().unwrap()).collect();

    let answer = signed(&running).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache");
    let (checkpoint, _) = Checkpoint::open(&answer.body, &vkeys).unwrap();
    assert_eq!((checkpoint.size, checkpoint.origin.as_str()), (700, keys["origin"].as_str().unwrap()));

    let mut fetched: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for path in TilePath::all(checkpoint.size) {
        let answer = running.get(&format!("/{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/octet-stream");
        let lifetime = if path.is_partial() {
            "private, max-age=60, immutable"
        } else {
            "private, max-age=31536000, immutable"
        };
        assert_eq!(answer.header(header::CACHE_CONTROL), lifetime);
        fetched.insert(path.to_string(), answer.body.to_vec());
    }
    let tree = TileTree::new(checkpoint.size, |level, index, width| {
        let path = TilePath::Hashes { level, index, width }.to_string();
        fetched.get(&path).cloned().ok_or(path)
    });
    for receipt in [&receipts[0], &receipts[255], &receipts[256], &receipts[699]] {
        let index = receipt["index"].as_u64().unwrap();
        let bundle = &fetched[&TilePath::entries(index / 256, checkpoint.size).unwrap().to_string()];
        let entry = bundle_entries(bundle).unwrap()[(index % 256) as usize];
        assert_eq!(serde_json::from_slice::<Value>(entry).unwrap()["id"], receipt["id"]);
        let proof = inclusion_proof(index, checkpoint.size, &tree).unwrap();
        verify_inclusion(&leaf_hash(entry), index, checkpoint.size, &proof, &checkpoint.root).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_as_jwks_too() {
    let running = Running::start().await;
    let keys = running.get("/v1/keys").await.json();
    let jwks = keys["jwks"]["keys"].as_array().unwrap();
    assert_eq!(jwks.iter().map(|key| key["kty"].as_str().unwrap()).collect::<Vec<_>>(), ["OKP", "AKP"]);
    assert_eq!(jwks[0]["x"].as_str().unwrap().len(), 43);
    assert_eq!(jwks.len(), keys["vkeys"].as_array().unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_served() {
    let running = Running::start().await;
    let answer = running.get("/checkpoint").await;
    if answer.status == 404 {
        assert_eq!(answer.problem(), "not-found");
    }
    running.record(&array(&(0..300).map(|n| observation(n + 1, "agent:a")).collect::<Vec<_>>())).await;
    for path in [
        "tile/0/000.p/0",
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/0/001.p/044",
        "tile/00/000",
        "tile/0/0",
        "tile/0/002.p/1",
        "tile/1/000",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/64/000",
        "tile/entries/001",
        "tile/entries/x000/001",
        "tile/entries/../0/000",
        "tile/",
        "tile/x",
        "tile/0/000?x",
    ] {
        let answer = running.get(&format!("/{path}")).await;
        let expected = if path.ends_with("?x") { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{path}");
    }
    for path in [
        "tile/0/000",
        "tile/0/000.p/7",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
        "tile/entries/000.p/1",
    ] {
        assert_eq!(running.get(&format!("/{path}")).await.status, 200, "{path}");
    }
}
