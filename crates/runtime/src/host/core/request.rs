//! One request on its way through the plugins (`design.md` 5, `spec/adaptation.md` 7).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nri_policy::identity::Facts;
use nri_policy::judge::{Judge, Refused};
use nri_wire::api::{Container, ValidateContainerAdjustmentRequest};
use nri_wire::event::Event;
use nri_wire::name::PluginName;
use nri_wire::scan::{Unknown, UnknownField};
use tracing::{debug, warn};

use super::fold::{self, Fold, Hearing};
use super::plugin::in_order;
use super::{Action, Core, PluginId, RequestId, Submission, Ticket, Timer};
use crate::host::config::FailureRule;
use crate::host::given::Given;
use crate::host::identity::Identity;
use crate::host::outcome::{Cause, Consulted, Failure, Judgement, Outcome, Told};
use crate::limits::{LOST_PATHS_MAX, MARGIN_MIN, MARGIN_PART};

/// A request that is not through.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ticket: Ticket,
    /// Who judges it: the one that was in force when it came.
    pub(super) judge: Judge,
    pub(super) event: Event,
    pub(super) entered: Instant,
    /// The caller's deadline less the margin.
    pub(super) end: Instant,
    /// Those still to be asked, in their order.
    pub(super) order: VecDeque<Party>,
    /// Those to be asked whether they agree with the result. As the chain, they are settled when the request comes in:
    /// a plugin that joins meanwhile waits for the request, not the other way round.
    pub(super) to_validate: VecDeque<Party>,
    /// Those asked, or in whose queue it waits.
    pub(super) waiting: BTreeMap<PluginId, Party>,
    pub(super) plugins: Vec<Consulted>,
    pub(super) validators: Vec<Consulted>,
    pub(super) refused: Vec<Refused>,
    /// Who the plugins were that answered; they may be gone by the end.
    pub(super) facts: Vec<(PluginName, Facts)>,
    pub(super) phase: Phase,
    /// What the caller's message carries that we cannot read.
    pub(super) unknown: Arc<Unknown>,
    /// It has waited in vain for a plugin that joins.
    pub(super) is_impatient: bool,
}

/// A plugin that a request goes to. Kept by the request, since the plugin may be gone before it is asked.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) id: PluginId,
    pub(super) name: PluginName,
    on_failure: FailureRule,
    /// Its answer as it came, if answers are kept.
    pub(super) given: Option<Arc<Given>>,
    /// What the policy said of it, if that is recorded.
    judgement: Option<Arc<Judgement>>,
}

/// What a request is at.
#[derive(Debug)]
pub(super) enum Phase {
    /// Plugins are asked.
    Asking(Fold),
    /// Validators are asked; the result waits for them.
    Validating(Arc<ValidateContainerAdjustmentRequest>, Box<fold::Outcome>),
    /// It is through, but an earlier request may still update containers that it updates, too.
    Held(Box<fold::Outcome>),
    /// Being taken apart.
    Done,
}

impl Core {
    /// Takes in a request. Its result comes as [`Action::Complete`], before the caller's deadline.
    pub(crate) fn handle_request(
        &mut self,
        id: RequestId,
        submission: Submission,
        unknown: Unknown,
        deadline: Instant,
        now: Instant,
    ) {
        let event = submission.event();
        let refusal = match submission.lacks() {
            _ if self.stopping => Some(Cause::Stopped),
            Some(what) => Some(Cause::Input(what)),
            // Quirk B3, EXT-018
            None if deadline <= now => Some(Cause::Expired),
            None => self.refused_beforehand(&submission),
        };
        if let Some(cause) = refusal {
            let failure = Failure { event, cause, plugins: Vec::new(), refused: Vec::new() };
            self.totals.failures += 1;
            self.actions.push_back(Action::Complete { request: id, result: Err(failure) });
            return;
        }
        self.note_lost(&unknown);
        if self.is_taken_back(&submission) {
            let result = Ok(super::Completion::Told(Told::default()));
            self.totals.requests += 1;
            self.actions.push_back(Action::Complete { request: id, result });
            return;
        }
        let order = self.parties(event);
        let to_validate = match event {
            Event::CreateContainer => self.parties(Event::ValidateContainerAdjustment),
            _ => VecDeque::new(),
        };
        let fold = submission.into_fold();
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let end = now + budget(deadline.saturating_duration_since(now));
        self.timers.insert((end, Timer::Request(id)));
        let chain = fold.is_chain();
        if chain {
            self.carriers.insert((ticket, id));
        }
        let request = Request {
            ticket,
            judge: self.setup.judge.clone(),
            event,
            entered: now,
            end,
            order,
            to_validate,
            waiting: BTreeMap::new(),
            plugins: Vec::new(),
            validators: Vec::new(),
            refused: Vec::new(),
            facts: Vec::new(),
            phase: Phase::Asking(fold),
            unknown: Arc::new(unknown),
            is_impatient: false,
        };
        self.requests.insert(id, request);
        if chain { self.advance(id, now) } else { self.ask_all(id, now) }
    }

