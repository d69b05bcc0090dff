//! Names of people, as they are compared where it matters that somebody is somebody else.

use std::{borrow::Cow, collections::HashSet, iter::once};

use deed_identity::{Inventory, Principal, principal_name};
use deed_record::PrincipalType;
use unicode_normalization::UnicodeNormalization;

use crate::intent::Who;

impl Who {
    /// The same, whom somebody names: written so that nobody reads another name in it. Nothing in it cannot be seen, no blank
    /// stands at an end or beside a `:`, and there is a name behind the type.
    ///
    /// # Errors
    /// It is not, in a sentence.
    pub fn visible(self) -> Result<Self, String> {
        for text in [&self.key, &self.name, &self.instance].into_iter().flatten() {
            if let Some(c) = text.chars().find(|c| is_unseen(*c)) {
                let c = u32::from(c);
                return Err(format!(
                    "a name must hold nothing that cannot be seen, and this one holds U+{c:04X}"
                ));
            }
            if text.trim() != text {
                return Err(format!("a name must not begin or end with a blank: `{text}`"));
            }
        }
        let Some(key) = self.key.as_deref() else { return Ok(self) };
        if key.split(':').any(|part| part.trim() != part) {
            return Err(format!("a name must have no blank beside a `:`: `{key}`"));
        }
        if typed(key).is_some_and(|(_, behind)| behind.is_empty()) {
            return Err(format!("the name behind `{key}` is empty"));
        }
        Ok(self)
    }

    /// The key, and in full one that does not say what they are.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let key = self.key.as_deref().filter(|key| !key.is_empty());
        let is_short = |key: &&str| !key.contains(':') && self.kind != PrincipalType::Unknown;
        let full = key.filter(is_short).map(|key| Cow::Owned(format!("{}:{key}", self.kind)));
        key.map(Cow::Borrowed).into_iter().chain(full)
    }
}

/// Whether two are one principal, as far as the inventory says. Names that look alike, or differ in what stands before the same
/// key alone, are no two people's.
pub(crate) fn is_same(inventory: &Inventory, a: &Who, b: &Who) -> bool {
    let names = |who: &Who| who.keys().flat_map(|key| names(inventory, &key)).collect::<HashSet<_>>();
    !names(a).is_disjoint(&names(b))
}

/// The key of `who` as somebody means who writes `TYPE:KEY` for a key that says already whose it is, or leaves `TYPE:` out. What
/// the inventory declares stands as it is.
pub(crate) fn meant(inventory: &Inventory, who: &Who) -> Option<String> {
    let is_declared = |key: &str| inventory.principal(key).is_some();
    let key = who.keys().find(|key| is_declared(key)).or_else(|| who.keys().last())?;
    let mut key = principal_name(&key).into_owned();
    while !is_declared(&key)
        && let Some((_, behind)) = typed(&key).filter(|(_, behind)| is_key(behind))
    {
        key = principal_name(behind).into_owned();
    }
    Some(key)
}

/// `key` without what makes no other person of it: blanks at its ends, beside a `:` and more than one in a row, capitals, other
/// forms of the same letters, what cannot be seen, AuthZEN's word for a human.
pub(crate) fn plain(key: &str) -> String {
    let seen: String = key.nfkc().filter(|c| !is_unseen(*c)).collect();
    let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let closed = seen.split(':').map(words).collect::<Vec<_>>().join(":");
    // Down, up and down again is what Unicode calls folding, but for letters that nobody has in a key.
    let folded: String = closed.to_lowercase().to_uppercase().to_lowercase().nfkc().collect();
    principal_name(&folded).into_owned()
}

/// Every name of whoever may be meant by `key`, plain.
fn names(inventory: &Inventory, key: &str) -> HashSet<String> {
    let said = said(key);
    let declared = declared(inventory, &said).flat_map(names_of).map(|name| plain(name));
    declared.chain(said.iter().cloned()).collect()
}

/// Every name that is stopped with whoever goes by `key`: those that the inventory has for them, else `key`, each as it is
/// written and plain.
pub(crate) fn to_stop(inventory: &Inventory, key: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |name: String| {
        if !all.contains(&name) {
            all.push(name)
        }
    };
    let said = said(key);
    let mut found = declared(inventory, &said).flat_map(names_of).peekable();
    let own = found.peek().is_none().then_some(key);
    for name in own.into_iter().chain(found.map(String::as_str)) {
        add(principal_name(name).into_owned());
        add(plain(name));
    }
    all
}

/// `key`, plain, and what stands in it behind words for what somebody is.
fn said(key: &str) -> Vec<String> {
    let mut said = vec![plain(key)];
    while let Some(last) = said.last()
        && let Some((_, behind)) = typed(last).filter(|(_, behind)| is_key(behind))
    {
        let behind = plain(behind);
        said.push(behind);
    }
    said
}

/// Whoever of the inventory goes by one of the names `said`.
fn declared<'i>(inventory: &'i Inventory, said: &[String]) -> impl Iterator<Item = &'i Principal> {
    inventory.principals().iter().filter(move |principal| {
        names_of(principal).any(|name| said.contains(&plain(name)))
            || said
                .iter()
                .filter_map(|name| typed(name))
                .any(|(kind, behind)| principal.kind == kind && plain(&principal.key) == behind)
    })
}

fn names_of(principal: &Principal) -> impl Iterator<Item = &String> {
    once(&principal.key).chain(&principal.aliases)
}

/// What stands behind `TYPE:`.
fn typed(name: &str) -> Option<(PrincipalType, &str)> {
    let (kind, behind) = name.split_once(':')?;
    Some((kind.parse().ok()?, behind))
}

