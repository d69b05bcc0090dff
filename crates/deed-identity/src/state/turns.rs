//! From which addresses a credential was used lately, minute by minute.

use std::collections::BTreeSet;

use deed_record::{Pseudonym, Skeleton, Timestamp};

use super::entry::keep_greatest;

/// Minutes and addresses that are kept of one credential, the newest.
pub(crate) const MOST_TURNS: usize = 24;
/// Addresses of one credential that may be as many machines. More are a pool, or a place that changes all the time.
const MOST_ADDRESSES: usize = 3;
/// How often two addresses are in turns within how many minutes, where they may be two machines. One that goes to another
/// network and comes back, once or twice a day, does not come to that.
const IN_TURNS: [(usize, u32); 2] = [(4, 30), (6, 8 * 60)];
/// How many minutes before and behind other addresses are looked for.
const ABOUT: u32 = 30;
const MINUTE: i64 = 60_000_000;

/// A use within one minute from one address, as one system saw it: what one system is reached by may be another way than
/// that to the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Turn {
    /// Counted from 1970-01-01.
    pub(crate) minute: u32,
    pub(crate) address: Address,
}

/// An address, as one system saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    pub(crate) system: u32,
    pub(crate) digest: [u8; 7],
}

/// Two addresses from which one credential was used in turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InTurns {
    /// Both of them, the lesser first.
    pub addresses: (Address, Address),
    /// The minute in which that began.
    pub from: Timestamp,
    /// The minute in which it was seen last.
    pub to: Timestamp,
}

impl Turn {
    /// The use that `record`, of `system`, tells of.
    pub(crate) fn of(record: &Skeleton<'_>, system: &str) -> Option<Self> {
        let Pseudonym(pseudonym) = record.personal.as_ref()?.address?;
        let mut digest = [0; 7];
        digest.copy_from_slice(&pseudonym[..7]);
        // FNV-1a: told apart, not kept secret.
        let system = system
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let minute = u32::try_from(record.time.0.div_euclid(MINUTE)).ok()?;
        Some(Turn { minute, address: Address { system, digest } })
    }
}

/// Adds a use. Of too many the newest are kept: which ones does not depend on what came first (INVARIANT D6).
pub(crate) fn add(kept: &mut Box<[Turn]>, turn: Turn) {
    keep_greatest(kept, turn, MOST_TURNS);
}

/// The two addresses that were used in turns, one after the other, each twice within half an hour or three times within eight;
/// the latest of several. `None` where there were more than three about that time: nobody can tell a pool of addresses from machines.
pub(crate) fn in_turns(kept: &[Turn]) -> Option<InTurns> {
    let places: Vec<Address> =
        kept.iter().map(|turn| turn.address).collect::<BTreeSet<_>>().into_iter().collect();
    let pairs = places.iter().enumerate().flat_map(|(at, one)| {
        let others = places[at + 1..].iter().filter(|other| other.system == one.system);
        others.map(|other| (*one, *other))
    });
    let found = pairs.filter_map(|pair| {
        let (to, from) = IN_TURNS
            .iter()
            .filter_map(|often| alternation(kept, pair, *often))
            .map(|(from, to)| (to, from))
            .max()?;
        let about = |turn: &&Turn| {
            let near = from.saturating_sub(ABOUT)..=to.saturating_add(ABOUT);
            turn.address.system == pair.0.system && near.contains(&turn.minute)
        };
        let around: BTreeSet<Address> = kept.iter().filter(about).map(|turn| turn.address).collect();
        (around.len() <= MOST_ADDRESSES).then_some((to, from, pair))
    });
    let (to, from, addresses) = found.max()?;
    let time = |minute: u32| Timestamp(i64::from(minute) * MINUTE);
    Some(InTurns { addresses, from: time(from), to: time(to) })
}

/// The first and the last of so many minutes in which two addresses were used in turns, within so many: the latest such.
fn alternation(
    kept: &[Turn],
    (one, other): (Address, Address),
    (turns, within): (usize, u32),
) -> Option<(u32, u32)> {
    let minutes =
        |address: Address| kept.iter().filter(move |turn| turn.address == address).map(|turn| turn.minute);
    // From each start the soonest end.
    let ends = |one: Address, other: Address| {
        minutes(one).filter_map(move |from| {
            let each = [other, one].into_iter().cycle().take(turns - 1);
            let to = each.into_iter().try_fold(from, |at, next| minutes(next).find(|minute| *minute > at))?;
            (to - from <= within).then_some((from, to))
        })
    };
    ends(one, other).chain(ends(other, one)).max_by_key(|(from, to)| (*to, *from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `A0 B1` is a use from A in minute 0 and one from B in minute 1.
    fn told(turns: &str) -> Option<(i64, i64)> {
        let mut kept: Box<[Turn]> = Box::default();
        for turn in turns.split(' ') {
            let (place, minute) = turn.split_at(1);
            let address = Address { system: 1, digest: [place.as_bytes()[0]; 7] };
            add(&mut kept, Turn { minute: minute.parse().expect("a minute"), address });
        }
        in_turns(&kept).map(|found| (found.from.0 / MINUTE, found.to.0 / MINUTE))
    }

    #[test]
    fn in_turns_is_there_and_back_and_there_again() {
        for (turns, expected) in [
            ("A0 A1 A2", None),
            ("A0 B1", None),
            // Once to another network and back.
            ("A0 B1 B2 A3", None),
            ("A0 B1 A2 B3", Some((0, 3))),
            ("B0 A1 B2 A3", Some((0, 3))),
            // Two jobs that run at the same minutes.
            ("A0 B0 A5 B5 A10 B10 A15 B15", Some((0, 15))),
            // Half a day apart each.
            ("A0 B700 A1400 B2100", None),
            // Hour by hour; a day with two other networks.
            ("A0 B60 A120 B180 A240 B300", Some((0, 300))),
            ("A0 B60 A400 B460 A800", None),
            // A pool.
            ("A0 B1 A2 B3 C4 D5", None),
            ("A0 B1 A2 B3 C4", Some((0, 3))),
        ] {
            assert_eq!(told(turns), expected, "{turns}");
        }
        // What came long ago is forgotten, and what is about something else is not held against it.
        let pool: Vec<String> = (0..10).map(|n| format!("{}{n}", char::from(b'C' + n))).collect();
        assert_eq!(told(&format!("{} A600 B601 A602 B603", pool.join(" "))), Some((600, 603)));
    }

    #[test]
    fn which_are_kept_does_not_depend_on_the_order() {
        let turn =
            |n: u32| Turn { minute: n % 40, address: Address { system: 1, digest: [(n % 3) as u8; 7] } };
        let (mut one, mut other): (Box<[Turn]>, Box<[Turn]>) = Default::default();
        (0..200).for_each(|n| add(&mut one, turn(n)));
        (0..200).rev().for_each(|n| add(&mut other, turn(n)));
        assert_eq!(one, other);
        assert_eq!(one.len(), MOST_TURNS);
    }
}
