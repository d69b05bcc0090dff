//! Listening, and stopping without losing anything.

mod connection;
mod linger;
mod socket;
mod workers;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::Router;
use deed_ledger::LedgerError;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, mpsc, watch},
};

use crate::{
    app::App,
    auth::{Gate, Trust},
    engine::Engine,
    mcp::Gateway,
    otlp,
    routes::{main_router, otlp_router},
    settings::{FILE, Listen, Listener},
    ssf::Signals,
    webhook::{self, Webhook},
};
use connection::{Hub, Voice};
use workers::Workers;

/// Connections at a time, over all listeners.
const MOST_CONNECTIONS: usize = 4096;

/// Where to listen. Port 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The API; OTLP over HTTP too.
    pub listen: Option<SocketAddr>,
    /// OTLP over gRPC.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP.
    pub otlp_http: Option<SocketAddr>,
    /// Whether the Unix socket in the data directory is served.
    pub socket: bool,
}

impl Default for ServeOptions {
    /// The ports of `interfaces` on 127.0.0.1, and the Unix socket.
    fn default() -> Self {
        let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        ServeOptions { listen: local(7400), otlp_grpc: local(4317), otlp_http: local(4318), socket: true }
    }
}

impl ServeOptions {
    /// What `deed.toml` says, else the default.
    pub fn of_settings(listen: &Listen) -> Self {
        let default = ServeOptions::default();
        ServeOptions {
            listen: Listener::or(listen.http, default.listen),
            otlp_grpc: Listener::or(listen.otlp_grpc, default.otlp_grpc),
            otlp_http: Listener::or(listen.otlp_http, default.otlp_http),
            socket: true,
        }
    }

