//! Other systems logs and OTLP, mapped to records
