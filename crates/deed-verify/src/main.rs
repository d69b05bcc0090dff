//! Verifies a folder of tiles without trusting anyone: no server, no async runtime
fn main() {}
