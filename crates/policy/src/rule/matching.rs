//! A MATCH, and whether a change matches it (`policy.md` 3, "Matching").

use std::borrow::Cow;

use nri_wire::api::Hook;
use nri_wire::field::{Field, Value};

use super::device::{Access, DevicePattern, Number, is_host_node};
use super::glob::Glob;
use super::idset::IdSet;
use super::quantity::{Amount, Quantity};
use super::set::Set;
use super::table::{self, Bounds, Count, Part, Unset, Words};
use super::value::{Amounts, amounts, flags, ids, looked_at, text};
use crate::change::{Change, Subject};
use crate::hidden;
use crate::host::{Host, NoHost, Unknown};
use crate::path::clean;

/// A change and what its rules may have to know.
#[derive(Clone, Copy, Debug)]
pub struct Case<'c, 'a> {
    /// The change.
    pub change: &'c Change<'a>,
    /// Whether it is known what the client asked for. If not, nothing that depends on it holds.
    pub client_known: bool,
    /// The period that a CPU quota is for: the answer's own, else the client's.
    pub period: Option<u64>,
    /// The host.
    pub host: &'c dyn Host,
}

/// Whether something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be told, because of this.
    Unclear(Unknown),
}

/// One entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Match {
    /// A built-in set in its place.
    pub(super) set: Option<Set>,
    pub(super) tests: Vec<Test>,
    pub(super) resolve: Option<Resolve>,
    /// What the device rule that comes with a device is cut to.
    pub(super) access: Option<Access>,
}

/// One member of a MATCH.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    /// Its name.
    pub(super) member: &'static str,
    pub(super) check: Check,
}

/// How a mount's source is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolve {
    Real,
    NoSymlinks,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    Glob(Part, Glob),
    Names(Part, Words, Vec<String>),
    Flags(Words, Vec<String>),
    Truth(bool),
    Effect(bool),
    Limit(Count, Bound),
    MaxBytes(u64),
    Options { require: Vec<String>, forbid: Vec<String> },
    Sha256([u8; 32]),
    ArgGlobs(Vec<Glob>),
    EnvGlobs(Vec<Glob>),
    TimeoutMax(i64),
    HostNode(Glob),
    DeviceNumber(Vec<DevicePattern>),
    FileMode(u32),
    Uid(Vec<u32>),
    Gid(Vec<u32>),
    Access(Access),
    StartsWith,
    EndsWith,
    Ratio(Ratio),
    SubsetOf(Ids),
    MinCount(u64),
    Exclude(IdSet),
    Prefix(String),
}

/// Limits, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bound {
    /// The least.
    pub min: Option<Quantity>,
    /// The most.
    pub max: Option<Quantity>,
}

/// A fraction, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) number: u64,
    pub(super) of: u64,
}

/// What a set of numbers must lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    These(IdSet),
    Requested,
    Host,
}

impl Match {
    /// Whether a change matches.
    #[must_use]
    pub fn holds(&self, case: &Case<'_, '_>) -> Holds {
        self.first_failure(case).map_or(Holds::Yes, |(holds, _)| holds)
    }

    /// What it is relative to the client's value.
    pub(super) fn is_relative(&self) -> bool {
        self.tests.iter().any(|test| match &test.check {
            Check::Limit(_, bound) => bound.is_relative(),
            Check::StartsWith | Check::EndsWith | Check::SubsetOf(Ids::Requested) => true,
            _ => false,
        })
    }

    /// What a change is denied for: a fragment for people.
    pub(super) fn denied(&self, case: &Case<'_, '_>) -> String {
        let what = match text(Part::Source, case.change) {
            Some(source) => format!("source {source:?}"),
            None => format!("{} {:?}", case.change.subject, shown(&case.change.key)),
        };
        match self.set {
            Some(set) => format!("{what} is in {}", set.name()),
            None => format!("{what} matches an entry of `deny`"),
        }
    }

    /// Why a change does not match: a fragment for people, without values that may be secret.
    #[must_use]
    pub fn why_not(&self, case: &Case<'_, '_>) -> String {
        match self.first_failure(case) {
            None => String::new(),
            Some((Holds::Unclear(unknown), _)) => unknown.0,
            Some((_, Some(test))) => test.why_not(case),
            Some((_, None)) => match (self.set, self.resolve) {
                (Some(set), _) => format!("it is not in {}", set.name()),
                (None, Some(Resolve::NoSymlinks)) => {
                    "the source has a symbolic link in it, or cannot be looked up".to_owned()
                }
                (None, _) => "it does not match".to_owned(),
            },
        }
    }

