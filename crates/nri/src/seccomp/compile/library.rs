//! libseccomp, asked as runc and crun ask it (`spec/seccomp.md` 1.1).

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nri_seccomp::bpf::{ByteOrder, Program, Stub};
use nri_seccomp::model::{Model, Reading};
use nri_seccomp::policy::{Condition, Entry, Policy};
use nri_seccomp::settings::{self, Host, Settings};
use nri_seccomp::term::{Effect, Operator};
use rustix::fs::{MemfdFlags, memfd_create};

use super::Runtime;
use crate::failure::Failure;

/// libseccomp takes milliseconds, or never comes back (`spec/seccomp.md` 1.5, A).
const PATIENCE: Duration = Duration::from_secs(10);

/// runc asks for a binary tree above so many names.
const LINEAR_NAMES: usize = 32;

/// The program for a valid policy.
pub(super) fn compile(policy: Policy, runtime: Runtime) -> Result<Program, Failure> {
    let (send, receive) = channel();
    // The process ends with this command, and with it a thread that never would.
    std::thread::Builder::new()
        .name("libseccomp".into())
        .spawn(move || send.send(whole(&policy, runtime)))
        .map_err(|error| Failure::unavailable(format!("cannot start a thread: {error}")))?;
    match receive.recv_timeout(PATIENCE) {
        Ok(result) => {
            result.map_err(|error| Failure::unavailable(format!("libseccomp refuses the policy: {error}")))
        }
        Err(RecvTimeoutError::Timeout) => Err(Failure::unavailable(format!(
            "libseccomp did not come back within {} s, and would hang a runtime, too: rules mix `!=`, `<` or `>` on an earlier argument",
            PATIENCE.as_secs()
        ))),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::unavailable("libseccomp failed")),
    }
}

fn whole(policy: &Policy, runtime: Runtime) -> Result<Program, String> {
    let bytes = filter(policy, runtime)?;
    let program = Program::from_bytes(&bytes, ByteOrder::HERE).map_err(|error| error.to_string())?;
    match runtime {
        Runtime::Crun => Ok(program),
        Runtime::Runc => with_stub(policy, &program),
    }
}

/// With runc's stub in front, whose borders the model knows.
fn with_stub(policy: &Policy, program: &Program) -> Result<Program, String> {
    let (host, settings) =
        (Host::this(), Settings { runtime: settings::Runtime::Runc, ..Settings::default() });
    let model =
        Model::new(Some(policy), &host, &settings, Reading::All).map_err(|invalid| invalid.to_string())?;
    let borders: Vec<_> = model.archs().filter_map(|arch| Some((arch, model.abi(arch).border()?))).collect();
    Stub::before(program, &borders).map_err(|error| error.to_string())
}

