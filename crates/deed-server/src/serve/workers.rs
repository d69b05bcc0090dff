//! Threads that serve connections. A connection stays where it began, with all that is done for it: its steps wake each other
//! without a word to another core, which costs more than most of them. For the same reason few connections share a thread,
//! and leave the other cores to the log, to answers and to the servers behind the gateway.

use std::{
    io,
    thread::{self, available_parallelism},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
};

/// Connections that one thread serves before another is given any.
const TOGETHER: usize = 16;

/// See the module. The threads end once this is dropped and their last connection has ended.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// The thread lives until nobody holds one: each connection does, and this.
    alive: mpsc::Sender<()>,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// The system gives no threads, or no descriptors.
    pub(super) fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        (0..cores).map(|n| Worker::start(&format!("deed-serve-{n}"))).collect::<io::Result<_>>().map(Workers)
    }

    /// Has a thread serve another connection.
    pub(super) fn serve(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.connections() / TOGETHER) else { return };
        let alive = worker.alive.clone();
        worker.runtime.spawn(async move {
            connection.await;
            drop(alive);
        });
    }
}

impl Worker {
    fn connections(&self) -> usize {
        self.alive.strong_count() - 1
    }

    fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_name(name).build()?;
        let (alive, mut ended) = mpsc::channel(1);
        let worker = Worker { runtime: runtime.handle().clone(), alive };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(ended.recv());
            runtime.shutdown_background();
        })?;
        Ok(worker)
    }
}