    fn first_failure(&self, case: &Case<'_, '_>) -> Option<(Holds, Option<&Test>)> {
        if let Some(set) = self.set {
            return (!set.contains(case.change, case.host)).then_some((Holds::No, None));
        }
        let mut unclear = None;
        for test in &self.tests {
            match test.holds(case, self.resolve) {
                Holds::Yes => {}
                Holds::No => return Some((Holds::No, Some(test))),
                Holds::Unclear(why) => unclear = unclear.or(Some((Holds::Unclear(why), Some(test)))),
            }
        }
        if self.resolve == Some(Resolve::NoSymlinks) {
            let source = text(Part::Source, case.change);
            let plain = source.is_some_and(|source| case.host.has_symlink(&source) == Ok(false));
            if !plain {
                return Some((Holds::No, None));
            }
        }
        unclear
    }
}

impl Test {
    fn holds(&self, case: &Case<'_, '_>, resolve: Option<Resolve>) -> Holds {
        self.check.holds(case, resolve).unwrap_or_else(Holds::Unclear)
    }

    fn why_not(&self, case: &Case<'_, '_>) -> String {
        let Self { member, check } = self;
        let secret = matches!(case.change.subject, Subject::Field(Field::Env | Field::Args));
        let found = |part| match text(part, case.change) {
            Some(text) if !secret || part == Part::Key => format!(" {:?}", shown(&text)),
            _ => String::new(),
        };
        match check {
            Check::Glob(part, glob) => format!("{member}{} does not match {glob}", found(*part)),
            Check::Names(part, _, names) => {
                format!("{member}{} is not {}", found(*part), names.join(" or "))
            }
            Check::Limit(count, bound) => match bound.why_not(*count, case) {
                Some(why) => why,
                None => format!("{member} does not hold"),
            },
            Check::Options { require, forbid } => {
                format!("options: require [{}], forbid [{}]", require.join(", "), forbid.join(", "))
            }
            Check::Prefix(prefix) => format!("{} does not begin with {prefix}", shown_value(case.change)),
            Check::SubsetOf(_) | Check::Exclude(_) | Check::MinCount(_) => {
                format!("{} does not meet `{member}`", shown_value(case.change))
            }
            _ => format!("it does not meet `{member}`"),
        }
    }
}

/// A text as it is, if it is there to be seen.
fn seen(text: &str) -> Result<&str, Unknown> {
    match hidden::value(text) {
        None => Ok(text),
        Some(_) => {
            Err(Unknown("see a value that the recording hides; record with --record-secrets".to_owned()))
        }
    }
}

impl Check {
    fn holds(&self, case: &Case<'_, '_>, resolve: Option<Resolve>) -> Result<Holds, Unknown> {
        let value = looked_at(case.change);
        let holds = match (self, value) {
            (Self::Glob(Part::Source, glob), _) if resolve == Some(Resolve::Real) => {
                match text(Part::Source, case.change) {
                    Some(source) => glob.is_match(&clean(&case.host.real_path(&source)?)),
                    None => false,
                }
            }
            (Self::Glob(Part::Value, glob), Some(Value::Lines(lines))) => {
                lines.iter().all(|line| glob.is_match(line))
            }
            (Self::Glob(part, glob), _) => match text(*part, case.change) {
                Some(text) => glob.is_match(seen(&text)?),
                None => false,
            },
            (Self::Names(part, words, names), _) => text(*part, case.change)
                .is_some_and(|text| names.iter().any(|name| name == words.bare(&text))),
            (Self::Flags(words, allowed), Some(value)) => flags(value).is_some_and(|flags| {
                flags.iter().all(|flag| {
                    flag.is_some_and(|flag| allowed.iter().any(|allowed| allowed == words.bare(flag)))
                })
            }),
            (Self::Truth(wanted), Some(Value::Bool(found))) => wanted == found,
            (Self::Effect(allow), Some(Value::DeviceRule(rule))) => *allow == rule.allow,
            (Self::Limit(count, bound), _) => bound.holds(*count, case)?,
            (Self::MaxBytes(most), Some(Value::Text(text))) => match hidden::value(text) {
                Some((_, length)) => length <= *most,
                None => u64::try_from(text.len()).is_ok_and(|length| length <= *most),
            },
            (Self::Options { require, forbid }, Some(Value::Mount(mount))) => {
                let has = |wanted: &String| mount.options.iter().any(|option| option == wanted);
                require.iter().all(has) && !forbid.iter().any(has)
            }
            (Self::Sha256(digest), Some(Value::Hook(_, hook))) => case.host.sha256(&hook.path)? == *digest,
            (Self::ArgGlobs(globs), Some(Value::Hook(_, hook))) => {
                let args = hook.args.iter().map(|arg| seen(arg)).collect::<Result<Vec<_>, _>>()?;
                globs.len() == args.len() && globs.iter().zip(args).all(|(glob, arg)| glob.is_match(arg))
            }
            (Self::EnvGlobs(globs), Some(Value::Hook(_, hook))) => {
                variables(hook).all(|name| globs.iter().any(|glob| glob.is_match(name)))
            }
            (Self::TimeoutMax(most), Some(Value::Hook(_, hook))) => {
                hook.timeout.as_ref().is_some_and(|timeout| timeout.value <= *most)
            }
            (Self::HostNode(glob), Some(value)) => is_host_node(glob, value, case.host)?,
            (Self::DeviceNumber(patterns), Some(value)) => {
                Number::of(value).is_some_and(|number| patterns.iter().any(|pattern| pattern.covers(number)))
            }
            (Self::FileMode(mode), Some(Value::Device(device))) => {
                device.file_mode.as_ref().is_none_or(|found| found.value & !mode == 0)
            }
            (Self::Uid(ids), Some(Value::Device(device))) => {
                ids.contains(&device.uid.as_ref().map_or(0, |id| id.value))
            }
            (Self::Gid(ids), Some(Value::Device(device))) => {
                ids.contains(&device.gid.as_ref().map_or(0, |id| id.value))
            }
            (Self::Access(allowed), Some(Value::DeviceRule(rule))) => {
                Access::of_rule(&rule.access).is_some_and(|access| access.is_within(*allowed))
            }
            (Self::StartsWith, Some(Value::Args(line))) => {
                requested_line(case).is_some_and(|client| line.starts_with(client))
            }
            (Self::EndsWith, Some(Value::Args(line))) => {
                requested_line(case).is_some_and(|client| line.ends_with(client))
            }
            (Self::Ratio(ratio), Some(Value::Int(quota))) => ratio.holds(*quota, case.period),
            (Self::SubsetOf(of), Some(value)) => is_subset(of, value, case)?,
            (Self::MinCount(least), Some(value)) => id_set(value).is_some_and(|set| set.count() >= *least),
            (Self::Exclude(excluded), Some(value)) => id_set(value).is_some_and(|set| !set.shares(excluded)),
            (Self::Prefix(prefix), Some(Value::Text(path))) => begins_with(&clean(path), prefix),
            _ => false,
        };
        Ok(if holds { Holds::Yes } else { Holds::No })
    }
}

