//! OTLP over gRPC.

use std::sync::Arc;

use axum::{Router, body::Body, extract::State, middleware::map_response, response::Response, routing::any};
use bytes::{Buf, BufMut, Bytes};
use deed_collect::otlp::decode_protobuf;
use http::{HeaderName, HeaderValue, Request};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_server::SERVICE_NAME as LOGS},
    trace::v1::{ExportTraceServiceRequest, trace_service_server::SERVICE_NAME as TRACES},
};
use tonic::{
    Code,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::Grpc,
    service::Routes,
};
use tower::service_fn;

use super::{export, http::Signal};
use crate::{
    app::App,
    auth::{Admission, Caller},
    problem::{Kind, Problem},
    settings::Right,
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The services of an OTLP/gRPC listener. Any other answers `UNIMPLEMENTED`.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Routes::default()
        .into_axum_router()
        .route(&format!("/{TRACES}/Export"), any(answer::<ExportTraceServiceRequest>).with_state(app.clone()))
        .route(&format!("/{LOGS}/Export"), any(answer::<ExportLogsServiceRequest>).with_state(app.clone()))
        .layer(map_response(as_otlp_has_it))
}

/// tonic says `OUT_OF_RANGE` of a message over the limit, which OTLP would have tried again for ever, and
/// `INTERNAL` of one that it cannot unpack, which is the sender's fault. What fails here has details.
async fn as_otlp_has_it(mut response: Response) -> Response {
    let is = |code: Code| {
        response.headers().get(GRPC_STATUS).is_some_and(|status| *status == HeaderValue::from(code as i32))
    };
    let code = if is(Code::OutOfRange) {
        Code::ResourceExhausted
    } else if is(Code::Internal) && !response.headers().contains_key(GRPC_DETAILS) {
        Code::InvalidArgument
    } else {
        return response;
    };
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(code as i32));
    response
}

async fn answer<R: Signal>(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> http::Response<tonic::body::Body> {
    let take = |request: tonic::Request<Bytes>| {
        let app = app.clone();
        async move { take::<R>(&app, request).await.map_err(|problem| tonic::Status::from(&problem)) }
    };
    Grpc::new(AsSent)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(app.limits.body_bytes)
        .unary(service_fn(take), request)
        .await
}

async fn take<R: Signal>(
    app: &App,
    request: tonic::Request<Bytes>,
) -> Result<tonic::Response<Vec<u8>>, Problem> {
    let caller = caller(request.extensions())?;
    let body = request.into_inner();
    let decode = move || decode_protobuf::<R>(&body).map_err(|error| Problem::new(Kind::BadRequest, error));
    Ok(tonic::Response::new(R::response(export(app, caller, decode).await?)))
}

fn caller(extensions: &http::Extensions) -> Result<Arc<Caller>, Problem> {
    let Some(Admission(admitted)) = extensions.get::<Admission>() else {
        return Err(Problem::new(Kind::Internal, "the request passed no gate"));
    };
    let caller = admitted.clone()?;
    caller.require(Right::Otlp)?;
    Ok(caller)
}

/// Messages as they were sent: tonic's own reader refuses an export for one item that it cannot read.
struct AsSent;

impl Codec for AsSent {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        AsSent
    }

    fn decoder(&mut self) -> Self {
        AsSent
    }
}

impl Encoder for AsSent {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for AsSent {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