    /// The caller no longer waits (EXT-019).
    pub(crate) fn handle_cancel(&mut self, id: RequestId, now: Instant) {
        self.doubt(id);
        self.take_apart(id, None, now);
    }

    fn parties(&self, event: Event) -> VecDeque<Party> {
        in_order(&self.plugins, event).into_iter().filter_map(|plugin| self.party(plugin)).collect()
    }

    pub(super) fn party(&self, id: PluginId) -> Option<Party> {
        let plugin = self.plugins.get(&id)?;
        let on_failure = plugin.rules.on_failure;
        Some(Party { id, name: plugin.name.clone()?, on_failure, given: None, judgement: None })
    }

    /// Goes on to the next plugin of the chain, or to the end.
    fn advance(&mut self, id: RequestId, now: Instant) {
        while let Some(request) = self.requests.get_mut(&id) {
            let Some(party) = request.order.pop_front() else { return self.asked_all(id, now) };
            if self.enqueue(id, party, now) {
                return;
            }
        }
    }

    /// Asks everybody at once.
    pub(super) fn ask_all(&mut self, id: RequestId, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let parties = std::mem::take(&mut request.order);
        // Known before the first is asked: an outcome that is there at once must not look like the last one.
        request.waiting = parties.iter().map(|party| (party.id, party.clone())).collect();
        for party in parties {
            if !self.enqueue(id, party.clone(), now) {
                self.requests.get_mut(&id).map(|request| request.waiting.remove(&party.id));
            }
        }
        self.all_asked(id, now);
    }

    /// After an outcome: goes on if nobody is waited for any more.
    fn all_asked(&mut self, id: RequestId, now: Instant) {
        if self.requests.get(&id).is_some_and(|request| request.waiting.is_empty()) {
            self.asked_all(id, now);
        }
    }

    /// A plugin's outcome is there: notes it and goes on.
    pub(super) fn conclude(
        &mut self,
        id: RequestId,
        plugin: PluginId,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(party) = request.waiting.remove(&plugin) else { return };
        let in_turn = request.is_asking_in_turn();
        if self.note(id, &party, outcome, took, now) {
            if in_turn { self.advance(id, now) } else { self.all_asked(id, now) }
        }
    }

    /// Goes on without a plugin that never became active: the joining failed, not the request.
    pub(super) fn excuse(&mut self, id: RequestId, plugin: PluginId, before: Option<PluginId>, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let in_turn = request.is_asking_in_turn();
        if let Some(party) = request.waiting.remove(&plugin) {
            let event = request.event_now();
            let waits = self.hand_back(id, event, before, now);
            let Some(request) = self.requests.get_mut(&id).filter(|_| waits != Some(true)) else { return };
            if waits.is_none() && matches!(request.phase, Phase::Asking(_)) {
                let gone = party.consulted(Outcome::Gone, Duration::ZERO);
                request.plugins.push(gone);
            }
            if in_turn { self.advance(id, now) } else { self.all_asked(id, now) }
        }
    }

    /// The same for requests that would have asked it later: what was to be asked before it stands in its place.
    pub(super) fn excuse_later(&mut self, plugin: PluginId, before: Option<PluginId>) {
        let party = before.and_then(|before| self.party(before));
        let instead = before.and_then(|before| self.plugins.get(&before)).zip(party);
        for request in self.requests.values_mut() {
            let event = request.event;
            for (list, event) in
                [(&mut request.order, event), (&mut request.to_validate, Event::ValidateContainerAdjustment)]
            {
                if let Some((_, party)) = instead.as_ref().filter(|(before, _)| before.takes(event)) {
                    list.iter_mut()
                        .filter(|place| place.id == plugin)
                        .for_each(|place| place.clone_from(party));
                }
                list.retain(|party| party.id != plugin);
            }
        }
    }

