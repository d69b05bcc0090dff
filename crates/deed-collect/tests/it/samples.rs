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
