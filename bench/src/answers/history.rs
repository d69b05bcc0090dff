//! Who there is, and what they did: a pure function of the number of the record.

use std::fmt::{self, Write as _};

use crate::records::mixed;

/// The credential that leaks; its holder's actions with it are [`LEAKED_ACTIONS`], spread over the history.
pub(crate) const LEAKED: &str = "AKIALEAKED0000000001";
const LEAKED_ACTIONS: u64 = 10_000;
/// One identity in so many stands in the inventory, with an owner.
const DECLARED: u64 = 10;
/// One right in so many has no end.
const STANDING: u64 = 4;

/// One action in so many names the grant that it relies on.
const RELYING: u64 = 100;

const SYSTEMS: [&str; 4] = ["orders", "tickets", "builds", "mail"];

/// Of a whole: first each principal's grant and credential, then the actions.
pub(crate) struct History {
    pub(crate) actions: u64,
    pub(crate) principals: u64,
}

/// The alias of principal `n`: agents, workloads and service accounts.
pub(crate) fn key(n: u64) -> String {
    let system = ["agent", "spiffe", "k8s"][(n % 3) as usize];
    format!("{system}:job-{n}")
}

fn kind(n: u64) -> &'static str {
    ["agent", "workload", "service_account"][(n % 3) as usize]
}

/// A UUIDv8 that nobody else makes.
fn id(what: u64, n: u64) -> String {
    let (a, b) = (mixed(what ^ mixed(n)), mixed(n ^ mixed(what)));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

impl History {
    pub(crate) fn records(&self) -> u64 {
        2 * self.principals + self.actions
    }

    pub(crate) fn action_id(&self, n: u64) -> String {
        id(3, n)
    }

    /// One in [`DECLARED`] of them, with who answers for it.
    pub(crate) fn inventory(&self) -> String {
        let mut text = String::new();
        for n in (0..self.principals).step_by(DECLARED as usize) {
            let (kind, key) = (kind(n), key(n));
            text.push_str(&format!(
                "[[principal]]\nkey = \"job-{n}\"\ntype = \"{kind}\"\naliases = [\"{key}\"]\nowner = \"human:h-{}\"\n\n",
                n % 500
            ));
        }
        text
    }

    /// Appends record `n` on a line of its own.
    pub(crate) fn write(&self, n: u64, out: &mut String) -> fmt::Result {
        if n < self.principals {
            self.grant(n, out)
        } else if n < 2 * self.principals {
            self.credential(n - self.principals, out)
        } else {
            self.action(n - 2 * self.principals, out)
        }?;
        out.push('\n');
        Ok(())
    }

    fn grant(&self, n: u64, out: &mut String) -> fmt::Result {
        let expires = if n.is_multiple_of(STANDING) { "" } else { r#","expires":"2027-02-01T00:00:00Z""# };
        let system = SYSTEMS[(n % 4) as usize];
        write!(
            out,
            r#"{{"kind":"grant","id":"{}","time":"2026-11-01T00:00:00Z","basis":"imported","source":{{"system":"iam","event_id":"g-{n}"}},"resource":{{"uri":"{system}:/*"}},"terms":{{"change":"issued","role":"{system}-writer","scopes":["{system}:read","{system}:write","{system}:delete"],"subject":{{"key":"{}","type":"{}"}},"by":{{"key":"human:h-{}","type":"human"}}{expires}}}}}"#,
            id(1, n),
            key(n),
            kind(n),
            n % 500
        )
    }

    fn credential(&self, n: u64, out: &mut String) -> fmt::Result {
        write!(
            out,
            r#"{{"kind":"credential","id":"{}","time":"2026-11-01T00:00:01Z","basis":"imported","source":{{"system":"vault","event_id":"c-{n}"}},"grant":"{}","credential":{{"id":"{}","type":"api_key","issued":"2026-11-01T00:00:01Z"}},"terms":{{"change":"issued","subject":{{"key":"{}","type":"{}"}}}}}}"#,
            id(2, n),
            id(1, n),
            self.credential_of(n),
            key(n),
            kind(n)
        )
    }

    fn credential_of(&self, n: u64) -> String {
        if n == 0 { LEAKED.to_owned() } else { format!("key-{n}") }
    }

    fn action(&self, n: u64, out: &mut String) -> fmt::Result {
        let r = mixed(n ^ 0xdeed);
        let every = (self.actions / LEAKED_ACTIONS).max(1);
        let who = if n.is_multiple_of(every) { 0 } else { 1 + r % (self.principals - 1) };
        let system = SYSTEMS[(who % 4) as usize];
        // Nobody deletes, one in two never writes.
        let verb = if r >> 8 & 1 == 1 && who.is_multiple_of(2) { "write" } else { "read" };
        let relies =
            if r.is_multiple_of(RELYING) { format!(r#""grant":"{}","#, id(1, who)) } else { String::new() };
        let seconds = n / 10;
        let (day, hour, minute) = (2 + seconds / 86_400 % 27, seconds / 3_600 % 24, seconds / 60 % 60);
        write!(
            out,
            r#"{{"kind":"observation","id":"{}","time":"2026-11-{day:02}T{hour:02}:{minute:02}:{:02}.{:06}Z","environment":"prod","basis":"imported","source":{{"system":"{system}"}},"trace_id":"{:016x}{:016x}","span_id":"{:016x}","initiator":{{"key":"human:h-{}","type":"human"}},"executor":{{"key":"{}","type":"{}","instance":"run-{}"}},"credential":{{"id":"{}","type":"api_key"}},{}"operation":"{verb}","permission":"{system}:{verb}","resource":{{"uri":"{system}:/{}","type":"row"}},"outcome":{{"status":"{}","duration_ms":{}}}}}"#,
            self.action_id(n),
            seconds % 60,
            n % 10 * 100_000,
            mixed(n / 5),
            mixed(!(n / 5)),
            mixed(n),
            who % 500,
            key(who),
            kind(who),
            r >> 16 & 3,
            self.credential_of(who),
            relies,
            r >> 24 & 0xffff,
            if r.is_multiple_of(50) { "failure" } else { "success" },
            r >> 40 & 0x3ff
        )
    }
}
