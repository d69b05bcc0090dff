//! What several tests need: vectors, a naive tree, a log in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::{Hash, leaf_hash, node_hash};
use deed_seal::merkle::{Frontier, HashReader};
use deed_seal::note::{Ed25519Signer, Note, Signer};
use deed_seal::tile::{self, TilePath};
use deed_seal::verify::Tiles;

/// The folder of Deed's own vectors.
pub(crate) fn own_vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// A folder of the public vectors; says that the test is skipped where there is none.
pub(crate) fn public_vectors(folder: &str) -> Option<PathBuf> {
    match std::env::var_os("DEED_VECTORS") {
        Some(root) => Some(Path::new(&root).join(folder)),
        None => {
            eprintln!("skipped: DEED_VECTORS does not name the folder of the public vectors (`{folder}`)");
            None
        }
    }
}

/// All files below `folder` whose names end with `ending`.
pub(crate) fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub(crate) fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Leaf hashes that differ from each other.
pub(crate) fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// MTH of RFC 6962, section 2.1, word for word.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
pub(crate) fn naive_inclusion(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (naive_inclusion(index, left), naive_root(right))
    } else {
        (naive_inclusion(index - k, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 6962, section 2.1.2.
pub(crate) fn naive_consistency(old: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if old <= k {
        (naive_consistency(old, left, known), naive_root(right))
    } else {
        (naive_consistency(old - k, right, false), naive_root(left))
    };
    proof.push(sibling);
    proof
}

fn naive_split(size: usize) -> usize {
    let mut k = 1;
    while k * 2 < size {
        k *= 2;
    }
    k
}

/// A tree with the hashes of all complete subtrees at hand.
pub(crate) struct Tree {
    pub(crate) levels: Vec<Vec<Hash>>,
}

impl Tree {
    pub(crate) fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(below.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect());
        }
        Self { levels }
    }

    /// The bytes of a tile.
    pub(crate) fn tile(&self, level: u8, index: u64, width: u16) -> Vec<u8> {
        let start = index as usize * 256;
        let hashes = &self.levels[usize::from(level) * 8][start..start + usize::from(width)];
        hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

impl HashReader for Tree {
    type Error = Infallible;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.levels[usize::from(level)][index as usize])
    }
}

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) files: BTreeMap<TilePath, Vec<u8>>,
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Log {
    /// A log of `size` entries, whole.
    pub(crate) fn new(size: u64) -> Self {
        let tree = Tree::new((0..size).map(|i| leaf_hash(&entry(i))).collect());
        let file = |path: TilePath| {
            let bytes = match path {
                TilePath::Hashes { level, index, width } => tree.tile(level, index, width),
                TilePath::Entries { index, width } => {
                    let entries: Vec<_> = (index * 256..).take(width.into()).map(entry).collect();
                    tile::bundle_encode(entries.iter().map(Vec::as_slice)).unwrap()
                }
            };
            (path, bytes)
        };
        let files = TilePath::all(size).map(file).collect();
        Self { files, checkpoint: Some(signed_checkpoint(size).into_bytes()) }
    }
}

impl Tiles for Log {
    type Error = Infallible;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.files.get(path).cloned())
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.checkpoint.clone())
    }
}

/// Entry `i` of a [`Log`].
pub(crate) fn entry(i: u64) -> Vec<u8> {
    format!("entry {i}").into_bytes()
}

/// The root of the first `size` entries of a [`Log`].
pub(crate) fn root(size: u64) -> Hash {
    let mut tree = Frontier::new();
    (0..size).for_each(|i| tree.push(leaf_hash(&entry(i))));
    tree.root()
}

/// The checkpoint of a [`Log`] of `size` entries.
pub(crate) fn signed_checkpoint(size: u64) -> String {
    sign(&Checkpoint::new("example.com/log", size, root(size)))
}

pub(crate) fn sign(checkpoint: &Checkpoint) -> String {
    Note::sign(checkpoint.to_text(), &[&log_signer()]).unwrap().to_string()
}

/// Who signs the checkpoints of a [`Log`].
pub(crate) fn log_signer() -> impl Signer {
    Ed25519Signer::new("example.com/log", &[7; 32]).unwrap()
}
