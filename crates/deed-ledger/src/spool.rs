//! A folder outside of the store, where records wait that the log could not take (P7).
//!
//! What is put there is sealed like everything else: secrets are fingerprints, payloads and names are encrypted under
//! the store's own data keys. Only its time in the log is open. So nothing is sealed anew when it is appended later,
//! and a person whose data key is destroyed meanwhile is gone from here too.
//!
//! Appending later is idempotent: each record has an id and the keyed digest of what was sent, and a file is removed
//! only after all of it is in the log. A crash anywhere between leaves the file, and what is in the log already is
//! known there by its id.

mod drain;
mod file;
mod words;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use deed_record::Timestamp;

pub use drain::Told;
pub(crate) use file::{Scanned, header, scan};
pub use words::{Part, SpoolError, SpoolOptions, SpoolState, Spooled};

use crate::{
    AppendError, Ledger, Sender,
    journal::FrameBuilder,
    lock::{Lock, LockError},
    sealer::{Batch, Sealer},
    signing::now,
    store::{PRIVATE, make_folder},
};

/// See the module.
pub struct Spool {
    ledger: Ledger,
    options: SpoolOptions,
    /// Device and number of the folder: another one may be put in its place.
    place: (u64, u64),
    state: Mutex<State>,
    /// Held while what waits is being appended to the log.
    draining: Mutex<()>,
    spooled: AtomicU64,
    sealed: AtomicU64,
    _lock: Lock,
}

#[derive(Default)]
struct State {
    /// Files with what waits, oldest first.
    waiting: Vec<Waiting>,
    /// The last of them, while it is written to.
    open: Option<(File, FrameBuilder)>,
    /// Number of the next file.
    next: u64,
    /// Why nothing can be written any more, once that is so.
    broken: Option<String>,
    /// Why nothing more is to go on before something is recorded again, and the commits there were then.
    halted: Option<(String, u64)>,
}

/// A file with what waits.
#[derive(Clone, Debug)]
struct Waiting {
    number: u64,
    records: u64,
    bytes: u64,
    oldest: Timestamp,
}

