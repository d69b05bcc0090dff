//! Other implementations asked the same questions.

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::{Hash, leaf_hash};
use deed_seal::merkle::*;
use deed_seal::note::{Ed25519Signer, Note, Signer as _, VerifierKey};
use deed_seal::sd::{Compact, Disclosure, digest_text, disclosure_json, unpack};
use deed_seal::tile::TilePath;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::*;

/// What `tlog_tiles` reads hashes from.
struct Stored<'a>(&'a Tree);

impl tlog_tiles::HashReader for Stored<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let (level, n) = tlog_tiles::split_stored_hash_index(*index);
            let Ok(Hash(bytes)) = self.0.read(level, n);
            tlog_tiles::Hash(bytes)
        };
        Ok(indexes.iter().map(read).collect())
    }
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tlog_tiles_agrees(size in 1_u64..700, index in 0_u64..700, old in 1_u64..700) {
        let tree = Tree::new(leaves(size as usize));
        let stored = Stored(&tree);
        let root = root_of(size, &tree).unwrap();
        prop_assert_eq!(tlog_tiles::tree_hash(size, &stored).unwrap().0, root.0);
        if index < size {
            let proof = inclusion_proof(index, size, &tree).unwrap();
            let proof: Vec<_> = proof.iter().map(theirs).collect();
            prop_assert_eq!(&tlog_tiles::prove_record(size, index, &stored).unwrap(), &proof);
            let leaf = theirs(&tree.read(0, index).unwrap());
            tlog_tiles::check_record(&proof, size, theirs(&root), index, leaf).unwrap();
        }
        if old <= size {
            let proof = consistency_proof(old, size, &tree).unwrap();
            let proof: Vec<_> = proof.iter().map(theirs).collect();
            prop_assert_eq!(&tlog_tiles::prove_tree(size, old, &stored).unwrap(), &proof);
            let old_root = root_of(old, &tree).unwrap();
            tlog_tiles::check_tree(&proof, size, theirs(&root), old, theirs(&old_root)).unwrap();
        }
    }

    #[test]
    fn ct_merkle_agrees(size in 1_usize..200, index in 0_usize..200, old in 1_usize..200) {
        let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
        (0..size as u64).for_each(|i| tree.push(entry(i)));
        let ours = Tree::new((0..size as u64).map(|i| leaf_hash(&entry(i))).collect());
        let root = root_of(size as u64, &ours).unwrap();
        let their_root = tree.root();
        prop_assert_eq!(their_root.as_bytes().as_slice(), root.0);
        let bytes = |proof: Vec<Hash>| proof.iter().flat_map(|hash| hash.0).collect::<Vec<_>>();
        if index < size {
            let proof = inclusion_proof(index as u64, size as u64, &ours).unwrap();
            let their_proof = tree.prove_inclusion(index);
            prop_assert_eq!(their_proof.as_bytes(), bytes(proof));
        }
        if old < size {
            let proof = consistency_proof(old as u64, size as u64, &ours).unwrap();
            let their_proof = tree.prove_consistency(size - old);
            prop_assert_eq!(their_proof.as_bytes(), bytes(proof));
        }
    }

    #[test]
    fn tile_paths_agree(level in 0_u8..63, index in 0_u64..(1 << 40), width in 1_u16..=256, entries: bool) {
        let ours = if entries { TilePath::Entries { index, width } } else { TilePath::Hashes { level, index, width } };
        let tile = tlog_tiles::Tile::new(8, level, index, width.into(), entries);
        // Theirs names the height and calls entries data, as the Go checksum database does.
        let place = if entries { "entries".to_owned() } else { level.to_string() };
        let theirs = tile.path().replacen("tile/8/data/", "tile/entries/", 1).replacen(&format!("tile/8/{place}/"), &format!("tile/{place}/"), 1);
        prop_assert_eq!(ours.to_string(), theirs);
    }
}

