//! The end of a request: its result, in the order of the tickets, and what the table and those who wait learn from it.

use std::sync::Arc;
use std::time::Instant;

use nri_wire::api::StateChangeEvent;
use nri_wire::event::Event;
use tracing::debug;

use super::fold;
use super::message::Happened;
use super::request::{Phase, Request};
use super::{Action, CallState, Completion, Core, Purpose, RequestId, Timer};
use crate::host::outcome::{Cause, Created, Failure, Stopped, Told, Updated};

impl Core {
    /// Updates of other containers leave in the order in which the requests came.
    pub(super) fn release(&mut self, id: RequestId, result: fold::Outcome, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let first = self.carriers.first().is_none_or(|(ticket, _)| *ticket >= request.ticket);
        if result.updates_others() && !first && now < request.end {
            if let fold::Outcome::Stop(_, notice) = &result {
                self.table.commit(notice);
            }
            request.phase = Phase::Held(Box::new(result));
            self.tell_held(id, now);
        } else {
            self.succeed(id, result, now);
        }
    }

    fn succeed(&mut self, id: RequestId, result: fold::Outcome, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let mut plugins = std::mem::take(&mut request.plugins);
        let mut validators = std::mem::take(&mut request.validators);
        let refused = std::mem::take(&mut request.refused);
        validators.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        let (completion, notice) = match result {
            fold::Outcome::Create(merged) => {
                self.table.put_container(merged.container.clone());
                (
                    Completion::Created(Box::new(Created { merged: *merged, plugins, validators, refused })),
                    None,
                )
            }
            fold::Outcome::Update(merged) => {
                (Completion::Updated(Box::new(Updated { merged: *merged, plugins, refused })), None)
            }
            fold::Outcome::Stop(merged, notice) => {
                (Completion::Stopped(Box::new(Stopped { merged: *merged, plugins, refused })), Some(notice))
            }
            fold::Outcome::Told(notice) => {
                plugins.sort_by(|a, b| a.plugin.cmp(&b.plugin));
                (Completion::Told(Told { plugins }), notice)
            }
        };
        if let Some(notice) = &notice {
            self.table.commit(notice);
        }
        self.totals.requests += 1;
        self.actions.push_back(Action::Complete { request: id, result: Ok(completion) });
        self.take_apart(id, notice, now);
    }

    pub(super) fn fail(&mut self, id: RequestId, cause: Cause, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let mut plugins = std::mem::take(&mut request.plugins);
        plugins.append(&mut request.validators);
        let refused = std::mem::take(&mut request.refused);
        let failure = Failure { event: request.event, cause, plugins, refused };
        debug!(event = ?failure.event, "request failed: {}", failure.cause);
        self.totals.failures += 1;
        let notice = request.gone_anyway();
        if let Some(notice) = &notice {
            self.table.commit(notice);
        }
        self.actions.push_back(Action::Complete { request: id, result: Err(failure) });
        self.take_apart(id, notice, now);
    }

    /// What a request may take is over.
    pub(super) fn request_expired(&mut self, id: RequestId, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        match std::mem::replace(&mut request.phase, Phase::Done) {
            Phase::Held(result) => self.succeed(id, *result, now),
            phase => {
                request.phase = phase;
                self.fail(id, Cause::Expired, now);
            }
        }
    }

    /// Forgets a request: leaves queues, abandons calls, lets go of whoever waited for it.
    pub(super) fn take_apart(&mut self, id: RequestId, notice: Option<Arc<StateChangeEvent>>, now: Instant) {
        let Some(request) = self.requests.remove(&id) else { return };
        let event = notice.map(|notice| Happened { notice, unknown: Arc::clone(&request.unknown) });
        self.timers.remove(&(request.end, Timer::Request(id)));
        self.carriers.remove(&(request.ticket, id));
        for plugin in request.waiting.keys() {
            let Some(plugin) = self.plugins.get_mut(plugin) else { continue };
            if plugin.queue.remove(&(request.ticket, id)) {
                // It is true all the same, whoever refused it.
                event.iter().for_each(|event| plugin.misses(event));
            } else {
                let calls: Vec<_> = plugin.busy.iter().copied().collect();
                calls.into_iter().for_each(|call| self.abandon(call, id));
            }
        }
        self.tell_joining(id, event.as_ref(), now);
        self.dismiss_retired(now);
        while let Some(&(_, first)) = self.carriers.first()
            && let Some(request) = self.requests.get_mut(&first)
            && matches!(request.phase, Phase::Held(_))
        {
            if let Phase::Held(result) = std::mem::replace(&mut request.phase, Phase::Done) {
                self.succeed(first, *result, now);
            }
        }
    }

    /// Nobody waits for this call any more, though the plugin's own time is not over.
    fn abandon(&mut self, id: super::CallId, request: RequestId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.purpose != Purpose::Request(request) || call.state != CallState::Pending {
            return;
        }
        call.state = CallState::Abandoned;
        self.timers.remove(&(call.deadline, Timer::Call(id)));
        if let Some(plugin) = self.plugins.get(&call.plugin) {
            call.deadline = call.started + plugin.rules.timeout;
            self.timers.insert((call.deadline, Timer::Call(id)));
        }
    }
}

impl Request {
    /// A pod or container that is removed is gone, whatever plugins say to it.
    fn gone_anyway(&self) -> Option<Arc<StateChangeEvent>> {
        match (&self.phase, self.event) {
            (Phase::Asking(fold), Event::RemovePodSandbox | Event::RemoveContainer) => fold.notice(),
            _ => None,
        }
    }
}
