//! Answers to `tools/list`: what they offer, and the same with less in it.

use deed_record::Text;
use deed_seal::hash::Hash;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::intent::{Listed, Shown};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    cache_scope: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// The tools of `result`; none where it is no such answer.
pub(crate) fn tools(result: &RawValue) -> Vec<Listed> {
    let Ok(tools) = serde_json::from_str::<Tools<'_>>(result.get()) else { return Vec::new() };
    tools.tools.into_iter().filter_map(listed).collect()
}

fn listed(definition: &RawValue) -> Option<Listed> {
    let Name { name } = serde_json::from_str(definition.get()).ok()?;
    let value: Value = serde_json::from_str(definition.get()).ok()?;
    Some(Listed {
        name: name.to_string(),
        digest: format!("sha256:{}", Hash::of(sorted(&value).as_bytes())),
        definition: definition.to_owned(),
    })
}

/// `value` as compact JSON whose members stand in the order of their names: servers write them in any.
pub(crate) fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), sorted(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// `text`, a message with `result`, without the tools that are not shown. Everything else stays as it is.
pub(crate) fn without_hidden(text: &str, result: &RawValue, shown: &Shown) -> String {
    let Ok(tools) = serde_json::from_str::<Tools<'_>>(result.get()) else { return text.to_owned() };
    let at = |piece: &RawValue| piece.get().as_ptr() as usize - text.as_ptr() as usize;
    let mut cuts: Vec<(usize, usize, String)> = Vec::new();
    let is_hidden = |tool: &RawValue| {
        serde_json::from_str::<Name<'_>>(tool.get())
            .is_ok_and(|Name { name }| shown.hidden.iter().any(|hidden| *hidden == *name))
    };
    if let (Some(first), Some(last)) = (tools.tools.first(), tools.tools.last())
        && tools.tools.iter().any(|tool| is_hidden(tool))
    {
        let kept: Vec<&str> =
            tools.tools.iter().filter(|tool| !is_hidden(tool)).map(|tool| tool.get()).collect();
        cuts.push((at(first), at(last) + last.get().len(), kept.join(",")));
    }
    // What depends on who asks must not be kept for others (MCP, caching).
    if let Some(scope) = tools.cache_scope.filter(|scope| shown.personal && scope.get() != "\"private\"") {
        cuts.push((at(scope), at(scope) + scope.get().len(), "\"private\"".into()));
    }
    cuts.sort_unstable_by_key(|(from, ..)| std::cmp::Reverse(*from));
    cuts.into_iter().fold(text.to_owned(), |mut text, (from, to, with)| {
        text.replace_range(from..to, &with);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope": "public","tools":[ {"name":"a","description":"x","n":1.50}, {"description":"x","name":"b"},{"name":"c"} ],"ttlMs":5}}"#;

    fn result(text: &str) -> &RawValue {
        match Message::read(text.as_bytes()) {
            Ok(Message::Response { outcome: Ok(result), .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tools_are_known_by_what_they_say_not_by_how() {
        let found = tools(result(ANSWER));
        assert_eq!(found.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["a", "b", "c"]);
        let again =
            ANSWER.replace(r#"{"description":"x","name":"b"}"#, r#"{ "name": "b", "description":"\u0078" }"#);
        assert_eq!(tools(result(&again))[1].digest, found[1].digest);
        let changed =
            ANSWER.replace(r#"{"description":"x","name":"b"}"#, r#"{"description":"y","name":"b"}"#);
        assert_ne!(tools(result(&changed))[1].digest, found[1].digest);
    }

    #[test]
    fn hidden_tools_are_cut_and_nothing_else() {
        let shown = |hidden: &[&str]| Shown {
            hidden: hidden.iter().map(|name| (*name).to_owned()).collect(),
            personal: true,
        };
        let cut = without_hidden(ANSWER, result(ANSWER), &shown(&["b"]));
        let expected = ANSWER
            .replace(
                r#"{"name":"a","description":"x","n":1.50}, {"description":"x","name":"b"},{"name":"c"}"#,
                r#"{"name":"a","description":"x","n":1.50},{"name":"c"}"#,
            )
            .replace("\"public\"", "\"private\"");
        assert_eq!(cut, expected);
        assert!(tools(result(&without_hidden(ANSWER, result(ANSWER), &shown(&["a", "b", "c"])))).is_empty());
        let all = Shown::default();
        assert_eq!(without_hidden(ANSWER, result(ANSWER), &all), ANSWER);
    }
}
