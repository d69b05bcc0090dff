//! The record of one event.

use deed_record::{WHOLE, parse_one};
use serde_json::{Map, Value};

use super::{Mapping, member::Said, rows::Row};
use crate::{
    json::{self, Json},
    loose::Loose,
};

pub(super) fn record(mapping: &Mapping, row: &Row) -> Result<String, String> {
    let event = Loose(&row.value);
    let holding = || mapping.when.iter().filter(|when| when.tests.iter().all(|test| test.holds(event)));
    let mut record = Map::new();
    // What is said later stands in the place of what was said before.
    let said = mapping.record.iter().chain(holding().flat_map(|when| &when.record));
    put_all(&mut record, said, event, &mapping.system)?;
    let effects = holding().flat_map(|when| &when.effects).map(|said| {
        let mut effect = Map::new();
        put_all(&mut effect, said.iter(), event, &mapping.system)?;
        Ok(effect_of(effect))
    });
    let effects: Vec<Value> = effects.collect::<Result<_, String>>()?;
    let event_id = record.remove("event_id").ok_or_else(|| missing(mapping, "event_id"))?;
    if !record.contains_key("time") {
        return Err(missing(mapping, "time"));
    }
    complete(&mut record);
    if !effects.is_empty() {
        record.insert("effects".to_owned(), effects.into());
    }
    record.entry("kind").or_insert_with(|| "observation".into());
    record.insert("basis".to_owned(), "imported".into());
    let source = [
        ("collector", Value::from(mapping.collector.as_str())),
        ("event_id", event_id),
        ("system", Value::from(mapping.system.as_str())),
    ];
    record.insert(
        "source".to_owned(),
        source.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    );
    let mut disclose = Json::with_capacity(row.text.len() + 64);
    if let Some(Value::Object(members)) = record.remove("disclose") {
        for (name, value) in &members {
            disclose.key(name);
            disclose.string(value.as_str().unwrap_or_default());
        }
    }
    disclose.name(WHOLE);
    disclose.raw(&row.text);
    let text = json::with_disclosures(&Value::Object(record), &disclose)?;
    // What no form of a member can say, such as a digest that is none.
    parse_one(&text, false).map_err(|error| error.to_string())?;
    Ok(text)
}

fn missing(mapping: &Mapping, member: &str) -> String {
    let from = mapping.record.iter().find(|said| said.member == member);
    match from.map(|said| &said.from) {
        Some(super::value::Origin::Field(field)) => format!("{}: missing", field.called()),
        _ => format!("`{member}`: the event gives none"),
    }
}

fn put_all<'s>(
    into: &mut Map<String, Value>,
    all: impl Iterator<Item = &'s Said>,
    event: Loose<'_>,
    system: &str,
) -> Result<(), String> {
    for said in all {
        if let Some(value) = said.from.value(said.sort, event, system)? {
            put(into, &said.member, value);
        }
    }
    Ok(())
}

/// Puts `value` at a path such as `executor.key`.
fn put(into: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            into.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Leaves out what names nothing, for the fields that name it are empty, and says of everybody what they are.
fn complete(members: &mut Map<String, Value>) {
    for (name, needed) in [
        ("resource", "uri"),
        ("tool", "name"),
        ("artifact", "name"),
        ("outcome", "status"),
        ("decision", "effect"),
    ] {
        if members.get(name).is_some_and(|group| group.get(needed).is_none()) {
            members.remove(name);
        }
    }
    for name in ["executor", "initiator", "subject", "by"] {
        let Some(Value::Object(principal)) = members.get_mut(name) else { continue };
        if !principal.contains_key("key") && !principal.contains_key("name") && name != "executor" {
            members.remove(name);
            continue;
        }
        principal.entry("type").or_insert_with(|| "unknown".into());
    }
    let is_action = members.contains_key("time");
    if is_action {
        members.entry("executor").or_insert_with(|| serde_json::json!({"type": "unknown"}));
    }
}

/// An effect as a record has it: its terms stand in a member of their own.
fn effect_of(mut said: Map<String, Value>) -> Value {
    complete(&mut said);
    let mut effect = Map::new();
    for name in ["kind", "resource", "credential"] {
        if let Some(value) = said.remove(name) {
            effect.insert(name.to_owned(), value);
        }
    }
    if !said.is_empty() {
        effect.insert("terms".to_owned(), Value::Object(said));
    }
    Value::Object(effect)
}
