//! OTLP over HTTP: protobuf and JSON, answered in kind.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use deed_collect::otlp::{Export, decode_json, decode_protobuf};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message;
use serde_json::json;

use super::{Exported, Status, export, other_signal};
use crate::{
    api::with_type,
    app::App,
    auth::Exporting,
    body::{Received, media_type},
    problem::{Kind, Problem, add_headers},
};

/// How a request is written, and so its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match media_type(headers).as_deref() {
            Some("application/x-protobuf") => Some(Encoding::Protobuf),
            Some("application/json") => Some(Encoding::Json),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// `POST /v1/traces`.
pub(crate) async fn traces(
    State(app): State<Arc<App>>,
    caller: Exporting,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer::<ExportTraceServiceRequest>(&app, caller, &headers, body).await
}

/// `POST /v1/logs`.
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    caller: Exporting,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer::<ExportLogsServiceRequest>(&app, caller, &headers, body).await
}

/// `POST /v1/metrics`: not recorded, and not to be tried again.
pub(crate) async fn metrics(headers: HeaderMap) -> Response {
    refusal(&other_signal(), &headers)
}

/// Anything else at an OTLP listener.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    refusal(&Problem::new(Kind::NotFound, "expected `POST` to `/v1/traces` or `/v1/logs`"), &headers)
}

/// A known path, but not `POST`.
pub(crate) async fn method_not_allowed(headers: HeaderMap) -> Response {
    refusal(&Problem::new(Kind::Method, "expected `POST`"), &headers)
}

/// `problem` as an exporter understands it, in the encoding of its request.
pub(crate) fn refusal(problem: &Problem, headers: &HeaderMap) -> Response {
    let encoding = Encoding::of(headers).unwrap_or(Encoding::Json);
    let status = Status::from(problem);
    let body = match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        Encoding::Json => status.to_json().to_string().into_bytes(),
    };
    let mut response = (problem.kind().status(), with_type(body, encoding.media_type())).into_response();
    add_headers(problem.kind(), response.headers_mut());
    response
}

/// A signal and how its answers are written.
pub(super) trait Signal: Export + Send + 'static {
    /// The answer in protobuf.
    fn response(exported: Exported) -> Vec<u8>;
    /// The member of a partial success that counts, in JSON.
    const REJECTED: &str;
}

impl Signal for ExportTraceServiceRequest {
    const REJECTED: &str = "rejectedSpans";
    fn response(exported: Exported) -> Vec<u8> {
        trace_response(exported).encode_to_vec()
    }
}

impl Signal for ExportLogsServiceRequest {
    const REJECTED: &str = "rejectedLogRecords";
    fn response(exported: Exported) -> Vec<u8> {
        logs_response(exported).encode_to_vec()
    }
}

/// The answer to exported spans; `partial_success` unset where all were taken.
fn trace_response(exported: Exported) -> ExportTraceServiceResponse {
    let Exported { rejected, message } = exported;
    let partial = (rejected > 0)
        .then_some(ExportTracePartialSuccess { rejected_spans: rejected, error_message: message });
    ExportTraceServiceResponse { partial_success: partial }
}

/// The answer to exported log records.
fn logs_response(exported: Exported) -> ExportLogsServiceResponse {
    let Exported { rejected, message } = exported;
    let partial = (rejected > 0)
        .then_some(ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message });
    ExportLogsServiceResponse { partial_success: partial }
}

async fn answer<R: Signal>(app: &App, caller: Exporting, headers: &HeaderMap, body: Body) -> Response {
    match take::<R>(app, caller, headers, body).await {
        Ok((exported, Encoding::Protobuf)) => {
            with_type(R::response(exported), Encoding::Protobuf.media_type())
        }
        Ok((exported, Encoding::Json)) => {
            // Protobuf's JSON has 64-bit integers as strings.
            let answer = match exported.rejected {
                0 => json!({}),
                rejected => {
                    json!({ "partialSuccess": { R::REJECTED: rejected.to_string(), "errorMessage": exported.message } })
                }
            };
            (StatusCode::OK, with_type(answer.to_string(), Encoding::Json.media_type())).into_response()
        }
        Err(problem) => refusal(&problem, headers),
    }
}

async fn take<R: Signal>(
    app: &App,
    caller: Exporting,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Exported, Encoding), Problem> {
    let caller = caller.0?;
    let encoding = Encoding::of(headers).ok_or_else(|| {
        Problem::new(Kind::MediaType, "expected `application/x-protobuf` or `application/json`")
    })?;
    let received = Received::read(app, headers, body).await?;
    let decode = move || {
        let body = received.plain()?;
        let (decoded, wrong) = match encoding {
            Encoding::Protobuf => (decode_protobuf::<R>(&body), Kind::BadRequest),
            Encoding::Json => (decode_json::<R>(&body), Kind::NotJson),
        };
        decoded.map_err(|error| Problem::new(wrong, error))
    };
    Ok((export::<R>(app, caller, decode).await?, encoding))
}
