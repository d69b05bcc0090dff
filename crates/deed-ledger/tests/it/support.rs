//! What the tests share.

use std::path::Path;

use deed_ledger::{Ledger, Options, Receipt, Sender};

pub(crate) fn open(dir: &Path) -> Ledger {
    // Small journal files, so that tests meet their ends.
    Ledger::open(dir, Options { journal_file_bytes: 16 << 20, ..Options::default() })
        .expect("the store opens")
}

pub(crate) fn sender() -> Sender {
    Sender { tenant: None, name: "test".into(), ours: false }
}

pub(crate) fn append(ledger: &Ledger, body: &str) -> Vec<Receipt> {
    ledger.append(body.as_bytes(), &sender()).expect("recorded")
}

/// `count` observations, one a line, told apart by `from`.
pub(crate) fn observations(from: u64, count: u64) -> String {
    (from..from + count)
        .map(|n| {
            format!(
                r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","trace_id":"{:032x}","initiator":{{"key":"h-{}","type":"human"}},"executor":{{"key":"a-{}","type":"agent"}},"credential":{{"fingerprint":"sha256:{:064x}"}},"operation":"tools/call","disclose":{{"arguments":{{"n":{n}}}}}}}"#,
                n / 5 + 1,
                n % 7,
                n % 3,
                n % 11
            ) + "\n"
        })
        .collect()
}

/// What a crash at this very moment would leave: every byte the kernel has been given.
pub(crate) fn crash_image(of: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(of).expect("listed") {
        let entry = entry.expect("read");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("typed");
        if kind.is_dir() {
            crash_image(&entry.path(), &target);
        } else if kind.is_file() && std::fs::copy(entry.path(), &target).is_err() {
            // Swept or renamed while we copied: a crash would have lost it just so.
            continue;
        }
    }
}
