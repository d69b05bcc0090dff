//! `deed mcp`: a door in front of an MCP server that speaks over standard input and output.

use std::{path::PathBuf, process::Stdio, time::Duration};

use deed_gateway::{ANSWERED_WITHIN, Caller, Door, Recorder, Road, Unavailable, relay::Relay};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::BufReader,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    access::Access,
    cli::{Global, Mcp},
    client::{Request, Response},
    exit::{Code, Failure, Outcome},
    output::note,
    stop::Stop,
    values,
};

/// How long a server may take to end once nobody speaks to it.
const ENDING: Duration = Duration::from_millis(800);
/// How long a store may take to be opened, or whoever holds it to answer at all.
const OPENING: Duration = Duration::from_secs(10);

pub(crate) async fn run(global: &Global, mcp: Mcp, stop: &Stop) -> Outcome {
    // `--server` names the tool server here; records go to the store of this machine.
    let access = Access::at_store(global)?;
    let initiator = mcp.initiator.unwrap_or_else(values::system_who);
    let caller = Caller { initiator: Some(initiator), executor: mcp.executor, ..Caller::default() };
    let door = Door::new(&mcp.server, caller)
        .map_err(|error| Failure::new(error.to_string()).code(Code::Unavailable))?;
    let mut server = start(&mcp.command)?;
    let (Some(server_in), Some(server_out)) = (server.stdin.take(), server.stdout.take()) else {
        return Err(Failure::new("failed to speak to the server: it has no standard input and output"));
    };
    // Made, and taken hold of, before the first call comes: a store that cannot be used is said at once.
    // One that somebody holds is not waited for: where they hang, the first call says so as soon as any.
    match access.is_held().await {
        true => drop(tokio::spawn(look(access.clone()))),
        false => look(access.clone()).await,
    }
    let relay =
        Relay::new(door, Recorder::there(Store(access.clone())), Duration::from_secs(mcp.wait.into()));
    let client_in = BufReader::new(tokio::io::stdin());
    let server_out = BufReader::new(server_out);
    let relayed = relay.run(client_in, tokio::io::stdout(), server_out, server_in, stop.asked()).await;
    let ended = end(server, stop).await;
    let worked = relayed.map_err(|error| Failure::new("the connection broke").detail(error.to_string()));
    access.finish(worked.and(ended)).await
}

/// Says whether the store can be used.
async fn look(access: Access) {
    if let Err(failure) = reached(&access, &Request::get("/v1/health").urgently()).await {
        note("nothing will be let through: the store cannot be used");
        crate::output::report(&failure);
    } else {
        access.note_new();
    }
}

fn start(command: &[String]) -> Result<Child, Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::usage("which server? deed mcp --server NAME -- COMMAND"))?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let path = PathBuf::from(program);
            Failure::new(format!("failed to start `{}`", path.display())).detail(error.to_string())
        })
}

/// Its standard input is closed by now, which asks it to end (MCP, stdio, shutdown).
async fn end(mut server: Child, stop: &Stop) -> Outcome {
    let ended = tokio::select! {
        ended = timeout(ENDING, server.wait()) => ended.ok(),
        // Whoever asks does not wait long, and the server is asked likewise.
        () = stop.asked() => None,
    };
    match ended {
        Some(Ok(status)) if status.success() => return Ok(()),
        Some(Ok(status)) => return Err(Failure::new(format!("the server ended with {status}"))),
        Some(Err(error)) => {
            return Err(Failure::new("failed to wait for the server").detail(error.to_string()));
        }
        None => {}
    }
    // There are servers that do not end by themselves. Clients do the same to this process a little later, and it
    // must leave none behind.
    let asked = server.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(server) = asked
        && let Err(error) = kill_process(server, Signal::TERM)
    {
        note(&format!("the server cannot be asked to end: {error}"));
    }
    if timeout(ENDING, server.wait()).await.is_ok() {
        return Ok(());
    }
    server.kill().await.map_err(|error| Failure::new("failed to end the server").detail(error.to_string()))
}

/// The first answer of whoever holds the store. Whatever hangs, nobody who waits for a call or a command to begin does.
///
/// # Errors
/// There is none in time, or the store cannot be used.
pub(super) async fn reached(access: &Access, request: &Request) -> Result<Response, Failure> {
    timeout(OPENING, access.call(request)).await.unwrap_or_else(|_| {
        let why = format!("whoever holds the store has not answered within {} s", OPENING.as_secs());
        Err(Failure::new(why)
            .code(Code::Unavailable)
            .detail("if it hangs, end that process; its records are safe"))
    })
}

/// The way to whoever holds the store.
pub(super) struct Store(pub(super) Access);

impl Road for Store {
    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
        let request = Request::post(path, "application/json", body);
        let failed = |failure: Failure| Unavailable::new(failure.to_string());
        let answer = timeout(ANSWERED_WITHIN, self.0.call(&request)).await;
        let answer = answer.map_err(|_| Unavailable::new("whoever holds the store does not answer"))?;
        Ok(answer.and_then(Response::good).map_err(failed)?.into())
    }
}