impl Bound {
    /// Whether it depends on the client's value.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        [self.min, self.max].iter().flatten().any(|quantity| quantity.is_relative())
    }

    /// Whether every number of the change is within.
    pub(super) fn holds(&self, count: Count, case: &Case<'_, '_>) -> Result<bool, Unknown> {
        Ok(self.failure(count, case)?.is_none())
    }

    /// What is out of bounds, for people.
    pub(super) fn why_not(&self, count: Count, case: &Case<'_, '_>) -> Option<String> {
        self.failure(count, case).ok().flatten()
    }

    /// Why a number is not within it; `None`: it is.
    pub(super) fn failure(&self, count: Count, case: &Case<'_, '_>) -> Result<Option<String>, Unknown> {
        let Subject::Field(field) = case.change.subject else { return Ok(Some(no_number())) };
        let bounds = table::of(field).bounds;
        let found = looked_at(case.change).map_or(Amounts::NONE, |v| amounts(count, field, bounds, v));
        if found.is_empty() {
            return Ok(Some(no_number()));
        }
        let scale = Scale { count, field, bounds, case };
        for (at, found) in found.0.iter().enumerate().filter_map(|(at, found)| Some((at, (*found)?))) {
            for (quantity, word, exceeds) in [
                (self.max, "above", (|found, limit| found > limit) as fn(Amount, Amount) -> bool),
                (self.min, "below", |found, limit| found < limit),
            ] {
                let Some(quantity) = quantity else { continue };
                match scale.amount(quantity, at)? {
                    Some(limit) if !exceeds(found, limit) => {}
                    Some(limit) => {
                        let relative = match quantity {
                            Quantity::Number(_) => String::new(),
                            _ => format!(" ({quantity})"),
                        };
                        return Ok(Some(format!("{found} is {word} {limit}{relative}")));
                    }
                    None => return Ok(Some(format!("the client has not set what `{quantity}` stands for"))),
                }
            }
        }
        Ok(None)
    }
}

fn no_number() -> String {
    "it has no number to compare with the bound".to_owned()
}

/// What quantities come to for a change.
struct Scale<'c, 'a> {
    count: Count,
    field: Field,
    bounds: Option<Bounds>,
    case: &'c Case<'c, 'a>,
}

