//! Signals that we are sent, and what becomes of each while a container runs.

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::failure::Failure;

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It ends us while there is no container, and goes to the container when there is one.
    End(Signal),
    /// It is the container's.
    Forward(Signal),
    /// The size of our terminal has changed.
    Resize,
    /// We are to stop until continued.
    Suspend,
    /// We were continued.
    Continue,
}

/// All signals that we listen to. Those that nobody may catch, and SIGCHLD, SIGPIPE, SIGURG and the real-time
/// signals, are not among them.
pub(crate) struct Signals {
    streams: Vec<(Action, Stream)>,
}

const LISTENED: &[Action] = &[
    Action::End(Signal::INT),
    Action::End(Signal::TERM),
    Action::End(Signal::HUP),
    Action::End(Signal::QUIT),
    Action::Forward(Signal::USR1),
    Action::Forward(Signal::USR2),
    Action::Forward(Signal::ALARM),
    Action::Resize,
    Action::Suspend,
    Action::Continue,
];

impl Signals {
    /// Starts to listen. From here on no such signal has its default effect.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let streams = LISTENED
            .iter()
            .map(|&action| {
                let number = match action {
                    Action::End(signal) | Action::Forward(signal) => signal,
                    Action::Resize => Signal::WINCH,
                    Action::Suspend => Signal::TSTP,
                    Action::Continue => Signal::CONT,
                };
                Ok((action, signal(SignalKind::from_raw(number.as_raw()))?))
            })
            .collect::<std::io::Result<_>>()
            .map_err(|error| Failure::unavailable(format!("cannot listen to signals: {error}")))?;
        Ok(Self { streams })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Action {
        std::future::poll_fn(|context| {
            for (action, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*action);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// The next signal that ends us while there is no container yet. A stop takes effect at once; what only
    /// concerns a running container is forgotten.
    pub(crate) async fn end(&mut self) -> Signal {
        loop {
            match self.next().await {
                Action::End(signal) => return signal,
                Action::Suspend => stop_here(),
                Action::Forward(_) | Action::Resize | Action::Continue => {}
            }
        }
    }
}

/// Stops this process as a terminal's Ctrl-Z would have.
pub(crate) fn stop_here() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}
