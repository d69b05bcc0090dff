//! Signed notes, keys, checkpoints and cosignatures.

use aws_lc_rs::signature::{KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};
use deed_seal::checkpoint::*;
use deed_seal::hash::Hash;
use deed_seal::note::{self, *};

use crate::support::*;

/// Signs with ML-DSA-44 by another implementation than the one that verifies.
struct MlDsaSigner {
    name: String,
    key: PqdsaKeyPair,
    timestamp: u64,
}

impl MlDsaSigner {
    fn new(name: &str, timestamp: u64) -> Self {
        let key = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[9; 32]).unwrap();
        Self { name: name.to_owned(), key, timestamp }
    }

    fn sign_tree(&self, tree: &CosignedTree) -> Vec<u8> {
        let mut signature = vec![0; 2420];
        let length = self.key.sign(&tree.message(&self.name).unwrap(), &mut signature).unwrap();
        assert_eq!(length, 2420);
        timestamped(tree.timestamp, &signature)
    }
}

impl Signer for MlDsaSigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier_key().key_id()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(message).unwrap();
        CosignedTree::of_note(text, self.timestamp).map_or(Vec::new(), |tree| self.sign_tree(&tree))
    }

    fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(&self.name, KeyType::MlDsa44, self.key.public_key().as_ref()).unwrap()
    }
}

/// A witness: `cosignature/v1`.
struct Witness(ed25519_dalek::SigningKey, u64);

impl Signer for Witness {
    fn name(&self) -> &str {
        "witness.example/w1"
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier_key().key_id()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        use ed25519_dalek::Signer as _;
        let message = cosignature_v1_message(self.1, std::str::from_utf8(message).unwrap());
        timestamped(self.1, &self.0.sign(&message).to_bytes())
    }

    fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(self.name(), KeyType::CosignatureV1, self.0.verifying_key().as_bytes()).unwrap()
    }
}

fn witness() -> Witness {
    Witness(ed25519_dalek::SigningKey::from_bytes(&[8; 32]), 1_679_315_147)
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("example.com/log", 20_852_163, Hash::of(b"root"))
}

#[test]
fn the_specification_s_example_verifies() {
    let bytes = std::fs::read(own_vectors().join("note.txt")).unwrap();
    let vkey = std::fs::read_to_string(own_vectors().join("note.vkey")).unwrap();
    let key: VerifierKey = vkey.trim_end().parse().unwrap();
    assert_eq!(key.to_string(), vkey.trim_end());
    assert_eq!(
        (key.name(), key.key_id(), key.kind()),
        ("example.com/foo", [0x53, 0x0d, 0x90, 0x3a], KeyType::Ed25519)
    );
    assert_eq!(key.key_id(), key_id("example.com/foo", 1, key.public_key()));
    let note = Note::parse(&bytes).unwrap();
    assert_eq!(note.text, "This is an example message.\n");
    assert_eq!(note.to_string().as_bytes(), bytes);
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    for i in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[i] ^= 1;
        let opened =
            Note::parse(&changed).and_then(|note| note.verify(std::slice::from_ref(&key)).map(|_| ()));
        opened.unwrap_err();
    }
}

/// A real witness's key, as `transparency-dev/formats` lists it.
#[test]
fn foreign_keys_parse() {
    let vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let key: VerifierKey = vkey.parse().unwrap();
    assert_eq!(key.kind(), KeyType::CosignatureV1);
    assert_eq!(key.to_string(), vkey);
}