    /// Writes an outcome down. False: the request fails because of it.
    pub(super) fn note(
        &mut self,
        id: RequestId,
        party: &Party,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        debug!(plugin = %party.name, event = ?request.event, ?outcome, ?took, "outcome");
        let validates = matches!(request.phase, Phase::Validating(..));
        let list = if validates { &mut request.validators } else { &mut request.plugins };
        list.push(party.clone().consulted(outcome.clone(), took));
        let plugin = party.name.clone();
        let rejects = party.on_failure == FailureRule::Reject;
        let cause = match outcome {
            Outcome::Answer => return true,
            // EXT-040
            Outcome::Gone if validates => {
                Cause::Validator { plugin, reason: "its connection was lost".to_owned() }
            }
            Outcome::Late if validates => {
                Cause::Validator { plugin, reason: "it did not answer in time".to_owned() }
            }
            Outcome::Veto(reason) if validates => Cause::Validator { plugin, reason },
            Outcome::Gone if rejects => Cause::Gone(plugin),
            Outcome::Late if rejects => Cause::Late(plugin),
            Outcome::Gone | Outcome::Late => return true,
            Outcome::Veto(reason) => {
                Cause::Veto { plugin, reason, code: nri_wire::ttrpc::Code::Unknown.number() }
            }
        };
        self.fail(id, cause, now);
        false
    }

    /// Notes an outcome that makes the request fail for a reason of its own.
    pub(super) fn conclude_failed(
        &mut self,
        id: RequestId,
        plugin: PluginId,
        outcome: Outcome,
        took: Duration,
        cause: Cause,
        now: Instant,
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(party) = request.waiting.remove(&plugin) else { return };
        let validates = matches!(request.phase, Phase::Validating(..));
        let list = if validates { &mut request.validators } else { &mut request.plugins };
        list.push(party.consulted(outcome, took));
        self.fail(id, cause, now);
    }

    /// Judges an answer and merges it; the cause if that cannot be.
    pub(super) fn take_answer(
        &mut self,
        id: RequestId,
        plugin: PluginId,
        answer: super::Answer,
        unknown: &[String],
    ) -> Result<(), Cause> {
        let Some(request) = self.requests.get(&id) else { return Ok(()) };
        // Nobody asks who it is where everything is allowed.
        let anyone = request.judge.is_allow_all();
        let identity = if anyone { Identity::default() } else { self.identity(plugin) };
        let pid = self.pid(plugin);
        let Some(request) = self.requests.get_mut(&id) else { return Ok(()) };
        let Some(party) = request.waiting.get_mut(&plugin) else { return Ok(()) };
        match (&mut request.phase, answer) {
            (Phase::Asking(fold), answer) => {
                let facts = identity.facts();
                let mut hearing = Hearing {
                    plugin: &party.name,
                    facts: &facts,
                    unknown,
                    judge: &request.judge,
                    table: &self.table,
                    refused: Vec::new(),
                    judged: Vec::new(),
                };
                let result = fold.take(answer, &mut hearing);
                let Hearing { refused, judged, .. } = hearing;
                request.refused.extend(refused.iter().cloned());
                if request.judge.has_policies() {
                    request.facts.push((party.name.clone(), facts));
                }
                party.judgement = request
                    .judge
                    .records()
                    .then(|| Arc::new(Judgement { identity, pid, changes: judged, refused }));
                result
            }
            (Phase::Validating(..), super::Answer::Validate(answer)) if answer.reject => {
                Err(Cause::Validator { plugin: party.name.clone(), reason: answer.reason })
            }
            _ => Ok(()),
        }
    }

    /// Every plugin has had its turn.
    fn asked_all(&mut self, id: RequestId, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        match std::mem::replace(&mut request.phase, Phase::Done) {
            Phase::Asking(fold) => self.merged(id, fold, now),
            Phase::Validating(_, result) => self.release(id, *result, now),
            Phase::Held(_) | Phase::Done => {}
        }
    }

