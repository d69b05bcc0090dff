//! The file of the key database: made whole, waited for, and read as a whole before anything in it is believed.

use std::{
    cell::Cell,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    panic,
    path::Path,
    sync::Once,
    time::{Duration, Instant},
};

use redb::{Database, DatabaseError, StorageBackend, backends::InMemoryBackend};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use zeroize::Zeroizing;

use super::{DATA_KEYS, KeyError, TENANTS, failed};

/// Whoever held the store before lets go of its lock first and of the database a moment later.
pub(super) fn wait_for(path: &Path) -> Result<(), KeyError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let until = Instant::now() + PATIENCE;
    let file = fs::File::open(path).map_err(failed(path))?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result.map_err(|e| failed(path)(e.into())),
        }
    }
}

/// A copy in memory of the database, after every page that is in use was held against its checksum: what
/// reads a page later takes it for good, and a database in use can be read in no other way.
pub(super) fn copy_of(path: &Path) -> Result<Database, KeyError> {
    let mut file = fs::File::open(path).map_err(failed(path))?;
    let length = file.metadata().map_err(failed(path))?.len();
    if length == 0 {
        // The library would begin a new database in it.
        return Err(KeyError::Damaged("the file is empty".to_owned()));
    }
    let copy = InMemoryBackend::new();
    copy.set_len(length).map_err(failed(path))?;
    let mut piece = Zeroizing::new(vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        match file.read(&mut piece).map_err(failed(path))? {
            0 => break,
            length => {
                copy.write(at, &piece[..length]).map_err(failed(path))?;
                at += length as u64;
            }
        }
    }
    checked(move || {
        let mut database = Database::builder().create_with_backend(copy)?;
        let whole = database.check_integrity()?;
        Ok(whole.then_some(database))
    })
}

/// What `check` gives. At some pages that are not what they were the library panics: here that is an
/// answer like any other, and nobody is to be frightened by it.
fn checked(check: impl FnOnce() -> Result<Option<Database>, DatabaseError>) -> Result<Database, KeyError> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(check));
    QUIET.set(false);
    match result {
        Ok(Ok(Some(database))) => Ok(database),
        Ok(Err(error)) => Err(KeyError::Damaged(error.to_string())),
        Ok(Ok(None)) | Err(_) => Err(KeyError::Damaged("its pages do not match their checksums".into())),
    }
}

/// Makes an empty database: it has its name when it is whole, however often its maker is killed.
pub(super) fn make_database(folder: &Path, path: &Path) -> Result<(), KeyError> {
    let part = folder.join("keys.redb.part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&part)(error)),
        _ => {}
    }
    let make = || -> Result<(), redb::Error> {
        let transaction = Database::create(&part)?.begin_write()?;
        transaction.open_table(TENANTS)?;
        transaction.open_table(DATA_KEYS)?;
        Ok(transaction.commit()?)
    };
    make().map_err(|e| KeyError::Database(e.to_string()))?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).map_err(failed(&part))?;
    fs::rename(&part, path).map_err(failed(path))
}
