//! The same as one JSON object.

use nri_seccomp::lint::Lint;
use nri_seccomp::model::Key;
use nri_seccomp::model::group::Group;
use nri_seccomp::model::hazard::Hazard;
use nri_seccomp::model::rule::{Clause, Rule};
use nri_seccomp::syscall;
use nri_seccomp::term::Arch;
use nri_seccomp::wording;
use serde_json::{Map, Value, json};

use super::Shown;
use crate::seccomp::evidence::effect;

/// The object.
pub(super) fn json(shown: &Shown<'_>) -> Value {
    let Shown { policy, model, outline, lints } = shown;
    let arch = outline.arch;
    let flags = model.flags_in_force();
    let abi = model.abi(arch);
    let mut syscalls = Vec::new();
    for (answer, names) in &outline.always {
        for name in names {
            syscalls.push((
                *name,
                json!({"name": name, "nr": syscall::number(arch, name), "answer": effect(*answer)}),
            ));
        }
    }
    for (name, lines) in &outline.depends {
        let number = syscall::number(arch, name);
        let group = number.and_then(|number| abi.group(Key::Number(number)));
        let rules: Vec<Value> =
            group.iter().flat_map(Group::rules).map(|given| rule(name, given, shown)).collect();
        let letters: Vec<&str> =
            group.iter().flat_map(|group| group.hazards().iter()).map(Hazard::as_str).collect();
        let mut object = json!({"name": name, "nr": number, "rules": rules, "text": lines});
        if let (false, Some(object)) = (letters.is_empty(), object.as_object_mut()) {
            object.insert("hazards".into(), letters.into());
        }
        syscalls.push((*name, object));
    }
    syscalls.sort_by_key(|(name, _)| *name);
    let lint = |lint: &Lint| json!({"path": lint.path, "message": lint.warning.to_string()});
    let lints: Vec<Value> = lints.iter().map(lint).collect();
    json!({
        "version": 1,
        "arch": arch.as_str(),
        "inFilter": abi.is_in_filter(),
        "default": effect(outline.default),
        "architectures": model.archs().map(Arch::as_str).collect::<Vec<_>>(),
        "flags": policy.flags.iter().map(|flag| flag.as_str()).collect::<Vec<_>>(),
        "inForce": {"specAllow": flags.spec_allow, "log": flags.log},
        "listenerPath": policy.listener_path,
        "listenerMetadata": policy.listener_metadata,
        "syscalls": syscalls.into_iter().map(|(_, syscall)| syscall).collect::<Vec<_>>(),
        "asDefault": outline.repeats,
        "absent": outline.absent,
        "unknown": outline.unknown,
        "lints": lints,
    })
}

fn rule(syscall: &str, rule: &Rule, shown: &Shown<'_>) -> Value {
    let arch = shown.outline.arch;
    let conditions: Vec<Value> = rule.clauses.iter().map(condition).collect();
    json!({
        "answer": effect(rule.effect),
        "when": wording::clauses(syscall, &rule.clauses, arch),
        "args": conditions,
    })
}

/// As the OCI spec writes it, with the operands that count on this ABI.
fn condition(clause: &Clause) -> Value {
    let mut condition = Map::new();
    condition.insert("index".into(), clause.argument.into());
    condition.insert("op".into(), clause.operator.as_str().into());
    if clause.operator == nri_seccomp::term::Operator::MaskedEq {
        condition.insert("value".into(), clause.mask.into());
        condition.insert("valueTwo".into(), clause.datum.into());
    } else {
        condition.insert("value".into(), clause.datum.into());
    }
    condition.into()
}
