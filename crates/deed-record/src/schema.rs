//! The JSON Schema of records as they are sent (`deed schema`).

/// JSON Schema (2020-12) of a [`Submission`](crate::Submission).
pub const SUBMISSION: &str = include_str!("../schema/record.schema.json");