impl Spool {
    /// Opens the spool of `ledger`'s store; what a process before this one left there waits on.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(ledger: Ledger, options: SpoolOptions) -> Result<Self, SpoolError> {
        let folder = options.folder.clone();
        let failed = |source| SpoolError::Folder { folder: folder.clone(), source };
        // Looked at before it is made: nothing is to stay behind in the wrong place.
        if lie_in_each_other(&folder, ledger.dir()).map_err(failed)? {
            return Err(SpoolError::Inside(folder));
        }
        make_folder(&folder).map_err(failed)?;
        let found = fs::metadata(&folder).map_err(failed)?;
        if !found.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return Err(SpoolError::Open(folder));
        }
        let lock = Lock::take(&folder).map_err(|error| match error {
            LockError::Held(holder) => SpoolError::Held(folder.clone(), holder),
            LockError::Io(source) => failed(source),
        })?;
        let mut state = State { next: 1, ..State::default() };
        for (number, path) in file::list(&folder).map_err(failed)? {
            let bytes = fs::read(&path).map_err(failed)?;
            let found = scan(&bytes, number);
            if found.origin.is_some_and(|origin| origin != file::origin(ledger.origin())) {
                return Err(SpoolError::OtherLog(path, ledger.origin().to_owned()));
            }
            state.next = number + 1;
            state.waiting.push(Waiting {
                number,
                records: found.frames.iter().map(|(_, frame)| frame.entries.len() as u64).sum(),
                bytes: bytes.len() as u64,
                oldest: found.oldest().unwrap_or_else(now),
            });
        }
        // The number of a file that was set aside is not used again.
        state.next = state.next.max(file::last_number(&folder).map_err(failed)? + 1);
        Ok(Spool {
            ledger,
            options,
            place: (found.dev(), found.ino()),
            state: Mutex::new(state),
            draining: Mutex::default(),
            spooled: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// How it was opened.
    pub fn options(&self) -> &SpoolOptions {
        &self.options
    }

    /// Whether nothing waits, and nothing is wrong with it.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && state.broken.is_none()
    }

    /// Whether it is lost together with the store's disk.
    pub fn is_on_the_disk_of_the_store(&self) -> bool {
        fs::metadata(self.ledger.dir()).is_ok_and(|store| store.dev() == self.place.0)
    }

    /// Seals the records of `body` without the store and makes them durable here; each must have an id. `why` the log
    /// does not take them is for Deed's own log.
    ///
    /// INVARIANT D1: what it returns says that they survive anything but the loss of this disk.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] names the spool: it is full, too old or broken, or a key is needed that only the
    /// store can keep. Nothing is to be done on it, whatever is found here later.
    pub fn append(
        &self,
        body: &[u8],
        sender: &Sender,
        part: Part,
        why: &str,
    ) -> Result<Spooled, AppendError> {
        let time = now();
        let sealer = Sealer { keys: &self.ledger.shared().keys, sender, spooled: Some(time) };
        let batch = sealer.seal_aside(body).map_err(|error| match error {
            AppendError::Unavailable(why) => self.refuses(&why),
            error => error,
        })?;
        if batch.items.iter().any(|item| item.named.is_none_or(|named| named.imported)) {
            return Err(self.refuses("a record without an id of its own would not be known again"));
        }
        let mut state = self.lock();
        self.has_room(&state, part, time, batch.weight() as u64).map_err(|why| self.refuses(&why))?;
        if state.waiting.is_empty() {
            let folder = self.options.folder.display();
            tracing::warn!(why, %folder, "actions of the tier `low` go on against the spool");
        }
        if let Err(error) = self.write(&mut state, &batch, time) {
            // What is on that disk is unknown: nothing more is written before it was read again.
            let why = format!("failed to write: {error}");
            (state.broken, state.open) = (Some(why.clone()), None);
            return Err(self.refuses(&why));
        }
        self.spooled.fetch_add(batch.items.len() as u64, Ordering::Relaxed);
        Ok(Spooled::at(time))
    }

    /// No action goes on against the spool until something is recorded again: somebody wanted to say something that
    /// every decision depends on.
    pub fn halt(&self, why: &str) {
        let commits = self.ledger.counters().commits;
        self.lock().halted = Some((why.to_owned(), commits));
    }

    /// What waits, and what is wrong.
    pub fn state(&self) -> SpoolState {
        let state = self.lock();
        let mut problems: Vec<String> = self.why_not(&state, now()).into_iter().collect();
        problems.extend(file::set_aside(&self.options.folder).into_iter().map(|path| {
            format!(
                "`{}` holds what could not be read or appended; Deed's log says where: look, then move it away",
                path.display()
            )
        }));
        SpoolState {
            records: state.waiting.iter().map(|file| file.records).sum(),
            bytes: bytes(&state),
            oldest: state.waiting.first().map(|file| file.oldest),
            spooled: self.spooled.load(Ordering::Relaxed),
            sealed: self.sealed.load(Ordering::Relaxed),
            problems,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(&self, why: &str) -> AppendError {
        AppendError::Unavailable(format!("the spool `{}`: {why}", self.options.folder.display()))
    }

    /// Why no action may go on against it.
    fn why_not(&self, state: &State, now: Timestamp) -> Option<String> {
        if let Some(why) = &state.broken {
            return Some(why.clone());
        }
        let folder = fs::metadata(&self.options.folder);
        if folder.is_ok_and(|now| (now.dev(), now.ino()) != self.place) {
            return Some("another folder is in its place".into());
        }
        if let Some((why, commits)) = &state.halted
            && self.ledger.counters().commits <= *commits
        {
            return Some(why.clone());
        }
        let most = self.options.max_age.as_secs();
        let oldest = state.waiting.first()?.oldest;
        let seconds = u64::try_from((now.0 - oldest.0) / 1_000_000).unwrap_or(0);
        (seconds >= most).then(|| {
            format!(
                "it is in use for {seconds} s, and may be for {most} s: the recorder must work again first"
            )
        })
    }

    fn has_room(&self, state: &State, part: Part, now: Timestamp, more: u64) -> Result<(), String> {
        let max = self.options.max_bytes;
        let (most, why_not) = match part {
            Part::Intent => (max - max / 4, self.why_not(state, now)),
            Part::Outcome => (max, state.broken.clone()),
        };
        let held = bytes(state);
        match why_not {
            Some(why) => Err(why),
            None if held.saturating_add(more) > most => {
                Err(format!("it is full: {held} bytes of {max} are used, and a quarter is kept for outcomes"))
            }
            None => Ok(()),
        }
    }

    /// Writes `batch` as one frame, durably.
    fn write(&self, state: &mut State, batch: &Batch, time: Timestamp) -> io::Result<()> {
        let mut head = Vec::new();
        let (mut file, mut frame) = match state.open.take() {
            Some(open) => open,
            None => {
                let number = state.next;
                state.next += 1;
                let path = file::path(&self.options.folder, number);
                let file = OpenOptions::new().append(true).create_new(true).mode(PRIVATE).open(&path)?;
                state.waiting.push(Waiting { number, records: 0, bytes: 0, oldest: time });
                // Its name is durable before anything relies on it.
                File::open(&self.options.folder)?.sync_all()?;
                head = header(self.ledger.origin(), number).to_vec();
                (file, FrameBuilder::new())
            }
        };
        let Some(waiting) = state.waiting.last_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        frame.start(waiting.records);
        batch.items.iter().for_each(|item| frame.leaf(batch.leaf(item), batch.blob(item)));
        batch.names.iter().for_each(|name| frame.name(&name.account.0, &name.blob));
        let bytes = [&head, frame.finish(waiting.number)].concat();
        file.write_all(&bytes)?;
        file.sync_data()?;
        // A synced file that nobody can find again keeps nothing.
        let named = fs::metadata(file::path(&self.options.folder, waiting.number))?;
        if named.ino() != file.metadata()?.ino() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "its file was deleted"));
        }
        waiting.records += batch.items.len() as u64;
        waiting.bytes += bytes.len() as u64;
        state.open = Some((file, frame));
        Ok(())
    }
}

fn bytes(state: &State) -> u64 {
    state.waiting.iter().map(|file| file.bytes).sum()
}

/// Whether one of two folders lies in the other; the first may not be there yet.
fn lie_in_each_other(folder: &Path, store: &Path) -> io::Result<bool> {
    let store = store.canonicalize()?;
    let mut known = folder;
    let real = loop {
        match known.canonicalize() {
            Ok(real) => break real.join(folder.strip_prefix(known).unwrap_or(Path::new(""))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                known = known.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    };
    Ok(real.starts_with(&store) || store.starts_with(&real))
}
