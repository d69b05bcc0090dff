//! Servers that speak over standard input and output, behind an endpoint that speaks Streamable HTTP.
//!
//! To the endpoint a [`Program`] is a server like one behind a URL: `bridge` answers each of its requests as such a server
//! would. A session (2025-11-25) has a process of its own, which `initialize` begins; requests of 2026-07-28 share one. Each
//! `process` is started when somebody asks for it, and what it writes goes to those whom it concerns: `wire` has ids and
//! tokens that are no two clients' on a channel that they share.

mod bridge;
mod command;
mod process;
mod stderr;
mod wire;

use std::{
    collections::HashMap,
    io,
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::BufReader,
    process::Child,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    door::random,
    relay::{Forward, write_all},
    secrets::Secrets,
};
pub use command::Command;
use process::{Process, Sort};

/// How long a server may take to end once nobody speaks to it, and once more after it was asked to.
const ENDING: Duration = Duration::from_millis(800);
/// How long whoever needs a process waits for another to make room.
const MAKING_ROOM: Duration = Duration::from_secs(3);
/// The longest pause before a server that does not work is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A server that is started when it is needed.
#[derive(Debug)]
pub struct Program {
    server: Arc<str>,
    command: Command,
    /// Processes at a time.
    most: u32,
    room: Arc<Semaphore>,
    /// How long a process is kept that nobody uses.
    idle: Duration,
    sessions: Mutex<HashMap<String, Arc<Process>>>,
    shared: tokio::sync::Mutex<Option<Arc<Process>>>,
    trouble: Mutex<Option<Trouble>>,
    secrets: Arc<Secrets>,
}

/// What kept it from working when it was started last.
#[derive(Debug)]
struct Trouble {
    why: String,
    times: u32,
    /// Until when it is not tried again.
    until: Instant,
}

impl Program {
    /// `server` is what `command` starts: no more than `most` processes of it at a time, and none that was not used for
    /// `idle`.
    pub fn new(server: &str, command: Command, most: u32, idle: Duration) -> Arc<Self> {
        Arc::new(Program {
            server: server.into(),
            command,
            most,
            room: Arc::new(Semaphore::new(most as usize)),
            idle,
            sessions: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
            secrets: Arc::default(),
        })
    }

    /// Why it cannot be started, or did not work when it was started last; `None` where nothing is known to be wrong.
    pub fn trouble(&self) -> Option<String> {
        let last = self.last_trouble().as_ref().map(|trouble| trouble.why.clone());
        self.command.trouble().or(last)
    }

