//! What a decision costs: `cargo run --release -p deed-policy --example decide`.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::{
    collections::BTreeMap,
    fmt::Write,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use deed_policy::{CredentialFacts, Facts, PolicySet, Request, Target, Who};
use deed_record::{PrincipalType, Ruling};
use serde_json::value::RawValue;

const ROUNDS: u32 = 20_000;

fn main() {
    let arguments =
        "{\"path\":\"/srv/reports/2026-11.csv\",\"amount\":250,\"dry_run\":false,\"body\":\"Lorem ipsum\"}";
    let Ok(arguments) = serde_json::from_str::<&RawValue>(arguments) else { return };
    println!("policies  kind       µs to load  ns/decision  2 threads  effect");
    for count in [1, 10, 100, 500] {
        for (kind, text) in [("scoped", scoped(count)), ("unscoped", unscoped(count))] {
            let files = BTreeMap::from([("a.cedar".to_owned(), text)]);
            let started = Instant::now();
            let set = match PolicySet::of_files(files) {
                Ok(set) => set,
                Err(error) => {
                    println!("{error}");
                    return;
                }
            };
            let load = started.elapsed();
            let alone = time(&set, arguments, 1);
            let both = time(&set, arguments, 2);
            let effect = set.decide(&request(arguments)).effect;
            assert_eq!(effect, Ruling::Allow);
            println!(
                "{count:>8}  {kind:<9}  {:>10}  {:>11}  {:>9}  {effect}",
                load.as_micros(),
                alone.as_nanos(),
                both.as_nanos()
            );
        }
    }
}

/// Policies as folders have them: most ask for a tool or for a principal, few for neither.
fn scoped(count: usize) -> String {
    let mut text = String::from("@id(\"agents\") permit (principal is Deed::Agent, action, resource);\n");
    for at in 1..count {
        let written = match at % 5 {
            0 => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal == Deed::Agent::\"bot-{at}\", action, resource) \
                 when {{ resource.classification == \"restricted\" }};"
            ),
            1 if at < 8 => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal, action == Deed::Action::\"tools/call\", resource) \
                 when {{ context.arguments has path && context.arguments.path like \"/etc/{at}/*\" }};"
            ),
            _ => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal, action == Deed::Action::\"tools/call\", \
                 resource == Deed::Tool::\"server-{}/tool-{at}\") \
                 when {{ context has environment && context.environment == \"prod\" && context.clock.hour < 9 }};",
                at % 7
            ),
        };
        if written.is_err() {
            break;
        }
    }
    text
}

/// The worst: every policy looks at every request.
fn unscoped(count: usize) -> String {
    let mut text = String::from("@id(\"agents\") permit (principal is Deed::Agent, action, resource);\n");
    for at in 1..count {
        let line = format!(
            "@id(\"p{at}\") forbid (principal, action, resource) when {{ context.arguments has amount && \
             context.arguments.amount > {} && context has environment && context.environment == \"prod\" }};\n",
            1000 + at
        );
        text.push_str(&line);
    }
    text
}

fn request(arguments: &RawValue) -> Request<'_> {
    let who = Who {
        owner: Some("human:ann"),
        environments: vec!["prod"],
        ..Who::new(PrincipalType::Agent, "release-bot")
    };
    let mut context = Facts::at(deed_record::Timestamp(1_795_169_730_123_456));
    context.initiator = Some(Who::new(PrincipalType::Human, "ann"));
    context.arguments = Some(arguments);
    context.environment = Some("prod");
    context.task = Some("release 1.4");
    context.credential = Some(CredentialFacts {
        scopes: vec!["files:write", "files:read"],
        expires: Some(deed_record::Timestamp(1_795_173_330_000_000)),
        age_seconds: Some(60),
        delegated: true,
    });
    Request { principal: who, action: "tools/call", resource: Target::tool("files", "write"), context }
}

/// What this thread has had of a processor, where the system says so: other processes do not count.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// What a decision costs a thread, where so many threads decide at once.
fn time(set: &PolicySet, arguments: &RawValue, threads: usize) -> Duration {
    let barrier = Barrier::new(threads);
    let run = || {
        // The engine of a thread is parsed by its first decision.
        black_box(set.decide(&request(arguments)));
        barrier.wait();
        let (started, before) = (Instant::now(), processor_time());
        for _ in 0..ROUNDS {
            black_box(set.decide(&request(arguments)));
        }
        let spent = processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        spent.unwrap_or_else(|| started.elapsed()) / ROUNDS
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    })
}
