//! Everything that differs between two policies, sorted by direction: for people (`nri seccomp diff`).
//!
//! ```
//! use nri_seccomp::compare::changes::{Changes, Direction, Subject};
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::settings::{Host, Settings};
//! use nri_seccomp::term::Action;
//!
//! let mut old = Policy::new(Action::Errno);
//! old.syscalls.push(Entry::new(["read", "ptrace"], Action::Allow));
//! let mut new = Policy::new(Action::Errno);
//! new.syscalls.push(Entry::new(["read", "bpf"], Action::Allow));
//!
//! let changes = Changes::new(Some(&old), Some(&new), &Host::x86_64(), &Settings::default())?;
//! let [looser, tighter] = changes.list.as_slice() else { panic!("two changes are expected") };
//! assert_eq!((looser.direction, looser.subject.clone()), (Direction::Looser, Subject::Syscalls(vec!["bpf".into()])));
//! assert_eq!((looser.old.join(" "), looser.new.join(" ")), ("errno EPERM".into(), "allow".into()));
//! assert_eq!(tighter.direction, Direction::Tighter);
//! assert_eq!(changes.same, 1);
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::direction::{Both, call};
use super::group::{Answers, Finding, Known, Pair};
use super::result::Call;
use super::text;
use crate::model::group::Group;
use crate::model::{Abi, Key, Listener, Model, Reading};
use crate::order::Order;
use crate::outline;
use crate::policy::{Invalid, Policy};
use crate::search::Budget;
use crate::settings::{Host, Settings};
use crate::syscall;
use crate::term::{Arch, Effect, Flag};
use crate::wording;

/// Which way a change goes, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Some call is answered more loosely, none more tightly.
    Looser,
    /// Some calls are answered more loosely, others more tightly.
    Mixed,
    /// It cannot be told.
    Unclear,
    /// Some call is answered more tightly, none more loosely.
    Tighter,
    /// Neither, but programs notice: another error number for example.
    Behaviour,
}

impl Direction {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Looser => "looser",
            Self::Mixed => "mixed",
            Self::Unclear => "unclear",
            Self::Tighter => "tighter",
            Self::Behaviour => "behaviour",
        }
    }

    /// Whether the new policy lets something happen, or may let it, that the old one did not.
    #[must_use]
    pub const fn may_loosen(self) -> bool {
        matches!(self, Self::Looser | Self::Mixed | Self::Unclear)
    }
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An ABI that only one of the filters has: every call there.
    Abi,
    /// Every syscall that neither policy names.
    Default,
    /// These syscalls.
    Syscalls(Vec<String>),
    /// A flag for loading the filter.
    Flag(Flag),
    /// Who is asked by `SCMP_ACT_NOTIFY`.
    Listener,
}

/// One change; those that are alike are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which way it goes.
    pub direction: Direction,
    /// What it is about.
    pub subject: Subject,
    /// On which ABIs; none for what is about none.
    pub archs: Vec<Arch>,
    /// Whether these are all ABIs of the host that have the syscalls.
    pub everywhere: bool,
    /// What the old policy says, in words, a line an answer.
    pub old: Vec<String>,
    /// What the new one says.
    pub new: Vec<String>,
    /// A call that is answered more loosely.
    pub example: Option<Call>,
    /// Why it is unclear.
    pub note: Option<String>,
}

/// All that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The changes, by direction.
    pub list: Vec<Change>,
    /// How many syscalls that a policy names are answered the same on every ABI.
    pub same: usize,
}

impl Changes {
    /// Looks for everything that differs on a host. Of rules with more than six conditions all count, as with runc; the verdict is
    /// [`compare`](super::compare)'s.
    ///
    /// # Errors
    /// A policy is invalid.
    pub fn new(
        old: Option<&Policy>,
        new: Option<&Policy>,
        host: &Host,
        settings: &Settings,
    ) -> Result<Self, Invalid> {
        let model = |policy| Model::new(policy, host, settings, Reading::All);
        let (of_old, of_new) = (model(old)?, model(new)?);
        let same_agent = of_old.listener() == of_new.listener();
        let strict = Settings {
            runtime: settings.runtime,
            errno: crate::settings::Errno::Exact,
            ..Settings::default()
        };
        let mut search = Search {
            old: &of_old,
            new: &of_new,
            both: old.is_some() && new.is_some(),
            order: Order::new(settings, same_agent),
            strict: Order::new(&strict, same_agent),
            budget: Budget::new(),
            same_program: None,
            found: Vec::new(),
            names: BTreeMap::new(),
        };
        for &arch in host.archs() {
            search.abi(arch);
        }
        search.flags(old, new);
        search.listener();
        Ok(search.changes())
    }
}

