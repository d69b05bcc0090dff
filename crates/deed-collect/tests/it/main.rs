//! Everything that needs more than one module, or input from outside.

mod agents;
mod cloudtrail;
mod documented;
mod entra;
mod exports;
mod github;
mod identity;
mod input;
mod kubernetes;
mod logs;
mod mapping;
mod okta;
mod otlp;
mod samples;
mod secrets;
mod ssf;
mod teleport;
mod total;
mod vault;

use std::path::PathBuf;

use deed_record::{Submission, parse_one};

/// The record in `text`, which must be one that the ledger takes.
fn parse(text: &str) -> Submission<'_> {
    parse_one(text, false).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The record in `text` as JSON, after [`parse`] took it.
fn value_of(text: &str) -> serde_json::Value {
    parse(text);
    serde_json::from_str(text).expect("JSON")
}

/// The folder with more samples than the repository holds, where it is given.
fn samples() -> Option<PathBuf> {
    let folder = std::env::var_os("DEED_DATA_SAMPLES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DEED_DATA_SAMPLES names no folder");
    }
    folder
}

const CLOUDTRAIL: &str = include_str!("../fixtures/cloudtrail.json");
const KUBERNETES: &str = include_str!("../fixtures/kubernetes.jsonl");
const KUBERNETES_AKS: &str = include_str!("../fixtures/kubernetes-aks.json");
const KUBERNETES_EKS: &str = include_str!("../fixtures/kubernetes-eks.json");
const KUBERNETES_GKE: &str = include_str!("../fixtures/kubernetes-gke.json");
const KUBERNETES_LIST: &str = include_str!("../fixtures/kubernetes-list.json");
const VAULT: &str = include_str!("../fixtures/vault.jsonl");
const GITHUB: &str = include_str!("../fixtures/github.json");
const AGENTS_JSON: &str = include_str!("../fixtures/agents.json");
const AGENTS_PB: &[u8] = include_bytes!("../fixtures/agents.pb");
const OKTA: &str = include_str!("../fixtures/okta.json");
const ENTRA: &str = include_str!("../fixtures/entra.json");
const SSF: &str = include_str!("../fixtures/ssf.jsonl");
const TELEPORT: &str = include_str!("../fixtures/teleport.ndjson");
