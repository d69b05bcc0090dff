//! Logs of others: tessera's test log at each of its sizes, and a small one of our own on disk.

use std::io;
use std::path::PathBuf;

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::leaf_hash;
use deed_seal::merkle::*;
use deed_seal::note::VerifierKey;
use deed_seal::proof::TlogProof;
use deed_seal::tile::*;
use deed_seal::verify::{Against, Kept, Tiles, verify};

use crate::support::*;

const TESSERA: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

/// A log in a folder, at the size of one of its checkpoints.
struct Folder {
    root: PathBuf,
    checkpoint: String,
}

impl Folder {
    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.join(name)).unwrap()
    }
}

impl Tiles for Folder {
    type Error = io::Error;

    fn get(&self, path: &TilePath) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.root.join(path.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn checkpoint(&self) -> io::Result<Option<Vec<u8>>> {
        std::fs::read(self.root.join(&self.checkpoint)).map(Some)
    }
}

#[test]
fn tessera_s_log_holds_at_every_size() {
    let Some(root) = public_vectors("tessera-log") else { return };
    let keys = [TESSERA.parse::<VerifierKey>().unwrap()];
    let opened: Vec<_> = (0..=15)
        .map(|size| {
            let note = std::fs::read(root.join(format!("checkpoint.{size}"))).unwrap();
            let (checkpoint, _) = Checkpoint::open(&note, &keys).unwrap();
            assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/log/testdata", size));
            (checkpoint, note)
        })
        .collect();
    for (head, note) in &opened {
        let size = head.size;
        let log = Folder { root: root.clone(), checkpoint: format!("checkpoint.{size}") };
        let since: Vec<_> = opened[..=size as usize]
            .iter()
            .map(|(kept, note)| Kept { name: format!("checkpoint.{}", kept.size), note: note.clone() })
            .collect();
        let report = verify(&log, &Against { keys: &keys, since: &since, ..Against::default() });
        assert_eq!(report.problems, []);
        assert_eq!((report.verified(), report.leaves, report.checkpoints), (Some(true), size, size + 2));
        assert_eq!(
            (report.unchecked, report.signed_by),
            (vec![], vec!["example.com/log/testdata".to_owned()])
        );

        // Proofs from its tiles, between all of its sizes and of all of its entries.
        let tiles = TileTree::new(size, |level, index, width| {
            Ok::<_, io::Error>(log.get(&TilePath::Hashes { level, index, width })?.unwrap())
        });
        assert_eq!(root_of(size, &tiles).unwrap(), head.root);
        for (old, _) in &opened[..=size as usize] {
            let proof = consistency_proof(old.size, size, &tiles).unwrap();
            verify_consistency(old.size, size, &proof, &old.root, &head.root).unwrap();
            if old.size > 0 && old.size < size {
                verify_consistency(old.size, size, &proof, &opened[0].0.root, &head.root).unwrap_err();
            }
        }
        let Some(path) = TilePath::entries(0, size) else { continue };
        let bundle = log.get(&path).unwrap().unwrap();
        let entries = bundle_entries(&bundle).unwrap();
        assert_eq!(entries.len() as u64, size);
        for (index, entry) in (0..).zip(&entries) {
            let hashes = inclusion_proof(index, size, &tiles).unwrap();
            verify_inclusion(&leaf_hash(entry), index, size, &hashes, &head.root).unwrap();
            let checkpoint = String::from_utf8(note.clone()).unwrap();
            let proof = TlogProof { extra: None, index, hashes, checkpoint };
            proof.verify(entry, &keys).unwrap();
        }
    }
}

#[test]
fn own_log_on_disk_holds() {
    let root = own_vectors();
    let key: VerifierKey =
        std::fs::read_to_string(root.join("log.vkey")).unwrap().trim_end().parse().unwrap();
    let log = Folder { root: root.join("log"), checkpoint: "checkpoint".to_owned() };
    let report = verify(&log, &Against { keys: std::slice::from_ref(&key), ..Against::default() });
    assert_eq!(report.problems, []);
    assert_eq!((report.verified(), report.leaves), (Some(true), 3));
    let proof = TlogProof::parse(&std::fs::read(root.join("log.tlog-proof")).unwrap()).unwrap();
    proof.verify(b"entry 1", std::slice::from_ref(&key)).unwrap();
    // The format is for good: what is written today is what was written then.
    let today = Log::new(3);
    assert_eq!(today.checkpoint.unwrap(), log.read("checkpoint"));
    for (path, bytes) in today.files {
        assert_eq!(bytes, log.read(&path.to_string()), "{path}");
    }
}
