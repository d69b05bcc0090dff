//! `deed serve`: the server.

use std::time::{Duration, Instant};

use deed_server::{Addresses, ServeOptions, settings::Listener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::{
    access::{self, Place},
    cli::{Global, Serve},
    exit::{Failure, Outcome},
    holder::{Holder, TakeError},
    output::{Output, note},
    stop::Stop,
};

/// How long another process, which may be about to end, is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(global: &Global, serve: Serve, output: Output, stop: &Stop) -> Outcome {
    let dir = match access::place(global)? {
        Place::Store(dir) => dir,
        Place::Server(url, _) => {
            return Err(Failure::usage(format!(
                "`{url}` is a server already; `deed serve` needs a data directory: --data DIR"
            )));
        }
    };
    raise_open_files();
    let until = Instant::now() + PATIENCE;
    let mut is_told = false;
    let holder = loop {
        let options = |settings: &deed_server::settings::Settings| {
            listeners(&serve, ServeOptions::of_settings(&settings.listen))
        };
        match Holder::take_with(&dir, deed_ledger::Options::default(), options).await {
            Ok(holder) => break holder,
            Err(TakeError::Held(by)) if Instant::now() < until && !stop.is_asked() => {
                if !std::mem::replace(&mut is_told, true) {
                    let patience = PATIENCE.as_secs();
                    note(&format!(
                        "deed: the store is held by another process ({by}); waiting {patience} s for its end"
                    ));
                }
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            Err(error) => return Err(error.into_failure().doing("serve")),
        }
    };
    let addresses = holder.addresses();
    if output.json {
        output.line(&json!({
            "http": addresses.http, "otlp_grpc": addresses.otlp_grpc, "otlp_http": addresses.otlp_http, "socket": addresses.socket,
        }))?;
    } else {
        output.print(&format!("{}\n", listening(addresses)))?;
    }
    stop.asked().await;
    holder.close().await
}

/// Lets this process have as many files and connections open as it may: the limit that most systems begin
/// with is below the connections that are taken.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        note(&format!("the limit of open files stays as it is: {error}"));
    }
}

/// What is listened on, a line each.
pub(crate) fn listening(addresses: &Addresses) -> String {
    let ports =
        [("http", addresses.http), ("otlp-grpc", addresses.otlp_grpc), ("otlp-http", addresses.otlp_http)];
    let mut lines: Vec<String> =
        ports.iter().filter_map(|(name, at)| Some(format!("{name} {}", (*at)?))).collect();
    lines.extend(addresses.socket.iter().map(|path| format!("socket {}", path.display())));
    lines.join("\n")
}

/// The command line goes before the settings.
fn listeners(serve: &Serve, settings: ServeOptions) -> ServeOptions {
    ServeOptions {
        listen: Listener::or(serve.listen, settings.listen),
        otlp_grpc: Listener::or(serve.otlp_grpc, settings.otlp_grpc),
        otlp_http: Listener::or(serve.otlp_http, settings.otlp_http),
        socket: settings.socket,
    }
}
