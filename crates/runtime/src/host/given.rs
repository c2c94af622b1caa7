//! What plugins said, as it came: before anybody judged or merged it. For recordings (`cli.md`, "nri replay").

use std::collections::BTreeMap;

use nri_policy::judge::Targets;
use nri_wire::api::{
    ContainerUpdate, CreateContainerResponse, LinuxResources, StopContainerResponse, SynchronizeResponse,
    UpdateContainerResponse, UpdateContainersRequest, ValidateContainerAdjustmentResponse,
};

use super::identity::Identity;

/// One answer, or what a plugin asks for by itself, and what the policy needs to know to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Who said it, as far as that was known at that moment.
    pub identity: Identity,
    /// The message.
    pub said: Said,
    /// Paths of the fields in it that this version does not know.
    pub unknown: Vec<String>,
    /// What the host knew at that moment of the containers that it updates, by id.
    pub targets: BTreeMap<String, Known>,
}

/// The message.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The answer to CreateContainer.
    Create(Box<CreateContainerResponse>),
    /// The answer to UpdateContainer.
    Update(UpdateContainerResponse),
    /// The answer to StopContainer.
    Stop(StopContainerResponse),
    /// The answer to ValidateContainerAdjustment.
    Validate(ValidateContainerAdjustmentResponse),
    /// The answer to Synchronize, or to its last part.
    Synchronize(SynchronizeResponse),
    /// A request of the plugin's own.
    UpdateContainers(UpdateContainersRequest),
}

/// What is known of a container: [`nri_policy::judge::Target`], owned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The namespace of its pod, if the pod is known.
    pub namespace: Option<String>,
    /// The labels of its pod, likewise.
    pub labels: Option<BTreeMap<String, String>>,
    /// The resources that the client last asked for.
    pub resources: Option<LinuxResources>,
}

impl Given {
    pub(super) fn new(identity: Identity, said: Said, unknown: &[String], table: &dyn Targets) -> Self {
        let targets = said.updates().iter().filter_map(|update| {
            let id = &update.container_id;
            let target = table.target(id)?;
            let known = Known {
                namespace: target.namespace.map(str::to_owned),
                labels: target.labels.cloned(),
                resources: target.resources.cloned(),
            };
            Some((id.clone(), known))
        });
        Self { identity, targets: targets.collect(), said, unknown: unknown.to_vec() }
    }
}

impl Said {
    /// The updates of containers in it.
    #[must_use]
    pub fn updates(&self) -> &[ContainerUpdate] {
        match self {
            Self::Create(answer) => &answer.update,
            Self::Update(answer) => &answer.update,
            Self::Stop(answer) => &answer.update,
            Self::Synchronize(answer) => &answer.update,
            Self::UpdateContainers(request) => &request.update,
            Self::Validate(_) => &[],
        }
    }
}
