//! A ledger to ask.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    util::display::{ArrayFormatter, FormatOptions},
};
use deed_ledger::{Ledger, Receipt, Sender};
use deed_query::{Options, QueryError, SqlOptions, Tables};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// A ledger and its tables, in a folder that goes when this does.
pub(crate) struct House {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) runtime: Runtime,
    pub(crate) dir: tempfile::TempDir,
}

impl House {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    /// A new one whose tables are run with `options`.
    pub(crate) fn with(options: Options) -> Self {
        Self::at(tempfile::tempdir().expect("a folder"), options)
    }

    /// One over what is in `dir`.
    pub(crate) fn at(dir: tempfile::TempDir, options: Options) -> Self {
        let ledger = Ledger::open(dir.path(), deed_ledger::Options::default()).expect("opens");
        let tables = Tables::open(ledger.clone(), options).expect("opens");
        House { ledger, tables, runtime: Runtime::new().expect("a runtime"), dir }
    }

    /// Closes it and opens it again.
    pub(crate) fn again(self, options: Options) -> Self {
        let House { ledger, tables, runtime, dir } = self;
        tables.close();
        ledger.close().expect("closes");
        drop(runtime);
        Self::at(dir, options)
    }

    /// Closes it; what is in its folder stays as long as that is kept.
    pub(crate) fn close(self) -> tempfile::TempDir {
        self.tables.close();
        self.ledger.close().expect("closes");
        self.dir
    }

    /// Appends records.
    pub(crate) fn append(&self, records: &str) -> Vec<Receipt> {
        self.ledger.append(records.as_bytes(), &sender()).expect("appended")
    }

    /// Appends `count` small records, the first numbered `from`.
    pub(crate) fn fill(&self, from: u64, count: u64) {
        const BATCH: u64 = 2048;
        let batches: Vec<_> = (from..from + count)
            .step_by(BATCH as usize)
            .map(|first| (first, (first + BATCH).min(from + count)))
            .collect();
        std::thread::scope(|scope| {
            let (ledger, batches) = (&self.ledger, &batches);
            for worker in 0..2 {
                scope.spawn(move || {
                    for (first, end) in batches.iter().skip(worker).step_by(2) {
                        let body: String = (*first..*end).map(|number| small(number) + "\n").collect();
                        ledger.append(body.as_bytes(), &sender()).expect("appended");
                    }
                });
            }
        });
    }

    /// Answers a query as rows of text.
    pub(crate) fn ask(&self, query: &str) -> Vec<Vec<String>> {
        self.ask_as(query, &SqlOptions::default()).unwrap_or_else(|error| panic!("{query}\n{error}"))
    }

    /// Answers a query with options.
    pub(crate) fn ask_as(&self, query: &str, options: &SqlOptions) -> Result<Vec<Vec<String>>, QueryError> {
        Ok(texts(&self.batches(query, options)?))
    }

    /// Answers a query.
    pub(crate) fn batches(&self, query: &str, options: &SqlOptions) -> Result<Vec<RecordBatch>, QueryError> {
        self.runtime.block_on(async { self.tables.sql(query, options).await?.collect().await })
    }

    /// Answers a query that gives one number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        let batches =
            self.batches(query, &SqlOptions::default()).unwrap_or_else(|error| panic!("{query}\n{error}"));
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    /// Waits until Parquet holds every finished pack of `packs`.
    pub(crate) fn wait_for_parquet(&self, packs: u64) {
        let patience = Instant::now() + Duration::from_secs(300);
        while self.tables.lag().packs < packs || self.tables.lag().behind > 0 {
            assert!(Instant::now() < patience, "{:?} {}", self.tables.lag(), self.tables.health().detail);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Deed itself.
pub(crate) fn sender() -> Sender {
    Sender { tenant: None, name: "test".into(), ours: true }
}

/// A small observation.
pub(crate) fn small(number: u64) -> String {
    format!(
        r#"{{"kind":"observation","time":"2026-11-20T10:00:00.{:06}Z","executor":{{"type":"agent","key":"agent-{}"}},"operation":"op-{}","outcome":{{"status":"success","duration_ms":{number}}}}}"#,
        number % 1_000_000,
        number % 10,
        number % 3,
    )
}

/// Rows of text; nulls are empty.
pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("shown"))
            .collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>()),
        );
    }
    rows
}

/// The list of Parquet files.
pub(crate) const MANIFEST: &str = "parquet/records/manifest.json";

/// Puts `bytes` in place of the only Parquet file, and has the manifest agree with it.
pub(crate) fn put_parquet(dir: &Path, file: &str, bytes: &[u8]) {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(dir.join(file), bytes).expect("written");
    let text = fs::read_to_string(dir.join(MANIFEST)).expect("read");
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    manifest["files"][0]["sha256"] = digest.into();
    manifest["files"][0]["bytes"] = bytes.len().into();
    fs::write(dir.join(MANIFEST), manifest.to_string()).expect("written");
}

/// Files in a folder below `dir`.
pub(crate) fn files(dir: &Path, folder: &str) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(dir.join(folder))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("listed").file_name().into_string().expect("text"))
        .collect();
    files.sort();
    files
}
