//! The kinds of answers that carry changes, and what each is judged against.

use std::collections::BTreeMap;
use std::fmt;

use nri_wire::api::{
    CreateContainerResponse, LinuxResources, StopContainerResponse, SynchronizeResponse,
    UpdateContainerResponse, UpdateContainersRequest,
};

use crate::change::{self, Change, Containers};

/// A message of a plugin that can change something.
pub trait Answer: sealed::Sealed + fmt::Debug + Sized {
    /// What its changes are taken against.
    type Basis<'a>: fmt::Debug;

    /// Hands the answer's changes to `look`.
    fn changes<R>(&self, basis: &Self::Basis<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R;
}

/// What is known of containers that may be updated.
pub trait Targets {
    /// The container with this id, if it is known.
    fn target(&self, id: &str) -> Option<Target<'_>>;
}

/// What is known of one container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The namespace of its pod.
    pub namespace: Option<&'a str>,
    /// The labels of its pod.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// The resources that the client last asked for.
    pub resources: Option<&'a LinuxResources>,
}

/// The basis of an answer to CreateContainer.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// The created container, as the client asked for it and as the plugin saw it.
    pub containers: Containers<'a>,
    /// The other containers.
    pub targets: &'a dyn Targets,
}

/// The basis of an answer to UpdateContainer.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The id of the container that the client updates.
    pub id: &'a str,
    /// The resources that the client asks for it.
    pub requested: Option<&'a LinuxResources>,
    /// The other containers.
    pub targets: &'a dyn Targets,
}

/// The basis of answers to StopContainer and Synchronize and of unsolicited updates.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// All containers.
    pub targets: &'a dyn Targets,
}

impl Targets for () {
    /// Nothing is known.
    fn target(&self, _: &str) -> Option<Target<'_>> {
        None
    }
}

impl fmt::Debug for dyn Targets + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Targets")
    }
}

impl Answer for CreateContainerResponse {
    type Basis<'a> = Creation<'a>;

    fn changes<R>(&self, basis: &Creation<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R {
        let mut changes = match &self.adjust {
            Some(adjust) => change::adjustment(adjust, basis.containers),
            None => Vec::new(),
        };
        changes.extend(change::updates(&self.update, |id| basis.targets.target(id)?.resources));
        look(&changes)
    }
}

impl Answer for UpdateContainerResponse {
    type Basis<'a> = Update<'a>;

    fn changes<R>(&self, basis: &Update<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R {
        look(&change::updates(&self.update, |id| {
            if id == basis.id { basis.requested } else { basis.targets.target(id)?.resources }
        }))
    }
}

macro_rules! others {
    ($($message:ty),*) => {$(
        impl Answer for $message {
            type Basis<'a> = Other<'a>;

            fn changes<R>(&self, basis: &Other<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R {
                look(&change::updates(&self.update, |id| basis.targets.target(id)?.resources))
            }
        }
    )*};
}

others!(StopContainerResponse, SynchronizeResponse, UpdateContainersRequest);

mod sealed {
    use super::{
        CreateContainerResponse, StopContainerResponse, SynchronizeResponse, UpdateContainerResponse,
        UpdateContainersRequest,
    };

    #[expect(unnameable_types, reason = "seals `Answer`: a judge knows every kind of answer there is")]
    pub trait Sealed {}
    impl Sealed for CreateContainerResponse {}
    impl Sealed for UpdateContainerResponse {}
    impl Sealed for StopContainerResponse {}
    impl Sealed for SynchronizeResponse {}
    impl Sealed for UpdateContainersRequest {}
}
