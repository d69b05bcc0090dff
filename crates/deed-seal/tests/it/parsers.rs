//! No parser panics, whatever the bytes; what it accepts, it writes again as it was.

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::Hash;
use deed_seal::note::{Note, Signer as _, VerifierKey};
use deed_seal::proof::TlogProof;
use deed_seal::sd::{Compact, Disclosure, unpack};
use deed_seal::tile::{TilePath, bundle_encode, bundle_entries, tile_hashes};
use proptest::prelude::*;

use crate::support::*;

fn parse_everything(bytes: &[u8]) {
    let keys = [log_signer().verifier_key()];
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        drop(note.verify(&keys));
    }
    drop(Checkpoint::open(bytes, &keys));
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        drop(proof.verify(b"entry", &keys));
    }
    if let Ok(entries) = bundle_entries(bytes) {
        assert_eq!(bundle_encode(entries).unwrap(), bytes);
    }
    drop(tile_hashes(bytes));
    if let Ok(disclosure) = Disclosure::from_json(bytes) {
        assert_eq!(disclosure.json(), bytes);
    }
    if let Ok(payload) = serde_json::from_slice(bytes) {
        drop(unpack(&payload, &[]));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(hash) = Hash::from_base64(text) {
        assert_eq!(hash.to_base64(), text);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(disclosure) = Disclosure::parse(text) {
        assert_eq!(disclosure.encoded(), text);
    }
    drop(Compact::split(text));
}

/// Something of each kind that parses.
fn samples() -> Vec<Vec<u8>> {
    let checkpoint = signed_checkpoint(3);
    let proof = TlogProof {
        extra: Some(vec![1, 2]),
        index: 1,
        hashes: vec![Hash::EMPTY; 2],
        checkpoint: checkpoint.clone(),
    };
    let mut samples = vec![
        checkpoint.split("\n\n").next().unwrap().as_bytes().to_vec(),
        proof.to_string().into_bytes(),
        checkpoint.into_bytes(),
        bundle_encode([b"one".as_slice(), b"", b"three"]).unwrap(),
        log_signer().verifier_key().to_string().into_bytes(),
        Hash::EMPTY.to_string().into_bytes(),
        Hash::EMPTY.to_base64().into_bytes(),
        br#"["salt","name",{"a":[1,{"...":"x"}]}]"#.to_vec(),
        br#"{"_sd":["a","b"],"_sd_alg":"sha-256","l":[{"...":"c"}]}"#.to_vec(),
        b"WyJzYWx0IiwibmFtZSIsMV0".to_vec(),
        b"jwt~WyJzYWx0IiwibmFtZSIsMV0~kb".to_vec(),
    ];
    samples.extend(["tile/0/x001/234.p/5", "tile/entries/000"].map(|path| path.as_bytes().to_vec()));
    samples
}

#[test]
fn samples_parse() {
    samples().iter().for_each(|sample| parse_everything(sample));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_everything(&bytes);
    }

    #[test]
    fn random_text_does_not_panic(text in "[ -~\n\u{2014}\u{a0}]{0,120}") {
        parse_everything(text.as_bytes());
    }

    #[test]
    fn mutated_samples_do_not_panic(
        sample in prop::sample::select(samples()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let mut bytes = sample;
        for (place, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        parse_everything(&bytes);
    }
}
