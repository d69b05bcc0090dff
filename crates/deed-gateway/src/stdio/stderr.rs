//! What a server writes for people, on its way into Deed's log.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::io::AsyncBufRead;

use crate::{
    lines::{Line, Lines},
    secrets::Secrets,
};

/// The longest line that is forwarded whole, in bytes.
const LONGEST: usize = 2048;
/// Lines that are forwarded within [`WINDOW`]; of the rest, how many there were.
const MOST: u32 = 50;
const WINDOW: Duration = Duration::from_secs(5);

/// Forwards what comes, until the server ends.
pub(super) async fn forward(server: Arc<str>, secrets: Arc<Secrets>, stderr: impl AsyncBufRead + Unpin) {
    let (mut since, mut forwarded, mut dropped) = (Instant::now(), 0, 0_u64);
    let mut lines = Lines::new(stderr, LONGEST);
    while let Ok(Some(line)) = lines.next().await {
        if since.elapsed() >= WINDOW {
            tell_dropped(&server, dropped);
            (since, forwarded, dropped) = (Instant::now(), 0, 0);
        }
        forwarded += 1;
        if forwarded > MOST {
            dropped += 1;
            continue;
        }
        // INVARIANT D9: a secret that is cut in two at the edge would not be known again, so that nothing of a line too
        // long is shown.
        match line {
            Line::Whole(line) => {
                let said = secrets.line(&String::from_utf8_lossy(&line));
                tracing::info!(server = &*server, said, "a server says");
            }
            Line::TooLong { bytes, .. } => {
                tracing::info!(server = &*server, bytes, "a server says more than a line may hold");
            }
        }
    }
    tell_dropped(&server, dropped);
}

fn tell_dropped(server: &str, dropped: u64) {
    if dropped > 0 {
        tracing::warn!(server, dropped, "a server says too much: lines of it were dropped");
    }
}
