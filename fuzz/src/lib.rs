//! Every parser, fed with any bytes and held to what must be true of the answer.
//!
//! A target is a function that takes bytes, hands them to one parser and panics where a property fails:
//! what is accepted comes back the same when it is written and read again, output is bounded by input,
//! no secret stands in an error. `tests/it` replays `corpus/TARGET/` and mutations of it with every test
//! run; `fuzz/run TARGET` searches for new inputs with libFuzzer.
//!
//! Where a checksum guards a format, most changed inputs would be refused at the door. The first byte of
//! such an input says whether the target puts the checksums right, so that the reader behind is reached.

mod collect;
mod disclosure;
mod files;
mod index;
mod journal;
mod log;
mod mcp;
mod note;
mod pack;
mod record;
mod secret;
mod spool;
mod tile;

pub use collect::{
    cloudtrail, entra, github, kubernetes, mapping, okta, otlp_json, otlp_protobuf, ssf, teleport,
    vault_audit,
};
pub use disclosure::disclosure;
pub use index::index;
pub use journal::journal;
pub use log::log;
pub use mcp::mcp;
pub use note::{note, proof};
pub use pack::{pack, vault};
pub use record::{record, skeleton};
pub use secret::secret;
pub use spool::spool;
pub use tile::tile;

/// A target: panics where something does not hold of these bytes.
pub type Target = fn(&[u8]);

/// Every target by name, which is also that of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("cloudtrail", cloudtrail),
    ("disclosure", disclosure),
    ("entra", entra),
    ("github", github),
    ("index", index),
    ("journal", journal),
    ("kubernetes", kubernetes),
    ("log", log),
    ("mapping", mapping),
    ("mcp", mcp),
    ("note", note),
    ("okta", okta),
    ("otlp_json", otlp_json),
    ("otlp_protobuf", otlp_protobuf),
    ("pack", pack),
    ("proof", proof),
    ("record", record),
    ("secret", secret),
    ("skeleton", skeleton),
    ("spool", spool),
    ("ssf", ssf),
    ("teleport", teleport),
    ("tile", tile),
    ("vault", vault),
    ("vault_audit", vault_audit),
];

/// The number in the first eight bytes, big-endian, and what follows; missing bytes are 0.
fn number(data: &[u8]) -> (u64, &[u8]) {
    let (head, rest) = data.split_at(data.len().min(8));
    let mut bytes = [0; 8];
    bytes[..head.len()].copy_from_slice(head);
    (u64::from_be_bytes(bytes), rest)
}
