//! What the server counts, as OpenMetrics text (version 1.0.0).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deed_ledger::{Counters, SpoolState, now};
use http::StatusCode;

use crate::{ssf::SignalState, webhook::DeliveryState};

/// The media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of append times, in microseconds.
const BUCKETS: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

/// Counted since the server was started.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By method, route and status; as many as there are of these.
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    /// Append times: one more than there are bounds.
    appends: [AtomicU64; BUCKETS.len() + 1],
    append_micros: AtomicU64,
    /// Items of telemetry that were refused.
    rejected: AtomicU64,
}

impl Metrics {
    /// A request to `route` was answered.
    pub(crate) fn answered(&self, method: &'static str, route: &'static str, status: StatusCode) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method, route, status.as_u16())).or_default() += 1;
    }

    /// Records became durable.
    pub(crate) fn recorded(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS.len());
        self.appends[bucket].fetch_add(1, Ordering::Relaxed);
        self.append_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Spans or log records were refused.
    pub(crate) fn rejected(&self, items: u64) {
        self.rejected.fetch_add(items, Ordering::Relaxed);
    }

    /// Everything, with what the ledger counts, and the spool where there is one.
    pub(crate) fn text(
        &self,
        ledger: &Counters,
        spool: Option<&SpoolState>,
        delivery: Option<&DeliveryState>,
        signals: &[(String, SignalState)],
        ready: bool,
    ) -> String {
        let mut out = Text(String::with_capacity(4096));
        out.gauge("deed_ready", "Whether records can be taken.", u64::from(ready));
        out.gauge("deed_log_leaves", "Leaves in the log, all durable.", ledger.size);
        out.gauge("deed_log_packed_leaves", "Leaves in packs; the rest is in the journal.", ledger.packed);
        out.gauge("deed_log_signed_leaves", "Leaves covered by the latest checkpoint.", ledger.signed);
        out.gauge("deed_log_queue_batches", "Batches that wait for the sequencer.", ledger.queued);
        out.counter("deed_records", "Records that became leaves.", ledger.records);
        out.counter("deed_record_duplicates", "Records that were there before.", ledger.duplicates);
        out.counter("deed_records_refused", "Requests or records that were refused.", ledger.refused);
        out.counter(
            "deed_otlp_items_rejected",
            "Spans and log records that were refused.",
            self.rejected.load(Ordering::Relaxed),
        );
        out.counter("deed_journal_commits", "Journal commits, each one sync.", ledger.commits);
        out.counter("deed_checkpoints_signed", "Checkpoints signed.", ledger.checkpoints);
        out.counter("deed_packs_written", "Packs written.", ledger.packs);
        out.counter("deed_lookups", "Look-ups in the index.", ledger.lookups);
        if let Some(spool) = spool {
            out.spool(spool);
        }
        if let Some(delivery) = delivery {
            out.delivery(delivery);
        }
        if !signals.is_empty() {
            out.signals(signals);
        }
        self.histogram(&mut out);
        out.family("deed_http_requests", "counter", "Requests answered, by route and status.");
        for ((method, route, status), count) in
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let labels = format_args!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            out.line(format_args!("deed_http_requests_total{{{labels}}} {count}"));
        }
        out.line(format_args!("# EOF"));
        out.0
    }

    fn histogram(&self, out: &mut Text) {
        let name = "deed_append_duration_seconds";
        out.family(name, "histogram", "From a received request to durable records.");
        out.line(format_args!("# UNIT {name} seconds"));
        let mut count = 0;
        for (at, bucket) in self.appends.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            match BUCKETS.get(at) {
                Some(bound) => {
                    out.line(format_args!("{name}_bucket{{le=\"{}\"}} {count}", *bound as f64 / 1e6))
                }
                None => out.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}")),
            }
        }
        out.line(format_args!("{name}_sum {}", self.append_micros.load(Ordering::Relaxed) as f64 / 1e6));
        out.line(format_args!("{name}_count {count}"));
    }
}

/// OpenMetrics text under construction.
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _infallible = writeln!(self.0, "{line}");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# TYPE {name} {kind}"));
        self.line(format_args!("# HELP {name} {help}"));
    }

    fn spool(&mut self, spool: &SpoolState) {
        let age =
            spool.oldest.map_or(0, |oldest| u64::try_from((now().0 - oldest.0) / 1_000_000).unwrap_or(0));
        self.gauge(
            "deed_spool_waiting_records",
            "Records that wait in the spool for the log.",
            spool.records,
        );
        self.gauge("deed_spool_waiting_bytes", "Bytes they take.", spool.bytes);
        self.gauge("deed_spool_oldest_seconds", "How long the oldest of them waits.", age);
        self.gauge(
            "deed_spool_problems",
            "What is wrong with the spool; readiness says what.",
            spool.problems.len() as u64,
        );
        self.counter("deed_spool_records", "Records that were put into the spool.", spool.spooled);
        self.counter("deed_spool_sealed", "Records of the spool that are in the log.", spool.sealed);
    }

    fn delivery(&mut self, delivery: &DeliveryState) {
        self.gauge("deed_findings_webhook_waiting", "Findings that were not sent yet.", delivery.waiting);
        self.counter("deed_findings_webhook_delivered", "Findings that were sent.", delivery.delivered);
        self.counter("deed_findings_webhook_failed", "Tries to send one that failed.", delivery.failed);
        self.counter(
            "deed_findings_webhook_refused",
            "Findings set aside, refused again and again.",
            delivery.refused,
        );
    }

    fn signals(&mut self, signals: &[(String, SignalState)]) {
        type Count = fn(&SignalState) -> u64;
        let counts: [(&str, &str, Count); 4] = [
            ("deed_ssf_events", "Security events that were taken.", |state| state.taken),
            ("deed_ssf_events_unknown", "Those of a type that nobody here knows.", |state| state.unknown),
            ("deed_ssf_events_refused", "Security events that were refused.", |state| state.refused),
            ("deed_ssf_failed", "Polls and events that came to nothing for now.", |state| state.failed),
        ];
        for (name, help, count) in counts {
            self.family(name, "counter", help);
            for (transmitter, state) in signals {
                self.line(format_args!("{name}_total{{transmitter=\"{transmitter}\"}} {}", count(state)));
            }
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.line(format_args!("{name}_total {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.recorded(Duration::from_millis(1));
        metrics.recorded(Duration::from_millis(3));
        metrics.recorded(Duration::from_secs(60));
        metrics.answered("post", "/v1/records", StatusCode::OK);
        let mut out = Text(String::new());
        metrics.histogram(&mut out);
        for line in [
            "_bucket{le=\"0.001\"} 1",
            "_bucket{le=\"0.005\"} 2",
            "_bucket{le=\"10\"} 2",
            "_bucket{le=\"+Inf\"} 3",
            "_count 3",
            "_sum 60.004",
        ] {
            assert!(out.0.lines().any(|found| found.ends_with(line)), "{line} in {}", out.0);
        }
    }
}
