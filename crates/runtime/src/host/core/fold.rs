//! The state of the merge that a request carries along: what the next plugin is sent, and what comes out.

use std::sync::Arc;

use nri_policy::identity::Facts;
use nri_policy::judge::{self, Asked, Judge, Judged, Other, Permitted, Refused};
use nri_wire::api::{
    CreateContainerRequest, StateChangeEvent, StopContainerRequest, UpdateContainerRequest,
    UpdatePodSandboxRequest,
};
use nri_wire::event::{Event, is_of_pod};
use nri_wire::name::PluginName;

use super::table::Table;
use super::{Answer, Message};
use crate::host::outcome::{Cause, Created, Stopped, Told, Updated};
use crate::merge::{Creation, Merged, MergedStop, MergedUpdate, Stop, Update};

/// A request as it comes in.
#[derive(Debug)]
pub(crate) enum Submission {
    Create(Box<CreateContainerRequest>),
    Update(Box<UpdateContainerRequest>),
    Stop(StopContainerRequest),
    UpdatePod(UpdatePodSandboxRequest),
    /// One of the nine events that are only told.
    Notice(StateChangeEvent),
}

/// What a request that went through gives.
#[derive(Debug)]
pub(crate) enum Completion {
    Created(Box<Created>),
    Updated(Box<Updated>),
    Stopped(Box<Stopped>),
    Told(Told),
}

/// A request under way.
#[derive(Debug)]
pub(super) enum Fold {
    Create(Box<Creation>),
    Update(Box<Update>),
    Stop(Box<Stop>),
    UpdatePod(Arc<UpdatePodSandboxRequest>),
    Notice(Arc<StateChangeEvent>),
}

/// What merging leaves.
#[derive(Debug)]
pub(super) enum Outcome {
    Create(Box<Merged>),
    Update(Box<MergedUpdate>),
    Stop(Box<MergedStop>, Arc<StateChangeEvent>),
    /// Of an event that is only told. None: one that changes nothing in the table.
    Told(Option<Arc<StateChangeEvent>>),
}

impl Submission {
    pub(super) fn event(&self) -> Event {
        match self {
            Self::Create(_) => Event::CreateContainer,
            Self::Update(_) => Event::UpdateContainer,
            Self::Stop(_) => Event::StopContainer,
            Self::UpdatePod(_) => Event::UpdatePodSandbox,
            Self::Notice(notice) => notice.event(),
        }
    }

    /// What the request lacks, if it lacks anything (quirk A14).
    pub(super) fn lacks(&self) -> Option<&'static str> {
        let (pod, container) = match self {
            Self::Create(request) => (request.pod.is_some(), request.container.is_some()),
            Self::Update(request) => (request.pod.is_some(), request.container.is_some()),
            Self::Stop(request) => (request.pod.is_some(), request.container.is_some()),
            Self::UpdatePod(request) => (request.pod.is_some(), true),
            Self::Notice(notice) => {
                (notice.pod.is_some(), notice.container.is_some() || is_of_pod(notice.event()))
            }
        };
        match (pod, container) {
            (false, _) => Some("pod"),
            (true, false) => Some("container"),
            (true, true) => None,
        }
    }

    pub(super) fn into_fold(self) -> Fold {
        match self {
            Self::Create(request) => Fold::Create(Box::new(Creation::new(*request))),
            Self::Update(request) => Fold::Update(Box::new(Update::new(*request))),
            Self::Stop(request) => Fold::Stop(Box::new(Stop::new(request))),
            Self::UpdatePod(request) => Fold::UpdatePod(Arc::new(request)),
            Self::Notice(notice) => Fold::Notice(Arc::new(notice)),
        }
    }
}

