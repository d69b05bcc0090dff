//! What a Parquet file says of its rows (statistics, page index, filters) is held against them: queries
//! pass rows over because of it.

use std::{fs, path::Path};

use bytes::Bytes;
use deed_ledger::verify::{StoreReport, VerifyOptions, verify_store};
use deed_query::VerifyRows;
use parquet::{
    basic::{BoundaryOrder, Type},
    bloom_filter::Sbbf,
    column::writer::ColumnCloseResult,
    file::{
        metadata::{ColumnIndexBuilder, PageIndexPolicy, ParquetMetaDataReader},
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
        writer::SerializedFileWriter,
    },
};

use crate::support::{House, put_parquet, sender, small};

const PACK: u64 = 65_536;
const FILE: &str = "parquet/records/000000-000000.v2.parquet";
const FALSE: &str = "its statistics or filters are not those of its rows";

fn check(dir: &Path) -> StoreReport {
    verify_store(dir, &VerifyOptions { rows: Some(&VerifyRows), ..VerifyOptions::default() })
        .expect("there is a store")
}

fn problems(report: &StoreReport) -> Vec<String> {
    report.problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
}

/// A record with everything that is a list, and a text that is too long for statistics.
fn nested(number: u64) -> String {
    let hops = (0..number % 4).map(|hop| {
        let scope = ["\"read\"", "\"read\",\"write\"", ""][(hop % 3) as usize];
        format!(r#"{{"principal":{{"type":"agent","key":"hop-{hop}"}},"scope":[{scope}]}}"#)
    });
    let effects = (0..number % 3).map(|effect| {
        let scopes = ["\"s-1\",\"s-2\"", "", "\"ä\""][(effect % 3) as usize];
        format!(
            r#"{{"kind":"grant","terms":{{"change":"issued","role":"role-{effect}","scopes":[{scopes}]}}}}"#
        )
    });
    format!(
        r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{{"type":"agent","key":"agent"}},"chain":[{}],"effects":[{}],"operation":"{}-{}"}}"#,
        hops.collect::<Vec<_>>().join(","),
        effects.collect::<Vec<_>>().join(","),
        ["operation-", "öperation", "オペレーション"][(number % 3) as usize].repeat(8),
        number % 100,
    )
}

#[test]
fn nested_rows_and_long_texts_verify() {
    let house = House::new();
    for from in (0..PACK).step_by(2048) {
        // Pages with few lists, with many, and with none.
        let record =
            |number| if from % 8192 < 4096 && number % 7 < 5 { nested(number) } else { small(number) };
        let body: String = (from..from + 2048).map(|number| record(number) + "\n").collect();
        house.ledger.append(body.as_bytes(), &sender()).expect("appended");
    }
    house.wait_for_parquet(1);
    let dir = house.close();
    let report = check(dir.path());
    assert_eq!((problems(&report), report.verified()), (Vec::new(), Some(true)));
    assert_eq!(report.checked.rows, PACK);
}

#[test]
fn a_file_that_describes_its_rows_falsely_is_found() {
    let house = House::new();
    house.fill(0, PACK);
    house.wait_for_parquet(1);
    let dir = house.close();
    let dir = dir.path();
    let good = Bytes::from(fs::read(dir.join(FILE)).expect("read"));
    let with = |column: &str, change: &dyn Fn(&mut ColumnCloseResult)| {
        put_parquet(dir, FILE, &described(&good, column, change));
        problems(&check(dir))
    };
    // Written anew it is as good.
    assert_eq!(with("operation", &|_| {}), Vec::<String>::new());

    let statistics = |column: &str, said: Statistics| {
        with(column, &|closed| {
            let chunk = closed.metadata.clone().into_builder().set_statistics(said.clone());
            closed.metadata = chunk.build().expect("described");
        })
    };
    let number =
        |least, greatest, nulls| Statistics::int64(Some(least), Some(greatest), None, Some(nulls), false);
    let text = |least: &str, greatest: &str| {
        Statistics::byte_array(Some(least.into()), Some(greatest.into()), None, Some(0), false)
    };
    let cases = [
        ("duration_ms", "greatest", statistics("duration_ms", number(0, 1000, 0))),
        ("duration_ms", "least", statistics("duration_ms", number(1, PACK as i64 - 1, 0))),
        ("duration_ms", "nulls", statistics("duration_ms", number(0, PACK as i64 - 1, 1))),
        ("operation", "text", statistics("operation", text("op-0", "op-1"))),
        ("operation", "short text", statistics("operation", text("op", "op-2"))),
        (
            "session",
            "values where there are none",
            statistics(
                "session",
                Statistics::byte_array(Some("a".into()), Some("z".into()), None, Some(1), false),
            ),
        ),
        (
            "operation",
            "filter",
            with("operation", &|closed| {
                closed.bloom_filter =
                    closed.bloom_filter.take().map(|filter| Sbbf::new(&vec![0; 32 * filter.num_blocks()]));
            }),
        ),
        (
            "operation",
            "full filter",
            with("operation", &|closed| {
                closed.bloom_filter =
                    closed.bloom_filter.take().map(|filter| Sbbf::new(&vec![255; 32 * filter.num_blocks()]));
            }),
        ),
        ("operation", "no filter", with("operation", &|closed| closed.bloom_filter = None)),
        (
            "duration_ms",
            "page's greatest",
            with("duration_ms", &|closed| index(closed, 0, 7, BoundaryOrder::ASCENDING)),
        ),
        (
            "duration_ms",
            "order",
            with("duration_ms", &|closed| index(closed, 0, 4095, BoundaryOrder::DESCENDING)),
        ),
    ];
    for (column, what, found) in cases {
        assert_eq!(found, [format!("{FILE}: leaves 0 to 65535, column `{column}`: {FALSE}")], "{what}");
    }

    // Pages that begin elsewhere than they say.
    let moved = with("duration_ms", &|closed| {
        let pages = closed.offset_index.as_mut().expect("pages");
        pages.page_locations[3].first_row_index -= 100;
    });
    assert!(matches!(&moved[..], [one] if one.contains("column `duration_ms`")), "{moved:?}");
    let overlapping = with("duration_ms", &|closed| {
        let pages = closed.offset_index.as_mut().expect("pages");
        pages.page_locations[3].first_row_index = 0;
    });
    assert!(
        matches!(&overlapping[..], [one] if one.contains("column `duration_ms`: cannot be compared")),
        "{overlapping:?}"
    );
}

