//! What was measured, in tables for people or as one JSON document.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    CONTEXTFORGE, DEED, DEED_100, DIRECT, FASTMCP, disk::Syncs, load::Sample, memory::Memory, places::Running,
};
use crate::{Outcome, figure, grouped, heading};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The most that the gateway may add to one sync at one connection.
const BESIDE_SYNC: Duration = Duration::from_micros(300);
const MIB: f64 = (1 << 20) as f64;

/// The median of the rounds.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Calls a second.
    pub(super) rate: f64,
    /// The least and the most p50 and rate of a round.
    p50_range: (Duration, Duration),
    rate_range: (f64, f64),
    failures: u64,
}

impl Measured {
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let (p50, p50_range) = median(samples.iter().map(|sample| sample.p50).collect())?;
        let (p99, _) = median(samples.iter().map(|sample| sample.p99).collect())?;
        // Rates are positive, and their bits have their order.
        let (rate, range) = median(samples.iter().map(|sample| sample.rate.to_bits()).collect())?;
        Some(Measured {
            p50,
            p99,
            rate: f64::from_bits(rate),
            p50_range,
            rate_range: (f64::from_bits(range.0), f64::from_bits(range.1)),
            failures: samples.iter().map(|sample| sample.failures).sum(),
        })
    }
}

/// The median, the least and the most.
fn median<T: Copy + Ord>(mut all: Vec<T>) -> Option<(T, (T, T))> {
    all.sort_unstable();
    Some((*all.get(all.len() / 2)?, (*all.first()?, *all.last()?)))
}