#[test]
fn all_kinds_of_signature_verify_together() {
    let (log, ml_dsa, witness) = (log_signer(), MlDsaSigner::new("example.com/log", 0), witness());
    let note = Note::sign(checkpoint().to_text(), &[&log, &ml_dsa, &witness]).unwrap();
    let bytes = note.to_string().into_bytes();
    let keys = [witness.verifier_key(), ml_dsa.verifier_key(), log.verifier_key()];
    let (opened, parsed) = Checkpoint::open(&bytes, &keys).unwrap();
    assert_eq!((opened, &parsed), (checkpoint(), &note));
    assert_eq!(parsed.verify(&keys).unwrap(), [&keys[2], &keys[1], &keys[0]]);
    // Each alone is enough, the others being unknown.
    for key in &keys {
        assert_eq!(note.verify(std::slice::from_ref(key)).unwrap(), [key]);
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), *key);
    }
    assert_eq!(keys[0].timestamp(&note.signatures[2]), Some(1_679_315_147));
    assert_eq!(keys[1].timestamp(&note.signatures[1]), Some(0));
    assert_eq!(keys[2].timestamp(&note.signatures[0]), None);
    // Any changed byte of any signature, timestamps included, is noticed.
    for (i, signature) in note.signatures.iter().enumerate() {
        for byte in
            [0, 7, 8, signature.bytes.len() - 1].into_iter().filter(|byte| *byte < signature.bytes.len())
        {
            let mut changed = note.clone();
            changed.signatures[i].bytes[byte] ^= 1;
            assert!(matches!(changed.verify(&keys), Err(NoteError::BadSignature { .. })), "{i} {byte}");
        }
        let mut cut = note.clone();
        cut.signatures[i].bytes.pop();
        cut.verify(&keys).unwrap_err();
    }
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_hold() {
    let (log, other) = (log_signer(), Ed25519Signer::new("example.com/log", &[1; 32]).unwrap());
    let mut note = Note::sign("text\n", &[&log, &other]).unwrap();
    note.signatures[1].bytes[5] ^= 1; // by the key that nobody knows
    assert_eq!(note.verify(&[log.verifier_key()]).unwrap().len(), 1);
    assert_eq!(
        note.verify(&[log.verifier_key(), other.verifier_key()]),
        Err(NoteError::BadSignature { name: "example.com/log".to_owned() })
    );
    let stranger = Ed25519Signer::new("example.com/stranger", &[7; 32]).unwrap();
    assert_eq!(note.verify(&[stranger.verifier_key()]), Err(NoteError::NoKnownKey));
    assert_eq!(note.verify(&[]), Err(NoteError::NoKnownKey));
    // A good signature does not make up for a bad one by the same key.
    let mut twice = Note::sign("text\n", &[&log, &log]).unwrap();
    assert_eq!(twice.verify(&[log.verifier_key()]).unwrap().len(), 1);
    twice.signatures[1].bytes[0] ^= 1;
    twice.verify(&[log.verifier_key()]).unwrap_err();
    // The same id under another name is another key.
    let mut renamed = Note::sign("text\n", &[&log]).unwrap();
    renamed.signatures[0].name = "example.com/evil".to_owned();
    assert_eq!(renamed.verify(&[log.verifier_key()]), Err(NoteError::NoKnownKey));
}

#[test]
fn malformed_notes_are_refused() {
    let good = Note::sign("text\n", &[&log_signer()]).unwrap().to_string();
    let line = good.lines().last().unwrap();
    let parse = |text: &str| Note::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(""), NoteError::NoSignature);
    assert_eq!(parse("text\n"), NoteError::NoSignature);
    assert_eq!(parse("text\n\n"), NoteError::NoSignature);
    assert_eq!(parse(&format!("text\n\n{line}")), NoteError::NoSignature);
    assert_eq!(parse(&format!("text\r\n\n{line}\n")), NoteError::ControlCharacter(b'\r'));
    assert_eq!(parse(&format!("te\0xt\n\n{line}\n")), NoteError::ControlCharacter(0));
    assert_eq!(parse(&format!("te\txt\n\n{line}\n")), NoteError::ControlCharacter(b'\t'));
    assert_eq!(Note::parse(b"\xff\n\n").unwrap_err(), NoteError::NotUtf8);
    assert_eq!(Note::parse(&vec![b'a'; note::MAX_NOTE + 1]).unwrap_err(), NoteError::TooLong);
    for bad in [
        "- name AAAAAAA=",
        "\u{2014} name",
        "\u{2014} name ",
        "\u{2014}name AAAAAAA=",
        "\u{2014} name AAAA", // no signature
        "\u{2014} name AAAAAA==",
        "\u{2014} name AAAAAAA",
        "\u{2014} name AAAAAAB=",
        "\u{2014} name  AAAAAAA=",
        "\u{2014} name AAAAAAA= ",
    ] {
        assert!(matches!(parse(&format!("text\n\n{bad}\n")), NoteError::SignatureLine(_)), "{bad}");
    }
    for bad in ["\u{2014}  AAAAAAA=", "\u{2014} a+b AAAAAAA=", "\u{2014} a\u{a0}b AAAAAAA="] {
        assert!(matches!(parse(&format!("text\n\n{bad}\n")), NoteError::BadName(_)), "{bad}");
    }
    // Only the last empty line divides.
    assert_eq!(Note::parse(format!("a\n\nb\n\n{line}\n").as_bytes()).unwrap().text, "a\n\nb\n");
    assert_eq!(Note::parse(format!("a\n\n\n{line}\n").as_bytes()).unwrap().text, "a\n\n");
    let many = |count| format!("text\n\n{}", format!("{line}\n").repeat(count));
    assert_eq!(Note::parse(many(64).as_bytes()).unwrap().signatures.len(), 64);
    assert_eq!(parse(&many(65)), NoteError::TooManySignatures);
}

