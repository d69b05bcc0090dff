//! Sealed bytes: canonical, and readable for ever.

use std::{collections::BTreeSet, fs, path::PathBuf};

use deed_record::{
    Account, Answer, Artifact, Basis, Change, Commitments, Credential, Decision, Digests, Effect, Hop, Kind,
    Outcome, Party, Personal, PrincipalType, Pseudonym, RecordId, Resource, Ruling, SecretSeen, Skeleton,
    Source, SpanId, Status, StepType, Terms, Text, Timestamp, Tool, TraceId, Utf16Ordered, V,
};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::full;

fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn golden_records_read_and_come_back_byte_for_byte() {
    for (name, leaf) in golden() {
        let skeleton = Skeleton::parse(&leaf).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut written = Vec::new();
        skeleton.write_canonical(&mut written);
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&leaf), "{name}");
    }
}

#[test]
fn golden_records_were_not_touched() {
    let kept: Vec<String> = golden()
        .iter()
        .map(|(name, leaf)| {
            let digest: String = Sha256::digest(leaf).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{digest}  {name}")
        })
        .collect();
    let listed: Vec<&str> = include_str!("../golden/SHA256SUMS").lines().collect();
    assert_eq!(kept, listed, "a sealed record is never changed: see tests/golden/README.md");
}

#[test]
fn golden_records_have_every_kind_and_every_member() {
    let parsed: Vec<Value> =
        golden().iter().map(|(_, leaf)| serde_json::from_slice(leaf).expect("JSON")).collect();
    let kinds: BTreeSet<&str> = parsed.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!(kinds, Kind::ALL.iter().map(|kind| kind.as_str()).collect());
    let mut seen = BTreeSet::new();
    parsed.iter().for_each(|record| members(record, "", &mut seen));
    let mut all = BTreeSet::new();
    members(&serde_json::to_value(full::skeleton()).expect("JSON"), "", &mut all);
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "add a file that has it");
}

fn members(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let at = format!("{at}.{name}");
                members(value, &at, all);
                all.insert(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, at, all)),
        _ => {}
    }
}

#[test]
fn what_one_leaf_says_is_said_in_one_way() {
    let mut leaf = Vec::new();
    full::skeleton().write_canonical(&mut leaf);
    assert_eq!(Skeleton::parse(&leaf), Ok(full::skeleton()));
    assert_eq!(leaf, serde_json_canonicalizer::to_vec(&full::skeleton()).expect("canonical"));
}

