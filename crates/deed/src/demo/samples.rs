//! The samples that are played, carried in the program: see `examples/README.md`.

/// Exports of real agent runs, as an exporter sends them: name and body.
pub(super) const TRACES: [(&str, &[u8]); 2] = [
    ("OpenAI Agents SDK", include_bytes!("../../../../examples/otlp/openai-agents.pb")),
    ("pydantic-ai", include_bytes!("../../../../examples/otlp/pydantic-ai.pb")),
];

/// A real CloudTrail file, anonymised.
pub(super) const CLOUDTRAIL: &[u8] =
    include_bytes!("../../../../examples/cloudtrail/leave-organization.json");

/// A service account asks for database access, gets a scoped role and uses it.
pub(super) const MIGRATION: &[u8] = include_bytes!("../../../../examples/i9.ndjson");
