//! What the disk takes to make 512 bytes durable.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

/// Bytes of one write.
const BLOCK: usize = 512;
const FILE: usize = 4 << 20;
const TIMES: usize = 400;

/// Median times of one write and sync.
pub(super) struct Syncs {
    /// Into a file that has its size, as Deed's journal does.
    pub(super) within: Duration,
    /// At the end of a file that grows.
    pub(super) appended: Duration,
}

/// Measures in `dir`.
pub(super) fn measure(dir: &Path) -> io::Result<Syncs> {
    let path = dir.join("bare-sync");
    let open = || OpenOptions::new().create(true).truncate(true).write(true).open(&path);
    let mut file = open()?;
    file.write_all(&vec![0; FILE])?;
    file.sync_all()?;
    let within = median(|at| {
        file.write_all_at(&[7; BLOCK], (at * BLOCK % FILE) as u64)?;
        file.sync_data()
    })?;
    let mut file: File = open()?;
    file.sync_all()?;
    let appended = median(|_| {
        file.write_all(&[7; BLOCK])?;
        file.sync_data()
    })?;
    std::fs::remove_file(&path)?;
    Ok(Syncs { within, appended })
}

fn median(mut work: impl FnMut(usize) -> io::Result<()>) -> io::Result<Duration> {
    let mut times = Vec::with_capacity(TIMES);
    for at in 0..TIMES {
        let started = Instant::now();
        work(at)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}
