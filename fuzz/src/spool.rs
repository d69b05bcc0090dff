//! Files of the spool.

use deed_ledger::fuzzing::{self, SpoolFile};

use crate::journal::repair;

const HEADER: usize = 64;
const NUMBER: u64 = 7;

/// What follows the header of a spool file. Of the first byte, 1: the checksums of frames are put right; 2: the header
/// stands in the bytes too.
pub fn spool(data: &[u8]) {
    let [mode, frames @ ..] = data else { return };
    let mut bytes = if mode & 2 == 0 { fuzzing::spool_header("log", NUMBER) } else { Vec::new() };
    bytes.extend_from_slice(frames);
    if mode & 1 != 0 && bytes.len() > HEADER {
        repair(&mut bytes, HEADER, NUMBER);
    }
    let SpoolFile { origin, frames, torn, damaged } = fuzzing::spool_file(&bytes, NUMBER);
    assert!(origin.is_some() || torn == Some(0) || damaged.first() == Some(&0), "whose it is, or why not");
    assert!(damaged.is_sorted() && damaged.iter().chain(&torn).all(|at| *at <= bytes.len() as u64));
    let mut end = HEADER;
    for (at, frame) in &frames {
        let at = usize::try_from(*at).expect("an offset");
        assert!(at >= end, "frames stand one behind another");
        assert!(at == end || damaged.contains(&(end as u64)), "nothing is passed over in silence");
        let written = fuzzing::encode_frame(frame, NUMBER);
        end = at + written.len();
        assert!(end <= bytes.len(), "what is read stands in the file");
    }
    let rest = end < bytes.len() && bytes.len() > HEADER && torn != Some(0);
    let is_named = torn == Some(end as u64) || damaged.iter().any(|from| *from >= end as u64);
    assert!(!rest || is_named, "what is left over is named");

    // Written again, and cut short anywhere, everything before the cut is read and nothing else.
    let mut again = fuzzing::spool_header("log", NUMBER);
    let mut ends = Vec::new();
    for (_, frame) in &frames {
        again.extend(fuzzing::encode_frame(frame, NUMBER));
        ends.push(again.len());
    }
    for cut in [again.len(), again.len() * 2 / 3, again.len() / 2] {
        let found = fuzzing::spool_file(&again[..cut], NUMBER);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found.frames.len(), whole);
        assert!(
            found.frames.iter().map(|(_, frame)| frame).eq(frames.iter().take(whole).map(|(_, frame)| frame))
        );
        let is_at_an_end = cut == HEADER || ends.contains(&cut);
        assert_eq!(found.torn.is_none(), is_at_an_end, "{cut}: {found:?}");
    }
}
