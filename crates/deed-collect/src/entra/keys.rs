//! Secrets and certificates of applications and service principals.

use std::collections::BTreeMap;

use deed_record::{Change, Credential, EffectSent, Timestamp};

use super::{SYSTEM, audit::Audit, party};
use crate::authority::{self, of_credential};

/// One effect for each key that was added or taken away: those that only the new or only the old value
/// of `KeyDescription` lists.
pub(super) fn effects(audit: Audit<'_>, time: Timestamp) -> Vec<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let is_of_keys = operation.contains("credentials") || operation.contains("secrets management");
    let Some((old, new)) = audit.modified("KeyDescription").filter(|_| is_of_keys) else {
        return Vec::new();
    };
    let subject = audit.target(&["ServicePrincipal", "Application"]).or_else(|| audit.targets().next());
    let subject = subject.and_then(party::of_target);
    let (old, new) = (keys(old), keys(new));
    let of_key = |change, id: &str, kind: &str| {
        let kind = match kind {
            "Password" | "Symmetric" => "client_secret",
            "AsymmetricX509Cert" | "X509CertAndPassword" => "certificate",
            _ => "key",
        };
        let credential = Credential {
            issued: (change == Change::Issued).then_some(time),
            ..authority::credential(kind, Some(id), SYSTEM)
        };
        of_credential(change, credential, subject.clone())
    };
    let added = new.iter().filter(|(id, _)| !old.contains_key(*id));
    let removed = old.iter().filter(|(id, _)| !new.contains_key(*id));
    added
        .map(|(id, kind)| of_key(Change::Issued, id, kind))
        .chain(removed.map(|(id, kind)| of_key(Change::Revoked, id, kind)))
        .collect()
}

/// Ids and types in a list such as `["[KeyIdentifier=GUID,KeyType=Password,KeyUsage=Verify,DisplayName=ci]"]`.
fn keys(value: &str) -> BTreeMap<&str, &str> {
    let member = |entry: &'_ str, name: &str| -> Option<(usize, usize)> {
        let from = entry.find(name)? + name.len();
        let length = entry[from..].find([',', ']', '"', '\\']).unwrap_or(entry.len() - from);
        (length > 0).then_some((from, from + length))
    };
    value
        .split("KeyIdentifier=")
        .skip(1)
        .filter_map(|entry| {
            let end = entry.find([',', ']', '"', '\\']).unwrap_or(entry.len());
            let kind = member(entry, "KeyType=").map_or("", |(from, to)| &entry[from..to]);
            (end > 0).then(|| (&entry[..end], kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_what_stands_for_a_list() {
        let value = r#"["[KeyIdentifier=a-1,KeyType=Password,KeyUsage=Verify,DisplayName=x]","[KeyIdentifier=b-2,KeyType=AsymmetricX509Cert]"]"#;
        assert_eq!(keys(value), BTreeMap::from([("a-1", "Password"), ("b-2", "AsymmetricX509Cert")]));
        for odd in ["", "[]", "KeyIdentifier=", "KeyIdentifier=,KeyType=", "null"] {
            assert_eq!(keys(odd), BTreeMap::new(), "{odd}");
        }
    }
}
