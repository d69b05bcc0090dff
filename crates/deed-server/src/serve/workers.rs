//! Threads that serve connections, one for each two cores: the log, answers and the servers behind the gateway need the
//! others. A connection stays where it began, with all that is done for it: its steps wake each other without a word to
//! another core, which costs more than most of them.

use std::{
    io,
    sync::Arc,
    thread::{self, available_parallelism},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
};

/// See the module. The threads end once this is dropped and their last connection has ended.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// One for each connection, and this one.
    connections: Arc<Connection>,
}

/// Its thread lives until nobody holds it.
struct Connection(#[expect(dead_code, reason = "the receiver notices that it is dropped")] mpsc::Sender<()>);

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// The system gives no threads, or no descriptors.
    pub(super) fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        (0..cores.div_ceil(2))
            .map(|n| Worker::start(&format!("deed-serve-{n}")))
            .collect::<io::Result<_>>()
            .map(Workers)
    }

    /// Has the thread with the fewest connections serve another one.
    pub(super) fn serve(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let Some(worker) = self.0.iter().min_by_key(|worker| Arc::strong_count(&worker.connections)) else {
            return;
        };
        let held = worker.connections.clone();
        worker.runtime.spawn(async move {
            connection.await;
            drop(held);
        });
    }
}

impl Worker {
    fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_name(name).build()?;
        let (alive, mut ended) = mpsc::channel(1);
        let worker = Worker { runtime: runtime.handle().clone(), connections: Arc::new(Connection(alive)) };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(ended.recv());
            runtime.shutdown_background();
        })?;
        Ok(worker)
    }
}
