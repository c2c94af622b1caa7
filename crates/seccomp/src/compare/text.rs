//! What people are told about a "no".

use std::fmt::Write as _;

use crate::compare::group::{Doubt, Pair};
use crate::compare::result::{Call, Counterexample, Side};
use crate::model::Key;
use crate::model::hazard::Hazard;
use crate::term::{Arch, Effect, Flag};

/// Why a counterexample is one.
pub(super) fn counterexample(found: &Counterexample) -> String {
    match found {
        Counterexample::Call(found) => loosened(found),
        Counterexample::Flag { flag, old, new } => changed(*flag, *old, *new),
    }
}

fn loosened(call: &Call) -> String {
    let what = shown(call);
    let (old, new) = (call.old, call.new);
    let answers = match (call.old, call.new) {
        (Effect::Notify, Effect::Notify) => {
            "is handed to an agent by both policies, by the new one to another agent or with other metadata"
                .to_owned()
        }
        _ => format!("is {} by the old policy and {} by the new one", done(old), done(new)),
    };
    let others = if call.unnamed { ", like every system call for which neither has a rule" } else { "" };
    format!("{}: {what} {answers}{others} ({old} -> {new})", call.arch.short())
}

/// The call as in C, arguments in hexadecimal; zeros at the end are left out.
pub(super) fn shown(call: &Call) -> String {
    let mut text = match (&call.syscall, call.nr) {
        (Some(name), Some(_)) => name.clone(),
        (Some(name), None) => format!("{name}, a name that is in no table,"),
        (None, Some(nr)) => format!("system call {nr}"),
        (None, None) => "a system call".to_owned(),
    };
    if call.syscall.is_none() || call.nr.is_none() {
        return text;
    }
    let used = call.args.iter().rposition(|&arg| arg != 0).map_or(0, |last| last + 1);
    text.push('(');
    for (at, arg) in call.args.iter().take(used).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{arg:#x}");
    }
    text.push_str(match used {
        0 => "...)",
        6 => ")",
        _ => ", ...)",
    });
    text
}

fn done(effect: Effect) -> String {
    match effect {
        Effect::KillProcess => "answered with the end of the process".to_owned(),
        Effect::KillThread => "answered with the end of the thread".to_owned(),
        Effect::Trap => "answered with SIGSYS".to_owned(),
        Effect::Errno(0) => "skipped as if it had succeeded".to_owned(),
        Effect::Errno(number) => format!("refused with error {number}"),
        Effect::Notify => "handed to an agent".to_owned(),
        Effect::Trace(_) => "handed to a tracer".to_owned(),
        Effect::Log => "allowed and recorded".to_owned(),
        Effect::Allow => "allowed".to_owned(),
    }
}

fn changed(flag: Flag, old: bool, new: bool) -> String {
    let state = |on: bool| if on { "in force" } else { "not in force" };
    let why = match flag {
        Flag::SpecAllow => {
            "; it switches a mitigation of speculation off, and no flags at all count as this one (name another flag to avoid that)"
        }
        Flag::Log => "; answers are no longer recorded",
        Flag::Tsync | Flag::WaitKillableRecv => "",
    };
    format!("{flag} is {} in the old policy and {} in the new one{why}", state(old), state(new))
}

/// Why something about one syscall cannot be told, and what to do.
pub(super) fn doubt(arch: Arch, key: Key<'_>, pair: &Pair<'_>, doubt: Doubt) -> String {
    let name = key.shown(arch);
    let rules = pair.old.rule_count().max(pair.new.rule_count());
    let advice =
        format!("simplify the conditions on {name}, or have the administrator approve this policy by digest");
    let said = match doubt {
        Doubt::Hazard => hazard(&name, pair),
        Doubt::Rules => format!(
            "{name} has {rules} conditional rules, and together with others that is more than a kernel loads; {advice}"
        ),
        Doubt::Steps => {
            format!("{name} has {rules} conditional rules that take too much work to compare; {advice}")
        }
        Doubt::Unproved => {
            format!(
                "a loosening of {name} that was found did not stand its test, which is a fault of this program"
            )
        }
    };
    format!("{}: {said}", arch.short())
}

/// The side with a letter, the new one if both have some.
fn hazard(name: &str, pair: &Pair<'_>) -> String {
    let (side, hazards) = match pair.new.hazards() {
        hazards if hazards.is_empty() => (Side::Old, pair.old.hazards()),
        hazards => (Side::New, hazards),
    };
    let why: Vec<&str> = hazards.iter().map(Hazard::as_str).collect();
    format!(
        "the {} policy's rules for {name} {}; libseccomp does not compile that reliably, so what it answers is not known",
        side.as_str(),
        why.join(", and ")
    )
}