/// What is found about one subject on one ABI; for syscalls, one name.
struct Found {
    subject: Subject,
    arch: Option<Arch>,
    direction: Direction,
    old: Vec<String>,
    new: Vec<String>,
    example: Option<Call>,
    note: Option<String>,
}

struct Search<'m> {
    old: &'m Model<'m>,
    new: &'m Model<'m>,
    /// Neither is "no policy".
    both: bool,
    order: Order,
    /// The order in which every difference counts.
    strict: Order,
    budget: Budget,
    same_program: Option<bool>,
    found: Vec<Found>,
    /// The ABIs on which a name was looked at.
    names: BTreeMap<String, Vec<Arch>>,
}

/// What one way and the other way come to.
enum Verdict {
    Same,
    Changed(Direction, Option<Call>, Option<String>),
}

impl<'m> Search<'m> {
    fn abi(&mut self, arch: Arch) {
        let (old, new) = (self.old.abi(arch), self.new.abi(arch));
        if self.both && old.is_in_filter() != new.is_in_filter() {
            self.whole(arch, &old, &new);
            return;
        }
        for (key, of_old, of_new) in Both::new(old.groups(), new.groups()) {
            let (verdict, pair) = self.pair(arch, key, &old, of_old, &new, of_new);
            let name = key.shown(arch);
            self.names.entry(name.clone()).or_default().push(arch);
            if let Verdict::Changed(direction, example, note) = verdict {
                let (old, new) = (
                    self.said(&name, arch, &pair.old, self.old),
                    self.said(&name, arch, &pair.new, self.new),
                );
                let subject = Subject::Syscalls(vec![name]);
                self.found.push(Found { subject, arch: Some(arch), direction, old, new, example, note });
            }
        }
        self.unnamed(arch, &old, &new);
    }

