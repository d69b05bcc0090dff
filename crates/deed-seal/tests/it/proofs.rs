//! `.tlog-proof` files.

use deed_seal::hash::{Hash, leaf_hash};
use deed_seal::merkle::inclusion_proof;
use deed_seal::note::{Ed25519Signer, NoteError, Signer as _};
use deed_seal::proof::*;

use crate::support::*;

fn proof(index: u64, size: u64) -> TlogProof {
    let tree = Tree::new((0..size).map(|i| leaf_hash(&entry(i))).collect());
    TlogProof {
        extra: None,
        index,
        hashes: inclusion_proof(index, size, &tree).unwrap(),
        checkpoint: signed_checkpoint(size),
    }
}

#[test]
fn proofs_travel_as_text() {
    let keys = [log_signer().verifier_key()];
    for (index, size) in [(0, 1), (0, 2), (5, 7), (6, 7), (299, 300)] {
        for extra in [None, Some(b"opaque \xff".to_vec())] {
            let proof = TlogProof { extra, ..proof(index, size) };
            let text = proof.to_string();
            let parsed: TlogProof = text.parse().unwrap();
            assert_eq!(parsed, proof);
            let proved = parsed.verify(&entry(index), &keys).unwrap();
            assert_eq!((proved.checkpoint.size, proved.keys), (size, vec![&keys[0]]));
            assert!(matches!(parsed.verify(b"something else", &keys), Err(TlogProofError::Inclusion(_))));
        }
    }
}

/// The layout of the example in C2SP tlog-proof.
#[test]
fn the_layout_is_as_specified() {
    let proof = TlogProof { extra: Some(b"xyz".to_vec()), ..proof(1, 2) };
    let sibling = leaf_hash(&entry(0)).to_base64();
    let expected =
        format!("c2sp.org/tlog-proof@v1\nextra eHl6\nindex 1\n{sibling}\n\n{}", signed_checkpoint(2));
    assert_eq!(proof.to_string(), expected);
}

#[test]
fn nothing_is_proved_by_a_wrong_proof() {
    let keys = [log_signer().verifier_key()];
    let good = proof(5, 7);
    let refused = |change: &dyn Fn(&mut TlogProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof.verify(&entry(5), &keys).unwrap_err()
    };
    refused(&|proof| proof.index = 4);
    refused(&|proof| proof.index = 7);
    refused(&|proof| proof.hashes[0] = Hash([0; 32]));
    refused(&|proof| proof.hashes.truncate(1));
    refused(&|proof| proof.hashes.push(Hash([0; 32])));
    refused(&|proof| proof.checkpoint = signed_checkpoint(8));
    refused(&|proof| proof.checkpoint = proof.checkpoint.replace("\n7\n", "\n8\n"));
    let stranger = Ed25519Signer::new("example.com/log", &[1; 32]).unwrap().verifier_key();
    let error = good.verify(&entry(5), &[stranger]).unwrap_err();
    assert!(matches!(error, TlogProofError::Checkpoint(error) if error == NoteError::NoKnownKey.into()));
}

#[test]
fn malformed_proofs_name_the_line() {
    let good = proof(1, 3).to_string();
    let error = |text: &str| text.parse::<TlogProof>().unwrap_err().to_string();
    assert_eq!(error(""), "no checkpoint follows after an empty line");
    assert_eq!(error(&good.replace("@v1", "@v2")), "the first line is not `c2sp.org/tlog-proof@v1`");
    assert_eq!(error(&good.replace("index 1", "index 01")), "line 2 should be `index` and a decimal number");
    assert_eq!(
        error(&good.replace("index 1", "extra eHl6")),
        "line 3 should be `index` and a decimal number"
    );
    assert_eq!(error(&good.replace("index 1", "extra ***\nindex 1")), "line 2 should be `extra` and base64");
    assert_eq!(error("c2sp.org/tlog-proof@v1\n\n"), "line 2 should be `index` and a decimal number");
    assert!(
        error(&good.replacen("index 1\n", "index 1\nAAAA\n", 1)).starts_with("line 3: expected the base64")
    );
    let hash = Hash([0; 32]).to_base64();
    let long = good.replacen("index 1\n", &format!("index 1\n{}", format!("{hash}\n").repeat(65)), 1);
    assert_eq!(error(&long), "more than 64 hashes");
    TlogProof::parse(b"\xff\xff").unwrap_err();
}
