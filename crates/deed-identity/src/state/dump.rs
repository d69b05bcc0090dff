//! The state as bytes: the same state gives the same bytes, whatever way it came about (INVARIANT D5).
//!
//! Big-endian integers of fixed width, lists preceded by their length, entries in the order of their keys, words
//! in alphabetical order. It is what is digested, and what a snapshot holds.

use deed_record::{Account, Change, RecordId, Timestamp};
use sha2::{Digest, Sha256};

use crate::{
    bounded::{Bounded, Uniform},
    strings::Sym,
};

use super::{
    Bounds, State,
    entry::{AccountEntry, ChangeEntry, CredentialEntry, Holder, Lock, Place, Rank, Role},
    given::{Gives, GrantEntry, LinkEntry, SourceEntry, ThingEntry, TriedEntry, Word},
    keys::{CredentialKey, GrantKey, Mark, SourceKey, TriedKey},
    turns::{Address, Turn},
    used::{AllSeen, Seen, SeenBy, Used, UsedAs},
    withdrawn::{Sort, Taken, WithdrawnEntry},
};

/// What a dump begins with; another number is another form, and is derived again.
const MAGIC: &[u8; 16] = b"deed-identity/12";

/// A dump cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no state of this version; it is derived again from the log")]
pub struct BadDump;

impl State {
    /// The state as bytes.
    pub fn dump(&self) -> Vec<u8> {
        let mut used = Words(vec![false; self.strings.words().len()]);
        self.accounts.iter().for_each(|(_, entry)| entry.words(&mut used));
        self.credentials.iter().for_each(|(_, entry)| entry.words(&mut used));
        self.grants.iter().for_each(|(_, entry)| entry.words(&mut used));
        self.tried.iter().for_each(|(_, entry)| used.mark(entry.tenant));
        let systems = self.sources.iter().flat_map(|(_, entry)| [entry.tenant, entry.system]);
        systems.for_each(|sym| used.mark(sym));
        let mut words: Vec<(&str, usize)> = (1..used.0.len())
            .filter(|at| used.0[*at])
            .map(|at| (self.strings.word(Sym(at as u32)), at))
            .collect();
        words.sort_unstable();
        let mut numbers = vec![Sym(0); used.0.len()];
        for (number, (_, at)) in words.iter().enumerate() {
            numbers[*at] = Sym(number as u32 + 1);
        }
        let mut out = Out { bytes: MAGIC.to_vec(), numbers };
        out.put(&self.records);
        out.count(words.len());
        for (word, _) in &words {
            out.count(word.len());
            out.bytes.extend_from_slice(word.as_bytes());
        }
        out.map(&self.accounts);
        out.map(&self.credentials);
        out.map(&self.grants);
        out.map(&self.things);
        out.map(&self.links);
        out.map(&self.sources);
        out.put(&self.tried.more);
        out.count(self.tried.len());
        for (key, value) in self.tried.iter() {
            out.put(key);
            out.put(value);
        }
        out.bytes
    }