    /// An ABI that one filter only has, as a whole.
    fn whole(&mut self, arch: Arch, old: &Abi<'m>, new: &Abi<'m>) {
        let (mut looser, mut tighter, mut note, mut example) = (false, false, None, None);
        let mut add = |verdict| {
            if let Verdict::Changed(direction, call, why) = verdict {
                looser |= matches!(direction, Direction::Looser | Direction::Mixed);
                tighter |= matches!(direction, Direction::Tighter | Direction::Mixed);
                note = note.take().or(why);
                example = example.take().or(call);
            }
        };
        for (key, of_old, of_new) in Both::new(old.groups(), new.groups()) {
            add(self.pair(arch, key, old, of_old, new, of_new).0);
        }
        let base = arch.base();
        add(self.pair(arch, Key::Number(base), old, None, new, None).0);
        let direction = match (looser, tighter, &note) {
            (true, true, _) => Direction::Mixed,
            (true, false, _) => Direction::Looser,
            (false, _, Some(_)) => Direction::Unclear,
            (false, true, None) => Direction::Tighter,
            (false, false, None) => Direction::Behaviour,
        };
        let said = |abi: &Abi<'_>| {
            if abi.is_in_filter() {
                vec!["by the policy's rules".to_owned()]
            } else {
                vec![format!("not in the filter: {}", wording::effect(abi.unnamed(base), arch))]
            }
        };
        let (old, new) = (said(old), said(new));
        self.found.push(Found {
            subject: Subject::Abi,
            arch: Some(arch),
            direction,
            old,
            new,
            example,
            note,
        });
    }

    /// What no rule names; with runc's stub, on each side of its borders.
    fn unnamed(&mut self, arch: Arch, old: &Abi<'m>, new: &Abi<'m>) {
        let above = [old.border(), new.border()].into_iter().flatten().map(|border| border.saturating_add(1));
        let mut seen = BTreeSet::new();
        for number in std::iter::once(arch.base()).chain(above) {
            let answers = (old.unnamed(number), new.unnamed(number));
            if !seen.insert(answers) {
                continue;
            }
            let (verdict, _) = self.pair(arch, Key::Number(number), old, None, new, None);
            if let Verdict::Changed(direction, _, note) = verdict {
                let said = |effect| vec![wording::effect(effect, arch)];
                self.found.push(Found {
                    subject: Subject::Default,
                    arch: Some(arch),
                    direction,
                    old: said(answers.0),
                    new: said(answers.1),
                    example: None,
                    note,
                });
            }
        }
    }

    fn pair(
        &mut self,
        arch: Arch,
        key: Key<'_>,
        old: &Abi<'m>,
        of_old: Option<Group<'m>>,
        new: &Abi<'m>,
        of_new: Option<Group<'m>>,
    ) -> (Verdict, Pair<'m>) {
        let answers = |group, abi: &Abi<'_>, model: &Model<'_>| Answers {
            group,
            otherwise: abi.otherwise(key),
            default: model.default_effect(),
        };
        let pair = Pair {
            old: answers(of_old, old, self.old),
            new: answers(of_new, new, self.new),
            order: self.order,
        };
        (self.verdict(arch, key, &pair), pair)
    }

    fn verdict(&mut self, arch: Arch, key: Key<'_>, pair: &Pair<'m>) -> Verdict {
        let reversed = Pair { old: pair.new, new: pair.old, order: self.order };
        let (forward, backward) = (self.find(pair), self.find(&reversed));
        let direction = match (forward, backward) {
            (Finding::Loosens(_), Finding::Loosens(_)) => Direction::Mixed,
            (Finding::Loosens(_), _) => Direction::Looser,
            (Finding::Doubt(_), _) => Direction::Unclear,
            (Finding::Fine, Finding::Loosens(_) | Finding::Doubt(_)) => Direction::Tighter,
            (Finding::Fine, Finding::Fine) => {
                let strictly = |one: &Pair<'m>| Pair { order: self.strict, ..*one };
                let (one, other) = (strictly(pair), strictly(&reversed));
                if self.find(&one) == Finding::Fine && self.find(&other) == Finding::Fine {
                    return Verdict::Same;
                }
                Direction::Behaviour
            }
        };
        let (example, note) = match forward {
            Finding::Loosens(found) => {
                let (number, name) = match key {
                    Key::Number(number) => (Some(number), syscall::name(arch, number).map(str::to_owned)),
                    Key::Name(name) => (None, Some(name.to_owned())),
                };
                (Some(call(arch, number, name, found)), None)
            }
            Finding::Doubt(doubt) => (None, Some(text::doubt(arch, key, pair, doubt))),
            Finding::Fine => (None, None),
        };
        Verdict::Changed(direction, example, note)
    }

    fn find(&mut self, pair: &Pair<'m>) -> Finding {
        let (one, other, same_program) = (self.old, self.new, &mut self.same_program);
        let same_program = || *same_program.get_or_insert_with(|| one.is_same_program(other));
        pair.find(&mut Known::default(), &mut self.budget, same_program)
    }

    /// What one side says about a syscall.
    fn said(&self, name: &str, arch: Arch, answers: &Answers<'m>, model: &Model<'_>) -> Vec<String> {
        let Some(group) = answers.group else { return vec![wording::effect(answers.otherwise, arch)] };
        let mut lines = outline::lines(name, &group, arch);
        if group.constant().is_none() && self.old.default_effect() != self.new.default_effect() {
            lines.push(format!("otherwise {}", wording::effect(answers.default, arch)));
        }
        let (old, new) = (self.old.listener(), self.new.listener());
        if old != new && group.effects().any(|effect| effect == Effect::Notify) {
            lines.push(format!("asking {}", agent(model.listener())));
        }
        lines
    }

    fn flags(&mut self, old: Option<&Policy>, new: Option<&Policy>) {
        let (in_old, in_new) = (self.old.flags_in_force(), self.new.flags_in_force());
        let given = |policy: Option<&Policy>, flag| policy.is_some_and(|policy| policy.flags.contains(&flag));
        for (flag, before, after) in [
            (Flag::SpecAllow, in_old.spec_allow, in_new.spec_allow),
            (Flag::Log, in_old.log, in_new.log),
            (Flag::Tsync, given(old, Flag::Tsync), given(new, Flag::Tsync)),
            (Flag::WaitKillableRecv, given(old, Flag::WaitKillableRecv), given(new, Flag::WaitKillableRecv)),
        ] {
            if before == after {
                continue;
            }
            let direction = if self.order.flag_loosens(flag, before, after) {
                Direction::Looser
            } else if self.order.flag_loosens(flag, after, before) {
                Direction::Tighter
            } else {
                Direction::Behaviour
            };
            let said = |on: bool| vec![if on { "in force" } else { "not in force" }.to_owned()];
            let (old, new) = (said(before), said(after));
            let subject = Subject::Flag(flag);
            self.found.push(Found { subject, arch: None, direction, old, new, example: None, note: None });
        }
    }

    /// Another agent by itself changes nothing; the syscalls that it is asked about have changes of their own.
    fn listener(&mut self) {
        let (old, new) = (self.old.listener(), self.new.listener());
        if old != new {
            self.found.push(Found {
                subject: Subject::Listener,
                arch: None,
                direction: Direction::Behaviour,
                old: vec![agent(old)],
                new: vec![agent(new)],
                example: None,
                note: None,
            });
        }
    }

    /// Puts together what is alike: first ABIs, then names.
    fn changes(self) -> Changes {
        let names = &self.names;
        let mut by_name: Vec<(Found, Vec<Arch>)> = Vec::new();
        let mut places = BTreeMap::new();
        for found in self.found {
            let key = (found.subject.clone(), found.direction, found.old.clone(), found.new.clone());
            let place = *places.entry(key).or_insert_with(|| by_name.len());
            match by_name.get_mut(place) {
                Some((_, archs)) => archs.extend(found.arch),
                None => {
                    let archs = found.arch.into_iter().collect();
                    by_name.push((found, archs));
                }
            }
        }
        let changed: BTreeSet<&String> = by_name
            .iter()
            .filter_map(
                |(found, _)| if let Subject::Syscalls(names) = &found.subject { names.first() } else { None },
            )
            .collect();
        let same = names.keys().filter(|name| !changed.contains(name)).count();

        let mut list: Vec<Change> = Vec::new();
        let mut places = BTreeMap::new();
        for (found, archs) in by_name {
            let everywhere = match &found.subject {
                Subject::Syscalls(one) => one.iter().all(|name| names.get(name) == Some(&archs)),
                _ => false,
            };
            let Found { subject, direction, old, new, example, note, .. } = found;
            if let Subject::Syscalls(names) = &subject {
                let key =
                    (direction, old.clone(), new.clone(), everywhere, (!everywhere).then(|| archs.clone()));
                let place = *places.entry(key).or_insert_with(|| list.len());
                if let Some(Change { subject: Subject::Syscalls(all), archs: on, .. }) = list.get_mut(place) {
                    all.extend(names.iter().cloned());
                    on.extend(archs);
                    on.sort_unstable();
                    on.dedup();
                    continue;
                }
            }
            list.push(Change { direction, subject, archs, everywhere, old, new, example, note });
        }
        list.sort_by(|one, other| (one.direction, &one.subject).cmp(&(other.direction, &other.subject)));
        for change in &mut list {
            if let Subject::Syscalls(names) = &mut change.subject {
                names.sort_unstable();
            }
        }
        Changes { list, same }
    }
}

fn agent(listener: Listener<'_>) -> String {
    match (listener.path, listener.metadata) {
        ("", _) => "nobody".to_owned(),
        (path, "") => path.to_owned(),
        (path, metadata) => format!("{path} with metadata {metadata:?}"),
    }
}
