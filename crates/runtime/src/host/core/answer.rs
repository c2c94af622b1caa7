//! What the end of a call does to whatever the call was made for.

use std::time::Instant;

use nri_wire::event::{Event, display_name};
use nri_wire::ttrpc::{Code, Status};
use tracing::{info, warn};

use super::plugin::Picture;
use super::{Call, CallId, CallState, Core, End, Parcel, PluginId, Purpose, RequestId, Timer};
use crate::host::outcome::{Cause, Outcome};

impl Core {
    /// A call has ended: answered in time or late, or it cannot be answered any more.
    pub(crate) fn handle_end(&mut self, id: CallId, end: End, now: Instant) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.timers.remove(&(call.deadline, Timer::Call(id)));
        if let Some(plugin) = self.plugins.get_mut(&call.plugin) {
            plugin.busy.remove(&id);
        }
        match call.state {
            CallState::Late => self.answered_late(id, &call, &end, now),
            CallState::Abandoned => {
                self.in_time(call.plugin, call.started, now);
                self.pump(call.plugin, now);
            }
            CallState::Pending => self.answered(&call, end, now),
        }
        self.dismiss_retired(now);
    }

    fn answered(&mut self, call: &Call, end: End, now: Instant) {
        let plugin = call.plugin;
        match call.purpose {
            Purpose::Configure => self.configured(plugin, end, now),
            Purpose::Synchronize => self.part_answered(plugin, end, now),
            Purpose::Shutdown => self.close(plugin, "shut down", now),
            Purpose::Missed | Purpose::Request(_) => {
                if let Some(parcel) = self.second_try(call, &end) {
                    self.try_again(call, parcel, now);
                } else if gave_up(call, &end, now) {
                    self.missed(plugin);
                    if let Purpose::Request(request) = call.purpose {
                        self.conclude(request, plugin, Outcome::Late, now - call.started, now);
                    }
                    self.check_missed(plugin, now);
                } else if let Purpose::Request(request) = call.purpose {
                    self.in_time(plugin, call.started, now);
                    self.take_end(request, call, end, now);
                } else {
                    self.take_missed(call, end);
                    self.in_time(plugin, call.started, now);
                }
            }
        }
        self.pump(plugin, now);
    }

    /// The plugin keeps its deadlines.
    fn in_time(&mut self, id: PluginId, started: Instant, now: Instant) {
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.missed = 0;
            plugin.tally.time += now.saturating_duration_since(started);
            // Who is told anew is told with what it has just answered.
            if plugin.picture != Picture::False {
                self.pump(id, now);
            }
        }
    }

    fn take_end(&mut self, request: RequestId, call: &Call, end: End, now: Instant) {
        let (plugin, took) = (call.plugin, now.saturating_duration_since(call.started));
        let Some(known) = self.plugins.get_mut(&plugin) else { return };
        let Some(name) = known.name.clone() else { return };
        match end {
            End::Answer(answer, unknown) => {
                known.tally.answers += 1;
                self.keep(request, plugin, &answer, &unknown);
                match self.take_answer(request, plugin, answer, &unknown) {
                    Ok(()) => self.conclude(request, plugin, Outcome::Answer, took, now),
                    Err(Cause::Validator { reason, .. }) => {
                        self.conclude(request, plugin, Outcome::Veto(reason), took, now);
                    }
                    Err(cause) => self.conclude_failed(request, plugin, Outcome::Answer, took, cause, now),
                }
            }
            End::Status(status) if known.asked_for_everything && is_newer(call.event, &status) => {
                // Quirk C11: who asks for everything asks for what it knows.
                info!(plugin = %known.label(), event = display_name(call.event), "not known to it: unsubscribed");
                known.unsubscribe(call.event);
                self.conclude(request, plugin, Outcome::Answer, took, now);
            }
            End::Status(status) => {
                known.tally.vetoes += 1;
                let reason = status.message.clone();
                info!(plugin = %known.label(), event = display_name(call.event), "refused: {status}");
                let code = status.code.number();
                let cause = if call.event == Event::ValidateContainerAdjustment {
                    Cause::Validator { plugin: name, reason: reason.clone() }
                } else {
                    Cause::Veto { plugin: name, reason: reason.clone(), code }
                };
                self.conclude_failed(request, plugin, Outcome::Veto(reason), took, cause, now);
            }
            End::Closed => self.conclude(request, plugin, Outcome::Gone, took, now),
            End::TooLong { len, max } => {
                self.conclude_failed(request, plugin, Outcome::Gone, took, Cause::TooLong { len, max }, now);
            }
            End::Invalid(reason) | End::Overlong(reason) => {
                warn!(plugin = %known.label(), event = display_name(call.event), "invalid answer: {reason}");
                let cause = Cause::Invalid { plugin: name, reason };
                self.conclude_failed(request, plugin, Outcome::Answer, took, cause, now);
            }
        }
    }

    /// Plugins older than NRI 0.12 know nine of the events only as StateChange (`spec/wire.md` 5.5). Only an answer
    /// that speaks of the method counts, and only for this event (quirk C13).
    fn second_try(&mut self, call: &Call, end: &End) -> Option<Parcel> {
        let (Some(notice), true, End::Status(status)) = (&call.notice, call.dedicated, end) else {
            return None;
        };
        if !status.is_unknown_method() {
            return None;
        }
        let plugin = self.plugins.get_mut(&call.plugin)?;
        if !plugin.state_change.contains(call.event) {
            plugin.state_change = plugin.state_change.with(call.event);
            let event = display_name(call.event);
            warn!(plugin = %plugin.label(), "deprecated StateChange: does not implement a dedicated {event} RPC call");
        }
        Some(notice.told(false))
    }

    fn try_again(&mut self, call: &Call, parcel: Parcel, now: Instant) {
        let again = self.call(call.plugin, call.purpose, parcel, now, call.deadline, call.fair);
        if let Some(record) = self.calls.get_mut(&again) {
            record.started = call.started;
        }
        if let Some(plugin) = self.plugins.get_mut(&call.plugin) {
            plugin.busy.insert(again);
        }
    }
}

/// The handler's own clock ran out together with ours (quirk B5).
fn gave_up(call: &Call, end: &End, now: Instant) -> bool {
    let given = call.deadline.saturating_duration_since(call.started);
    match end {
        End::Status(status) => status.code == Code::DeadlineExceeded && now + given / 10 >= call.deadline,
        End::Overlong(_) => true,
        _ => false,
    }
}

/// An event that came after NRI 0.9, and a plugin that does not know it.
fn is_newer(event: Event, status: &Status) -> bool {
    status.code == Code::Unimplemented
        && matches!(event, Event::UpdatePodSandbox | Event::ValidateContainerAdjustment)
}
