//! The same records in hash chains in PostgreSQL and SQLite: same batches, same look-ups indexed.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Outcome, figure, grouped, heading, ingest::BATCH, records};

type Failure = Box<dyn Error + Send + Sync>;

/// Runs both on `count` records; `deed` is what Deed took in, in records a second.
pub(crate) fn run(dir: &Path, count: u64, deed: Option<f64>) -> Outcome {
    heading(&format!(
        "Hash chains over the same {} records, same batches, same six look-ups indexed",
        grouped(count as f64)
    ));
    let held =
        |rate: f64| deed.map_or(String::new(), |deed| format!("Deed is {:.1} times as fast", deed / rate));
    let rate = sqlite(&dir.join("chain.sqlite"), count)?;
    figure("SQLite, WAL, synchronous=FULL", format!("{}/s", grouped(rate)), held(rate));
    for (insert, how) in [(Insert::Rows, "a row a statement"), (Insert::Batch, "a batch a statement")] {
        let what = format!("PostgreSQL, synchronous_commit=on, {how}");
        match postgres(&dir.join(format!("postgres-{insert:?}")), count, insert) {
            Ok(rate) => figure(&what, format!("{}/s", grouped(rate)), held(rate)),
            Err(error) => figure(&what, "not run", error),
        }
    }
    Ok(())
}

/// How a batch gets into a table, in one transaction either way.
#[derive(Clone, Copy, Debug)]
enum Insert {
    /// A prepared statement a row, as in SQLite.
    Rows,
    /// One statement over arrays.
    Batch,
}

/// The members that are indexed, taken from the record as text.
struct Row {
    id: String,
    fields: [String; 5],
    body: String,
    hash: Vec<u8>,
}

/// One batch as rows, each hash over the one before it.
fn rows(from: u64, last: &mut Vec<u8>) -> Result<Vec<Row>, Failure> {
    let body = records::body(from, BATCH);
    body.lines()
        .zip(from..)
        .map(|(line, n)| {
            let record: Value = serde_json::from_str(line)?;
            let text = |pointer: &str| {
                record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let mut hasher = Sha256::new();
            hasher.update(&*last);
            hasher.update(line);
            *last = hasher.finalize().to_vec();
            Ok(Row {
                id: format!("{:016x}{:016x}", records::mixed(n), records::mixed(!n)),
                fields: [
                    text("/trace_id"),
                    text("/initiator/key"),
                    text("/executor/key"),
                    text("/credential/fingerprint"),
                    text("/resource/uri"),
                ],
                body: line.to_owned(),
                hash: last.clone(),
            })
        })
        .collect()
}

const COLUMNS: [&str; 5] = ["trace", "initiator", "executor", "credential", "resource"];

fn sqlite(path: &Path, count: u64) -> Result<f64, Failure> {
    let mut database = rusqlite::Connection::open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE records (leaf INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, trace TEXT, initiator TEXT, executor TEXT,
         credential TEXT, resource TEXT, body TEXT NOT NULL, hash BLOB NOT NULL)",
    )?;
    for column in COLUMNS {
        database.execute_batch(&format!("CREATE INDEX by_{column} ON records ({column})"))?;
    }
    let started = Instant::now();
    let mut last = Vec::new();
    for from in (0..count).step_by(BATCH as usize) {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction
                .prepare("INSERT INTO records (id, trace, initiator, executor, credential, resource, body, hash) VALUES (?,?,?,?,?,?,?,?)")?;
            for row in rows(from, &mut last)? {
                let [trace, initiator, executor, credential, resource] = &row.fields;
                insert.execute(rusqlite::params![
                    row.id, trace, initiator, executor, credential, resource, row.body, row.hash
                ])?;
            }
        }
        transaction.commit()?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

fn postgres(dir: &Path, count: u64, insert: Insert) -> Result<f64, Failure> {
    let server = Postgres::start(dir)?;
    let mut client = server.connect()?;
    client.batch_execute(
        "CREATE TABLE records (leaf BIGSERIAL PRIMARY KEY, id TEXT NOT NULL UNIQUE, trace TEXT, initiator TEXT, executor TEXT,
         credential TEXT, resource TEXT, body TEXT NOT NULL, hash BYTEA NOT NULL)",
    )?;
    for column in COLUMNS {
        client.batch_execute(&format!("CREATE INDEX by_{column} ON records ({column})"))?;
    }
    let started = Instant::now();
    let mut last = Vec::new();
    // A hash chain has one writer at a time: more connections would only wait for each other.
    let values = match insert {
        Insert::Rows => "VALUES ($1,$2,$3,$4,$5,$6,$7,$8)",
        Insert::Batch => {
            "SELECT * FROM unnest($1::text[],$2::text[],$3::text[],$4::text[],$5::text[],$6::text[],$7::text[],$8::bytea[])"
        }
    };
    let statement = client.prepare(&format!(
        "INSERT INTO records (id, trace, initiator, executor, credential, resource, body, hash) {values}"
    ))?;
    for from in (0..count).step_by(BATCH as usize) {
        let rows = rows(from, &mut last)?;
        let mut transaction = client.transaction()?;
        match insert {
            Insert::Rows => {
                for Row { id, fields: [trace, initiator, executor, credential, resource], body, hash } in
                    &rows
                {
                    transaction.execute(
                        &statement,
                        &[id, trace, initiator, executor, credential, resource, body, hash],
                    )?;
                }
            }
            Insert::Batch => {
                let column = |at: usize| rows.iter().map(|row| row.fields[at].as_str()).collect::<Vec<_>>();
                let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
                let bodies: Vec<&str> = rows.iter().map(|row| row.body.as_str()).collect();
                let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.as_slice()).collect();
                transaction.execute(
                    &statement,
                    &[&ids, &column(0), &column(1), &column(2), &column(3), &column(4), &bodies, &hashes],
                )?;
            }
        }
        transaction.commit()?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// A server of our own, stopped when dropped.
struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    /// PostgreSQL does not run as root.
    as_user: bool,
}

