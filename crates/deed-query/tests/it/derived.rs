//! Parquet is derived: it can be thrown away, and it cannot lie.

use std::{fs, path::Path, sync::Arc};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use deed_ledger::verify::{StoreReport, VerifyOptions, verify_store};
use deed_query::{Options, VerifyRows};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::support::{House, MANIFEST, files, put_parquet};

const PACK: u64 = 65_536;
const FOLDER: &str = "parquet/records";
const FILE: &str = "parquet/records/000000-000000.v2.parquet";

/// A pack in Parquet, and some leaves more.
fn one_pack() -> House {
    let house = House::new();
    house.fill(0, PACK + 10);
    house.wait_for_parquet(1);
    house
}

fn check(dir: &Path) -> StoreReport {
    verify_store(dir, &VerifyOptions { rows: Some(&VerifyRows), ..VerifyOptions::default() })
        .expect("there is a store")
}

/// Everything that is wrong, in one text.
fn problems(report: &StoreReport) -> String {
    report.problems.iter().map(|problem| format!("{}: {}\n", problem.place, problem.what)).collect()
}

#[test]
fn rows_are_held_against_the_leaves() {
    let dir = one_pack().close();
    let dir = dir.path();
    let report = check(dir);
    assert_eq!((problems(&report).as_str(), report.verified()), ("", Some(true)));
    assert_eq!(report.checked.rows, PACK);
    let uncovered = report.unchecked.iter().find(|file| file.place.starts_with("parquet"));
    assert!(uncovered.is_none(), "{uncovered:?}");

    // A flipped bit anywhere in the file.
    let good = fs::read(dir.join(FILE)).expect("read");
    for at in [4, 1000, good.len() / 2, good.len() - 100, good.len() - 6] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(dir.join(FILE), bad).expect("written");
        let report = check(dir);
        assert_eq!(report.verified(), Some(false), "byte {at}");
        assert!(problems(&report).contains(FILE), "byte {at}: {}", problems(&report));
    }

    // A row that says something else, and a manifest that agrees with it.
    for (row, operation) in [(777, Some("harmless")), (40_000, None)] {
        forge(dir, &good, row, operation);
        let report = check(dir);
        assert_eq!(report.verified(), Some(false));
        let said = problems(&report);
        let expected = format!("leaf {row}, column `operation`: is not what the sealed record says");
        assert!(said.contains(&expected), "{said}");
    }

    // Gone while it is listed.
    fs::remove_file(dir.join(FILE)).expect("removed");
    let report = check(dir);
    assert_eq!(report.verified(), None, "{}", problems(&report));
    assert!(problems(&report).contains("listed and missing"), "{}", problems(&report));
}

/// Writes the file anew with another `operation` in one row.
fn forge(dir: &Path, good: &[u8], forged_row: usize, operation: Option<&str>) {
    let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(good))
        .expect("opens")
        .with_batch_size(PACK as usize)
        .build()
        .expect("reads");
    let batches: Vec<RecordBatch> = read.map(|batch| batch.expect("a batch")).collect();
    let schema = batches[0].schema();
    let whole = arrow::compute::concat_batches(&schema, &batches).expect("joined");
    let at = schema.index_of("operation").expect("a column");
    let texts = arrow::compute::cast(whole.column(at), &arrow::datatypes::DataType::Utf8).expect("texts");
    let forged: StringArray = texts
        .as_string::<i32>()
        .iter()
        .enumerate()
        .map(|(row, value)| if row == forged_row { operation } else { value })
        .collect();
    let mut columns = whole.columns().to_vec();
    columns[at] = arrow::compute::cast(&forged, whole.column(at).data_type()).expect("as before");
    let whole = RecordBatch::try_new(schema.clone(), columns).expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).expect("a writer");
    writer.write(&whole).expect("written");
    let bytes = writer.into_inner().expect("finished");
    put_parquet(dir, FILE, &bytes);
}

#[test]
fn what_is_thrown_away_is_derived_again() {
    let house = one_pack();
    let count = |house: &House| house.number("SELECT count(*) FROM records WHERE operation = 'op-1'");
    let before = count(&house);
    let first = house.tables.rebuild().expect("rebuilt");
    assert!(first.same, "{first:?}");
    assert_eq!((first.packs, first.rows, count(&house)), (1, PACK, before));

    // What derives packs as they come woke in the middle of it, and had nothing to do afterwards.
    let dir = house.close();
    let manifest = fs::read_to_string(dir.path().join(MANIFEST)).expect("a manifest");
    assert!(manifest.contains("\"retired\": []"), "{manifest}");

    // Deleted behind its back.
    fs::remove_dir_all(dir.path().join("parquet")).expect("removed");
    let house = House::at(dir, Options::default());
    house.wait_for_parquet(1);
    assert_eq!(count(&house), before);
    assert_eq!(files(house.dir.path(), FOLDER), ["000000-000000.v2.parquet", "manifest.json"]);
    let again = house.tables.rebuild().expect("rebuilt");
    assert_eq!((again.same, &again.digest), (true, &first.digest));

    // Damaged: said in the health, answered from the leaves, mended by rebuilding.
    let dir = house.close();
    fs::write(dir.path().join(MANIFEST), "{\"schema\":1,").expect("written");
    let house = House::at(dir, Options::default());
    assert!(!house.tables.health().ok);
    assert_eq!(count(&house), before);
    let mended = house.tables.rebuild().expect("rebuilt");
    assert!(!mended.same && mended.problem.is_some(), "{mended:?}");
    assert!(house.tables.health().ok, "{}", house.tables.health().detail);
    let dir = house.close();
    assert_eq!(check(dir.path()).verified(), Some(true));
}
