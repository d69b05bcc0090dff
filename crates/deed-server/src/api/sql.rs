//! `POST /v1/sql`.

use axum::response::Response;

use crate::{
    auth::Reading,
    problem::{Kind, Problem},
};

/// A server without SQL says so.
pub(crate) async fn query(_: Reading) -> Result<Response, Problem> {
    Err(Problem::new(Kind::NotBuilt, "SQL is a feature of the full build (`sql`)"))
}