    /// SHA-256 over the dump, in hex.
    pub fn digest(&self) -> String {
        Sha256::digest(self.dump()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads a dump.
    ///
    /// # Errors
    /// It is none, or of another version.
    pub fn read(dump: &[u8], bounds: Bounds) -> Result<State, BadDump> {
        let mut input = In { rest: dump.strip_prefix(MAGIC).ok_or(BadDump)?, words: 0 };
        let mut state = State::new(bounds);
        state.records = input.take()?;
        for _ in 0..input.count()? {
            let length = input.count()?;
            let word = std::str::from_utf8(input.bytes(length)?).map_err(|_| BadDump)?;
            state.strings.sym(word);
        }
        input.words = state.strings.words().len() as u32;
        input.map(&mut state.accounts)?;
        input.map(&mut state.credentials)?;
        input.map(&mut state.grants)?;
        input.map(&mut state.things)?;
        input.map(&mut state.links)?;
        input.map(&mut state.sources)?;
        state.tried.more = input.take()?;
        for _ in 0..input.count()? {
            let (key, value) = (input.take()?, input.take()?);
            state.tried.add(key, value, TriedEntry::merge);
        }
        if !input.rest.is_empty() {
            return Err(BadDump);
        }
        state.index_again();
        Ok(state)
    }
}

/// Which words an entry names.
struct Words(Vec<bool>);

impl Words {
    fn mark(&mut self, sym: Sym) {
        if let Some(used) = self.0.get_mut(sym.0 as usize) {
            *used = true;
        }
    }
}

impl AccountEntry {
    fn words(&self, used: &mut Words) {
        used.mark(self.tenant);
        self.used.iter().for_each(|entry| used.mark(entry.what));
        self.places.iter().flat_map(|place| [place.system, place.environment]).for_each(|sym| used.mark(sym));
        self.withdrawn.iter().flat_map(|entry| [entry.system, entry.kind]).for_each(|sym| used.mark(sym));
    }
}

impl CredentialEntry {
    fn words(&self, used: &mut Words) {
        [self.tenant, self.kind, self.issuer].into_iter().for_each(|sym| used.mark(sym));
        self.holders.iter().for_each(|holder| used.mark(holder.system));
    }
}

impl GrantEntry {
    fn words(&self, used: &mut Words) {
        used.mark(self.tenant);
        self.given.iter().for_each(|(_, system)| used.mark(*system));
        if let Some(gives) = &self.gives {
            gives.scopes.iter().chain([&gives.role, &gives.resource]).for_each(|sym| used.mark(*sym));
        }
    }
}

struct Out {
    bytes: Vec<u8>,
    /// The number of each word in the dump.
    numbers: Vec<Sym>,
}

struct In<'d> {
    rest: &'d [u8],
    /// Words that there are.
    words: u32,
}

/// What can be written and read again.
trait Dumped: Sized {
    fn put(&self, out: &mut Out);
    fn take(input: &mut In<'_>) -> Result<Self, BadDump>;
}

impl Out {
    fn put(&mut self, value: &impl Dumped) {
        value.put(self);
    }

    fn count(&mut self, count: usize) {
        self.put(&(count as u64));
    }

    fn map<K: Uniform + Dumped, V: Dumped>(&mut self, map: &Bounded<K, V>) {
        self.put(&map.level());
        self.count(map.len());
        for (key, value) in map.sorted() {
            key.put(self);
            value.put(self);
        }
    }
}

impl In<'_> {
    fn take<T: Dumped>(&mut self) -> Result<T, BadDump> {
        T::take(self)
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], BadDump> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(BadDump)?;
        self.rest = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<usize, BadDump> {
        let count: u64 = self.take()?;
        // Nothing takes less than a byte: a damaged length makes nobody reserve room.
        usize::try_from(count).ok().filter(|count| *count <= self.rest.len()).ok_or(BadDump)
    }

    fn map<K: Uniform + Dumped, V: Dumped>(&mut self, map: &mut Bounded<K, V>) -> Result<(), BadDump> {
        map.raise(self.take()?);
        for _ in 0..self.count()? {
            let (key, value) = (self.take()?, self.take::<V>()?);
            // Of other bounds there may be more than there is room for.
            map.entry(key, || value);
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Dumped for $kind {
            fn put(&self, out: &mut Out) {
                out.bytes.extend_from_slice(&self.to_be_bytes());
            }
            fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
                let bytes = input.bytes(size_of::<$kind>())?;
                Ok(<$kind>::from_be_bytes(bytes.try_into().map_err(|_| BadDump)?))
            }
        }
    )*};
}

integers!(u8, u32, u64, i64);

macro_rules! ids {
    ($($name:ident),*) => {$(
        impl Dumped for $name {
            fn put(&self, out: &mut Out) {
                out.bytes.extend_from_slice(&self.0);
            }
            fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
                Ok($name(input.bytes(16)?.try_into().map_err(|_| BadDump)?))
            }
        }
    )*};
}

ids!(Account, CredentialKey, GrantKey, SourceKey, RecordId);

macro_rules! structs {
    ($($name:ident { $($member:ident),* $(,)? })*) => {$(
        impl Dumped for $name {
            fn put(&self, out: &mut Out) {
                $(self.$member.put(out);)*
            }
            fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
                $(let $member = input.take()?;)*
                Ok($name { $($member),* })
            }
        }
    )*};
}

