//! Being asked to stop: Ctrl-C, or the system's request to end.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::exit::Failure;

/// Whether somebody asked to stop. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Listens for SIGINT, SIGTERM and, unless whoever started the process had it ignored, SIGHUP. Asked a second
    /// time, the process ends at once: a store survives that as it survives a crash.
    ///
    /// # Errors
    /// The system does not let it listen.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new("failed to listen for signals").detail(error.to_string());
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        // To listen is to ignore it no longer: what `nohup` started would end with its terminal.
        let mut hangup =
            (!is_hangup_ignored()).then(|| signal(SignalKind::hangup())).transpose().map_err(failed)?;
        let stop = Stop(Arc::new(watch::Sender::new(false)));
        let told = stop.clone();
        let ask = async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    Some(_) = async { hangup.as_mut()?.recv().await } => {}
                }
                if told.0.send_replace(true) {
                    exit_at_once();
                }
            }
        };
        tokio::spawn(ask);
        Ok(stop)
    }

    /// Nobody asks: for what deals with signals by itself.
    pub(crate) fn never() -> Self {
        Stop(Arc::new(watch::Sender::new(false)))
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked for.
    pub(crate) async fn asked(&self) {
        // The sender lives in `self`, so that this ends only when it is asked for.
        drop(self.0.subscribe().wait_for(|asked| *asked).await);
    }
}

/// Whether this process was started with SIGHUP ignored; also where that cannot be told.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit (proc_pid_status(5)).
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

#[expect(clippy::disallowed_methods, reason = "whoever asks twice does not want to wait; stores survive it")]
fn exit_at_once() -> ! {
    std::process::exit(crate::exit::Code::Failed as i32);
}
