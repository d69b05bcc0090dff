//! The HTTP API, OTLP receivers, tlog endpoints, health and metrics