#[test]
fn sixteen_of_the_longest_signatures_fit() {
    let signers: Vec<_> = (0..16).map(|i| MlDsaSigner::new(&format!("example.com/{i}"), 5)).collect();
    let signers: Vec<_> = signers.iter().map(|signer| signer as &dyn Signer).collect();
    let note = Note::sign(checkpoint().to_text(), &signers).unwrap();
    let keys: Vec<_> = signers.iter().map(|signer| signer.verifier_key()).collect();
    assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap().verify(&keys).unwrap().len(), 16);
}

#[test]
fn nothing_is_signed_that_would_not_verify() {
    let signer = log_signer();
    let sign = |text: &str| Note::sign(text, &[&signer]).unwrap_err();
    assert_eq!(sign("text"), NoteError::NoFinalNewline);
    assert_eq!(sign(""), NoteError::NoFinalNewline);
    assert_eq!(sign("te\rxt\n"), NoteError::ControlCharacter(b'\r'));
    assert_eq!(Note::sign("text\n", &[]), Err(NoteError::NoSignature));
    // An ML-DSA-44 key signs checkpoints only.
    let ml_dsa = MlDsaSigner::new("example.com/log", 0);
    assert_eq!(
        Note::sign("text\n", &[&ml_dsa]),
        Err(NoteError::BadSignature { name: "example.com/log".to_owned() })
    );
    assert!(matches!(Ed25519Signer::new("a b", &[0; 32]), Err(NoteError::BadName(_))));
    assert!(!format!("{:?}", Ed25519Signer::new("a", &[0xab; 32]).unwrap()).contains("171"));
}

#[test]
fn malformed_keys_are_refused() {
    let good = log_signer().verifier_key().to_string();
    let parse = |text: &str| text.parse::<VerifierKey>().unwrap_err();
    for bad in ["", "a", "a+b", "a+00000000+", "a+00000000+***", "a+00000000+AQ", &format!("{good} ")] {
        assert!(matches!(parse(bad), NoteError::VkeySyntax(_)), "{bad}");
    }
    assert!(matches!(parse(&good.replacen("example.com/log", "", 1)), NoteError::BadName(_)));
    assert!(matches!(
        parse(&good.replacen("example.com/log", "example.com/lot", 1)),
        NoteError::WrongKeyId { .. }
    ));
    let (name, rest) = good.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    assert!(matches!(parse(&format!("{name}+{}+{key}", id.to_uppercase())), NoteError::WrongKeyId { .. }));
    assert_eq!(parse("a+00000000+AgAA"), NoteError::UnknownKeyType { name: "a".to_owned(), kind: 2 });
    for (kind, key) in [
        (KeyType::Ed25519, vec![1; 31]),
        (KeyType::Ed25519, vec![0; 32]), // a point of small order
        (KeyType::Ed25519, vec![2; 32]), // no point at all
        (KeyType::CosignatureV1, vec![]),
        (KeyType::MlDsa44, vec![1; 1311]),
        (KeyType::MlDsa44, vec![1; 32]),
    ] {
        assert!(
            matches!(VerifierKey::new("a", kind, &key), Err(NoteError::BadKey { .. })),
            "{kind:?} {}",
            key.len()
        );
    }
}

