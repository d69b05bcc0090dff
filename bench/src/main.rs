//! Prints how fast Deed is.
fn main() {}
