//! Which containers went through the gateway, over its restarts (`design.md` 9.2): what runs and did not is named.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `file` | `seen` in the state directory: one container id a line |
//!
//! An id is written down once the engine has told something of the container after its CreateContainer: only then is it
//! certain that the engine got our answer. What goes wrong in between makes a container look unseen, never the reverse.

mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nri_wire::api::{Container, ContainerState, PodSandbox};
use nri_wire::event::Event;
use tracing::{info, warn};

use self::file::SeenFile;
use super::limits::ANSWERED_MAX;
use super::observe::{Observer, Relay, Relayed};
use crate::control::Unseen;

/// Most containers that one warning names.
const NAMED_MAX: usize = 20;

/// The containers seen and not seen.
pub(crate) struct Seen {
    shared: Arc<Shared>,
    /// Writes the file, so that nobody else waits for a disk. None: there is no file.
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Held for look-ups and changes of the sets only.
    state: Mutex<State>,
    /// There is something to write, or the end.
    work: Condvar,
}

#[derive(Default)]
struct State {
    seen: BTreeSet<String>,
    /// Answered, but the engine has not spoken of them since.
    answered: BTreeSet<String>,
    unseen: BTreeMap<String, Unseen>,
    /// Somebody writes what follows.
    kept: bool,
    /// To be added to the file.
    added: Vec<String>,
    /// The file has what it should not, or lacks something.
    rewrite: bool,
    ended: bool,
}

impl Seen {
    /// Takes up what an earlier gateway left in this directory, and holds it for as long as this value lives. Where that
    /// cannot be, a warning says so, and nothing is kept.
    pub(crate) fn open(dir: &Path) -> Self {
        let shared = Arc::<Shared>::default();
        let mut writer = None;
        match SeenFile::open(dir) {
            Ok((file, seen)) => {
                *shared.lock() = State { seen, kept: true, rewrite: file.is_spoilt(), ..State::default() };
                let theirs = Arc::clone(&shared);
                let thread = std::thread::Builder::new().name("seen".to_owned());
                writer = thread.spawn(move || theirs.write(file)).ok();
                shared.lock().kept = writer.is_some();
            }
            Err(error) => {
                warn!(
                    "cannot keep in {} which containers went through the gateway: {error}; it goes on, and after a restart those that run count as unseen",
                    dir.display()
                );
            }
        }
        Self { shared, writer: Mutex::new(writer) }
    }

    /// The containers that run and did not go through the gateway.
    pub(crate) fn unseen(&self) -> Vec<Unseen> {
        self.shared.lock().unseen.values().cloned().collect()
    }

    /// Writes what there is to write, and lets go of the directory. Nothing is kept after that.
    pub(crate) fn close(&self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            drop(writer.join());
        }
    }

    fn answered(&self, id: &str) {
        if file::is_id(id) {
            let mut state = self.shared.lock();
            state.answered.insert(id.to_owned());
            if state.answered.len() > ANSWERED_MAX {
                state.answered.pop_first();
            }
        }
    }

    /// The engine speaks of a container: it has our answer.
    fn confirmed(&self, id: &str) {
        let mut state = self.shared.lock();
        if !state.answered.remove(id) {
            return;
        }
        state.unseen.remove(id);
        if state.seen.insert(id.to_owned()) && state.kept {
            state.added.push(id.to_owned());
            self.shared.work.notify_one();
        }
    }

    /// It has stopped: nobody needs to hear any more that it was not seen.
    fn stopped(&self, id: &str) {
        self.shared.lock().unseen.remove(id);
    }

    fn removed(&self, id: &str) {
        let mut state = self.shared.lock();
        state.answered.remove(id);
        state.unseen.remove(id);
        if state.seen.remove(id) && state.kept {
            state.rewrite = true;
            self.shared.work.notify_one();
        }
    }
}

