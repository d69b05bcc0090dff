//! The command line of Deed: always a client of the HTTP API, of a server that runs or of the one that
//! this process becomes while it holds the store (`access`, `holder`).

mod access;
mod cli;
mod client;
mod commands;
mod demo;
mod exit;
mod hint;
mod holder;
mod inputs;
mod kept;
mod output;
mod progress;
mod record_id;
mod stop;
mod tiles;
mod values;

use std::{io::IsTerminal, process::ExitCode};

use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, Global};
use exit::{Failure, Outcome};
use output::Output;
use stop::Stop;

/// Records are made of many small pieces, on several threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    log(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new("failed to begin").detail(error.to_string());
            output::report(&failure);
            return failure.exit_code();
        }
    };
    let outcome = runtime.block_on(run(cli));
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure);
            failure.exit_code()
        }
    }
}

/// What the program says of itself, on standard error: `$DEED_LOG` chooses, as `info` or `deed_ledger=debug`.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        // It takes the store away from under itself, and tells what comes of that.
        Command::Demo(_) => "off",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("DEED_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // What cannot be said, for the disk is full, must not end the thread that wants to say it.
    let says = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    says.with_env_filter(filter).with_ansi(colour).init();
}

async fn run(cli: Cli) -> Outcome {
    let Cli { global, command } = cli;
    let output = Output::new(global.json);
    // A command that runs under this one gets the signals.
    let passes_signals_on = matches!(command, Command::Run(_));
    let stop = if passes_signals_on { Stop::never() } else { Stop::listen()? };
    // These end in their own way, with what they have done so far told.
    let ends_itself = match &command {
        Command::Append(_) | Command::Demo(_) | Command::Serve(_) | Command::Import(_) | Command::Mcp(_) => {
            true
        }
        Command::Export(export) => export.follow,
        _ => false,
    };
    let work = dispatch(&global, command, output, &stop);
    if ends_itself {
        return work.await;
    }
    tokio::select! {
        outcome = work => outcome,
        // What was asked can be asked again; a store survives it as it survives a crash.
        () = stop.asked() => Err(Failure::new("interrupted")),
    }
}

async fn dispatch(global: &Global, command: Command, output: Output, stop: &Stop) -> Outcome {
    match command {
        Command::Demo(demo) => demo::run(global, demo, output, stop).await,
        Command::Serve(serve) => commands::serve::run(global, serve, output, stop).await,
        Command::Import(import) => commands::import::run(global, import, output, stop).await,
        Command::Append(append) => commands::append::run(global, append, output, stop).await,
        Command::Find(find) => commands::find::run(global, find, output).await,
        Command::Explain(explain) => commands::explain::run(global, explain, output).await,
        Command::Trace(trace) => commands::trace::run(global, trace, output).await,
        Command::Principal(asked) => commands::principal::run(global, asked, output).await,
        Command::Patterns(asked) => commands::patterns::run(global, asked, output).await,
        Command::Inventory(asked) => commands::inventory::run(global, asked, output).await,
        Command::Findings(asked) => commands::findings::run(global, asked, output).await,
        Command::Report(asked) => commands::report::run(global, asked, output).await,
        Command::Blast(asked) => commands::blast::run(global, asked, output).await,
        Command::Sql(sql) => commands::sql::run(global, sql, output).await,
        Command::Verify(verify) => commands::verify::run(global, verify, output).await,
        Command::Rebuild => commands::rebuild::run(global, output).await,
        Command::Keys => commands::keys::run(global, output).await,
        Command::Doctor => commands::doctor::run(global, output).await,
        Command::Export(export) => commands::export::run(global, export, output, stop).await,
        Command::Mcp(mcp) => commands::mcp::run(global, mcp, stop).await,
        Command::Run(run) => commands::run::run(global, run).await,
        Command::Approvals => commands::approvals::list(global, output).await,
        Command::Approve(reply) => commands::approvals::reply(global, true, reply, output).await,
        Command::Refuse(reply) => commands::approvals::reply(global, false, reply, output).await,
        Command::Suspend(suspend) => commands::suspend::run(global, true, suspend, output).await,
        Command::Resume(suspend) => commands::suspend::run(global, false, suspend, output).await,
        Command::Token(token) => commands::token::run(global, token, output).await,
        Command::Policy(policy) => commands::policy::run(global, policy, output).await,
        Command::Schema => commands::schema::run(output),
        Command::Completions(completions) => commands::completions::run(&completions, output),
    }
}
