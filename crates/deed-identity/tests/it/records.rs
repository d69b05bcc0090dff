//! Sealed records, written short.

use deed_identity::{Bounds, State};
use deed_record::{Account, Skeleton, Timestamp};
use serde_json::{Value, json};

/// The account called `name`.
pub(crate) fn account(name: &str) -> Account {
    let mut bytes = [0_u8; 16];
    for (at, byte) in name.bytes().enumerate() {
        bytes[at % 16] = bytes[at % 16].wrapping_mul(31) ^ byte;
    }
    // As good as random in its first bits.
    bytes[0] = bytes.iter().fold(7, |sum: u8, byte| sum.wrapping_mul(167).wrapping_add(*byte));
    Account(bytes)
}

/// A time, as written.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(crate) fn party(name: &str, kind: &str) -> Value {
    json!({ "account": account(name).to_string(), "type": kind })
}

/// Record `number`: an observation that system `system` logged, with `more` over it.
pub(crate) fn logged(number: u32, system: &str, more: Value) -> Value {
    let mut record = json!({
        "basis": "imported",
        "id": format!("0193a700-0000-8000-8000-{number:012x}"),
        "kind": "observation",
        "recorded": "2026-11-01T12:00:00.000000Z",
        "source": { "system": system },
        "submitter": "collector",
        "tenant": "acme",
        "time": format!("2026-11-01T10:{:02}:{:02}.000000Z", number / 60 % 60, number % 60),
        "v": 1,
    });
    merge(&mut record, more);
    record
}

/// The same, as Deed itself enforced it.
pub(crate) fn enforced(number: u32, more: Value) -> Value {
    let mut record = logged(number, "", more);
    record["basis"] = "enforced".into();
    record["submitter"] = "deed:mcp/tickets".into();
    record.as_object_mut().expect("an object").remove("source");
    record
}

/// Something that `system` should have told is missing.
pub(crate) fn gap(number: u32, system: &str) -> Value {
    let mut record = enforced(number, json!({ "kind": "gap", "operation": "recorder unavailable" }));
    record["source"] = json!({ "system": system });
    record
}

/// The same, as its sender says.
pub(crate) fn told(number: u32, sender: &str, more: Value) -> Value {
    let mut record = enforced(number, more);
    record["basis"] = "reported".into();
    record["submitter"] = sender.into();
    record
}

fn merge(record: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (name, value) in more {
        record[&name] = value;
    }
}

/// Everything that `records` say.
pub(crate) fn state(records: &[Value]) -> State {
    bounded(records, Bounds::default())
}

pub(crate) fn bounded(records: &[Value], bounds: Bounds) -> State {
    let mut state = State::new(bounds);
    for record in records {
        fold(&mut state, record);
    }
    state
}

pub(crate) fn fold(state: &mut State, record: &Value) {
    let bytes = serde_json::to_vec(record).expect("JSON");
    let skeleton = Skeleton::parse(&bytes).unwrap_or_else(|error| panic!("{error}: {record}"));
    state.fold(&skeleton);
}

/// `executor` acts with credential `name`.
pub(crate) fn uses(name: &str, executor: Value) -> Value {
    json!({ "executor": executor, "credential": { "id": name } })
}

/// `by`, with credential `with`, has `name` issued to `subject`.
pub(crate) fn issues(by: Value, with: &str, name: &str, subject: Value) -> Value {
    json!({
        "executor": by,
        "credential": { "id": with },
        "effects": [{
            "kind": "credential",
            "credential": { "id": name, "parent": with },
            "terms": { "change": "issued", "subject": subject },
        }],
    })
}
