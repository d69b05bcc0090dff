//! The keys that sign tokens, in `keys/tokens`: a line for each, from when it signs (seconds since the epoch)
//! and its Ed25519 seed in hex. Private to its owner.
//!
//! A new key is published before it signs, so that those who keep the JWKS for a while have it by then. An
//! old one verifies until the last token that it signed has expired, and is then forgotten. To withdraw one
//! that leaked, its line is taken out while the store is not held: nothing that it signed is believed then.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use deed_record::Timestamp;
use deed_seal::hash::Hash;
use deed_token::{Issuer, SigningKey};
use zeroize::Zeroizing;

/// In the data directory.
const FILE: &str = "keys/tokens";
/// How long a key is published before it signs, in seconds.
const PUBLISHED_BEFORE: i64 = 3600;
/// No token lives longer, in seconds, whatever the settings were when it was signed.
const LONGEST_LIFE: i64 = 3600;

/// Why there are no signing keys.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file cannot be read or written.
    #[error("failed to use key file `keys/tokens`: {0}")]
    Io(#[from] io::Error),
    /// It does not hold what it should.
    #[error(
        "key file `keys/tokens`, line {0}: expected a time in seconds and 64 hex digits, later than those before; \
         restore the file, or delete it: tokens that were issued then hold no more"
    )]
    Malformed(usize),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

struct Seed {
    from: i64,
    seed: Zeroizing<[u8; 32]>,
}

/// The issuer of tokens with its keys, and the file that they are in.
pub(super) struct Signing {
    path: PathBuf,
    rotation: i64,
    issuer: RwLock<Issuer>,
    seeds: Mutex<Vec<Seed>>,
}

impl Signing {
    /// Reads the keys of the store in `dir`; makes the first.
    pub(super) fn open(
        dir: &Path,
        url: &str,
        rotation: Duration,
        now: Timestamp,
    ) -> Result<Self, SigningError> {
        let path = dir.join(FILE);
        let mut seeds = match fs::read_to_string(&path) {
            Ok(text) => read(&Zeroizing::new(text))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if seeds.is_empty() {
            seeds.push(Seed { from: seconds(now), seed: fresh()? });
            write(&path, &seeds)?;
        }
        let malformed = |at: usize| SigningError::Malformed(at + 1);
        let mut keys = seeds.iter().map(|seed| SigningKey::ed25519(&*seed.seed));
        let first = keys.next().and_then(Result::ok).ok_or(malformed(0))?;
        let mut issuer = Issuer::new(url, first);
        for (at, (key, seed)) in keys.zip(&seeds[1..]).enumerate() {
            let key = key.map_err(|_| malformed(at + 1))?;
            issuer.rotate(key, time(seed.from), LONGEST_LIFE).map_err(|_| malformed(at + 1))?;
        }
        let rotation = i64::try_from(rotation.as_secs()).unwrap_or(i64::MAX);
        Ok(Signing { path, rotation, issuer: RwLock::new(issuer), seeds: Mutex::new(seeds) })
    }

    /// The issuer as it is now.
    pub(super) fn issuer(&self) -> RwLockReadGuard<'_, Issuer> {
        self.issuer.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the next key when it is time, and forgets those that verify nothing any more.
    pub(super) fn turn(&self, now: Timestamp) -> Result<(), SigningError> {
        let mut seeds = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = seeds.last().map(|seed| seed.from) else { return Ok(()) };
        let due = newest.saturating_add(self.rotation);
        if seconds(now) < due - PUBLISHED_BEFORE {
            return Ok(());
        }
        let from = due.max(seconds(now) + PUBLISHED_BEFORE);
        let next = Seed { from, seed: fresh()? };
        let key = SigningKey::ed25519(&*next.seed).map_err(|_| SigningError::Random)?;
        let mut all: Vec<Seed> = seeds.drain(..).collect();
        all.push(next);
        // The one before the first that still signs or verifies is not needed.
        let over = all
            .iter()
            .skip(1)
            .take_while(|following| following.from.saturating_add(LONGEST_LIFE) <= seconds(now))
            .count();
        all.drain(..over);
        *seeds = all;
        write(&self.path, &seeds)?;
        let mut issuer = self.issuer.write().unwrap_or_else(PoisonError::into_inner);
        if issuer.rotate(key, time(from), LONGEST_LIFE).is_err() {
            return Err(SigningError::Malformed(seeds.len()));
        }
        issuer.forget(now);
        tracing::info!(from, "the next key of the token service is published");
        Ok(())
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}

fn time(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000))
}

