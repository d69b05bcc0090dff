//! One commit as bytes.
//!
//! ```text
//! header, 40 bytes, little-endian:
//!   0  "DFRM"            4  payload length      8  first leaf index   16  leaves
//!  20  names            24  generation         32  CRC-32C of payload 36  CRC-32C of bytes 0..36
//! payload: for each leaf its length u32, its sealed disclosures' length u32, both;
//!          for each name tenant length u16, account 16, length u32, tenant, sealed name
//! padding to 8
//! ```

const MAGIC: &[u8; 4] = b"DFRM";
pub(crate) const FRAME_HEADER: usize = 40;

/// A leaf and its disclosures, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) leaf: Vec<u8>,
    pub(crate) blob: Vec<u8>,
}

/// What an account is called, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameEntry {
    pub(crate) account: [u8; 16],
    pub(crate) blob: Vec<u8>,
}

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) names: Vec<NameEntry>,
}

impl Frame {
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// A frame in the making; reused from commit to commit.
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
    first: u64,
    leaves: u32,
    names: u32,
}

impl FrameBuilder {
    pub(crate) fn new() -> Self {
        FrameBuilder { bytes: vec![0; FRAME_HEADER], first: 0, leaves: 0, names: 0 }
    }

    pub(crate) fn start(&mut self, first: u64) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER, 0);
        (self.first, self.leaves, self.names) = (first, 0, 0);
    }

    pub(crate) fn leaf(&mut self, leaf: &[u8], blob: &[u8]) {
        debug_assert_eq!(self.names, 0, "names follow all leaves");
        self.bytes.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(blob.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(leaf);
        self.bytes.extend_from_slice(blob);
        self.leaves += 1;
    }

    pub(crate) fn name(&mut self, account: &[u8; 16], blob: &[u8]) {
        self.bytes.extend_from_slice(account);
        self.bytes.extend_from_slice(&(blob.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(blob);
        self.names += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.leaves)
    }

    /// Its size on disk.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().next_multiple_of(8)
    }

    /// Writes the header for `generation`; the bytes to write.
    pub(crate) fn finish(&mut self, generation: u64) -> &[u8] {
        let payload = self.bytes.len() - FRAME_HEADER;
        let crc = crc32c::crc32c(&self.bytes[FRAME_HEADER..]);
        let header = &mut self.bytes[..FRAME_HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
        header[8..16].copy_from_slice(&self.first.to_le_bytes());
        header[16..20].copy_from_slice(&self.leaves.to_le_bytes());
        header[20..24].copy_from_slice(&self.names.to_le_bytes());
        header[24..32].copy_from_slice(&generation.to_le_bytes());
        header[32..36].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&header[..36]);
        header[36..40].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        &self.bytes
    }
}

/// What stands at the beginning of `bytes`.
pub(crate) enum Read {
    /// A whole frame and the bytes it takes.
    Frame(Frame, usize),
    /// A header of this generation whose payload is not what it was, and the bytes it was to take.
    Torn(usize),
    /// No frame of this generation.
    Nothing,
}

/// Generation and size of the frame whose header stands at the beginning of `bytes`, if one does.
pub(super) fn begun(bytes: &[u8]) -> Option<(u64, usize)> {
    let header = bytes.get(..FRAME_HEADER)?;
    if &header[..4] != MAGIC || crc32c::crc32c(&header[..36]) != u32_at(header, 36) {
        return None;
    }
    let length = u32_at(header, 4) as usize;
    Some((u64_at(header, 24), (FRAME_HEADER + length).next_multiple_of(8)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

pub(crate) fn read(bytes: &[u8], generation: u64) -> Read {
    let Some((_, size)) = begun(bytes).filter(|(of, _)| *of == generation) else { return Read::Nothing };
    let (u32_at, u64_at) = (|at| u32_at(bytes, at), |at| u64_at(bytes, at));
    let length = u32_at(4) as usize;
    // With its padding: a file may end within that too.
    let Some(payload) = bytes.get(..size).map(|frame| &frame[FRAME_HEADER..FRAME_HEADER + length]) else {
        return Read::Torn(size);
    };
    if crc32c::crc32c(payload) != u32_at(32) || u64_at(8).checked_add(u64::from(u32_at(16))).is_none() {
        return Read::Torn(size);
    }
    match payload_of(payload, u64_at(8), u32_at(16), u32_at(20)) {
        Some(frame) => Read::Frame(frame, size),
        None => Read::Torn(size),
    }
}

/// The whole frame, of whatever generation, that stands at the beginning of `bytes`.
pub(super) fn read_any(bytes: &[u8]) -> Option<Frame> {
    let (generation, _) = begun(bytes)?;
    match read(bytes, generation) {
        Read::Frame(frame, _) => Some(frame),
        Read::Torn(_) | Read::Nothing => None,
    }
}

fn payload_of(mut payload: &[u8], first: u64, leaves: u32, names: u32) -> Option<Frame> {
    fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(taken)
    }
    fn length(from: &mut &[u8]) -> Option<usize> {
        take(from, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    }
    let mut entries = Vec::new();
    for _ in 0..leaves {
        let (leaf, blob) = (length(&mut payload)?, length(&mut payload)?);
        entries.push(Entry {
            leaf: take(&mut payload, leaf)?.to_vec(),
            blob: take(&mut payload, blob)?.to_vec(),
        });
    }
    let mut named = Vec::new();
    for _ in 0..names {
        let account = take(&mut payload, 16)?.try_into().ok()?;
        let blob = length(&mut payload)?;
        named.push(NameEntry { account, blob: take(&mut payload, blob)?.to_vec() });
    }
    payload.is_empty().then_some(Frame { first, entries, names: named })
}
