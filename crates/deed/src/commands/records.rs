//! Sending records, and what is said about them.

use std::borrow::Cow;

use deed_record::RecordId;
use http::StatusCode;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    access::Access,
    client::{Request, Response},
    exit::Failure,
};

/// Where a record stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// Its id.
    pub(crate) id: RecordId,
    /// The log's origin.
    pub(crate) log: String,
    /// Its leaf.
    pub(crate) index: u64,
    /// Whether it was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) duplicate: bool,
}

/// What became of one record.
#[derive(Debug)]
pub(crate) enum Sent {
    /// It is durable.
    Recorded(Receipt),
    /// It was not taken, and why.
    Refused(String),
}

/// Why a request with records was refused.
pub(crate) struct Refusal {
    /// Position of the record that is meant, where one is.
    pub(crate) index: Option<usize>,
    /// What is wrong with it.
    pub(crate) error: String,
    /// The same as an error of the whole.
    pub(crate) failure: Failure,
    status: StatusCode,
}

impl Refusal {
    /// Whether the id of a record stands for another one: then the others of its request are recorded.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// Whether the records may have been recorded all the same: a disk that failed, or was too slow to say, may hold them.
    pub(crate) fn is_open(&self) -> bool {
        self.status.is_server_error()
    }
}

/// Sends `records`, all of them or none.
///
/// # Errors
/// The outer: no answer. The inner: why none was taken.
pub(crate) async fn send_all(
    access: &Access,
    records: &[&str],
) -> Result<Result<Vec<Receipt>, Refusal>, Failure> {
    #[derive(Deserialize)]
    struct Receipts {
        receipts: Vec<Receipt>,
    }
    let response = access.call(&request("/v1/records", records)).await?;
    if !response.status.is_success() {
        return Ok(Err(refusal(&response)));
    }
    Ok(Ok(response.json::<Receipts>()?.receipts))
}

/// Sends `records`, each on its own: what becomes of one does not touch the others.
///
/// With `again`, an event that is there already is corrected where its mapping is newer.
///
/// # Errors
/// No answer, or nothing can be recorded at all.
pub(crate) async fn send_each(access: &Access, records: &[&str], again: bool) -> Result<Vec<Sent>, Failure> {
    #[derive(Deserialize)]
    struct Answers {
        receipts: Vec<Answer>,
    }
    let path = if again { "/v1/records?again=true" } else { "/v1/records?each=true" };
    let mut todo = vec![records];
    let mut sent = Vec::with_capacity(records.len());
    while let Some(records) = todo.pop() {
        let response = access.call(&request(path, records)).await?;
        if response.status.is_success() {
            let answers = response.json::<Answers>()?.receipts;
            if answers.len() != records.len() {
                return Err(Failure::new(format!(
                    "the server answered for {} of {} records",
                    answers.len(),
                    records.len()
                )));
            }
            for answer in answers {
                sent.push(answer.into_sent()?);
            }
            continue;
        }
        let refusal = refusal(&response);
        let of_records = matches!(
            refusal.status,
            StatusCode::BAD_REQUEST
                | StatusCode::CONFLICT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        match records {
            _ if !of_records => return Err(refusal.failure),
            [_] => sent.push(Sent::Refused(refusal.error)),
            // A batch that is refused as a whole: halving finds the one that is meant.
            _ => {
                let (first, second) = records.split_at(records.len() / 2);
                todo.push(second);
                todo.push(first);
            }
        }
    }
    Ok(sent)
}

/// A receipt, or an object with the member `error`.
#[derive(Deserialize)]
struct Answer {
    id: Option<RecordId>,
    log: Option<String>,
    index: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<Problem>,
}

/// As much of a problem document (RFC 9457) as is told on.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    title: Option<String>,
    field: Option<String>,
    index: Option<usize>,
}

impl Answer {
    fn into_sent(self) -> Result<Sent, Failure> {
        match self {
            Answer { error: Some(problem), .. } => Ok(Sent::Refused(problem.text())),
            Answer { id: Some(id), log: Some(log), index: Some(index), duplicate, .. } => {
                Ok(Sent::Recorded(Receipt { id, log, index, duplicate }))
            }
            _ => Err(Failure::new("the server's answer is neither a receipt nor an error")),
        }
    }
}

impl Problem {
    fn text(self) -> String {
        let said = self.detail.or(self.title).unwrap_or_else(|| "refused".to_owned());
        match self.field {
            Some(field) => format!("field `{field}`: {said}"),
            None => said,
        }
    }
}

fn request(path: &str, records: &[&str]) -> Request {
    let lines: Vec<Cow<'_, str>> = records.iter().map(|record| one_line(record)).collect();
    Request::post(path, "application/x-ndjson", lines.join("\n"))
}

/// What is no JSON is taken for one record, and not for one a line.
fn one_line(record: &str) -> Cow<'_, str> {
    if record.contains('\n') && serde_json::from_str::<IgnoredAny>(record).is_err() {
        Cow::Owned(record.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(record)
    }
}

fn refusal(response: &Response) -> Refusal {
    let problem: Option<Problem> = serde_json::from_slice(&response.body).ok();
    let index = problem.as_ref().and_then(|problem| problem.index);
    let error = problem.map_or_else(|| format!("the server answered {}", response.status), Problem::text);
    let failure = crate::client::refusal(response.status, &response.body);
    Refusal { index, error, failure, status: response.status }
}
