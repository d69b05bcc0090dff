//! Signed notes, checkpoints, keys and proofs.

use deed_seal::{
    checkpoint::{Checkpoint, CosignedTree},
    hash::Hash,
    merkle::{verify_consistency, verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion},
    note::{MAX_SIGNATURES, Note, Signature, VerifierKey},
    proof::TlogProof,
};

use crate::number;

/// The key that signed the notes of the corpus.
const KEY: &str = include_str!("../../crates/deed-seal/tests/vectors/log.vkey");

fn keys() -> [VerifierKey; 1] {
    [KEY.trim().parse().expect("a key")]
}

/// A signed note, a checkpoint, a signature line or a key.
pub fn note(data: &[u8]) {
    let keys = keys();
    let read = Note::parse(data);
    if let Ok(note) = &read {
        assert_eq!(note.to_string().as_bytes(), data, "a note prints as it was");
        assert!((1..=MAX_SIGNATURES).contains(&note.signatures.len()) && note.text.ends_with('\n'));
        if let Ok(signed) = note.verify(&keys) {
            assert_eq!(signed, [&keys[0]]);
        }
    }
    match Checkpoint::open(data, &keys) {
        Ok((checkpoint, note)) => assert!(note.text == checkpoint.to_text() && read.as_ref() == Ok(&note)),
        Err(error) => assert!(error.to_string().len() < 500),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text, "a checkpoint prints as it was");
        if let Ok(message) = CosignedTree::of_note(text, 1).and_then(|tree| tree.message("cosigner")) {
            assert!(message.len() <= 12 + 2 * 256 + 24 + 32);
        }
    }
    for line in text.lines() {
        if let Ok(signature) = line.parse::<Signature>() {
            assert_eq!(signature.to_string(), line);
        }
        if let Ok(key) = line.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), line);
        }
    }
}

/// A `.tlog-proof` file, and proofs given as numbers and hashes.
pub fn proof(data: &[u8]) {
    let keys = keys();
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data, "a proof prints as it was");
        if let Ok(proved) = proof.verify(b"entry", &keys) {
            assert!(proof.index < proved.checkpoint.size && proved.keys == [&keys[0]]);
        }
    }
    bare_proof(data);
}

/// Three numbers, and hashes that are said to prove something of trees of such sizes.
fn bare_proof(data: &[u8]) {
    let (first, rest) = number(data);
    let (second, rest) = number(rest);
    let (third, rest) = number(rest);
    let hashes: Vec<Hash> = rest.as_chunks().0.iter().copied().map(Hash).collect();
    let leaf = Hash::EMPTY;
    let root = *hashes.last().unwrap_or(&leaf);
    // Nobody finds hashes that fit: only a proof without any can hold, and says that two roots are one.
    let holds = [
        verify_inclusion(&leaf, first, second, &hashes, &root),
        verify_consistency(first, second, &hashes, &leaf, &root),
        verify_subtree_inclusion(&leaf, first, second, third, &hashes, &root),
        verify_subtree_consistency(first, second, third, &hashes, &leaf, &root),
    ];
    let any = holds.iter().any(Result::is_ok);
    assert!(!any || root == leaf || first == 0, "{first} {second} {third} {hashes:?}");
}
