//! `-t`, over a pseudo-terminal of the test's own.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::support::{self, RUNTIMES, Running, read_until, run, send};

/// `nri run` on a terminal of 33 rows and 77 columns, of which we hold both ends.
struct OnTerminal {
    running: Running,
    ours: OwnedFd,
    theirs: OwnedFd,
}

fn start(runtime: &str, command: &str) -> Option<OnTerminal> {
    let mut run = run(runtime)?;
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs =
        ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    resize(&ours, 33, 77);
    let end = || theirs.try_clone().unwrap();
    let running =
        support::start(run.args(["--", "sh", "-c", command]).stdin(end()).stdout(end()).stderr(end()));
    Some(OnTerminal { running, ours, theirs })
}

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

impl OnTerminal {
    fn write(&self, bytes: &[u8]) {
        File::from(self.ours.try_clone().unwrap()).write_all(bytes).unwrap();
    }

    /// Waits for the end, and checks that the terminal is as it was.
    fn finish(self, code: i32) {
        assert_eq!(self.running.code(), Some(code));
        assert!(tcgetattr(&self.theirs).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }
}

/// A terminal of the container's own, with the size of ours, and input that reaches it.
#[test]
fn size_and_input() {
    for runtime in RUNTIMES {
        let Some(run) = start(runtime, "test -t 0 && tty; stty size; read line; echo \"<$line>\"; exit 4")
        else {
            return;
        };
        let seen = read_until(&run.ours, "33 77");
        assert!(seen.contains("/dev/pts/") || seen.contains("/dev/console"), "{seen}");
        run.write(b"typed\r");
        read_until(&run.ours, "<typed>");
        run.finish(4);
    }
}

#[test]
fn a_new_size_is_passed_on() {
    let command = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done";
    let Some(run) = start("runc", command) else { return };
    read_until(&run.ours, "ready");
    resize(&run.ours, 50, 120);
    send(&run.running, Signal::WINCH);
    read_until(&run.ours, "50 120");
    run.finish(0);
}

/// Ctrl-C is a byte for the container's terminal, which makes a signal of it.
#[test]
fn control_c_reaches_the_container() {
    for runtime in RUNTIMES {
        let Some(run) = start(runtime, "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done") else {
            return;
        };
        read_until(&run.ours, "ready");
        run.write(b"\x03");
        run.finish(9);
    }
}

/// Also when we are ended from outside.
#[test]
fn the_terminal_is_restored_after_a_signal() {
    let Some(run) = start("runc", "echo ready; exec sleep 1000") else { return };
    read_until(&run.ours, "ready");
    send(&run.running, Signal::TERM);
    run.finish(143);
}
