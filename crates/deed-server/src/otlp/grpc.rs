//! OTLP over gRPC.

use std::sync::Arc;

use axum::{Router, middleware::map_response, response::Response};
use deed_collect::otlp::{Export, Request};
use http::{HeaderName, HeaderValue};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tonic::{Code, codec::CompressionEncoding, service::Routes};

use super::{
    Exported, export,
    http::{logs_response, trace_response},
};
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
    let limit = app.limits.body_bytes;
    let traces = TraceServiceServer::new(Receiver(app.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let logs = LogsServiceServer::new(Receiver(app.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    Routes::new(traces).add_service(logs).into_axum_router().layer(map_response(as_otlp_has_it))
}

/// tonic says `OUT_OF_RANGE` of a message over the limit, which OTLP would have tried again for ever, and
/// `INTERNAL` of one that it cannot decode, which is the sender's fault. What fails here has details.
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

#[derive(Clone)]
struct Receiver(Arc<App>);

impl Receiver {
    async fn take<R: Export + Send + 'static>(
        &self,
        request: tonic::Request<R>,
    ) -> Result<Exported, tonic::Status> {
        let exported = async {
            let caller = caller(request.extensions())?;
            let request = request.into_inner();
            export(&self.0, caller, move || Ok(Request::from(request))).await
        };
        exported.await.map_err(|problem| tonic::Status::from(&problem))
    }
}

fn caller(extensions: &http::Extensions) -> Result<Arc<Caller>, Problem> {
    let Some(Admission(admitted)) = extensions.get::<Admission>() else {
        return Err(Problem::new(Kind::Internal, "the request passed no gate"));
    };
    let caller = admitted.clone()?;
    caller.require(Right::Otlp)?;
    Ok(caller)
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(trace_response(self.take(request).await?)))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(logs_response(self.take(request).await?)))
    }
}