fn fresh() -> Result<Zeroizing<[u8; 32]>, SigningError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| SigningError::Random)?;
    Ok(seed)
}

fn read(text: &str) -> Result<Vec<Seed>, SigningError> {
    let line = |(at, line): (usize, &str)| {
        let (from, seed) = line.split_once(' ')?;
        let seed: Hash = seed.parse().ok()?;
        Some((at, Seed { from: from.parse().ok()?, seed: Zeroizing::new(seed.0) }))
    };
    let mut seeds: Vec<Seed> = Vec::new();
    for (at, text) in text.lines().enumerate() {
        match line((at, text)) {
            Some((_, seed)) if seeds.last().is_none_or(|last| last.from < seed.from) => seeds.push(seed),
            _ => return Err(SigningError::Malformed(at + 1)),
        }
    }
    Ok(seeds)
}

/// Whole or not at all, and durable.
fn write(path: &Path, seeds: &[Seed]) -> io::Result<()> {
    let mut text = Zeroizing::new(String::new());
    for Seed { from, seed } in seeds {
        text.push_str(&from.to_string());
        text.push(' ');
        text.push_str(&Zeroizing::new(Hash(**seed).to_string()));
        text.push('\n');
    }
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: i64 = 86_400;

    fn open(dir: &Path, now: i64) -> Signing {
        let rotation = Duration::from_secs(DAY as u64);
        Signing::open(dir, "https://deed.example", rotation, time(now)).expect("keys")
    }

    fn published(signing: &Signing, now: i64) -> Vec<String> {
        let jwks = signing.issuer().jwks(time(now));
        let keys = jwks["keys"].as_array().expect("keys");
        keys.iter().map(|key| key["kid"].as_str().expect("kid").to_owned()).collect()
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_old_one_is_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("keys")).expect("a folder");
        let start = 1_790_000_000;
        let signing = open(dir.path(), start);
        let first = published(&signing, start);
        let mode = fs::metadata(dir.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        signing.turn(time(start + DAY - PUBLISHED_BEFORE - 1)).expect("turns");
        assert_eq!(published(&signing, start), first);
        let before = start + DAY - PUBLISHED_BEFORE;
        signing.turn(time(before)).expect("turns");
        signing.turn(time(before)).expect("turns");
        let both = published(&signing, before);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        // Another process has the same ones.
        assert_eq!(published(&open(dir.path(), before), before), both);

        let later = start + 2 * DAY - PUBLISHED_BEFORE;
        signing.turn(time(later)).expect("turns");
        let after = published(&signing, later);
        assert_eq!((after.len(), &after[0]), (2, &both[1]));
        assert_eq!(published(&open(dir.path(), later), later), after);
    }

    #[test]
    fn a_file_that_is_no_such_file_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("keys")).expect("a folder");
        let seed = "00".repeat(32);
        for (text, line) in [
            ("nonsense\n".to_owned(), 1),
            (format!("5 {seed}\n5 {seed}\n"), 2),
            (format!("5 {seed}\n6 zz\n"), 2),
        ] {
            fs::write(dir.path().join(FILE), &text).expect("written");
            let opened = Signing::open(dir.path(), "https://deed.example", Duration::from_secs(1), time(9));
            match opened {
                Err(SigningError::Malformed(found)) => assert_eq!(found, line),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("accepted {text}"),
            }
        }
    }
}
