//! Tests of the vocabulary as those outside see it.

mod checker;
mod full;
mod schema;
mod secret;
