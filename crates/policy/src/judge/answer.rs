//! The kinds of answers that carry changes, and what each is judged against.

use std::collections::BTreeMap;
use std::fmt;

use nri_wire::api::{
    CreateContainerResponse, LinuxResources, PodSandbox, StopContainerResponse, SynchronizeResponse,
    UpdateContainerResponse, UpdateContainersRequest,
};

use crate::change::{self, Change, Containers};
use crate::document::word::UpdateKind;

/// A message of a plugin that can change something.
pub trait Answer: sealed::Sealed + fmt::Debug + Default {
    /// What its changes are taken against.
    type Basis<'a>: fmt::Debug;

    /// Hands the answer's changes to `look`: those of the adjustment, then those of each update in their order.
    fn changes<R>(&self, basis: &Self::Basis<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R;

    /// What is known of the containers that it is about.
    fn scene<'b>(basis: &'b Self::Basis<'_>) -> Scene<'b>;
}

/// What is known of the containers that an answer is about.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What an update of a container in the answer is, unless it is of the requested one.
    pub(super) kind: UpdateKind,
    /// The container that is created.
    pub(super) containers: Option<Containers<'a>>,
    /// The pod of the container that is created or updated.
    pub(super) pod: Option<&'a PodSandbox>,
    /// The container that the client updates.
    pub(super) own: Option<Own<'a>>,
    /// The other containers.
    pub(super) targets: &'a dyn Targets,
}

/// The container that the client updates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) id: &'a str,
    pub(super) requested: Option<&'a LinuxResources>,
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
    /// Its pod; of an unknown one every policy holds.
    pub pod: Option<&'a PodSandbox>,
    /// The other containers.
    pub targets: &'a dyn Targets,
}

/// The basis of an answer to UpdateContainer.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The id of the container that the client updates.
    pub id: &'a str,
    /// Its pod; of an unknown one every policy holds.
    pub pod: Option<&'a PodSandbox>,
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

    fn scene<'b>(basis: &'b Creation<'_>) -> Scene<'b> {
        Scene {
            kind: UpdateKind::Others,
            containers: Some(basis.containers),
            pod: basis.pod,
            own: None,
            targets: basis.targets,
        }
    }
}

impl Answer for UpdateContainerResponse {
    type Basis<'a> = Update<'a>;

    fn changes<R>(&self, basis: &Update<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R {
        look(&change::updates(&self.update, |id| {
            if id == basis.id { basis.requested } else { basis.targets.target(id)?.resources }
        }))
    }

    fn scene<'b>(basis: &'b Update<'_>) -> Scene<'b> {
        Scene {
            kind: UpdateKind::Others,
            containers: None,
            pod: basis.pod,
            own: Some(Own { id: basis.id, requested: basis.requested }),
            targets: basis.targets,
        }
    }
}

macro_rules! others {
    ($($message:ty, $kind:ident;)*) => {$(
        impl Answer for $message {
            type Basis<'a> = Other<'a>;

            fn changes<R>(&self, basis: &Other<'_>, look: impl FnOnce(&[Change<'_>]) -> R) -> R {
                look(&change::updates(&self.update, |id| basis.targets.target(id)?.resources))
            }

            fn scene<'b>(basis: &'b Other<'_>) -> Scene<'b> {
                Scene {
                    kind: UpdateKind::$kind,
                    containers: None,
                    pod: None,
                    own: None,
                    targets: basis.targets,
                }
            }
        }
    )*};
}

others! {
    StopContainerResponse, OnStop;
    SynchronizeResponse, Sync;
    UpdateContainersRequest, Unsolicited;
}

pub(super) mod sealed {
    use nri_wire::Message as _;
    use nri_wire::api::{ContainerAdjustment, ContainerEviction, ContainerUpdate};

    use super::{
        CreateContainerResponse, StopContainerResponse, SynchronizeResponse, UpdateContainerResponse,
        UpdateContainersRequest,
    };

    /// The parts of an answer.
    #[expect(unnameable_types, reason = "seals `Answer`: a judge knows every kind of answer there is")]
    pub trait Sealed {
        fn adjust_mut(&mut self) -> Option<&mut Option<ContainerAdjustment>> {
            None
        }
        fn updates(&self) -> &[ContainerUpdate];
        fn updates_mut(&mut self) -> &mut Vec<ContainerUpdate>;
        fn evictions(&self) -> &[ContainerEviction] {
            &[]
        }
        fn evictions_mut(&mut self) -> Option<&mut Vec<ContainerEviction>> {
            None
        }
        /// Its length when encoded.
        fn size(&self) -> usize;
    }

    macro_rules! updates {
        () => {
            fn updates(&self) -> &[ContainerUpdate] {
                &self.update
            }
            fn updates_mut(&mut self) -> &mut Vec<ContainerUpdate> {
                &mut self.update
            }
            fn size(&self) -> usize {
                self.encoded_len()
            }
        };
    }

    macro_rules! evictions {
        () => {
            fn evictions(&self) -> &[ContainerEviction] {
                &self.evict
            }
            fn evictions_mut(&mut self) -> Option<&mut Vec<ContainerEviction>> {
                Some(&mut self.evict)
            }
        };
    }

    impl Sealed for CreateContainerResponse {
        fn adjust_mut(&mut self) -> Option<&mut Option<ContainerAdjustment>> {
            Some(&mut self.adjust)
        }
        updates!();
        evictions!();
    }
    impl Sealed for UpdateContainerResponse {
        updates!();
        evictions!();
    }
    impl Sealed for StopContainerResponse {
        updates!();
    }
    impl Sealed for SynchronizeResponse {
        updates!();
    }
    impl Sealed for UpdateContainersRequest {
        updates!();
        evictions!();
    }
}
