//! Lower-case hexadecimal digits, as sealed records spell bytes.

/// What each digit stands for; everything else is no digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NONE: u8 = 0xff;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The bytes that `2 * N` digits spell; nothing else is read.
pub(crate) fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let mut seen = 0;
    let bytes = pairs.map(|[high, low]| {
        let (high, low) = (VALUES[usize::from(high)], VALUES[usize::from(low)]);
        seen |= high | low;
        high << 4 | low
    });
    (seen < 16).then_some(bytes)
}

/// The digits of `bytes`, two for each.
pub(crate) fn encode(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
}
