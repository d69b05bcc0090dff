//! The command: started only with a recorded intent, given the signals, waited for.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use deed_gateway::RecordedIntent;
use deed_ledger::now;
use deed_record::{SpanId, Status, Timestamp, TraceId};
use futures::future::select_all;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::exit::Failure;

/// Signals that are passed on; whether a terminal sends it to everybody in its foreground by itself, and
/// whether it asks to end.
const PASSED_ON: [(&str, Signal, bool, bool); 6] = [
    ("SIGINT", Signal::INT, true, true),
    ("SIGTERM", Signal::TERM, false, true),
    ("SIGHUP", Signal::HUP, true, true),
    ("SIGQUIT", Signal::QUIT, true, true),
    ("SIGUSR1", Signal::USR1, false, false),
    ("SIGUSR2", Signal::USR2, false, false),
];

/// The signals that this process gets, from now on.
pub(super) struct Signals(Vec<tokio::signal::unix::Signal>);

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Got {
    name: &'static str,
    signal: Signal,
    by_terminal: bool,
    pub(super) ends: bool,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// The system does not let it listen.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen =
            |(_, known, ..): &(&str, Signal, bool, bool)| signal(SignalKind::from_raw(known.as_raw()));
        let all: Result<Vec<_>, _> = PASSED_ON.iter().map(listen).collect();
        let failed =
            |error: std::io::Error| Failure::new("failed to listen for signals").detail(error.to_string());
        all.map(Signals).map_err(failed)
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Got {
        let (_, at, _) = select_all(self.0.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
        let (name, signal, by_terminal, ends) = PASSED_ON[at];
        Got { name, signal, by_terminal, ends }
    }

    /// Waits for one that asks to end.
    pub(super) async fn end(&mut self) -> Got {
        loop {
            let got = self.next().await;
            if got.ends {
                return got;
            }
        }
    }

    /// One that asks to end and came already.
    pub(super) async fn came(&mut self) -> Option<Got> {
        tokio::select! {
            biased;
            got = self.end() => Some(got),
            () = std::future::ready(()) => None,
        }
    }
}

impl Got {
    /// The exit code of whoever it ends, as shells have it.
    pub(super) fn exit_code(self) -> u8 {
        of_signal(self.signal.as_raw())
    }

    pub(super) fn name(self) -> &'static str {
        self.name
    }
}

/// How it ended.
pub(super) struct Ended {
    pub(super) status: Status,
    /// The exit code, the signal's name, or in a word why it was not started.
    pub(super) code: String,
    pub(super) took: Option<Duration>,
    /// When.
    pub(super) time: Timestamp,
    /// What this process ends with, or why it failed.
    pub(super) exit: Result<u8, Failure>,
}

impl Ended {
    /// How long it took, in milliseconds; `None` where it was not started.
    pub(super) fn milliseconds(&self) -> Option<i64> {
        self.took.and_then(|took| i64::try_from(took.as_millis()).ok())
    }
}

/// Runs `command`, which `recorded` lets through as that span of a trace, to its end.
///
/// INVARIANT D1: nothing is started without a [`RecordedIntent`].
pub(super) async fn run(
    recorded: &RecordedIntent,
    (trace, span): (TraceId, SpanId),
    command: &[String],
    signals: &mut Signals,
) -> Ended {
    let not_started = |code: &str, failure: Failure| Ended {
        status: Status::Failure,
        code: code.to_owned(),
        took: None,
        time: now(),
        exit: Err(failure),
    };
    let Some((program, arguments)) = command.split_first() else {
        return not_started("not_started", Failure::usage("which command? deed run … -- COMMAND"));
    };
    let began = Instant::now();
    let started = Command::new(program)
        .args(arguments)
        .env("DEED_ACTION_ID", recorded.id().to_string())
        // OpenTelemetry, environment variables as context carriers.
        .env("TRACEPARENT", format!("00-{trace}-{span}-01"))
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let failure = Failure::new(format!("failed to start `{program}`")).detail(error.to_string());
            return not_started("not_started", failure);
        }
    };
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut asked_to_end = false;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            got = signals.next() => {
                asked_to_end |= got.ends;
                // It has got it already: a second one may mean something else.
                let has_it = got.by_terminal && is_in_foreground();
                if let Some(pid) = pid.filter(|_| !has_it) {
                    // That it has just ended is what the wait says.
                    kill_process(pid, got.signal).unwrap_or_default();
                }
            }
        }
    };
    let took = Some(began.elapsed());
    match ended {
        Ok(status) => Ended { took, ..of_status(status, asked_to_end) },
        Err(error) => Ended {
            status: Status::Unknown,
            code: "not_waited_for".to_owned(),
            took,
            time: now(),
            exit: Err(Failure::new("failed to wait for the command").detail(error.to_string())),
        },
    }
}

fn of_status(ended: ExitStatus, asked_to_end: bool) -> Ended {
    let failed = if asked_to_end { Status::Cancelled } else { Status::Failure };
    let (status, code, exit) = match (ended.code(), ended.signal()) {
        (Some(0), _) => (Status::Success, "0".to_owned(), 0),
        (Some(code), _) => (failed, code.to_string(), u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            (failed, name_of(signal), of_signal(signal))
        }
    };
    Ended { status, code, took: None, time: now(), exit: Ok(exit) }
}

fn of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

fn name_of(signal: i32) -> String {
    const OTHERS: [(&str, Signal); 8] = [
        ("SIGKILL", Signal::KILL),
        ("SIGABRT", Signal::ABORT),
        ("SIGSEGV", Signal::SEGV),
        ("SIGBUS", Signal::BUS),
        ("SIGFPE", Signal::FPE),
        ("SIGILL", Signal::ILL),
        ("SIGPIPE", Signal::PIPE),
        ("SIGALRM", Signal::ALARM),
    ];
    let passed_on = PASSED_ON.iter().map(|(name, signal, ..)| (*name, *signal));
    let mut known = passed_on.chain(OTHERS);
    let name = known.find(|(_, known)| known.as_raw() == signal).map(|(name, _)| name.to_owned());
    name.unwrap_or_else(|| format!("signal {signal}"))
}

/// Whether this process, and so its child, is in the foreground of a terminal, which then sends its signals to
/// both.
fn is_in_foreground() -> bool {
    let group = File::open("/dev/tty").ok().and_then(|tty| rustix::termios::tcgetpgrp(tty).ok());
    group == Some(getpgrp())
}
