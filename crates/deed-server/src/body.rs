//! Request bodies: received within a limit, decompressed within the same limit.

use std::{io::Read, time::Duration};

use axum::body::Body;
use flate2::bufread::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// A body that makes no progress for so long is given up.
const STALLED: Duration = Duration::from_secs(20);

/// Room for a body that does not say how large it is; more than this, and it gets room for the largest.
const MODEST: usize = 4 << 20;

/// A body as it came.
pub(crate) struct Received {
    bytes: Vec<u8>,
    gzip: bool,
    limit: usize,
    /// Given back when the body is dropped.
    _room: OwnedSemaphorePermit,
}

impl Received {
    /// Receives `body`, at most as much as the limit allows.
    ///
    /// # Errors
    /// It is too large, stalls, or is compressed by something else than gzip.
    pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        Received::read_at_most(app.limits.body_bytes, app, headers, body).await
    }

    /// As [`Received::read`], with a limit of its own, in bytes.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn read_at_most(
        limit: usize,
        app: &App,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<Self, Problem> {
        let gzip = is_gzip(headers)?;
        let announced = axum::body::HttpBody::size_hint(&body).exact();
        if announced.is_some_and(|bytes| bytes > limit as u64) {
            return Err(too_large(limit, "as sent"));
        }
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let mut reserved = announced.unwrap_or(MODEST.min(limit));
        let mut room = app.room(reserved).await?;
        // One copy, into memory of the right size. What is announced is not believed before it comes.
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(1 << 20));
        while let Some(frame) = timeout(STALLED, body.frame()).await.map_err(|_| stalled())? {
            let frame = frame
                .map_err(|error| Problem::new(Kind::BadRequest, format!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large(limit, "as sent"));
            }
            if bytes.len() + data.len() > reserved {
                room.merge(app.room(limit - reserved).await?);
                reserved = limit;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, gzip, limit, _room: room })
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The body, where it is so small that it is dealt with sooner than handed to another thread.
    pub(crate) fn small(&self) -> Option<&[u8]> {
        const SMALL: usize = 8 << 10;
        (!self.gzip && self.bytes.len() <= SMALL).then_some(&self.bytes)
    }

    /// The body, decompressed and read as a JSON object.
    ///
    /// # Errors
    /// As [`Received::plain`]; or it is not what is expected.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let body = self.plain()?;
        // A list of members without their names would be taken for the object that has them.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(Kind::BadRequest, "the body: expected an object, found a list"));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Problem::new(Kind::BadRequest, format!("the body: {error}")))
    }

    /// The body, decompressed. For the blocking pool.
    ///
    /// # Errors
    /// It is too large when decompressed, or damaged.
    pub(crate) fn plain(self) -> Result<Vec<u8>, Problem> {
        if !self.gzip {
            return Ok(self.bytes);
        }
        let mut plain = Vec::with_capacity(self.bytes.len().saturating_mul(4).min(self.limit));
        // One byte more than is allowed tells that there is more.
        let read = MultiGzDecoder::new(&*self.bytes).take(self.limit as u64 + 1).read_to_end(&mut plain);
        read.map_err(|error| Problem::new(Kind::BadRequest, format!("the body is not gzip: {error}")))?;
        if plain.len() > self.limit {
            return Err(too_large(self.limit, "when decompressed"));
        }
        Ok(plain)
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match encoding.as_bytes().trim_ascii() {
        b"gzip" | b"x-gzip" => Ok(true),
        b"" | b"identity" => Ok(false),
        _ => Err(Problem::new(Kind::MediaType, "expected no content encoding, or `gzip`")),
    }
}

fn too_large(limit: usize, how: &str) -> Problem {
    Problem::new(
        Kind::TooLarge,
        match limit >> 20 {
            0 => format!("the body is larger than {} KiB {how}", limit >> 10),
            mib => format!("the body is larger than {mib} MiB {how}; send it in parts"),
        },
    )
}

fn stalled() -> Problem {
    Problem::new(Kind::Slow, format!("nothing came for {} s", STALLED.as_secs()))
}

/// The media type of a request, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
