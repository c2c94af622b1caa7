//! Whether policies have changed. They are looked at twice a second, which costs a few look-ups, sees a volume of
//! Kubernetes that is swapped by its links, and needs nothing of their file system. What still changes is awaited.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::policy::file::{self, Fingerprint};

/// How often they are looked at, and how long they must be as they are before they are read.
const PERIOD: Duration = Duration::from_millis(500);

/// The policies that are watched.
#[derive(Debug)]
pub(super) struct Watch(mpsc::Receiver<()>);

impl Watch {
    /// Of the policies at these paths; with none, in the default directory.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self, Failure> {
        let paths = if paths.is_empty() { vec![Path::new(file::DIR).to_owned()] } else { paths.to_vec() };
        let (sender, receiver) = mpsc::channel(1);
        // A thread of its own: a file system that hangs must not keep the gateway.
        std::thread::Builder::new()
            .name("policies".to_owned())
            .spawn(move || look(&paths, &sender))
            .map_err(|error| Failure::unavailable(format!("cannot watch the policies: {error}")))?;
        Ok(Self(receiver))
    }

    /// Waits until they have changed.
    pub(super) async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

/// Looks until nobody wants to know.
fn look(paths: &[PathBuf], changed: &mpsc::Sender<()>) {
    let mut debounce = Debounce::new(file::fingerprint(paths));
    while !changed.is_closed() {
        std::thread::sleep(PERIOD);
        if debounce.look(file::fingerprint(paths)) && changed.blocking_send(()).is_err() {
            return;
        }
    }
}

/// Tells a change once it is over.
#[derive(Debug)]
struct Debounce {
    /// What has been told.
    told: Fingerprint,
    last: Fingerprint,
}

impl Debounce {
    fn new(first: Fingerprint) -> Self {
        Self { told: first.clone(), last: first }
    }

    fn look(&mut self, now: Fingerprint) -> bool {
        let settled = now == self.last && now != self.told;
        if settled {
            self.told.clone_from(&now);
        }
        self.last = now;
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, paths) = (folder.path().join("a.yaml"), [folder.path().to_owned()]);
        let now = || file::fingerprint(&paths);
        let mut debounce = Debounce::new(now());
        assert!(!debounce.look(now()));
        std::fs::write(&path, "a").unwrap();
        assert!(!debounce.look(now()));
        std::fs::write(&path, "ab").unwrap();
        assert!(!debounce.look(now()), "it still changed");
        assert!(debounce.look(now()));
        assert!(!debounce.look(now()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!([debounce.look(now()), debounce.look(now())], [false, true]);
    }
}