/// Who was called, with how many connections, and what was measured.
pub(super) type Calls = Vec<(&'static str, usize, Measured)>;

/// Everything.
#[derive(Default)]
pub(super) struct Report {
    /// Before and after the calls.
    pub(super) syncs: Vec<Syncs>,
    /// p50 and p99 of a decision.
    pub(super) decision: Option<(Duration, Duration)>,
    pub(super) calls: Calls,
    pub(super) node_calls: Calls,
    pub(super) memory: Option<Memory>,
    notes: BTreeSet<String>,
}

impl Report {
    /// Somebody was not answered as they should have been.
    pub(super) fn note(&mut self, name: &str, connections: usize, why: &str) {
        self.notes.insert(format!("{name}, {connections} connections: {why}"));
    }

    /// Keeps a gateway that started, and calls `add` with its address; or notes why it did not.
    pub(super) fn add_other(
        &mut self,
        name: &str,
        started: Result<Running, Failure>,
        others: &mut Vec<Running>,
        add: impl FnOnce(SocketAddr),
    ) {
        match started {
            Ok(running) => {
                add(running.address);
                others.push(running);
            }
            Err(why) => self.missing(name, &*why),
        }
    }

    /// Somebody could not be started.
    pub(super) fn missing(&mut self, name: &str, why: &dyn std::error::Error) {
        self.notes.insert(format!("{name} is missing: {why}"));
    }

    fn sync(&self) -> Option<Duration> {
        median(self.syncs.iter().map(|syncs| syncs.within).collect()).map(|(_, range)| range.1)
    }

    /// What is held against what: name, value, target.
    fn ratios(&self) -> Vec<(String, f64, String)> {
        let mut all = Vec::new();
        let of = |calls: &Calls, name: &str, connections: usize| {
            calls.iter().find(|(n, c, _)| *n == name && *c == connections).map(|(_, _, measured)| *measured)
        };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for (name, connections, deed) in &self.calls {
            let Some(direct) = of(&self.calls, DIRECT, *connections) else { continue };
            if matches!(*name, DEED | DEED_100 | FASTMCP | CONTEXTFORGE) {
                let label = format!("{name} adds at {connections}: p50, ms");
                let target = self.sync().filter(|_| (*name, *connections) == (DEED, 1));
                let target =
                    target.map(|sync| format!("at most {:.2}: one sync and 0.3", ms(sync + BESIDE_SYNC)));
                all.push((label, ms(deed.p50) - ms(direct.p50), target.unwrap_or_default()));
                let label = format!("{name} adds at {connections}: p99, ms");
                all.push((label, ms(deed.p99) - ms(direct.p99), String::new()));
            }
        }
        if let (Some(deed), Some(direct)) = (of(&self.node_calls, DEED, 8), of(&self.node_calls, DIRECT, 8)) {
            let label = "Node server at 8: Deed's calls a second / direct".into();
            all.push((label, deed.rate / direct.rate, "at least 0.9".into()));
        }
        let others = [FASTMCP, CONTEXTFORGE].map(|name| of(&self.calls, name, 64));
        let best = others.iter().flatten().map(|measured| measured.rate).fold(0.0, f64::max);
        if let Some(deed) = of(&self.calls, DEED, 64).filter(|_| best > 0.0) {
            let label = "at 64: Deed's calls a second / the better of PyPI".into();
            all.push((label, deed.rate / best, "at least 20".into()));
        }
        all
    }

    /// For people.
    pub(super) fn print(&self) -> Outcome {
        heading("The disk: 512 bytes written and synced, p50");
        for (syncs, when) in self.syncs.iter().zip(["before the calls", "after them"]) {
            let beside = format!("{when}; at the end of a file that grows {:.2?}", syncs.appended);
            figure("in a file that has its size", format!("{:.2?}", syncs.within), beside);
        }
        if let Some((p50, p99)) = self.decision {
            heading("A decision: 100 policies, with what is known at the time (1,001 principals declared)");
            figure("p50", format!("{p50:.2?}"), format!("p99 {p99:.2?}; at most 50 µs"));
        }
        table("A tools/call, fast server", &self.calls);
        table("A tools/call, Node server (official SDK)", &self.node_calls);
        heading("Held against each other");
        for (name, value, target) in self.ratios() {
            figure(&name, format!("{value:.2}"), target);
        }
        if let Some(memory) = &self.memory {
            heading(&format!(
                "Memory: {} calls in {:.0?}, 64 connections",
                grouped(memory.calls as f64),
                memory.took
            ));
            let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MIB);
            if let Some((calls, bytes)) = memory.first() {
                figure("resident after", mib(bytes), format!("{} calls", grouped(calls as f64)));
            }
            for (from, to) in [(1, 4), (4, 7), (7, 10)] {
                let Some(bytes) = memory.within(from, to) else { continue };
                figure("median", mib(bytes), format!("from {from} to {to} tenths of the calls"));
            }
            if let (Some((_, last)), Some(most)) = (memory.samples.last(), memory.most()) {
                figure("resident at the end", mib(*last), format!("most {}", mib(most)));
            }
        }
        heading("Notes");
        figure("Deed", "", "syncs a record before each call, and records how it ended");
        figure("all others", "", "keep no record that is synced; limits and who may call are off");
        for note in &self.notes {
            figure("", "", note);
        }
        Ok(())
    }

    /// For programs. Times are in microseconds.
    #[expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
    pub(super) fn print_json(&self) -> Outcome {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let calls = |calls: &Calls| -> Vec<Value> {
            let one = |(name, connections, m): &(&str, usize, Measured)| {
                json!({
                    "name": name, "connections": connections, "p50": micros(m.p50), "p99": micros(m.p99),
                    "rate": m.rate, "p50_range": [micros(m.p50_range.0), micros(m.p50_range.1)],
                    "rate_range": [m.rate_range.0, m.rate_range.1], "failures": m.failures,
                })
            };
            calls.iter().map(one).collect()
        };
        let syncs: Vec<_> = self
            .syncs
            .iter()
            .map(|syncs| json!({ "within": micros(syncs.within), "appended": micros(syncs.appended) }))
            .collect();
        let ratios: Vec<_> = self
            .ratios()
            .into_iter()
            .map(|(name, value, target)| json!({ "name": name, "value": value, "target": target }))
            .collect();
        let report = json!({
            "syncs": syncs,
            "decision": self.decision.map(|(p50, p99)| json!({ "p50": micros(p50), "p99": micros(p99) })),
            "fast": calls(&self.calls),
            "node": calls(&self.node_calls),
            "ratios": ratios,
            "memory": self.memory.as_ref().map(|memory| json!({
                "calls": memory.calls, "seconds": memory.took.as_secs_f64(), "samples": memory.samples,
            })),
            "notes": self.notes,
        });
        println!("{report:#}");
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
fn table(title: &str, calls: &Calls) {
    if calls.is_empty() {
        return;
    }
    heading(title);
    println!(
        "{:<34}{:>5}{:>11}{:>11}{:>11}   {:<19}{:<19}",
        "", "conn", "p50", "p99", "calls/s", "p50 of rounds", "calls/s of rounds"
    );
    let time = |time: Duration| format!("{:.3} ms", time.as_secs_f64() * 1e3);
    let connections: BTreeSet<usize> = calls.iter().map(|(_, connections, _)| *connections).collect();
    for connections in connections {
        for (name, _, m) in calls.iter().filter(|(_, at, _)| *at == connections) {
            let (low, high) = m.p50_range;
            let p50s = format!("{:.3}–{:.3}", low.as_secs_f64() * 1e3, high.as_secs_f64() * 1e3);
            let rates = format!("{}–{}", grouped(m.rate_range.0), grouped(m.rate_range.1));
            let failed = if m.failures == 0 { String::new() } else { format!("{} failed", m.failures) };
            let rate = grouped(m.rate);
            println!(
                "{name:<34}{connections:>5}{:>11}{:>11}{rate:>11}   {p50s:<19}{rates:<19}{failed}",
                time(m.p50),
                time(m.p99)
            );
        }
    }
}
