//! Starting the container's process and waiting for its end, with signals and the terminal in between.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::runtime::{Exit, Init, Runtime};
use super::signals::{Action, Signals, stop_here};
use super::state::State;
use super::terminal::Terminal;
use crate::failure::Failure;

/// So many SIGINTs end a container that catches the signal and goes on.
const PATIENCE: u32 = 3;

/// After a signal was handled: when, and how often, to look whether it was lost.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 50;

/// Lets the container's process go. It may run before the runtime has returned, so signals in between are the
/// container's; they come back to be passed on. A second one that would end us ends a runtime that hangs.
pub(crate) async fn start(
    runtime: &Runtime,
    state: &State,
    signals: &mut Signals,
) -> Result<Vec<Action>, Failure> {
    let mut early = Vec::new();
    let stop = async {
        loop {
            let action = signals.next().await;
            match action {
                Action::End(signal) if early.iter().any(|early| matches!(early, Action::End(_))) => {
                    break signal;
                }
                _ => early.push(action),
            }
        }
    };
    runtime.start(&state.dir, &state.id, stop).await?;
    Ok(early)
}

/// Passes signals on until the container's process has ended, the early ones first.
pub(crate) async fn watch(
    init: &Init,
    early: Vec<Action>,
    mut terminal: Option<&mut Terminal>,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let mut asked = Asked::default();
    for action in early {
        asked.pass_on(action, init, terminal.as_deref_mut());
    }
    loop {
        tokio::select! {
            exit = init.wait() => {
                let exit = exit.map_err(|error| Failure::unavailable(format!("cannot wait for the container: {error}")))?;
                return Ok(asked.meant(exit));
            }
            action = signals.next() => asked.pass_on(action, init, terminal.as_deref_mut()),
            () = tokio::time::sleep(LOOK), if asked.caught.is_some() => asked.look_again(init),
        }
    }
}

/// What the container was asked to do.
#[derive(Default)]
struct Asked {
    interrupts: u32,
    /// The signal that was carried out as SIGKILL.
    forced: Option<Signal>,
    /// The signal that a program with a handler got, which program that was, and how often to look again.
    caught: Option<(Signal, PathBuf, u32)>,
}

impl Asked {
    fn pass_on(&mut self, action: Action, init: &Init, terminal: Option<&mut Terminal>) {
        match (action, terminal) {
            (Action::End(signal), _) => {
                self.interrupts += u32::from(signal == Signal::INT);
                if self.interrupts >= PATIENCE {
                    init.signal(Signal::KILL);
                } else {
                    self.end(signal, init);
                }
            }
            (Action::Forward(signal), _) => {
                init.signal(signal);
            }
            (Action::Resize, Some(terminal)) => terminal.resize(),
            (Action::Suspend, terminal) => {
                if let Some(terminal) = terminal {
                    terminal.suspend();
                }
                stop_here();
            }
            (Action::Continue, Some(terminal)) => {
                if let Err(error) = terminal.resume() {
                    tracing::warn!("cannot use the terminal again: {error}");
                }
            }
            (Action::Resize | Action::Continue, None) => {}
        }
    }

    fn end(&mut self, signal: Signal, init: &Init) {
        let program = init.program();
        if init.signal(signal) {
            self.forced = Some(signal);
        } else {
            self.caught = program.map(|program| (signal, program, LOOKS));
        }
    }

    /// A program that handled the signal may have become another one (the runtime's own the container's, a shell
    /// what it executes) before it did: the signal is lost then, and goes to the new one.
    fn look_again(&mut self, init: &Init) {
        let Some((signal, program, looks)) = self.caught.take() else { return };
        if init.program().is_some_and(|now| now != program) {
            self.end(signal, init);
        } else if looks > 0 {
            self.caught = Some((signal, program, looks - 1));
        }
    }

    /// How the process ended, in terms of the signal that was meant.
    fn meant(&self, exit: Exit) -> Exit {
        match (exit, self.forced) {
            (Exit::Signal(signal), Some(meant)) if signal == Signal::KILL.as_raw() => {
                Exit::Signal(meant.as_raw())
            }
            _ => exit,
        }
    }
}
