//! Tests of the vocabulary as those outside see it.

mod checker;
mod documentation;
mod full;
mod reading;
mod schema;
mod sealed;
mod secret;