impl Observer for Seen {
    fn relayed(&self, relayed: &Relayed<'_>) {
        let Some(container) = relayed.container else { return };
        match (relayed.event, &relayed.outcome) {
            (Event::CreateContainer, Relay::Created(_)) => self.answered(&container.id),
            (Event::CreateContainer, _) => {}
            (Event::RemoveContainer, _) => self.removed(&container.id),
            (event, _) => {
                self.confirmed(&container.id);
                if event == Event::StopContainer {
                    self.stopped(&container.id);
                }
            }
        }
    }

    /// What runs and is not known went past us. Ids that the engine does not know any more are dropped.
    fn synchronized(&self, pods: &[PodSandbox], containers: &[Container]) {
        let there: BTreeSet<&str> = containers.iter().map(|container| container.id.as_str()).collect();
        let pods: BTreeMap<&str, &PodSandbox> = pods.iter().map(|pod| (pod.id.as_str(), pod)).collect();
        let running =
            containers.iter().filter(|container| container.state() != ContainerState::ContainerStopped);
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let before = state.seen.len();
        state.seen.retain(|id| there.contains(id.as_str()));
        state.rewrite |= state.seen.len() != before;
        state.answered.clear();
        let unseen: BTreeMap<_, _> = running
            .filter(|container| !state.seen.contains(&container.id))
            .map(|container| (container.id.clone(), described(container, &pods)))
            .collect();
        let old = std::mem::replace(&mut state.unseen, unseen);
        let mut new: Vec<_> = state.unseen.values().filter(|c| !old.contains_key(&c.id)).cloned().collect();
        drop(guard);
        self.shared.work.notify_one();
        if !new.is_empty() {
            new.sort_unstable();
            warn!("{}", Warning(&new));
        }
    }
}

/// What people know a container by.
fn described(container: &Container, pods: &BTreeMap<&str, &PodSandbox>) -> Unseen {
    let pod = pods.get(container.pod_sandbox_id.as_str());
    Unseen {
        namespace: pod.map(|pod| pod.namespace.clone()).unwrap_or_default(),
        pod: pod.map_or_else(|| container.pod_sandbox_id.clone(), |pod| pod.name.clone()),
        container: container.name.clone(),
        id: container.id.clone(),
    }
}

/// One line for all that have come up, the first of them by name.
struct Warning<'a>(&'a [Unseen]);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let (noun, verb) = if count == 1 { ("container", "runs") } else { ("containers", "run") };
        write!(f, "{count} {noun} {verb} that did not go through this gateway: ")?;
        for (at, Unseen { namespace, pod, container, id }) in self.0.iter().take(NAMED_MAX).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{namespace}/{pod}/{container} ({id})")?;
        }
        match count.saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes whatever there is to write, until the end. What comes up meanwhile is written together.
    fn write(&self, mut file: SeenFile) {
        let mut failing = false;
        loop {
            let mut state = self
                .work
                .wait_while(self.lock(), |state| state.added.is_empty() && !state.rewrite && !state.ended)
                .unwrap_or_else(PoisonError::into_inner);
            let added = std::mem::take(&mut state.added);
            let rewrite = std::mem::take(&mut state.rewrite) || file.is_spoilt();
            let whole = rewrite.then(|| lines(&state.seen));
            let ended = state.ended;
            drop(state);
            let result = match whole {
                Some(whole) => file.replace(&whole),
                None if !added.is_empty() => file.append(&lines(&added)),
                None => Ok(()),
            };
            match result {
                Ok(()) if std::mem::take(&mut failing) => info!("the containers seen are written again"),
                Ok(()) => {}
                // Tried again with the next change only: a full disk stays full for a while.
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let path = file.path().display();
                        warn!(
                            "cannot write {path}: {error}; it goes on, and tries again with the next container"
                        );
                    }
                }
            }
            if ended {
                return;
            }
        }
    }
}

fn lines<'a>(ids: impl IntoIterator<Item = &'a String>) -> String {
    ids.into_iter().flat_map(|id| [id, "\n"]).collect()
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.close();
    }
}
