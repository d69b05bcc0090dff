//! Names of people, as they are compared where it matters that somebody is somebody else.

use std::{collections::HashSet, iter::once};

use deed_identity::{Inventory, Principal, principal_name};
use deed_record::PrincipalType;
use unicode_normalization::UnicodeNormalization;

use crate::intent::Who;

impl Who {
    /// The same, who names themself: with nothing in it that cannot be seen.
    ///
    /// # Errors
    /// There is, in a sentence.
    pub fn visible(self) -> Result<Self, String> {
        let unseen = |text: &Option<String>| text.as_deref()?.chars().find(|c| is_unseen(*c));
        let found = [&self.key, &self.name, &self.instance].into_iter().find_map(unseen);
        match found {
            Some(c) => Err(format!(
                "a name must hold nothing that cannot be seen, and this one holds U+{:04X}",
                u32::from(c)
            )),
            None => Ok(self),
        }
    }
}

/// Whether two keys are of one principal, as far as the inventory says. Names that look alike, or differ in what stands before
/// the same key alone, are no two people's.
pub(crate) fn is_same(inventory: &Inventory, a: &str, b: &str) -> bool {
    !names(inventory, a).is_disjoint(&names(inventory, b))
}

/// `key` as somebody means who writes `TYPE:KEY` for a key that says already whose it is. What the inventory declares stands as
/// it is.
pub(crate) fn meant(inventory: &Inventory, key: &str) -> String {
    let mut key = principal_name(key).into_owned();
    while inventory.principal(&key).is_none()
        && let Some((_, behind)) = typed(&key).filter(|(_, behind)| is_key(behind))
    {
        key = principal_name(behind).into_owned();
    }
    key
}

/// `key` without what makes no other person of it: blanks around it, capitals, other forms of the same letters, what cannot be
/// seen, AuthZEN's word for a human.
pub(crate) fn plain(key: &str) -> String {
    let seen: String = key.nfkc().filter(|c| !is_unseen(*c)).collect();
    // Up and down again is what Unicode calls folding, but for letters that nobody has in a key.
    let folded: String = seen.trim().to_uppercase().to_lowercase().nfkc().collect();
    principal_name(&folded).into_owned()
}

/// Every name of whoever may be meant by `key`, plain.
fn names(inventory: &Inventory, key: &str) -> HashSet<String> {
    let mut said = vec![plain(key)];
    while let Some(last) = said.last()
        && let Some((_, behind)) = typed(last).filter(|(_, behind)| is_key(behind))
    {
        let behind = plain(behind);
        said.push(behind);
    }
    let is_meant = |principal: &&Principal| {
        names_of(principal).any(|name| said.contains(&name))
            || said
                .iter()
                .filter_map(|name| typed(name))
                .any(|(kind, behind)| principal.kind == kind && plain(&principal.key) == behind)
    };
    let declared = inventory.principals().iter().filter(is_meant).flat_map(names_of);
    declared.chain(said.iter().cloned()).collect()
}

fn names_of(principal: &Principal) -> impl Iterator<Item = String> + '_ {
    once(&principal.key).chain(&principal.aliases).map(|name| plain(name))
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
    use super::*;

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
            ("human:bob", "user:bob"),
            ("human:bob", "human:\u{ff42}\u{ff4f}\u{ff42}"),
            ("human:bob", "human:b\u{200b}ob\0"),
            ("human:stra\u{df}e", "human:STRASSE"),
            ("human:ren\u{e9}", "human:rene\u{301}"),
            ("oidc:idp.example/7f3a", "human:ann"),
            ("oidc:idp.example/7f3a", "human:human:ann.smith"),
            ("human:oidc:idp.example/7f3a", "ann"),
        ] {
            assert!(is_same(&inventory, a, b) && is_same(&inventory, b, a), "{a:?} {b:?}");
        }
        for (a, b) in [
            ("human:ann", "agent:ann"),
            ("human:bob", "human:bo"),
            ("oidc:idp.example/ann", "oidc:other.example/ann"),
            ("oidc:idp.example/ann", "human:ann"),
        ] {
            assert!(!is_same(&inventory, a, b), "{a:?} {b:?}");
        }
        assert_eq!(meant(&inventory, "human:oidc:idp.example/bob"), "oidc:idp.example/bob");
        assert_eq!(meant(&inventory, "user:bob"), "human:bob");
        assert_eq!(meant(&inventory, "human:"), "human:");
    }
}
