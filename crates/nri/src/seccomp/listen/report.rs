//! One JSON line for each notification, on stdout.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rustix::io::Errno;
use serde_json::{Value, json};

use super::answer::Answer;
use super::notification::Notification;
use super::sender::Container;
use crate::timestamp::timestamp;

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
        "arch": notification.arch().map_or_else(|| format!("{:#x}", call.arch), |arch| arch.short().to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

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