    fn merged(&mut self, id: RequestId, fold: Fold, now: Instant) {
        let mut result = fold.finish();
        let fold::Outcome::Create(merged) = &mut result else {
            return match self.admit(id, &result) {
                Ok(()) => self.release(id, result, now),
                Err(cause) => self.reject_told(id, &result, cause, now),
            };
        };
        if let Err(cause) = self.judge_end(id, merged) {
            return self.fail(id, cause, now);
        }
        let validation = crate::validate::lend(merged, &self.answerers(id));
        if let Err(rejection) = self.setup.embedder.0.validate(&validation) {
            return self.reject(id, rejection, now);
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.order = std::mem::take(&mut request.to_validate);
        if request.order.is_empty() {
            crate::validate::take_back(merged, validation);
            return self.release(id, result, now);
        }
        crate::validate::take_back(merged, validation.clone());
        request.phase = Phase::Validating(Arc::new(validation), Box::new(result));
        self.ask_all(id, now);
    }

    /// Says once where callers have fields that are not known and cannot be passed on.
    fn note_lost(&mut self, unknown: &Unknown) {
        self.totals.unforwarded += unknown.lost() as u64;
        let unlisted = (unknown.count() > unknown.fields().len()).then(|| "and more".to_owned());
        let lost = unknown.fields().iter().filter(|field| field.is_lost());
        for path in lost.map(UnknownField::place).chain(unlisted) {
            if self.lost_paths.len() < LOST_PATHS_MAX && !self.lost_paths.contains(&path) {
                warn!(field = %path, "a field of a request is not known here, and plugins do not get it");
                self.lost_paths.insert(path);
            }
        }
    }
}

impl Party {
    fn consulted(self, outcome: Outcome, took: Duration) -> Consulted {
        Consulted { plugin: self.name, outcome, took, given: self.given, judgement: self.judgement }
    }
}

impl Request {
    /// A plugin whose answer is awaited.
    pub(super) fn waiting_for(&mut self, plugin: PluginId) -> Option<&mut Party> {
        self.waiting.get_mut(&plugin)
    }

    /// Whether it has a plugin before it. It may be in that plugin's queue already.
    pub(super) fn is_still_to_ask(&self, plugin: PluginId) -> bool {
        self.order.iter().any(|party| party.id == plugin)
    }

    /// The plugin has nothing to add to it any more, but it cannot end without the plugin: a creation that it is to agree
    /// with, or a result that waits for earlier ones, which may have the plugin before them.
    pub(super) fn comes_back_to(&self, plugin: PluginId, is_queued: bool) -> bool {
        match &self.phase {
            Phase::Asking(_) => {
                !self.is_still_to_ask(plugin)
                    && !is_queued
                    && self.to_validate.iter().any(|party| party.id == plugin)
            }
            Phase::Validating(..) => is_queued,
            Phase::Held(_) => true,
            Phase::Done => false,
        }
    }

    pub(super) fn is_validating(&self) -> bool {
        matches!(self.phase, Phase::Validating(..))
    }

    /// The container that is being created, as far as it has come.
    pub(super) fn creating(&self) -> Option<&Container> {
        match &self.phase {
            Phase::Asking(Fold::Create(creation)) => creation.request().container.as_ref(),
            Phase::Validating(_, result) | Phase::Held(result) => match &**result {
                fold::Outcome::Create(merged) => Some(&merged.container),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a plugin is being asked or will be.
    pub(super) fn involves(&self, plugin: PluginId) -> bool {
        let later = self.order.iter().chain(&self.to_validate).any(|party| party.id == plugin);
        later || self.waiting.contains_key(&plugin)
    }

    /// What plugins are asked now.
    fn event_now(&self) -> Event {
        match self.phase {
            Phase::Validating(..) => Event::ValidateContainerAdjustment,
            _ => self.event,
        }
    }

    /// One plugin after the other, as opposed to all at once.
    pub(super) fn is_asking_in_turn(&self) -> bool {
        matches!(&self.phase, Phase::Asking(fold) if fold.is_chain())
    }
}

/// What of the caller's time may be used: all but the larger of 50 ms and a tenth, or half of very little.
fn budget(total: Duration) -> Duration {
    let margin = (total / MARGIN_PART).max(MARGIN_MIN);
    total.saturating_sub(margin).max(total / 2)
}