structs! {
    AccountEntry {
        tenant, firm_types, told_types, first, last, initiated, executed, denied, failed, last_acted, last_done, places, used,
        more_used, seen, changes, withdrawn, locks, taken_back,
    }
    Lock { put, thing }
    WithdrawnEntry { sort, system, kind, taken, renewed }
    Taken { mark, before, for_a_time }
    Place { system, environment, initiated, executed }
    ThingEntry { told }
    Word { mark, change, rank }
    Turn { minute, address }
    Address { system, digest }
    CredentialEntry {
        tenant, kind, issuer, parent, issued, expires, uses, first_used, last_used, changes, holders, more_holders,
        also, seen, turns,
    }
    ChangeEntry { change, rank, count, first, last }
    Holder { account, role, rank, system, first }
    GrantEntry {
        tenant, subject, expires, uses, first_used, last_used, changes, gives, request, names_approval, thing,
        given,
    }
    Gives { said, by, role, resource, scopes, more_scopes }
    LinkEntry { rank, count, first, last }
    SourceEntry { tenant, system, rank, records, first, last, gaps, last_gap }
    TriedEntry { tenant, account, what, resource, denied, checked, failed, first, last }
    Used { what, named_as, count, first, last }
    AllSeen { kept, more }
    Seen { by, digest, first, last }
}

impl Dumped for Timestamp {
    fn put(&self, out: &mut Out) {
        self.0.put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        input.take().map(Timestamp)
    }
}

impl Dumped for TriedKey {
    fn put(&self, out: &mut Out) {
        self.0.put(out);
        out.bytes.extend_from_slice(&self.1);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        Ok(TriedKey(input.take()?, input.bytes(16)?.try_into().map_err(|_| BadDump)?))
    }
}

impl Dumped for Box<str> {
    fn put(&self, out: &mut Out) {
        out.count(self.len());
        out.bytes.extend_from_slice(self.as_bytes());
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        let length = input.count()?;
        std::str::from_utf8(input.bytes(length)?).map(Box::from).map_err(|_| BadDump)
    }
}

impl Dumped for Mark {
    fn put(&self, out: &mut Out) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        Ok(Mark(input.take()?, input.take()?))
    }
}

impl Dumped for Sym {
    fn put(&self, out: &mut Out) {
        let number = out.numbers.get(self.0 as usize).copied().unwrap_or_default();
        number.0.put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        input.take().map(Sym).and_then(|sym| if sym.0 < input.words { Ok(sym) } else { Err(BadDump) })
    }
}

impl Dumped for bool {
    fn put(&self, out: &mut Out) {
        u8::from(*self).put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        match input.take::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadDump),
        }
    }
}

macro_rules! words {
    ($($name:ident: $all:expr;)*) => {$(
        impl Dumped for $name {
            fn put(&self, out: &mut Out) {
                (*self as u8).put(out);
            }
            fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
                let number = usize::from(input.take::<u8>()?);
                $all.get(number).copied().ok_or(BadDump)
            }
        }
    )*};
}

words! {
    Change: Change::ALL;
    Rank: [Rank::Told, Rank::Logged, Rank::Enforced];
    Role: [Role::Asked, Role::Given, Role::Used];
    UsedAs: [UsedAs::Permission, UsedAs::Tool, UsedAs::Operation];
    SeenBy: SeenBy::ALL;
    Sort: [Sort::Account, Sort::Rights, Sort::Credentials];
}

impl<T: Dumped> Dumped for Option<T> {
    fn put(&self, out: &mut Out) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        if input.take()? { input.take().map(Some) } else { Ok(None) }
    }
}

impl<T: Dumped, U: Dumped> Dumped for (T, U) {
    fn put(&self, out: &mut Out) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        Ok((input.take()?, input.take()?))
    }
}

impl<T: Dumped> Dumped for Vec<T> {
    fn put(&self, out: &mut Out) {
        out.count(self.len());
        self.iter().for_each(|value| value.put(out));
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        (0..input.count()?).map(|_| input.take()).collect()
    }
}

impl Dumped for [u8; 7] {
    fn put(&self, out: &mut Out) {
        out.bytes.extend_from_slice(self);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        input.bytes(7)?.try_into().map_err(|_| BadDump)
    }
}

impl<T: Dumped> Dumped for Box<T> {
    fn put(&self, out: &mut Out) {
        self.as_ref().put(out);
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        input.take().map(Box::new)
    }
}

impl<T: Dumped> Dumped for Box<[T]> {
    fn put(&self, out: &mut Out) {
        out.count(self.len());
        self.iter().for_each(|value| value.put(out));
    }
    fn take(input: &mut In<'_>) -> Result<Self, BadDump> {
        Vec::take(input).map(Vec::into_boxed_slice)
    }
}