/// Says of page `page` that `greatest` is its greatest value, and of all pages that they are in `order`.
fn index(closed: &mut ColumnCloseResult, page: usize, greatest: i64, order: BoundaryOrder) {
    let Some(ColumnIndexMetaData::INT64(index)) = &closed.column_index else { panic!("no numbers") };
    let mut builder = ColumnIndexBuilder::new(Type::INT64);
    for at in 0..index.num_pages() as usize {
        let (least, most) = (index.min_value(at).expect("a least"), index.max_value(at).expect("a greatest"));
        let most = if at == page { &greatest } else { most };
        builder.append(false, least.to_le_bytes().to_vec(), most.to_le_bytes().to_vec(), 0);
    }
    builder.set_boundary_order(order);
    closed.column_index = Some(builder.build().expect("an index"));
}

/// The file `good` with the same pages, one column described as `change` has it.
fn described(good: &Bytes, column: &str, change: &dyn Fn(&mut ColumnCloseResult)) -> Vec<u8> {
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(good)
        .expect("a footer");
    let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Default::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let row_group = metadata.row_group(0);
    for (at, chunk) in row_group.columns().iter().enumerate() {
        let mut closed = ColumnCloseResult {
            bytes_written: chunk.compressed_size() as u64,
            rows_written: PACK,
            metadata: chunk.clone(),
            bloom_filter: Sbbf::read_from_column_chunk(chunk, good).expect("a filter"),
            column_index: metadata.column_index().map(|index| index[0][at].clone()),
            offset_index: metadata.offset_index().map(|index| index[0][at].clone()),
        };
        if chunk.column_path().string() == column {
            change(&mut closed);
        }
        group.append_column(good, closed).expect("a column");
    }
    group.close().expect("closed");
    writer.into_inner().expect("finished")
}

#[test]
fn what_the_manifest_says_of_rows_is_held_against_them() {
    const MANIFEST: &str = "parquet/records/manifest.json";
    let house = House::new();
    for from in (0..PACK).step_by(2048) {
        let body: String = (from..from + 2048).map(|number| small(number) + "\n").collect();
        house.ledger.append(body.as_bytes(), &sender()).expect("appended");
    }
    house.wait_for_parquet(1);
    let dir = house.close();
    let path = dir.path().join(MANIFEST);
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    let times = serde_json::json!(["2031-01-01T00:00:00.000000Z", "2031-01-02T00:00:00.000000Z"]);
    for (member, value) in [
        ("time", times.clone()),
        ("recorded", times),
        ("outcomes", serde_json::json!(7)),
        ("corrections", serde_json::json!(7)),
    ] {
        let mut bad = good.clone();
        bad["files"][0][member] = value;
        fs::write(&path, bad.to_string()).expect("written");
        let report = check(dir.path());
        assert_eq!(report.verified(), Some(false), "{member}");
        assert!(problems(&report).iter().any(|problem| problem.starts_with(MANIFEST)), "{member}");
    }
    fs::write(&path, good.to_string()).expect("written");
    assert_eq!(check(dir.path()).verified(), Some(true));
}