impl Scale<'_, '_> {
    /// The limit to compare the number at this place with. `None`: there is none, which violates the rule.
    fn amount(&self, quantity: Quantity, at: usize) -> Result<Option<Amount>, Unknown> {
        Ok(match quantity {
            Quantity::Number(number) => {
                let unlimited = number < 0 && self.bounds.is_some_and(|bounds| bounds.negative_is_unlimited);
                Some(if unlimited { Amount::Unlimited } else { Amount::Finite(number) })
            }
            Quantity::Requested => self.requested(at),
            Quantity::Percent(percent) => self.requested(at).map(|amount| amount.percent(percent)),
            Quantity::Host => Some(Amount::Finite(self.host()?.into())),
        })
    }

    fn requested(&self, at: usize) -> Option<Amount> {
        if !self.case.client_known {
            return None;
        }
        match &self.case.change.client {
            Some(value) => *amounts(self.count, self.field, self.bounds, value).0.get(at)?,
            None => match self.bounds?.unset {
                Unset::Unlimited => Some(Amount::Unlimited),
                Unset::Zero => Some(Amount::Finite(0)),
                Unset::Violated => None,
            },
        }
    }

    fn host(&self) -> Result<u64, Unknown> {
        match self.field {
            Field::PidsLimit => self.case.host.pid_max(),
            Field::Rlimits => {
                let bare = self.case.change.key.trim_start_matches("RLIMIT_");
                self.case.host.hard_limit(&format!("RLIMIT_{bare}"))
            }
            _ => self.case.host.memory_total(),
        }
    }
}

impl Ratio {
    fn holds(self, quota: i64, period: Option<u64>) -> bool {
        const DEFAULT_PERIOD: u64 = 100_000;
        let period = period.filter(|period| *period > 0).unwrap_or(DEFAULT_PERIOD);
        let most = u128::from(self.number) * u128::from(period);
        u128::try_from(quota).is_ok_and(|quota| quota * u128::from(self.of) <= most)
    }
}

impl Words {
    /// The word without the common prefix.
    #[must_use]
    pub fn bare(self, word: &str) -> &str {
        word.strip_prefix(self.prefix).unwrap_or(word)
    }
}

/// The names of a hook's variables.
fn variables(hook: &Hook) -> impl Iterator<Item = &str> {
    hook.env.iter().map(|variable| variable.split_once('=').map_or(variable.as_str(), |(name, _)| name))
}

fn requested_line<'c>(case: &Case<'c, '_>) -> Option<&'c [String]> {
    match &case.change.client {
        Some(Value::Args(line)) if case.client_known && !line.is_empty() => Some(line),
        _ => None,
    }
}

fn id_set(value: &Value<'_>) -> Option<IdSet> {
    ids(value)?.parse().ok()
}

fn is_subset(of: &Ids, value: &Value<'_>, case: &Case<'_, '_>) -> Result<bool, Unknown> {
    let Some(set) = id_set(value) else { return Ok(false) };
    Ok(match of {
        Ids::These(all) => set.is_subset(all),
        Ids::Requested if !case.client_known => false,
        Ids::Requested => match &case.change.client {
            Some(client) => id_set(client).is_some_and(|client| set.is_subset(&client)),
            None => true,
        },
        Ids::Host => {
            let cpus = case.change.subject == Subject::Field(Field::CpuCpus);
            let all = if cpus { case.host.cpus()? } else { case.host.memory_nodes()? };
            all.trim().parse().is_ok_and(|all| set.is_subset(&all))
        }
    })
}

/// Whether a new value is at most as much as the client's (`policy.md` 3, `honour-unless-tighter`).
pub(crate) fn is_at_most_as_much(field: Field, change: &Change<'_>) -> bool {
    let case = Case { change, client_known: true, period: None, host: &NoHost };
    let requested = Some(Quantity::Requested);
    let within = |bound: Bound| bound.holds(Count::Value, &case) == Ok(true);
    let number = field.number().unwrap_or_default();
    change.after.is_some()
        && match (field, &change.after) {
            (Field::CpuCpus | Field::CpuMems, Some(value)) => {
                is_subset(&Ids::Requested, value, &case) == Ok(true)
            }
            (Field::OomScoreAdj, _) => within(Bound { min: requested, max: None }),
            _ if matches!(number, 8..=12 | 16 | 17 | 23 | 24 | 30) => {
                within(Bound { min: None, max: requested })
            }
            _ => false,
        }
}

/// A path that leaves by `..` begins with nothing.
fn begins_with(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']) || prefix.ends_with('/'))
        && !path.split(['/', ':']).any(|part| part == "..")
}

/// A text for a message: not too long, on one line.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    crate::diagnostic::shortened(text)
}

fn shown_value(change: &Change<'_>) -> String {
    match looked_at(change) {
        Some(Value::Text(text)) => format!("{:?}", shown(text)),
        Some(Value::MemoryPolicy(policy)) => format!("{:?}", shown(&policy.nodes)),
        _ => "it".to_owned(),
    }
}
