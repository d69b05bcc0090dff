//! docs/records.md says what is so.

use std::collections::BTreeSet;

use deed_record::{
    Account, Alias, Disclosable, Kind, Pseudonyms, Skeleton, Submission, parse_one, parse_records, schema,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::checker::validate;

const TEXT: &str = include_str!("../../../../docs/records.md");

/// The fenced blocks of `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("\n```{language}\n");
    TEXT.split(&open).skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest)).collect()
}

fn sent(text: &str) -> Submission<'_> {
    parse_one(text, true).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn there_is_an_accepted_example_of_every_kind() {
    let schema: Value = serde_json::from_str(schema::SUBMISSION).expect("the schema");
    let mut kinds = BTreeSet::new();
    for text in blocks("json") {
        let record = sent(text);
        assert_eq!(parse_one(text, false).is_err(), record.kind.is_ours(), "{text}");
        let value = serde_json::from_str(text).expect("JSON");
        let valid = validate(&schema, &schema, &value);
        assert_eq!(valid.is_err(), record.kind.is_ours(), "{valid:?}: {text}");
        assert!(TEXT.contains(&format!("\n`{}`: ", record.kind)), "{} is introduced", record.kind);
        kinds.insert(record.kind);
    }
    assert_eq!(kinds, Kind::ALL.iter().copied().collect());
}

#[test]
fn examples_name_one_another() {
    let records: Vec<Submission<'_>> = blocks("json").into_iter().map(sent).collect();
    let ids: BTreeSet<_> = records.iter().filter_map(|record| record.id).collect();
    for record in &records {
        let named = [record.action, record.request, record.grant, record.exception].into_iter().flatten();
        for id in named.chain(record.approvals.iter().flatten().copied()) {
            assert!(ids.contains(&id), "{} names {id}", record.kind);
        }
    }
}

#[test]
fn refusals_read_as_quoted() {
    let lines: Vec<&str> = blocks("json refused").into_iter().flat_map(str::lines).collect();
    assert!(lines.len() >= 10);
    for pair in lines.chunks(2) {
        let error = parse_records(pair[0].as_bytes(), false).expect_err(pair[0]);
        assert_eq!(format!("→ {error}"), pair[1]);
    }
}

#[test]
fn the_sealed_example_is_the_sent_one() {
    let examples = blocks("json");
    let sent = examples.into_iter().map(sent).find(|record| record.kind == Kind::Observation).expect("one");
    let sealed = Skeleton::parse(blocks("json sealed")[0].as_bytes()).expect("a sealed record");
    let account = |principal: &Option<deed_record::Principal<'_>>| -> Option<Account> {
        principal.as_ref()?.key.as_deref().map(|key| ExampleKey.account(Alias::parse(key)))
    };
    assert_eq!(sealed.initiator.and_then(|party| party.account), account(&sent.initiator));
    assert_eq!(sealed.executor.and_then(|party| party.account), account(&sent.executor));
    let personal = sent.personal.expect("an address").address.expect("an address");
    assert_eq!(sealed.personal.and_then(|p| p.address), Some(ExampleKey.pseudonym("address", &personal)));
    assert_eq!((Some(sealed.id), sealed.kind, sealed.time), (sent.id, sent.kind, sent.time));
    assert_eq!(
        (sealed.credential, sealed.resource, sealed.grant),
        (sent.credential, sent.resource, sent.grant)
    );
    assert_eq!((sealed.outcome, sealed.source, sealed.trace_id), (sent.outcome, sent.source, sent.trace_id));
    // Every digest is that of a disclosure in the table, and the members of `arguments` are all there.
    for (name, digests) in &sealed.disclose.0 {
        let opened: Vec<&str> = digests.all().iter().map(|digest| disclosure_of(digest)).collect();
        if &*name.0 == "arguments" {
            let Some(Disclosable::Members(members)) = sent.disclose.get("arguments") else {
                panic!("arguments")
            };
            for (member, value) in members {
                let ending = format!(",\"{}\",{value}]", &**member);
                assert!(opened.iter().any(|disclosure| disclosure.ends_with(&ending)), "{ending}");
            }
        }
    }
}

/// The disclosure that the table gives `digest` for.
fn disclosure_of(digest: &str) -> &'static str {
    let row =
        TEXT.lines().find(|line| line.starts_with("| `[") && line.ends_with(&format!("| `{digest}` |")));
    row.and_then(|row| row.split('`').nth(1)).unwrap_or_else(|| panic!("{digest} is in the table"))
}

#[test]
fn what_is_computed_by_hand_comes_out_as_printed() {
    let rows: Vec<Vec<&str>> =
        TEXT.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('`').collect()).collect();
    let mut checked = 0;
    for row in &rows {
        let [before, of, _, is, ..] = row[..] else { continue };
        let computed = match before {
            "| " if of.starts_with('[') => base64url(&Sha256::digest(base64url(of.as_bytes()))),
            "| account " => ExampleKey.account(Alias::parse(of)).to_string(),
            "| personal address " => ExampleKey.pseudonym("address", of).to_string(),
            "| secret " => {
                let digest = ExampleKey.keyed(&[b"secret", of.as_bytes()]);
                format!("hmac-sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            _ => continue,
        };
        assert_eq!(computed, is, "{of}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

/// The pseudonym key of the documentation: `00 01 02 … 1f`.
struct ExampleKey;

impl Pseudonyms for ExampleKey {
    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC (RFC 2104) with a key shorter than a block.
        let pad =
            |byte: u8| -> [u8; 64] { std::array::from_fn(|at| if at < 32 { at as u8 ^ byte } else { byte }) };
        let mut inner = Sha256::new_with_prefix(pad(0x36));
        for part in parts {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}
