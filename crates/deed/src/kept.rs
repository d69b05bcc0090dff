//! What was kept elsewhere, to hold a log against: public keys and checkpoints.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use deed_seal::{
    checkpoint::Checkpoint,
    note::{MAX_NOTE, VerifierKey},
    verify::Kept,
};

use crate::exit::Failure;

/// The keys of `--vkey`: each is a file with a vkey a line, or a vkey itself.
///
/// # Errors
/// A file cannot be read, holds no key, or a line of it is none.
pub(crate) fn keys(given: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for given in given {
        match given.parse() {
            Ok(key) => keys.push(key),
            Err(_) => keys.extend(keys_in(Path::new(given))?),
        }
    }
    Ok(keys)
}

fn keys_in(path: &Path) -> Result<Vec<VerifierKey>, Failure> {
    let failed = || Failure::new(format!("failed to read the keys in `{}`", path.display()));
    let text = fs::read_to_string(path).map_err(|error| failed().detail(error.to_string()))?;
    let lines = text
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|(number, line)| {
        line.parse().map_err(|error| failed().detail(format!("line {}: {error}", number + 1)))
    });
    let keys: Vec<VerifierKey> = keys.collect::<Result<_, _>>()?;
    if keys.is_empty() {
        Err(failed().detail("it holds no key; `deed keys` prints those of a log"))
    } else {
        Ok(keys)
    }
}

/// The checkpoints of `--since`, each of which is one.
///
/// # Errors
/// A file cannot be read, or is no checkpoint.
pub(crate) fn checkpoints(paths: &[PathBuf]) -> Result<Vec<Kept>, Failure> {
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let failed = || Failure::new(format!("failed to read the checkpoint `{name}`"));
        let mut note = Vec::new();
        // One byte more than a note may have: then it is refused as too long.
        fs::File::open(path)
            .and_then(|file| file.take(MAX_NOTE as u64 + 1).read_to_end(&mut note))
            .map_err(|error| failed().detail(error.to_string()))?;
        Checkpoint::open_unverified(&note).map_err(|error| failed().detail(error.to_string()))?;
        Ok(Kept { name: name.clone(), note })
    };
    paths.iter().map(read).collect()
}
