//! SHA-256 of many messages side by side, in plain arithmetic that compilers turn into vector
//! instructions. Where the processor has wide vectors and no SHA instructions that is several times as fast
//! as one message after the other; with AVX-512 it is faster than SHA instructions, too, by a third or half. Compiled
//! without optimisation it would be slower.
//!
//! Held in tests against `sha2`, which hashes everything else here.

use sha2::{Digest as _, Sha256};

use crate::hash::Hash;

/// Messages hashed side by side. With fewer the compiler keeps to one at a time; see the assembly before
/// changing this.
const LANES: usize = 32;

/// As many messages, one at a time, take as long as [`LANES`] side by side: without SHA instructions, and with.
const BREAK_EVEN: usize = 12;
const BREAK_EVEN_WITH_SHA: usize = 24;

/// One word of each message.
type Word = [u32; LANES];

/// SHA-256(`prefix` ‖ message) of each of `messages`.
pub(crate) fn hash_all<T: AsRef<[u8]>>(prefix: Option<u8>, messages: &[T]) -> Vec<Hash> {
    let padded = |place: usize| Padded { prefix, message: messages[place].as_ref() };
    let break_even = match (has_sha_instructions(), has_widest_vectors()) {
        (false, _) => BREAK_EVEN,
        (true, true) => BREAK_EVEN_WITH_SHA,
        (true, false) => usize::MAX,
    };
    if messages.len() <= break_even {
        return (0..messages.len()).map(|place| padded(place).hash()).collect();
    }
    let mut hashes = vec![Hash([0; 32]); messages.len()];
    // Messages of about the same length go side by side.
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|place| messages[*place].as_ref().len());
    for group in order.chunks(LANES) {
        hash_group(group, break_even, &padded, &mut hashes);
    }
    hashes
}

/// Whether the processor has instructions for one message at a time.
fn has_sha_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    true
}

/// Whether it has vectors of sixteen words, and rotates them.
fn has_widest_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Hashes the messages at the places `group`, at most [`LANES`], into their places in `hashes`.
fn hash_group<'a>(
    group: &[usize],
    break_even: usize,
    padded: &impl Fn(usize) -> Padded<'a>,
    hashes: &mut [Hash],
) {
    let blocks = group.iter().map(|place| padded(*place).blocks());
    let (longest, all) = blocks.fold((0, 0), |(longest, all), blocks| (blocks.max(longest), all + blocks));
    if all <= longest * break_even {
        group.iter().for_each(|place| hashes[*place] = padded(*place).hash());
        return;
    }
    let group = group.iter().map(|place| (*place, padded(*place), padded(*place).blocks()));
    let group: Vec<_> = group.collect();
    let (mut state, mut block) = (INITIAL, [[0; 64]; LANES]);
    for number in 0..longest {
        for (block, (_, padded, _)) in block.iter_mut().zip(&group) {
            padded.write_block(number, block);
        }
        compress(&mut state, &block);
        for (lane, (place, ..)) in group.iter().enumerate().filter(|(_, (.., blocks))| *blocks == number + 1)
        {
            hashes[*place] = digest(&state, lane);
        }
    }
}

/// A message with its prefix and padding (FIPS 180-4, section 5.1.1).
struct Padded<'a> {
    prefix: Option<u8>,
    message: &'a [u8],
}

impl Padded<'_> {
    /// Alone.
    fn hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        if let Some(prefix) = self.prefix {
            hasher.update([prefix]);
        }
        hasher.update(self.message);
        Hash(hasher.finalize().into())
    }

    /// Bytes before the padding.
    fn length(&self) -> usize {
        self.message.len() + usize::from(self.prefix.is_some())
    }

    /// Number of 64-byte blocks.
    fn blocks(&self) -> usize {
        (self.length() + 9).div_ceil(64)
    }

    /// Writes block `number`; something after the last.
    #[inline]
    fn write_block(&self, number: usize, block: &mut [u8; 64]) {
        // The prefix shifts the message by one byte.
        let start = (number * 64).checked_sub(usize::from(self.prefix.is_some()));
        match start.and_then(|start| self.message.get(start..start + 64)) {
            Some(bytes) => block.copy_from_slice(bytes),
            None => self.write_edge(number, block),
        }
    }

    /// A block with the prefix or padding in it.
    fn write_edge(&self, number: usize, block: &mut [u8; 64]) {
        *block = [0; 64];
        let prefix = self.prefix.filter(|_| number == 0);
        let start = number * 64 - usize::from(self.prefix.is_some() && number > 0);
        let rest = self.message.get(start..).unwrap_or_default();
        let room = match prefix {
            Some(prefix) => {
                block[0] = prefix;
                &mut block[1..]
            }
            None => &mut block[..],
        };
        let taken = rest.len().min(room.len());
        room[..taken].copy_from_slice(&rest[..taken]);
        if self.length() / 64 == number {
            block[self.length() % 64] = 0x80;
        }
        if number + 1 == self.blocks() {
            block[56..].copy_from_slice(&(self.length() as u64 * 8).to_be_bytes());
        }
    }
}

fn digest(state: &[Word; 8], lane: usize) -> Hash {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word[lane].to_be_bytes();
    }
    Hash(bytes)
}

