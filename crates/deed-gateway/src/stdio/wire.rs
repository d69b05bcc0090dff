//! What of a message is one client's alone: its id, its progress token, the id of its subscription. On a channel that
//! many clients share, each is Deed's own, and what the client called it stands there again before it hears of it.

use deed_record::Text;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{self, Id};

/// What a message names.
#[derive(Default)]
pub(super) struct Names<'a> {
    id: Option<&'a RawValue>,
    /// In `params`, or in the result.
    body: Body<'a>,
}

#[derive(Deserialize, Default)]
struct Body<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
    #[serde(borrow, default, rename = "progressToken")]
    progress: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    progress: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<&'a RawValue>,
}

impl<'a> Names<'a> {
    /// Those of the message `text`, which was read before.
    pub(super) fn of(text: &'a str) -> Self {
        #[derive(Deserialize)]
        struct Parts<'a> {
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
        }
        let Ok(Parts { id, params, result }) = serde_json::from_str::<Parts<'_>>(text) else {
            return Names::default();
        };
        let body = params.or(result).and_then(|body| serde_json::from_str(body.get()).ok());
        Names { id, body: body.unwrap_or_default() }
    }

    /// The token by which a request wants to hear of its progress, as it stands there.
    pub(super) fn wants_progress(&self) -> Option<&'a str> {
        Some(self.body.meta.as_ref()?.progress?.get())
    }

    /// Whether a request wants to hear what the server logs (2026-07-28).
    pub(super) fn wants_log(&self) -> bool {
        self.body.meta.as_ref().is_some_and(|meta| meta.log_level.is_some())
    }

    /// The token that a notification tells the progress of.
    pub(super) fn progress(&self) -> Option<&'a str> {
        self.body.progress.map(RawValue::get)
    }

    /// The request that a notification is about.
    pub(super) fn request(&self) -> Option<Id> {
        serde_json::from_str(self.body.request?.get()).ok()
    }

    /// The request whose subscription a message belongs to (2026-07-28).
    pub(super) fn subscription(&self) -> Option<Id> {
        serde_json::from_str(self.body.meta.as_ref()?.subscription?.get()).ok()
    }

    /// `text` as the request `wire`; its progress token too, where `own_token`.
    pub(super) fn outward(&self, text: &str, wire: i64, own_token: bool) -> String {
        let token = self.body.meta.as_ref().and_then(|meta| meta.progress).filter(|_| own_token);
        replaced(text, [self.id, token], &wire.to_string())
    }

    /// `text`, a notification that cancels, about the request `wire`.
    pub(super) fn cancels(&self, text: &str, wire: i64) -> String {
        replaced(text, [self.body.request, None], &wire.to_string())
    }

    /// `text`, an answer, as that to request `id`; with it what belongs to that one's subscription.
    pub(super) fn answers(&self, text: &str, id: &Id) -> String {
        let subscription = self.body.meta.as_ref().and_then(|meta| meta.subscription);
        replaced(text, [self.id, subscription], &id.to_string())
    }

    /// `text`, a notification, with the client's own `token` for its progress.
    pub(super) fn tells_progress(&self, text: &str, token: &str) -> String {
        replaced(text, [self.body.progress, None], token)
    }

    /// `text`, a notification, as one of the subscription of request `id`.
    pub(super) fn belongs_to(&self, text: &str, id: &Id) -> String {
        let subscription = self.body.meta.as_ref().and_then(|meta| meta.subscription);
        replaced(text, [subscription, None], &id.to_string())
    }
}

fn replaced(text: &str, pieces: [Option<&RawValue>; 2], with: &str) -> String {
    let edits = pieces.into_iter().flatten().map(|piece| (piece.get(), with.to_owned())).collect();
    message::edited(text, edits)
}

/// `text` on one line: outside of strings a line break is white space, and in them it is escaped (RFC 8259).
pub(super) fn on_one_line(text: &str) -> String {
    match text.contains(['\n', '\r']) {
        true => text.replace(['\n', '\r'], " "),
        false => text.to_owned(),
    }
}

/// The notification by which request `wire` is called off.
pub(super) fn cancelled(wire: i64) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{wire},\"reason\":{}}}}}",
        message::quoted("nobody waits for it any more")
    )
}

/// Whether `a` and `b` are the same JSON string or number.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    let text = |token| serde_json::from_str::<Text<'_>>(token).ok();
    a == b || text(a).is_some_and(|a| text(b).is_some_and(|b| *a == *b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_clients_alone_is_put_in_and_taken_out_again() {
        let asks = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"requestId":9,"arguments":{"progressToken":1},"_meta":{"progressToken":"p"}}}"#;
        let names = Names::of(asks);
        assert_eq!((names.wants_progress(), names.wants_log()), (Some("\"p\""), false));
        let outward = names.outward(asks, 5, true);
        assert_eq!(
            outward,
            r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"requestId":9,"arguments":{"progressToken":1},"_meta":{"progressToken":5}}}"#
        );
        let kept = names.outward(asks, 5, false);
        assert!(kept.contains(r#""_meta":{"progressToken":"p"}"#), "{kept}");
        let tells = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":5,"progress":0.50}}"#;
        assert_eq!(
            Names::of(tells).tells_progress(tells, "\"p\""),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":0.50}}"#
        );
        let answers =
            r#"{"id":5,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":5}},"jsonrpc":"2.0"}"#;
        assert_eq!(
            Names::of(answers).answers(answers, &Id::Text("a".into())),
            r#"{"id":"a","result":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a"}},"jsonrpc":"2.0"}"#
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":7}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":[1]}"#,
        ] {
            let names = Names::of(text);
            assert_eq!(names.wants_progress(), None);
            assert_eq!(names.outward(text, 2, true), text.replace("\"id\":1", "\"id\":2"));
        }
    }
}