#[test]
fn signed_note_agrees() {
    let signer = Ed25519Signer::new("example.com/log", &[7; 32]).unwrap();
    let note = Note::sign("some text\n\nwith an empty line\n", &[&signer]).unwrap();
    let their_key = signed_note::StandardVerifier::new(&signer.verifier_key().to_string()).unwrap();
    let their_keys = signed_note::VerifierList::new(vec![Box::new(their_key)]);
    let their_note = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let (verified, unverified) = their_note.verify(&their_keys).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert_eq!(their_note.text(), note.text.as_bytes());

    // The example of their own specification, PeterNeumann, with its secret key.
    let skey = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let their_signer = signed_note::StandardSigner::new(skey).unwrap();
    let mut their_note = signed_note::Note::new(b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n", &[]).unwrap();
    their_note.add_sigs(&[&their_signer]).unwrap();
    let key: VerifierKey =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let note = Note::parse(&their_note.to_bytes()).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    assert_eq!(note.to_string().as_bytes(), their_note.to_bytes());
}

#[test]
fn tlog_tiles_reads_our_checkpoints() {
    let text = Checkpoint::new("example.com/log", 600, root(600)).to_text();
    let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), ("example.com/log", 600, root(600).0));
    assert_eq!(theirs.to_bytes(), text.as_bytes());
}

fn claims() -> Value {
    json!({
        "iss": "https://example.com/issuer",
        "exp": 4_000_000_000_u64,
        "name": "Ann \"the first\" Möbius",
        "address": { "city": "Ghent", "streets": ["a", "b", { "c": null }] },
        "numbers": [1, 2.5, -3],
    })
}

fn payload_of(jwt: &str) -> Value {
    use base64::Engine as _;
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap())
        .unwrap()
}

#[test]
fn we_read_what_sd_jwt_rs_issues() {
    use sd_jwt_rs::{
        ClaimsForSelectiveDisclosureStrategy as Strategy, SDJWTIssuer, SDJWTSerializationFormat,
    };
    for (strategy, decoys) in
        [(Strategy::AllLevels, false), (Strategy::AllLevels, true), (Strategy::TopLevel, true)]
    {
        let key = jsonwebtoken::EncodingKey::from_secret(b"secret");
        let mut issuer = SDJWTIssuer::new(key, Some("HS256".to_owned()));
        let issued =
            issuer.issue_sd_jwt(claims(), strategy, None, decoys, SDJWTSerializationFormat::Compact).unwrap();
        let compact = Compact::split(&issued).unwrap();
        let disclosures: Vec<_> =
            compact.disclosures.iter().map(|text| Disclosure::parse(text).unwrap()).collect();
        assert!(disclosures.len() >= 3);
        assert_eq!(unpack(&payload_of(compact.jwt), &disclosures).unwrap(), claims());
    }
}

#[test]
fn sd_jwt_rs_reads_what_we_issue() {
    use sd_jwt_rs::{SDJWTSerializationFormat, SDJWTVerifier};
    let text =
        |disclosure: &Disclosure| String::from_utf8(digest_text(&disclosure.digest()).to_vec()).unwrap();
    let member = |name, json: &str| {
        Disclosure::from_json(disclosure_json("c2FsdHNhbHRzYWx0c2FsdA", name, json.as_bytes())).unwrap()
    };
    let (name, secret) = (member("name", r#""Ann \"the first\" Möbius""#), member("secret", "[1, 2]"));
    let payload = json!({
        "iss": "https://example.com/issuer",
        "exp": 4_000_000_000_u64,
        "_sd_alg": "sha-256",
        "_sd": [text(&name), text(&secret)],
    });
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let jwt =
        jsonwebtoken::encode(&header, &payload, &jsonwebtoken::EncodingKey::from_secret(b"secret")).unwrap();
    let presented = format!("{jwt}~{}~", name.encoded());
    let key = |_: &str, _: &jsonwebtoken::Header| jsonwebtoken::DecodingKey::from_secret(b"secret");
    let verifier =
        SDJWTVerifier::new(presented, Box::new(key), None, None, SDJWTSerializationFormat::Compact).unwrap();
    assert_eq!(verifier.verified_claims, unpack(&payload, &[name]).unwrap());
}