/// The compression function of FIPS 180-4, section 6.2.2, on one block of each message, in the widest
/// vectors that the processor has.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "code for instructions that not every processor has")]
fn compress(state: &mut [Word; 8], blocks: &[[u8; 64]; LANES]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn with_avx512(state: &mut [Word; 8], blocks: &[[u8; 64]; LANES]) {
        compress_with_any(state, blocks);
    }
    #[target_feature(enable = "avx2")]
    fn with_avx2(state: &mut [Word; 8], blocks: &[[u8; 64]; LANES]) {
        compress_with_any(state, blocks);
    }
    if has_widest_vectors() {
        // SAFETY: the processor has what it is compiled for, asked the line before.
        unsafe { with_avx512(state, blocks) }
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { with_avx2(state, blocks) }
    } else {
        compress_with_any(state, blocks);
    }
}

/// The compression function of FIPS 180-4, section 6.2.2, on one block of each message.
#[cfg(not(target_arch = "x86_64"))]
fn compress(state: &mut [Word; 8], blocks: &[[u8; 64]; LANES]) {
    compress_with_any(state, blocks);
}

/// Inlined into each of the above, to be compiled for its vectors.
#[inline(always)]
fn compress_with_any(state: &mut [Word; 8], blocks: &[[u8; 64]; LANES]) {
    let mut w = [[0; LANES]; 64];
    for (lane, block) in blocks.iter().enumerate() {
        for (w, bytes) in w.iter_mut().zip(block.as_chunks().0) {
            w[lane] = u32::from_be_bytes(*bytes);
        }
    }
    for t in 16..64 {
        let (before, next) = w.split_at_mut(t);
        let (w16, w15, w7, w2) = (&before[t - 16], &before[t - 15], &before[t - 7], &before[t - 2]);
        for i in 0..LANES {
            let s0 = w15[i].rotate_right(7) ^ w15[i].rotate_right(18) ^ (w15[i] >> 3);
            let s1 = w2[i].rotate_right(17) ^ w2[i].rotate_right(19) ^ (w2[i] >> 10);
            next[0][i] = w16[i].wrapping_add(s0).wrapping_add(w7[i]).wrapping_add(s1);
        }
    }
    let mut s = *state;
    for (w, k) in w.as_chunks::<8>().0.iter().zip(ROUND_CONSTANTS.as_chunks::<8>().0) {
        round::<0>(&mut s, &w[0], k[0]);
        round::<1>(&mut s, &w[1], k[1]);
        round::<2>(&mut s, &w[2], k[2]);
        round::<3>(&mut s, &w[3], k[3]);
        round::<4>(&mut s, &w[4], k[4]);
        round::<5>(&mut s, &w[5], k[5]);
        round::<6>(&mut s, &w[6], k[6]);
        round::<7>(&mut s, &w[7], k[7]);
    }
    // In one loop: of two, compilers take the outer one for their vectors.
    for (word, add) in state.as_flattened_mut().iter_mut().zip(s.as_flattened()) {
        *word = word.wrapping_add(*add);
    }
}

/// One round, the eight working variables standing `R` places further left than in the specification.
#[inline(always)]
fn round<const R: usize>(s: &mut [Word; 8], w: &Word, k: u32) {
    for i in 0..LANES {
        let at = |variable: usize| s[(8 + variable - R) % 8][i];
        let (a, b, c, d, e, f, g, h) = (at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = g ^ (e & (f ^ g));
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(k).wrapping_add(w[i]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) | (c & (a | b));
        s[(8 + 3 - R) % 8][i] = d.wrapping_add(t1);
        s[(8 + 7 - R) % 8][i] = t1.wrapping_add(s0).wrapping_add(majority);
    }
}

/// FIPS 180-4, section 5.3.3, in every lane.
const INITIAL: [Word; 8] = [
    [0x6a09e667; LANES],
    [0xbb67ae85; LANES],
    [0x3c6ef372; LANES],
    [0xa54ff53a; LANES],
    [0x510e527f; LANES],
    [0x9b05688c; LANES],
    [0x1f83d9ab; LANES],
    [0x5be0cd19; LANES],
];

/// FIPS 180-4, section 4.2.2.
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Side by side as alone, whatever the processor: every length around the ends of blocks, in groups of
    /// every size.
    #[test]
    fn lanes_agree_with_sha2() {
        let lengths = (0..200).chain([255, 256, 600, 4000, 65_535]);
        let messages: Vec<Vec<u8>> = lengths.map(|length| vec![length as u8 ^ 0x5a; length]).collect();
        for prefix in [None, Some(0), Some(1)] {
            let padded = |place: usize| Padded { prefix, message: &messages[place] };
            let expected: Vec<Hash> = (0..messages.len()).map(|place| padded(place).hash()).collect();
            for size in [1, 13, 20, LANES] {
                let mut hashes = vec![Hash([0; 32]); messages.len()];
                let places: Vec<usize> = (0..messages.len()).collect();
                for group in places.chunks(size) {
                    hash_group(group, BREAK_EVEN, &padded, &mut hashes);
                }
                assert_eq!(hashes, expected);
            }
            assert_eq!(hash_all(prefix, &messages), expected);
        }
    }
}