impl Fold {
    /// Plugins are asked one after the other, since each sees what those before it did.
    pub(super) fn is_chain(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Update(_) | Self::Stop(_))
    }

    /// What the next plugin is sent. `dedicated`: it knows the event as a call of its own.
    pub(super) fn message(&self, dedicated: bool) -> Message {
        match self {
            Self::Create(creation) => Message::Create(Arc::clone(creation.request())),
            Self::Update(update) => Message::Update(Arc::clone(update.request())),
            Self::Stop(stop) => Message::Stop(Arc::clone(stop.request())),
            Self::UpdatePod(request) => Message::UpdatePod(Arc::clone(request)),
            Self::Notice(notice) => Message::Notice { notice: Arc::clone(notice), dedicated },
        }
    }

    /// The event as something that has happened: for the table, and for plugins that join.
    pub(super) fn notice(&self) -> Option<Arc<StateChangeEvent>> {
        let (event, pod, container) = match self {
            Self::Create(_) | Self::Update(_) | Self::UpdatePod(_) => return None,
            Self::Notice(notice) => return Some(Arc::clone(notice)),
            Self::Stop(stop) => {
                (Event::StopContainer, stop.request().pod.clone(), stop.request().container.clone())
            }
        };
        Some(Arc::new(StateChangeEvent { event: event as i32, pod, container }))
    }

    /// Judges an answer and takes it in. What the judge said is heard either way.
    pub(super) fn take(&mut self, answer: Answer, hearing: &mut Hearing<'_>) -> Result<(), Cause> {
        let (plugin, table) = (hearing.plugin, hearing.table);
        match (self, answer) {
            (Self::Create(creation), Answer::Create(answer)) => {
                let permitted = hearing.judge(creation.basis(table), *answer)?;
                creation.apply(plugin, permitted).map_err(Cause::from)
            }
            (Self::Update(update), Answer::Update(answer)) => {
                let permitted = hearing.judge(update.basis(table), answer)?;
                update.apply(plugin, permitted).map_err(Cause::from)
            }
            (Self::Stop(stop), Answer::Stop(answer)) => {
                let permitted = hearing.judge(Other { targets: table }, answer)?;
                stop.apply(plugin, permitted).map_err(Cause::from)
            }
            (Self::UpdatePod(_) | Self::Notice(_), Answer::Nothing) => Ok(()),
            _ => {
                Err(Cause::Invalid { plugin: plugin.clone(), reason: "it answers something else".to_owned() })
            }
        }
    }

    pub(super) fn finish(self) -> Outcome {
        let notice = self.notice();
        match (self, notice) {
            (Self::Create(creation), _) => Outcome::Create(Box::new(creation.finish())),
            (Self::Update(update), _) => Outcome::Update(Box::new(update.finish())),
            (Self::Stop(stop), Some(notice)) => Outcome::Stop(Box::new(stop.finish()), notice),
            (_, notice) => Outcome::Told(notice),
        }
    }
}

impl Outcome {
    /// Whether there are updates of containers in it, which have to wait for those of earlier requests.
    pub(super) fn updates_others(&self) -> bool {
        match self {
            Self::Create(merged) => !merged.updates.is_empty(),
            Self::Update(merged) => !merged.updates.is_empty(),
            Self::Stop(merged, _) => !merged.updates.is_empty(),
            Self::Told(_) => false,
        }
    }
}

/// An answer before the judge: what is known of its plugin, and what was said.
pub(super) struct Hearing<'a> {
    pub(super) plugin: &'a PluginName,
    pub(super) facts: &'a Facts,
    pub(super) unknown: &'a [String],
    pub(super) judge: &'a Judge,
    pub(super) table: &'a Table,
    pub(super) refused: Vec<Refused>,
    pub(super) judged: Vec<Judged>,
}

impl Hearing<'_> {
    fn judge<A: judge::Answer>(&mut self, basis: A::Basis<'_>, answer: A) -> Result<Permitted<A>, Cause> {
        let asked = Asked { plugin: self.plugin, facts: self.facts, basis, unknown: self.unknown };
        let verdict = self.judge.judge(&asked, answer);
        self.refused.extend(verdict.refused);
        self.judged.extend(verdict.judged);
        verdict.permitted.ok_or_else(|| Cause::Policy(self.plugin.clone()))
    }
}