#[test]
fn a_leaf_in_which_a_member_stands_twice_is_none() {
    let mut leaf = Vec::new();
    full::skeleton().write_canonical(&mut leaf);
    let leaf = String::from_utf8(leaf).expect("UTF-8");
    for (place, member) in [
        ("{", r#""task":"t""#),
        (r#""disclose":{"#, r#""_sd":["a"]"#),
        (r#""disclose":{"#, r#""result":{"_sd":["a"]}"#),
        (r#""disclose":{"#, r#""r":{"_sd":["a"],"_sd":["b"]}"#),
    ] {
        let twice = leaf.replacen(place, &format!("{place}{member},{member},"), 1);
        assert_ne!(leaf, twice);
        let error = Skeleton::parse(twice.as_bytes()).expect_err("it is refused").to_string();
        assert!(error.contains("stands twice") || error.contains("exactly one member"), "{error}");
    }
}

/// Values for the members of a record, drawn one after another.
#[derive(Debug)]
struct Drawn {
    texts: Vec<String>,
    numbers: Vec<u64>,
    at: usize,
}

impl Drawn {
    fn number(&mut self) -> u64 {
        self.at += 1;
        self.numbers[self.at % self.numbers.len()].rotate_left(self.at as u32)
    }

    fn text(&mut self) -> Text<'static> {
        let at = self.number() as usize % self.texts.len();
        self.texts[at].clone().into()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.number().is_multiple_of(3)).then(|| make(self))
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.number() % 3).map(|_| make(self)).collect()
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.number() as usize % all.len()]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.iter_mut().for_each(|byte| *byte = self.number() as u8);
        bytes[0] |= 1;
        bytes
    }

    fn id(&mut self) -> RecordId {
        RecordId(self.bytes())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.number() as i64 % 62_135_596_800_000_000)
    }

    fn texts(&mut self) -> Vec<Text<'static>> {
        self.list(Self::text)
    }

    fn party(&mut self) -> Party<'static> {
        Party {
            account: self.maybe(|d| Account(d.bytes())),
            instance: self.maybe(Self::text),
            kind: self.one(PrincipalType::ALL),
            vendor: self.maybe(Self::text),
        }
    }

    fn credential(&mut self) -> Credential<'static> {
        Credential {
            expires: self.maybe(Self::time),
            fingerprint: self.maybe(Self::text),
            id: self.maybe(Self::text),
            issued: self.maybe(Self::time),
            issuer: self.maybe(Self::text),
            jti: self.maybe(Self::text),
            parent: self.maybe(Self::text),
            scopes: self.texts(),
            kind: self.maybe(Self::text),
            upstream: self.maybe(Self::text),
        }
    }

    fn resource(&mut self) -> Resource<'static> {
        Resource { classification: self.maybe(Self::text), kind: self.maybe(Self::text), uri: self.text() }
    }

    fn terms(&mut self) -> Terms<'static> {
        Terms {
            answer: self.maybe(|d| d.one(Answer::ALL)),
            by: self.maybe(Self::party),
            change: self.maybe(|d| d.one(Change::ALL)),
            expires: self.maybe(Self::time),
            not_before: self.maybe(Self::time),
            role: self.maybe(Self::text),
            scopes: self.texts(),
            subject: self.maybe(Self::party),
        }
    }

    fn commitments(&mut self) -> Commitments<'static> {
        let mut tree: Vec<_> = self
            .list(|d| (Utf16Ordered(d.text()), Digests::Members(d.texts())))
            .into_iter()
            .filter(|(name, _)| &*name.0 != "_sd")
            .collect();
        tree.extend(self.maybe(|d| (Utf16Ordered("_sd".into()), Digests::Whole(d.texts()))));
        Commitments(tree.into_iter().collect())
    }

    fn skeleton(&mut self) -> Skeleton<'static> {
        Skeleton {
            action: self.maybe(Self::id),
            approvals: self.maybe(|d| d.list(Self::id)),
            artifact: self.maybe(|d| Artifact {
                digest: d.maybe(Self::text),
                name: d.text(),
                signer: d.maybe(Self::text),
            }),
            basis: self.one(Basis::ALL),
            chain: self.maybe(|d| {
                d.list(|d| Hop {
                    credential: d.maybe(Self::text),
                    delegation: d.maybe(Self::id),
                    principal: d.party(),
                    scope: d.texts(),
                })
            }),
            conflicts_with: self.maybe(Self::id),
            content: self.maybe(Self::text),
            credential: self.maybe(Self::credential),
            decision: self.maybe(|d| Decision {
                effect: d.one(Ruling::ALL),
                engine: d.maybe(Self::text),
                errors: d.texts(),
                obligations: d.texts(),
                policies: d.texts(),
                policy_set: d.maybe(Self::text),
            }),
            disclose: self.commitments(),
            effects: self.maybe(|d| {
                d.list(|d| Effect {
                    credential: d.maybe(Self::credential),
                    kind: d.one(Kind::ALL),
                    resource: d.maybe(Self::resource),
                    terms: d.maybe(Self::terms),
                })
            }),
            environment: self.maybe(Self::text),
            exception: self.maybe(Self::id),
            executor: self.maybe(Self::party),
            grant: self.maybe(Self::id),
            id: self.id(),
            initiator: self.maybe(Self::party),
            kind: self.one(Kind::ALL),
            operation: self.maybe(Self::text),
            outcome: self.maybe(|d| Outcome {
                code: d.maybe(Self::text),
                compensates: d.maybe(Self::id),
                duration_ms: d.maybe(|d| d.number() as i64 >> 10),
                fields: d.texts(),
                retry_of: d.maybe(Self::id),
                status: d.one(Status::ALL),
            }),
            parent_span_id: self.maybe(|d| SpanId(d.bytes())),
            permission: self.maybe(Self::text),
            personal: self.maybe(|d| Personal {
                address: d.maybe(|d| Pseudonym(d.bytes())),
                device: d.maybe(|d| Pseudonym(d.bytes())),
            }),
            recorded: self.time(),
            request: self.maybe(Self::id),
            resource: self.maybe(Self::resource),
            retention: self.maybe(Self::text),
            secrets: self.maybe(|d| d.list(|d| SecretSeen { field: d.text(), fingerprint: d.text() })),
            session: self.maybe(Self::text),
            source: self.maybe(|d| Source {
                collector: d.maybe(Self::text),
                event_id: d.maybe(Self::text),
                system: d.text(),
            }),
            span_id: self.maybe(|d| SpanId(d.bytes())),
            spooled: self.maybe(Self::time),
            step_type: self.maybe(|d| d.one(StepType::ALL)),
            submitter: self.text(),
            supersedes: self.maybe(Self::id),
            task: self.maybe(Self::text),
            tenant: self.text(),
            terms: self.maybe(Self::terms),
            time: self.time(),
            tool: self.maybe(|d| Tool {
                digest: d.maybe(Self::text),
                name: d.text(),
                server: d.maybe(Self::text),
                version: d.maybe(Self::text),
            }),
            trace_id: self.maybe(|d| TraceId(d.bytes())),
            v: V,
        }
    }
}

/// Texts with everything that a writer of JSON can get wrong, as values and as names to sort.
fn any_text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\0",
        "\u{1}",
        "\u{8}",
        "\t",
        "\n",
        "\u{b}",
        "\u{c}",
        "\r",
        "\u{1f}",
        "\"",
        "\\",
        "/",
        "\u{7f}",
        "\u{80}",
        "é",
        "\u{2028}",
        "\u{2029}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{feff}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1f600}",
        "\u{10ffff}",
        "a",
        "_",
        "_sd",
    ]);
    prop_oneof![any::<String>(), prop::collection::vec(odd, 0..6).prop_map(|parts| parts.concat())]
}

proptest! {
    #[test]
    fn writing_gives_rfc_8785_and_reading_gives_it_back(
        texts in prop::collection::vec(any_text(), 1..40),
        numbers in prop::collection::vec(any::<u64>(), 64..96),
    ) {
        let skeleton = Drawn { texts, numbers, at: 0 }.skeleton();
        let mut leaf = Vec::new();
        skeleton.write_canonical(&mut leaf);
        let theirs = serde_json_canonicalizer::to_vec(&skeleton).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(String::from_utf8_lossy(&leaf), String::from_utf8_lossy(&theirs));
        prop_assert_eq!(Skeleton::parse(&leaf), Ok(skeleton));
    }
}
