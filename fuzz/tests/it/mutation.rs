//! Changes to an input that come out the same every time.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    /// The numbers for one change of one file.
    pub(crate) fn new(target: &str, file: &str, change: usize) -> Self {
        // FNV-1a.
        let bytes = target.bytes().chain([0]).chain(file.bytes());
        let seed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Random(seed ^ (change as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Bytes that mean something to one format or another.
const MARKS: &[u8] = b"{}[]\":,\\\n \t0-9e.~+/=\x00\x01\x7f\x80\xff";

/// Texts that do.
const WORDS: &[&[u8]] = &[
    b"null",
    b"\"\"",
    b"{}",
    b"[]",
    b"1e999",
    b"\\ud800",
    b"-0",
    b"18446744073709551615",
    b"\xef\xbb\xbf",
    b"\n\n",
    b"\xe2\x80\x94 ",
    b"_sd",
    b"...",
    b"\"password\":\"hunter2\"",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// `bytes` after one to four changes; `other` is what a piece may come from.
pub(crate) fn changed(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut bytes, other, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let Some(last) = bytes.len().checked_sub(1) else {
        bytes.extend_from_slice(other);
        return;
    };
    let at = random.below(last + 1);
    let length = 1 + random.below(64);
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => bytes[at] = MARKS[random.below(MARKS.len())],
        4 => bytes[at] = bytes[at].wrapping_add([1, 255][random.below(2)]),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..(at + length).min(last + 1))),
        7 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        8 => {
            let piece = bytes[at..(at + length).min(last + 1)].to_vec();
            let to = random.below(last + 1);
            bytes.splice(to..to, piece);
        }
        _ if !other.is_empty() => {
            let from = random.below(other.len());
            let piece = &other[from..(from + length).min(other.len())];
            let to = if random.below(2) == 0 { at } else { (at + length).min(last + 1) };
            bytes.splice(at..to, piece.iter().copied());
        }
        _ => {}
    }
}
