//! Tests.

mod secret;
