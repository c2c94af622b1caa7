//! What becomes of one answer: every policy is asked about every change, and the strictest counts (`policy.md` 9).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nri_wire::api::{ContainerEviction, ContainerUpdate};
use nri_wire::field::{Field, Value};
use nri_wire::name::PluginName;

use super::answer::Scene;
use super::compiled::{Decider, PodOf, Policy, Seat, Source, update_field};
use super::refusal::{Action, Judged, Refused, one_line};
use super::tighten::Said;
use super::violation::{Ruled, Violation, not_granted, silent};
use super::{OnMissing, Rules};
use crate::change::{Change, Op, Place, Recorded, Subject};
use crate::document::word::{ClientOverride, UpdateKind};
use crate::identity::Facts;
use crate::rule::Access;
use crate::rule::{self, Case, Finding, Mode, OnViolation, table};

/// An answer that waits for its judgement, in parts.
pub(super) struct Inquiry<'q> {
    pub(super) rules: &'q Rules,
    pub(super) plugin: &'q PluginName,
    pub(super) facts: &'q Facts,
    pub(super) scene: Scene<'q>,
    pub(super) changes: &'q [Change<'q>],
    pub(super) unknown: &'q [String],
    pub(super) updates: &'q [ContainerUpdate],
    pub(super) evictions: &'q [ContainerEviction],
    pub(super) size: usize,
}

/// What becomes of an answer.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) refused: Vec<Refused>,
    pub(super) judged: Vec<Judged>,
    /// The changes that count.
    pub(super) changes: Vec<Recorded>,
    /// The strictest of what the refusals say.
    pub(super) action: Option<Action>,
    /// Which entries of the adjustment stay; `None`: all, whatever they say.
    pub(super) adjustment: Option<BTreeSet<usize>>,
    /// Lines of schemata that go.
    pub(super) lines: BTreeSet<usize>,
    /// Which entries of each update stay.
    pub(super) updates: Vec<Fate>,
    /// Which evictions stay.
    pub(super) evictions: Vec<bool>,
    /// What the device rules that come with devices are cut to, by the devices' paths.
    pub(super) cuts: BTreeMap<String, Access>,
}

/// What becomes of an update.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// Nobody looks into it.
    Untouched,
    /// It goes.
    Dropped,
    /// These entries stay.
    Kept(BTreeSet<usize>),
}

/// Who has a say.
enum Say<'p> {
    /// No policy has the container in its scope.
    Nobody,
    /// Some have, and none speaks for the plugin; this is the first.
    Silent(&'p Policy),
    /// These speak for it.
    Seats(Vec<Seat<'p>>),
}

/// A container, and what an answer does to it.
#[derive(Clone, Copy)]
struct Spot<'q> {
    /// `None`: it is created.
    kind: Option<UpdateKind>,
    pod: PodOf<'q>,
    client_known: bool,
}

/// What a change is called in a refusal.
struct Named<'n> {
    field: &'n str,
    key: &'n str,
    op: Option<Op>,
}

impl<'q> Inquiry<'q> {
    /// Decides.
    pub(super) fn decide(self) -> Decision {
        let seats: Vec<Seat<'_>> =
            self.rules.policies.iter().map(|policy| policy.seat(self.plugin, self.facts)).collect();
        let mut decision = Decision::default();
        let says_something =
            !self.changes.is_empty() || !self.unknown.is_empty() || !self.evictions.is_empty();
        if says_something && (self.reserved(&seats, &mut decision) || self.limits(&seats, &mut decision)) {
            return decision;
        }
        self.created(&seats, &mut decision);
        self.updated(&seats, &mut decision);
        self.evicted(&seats, &mut decision);
        decision
    }

