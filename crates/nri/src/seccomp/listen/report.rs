//! One JSON line for each notification, on stdout.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use serde_json::{Value, json};

use super::answer::Answer;
use super::notification::Notification;
use super::sender::Container;

/// Writes the line. Answers go on where nobody reads: a container must not hang because of a closed pipe.
pub(super) fn notification(
    container: &Container,
    notification: &Notification,
    answer: Answer,
    sent: Result<(), Errno>,
) {
    let line = line(container, notification, answer, sent, SystemTime::now());
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Ordering::Relaxed) {
            tracing::warn!("notifications are answered, but no longer reported: {error}");
        }
    }
}

fn line(
    container: &Container,
    notification: &Notification,
    answer: Answer,
    sent: Result<(), Errno>,
    now: SystemTime,
) -> Value {
    let call = &notification.call;
    let mut line = json!({
        "time": timestamp(now),
        "container": container.id,
        "pid": notification.pid,
        "syscall": notification.name(),
        "number": call.number,
        "arch": notification.abi().map_or_else(|| format!("{:#x}", call.arch), |abi| abi.to_string()),
        "args": call.args.map(|arg| format!("{arg:#x}")),
        "action": answer.to_string(),
    });
    if let Value::Object(members) = &mut line {
        if !container.metadata.is_empty() {
            members.insert("metadata".into(), container.metadata.clone().into());
        }
        match sent {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                members.insert("failed".into(), "the caller is gone".into());
            }
            Err(error) => {
                members.insert("failed".into(), error.to_string().into());
            }
        }
    }
    line
}

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A point in time as RFC 3339 in UTC, with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    // Days since 1 March of year 0, in eras of 400 years: leap days then come last in a year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        era * 400 + year,
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        for (millis, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_001, "2024-03-01T00:00:00.001Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)), expect);
        }
    }

    #[test]
    fn lines() {
        let mut notification = Notification::default();
        notification.pid = 7;
        (notification.call.number, notification.call.arch) = (83, 0xc000_003e);
        notification.call.args = [u64::MAX, 0o755, 0, 0, 0, 0];
        let container = Container { id: "c1".into(), metadata: String::new() };
        let line = line(&container, &notification, Answer::Errno(1), Ok(()), SystemTime::UNIX_EPOCH);
        assert_eq!(
            line.to_string(),
            r#"{"time":"1970-01-01T00:00:00.000Z","container":"c1","pid":7,"syscall":"mkdir","number":83,"arch":"x86_64","args":["0xffffffffffffffff","0x1ed","0x0","0x0","0x0","0x0"],"action":"errno=1"}"#
        );
    }
}
