//! Starting the container's process and waiting for its end, with signals and the terminal in between.

use rustix::process::Signal;

use super::runtime::{Exit, Init, Runtime};
use super::signals::{Action, Signals, stop_here};
use super::state::State;
use super::terminal::Terminal;
use crate::failure::Failure;

/// So many SIGINTs end a container that catches the signal and goes on.
const PATIENCE: u32 = 3;

/// Lets the container's process go. It may run before the runtime has returned, so a signal in between is the
/// container's; it comes back to be passed on. A second one ends a runtime that hangs.
pub(crate) async fn start(
    runtime: &Runtime,
    state: &State,
    signals: &mut Signals,
) -> Result<Option<Signal>, Failure> {
    let mut early = None;
    let twice = async {
        early = Some(signals.end().await);
        signals.end().await
    };
    runtime.start(&state.dir, &state.id, twice).await?;
    Ok(early)
}

/// Passes signals on until the container's process has ended.
pub(crate) async fn watch(
    init: &Init,
    early: Option<Signal>,
    mut terminal: Option<&mut Terminal>,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let mut asked = 0;
    let mut forced = early.filter(|&signal| init.signal(signal)).map(Signal::as_raw);
    loop {
        tokio::select! {
            exit = init.wait() => {
                let exit = exit.map_err(|error| Failure::unavailable(format!("cannot wait for the container: {error}")))?;
                return Ok(match (exit, forced) {
                    (Exit::Signal(signal), Some(meant)) if signal == Signal::KILL.as_raw() => Exit::Signal(meant),
                    _ => exit,
                });
            }
            action = signals.next() => match action {
                Action::End(signal) => {
                    asked += u32::from(signal == Signal::INT);
                    if asked >= PATIENCE {
                        init.signal(Signal::KILL);
                    } else if init.signal(signal) {
                        forced = Some(signal.as_raw());
                    }
                }
                Action::Forward(signal) => {
                    init.signal(signal);
                }
                Action::Resize => {
                    if let Some(terminal) = &terminal {
                        terminal.resize();
                    }
                }
                Action::Suspend => {
                    if let Some(terminal) = &mut terminal {
                        terminal.suspend();
                    }
                    stop_here();
                }
                Action::Continue => {
                    if let Some(terminal) = &mut terminal {
                        drop(terminal.resume());
                    }
                }
            },
        }
    }
}