    /// A plugin under a name that is reserved for another one has no say at all. True: it is over.
    fn reserved(&self, seats: &[Seat<'q>], decision: &mut Decision) -> bool {
        for seat in seats {
            if let Some(source) = seat.policy.reserved_for(seat, self.plugin) {
                let reason = format!("the name {:?} is reserved for another plugin", self.plugin.base());
                if self.whole(seat, source, reason, decision) {
                    return true;
                }
            }
        }
        false
    }

    /// True: a limit is exceeded, and it is over.
    fn limits(&self, seats: &[Seat<'q>], decision: &mut Decision) -> bool {
        let places = self.places();
        for seat in seats.iter().filter(|seat| self.concerns(seat.policy)) {
            let limits = seat.policy.limits;
            let most = places.iter().copied().max().unwrap_or_default();
            for (name, found, limit) in [
                ("changesPerContainer", most, limits.changes_per_container),
                ("responseBytes", u64::try_from(self.size).unwrap_or(u64::MAX), limits.response_bytes),
            ] {
                if found > limit {
                    let id = format!("{}/limits/{name}", seat.policy.name);
                    let source = Source { id: id.into(), at: None };
                    let reason = format!("{name} is {limit}, and the answer has {found}");
                    if self.whole(seat, &source, reason, decision) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// A refusal of the answer as a whole. True: it counts.
    fn whole(&self, seat: &Seat<'_>, source: &Source, reason: String, decision: &mut Decision) -> bool {
        let violation = Violation {
            identity: seat.identity,
            level: seat.level.map(|level| &*level.name),
            source: Cow::Borrowed(source),
            mode: seat.policy.mode,
            on_violation: Some(OnViolation::DropPlugin),
            default: OnViolation::DropPlugin,
            passes: false,
            reason,
            counterexample: None,
        };
        let named = Named { field: "*", key: "", op: None };
        self.refuse(None, violation, &named, decision) == Action::DropPlugin
    }

    /// How many changes there are of each container.
    fn places(&self) -> Vec<u64> {
        let mut counts: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for change in self.changes {
            let id = match change.place {
                Place::Adjustment => None,
                Place::Update { id, .. } => Some(id),
            };
            *counts.entry(id).or_default() += 1;
        }
        counts.into_values().collect()
    }

    /// Whether a policy has a container of the answer in its scope.
    fn concerns(&self, policy: &Policy) -> bool {
        let updates = self.updates.iter().map(|update| update.container_id.as_str());
        let evictions = self.evictions.iter().map(|eviction| eviction.container_id.as_str());
        (self.scene.containers.is_some() && policy.covers(PodOf::of(self.scene.pod)))
            || updates.chain(evictions).any(|id| policy.covers(self.spot(id).pod))
    }

    fn say(&self, seats: &[Seat<'q>], pod: PodOf<'_>) -> Say<'q> {
        let mut covering = seats.iter().filter(|seat| seat.policy.covers(pod)).peekable();
        let Some(first) = covering.peek().map(|seat| seat.policy) else { return Say::Nobody };
        let speaking: Vec<_> = covering.filter(|seat| seat.level.is_some()).copied().collect();
        if speaking.is_empty() { Say::Silent(first) } else { Say::Seats(speaking) }
    }

    /// What is known of a container that is updated or evicted.
    fn spot(&self, id: &str) -> Spot<'q> {
        if let Some(own) = self.scene.own.filter(|own| own.id == id) {
            return Spot {
                kind: Some(UpdateKind::Own),
                pod: PodOf::of(self.scene.pod),
                client_known: own.requested.is_some(),
            };
        }
        let target = self.scene.targets.target(id);
        Spot {
            kind: Some(self.scene.kind),
            pod: PodOf {
                namespace: target.and_then(|target| target.namespace),
                labels: target.and_then(|target| target.labels),
            },
            client_known: target.is_some_and(|target| target.resources.is_some()),
        }
    }

    /// The adjustment, and what is unknown of the answer as a whole.
    fn created(&self, seats: &[Seat<'q>], decision: &mut Decision) {
        let spot = Spot { kind: None, pod: PodOf::of(self.scene.pod), client_known: true };
        let say = self.say(seats, spot.pod);
        let mut kept = BTreeSet::new();
        for change in self.changes.iter().filter(|change| change.place == Place::Adjustment) {
            if self.change(&say, spot, change, false, decision) {
                kept.insert(change.entry);
            } else {
                decision.lines.extend(change.line);
            }
        }
        for path in self.unknown.iter().filter(|path| self.update_of(path).is_none()) {
            self.change(&say, spot, &unknown(path, Place::Adjustment), false, decision);
        }
        if self.rules.takes_out && !self.is_free(&say) {
            decision.adjustment = Some(kept);
        }
    }

    /// Each update, if its kind is granted, change by change.
    fn updated(&self, seats: &[Seat<'q>], decision: &mut Decision) {
        for (index, update) in self.updates.iter().enumerate() {
            let id = &update.container_id;
            let (spot, place) = (self.spot(id), Place::Update { index, id });
            let unknown = self.unknown.iter().filter(|path| self.update_of(path) == Some(index));
            let unknown: Vec<Change<'_>> = unknown.map(|path| self::unknown(path, place)).collect();
            // The adjustment's come first, then each update's in their order (`Answer::changes`).
            let before = |change: &Change<'_>| match change.place {
                Place::Adjustment => true,
                Place::Update { index: other, .. } => other < index,
            };
            let own = self.changes.iter().skip(self.changes.partition_point(before));
            let changes: Vec<&Change<'_>> =
                own.take_while(|change| change.place == place).chain(&unknown).collect();
            let mut say = self.say(seats, spot.pod);
            let free = self.is_free(&say);
            let mut granted = true;
            if !changes.is_empty() && !free {
                (granted, say) = self.granted(say, spot, id, decision);
            }
            let mut kept = BTreeSet::new();
            for change in changes {
                if self.change(&say, spot, change, !granted, decision)
                    && matches!(change.subject, Subject::Field(_))
                {
                    kept.insert(change.entry);
                }
            }
            decision.updates.push(match (free || !self.rules.takes_out, kept.is_empty()) {
                (true, _) => Fate::Untouched,
                (false, true) => Fate::Dropped,
                (false, false) => Fate::Kept(kept),
            });
        }
    }

    fn evicted(&self, seats: &[Seat<'q>], decision: &mut Decision) {
        for eviction in self.evictions {
            let id = &eviction.container_id;
            let spot = Spot { kind: Some(UpdateKind::Evict), ..self.spot(id) };
            let say = self.say(seats, spot.pod);
            let granted = self.is_free(&say) || self.granted(say, spot, id, decision).0;
            decision.evictions.push(granted);
        }
    }

    /// No policy has anything to say, and that means yes.
    fn is_free(&self, say: &Say<'_>) -> bool {
        matches!(say, Say::Nobody) && self.rules.on_missing == OnMissing::Allow
    }

    /// Whether a container may be updated or evicted at all, and who has a say in the rest.
    fn granted(&self, say: Say<'q>, spot: Spot<'q>, id: &str, decision: &mut Decision) -> (bool, Say<'q>) {
        let kind = spot.kind.unwrap_or(self.scene.kind);
        let named = Named { field: update_field(kind), key: id, op: None };
        let mut granted = true;
        let mut refuse = |violation| {
            granted &= self.refuse(Some(spot), violation, &named, decision) < Action::DropEntry;
        };
        let default = OnViolation::DropEntry;
        let rest = match say {
            Say::Nobody => {
                refuse(self.uncovered(if kind == UpdateKind::Own { OnViolation::Reject } else { default }));
                Say::Seats(Vec::new())
            }
            Say::Silent(policy) => {
                refuse(silent(policy, default));
                Say::Seats(Vec::new())
            }
            Say::Seats(mut seats) => {
                seats.retain(|seat| match not_granted(seat, kind, spot.pod.namespace) {
                    Some(violation) => {
                        refuse(violation);
                        false
                    }
                    None => true,
                });
                Say::Seats(seats)
            }
        };
        (granted, rest)
    }

    /// One change. `doomed`: it goes with its update anyway. True: it counts.
    fn change(
        &self,
        say: &Say<'q>,
        spot: Spot<'q>,
        change: &Change<'_>,
        doomed: bool,
        decision: &mut Decision,
    ) -> bool {
        let default = OnViolation::by_danger(table::danger(change.subject));
        let mut ruled = Ruled { action: doomed.then_some(Action::DropEntry), ..Ruled::default() };
        match say {
            Say::Nobody if self.is_free(say) => {}
            Say::Nobody => {
                let violation = self.uncovered(OnViolation::Reject);
                self.against(spot, change, violation, &mut ruled, decision);
            }
            Say::Silent(policy) => self.against(spot, change, silent(policy, default), &mut ruled, decision),
            Say::Seats(seats) => {
                for seat in seats {
                    match self.ask(seat, spot, change, default) {
                        Ok((source, access)) => {
                            ruled.source = ruled.source.or(source);
                            ruled.access = match (ruled.access, access) {
                                (Some(one), Some(other)) => Some(one.meet(other)),
                                (one, other) => one.or(other),
                            };
                        }
                        Err(violation) => self.against(spot, change, *violation, &mut ruled, decision),
                    }
                }
            }
        }
        let counts = ruled.action.is_none_or(|action| action < Action::DropEntry);
        if counts {
            if let (Some(access), Some(Value::Device(device))) = (ruled.access, &change.after) {
                decision.cuts.insert(device.path.clone(), access);
            }
            decision.changes.push(change.record());
        }
        if self.rules.records {
            decision.judged.push(ruled.judged(change.record()));
        }
        counts
    }

    /// Enters a violation; the strictest is what the change is known by.
    fn against(
        &self,
        spot: Spot<'q>,
        change: &Change<'_>,
        violation: Violation<'q>,
        ruled: &mut Ruled<'q>,
        decision: &mut Decision,
    ) {
        let named = Named { field: change.subject.name(), key: &change.key, op: Some(change.op) };
        let source = violation.source.clone();
        let reason = one_line(&violation.reason);
        let action = self.refuse(Some(spot), violation, &named, decision);
        if ruled.reason.is_none() || ruled.action.is_none_or(|strictest| action > strictest) {
            ruled.against = Some(source);
            ruled.reason = Some(reason);
        }
        ruled.action = ruled.action.max(Some(action));
    }

    /// What one policy says.
    fn ask(
        &self,
        seat: &Seat<'q>,
        spot: Spot<'q>,
        change: &Change<'_>,
        default: OnViolation,
    ) -> Result<(Option<&'q Source>, Option<Access>), Box<Violation<'q>>> {
        let Some(level) = seat.level else { return Ok((None, None)) };
        let Some(decider) = level.decider(change.subject) else {
            let is_unknown = change.subject == Subject::Unknown;
            return Err(Box::new(Violation {
                identity: seat.identity,
                level: Some(&level.name),
                source: Cow::Borrowed(&level.no_key),
                mode: level.mode,
                on_violation: level.on_violation,
                default,
                passes: is_unknown && seat.policy.is_open,
                reason: format!("no key of level {} covers {}", level.name, change.subject),
                counterexample: None,
            }));
        };
        let Decider { rule, source } = decider;
        let violation = |source: Cow<'q, Source>, reason: String| Violation {
            identity: seat.identity,
            level: Some(&level.name),
            source,
            mode: rule.mode.unwrap_or(level.mode),
            on_violation: rule.on_violation.or(level.on_violation),
            default,
            passes: false,
            reason: match &rule.message {
                Some(message) => format!("{message}: {reason}"),
                None => reason,
            },
            counterexample: None,
        };
        let own = || Cow::Borrowed(source);
        let client = || Cow::Owned(Source { id: Arc::clone(&seat.policy.client), at: source.at.clone() });
        if let (Subject::Field(Field::Seccomp), Some(Value::Seccomp(new)), Some(containers)) =
            (change.subject, &change.after, self.scene.containers)
        {
            let comparisons = &self.rules.comparisons;
            return match comparisons.judge(seat.policy, level, rule.seccomp(), containers.pristine, new) {
                Said::Allowed => Ok((Some(source), None)),
                Said::Violated(why) => Err(Box::new(Violation {
                    counterexample: why.counterexample,
                    ..violation(own(), why.reason)
                })),
                Said::ByClient(why) => Err(Box::new(Violation {
                    counterexample: why.counterexample,
                    ..violation(client(), why.reason)
                })),
            };
        }
        let case = Case {
            change,
            client_known: spot.client_known,
            period: self.period(change),
            host: &*self.rules.host,
        };
        match rule.look(&case) {
            Finding::Violated(reason) => Err(Box::new(violation(own(), reason))),
            Finding::Unclear(reason) => Err(Box::new(Violation {
                passes: seat.policy.is_open,
                ..violation(own(), format!("cannot be judged: failed to {reason}"))
            })),
            Finding::Allowed(grant) => {
                let free = grant.relative || level.may_override_client || !self.is_clients(spot, change);
                if free || is_left_to_plugins(seat.policy.client_override, change) {
                    Ok((Some(source), grant.access))
                } else {
                    let reason =
                        format!("{} is the client's own, which plugins may not change", change.subject);
                    Err(Box::new(violation(client(), reason)))
                }
            }
        }
    }

    /// Whether a change takes away what the client asked for itself. Of updates it can only be the client's own.
    fn is_clients(&self, spot: Spot<'_>, change: &Change<'_>) -> bool {
        matches!(spot.kind, None | Some(UpdateKind::Own)) && change.op != Op::Add && change.client.is_some()
    }

    /// The period that a CPU quota is for.
    fn period(&self, change: &Change<'_>) -> Option<u64> {
        if change.subject != Subject::Field(Field::CpuQuota) {
            return None;
        }
        let own = self
            .changes
            .iter()
            .find(|other| other.place == change.place && other.subject == Subject::Field(Field::CpuPeriod));
        if let Some(Value::UInt(period)) = own.and_then(|own| own.after.as_ref()) {
            return Some(*period);
        }
        let resources = match change.place {
            Place::Adjustment => self.scene.containers?.pristine.linux.as_ref()?.resources.as_ref(),
            Place::Update { id, .. } => match self.scene.own {
                Some(own) if own.id == id => own.requested,
                _ => self.scene.targets.target(id)?.resources,
            },
        };
        resources?.cpu.as_ref()?.period.as_ref().map(|period| period.value)
    }

    /// The update that the path of an unknown field leads into.
    fn update_of(&self, path: &str) -> Option<usize> {
        let rest = path.strip_prefix("update")?;
        let index = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0.parse().ok()?,
            None if rest.starts_with('.') && self.updates.len() == 1 => 0,
            None => return None,
        };
        (index < self.updates.len()).then_some(index)
    }

    fn uncovered(&self, on_violation: OnViolation) -> Violation<'q> {
        Violation {
            identity: None,
            level: None,
            source: Cow::Borrowed(&self.rules.uncovered),
            mode: Mode::Enforce,
            on_violation: Some(on_violation),
            default: on_violation,
            passes: false,
            reason: "no policy has the container in its scope".to_owned(),
            counterexample: None,
        }
    }

    /// Enters a refusal.
    fn refuse(
        &self,
        spot: Option<Spot<'_>>,
        violation: Violation<'_>,
        named: &Named<'_>,
        decision: &mut Decision,
    ) -> Action {
        let fails = matches!(self.scene.kind, UpdateKind::Others | UpdateKind::Own);
        let action = violation.action(spot.and_then(|spot| spot.kind), fails);
        decision.action = decision.action.max(Some(action));
        decision.refused.push(Refused {
            plugin: self.plugin.full().to_owned(),
            identity: violation.identity.map(str::to_owned),
            level: violation.level.map(str::to_owned),
            field: named.field.to_owned(),
            key: named.key.to_owned(),
            op: named.op,
            rule: violation.source.id.to_string(),
            at: violation.source.at.as_deref().map(str::to_owned),
            action,
            reason: one_line(&violation.reason),
            counterexample: violation.counterexample,
        });
        action
    }
}

/// Whether `clientOverride` lets a plugin change this value of the client's.
fn is_left_to_plugins(client_override: ClientOverride, change: &Change<'_>) -> bool {
    let Subject::Field(field) = change.subject else { return true };
    match client_override {
        ClientOverride::Ignore => true,
        ClientOverride::Security => {
            field == Field::CgroupsPath || !table::of(field).groups.contains(&table::Group::Security)
        }
        ClientOverride::Honour => false,
        ClientOverride::HonourUnlessTighter => rule::is_at_most_as_much(field, change),
    }
}

/// The change that an unknown field stands for: its key is the path, within the adjustment if it is there (`policy.md` 4).
pub(super) fn unknown<'a>(path: &'a str, place: Place<'a>) -> Change<'a> {
    Change {
        place,
        subject: Subject::Unknown,
        key: Cow::Borrowed(path.strip_prefix("adjust.").unwrap_or(path)),
        op: Op::Add,
        before: None,
        after: None,
        client: None,
        entry: 0,
        line: None,
    }
}
