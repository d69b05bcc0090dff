//! `google.rpc.Status`: how OTLP says what went wrong, over HTTP and gRPC alike.

use prost::Message;
use serde_json::{Value, json};

use crate::problem::{Kind, Problem, RETRY_AFTER};

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    /// A `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Seconds>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Seconds {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl From<&Problem> for Status {
    fn from(problem: &Problem) -> Self {
        let detail = match problem.kind() {
            Kind::NotJson | Kind::BadRequest => {
                let violation =
                    FieldViolation { field: String::new(), description: problem.detail().to_owned() };
                Some((BAD_REQUEST, BadRequest { field_violations: vec![violation] }.encode_to_vec()))
            }
            Kind::Unavailable | Kind::Busy => {
                let delay = Seconds { seconds: i64::try_from(RETRY_AFTER).unwrap_or(i64::MAX) };
                Some((RETRY_INFO, RetryInfo { retry_delay: Some(delay) }.encode_to_vec()))
            }
            _ => None,
        };
        let details = detail.map(|(url, value)| Any { type_url: url.to_owned(), value });
        Status {
            code: code(problem.kind()) as i32,
            message: problem.detail().to_owned(),
            details: details.into_iter().collect(),
        }
    }
}

impl Status {
    /// In the JSON mapping of protobuf.
    pub(crate) fn to_json(&self) -> Value {
        let details: Vec<Value> = self
            .details
            .iter()
            .map(|detail| match &*detail.type_url {
                RETRY_INFO => json!({ "@type": RETRY_INFO, "retryDelay": format!("{RETRY_AFTER}s") }),
                other => json!({ "@type": other, "fieldViolations": [{ "description": self.message }] }),
            })
            .collect();
        json!({ "code": self.code, "message": self.message, "details": details })
    }
}

/// The gRPC code; retryable or not as OTLP has it: of those that come up here only `Unavailable` is.
fn code(kind: Kind) -> tonic::Code {
    match kind {
        Kind::Unauthenticated => tonic::Code::Unauthenticated,
        Kind::Forbidden | Kind::Tenant | Kind::ForeignSite | Kind::Misdirected => {
            tonic::Code::PermissionDenied
        }
        // Without RetryInfo, which makes it final.
        Kind::TooLarge => tonic::Code::ResourceExhausted,
        Kind::Unavailable | Kind::Busy => tonic::Code::Unavailable,
        Kind::NotFound | Kind::Method | Kind::NotBuilt => tonic::Code::Unimplemented,
        Kind::Internal => tonic::Code::Internal,
        _ => tonic::Code::InvalidArgument,
    }
}

impl From<&Problem> for tonic::Status {
    fn from(problem: &Problem) -> Self {
        let status = Status::from(problem);
        tonic::Status::with_details(code(problem.kind()), problem.detail(), status.encode_to_vec().into())
    }
}