    /// Only the Unix socket: how a command shares the store it holds.
    pub fn socket_only() -> Self {
        ServeOptions { listen: None, otlp_grpc: None, otlp_http: None, socket: true }
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [self.listen, self.otlp_grpc, self.otlp_http].into_iter().flatten()
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Addresses {
    /// The API.
    pub http: Option<SocketAddr>,
    /// OTLP over gRPC.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP.
    pub otlp_http: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: Option<PathBuf>,
}

/// Why a server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Anybody could reach it.
    #[error(
        "{address} can be reached from elsewhere, and `{FILE}` has no `[[token]]`, so that anybody could write and read; {HOW_TO_MAKE_A_TOKEN}"
    )]
    NoToken {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("failed to make the socket `{path}`: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The threads that serve connections cannot be started.
    #[error("failed to start the threads that serve connections: {0}")]
    Threads(io::Error),
    /// An MCP server of the settings cannot be stood in front of.
    #[error("`{FILE}`, `[mcp.…]`: {0}")]
    Gateway(io::Error),
    /// People elsewhere cannot be told what waits for them, or not be heard.
    #[error("`{FILE}`, `[approvals]`: {0}")]
    Approvals(String),
    /// Findings cannot be sent.
    #[error("`{FILE}`, `[findings]`: {0}")]
    Findings(String),
    /// A transmitter of security events cannot be listened to.
    #[error("`{FILE}`, {0}")]
    Signals(String),
    /// The last checkpoint could not be signed; everything acknowledged is safe in the journal.
    #[error("failed to close the store: {0}")]
    Close(#[from] LedgerError),
}

/// How long the ends of what passed the gateway may take to be recorded.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(5);

/// True wherever there is a shell.
const HOW_TO_MAKE_A_TOKEN: &str = "make one with `TOKEN=$(openssl rand -hex 32)`, show its hash with \
     `printf %s $TOKEN | sha256sum`, and add `[[token]]`, `name = \"…\"`, `hash = \"sha256:…\"`, \
     `rights = [\"read\", \"write\", \"otlp\"]`";

/// A running server. Dropping it stops it without waiting; [`Server::shutdown`] loses nothing.
pub struct Server {
    engine: Engine,
    app: Arc<App>,
    addresses: Addresses,
    stop: watch::Sender<bool>,
    /// Ends when the last connection does.
    drained: mpsc::Receiver<()>,
    socket: Option<socket::Guard>,
    /// Lasts as long as what connections began.
    _workers: Arc<Workers>,
}

/// Serves `engine`.
///
/// # Errors
/// See [`ServeError`]; nothing listens then.
pub async fn serve(engine: Engine, options: ServeOptions) -> Result<Server, ServeError> {
    let settings = engine.settings();
    let reachable = options.addresses().find(|address| !address.ip().is_loopback());
    if let Some(address) = reachable
        && settings.tokens.is_empty()
    {
        return Err(ServeError::NoToken { address });
    }
    // Once one listener can be reached from elsewhere none is trusted: what comes in on loopback may
    // then come from a proxy.
    let trust = if reachable.is_some() { Trust::Token } else { Trust::loopback() };
    let gate = Gate::new(&settings.tokens, settings.listen.public_log);

    let http = bind(options.listen).await?;
    let otlp_grpc = bind(options.otlp_grpc).await?;
    let otlp_http = bind(options.otlp_http).await?;
    let dir = engine.ledger().dir().to_owned();
    let socket = if options.socket { Some(socket::bind(&dir)?) } else { None };

    let gateway = Gateway::new(&engine).map_err(ServeError::Gateway)?;
    let webhook = approvals(&engine).map_err(ServeError::Approvals)?;
    let (stop, stopping) = watch::channel(false);
    // A command that holds the store for a moment sends nothing.
    let findings = engine.settings().findings.clone().filter(|_| options.listen.is_some());
    let delivery = findings.map(|settings| webhook::deliver(engine.clone(), settings, stopping.clone()));
    let delivery = delivery.transpose().map_err(ServeError::Findings)?;
    // Nor does it ask for events.
    let signals = match options.listen {
        Some(_) => Signals::open(&engine).map_err(ServeError::Signals)?,
        None => Signals::default(),
    };
    signals.poll(&stopping).map_err(ServeError::Signals)?;
    let app = App::new(engine.clone(), gate, gateway, webhook, delivery, signals, stopping.clone());
    let app = Arc::new(app);
    let (alive, drained) = mpsc::channel(1);
    let workers = Arc::new(Workers::start().map_err(ServeError::Threads)?);
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let hub = Hub { app: app.clone(), workers: workers.clone(), room, stopping, alive };
    let mut addresses = Addresses::default();
    let main = main_router(&app);
    let run = |listener: Option<(TcpListener, SocketAddr)>, router: Router, voice: Voice| {
        let (listener, address) = listener?;
        tokio::spawn(hub.clone().accept_tcp(listener, router, voice, trust.clone()));
        Some(address)
    };
    addresses.http = run(http, main.clone(), Voice::Api);
    addresses.otlp_grpc = run(otlp_grpc, otlp::grpc::router(&app), Voice::Grpc);
    addresses.otlp_http = run(otlp_http, otlp_router(&app), Voice::Otlp);
    let socket = match socket {
        Some((listener, guard)) => {
            addresses.socket = Some(guard.path().to_owned());
            serve_socket(&hub, listener, main);
            Some(guard)
        }
        None => None,
    };
    Ok(Server { engine, app, addresses, stop, drained, socket, _workers: workers })
}

/// Has people elsewhere told what waits for them, where the settings say so.
fn approvals(engine: &Engine) -> Result<Option<Arc<Webhook>>, String> {
    let Some(settings) = &engine.settings().approvals else { return Ok(None) };
    let webhook = Arc::new(Webhook::open(&settings.secret, engine.ledger().dir())?);
    if let Some(url) = &settings.webhook {
        let told = webhook::tell(webhook.clone(), url.clone(), settings.public_url.clone());
        engine.decisions().tell_of_step_ups(told.map_err(|error| error.to_string())?);
    }
    Ok(Some(webhook))
}

fn serve_socket(hub: &Hub, listener: UnixListener, router: Router) {
    tokio::spawn(hub.clone().accept_unix(listener, router));
}

async fn bind(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The store that it serves.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops: accepts nothing more, finishes what is under way, signs a last checkpoint and lets go of
    /// the store.
    ///
    /// # Errors
    /// The last checkpoint could not be signed; everything acknowledged is safe in the journal.
    pub async fn shutdown(mut self) -> Result<(), ServeError> {
        self.stop_listening().await;
        let engine = self.engine.clone();
        match tokio::task::spawn_blocking(move || engine.close()).await {
            Ok(closed) => Ok(closed?),
            Err(error) => Err(LedgerError::Broken(error.to_string()).into()),
        }
    }

    /// Stops serving as [`Server::shutdown`] does, but keeps the store open.
    pub async fn stop_listening(&mut self) {
        // The name goes first: whoever looks for the holder then waits for the lock.
        drop(self.socket.take());
        self.stop.send_replace(true);
        // Every connection ends within a bound of its own; then there is nobody left who could send.
        let _nobody = self.drained.recv().await;
        self.app.gateway.finish(CLOSING).await;
    }
}
