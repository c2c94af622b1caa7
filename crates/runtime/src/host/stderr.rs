//! Standard error of launched plugins: it goes to our log, as much of it as a log can take.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::limits::{STDERR_BYTES_MAX, STDERR_LINE_MAX};

/// What limits are counted over.
const PERIOD: Duration = Duration::from_secs(1);

/// Logs what a plugin writes, at most so many lines a second, until it has closed its end.
pub(super) async fn log(stderr: impl AsyncRead + Unpin, plugin: String, pid: Option<u32>, lines: u32) {
    let pid = pid.unwrap_or_default();
    read(stderr, lines, |piece| match piece {
        Piece::Line(line) => info!(plugin, pid, "{}", String::from_utf8_lossy(line)),
        Piece::LeftOut(count) => warn!(plugin, pid, "{count} lines left out"),
        Piece::Failed(error) => warn!(plugin, pid, "standard error: {error}"),
    })
    .await;
}

/// What becomes of a plugin's standard error.
enum Piece<'a> {
    Line(&'a [u8]),
    /// So many lines were more than the log takes.
    LeftOut(u64),
    Failed(std::io::Error),
}

/// Line by line; long lines in pieces. More bytes than anybody could mean wait until their plugin may write again.
async fn read(stderr: impl AsyncRead + Unpin, most: u32, mut log: impl FnMut(Piece<'_>)) {
    let mut lines = BufReader::with_capacity(STDERR_LINE_MAX, stderr);
    let mut line = Vec::new();
    let mut allowance = Allowance::new(Instant::now(), most);
    loop {
        let piece = tokio::select! {
            () = sleep_until(allowance.end()), if allowance.left_out > 0 || allowance.bytes == 0 => {
                allowance.renew(Instant::now(), &mut log);
                continue;
            }
            piece = lines.fill_buf(), if allowance.bytes > 0 => piece,
        };
        let (used, ended) = match piece {
            Ok([]) => break,
            Ok(piece) => match piece.iter().position(|&byte| byte == b'\n') {
                Some(at) => {
                    line.extend(piece.iter().take(at));
                    (at + 1, true)
                }
                None => {
                    line.extend_from_slice(piece);
                    (piece.len(), line.len() >= STDERR_LINE_MAX)
                }
            },
            Err(error) => {
                log(Piece::Failed(error));
                break;
            }
        };
        lines.consume(used);
        allowance.renew(Instant::now(), &mut log);
        allowance.bytes = allowance.bytes.saturating_sub(used);
        if ended {
            allowance.log(&line, &mut log);
            line.clear();
        }
    }
    if !line.is_empty() {
        allowance.log(&line, &mut log);
    }
    allowance.tell(&mut log);
}

/// What may still be written in this period.
struct Allowance {
    since: Instant,
    /// Lines of each period.
    most: u32,
    lines: u32,
    bytes: usize,
    left_out: u64,
}

impl Allowance {
    fn new(now: Instant, most: u32) -> Self {
        Self { since: now, most, lines: most, bytes: STDERR_BYTES_MAX, left_out: 0 }
    }

    fn end(&self) -> Instant {
        self.since + PERIOD
    }

    /// Begins the next period, if this one is over.
    fn renew(&mut self, now: Instant, log: &mut impl FnMut(Piece<'_>)) {
        if now >= self.end() {
            self.tell(log);
            *self = Self::new(now, self.most);
        }
    }

    fn tell(&mut self, log: &mut impl FnMut(Piece<'_>)) {
        if self.left_out > 0 {
            log(Piece::LeftOut(self.left_out));
        }
    }

    fn log(&mut self, line: &[u8], log: &mut impl FnMut(Piece<'_>)) {
        if let Some(lines) = self.lines.checked_sub(1) {
            self.lines = lines;
            log(Piece::Line(line));
        } else {
            self.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STDERR_LINES_MAX;

    /// What is logged of a text that comes at once: the lines, and how many were left out.
    async fn check(text: Vec<u8>, lines: &[&[u8]], left_out: u64) {
        let (mut seen, mut more) = (Vec::new(), 0);
        read(text.as_slice(), STDERR_LINES_MAX, |piece| match piece {
            Piece::Line(line) => seen.push(line.to_vec()),
            Piece::LeftOut(count) => more += count,
            Piece::Failed(error) => panic!("{error}"),
        })
        .await;
        assert_eq!((seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), more), (lines.to_vec(), left_out));
    }

    #[tokio::test]
    async fn lines() {
        check(b"".to_vec(), &[], 0).await;
        check(b"a\n\nb".to_vec(), &[b"a", b"", b"b"], 0).await;
        let long = vec![b'x'; STDERR_LINE_MAX];
        let mut text = long.repeat(2);
        text.extend_from_slice(b"y\n");
        check(text, &[&long, &long, b"y"], 0).await;
    }

    #[tokio::test]
    async fn a_flood_is_cut() {
        let lines = usize::try_from(STDERR_LINES_MAX).unwrap();
        check(b"x\n".repeat(lines), &vec![&b"x"[..]; lines], 0).await;
        check(b"x\n".repeat(lines + 7), &vec![&b"x"[..]; lines], 7).await;
    }

    /// After a period everything begins anew, and what was left out is told once.
    #[test]
    fn periods() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, STDERR_LINES_MAX);
        let mut told = Vec::new();
        let mut log = |piece: Piece<'_>| {
            if let Piece::LeftOut(count) = piece {
                told.push(count);
            }
        };
        for _ in 0..STDERR_LINES_MAX + 3 {
            allowance.log(b"x", &mut log);
        }
        allowance.renew(start + PERIOD - Duration::from_nanos(1), &mut log);
        allowance.log(b"x", &mut log);
        allowance.renew(start + PERIOD, &mut log);
        allowance.log(b"x", &mut log);
        allowance.renew(start + 3 * PERIOD, &mut log);
        assert_eq!(told, [4]);
    }
}
