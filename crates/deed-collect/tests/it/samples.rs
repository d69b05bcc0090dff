//! The larger collection of real samples, where `DEED_DATA_SAMPLES` says where it is.

use std::{collections::HashSet, fs, path::Path};

use deed_collect::{Source, records, source};
use deed_record::Kind;

use crate::{parse, samples};

/// Files under `folder` with one of these endings, in order.
fn files(folder: &Path, endings: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| path.extension().is_some_and(|e| e == *ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn all_cloudtrail_samples_map() {
    let Some(folder) = samples() else { return };
    let files = files(&folder.join("cloudtrail"), &["json"]);
    assert_eq!(files.len(), 35);
    let (mut count, mut effects, mut ids) = (0, 0, HashSet::new());
    for path in files {
        let bytes = fs::read(&path).expect("a file");
        let name = path.to_string_lossy();
        assert_eq!(
            (source::guess(&bytes, &name), source::no_log(&name)),
            (Some(Source::CloudTrail), None),
            "{name}"
        );
        for mapped in records(Source::CloudTrail, &bytes[..]) {
            let mapped = mapped.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let record = parse(&mapped.record);
            let executor = record.executor.expect("an action");
            assert!(
                executor.key.is_some() && record.operation.is_some() && record.outcome.is_some(),
                "{name}"
            );
            effects += record.effects.map_or(0, |effects| effects.len());
            ids.insert(record.source.and_then(|s| s.event_id).expect("an id").to_string());
            count += 1;
        }
    }
    assert_eq!((count, ids.len()), (310, 310));
    assert_eq!(effects, 19);
}

/// How many of a file's events map and how many are none, and of how many different events the former are.
fn reconcile(source: Source, path: &Path) -> (usize, usize, usize) {
    let bytes = fs::read(path).expect("a file");
    assert_eq!(source::guess(&bytes, "x"), Some(source), "{}", path.display());
    let found: Vec<_> = records(source, &bytes[..]).collect();
    assert_eq!(found.len(), bytes.iter().filter(|byte| **byte == b'\n').count(), "one answer for each line");
    let mut ids = HashSet::new();
    for mapped in found.iter().flatten() {
        ids.insert(parse(&mapped.record).source.and_then(|s| s.event_id).expect("an id").to_string());
    }
    (found.iter().flatten().count(), found.iter().filter(|found| found.is_err()).count(), ids.len())
}

#[test]
fn kubernetes_and_github_samples_map_where_they_have_an_id_and_a_time() {
    let Some(folder) = samples() else { return };
    // Most samples of Kubernetes are cut down to what one rule looks at.
    let kubernetes = reconcile(Source::Kubernetes, &folder.join("kubernetes/kubernetes.jsonl"));
    assert_eq!(kubernetes, (9, 126, 6));
    assert_eq!(reconcile(Source::GitHub, &folder.join("github/github.jsonl")), (35, 16, 34));
}

#[test]
fn all_otlp_samples_map_alike_in_both_forms() {
    let Some(folder) = samples() else { return };
    let mut counts = Vec::new();
    for path in files(&folder.join("otlp"), &["pb"]) {
        let of = |path: &Path| -> Vec<String> {
            let bytes = fs::read(path).expect("a file");
            assert_eq!(source::guess(&bytes, &path.to_string_lossy()), Some(Source::Otlp));
            records(Source::Otlp, &bytes[..]).map(|r| r.expect("maps").record).collect()
        };
        let (protobuf, json) = (of(&path), of(&path.with_extension("json")));
        assert_eq!(protobuf, json, "{}", path.display());
        let kinds: Vec<Kind> = protobuf.iter().map(|text| parse(text).kind).collect();
        let count = |kind| kinds.iter().filter(|k| **k == kind).count();
        counts.push((kinds.len(), count(Kind::Task), count(Kind::Observation), count(Kind::Step)));
    }
    assert_eq!(counts, [(8, 2, 1, 5), (5, 2, 1, 2), (13, 1, 2, 10), (12, 1, 2, 9)]);
}

/// What becomes of the events in a file of samples: how many were mapped, how many of those have effects,
/// and why the others were not.
fn of_samples(folder: &Path, source: Source) -> (usize, usize, Vec<String>) {
    let name = source.as_str();
    let bytes = fs::read(folder.join(name).join(format!("{name}.jsonl"))).expect("a file");
    assert_eq!(source::guess(&bytes, "x"), Some(source), "{name}");
    let (mut count, mut effects, mut rejected) = (0, 0, Vec::new());
    for mapped in records(source, &bytes[..]) {
        match mapped {
            Ok(mapped) => {
                let record = parse(&mapped.record);
                assert!(record.executor.is_some() && record.operation.is_some(), "{}", mapped.record);
                assert!(record.disclose.get("event").is_some());
                effects += usize::from(record.effects.is_some());
                count += 1;
            }
            Err(why) => rejected.push(format!("line {}, {}", why.line, why.error)),
        }
    }
    (count, effects, rejected)
}

#[test]
fn all_samples_of_identity_systems_map() {
    let Some(folder) = samples() else { return };
    // Whoever made the samples took these members out.
    let taken_out = [
        "line 1, field `uuid`: missing",
        "line 2, field `uuid`: missing",
        "line 21, field `published`: expected an RFC 3339 time such as 2026-11-20T10:00:00Z, found `redacted`",
        "line 22, field `published`: expected an RFC 3339 time such as 2026-11-20T10:00:00Z, found `redacted`",
        "line 26, field `published`: missing",
        "line 27, field `published`: missing",
        "line 31, field `uuid`: missing",
    ];
    assert_eq!(of_samples(&folder, Source::Okta), (26, 6, taken_out.map(str::to_owned).to_vec()));
    assert_eq!(of_samples(&folder, Source::Entra), (24, 12, Vec::new()));
    assert_eq!(of_samples(&folder, Source::Teleport), (13, 2, Vec::new()));
}
