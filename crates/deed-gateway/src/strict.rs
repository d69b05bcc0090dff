//! JSON that every reader reads alike.

use std::{borrow::Cow, fmt};

use deed_policy::folded;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Passes over one message in which no object has two members of one name.
///
/// INVARIANT D13: of two such members one parser takes the first and another the last, so that a gateway
/// could decide on one and the server act on the other. There are parsers, Go's among them, that take a member for another
/// whose name differs in case alone: neither may a message, its `params` or their `arguments` have two such names, nor the
/// protocol's own names in another case. Deeper down, and in results, are data; the arguments that a policy looks at are held
/// against their names wherever they stand ([`deed_policy`]). Depth is bounded by `serde_json` (128), which
/// refuses lone surrogates too.
///
/// # Errors
/// It is no JSON, or a name stands twice; the message shows no value.
pub(crate) fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict::Message.deserialize(&mut reader)?;
    reader.end()
}

/// What stands there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strict {
    Message,
    Params,
    Arguments,
    Data,
}

impl Strict {
    /// What stands in the member `name`.
    fn member(self, name: &str) -> Self {
        match (self, name) {
            (Strict::Message, "params") => Strict::Params,
            (Strict::Params, "arguments") => Strict::Arguments,
            _ => Strict::Data,
        }
    }

    /// Names that the protocol has for it, of those that are decided on.
    fn known(self) -> &'static [&'static str] {
        match self {
            Strict::Message => &["jsonrpc", "id", "method", "params", "result", "error"],
            Strict::Params => {
                &["name", "uri", "arguments", "_meta", "task", "taskId", "requestState", "inputResponses"]
            }
            Strict::Arguments | Strict::Data => &[],
        }
    }

    /// Whether `names`, in order, could be read in two ways; how.
    fn wrong(self, names: &[Cow<'_, str>]) -> Option<&'static str> {
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("an object has two members of one name");
        }
        // What the protocol has itself are names of their own.
        if self == Strict::Data || names.iter().all(|name| self.known().contains(&&**name)) {
            return None;
        }
        let known = self.known().iter().filter(|known| !names.iter().any(|name| name == *known));
        let mut alike: Vec<String> = names.iter().map(|name| folded(name)).collect();
        alike.extend(known.map(|known| folded(known)));
        alike.sort_unstable();
        let is_two = alike.windows(2).any(|pair| pair[0] == pair[1]);
        is_two.then_some(
            "an object has members whose names differ from each other, or from the protocol's, in case alone",
        )
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            map.next_value_seed(self.member(&name))?;
            names.push(name);
        }
        names.sort_unstable();
        self.wrong(&names).map_or(Ok(()), |how| Err(A::Error::custom(how)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strict::Data)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A member's name, without its escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_or_none() {
        for good in ["{}", "[1,2.5,-3,1e400,\"a\",null,true]", r#"{"a":{"b":[{"a":1}]},"b":{}}"#, " 7 "] {
            // What overflows is refused too: readers differ on it.
            assert_eq!(check(good).is_ok(), !good.contains("1e400"), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"y":1,"z":2,"y":3}}]"#,
            "{} {}",
            "{",
            "",
            "nul",
            r#""\ud800""#,
            &"[".repeat(200),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