/// Whether a name says already whose it is: `system:native-id`.
fn is_key(name: &str) -> bool {
    name.split_once(':').is_some_and(|(system, id)| !system.trim().is_empty() && !id.trim().is_empty())
}

/// Controls, what shows nothing, what only formats, and a blank that Unicode takes for a sign.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || shows_nothing(c)
        || matches!(c,
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{2028}'..='\u{2029}'
            | '\u{2800}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}')
}

/// What Unicode has no sign for (`Default_Ignorable_Code_Point`).
pub(crate) fn shows_nothing(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Somebody who goes by `key`; a human where it does not say.
    fn who(key: &str) -> Who {
        let kind = typed(key).map_or(PrincipalType::Human, |(kind, _)| kind);
        Who { kind, key: Some(key.to_owned()), name: None, instance: None }
    }

    #[test]
    fn nobody_becomes_somebody_else_by_how_they_write_their_name() {
        let declared = r#"
            [[principal]]
            key = "ann"
            type = "human"
            aliases = ["human:Ann.Smith", "oidc:idp.example/7f3a"]"#;
        let inventory = Inventory::parse(declared).expect("an inventory");
        for (a, b) in [
            ("oidc:idp.example/ann", "human:oidc:idp.example/ann"),
            ("oidc:idp.example/ann", "user:human:oidc:idp.example/Ann"),
            ("human:bob", " HUMAN:bob "),
            ("human:bob", "human: bob"),
            ("human:bob", "human:\u{3000}bob\u{a0}"),
            ("human:bob", "bob"),
            ("human:ann smith", "human:Ann \u{2009}Smith"),
            ("human:bob", "user:bob"),
            ("human:bob", "human:\u{ff42}\u{ff4f}\u{ff42}"),
            ("human:bob", "human:b\u{200b}ob\0"),
            ("human:stra\u{df}e", "human:STRASSE"),
            ("human:ren\u{e9}", "human:rene\u{301}"),
            ("oidc:idp.example/7f3a", "human:ann"),
            ("oidc:idp.example/7f3a", "human:human:ann.smith"),
            ("human:oidc:idp.example/7f3a", "ann"),
        ] {
            assert!(
                is_same(&inventory, &who(a), &who(b)) && is_same(&inventory, &who(b), &who(a)),
                "{a:?} {b:?}"
            );
        }
        for (a, b) in [
            ("human:ann", "agent:ann"),
            ("human:bob", "human:bo"),
            ("oidc:idp.example/ann", "oidc:other.example/ann"),
            ("oidc:idp.example/ann", "human:ann"),
        ] {
            assert!(!is_same(&inventory, &who(a), &who(b)), "{a:?} {b:?}");
        }
        let meant = |key| meant(&inventory, &who(key)).expect("a key");
        assert_eq!(meant("human:oidc:idp.example/bob"), "oidc:idp.example/bob");
        assert_eq!(meant("user:bob"), "human:bob");
        assert_eq!(meant("bob"), "human:bob");
        assert_eq!(meant("ann"), "ann");
        assert_eq!(meant("human:"), "human:");
    }

    /// Ways to write `name` that make no other one of it.
    fn written(name: &'static str) -> impl Strategy<Value = String> {
        let blanks = prop::sample::select(vec!["", " ", "\t", "\u{a0}", "\u{3000}", "\u{2003} ", "\u{205f}"]);
        let unseen = prop::sample::select(vec![
            "", "", "\u{200b}", "\u{ad}", "\u{fe0f}", "\u{3164}", "\u{2800}", "\0",
        ]);
        let form = prop::sample::select(vec![
            |c: char| c.to_string(),
            |c: char| c.to_uppercase().collect(),
            |c: char| c.to_string().nfd().collect(),
            |c: char| c.to_string().nfkd().collect(),
            |c: char| match c {
                '!'..='~' if c != ':' => char::from_u32(u32::from(c) + 0xfee0).into_iter().collect(),
                _ => c.to_string(),
            },
        ]);
        let one = (blanks.clone(), unseen, form);
        (prop::collection::vec(one, name.chars().count()), blanks).prop_map(move |(ways, last)| {
            let mut at_end = true;
            let mut text = String::new();
            for (c, (blank, unseen, form)) in name.chars().zip(ways) {
                if at_end || c == ':' {
                    text.push_str(blank);
                }
                text.push_str(&form(c));
                text.push_str(unseen);
                at_end = c == ':';
            }
            text + last
        })
    }

    proptest! {
        /// INVARIANT D8: however somebody writes their name, they stay who they are, or are told that it is no name.
        #[test]
        fn no_spelling_makes_somebody_else_or_goes_round_a_suspension(
            (name, text) in prop::sample::select(vec!["human:ann", "agent:ren\u{e9}e", "human:stra\u{df}e", "os:\u{3c3}\u{3c2}"])
                .prop_flat_map(|name| (Just(name), written(name)))
        ) {
            let inventory = Inventory::default();
            prop_assert!(is_same(&inventory, &who(name), &who(&text)), "{:?} {:?}", name, text);
            prop_assert!(to_stop(&inventory, &text).contains(&plain(name)));
            prop_assert_eq!(plain(&plain(&text)), plain(&text));
            let said = who(&text).visible();
            let has_more = text.chars().any(|c| c.is_whitespace() || is_unseen(c));
            prop_assert_eq!(said.is_err(), has_more, "{:?}", text);
        }

        #[test]
        fn of_any_text_the_plain_form_is_plain(text in ".*") {
            prop_assert_eq!(plain(&plain(&text)), plain(&text));
        }
    }
}
