//! Errors as clients see them: problem details (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use deed_gateway::Unavailable;
use deed_ledger::{AppendError, LedgerError};
use deed_record::{RecordId, secret::hidden};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// How long a client waits before it tries again what was unavailable, in seconds.
pub(crate) const RETRY_AFTER: u64 = 5;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// What sort of error it is: the closed list of `docs/api.md`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind { $($(#[$doc])* $name),* }

        impl Kind {
            /// Every sort, in the order of the documentation.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Kind::$name => StatusCode::$status),* }
            }

            /// The URI (RFC 4151) by which programs tell it.
            pub const fn uri(self) -> &'static str {
                match self { $(Kind::$name => concat!("tag:deed,2026:", $slug)),* }
            }

            const fn title(self) -> &'static str {
                match self { $(Kind::$name => $title),* }
            }
        }
    };
}

kinds! {
    /// A parameter cannot be read.
    BadRequest = BAD_REQUEST, "bad-request", "the request cannot be understood";
    /// The body is not what its content type says.
    NotJson = BAD_REQUEST, "not-json", "the body is not JSON";
    /// An SQL query was refused or failed.
    Query = BAD_REQUEST, "query-refused", "the query was refused";
    /// No token, or none that is known.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "a token is needed";
    /// The token does not give that right.
    Forbidden = FORBIDDEN, "forbidden", "the token does not allow this";
    /// Somebody else must answer.
    NotTheirs = FORBIDDEN, "not-theirs", "somebody else must answer";
    /// The token is bound to another tenant.
    Tenant = FORBIDDEN, "wrong-tenant", "the token is bound to another tenant";
    /// A page of another site sent it.
    ForeignSite = FORBIDDEN, "foreign-site", "requests from other sites are refused";
    /// There is no such thing.
    NotFound = NOT_FOUND, "not-found", "there is no such thing";
    /// The resource does not know that method.
    Method = METHOD_NOT_ALLOWED, "method-not-allowed", "the resource does not know that method";
    /// The body did not arrive in time.
    Slow = REQUEST_TIMEOUT, "timed-out", "the body did not arrive in time";
    /// The id stands for other content.
    Conflict = CONFLICT, "conflict", "the id stands for another record";
    /// The body is too large, as sent or decompressed.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "the body is too large";
    /// The content type or encoding is not taken.
    MediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "the content type or encoding is not taken";
    /// The host name is not this server's.
    Misdirected = MISDIRECTED_REQUEST, "misdirected", "the request is for another host";
    /// A record was refused.
    Record = UNPROCESSABLE_ENTITY, "record-refused", "a record was refused";
    /// Something else is there than whoever changes it had read.
    Precondition = PRECONDITION_FAILED, "changed-meanwhile", "it was changed meanwhile";
    /// An inventory was refused.
    Inventory = UNPROCESSABLE_ENTITY, "inventory-refused", "an inventory was refused";
    /// A policy set was refused.
    Policy = UNPROCESSABLE_ENTITY, "policy-refused", "a policy set was refused";
    /// The store cannot be read, or the program is wrong.
    Internal = INTERNAL_SERVER_ERROR, "internal", "the server failed";
    /// This server was built without it.
    NotBuilt = NOT_IMPLEMENTED, "not-built", "this server was built without it";
    /// Nothing can be recorded now.
    Unavailable = SERVICE_UNAVAILABLE, "recorder-unavailable", "the recorder is unavailable";
    /// Too much is asked at once.
    Busy = SERVICE_UNAVAILABLE, "busy", "too much is asked at once";
}

/// An error for a client. It holds no secret, whatever the request held (D9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    place: Place,
}

/// Which record of a request is meant, and what in it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
struct Place {
    /// Its position in what was sent, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// The member that is wrong, as a dotted path.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<RecordId>,
    /// Leaf of the record that had the id first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
}

impl Problem {
    /// A problem of that sort; `detail` says what happened this time and what to do.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        // INVARIANT D9: a detail may repeat a name that was sent, and somebody may send a token as one.
        let mut detail = detail.into();
        if let Cow::Owned(shown) = hidden(&detail) {
            detail = shown;
        }
        Problem { kind, detail, place: Place::default() }
    }

    /// The same about the record at `index`.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.place.index = Some(index);
        self
    }

    /// The id of the record at `index` stands for something that its sender may not know of.
    pub(crate) fn taken(index: usize, id: RecordId) -> Self {
        Problem {
            kind: Kind::Conflict,
            detail: format!("record {index}: id `{id}` cannot be used; send it under another id"),
            place: Place { index: Some(index), id: Some(id), ..Place::default() },
        }
    }

    /// What sort it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'p> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'p str,
            #[serde(skip_serializing_if = "Option::is_none")]
            index: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            field: Option<&'p str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<RecordId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            first: Option<u64>,
        }
        let Place { index, field, id, first } = &self.place;
        Wire {
            r#type: self.kind.uri(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            index: *index,
            field: field.as_deref(),
            id: *id,
            first: *first,
        }
        .serialize(serializer)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        add_headers(self.kind, headers);
        response
    }
}

/// What HTTP asks for beside the status.
pub(crate) fn add_headers(kind: Kind, headers: &mut http::HeaderMap) {
    match kind {
        Kind::Unavailable | Kind::Busy => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        Kind::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // RFC 9110, section 15.5.16.
        Kind::MediaType => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        _ => {}
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Problem::new(Kind::Unavailable, error.why())
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let detail = error.to_string();
        match error {
            AppendError::Refused(refused) => Problem {
                kind: Kind::Record,
                detail: refused.message,
                place: Place {
                    index: Some(refused.index),
                    field: (!refused.field.is_empty()).then_some(refused.field),
                    ..Place::default()
                },
            },
            AppendError::Conflict { index, id, first } => Problem {
                kind: Kind::Conflict,
                detail,
                place: Place { index: Some(index), id: Some(id), first: Some(first), ..Place::default() },
            },
            AppendError::Tenant { index, .. } => Problem {
                kind: Kind::Tenant,
                detail,
                place: Place { index: Some(index), field: Some("tenant".into()), ..Place::default() },
            },
            AppendError::Unavailable(_) => Problem::new(Kind::Unavailable, detail),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NotFound(_) => Problem::new(Kind::NotFound, error.to_string()),
            _ => {
                tracing::error!(%error, "the store cannot be read");
                Problem::new(Kind::Internal, error.to_string())
            }
        }
    }
}
