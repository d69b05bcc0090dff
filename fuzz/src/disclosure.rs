//! Disclosures, and payloads with the disclosures put in.

use deed_ledger::fuzzing;
use deed_seal::sd::{
    Compact, Disclosure, MAX_DEPTH, digest_of_json, digests_of_json, disclosure_json,
    element_disclosure_json, unpack,
};
use serde_json::Value;

/// One disclosure in either form, the disclosures of one record as they are kept, or a payload (in clear
/// where a JWT would stand) with its disclosures, in compact serialisation.
pub fn disclosure(data: &[u8]) {
    if let Ok(one) = Disclosure::from_json(data) {
        assert_eq!(one.json(), data);
        come_back(&one);
    }
    if let Ok(all) = fuzzing::opened(data) {
        let sum: usize =
            all.iter().map(|one| one.json.len() + one.group.as_deref().map_or(0, str::len) + 5).sum();
        assert_eq!(sum, data.len(), "every byte belongs to one of them");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(one) = Disclosure::parse(text) {
        assert_eq!(one.encoded(), text);
        come_back(&one);
    }
    let Ok(compact) = Compact::split(text) else { return };
    let sum: usize = compact.disclosures.iter().map(|one| one.len() + 1).sum();
    assert_eq!(compact.jwt.len() + 1 + sum, compact.bound.len());
    let Ok(payload) = serde_json::from_str::<Value>(compact.jwt) else { return };
    // In clear, too: a fuzzer does not guess base64.
    let read = |one: &&str| Disclosure::parse(one).or_else(|_| Disclosure::from_json(*one)).ok();
    let disclosures: Vec<Disclosure> = compact.disclosures.iter().filter_map(read).collect();
    if let Ok(unpacked) = unpack(&payload, &disclosures) {
        assert!(no_digest_is_left(&unpacked, 0), "{unpacked}");
    }
    // What nothing commits to is never shown.
    if let (false, Some(members)) = (disclosures.is_empty(), payload.as_object())
        && !compact.jwt.contains("_sd")
        && !compact.jwt.contains("...")
        && !members.is_empty()
        && !compact.jwt.contains('\\')
    {
        assert!(unpack(&payload, &disclosures).is_err());
    }
}

fn come_back(one: &Disclosure) {
    let value = one.value_json().as_bytes();
    let json = match one.name() {
        Some(name) => disclosure_json(one.salt(), name, value),
        None => element_disclosure_json(one.salt(), value),
    };
    let again = Disclosure::from_json(json).expect("what is written can be read");
    assert_eq!((again.salt(), again.name(), again.value_json()), (one.salt(), one.name(), one.value_json()));
    assert_eq!(vec![digest_of_json(one.json())], digests_of_json(&[one.json()]));
}

fn no_digest_is_left(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| {
            !["_sd", "_sd_alg", "..."].contains(&name.as_str()) && no_digest_is_left(value, depth + 1)
        }),
        Value::Array(items) => items.iter().all(|item| no_digest_is_left(item, depth + 1)),
        _ => depth <= MAX_DEPTH + 1,
    }
}