#[test]
fn checkpoints_are_strict() {
    let root = Hash::of(b"root").to_base64();
    let good = format!("example.com/log\n20852163\n{root}\n");
    assert_eq!(Checkpoint::parse(&good).unwrap(), checkpoint());
    assert_eq!(checkpoint().to_text(), good);
    let extended = format!("{good}one\ntwo words\n");
    assert_eq!(Checkpoint::parse(&extended).unwrap().extensions, ["one", "two words"]);
    assert_eq!(Checkpoint::parse(&extended).unwrap().to_text(), extended);
    for (text, expected) in [
        (String::new(), "does not end"),
        (good.trim_end().to_owned(), "does not end"),
        ("a\n1\n".to_owned(), "at least three lines"),
        (format!("\n1\n{root}\n"), "line 1 of the checkpoint is empty"),
        (format!("a\n01\n{root}\n"), "found `01`"),
        (format!("a\n+1\n{root}\n"), "found `+1`"),
        (format!("a\n\n{root}\n"), "found ``"),
        (format!("a\n-1\n{root}\n"), "found `-1`"),
        (format!("a\n18446744073709551616\n{root}\n"), "found `18446744073709551616`"),
        ("a\n1\nAAAA\n".to_owned(), "line 3"),
        (format!("a\n1\n{root}=\n"), "line 3"),
        (format!("{good}\n"), "line 4 of the checkpoint is empty"),
        (format!("{good}one\n\ntwo\n"), "line 5 of the checkpoint is empty"),
    ] {
        let error = Checkpoint::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

/// The structure of C2SP tlog-cosignature, byte for byte.
#[test]
fn the_cosigned_message_is_as_specified() {
    let tree = CosignedTree {
        timestamp: 0x0102,
        origin: "test".to_owned(),
        start: 0,
        end: 10,
        hash: Hash([0xaa; 32]),
    };
    let mut expected =
        b"subtree/v1\n\0\x05mldsa\0\0\0\0\0\0\x01\x02\x04test\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a".to_vec();
    expected.extend([0xaa; 32]);
    assert_eq!(tree.message("mldsa").unwrap(), expected);
    tree.message("").unwrap_err();
    tree.message(&"t".repeat(255)).unwrap();
    tree.message(&"t".repeat(256)).unwrap_err();
    CosignedTree { origin: "t".repeat(256), ..tree.clone() }.message("a").unwrap_err();
    CosignedTree { start: 8, ..tree.clone() }.message("a").unwrap_err();
    CosignedTree { start: 8, timestamp: 0, ..tree.clone() }.message("a").unwrap();
    CosignedTree { timestamp: 1 << 63, ..tree }.message("a").unwrap_err();
    assert_eq!(cosignature_v1_message(7, "a\n1\nb\n"), b"cosignature/v1\ntime 7\na\n1\nb\n");
}

#[test]
fn subtrees_are_cosigned() {
    let signer = MlDsaSigner::new("witness.example/mldsa", 0);
    let tree = CosignedTree {
        timestamp: 0,
        origin: "example.com/log".to_owned(),
        start: 8,
        end: 13,
        hash: Hash([1; 32]),
    };
    let signature = signer.sign_tree(&tree);
    let key = signer.verifier_key();
    key.verify_subtree(&tree, &signature).unwrap();
    for wrong in [
        CosignedTree { start: 0, ..tree.clone() },
        CosignedTree { end: 14, ..tree.clone() },
        CosignedTree { hash: Hash([2; 32]), ..tree.clone() },
        CosignedTree { origin: "example.com/lot".to_owned(), ..tree.clone() },
        CosignedTree { timestamp: 1, ..tree.clone() },
    ] {
        key.verify_subtree(&wrong, &signature).unwrap_err();
    }
    key.verify_subtree(&tree, &signature[..100]).unwrap_err();
    key.verify_subtree(&tree, &[]).unwrap_err();
    log_signer().verifier_key().verify_subtree(&tree, &signature).unwrap_err();
    // The name is part of what is signed.
    let renamed = VerifierKey::new("witness.example/other", KeyType::MlDsa44, key.public_key()).unwrap();
    renamed.verify_subtree(&tree, &signature).unwrap_err();
}

#[test]
fn ml_dsa_does_not_cover_extensions_and_ed25519_does() {
    let (log, ml_dsa) = (log_signer(), MlDsaSigner::new("example.com/log", 3));
    let mut note = Note::sign(checkpoint().to_text(), &[&log, &ml_dsa]).unwrap();
    note.text.push_str("extension\n");
    note.verify(&[ml_dsa.verifier_key()]).unwrap();
    note.verify(&[log.verifier_key()]).unwrap_err();
    note.text = note.text.replace("20852163", "20852164");
    note.verify(&[ml_dsa.verifier_key()]).unwrap_err();
}