/// The array of `struct sock_filter` that libseccomp makes.
fn filter(policy: &Policy, runtime: Runtime) -> Result<Vec<u8>, String> {
    let default = Effect::of(policy.default_action, policy.default_errno);
    let mut context =
        ScmpFilterContext::new(action(default)).map_err(|error| said("the default action", &error))?;
    for arch in &policy.architectures {
        let token: ScmpArch = arch.as_str().parse().map_err(|error| said(arch.as_str(), &error))?;
        // One that is in already is no mistake.
        context.add_arch(token).map_err(|error| said(arch.as_str(), &error))?;
    }
    let names: usize = policy.syscalls.iter().map(|entry| entry.names.len()).sum();
    if runtime == Runtime::Runc && names > LINEAR_NAMES {
        context.set_ctl_optimize(2).map_err(|error| said("the binary tree", &error))?;
    }
    for entry in &policy.syscalls {
        add(&mut context, entry, default, runtime)?;
    }
    let file = memfd_create("program", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?;
    context.export_bpf(&file).map_err(|error| said("the program", &error))?;
    let (mut file, mut bytes) = (File::from(file), Vec::new());
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn add(
    context: &mut ScmpFilterContext,
    entry: &Entry,
    default: Effect,
    runtime: Runtime,
) -> Result<(), String> {
    let effect = Effect::of(entry.action, entry.errno);
    if effect == default {
        return Ok(());
    }
    let read = if runtime == Runtime::Crun { 6 } else { usize::MAX };
    let args: Vec<&Condition> = entry.args.iter().take(read).collect();
    let conditions: Vec<ScmpArgCompare> = args.iter().map(|condition| comparison(condition)).collect();
    // Two conditions on one argument make every one a rule of its own.
    let twice = args
        .iter()
        .enumerate()
        .any(|(at, one)| args.iter().skip(at + 1).any(|other| other.index == one.index));
    let rules: Vec<&[ScmpArgCompare]> =
        if twice { conditions.chunks(1).collect() } else { vec![&conditions] };
    for name in &entry.names {
        // A name that the library does not know is skipped.
        let Ok(number) = ScmpSyscall::from_name(name) else { continue };
        for rule in &rules {
            context.add_rule_conditional(action(effect), number, rule).map_err(|error| said(name, &error))?;
        }
    }
    Ok(())
}

fn comparison(condition: &Condition) -> ScmpArgCompare {
    let Condition { index, value, value_two, op, .. } = condition;
    let (op, datum) = match op {
        Operator::Ne => (ScmpCompareOp::NotEqual, *value),
        Operator::Lt => (ScmpCompareOp::Less, *value),
        Operator::Le => (ScmpCompareOp::LessOrEqual, *value),
        Operator::Eq => (ScmpCompareOp::Equal, *value),
        Operator::Ge => (ScmpCompareOp::GreaterEqual, *value),
        Operator::Gt => (ScmpCompareOp::Greater, *value),
        Operator::MaskedEq => (ScmpCompareOp::MaskedEqual(*value), *value_two),
    };
    ScmpArgCompare::new(*index, op, datum)
}

fn action(effect: Effect) -> ScmpAction {
    match effect {
        Effect::KillProcess => ScmpAction::KillProcess,
        Effect::KillThread => ScmpAction::KillThread,
        Effect::Trap => ScmpAction::Trap,
        Effect::Errno(number) => ScmpAction::Errno(number.into()),
        Effect::Trace(number) => ScmpAction::Trace(number),
        Effect::Allow => ScmpAction::Allow,
        Effect::Log => ScmpAction::Log,
        Effect::Notify => ScmpAction::Notify,
    }
}

fn said(what: &str, error: &dyn std::fmt::Display) -> String {
    format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use nri_seccomp::bpf::{Filters, Stack, compare};
    use nri_seccomp::compare::Relation;
    use serde_json::{Value, json};

    use super::*;

    fn policy(json: &Value) -> Policy {
        Policy::from_json(json).unwrap()
    }

    /// What comes out is what the model says a runtime makes of it, stub and all.
    #[test]
    fn the_model_agrees() {
        let rule = |op: &str, value: u64| json!({"index": 0, "value": value, "valueTwo": 4, "op": op});
        let names: Vec<String> = (0..60).map(|at| format!("name{at}")).collect();
        for json in [
            json!({"defaultAction": "SCMP_ACT_ALLOW"}),
            json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_LOG"}]}),
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
                {"names": ["socket", "mkdir"], "action": "SCMP_ACT_ALLOW", "args": [rule("SCMP_CMP_NE", 40)]},
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [rule("SCMP_CMP_EQ", 8), rule("SCMP_CMP_GT", 1 << 33)]},
                {"names": ["keyctl"], "action": "SCMP_ACT_TRACE", "errnoRet": 7, "args": [rule("SCMP_CMP_MASKED_EQ", 6)]},
                {"names": names, "action": "SCMP_ACT_ALLOW"},
                {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}]}),
        ] {
            let policy = policy(&json);
            let host = Host::this();
            for runtime in [Runtime::Runc, Runtime::Crun] {
                let program = compile(policy.clone(), runtime).unwrap();
                let mut settings = Settings::default();
                settings.set("errno", "exact").unwrap();
                settings.set("runtime", if runtime == Runtime::Runc { "runc" } else { "plain" }).unwrap();
                let model = Model::new(Some(&policy), &host, &settings, Reading::All).unwrap();
                let filters = Filters::read(Stack::new(vec![program]), &host);
                let verdict = compare(&model, &filters, &host, &settings);
                assert_eq!(verdict.relation, Relation::Equal, "{runtime:?} {verdict:?} {json}");
            }
        }
    }

    #[test]
    fn conflicts_are_refused() {
        let when = |action: &str| json!({"names": ["keyctl"], "action": action, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
        let policy = policy(
            &json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [when("SCMP_ACT_ALLOW"), when("SCMP_ACT_LOG")]}),
        );
        let error = compile(policy, Runtime::Crun).unwrap_err().to_string();
        assert!(error.starts_with("libseccomp refuses the policy: keyctl: "), "{error}");
    }
}
