//! The records that are measured with: some 700 bytes each, arguments and result as disclosures, five to
//! a trace, names drawn from as many people, agents, credentials and resources as a middling company has.

use std::fmt::Write as _;

/// People who ask.
pub(crate) const PEOPLE: u64 = 500;
const AGENTS: u64 = 200;
const CREDENTIALS: u64 = 2_000;
const RESOURCES: u64 = 50_000;

/// A cheap, repeatable stream of well-mixed numbers (SplitMix64).
pub(crate) fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Trace id of record `n`.
pub(crate) fn trace(n: u64) -> String {
    format!("{:016x}{:016x}", mixed(n / 5), mixed(!(n / 5)))
}

/// Record `n` as a client sends it.
pub(crate) fn write(n: u64, out: &mut String) {
    let r = mixed(n ^ 0xdeed);
    let second = n / 2_000;
    // Writing to a `String` cannot fail.
    let _infallible = write!(
        out,
        concat!(
            r#"{{"kind":"observation","time":"2026-11-{:02}T{:02}:{:02}:{:02}.{:06}Z","environment":"prod","trace_id":"{}","span_id":"{:016x}","#,
            r#""initiator":{{"key":"h-{}","type":"human"}},"executor":{{"key":"a-{}","type":"agent","instance":"run-{}"}},"#,
            r#""credential":{{"fingerprint":"sha256:{:016x}{:016x}{:016x}{:016x}","type":"bearer","scopes":["tickets:write"]}},"#,
            r#""tool":{{"server":"tickets","name":"{}","version":"1.4.0"}},"operation":"tools/call","permission":"tickets:write","#,
            r#""resource":{{"uri":"ticket:/{}","type":"ticket","classification":"internal"}},"outcome":{{"status":"{}","duration_ms":{}}},"#,
            r#""disclose":{{"arguments":{{"title":"Renew the certificate of host {}","priority":{}}},"result":{{"id":{}}}}}}}"#,
        ),
        1 + second / 86_400 % 28,
        second / 3_600 % 24,
        second / 60 % 60,
        second % 60,
        n * 500 % 1_000_000,
        trace(n),
        mixed(n),
        r % PEOPLE,
        (r >> 8) % AGENTS,
        (r >> 16) % 1_000,
        mixed(r % CREDENTIALS),
        mixed(1 + r % CREDENTIALS),
        mixed(2 + r % CREDENTIALS),
        mixed(3 + r % CREDENTIALS),
        ["create", "update", "close", "comment"][(r >> 20) as usize % 4],
        (r >> 24) % RESOURCES,
        if r.is_multiple_of(50) { "failure" } else { "success" },
        (r >> 40) % 900,
        (r >> 30) % 10_000,
        r % 5,
        (r >> 24) % RESOURCES,
    );
}

/// Records `from..from + count` as a request body, one a line.
pub(crate) fn body(from: u64, count: u64) -> String {
    let mut out = String::with_capacity(count as usize * 720);
    for n in from..from + count {
        write(n, &mut out);
        out.push('\n');
    }
    out
}
