//! A client, a server, and a relay between them.

use std::{sync::Arc, time::Duration};

use deed_gateway::{
    Caller, Conclusion, DecisionPoint, Door, InForce, Intent, Place, Recorder, Road, Who, relay::Relay,
};
use deed_ledger::{Ledger, Options};
use deed_policy::PolicySet;
use deed_record::{RecordId, SpanId, Status, TraceId};
use futures::FutureExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, duplex, split},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take in a test.
const LONG: Duration = Duration::from_secs(20);

/// One end of a stream of lines.
pub(crate) struct End {
    lines: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    out: tokio::io::WriteHalf<DuplexStream>,
}

impl End {
    fn new(stream: DuplexStream) -> Self {
        let (read, out) = split(stream);
        End { lines: BufReader::new(read).lines(), out }
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.out.write_all(format!("{line}\n").as_bytes()).await.expect("the stream is open");
    }

    /// Sends what is no whole line.
    pub(crate) async fn send_piece(&mut self, piece: &str) {
        self.out.write_all(piece.as_bytes()).await.expect("the stream is open");
    }

    /// The next line, as text.
    pub(crate) async fn text(&mut self) -> Option<String> {
        timeout(LONG, self.lines.next_line()).await.expect("a line in time").expect("a stream")
    }

    /// The next line, as JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = self.text().await.expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.lines.next_line()).await.is_err()
    }

    pub(crate) async fn close(mut self) {
        self.out.shutdown().await.expect("the stream is open");
    }
}

/// `TYPE:NAME`.
fn who(name: &str) -> Option<Who> {
    Some(name.parse().expect("TYPE:NAME"))
}

/// A relay, with a hand on each of its sides.
pub(crate) struct Between {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) ledger: Ledger,
    pub(crate) point: Arc<DecisionPoint>,
    running: JoinHandle<std::io::Result<()>>,
    stop: Arc<Notify>,
    who: Caller,
    patience: Duration,
    _folder: TempDir,
}

impl Between {
    /// With these policies in force, the starter set if none.
    pub(crate) fn with(policies: &str) -> Self {
        Between::over(policies, Caller::default(), LONG)
    }

    /// The same, for a client that waits for a human no longer than `patience`.
    pub(crate) fn with_patience(policies: &str, patience: Duration) -> Self {
        Between::over(policies, Caller::default(), patience)
    }

    /// The same, for `executor` acting for `initiator`.
    pub(crate) fn with_people(policies: &str, initiator: &str, executor: &str) -> Self {
        Between::over(
            policies,
            Caller { initiator: who(initiator), executor: who(executor), ..Caller::default() },
            LONG,
        )
    }

    fn over(policies: &str, who: Caller, patience: Duration) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(folder.path(), Options::default()).expect("a store");
        let policy = match policies {
            "" => PolicySet::starter(),
            text => {
                PolicySet::of_files([("a.cedar".to_owned(), text.to_owned())].into()).expect("good policies")
            }
        };
        let force = InForce::of(|| policy);
        let point = Arc::new(DecisionPoint::new(ledger.clone(), force, Duration::from_secs(2)));
        let stop = Arc::new(Notify::new());
        let here = Recorder::here(point.clone(), "default");
        let (client, server, running) = connect(here, &who, patience, stop.clone());
        Between { client, server, ledger, point, running, stop, who, patience, _folder: folder }
    }

    /// The same store and policies, with a new client and a new server.
    pub(crate) fn again(mut self) -> Self {
        let here = Recorder::here(self.point.clone(), "default");
        (self.client, self.server, self.running) = connect(here, &self.who, self.patience, self.stop.clone());
        self
    }

    /// The same store, with a new client and a new server, and the decision point at the end of `road`.
    pub(crate) fn at_the_end_of(mut self, road: impl Road) -> Self {
        let there = Recorder::there(road);
        (self.client, self.server, self.running) =
            connect(there, &self.who, self.patience, self.stop.clone());
        self
    }

    /// Begins `work` and leaves it with what it records on its way, and returns once that is there; false where it was faster.
    pub(crate) async fn begin_and_leave<T>(&self, work: impl Future<Output = T>) -> bool {
        let size = self.ledger.size();
        let is_left = work.now_or_never().is_none();
        while self.ledger.size() == size {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_left
    }

    /// The process ends at once, as far as this connection goes.
    pub(crate) async fn kill(&mut self) {
        self.running.abort();
        drop((&mut self.running).await);
    }

    /// The client leaves; what is in the log then, in order.
    pub(crate) async fn end(self) -> Vec<Value> {
        self.client.close().await;
        self.server.close().await;
        timeout(LONG, self.running).await.expect("an end in time").expect("no panic").expect("no error");
        records(&self.ledger)
    }

    /// It is asked to end at once, whatever is under way; what is in the log then.
    pub(crate) async fn stop(self) -> Vec<Value> {
        self.stop.notify_one();
        timeout(LONG, self.running).await.expect("an end in time").expect("no panic").expect("no error");
        records(&self.ledger)
    }

    /// The server ends by itself; what is in the log then.
    pub(crate) async fn server_ends(self) -> Vec<Value> {
        self.server.close().await;
        timeout(LONG, self.running).await.expect("an end in time").expect("no panic").expect("no error");
        records(&self.ledger)
    }
}

fn connect<R: Road>(
    recorder: Recorder<R>,
    people: &Caller,
    patience: Duration,
    stop: Arc<Notify>,
) -> (End, End, JoinHandle<std::io::Result<()>>) {
    let (client, client_side) = duplex(1 << 20);
    let (server, server_side) = duplex(1 << 20);
    let door = Door::new("files", people.clone()).expect("a door");
    let relay = Relay::new(door, recorder, patience);
    let ((client_in, client_out), (server_out, server_in)) = (split(client_side), split(server_side));
    let (client_in, server_out) = (BufReader::new(client_in), BufReader::new(server_out));
    let stopped = async move { stop.notified().await };
    let running = tokio::spawn(relay.run(client_in, client_out, server_out, server_in, stopped));
    (End::new(client), End::new(server), running)
}

/// A call as a door asks about it.
pub(crate) fn intent(n: u8) -> Intent {
    let place = Place::of_nobody(TraceId([7; 16]), SpanId([n; 8]));
    Intent { name: Some("read".into()), ..Intent::bare(RecordId([n; 16]), "files", "tools/call", place) }
}

/// How that call ended.
pub(crate) fn ended(n: u8, status: Status) -> Conclusion {
    let asked = intent(n);
    Conclusion {
        id: None,
        action: asked.id,
        tenant: None,
        server: "files".into(),
        method: "tools/call".into(),
        name: None,
        uri: None,
        place: asked.place,
        time: deed_ledger::now(),
        status,
        code: None,
        duration_ms: Some(1),
        result: None,
        compensates: None,
        fields: Vec::new(),
        task: None,
    }
}

/// Every record of a log, as sealed.
pub(crate) fn records(ledger: &Ledger) -> Vec<Value> {
    let size = ledger.snapshot().size();
    (0..size)
        .map(|index| serde_json::from_slice(&ledger.leaf(index).expect("a leaf").leaf).expect("JSON"))
        .collect()
}

/// The records of that kind.
pub(crate) fn of_kind<'r>(records: &'r [Value], kind: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

/// A call of a tool.
pub(crate) fn call(id: u64, name: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
    )
}

/// The answer to a call.
pub(crate) fn answer(id: u64, text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#)
}