impl Postgres {
    fn start(dir: &Path) -> Result<Self, Failure> {
        let bin = std::fs::read_dir("/usr/lib/postgresql")
            .ok()
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists())
            .max()
            .ok_or("install Debian's package `postgresql` to compare with it")?;
        std::fs::create_dir_all(dir)?;
        let dir = std::fs::canonicalize(dir)?;
        let as_user = Command::new("id").arg("-u").output()?.stdout == b"0\n";
        let server = Postgres { dir, bin, as_user };
        if as_user {
            succeed(Command::new("chown").arg("postgres").arg(&server.dir))?;
        }
        let data = server.dir.join("data");
        succeed(server.command("initdb").arg("-D").arg(&data).args(["-A", "trust", "-U", "bench"]))?;
        let socket = format!(
            "-k {} -c listen_addresses='' -c synchronous_commit=on -c shared_buffers=512MB -c max_wal_size=4GB",
            server.dir.display()
        );
        succeed(
            server
                .command("pg_ctl")
                .arg("-D")
                .arg(&data)
                .arg("-w")
                .arg("-l")
                .arg(server.dir.join("log"))
                .arg("-o")
                .arg(socket)
                .arg("start"),
        )?;
        Ok(server)
    }

    fn command(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        if self.as_user {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        }
    }

    fn connect(&self) -> Result<postgres::Client, Failure> {
        Ok(postgres::Config::new()
            .host_path(&self.dir)
            .user("bench")
            .dbname("postgres")
            .connect(postgres::NoTls)?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = succeed(self.command("pg_ctl").arg("-D").arg(self.dir.join("data")).args([
            "-m",
            "immediate",
            "stop",
        ])) {
            figure("PostgreSQL", "still running", error);
        }
    }
}

fn succeed(command: &mut Command) -> Outcome {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
