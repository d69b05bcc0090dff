//! Decompressing gzip (RFC 1952) up to the very byte at which it is damaged.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// What `reader` expands to, several members in a row included.
///
/// Everything before the damage is given before the error; a reader that fills a buffer at a time and fails
/// as a whole would lose what it holds of the last events.
pub(super) struct Gzip<R> {
    reader: R,
    inflate: Decompress,
    crc: Crc,
    next: Next,
}

/// What comes next in the input.
enum Next {
    /// The header of the first member.
    Begin,
    Data,
    Trailer,
    /// The header of another member, or the end.
    Member,
    Fail(io::Error),
    Nothing,
}

impl<R: BufRead> Gzip<R> {
    pub(super) fn new(reader: R) -> Self {
        Gzip { reader, inflate: Decompress::new(false), crc: Crc::new(), next: Next::Begin }
    }

    /// Passes over a header.
    fn header(&mut self) -> io::Result<()> {
        const EXTRA: u8 = 4;
        const NAME: u8 = 8;
        const COMMENT: u8 = 16;
        const CHECK: u8 = 2;
        let [0x1f, 0x8b, 8, flags, ..] = self.bytes::<10>()? else {
            return Err(damaged("what follows is no compressed data"));
        };
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.bytes()?);
            for _ in 0..length {
                self.bytes::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.bytes()? != [0] {}
        }
        if flags & CHECK != 0 {
            self.bytes::<2>()?;
        }
        Ok(())
    }

    fn trailer(&mut self) -> io::Result<()> {
        let checksum = u32::from_le_bytes(self.bytes()?);
        let length = u32::from_le_bytes(self.bytes()?);
        // Both stand behind the data: by now it was given away.
        if checksum != self.crc.sum() || length != self.crc.amount() {
            return Err(damaged("its checksum is wrong: any of what was read from it may be damaged"));
        }
        self.inflate.reset(false);
        self.crc.reset();
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => error,
        })?;
        Ok(bytes)
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Some of the data; how much, and what comes next.
    fn data(&mut self, out: &mut [u8]) -> io::Result<(usize, Next)> {
        if self.is_at_end()? {
            return Err(cut_off());
        }
        let input = self.reader.fill_buf()?;
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(input, out, FlushDecompress::None);
        let count = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
        let (read, written) =
            (count(read, self.inflate.total_in()), count(written, self.inflate.total_out()));
        self.reader.consume(read);
        self.crc.update(&out[..written]);
        let next = match result {
            Ok(Status::StreamEnd) => Next::Trailer,
            Ok(_) if read > 0 || written > 0 => Next::Data,
            Ok(_) | Err(_) => Next::Fail(damaged("it is damaged here")),
        };
        Ok((written, next))
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            self.next = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Begin => self.header().map(|()| Next::Data)?,
                Next::Data => {
                    let (written, next) = self.data(out)?;
                    if written > 0 {
                        self.next = next;
                        return Ok(written);
                    }
                    next
                }
                Next::Trailer => self.trailer().map(|()| Next::Member)?,
                Next::Member if self.is_at_end()? => return Ok(0),
                Next::Member => Next::Begin,
                Next::Fail(error) => return Err(error),
                Next::Nothing => return Ok(0),
            };
        }
        Ok(0)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the compressed data is cut off")
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("compressed data: {how}"))
}