    /// What no record may hold of what it says.
    pub(crate) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Whether the process of session `id` has ended.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        self.sessions().get(id).is_none_or(|process| process.is_over())
    }

    /// Ends every process, and waits until they have ended, but no longer than `patience`.
    pub(crate) async fn finish(&self, patience: Duration) {
        for process in self.sessions().values() {
            process.end();
        }
        if let Some(shared) = &*self.shared.lock().await {
            shared.end();
        }
        if timeout(patience, self.room.acquire_many(self.most)).await.is_err() {
            tracing::warn!(server = &*self.server, "processes of a server did not end in time");
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Process>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that requests of 2026-07-28 share.
    async fn shared(self: &Arc<Self>) -> Result<Arc<Process>, String> {
        let mut shared = self.shared.lock().await;
        if let Some(process) = shared.as_ref().filter(|process| !process.is_over()) {
            return Ok(process.clone());
        }
        let process = self.start(Sort::Shared, None).await?;
        *shared = Some(process.clone());
        Ok(process)
    }

    /// A process for a session that begins, and what the session is called.
    async fn session(self: &Arc<Self>) -> Result<(String, Arc<Process>), String> {
        let id = random::<16>().map_err(|error| error.to_string())?;
        let id = format!("{:032x}", u128::from_be_bytes(id));
        let process = self.start(Sort::Session, Some(id.clone())).await?;
        Ok((id, process))
    }

    async fn start(self: &Arc<Self>, sort: Sort, session: Option<String>) -> Result<Arc<Process>, String> {
        if let Some(Trouble { why, until, .. }) = &*self.last_trouble()
            && let Some(pause) = until.checked_duration_since(Instant::now())
        {
            return Err(format!("{why}; it is tried again in {} s", pause.as_secs() + 1));
        }
        let room = self.make_room().await?;
        let child = self.command.start(&self.secrets).inspect_err(|why| self.failed(why.clone()))?;
        let (process, forwards) = Process::new(sort);
        tracing::info!(server = &*self.server, pid = child.id(), "a process of a server was started");
        if let Some(id) = &session {
            self.sessions().insert(id.clone(), process.clone());
        }
        tokio::spawn(self.clone().supervise(process.clone(), child, forwards, session, room));
        Ok(process)
    }

    /// Room for another process; where there is none, the session nobody listens to any more has to go that was not
    /// used for longest.
    async fn make_room(&self) -> Result<OwnedSemaphorePermit, String> {
        if let Ok(room) = self.room.clone().try_acquire_owned() {
            return Ok(room);
        }
        let full = || {
            format!("{} processes of it run already; `processes` of its settings allows no more", self.most)
        };
        let longest = {
            let sessions = self.sessions();
            let unused = sessions.values().filter_map(|process| Some((process.unused()?, process.clone())));
            unused.min_by_key(|(since, _)| *since).map(|(_, process)| process)
        };
        longest.ok_or_else(full)?.end();
        match timeout(MAKING_ROOM, self.room.clone().acquire_owned()).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }

    /// A process, from its start to its end.
    async fn supervise(
        self: Arc<Self>,
        process: Arc<Process>,
        mut child: Child,
        forwards: tokio::sync::mpsc::Receiver<Forward>,
        session: Option<String>,
        room: OwnedSemaphorePermit,
    ) {
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return self.failed("it has no standard input and output".into());
        };
        let writing = tokio::spawn(write_all(forwards, stdin, Forward::let_go));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(stderr::forward(self.server.clone(), self.secrets.clone(), BufReader::new(stderr)));
        }
        let is_its_own_end = tokio::select! {
            () = process.read(BufReader::new(stdout)) => true,
            () = process.is_asked_to_end() => false,
            () = process.is_idle(self.idle) => false,
        };
        process.is_ended();
        // It closes the server's standard input.
        writing.abort();
        let ended = end(&mut child, ENDING).await;
        if let Some(id) = session {
            self.sessions().remove(&id);
        }
        let how = match ended {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "killed".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::info!(server = &*self.server, how, "a process of a server has ended");
        match (is_its_own_end, process.has_answered()) {
            (true, false) => {
                self.failed(format!("`{}` ended before it answered: {how}", self.command.program))
            }
            (_, true) => drop(self.last_trouble().take()),
            (false, false) => {}
        }
        drop(room);
    }

    /// It did not work: the next try waits a little longer each time, but for the first.
    fn failed(&self, why: String) {
        tracing::warn!(server = &*self.server, why, "a server cannot be started");
        let mut trouble = self.last_trouble();
        let times = trouble.as_ref().map_or(0, |trouble| trouble.times) + 1;
        let pause = Duration::from_secs(1 << (times - 1).min(6)).min(LONGEST_PAUSE);
        let until = Instant::now() + if times == 1 { Duration::ZERO } else { pause };
        *trouble = Some(Trouble { why, times, until });
    }
}

/// Ends `child`, to whom nobody speaks any more: its standard input is closed, which asks it to end (MCP, stdio,
/// shutdown); after `patience` it is asked by a signal, and after `patience` once more it is killed, with all that it
/// started. `None` where it had to be killed.
async fn end(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    if let Ok(status) = timeout(patience, child.wait()).await {
        return status.map(Some);
    }
    // There are servers that do not end by themselves, and starters whose children are the server.
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    signal(group, Signal::TERM);
    if let Ok(status) = timeout(patience, child.wait()).await {
        return status.map(Some);
    }
    signal(group, Signal::KILL);
    child.kill().await.map(|()| None)
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, signal)
    {
        tracing::debug!(%error, "a server cannot be asked to end");
    }
}
