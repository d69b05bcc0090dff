//! The log at one size, read from one end to the other.

use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, OnceLock},
    thread,
};

use deed_record::Skeleton;
use deed_seal::tile::TILE_WIDTH;

use crate::{Ledger, LedgerError, pack::Bundle};

/// Entry bundles that two readers take at once.
const STRETCH: u64 = 4;

/// The log at one size. Leaves never change, so that reading at leisure sees one state.
#[derive(Clone)]
pub struct Snapshot {
    ledger: Ledger,
    size: u64,
    packed: u64,
}

/// How many threads read records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readers {
    /// The caller's.
    One,
    /// The caller's and another, where there is enough to read: for when somebody waits, and what is done with each record
    /// has an order.
    Two,
}

impl Snapshot {
    pub(crate) fn new(ledger: Ledger, size: u64, packed: u64) -> Self {
        Snapshot { ledger, size, packed }
    }

    /// Leaves it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Leaves below this were in packs when it was taken: a multiple of 65,536.
    pub fn packed(&self) -> u64 {
        self.packed
    }

    /// Calls `each` with the index and exact bytes of the leaves of `range`, in order, until it breaks.
    ///
    /// # Errors
    /// A pack cannot be read.
    pub fn scan(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let end = range.end.min(self.size);
        let mut index = range.start;
        while index < end {
            let bundle = self.bundle(index / TILE_WIDTH)?;
            let until = end.min((index / TILE_WIDTH + 1) * TILE_WIDTH);
            for index in index..until {
                if each(index, leaf_of(&bundle, index)?).is_break() {
                    return Ok(());
                }
            }
            index = until;
        }
        Ok(())
    }

    /// Calls `each` with the index and the record of the leaves of `range`, in order, until it fails.
    ///
    /// # Errors
    /// A pack cannot be read, a leaf is no record, or that of `each`.
    pub fn records<E: From<LedgerError>>(
        &self,
        range: Range<u64>,
        readers: Readers,
        each: &mut dyn FnMut(u64, &Skeleton<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match readers {
            Readers::One => self.one_by_one(range, each),
            Readers::Two => self.in_stretches(range, each),
        }
    }

    fn one_by_one<E: From<LedgerError>>(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &Skeleton<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        self.scan(range, &mut |index, leaf| {
            let done = record_of(leaf, index).map_err(E::from).and_then(|record| each(index, &record));
            match done {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Of each stretch one half is read beside the other.
    fn in_stretches<E: From<LedgerError>>(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &Skeleton<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = range.end.min(self.size);
        let mut from = range.start;
        while from < end {
            let first = from / TILE_WIDTH;
            let to = end.min((first + STRETCH) * TILE_WIDTH);
            let half = (first + STRETCH / 2) * TILE_WIDTH;
            if half >= to {
                return self.one_by_one(from..to, each);
            }
            // They outlive the threads that read what is in them.
            let (ours, others) = (OnceLock::new(), OnceLock::new());
            let (one, other) = thread::scope(|scope| {
                let reading = thread::Builder::new()
                    .name("reading".into())
                    .spawn_scoped(scope, || self.read(half..to, &others))
                    .map_err(|error| LedgerError::Broken(format!("no thread to read in: {error}")))?;
                let one = self.read(from..half, &ours)?;
                let other = reading.join().map_err(|_| LedgerError::Broken("reading panicked".into()))?;
                Ok::<_, LedgerError>((one, other?))
            })?;
            for (index, record) in (from..).zip(one.iter().chain(&other)) {
                each(index, record)?;
            }
            from = to;
        }
        Ok(())
    }

    /// The records of `range`, whose bundles are kept in `place`.
    fn read<'p>(
        &self,
        range: Range<u64>,
        place: &'p OnceLock<Vec<Arc<Bundle>>>,
    ) -> Result<Vec<Skeleton<'p>>, LedgerError> {
        let first = range.start / TILE_WIDTH;
        let numbers = first..range.end.div_ceil(TILE_WIDTH);
        let bundles: Vec<_> = numbers.map(|number| self.bundle(number)).collect::<Result<_, _>>()?;
        let bundles = place.get_or_init(|| bundles);
        let record = |index: u64| {
            let bundle = bundles.get((index / TILE_WIDTH - first) as usize);
            let bundle = bundle.ok_or_else(|| LedgerError::NotFound(format!("leaf {index}")))?;
            record_of(leaf_of(bundle, index)?, index)
        };
        range.map(record).collect()
    }

    fn bundle(&self, number: u64) -> Result<Arc<Bundle>, LedgerError> {
        self.ledger.shared().log.bundle(number)
    }
}

fn leaf_of(bundle: &Bundle, index: u64) -> Result<&[u8], LedgerError> {
    let leaf = bundle.leaf((index % TILE_WIDTH) as usize);
    leaf.ok_or_else(|| LedgerError::NotFound(format!("leaf {index}")))
}

fn record_of(leaf: &[u8], index: u64) -> Result<Skeleton<'_>, LedgerError> {
    Skeleton::parse(leaf).map_err(|error| LedgerError::Broken(format!("leaf {index} is no record: {error}")))
}
