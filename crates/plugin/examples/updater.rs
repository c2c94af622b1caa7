//! Gives containers more CPU shares while they start: twice as many from their creation, and a second after their
//! start what they had asked for.
//!
//! Shows: updates on the plugin's own account, from a thread of its own, which needs [`Builder`] and a session.

use nri_plugin::{Adjustment, Builder, CreateContainer, Plugin, PostStartContainer, Result, Session, Update};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a start takes.
const START: Duration = Duration::from_secs(1);

struct Updater {
    asked: Mutex<BTreeMap<String, u64>>,
    started: Sender<Update>,
}

#[nri_plugin::plugin]
impl Plugin for Updater {
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        let container = request.container();
        let cpu = container.linux.as_ref().and_then(|linux| linux.resources.as_ref()?.cpu.as_ref());
        let Some(shares) = cpu.and_then(|cpu| cpu.shares.as_ref()).map(|shares| shares.value) else {
            return Ok(Adjustment::new());
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(container.id.clone(), shares);
        Ok(Adjustment::new().cpu_shares(shares.saturating_mul(2)))
    }

    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        let id = &request.container().id;
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(shares) = asked {
            self.started.send(Update::new(id).cpu_shares(shares).ignore_failure())?;
        }
        Ok(())
    }
}

/// Sends each update when its container has started up. Ends with the plugin, which owns the other end.
fn send(updates: &Receiver<Update>, session: &Session) {
    for update in updates {
        std::thread::sleep(START);
        if let Err(error) = session.update_containers(update, Duration::from_secs(2)) {
            drop(writeln!(std::io::stderr(), "{error}"));
        }
    }
}

fn main() -> ExitCode {
    let builder = Builder::new();
    let session = builder.session();
    let (started, updates) = channel();
    std::thread::spawn(move || send(&updates, &session));
    match builder.run(Updater { asked: Mutex::default(), started }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
