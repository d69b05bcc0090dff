//! The records that are measured with: some 700 bytes each, arguments and result as disclosures, five to
//! a trace, names drawn from as many people, agents, credentials and resources as a middling company has.

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
    let mut id = String::with_capacity(32);
    write_trace(n, &mut id);
    id
}

fn write_trace(n: u64, out: &mut String) {
    hex(mixed(n / 5), out);
    hex(mixed(!(n / 5)), out);
}

/// Sixteen hex digits.
fn hex(value: u64, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 16] = std::array::from_fn(|at| DIGITS[(value >> (60 - 4 * at) & 15) as usize]);
    out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
}

/// `value` in decimal, with zeros before it up to `width` digits.
fn decimal(value: u64, width: usize, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    out.push_str(&"000000"[..width.saturating_sub(digits.len())]);
    out.push_str(digits);
}

/// Record `n` as a client sends it. The client runs on the cores that are measured: what it costs to make
/// records is kept small.
pub(crate) fn write(n: u64, out: &mut String) {
    let r = mixed(n ^ 0xdeed);
    let second = n / 2_000;
    out.push_str(r#"{"kind":"observation","time":"2026-11-"#);
    for (value, width, then) in [
        (1 + second / 86_400 % 28, 2, "T"),
        (second / 3_600 % 24, 2, ":"),
        (second / 60 % 60, 2, ":"),
        (second % 60, 2, "."),
        (n * 500 % 1_000_000, 6, r#"Z","environment":"prod","trace_id":""#),
    ] {
        decimal(value, width, out);
        out.push_str(then);
    }
    write_trace(n, out);
    out.push_str(r#"","span_id":""#);
    hex(mixed(n), out);
    for (before, value) in [
        (r#"","initiator":{"key":"h-"#, r % PEOPLE),
        (r#"","type":"human"},"executor":{"key":"a-"#, (r >> 8) % AGENTS),
        (r#"","type":"agent","instance":"run-"#, (r >> 16) % 1_000),
    ] {
        out.push_str(before);
        decimal(value, 0, out);
    }
    out.push_str(r#""},"credential":{"fingerprint":"sha256:"#);
    (0..4).for_each(|part| hex(mixed(part + r % CREDENTIALS), out));
    out.push_str(r#"","type":"bearer","scopes":["tickets:write"]},"tool":{"server":"tickets","name":""#);
    out.push_str(["create", "update", "close", "comment"][(r >> 20) as usize % 4]);
    out.push_str(
        r#"","version":"1.4.0"},"operation":"tools/call","permission":"tickets:write","resource":{"uri":"ticket:/"#,
    );
    decimal((r >> 24) % RESOURCES, 0, out);
    out.push_str(r#"","type":"ticket","classification":"internal"},"outcome":{"status":""#);
    out.push_str(if r.is_multiple_of(50) { "failure" } else { "success" });
    for (before, value) in [
        (r#"","duration_ms":"#, (r >> 40) % 900),
        (r#"},"disclose":{"arguments":{"title":"Renew the certificate of host "#, (r >> 30) % 10_000),
        (r#"","priority":"#, r % 5),
        (r#"},"result":{"id":"#, (r >> 24) % RESOURCES),
    ] {
        out.push_str(before);
        decimal(value, 0, out);
    }
    out.push_str("}}}");
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
