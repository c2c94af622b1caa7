//! What runtimes refuse (`spec/seccomp.md` 1.1), found before a container is made to fail by it.

use crate::policy::{Entry, Invalid, Policy, Reason};
use crate::term::{Action, Effect};

/// Syscalls have six arguments.
const ARGUMENTS: u32 = 6;
/// libseccomp takes error numbers below this one (`spec/seccomp.md` 1.1, step 1).
const ERRNO_END: u16 = 4095;

impl Policy {
    /// Whether a runtime can load this. Every entry is looked at, also one that has no effect.
    ///
    /// # Errors
    /// The first offence.
    ///
    /// ```
    /// use nri_seccomp::policy::{Entry, Policy};
    /// use nri_seccomp::term::Action;
    /// let mut policy = Policy::new(Action::Allow);
    /// policy.syscalls.push(Entry::new(["mkdir"], Action::Notify));
    /// assert_eq!(policy.check().unwrap_err().to_string(), "syscalls[0].action: SCMP_ACT_NOTIFY needs listenerPath");
    /// ```
    pub fn check(&self) -> Result<(), Invalid> {
        if self.default_action == Action::Notify {
            return Err(Invalid::at("defaultAction", Reason::NotifyByDefault));
        }
        errno(self.default_effect(), self.default_errno)
            .map_err(|reason| Invalid::at("defaultErrnoRet", reason))?;
        self.syscalls.iter().enumerate().try_for_each(|(at, entry)| {
            self.check_entry(entry)
                .map_err(|(member, reason)| Invalid::at(format!("syscalls[{at}].{member}"), reason))
        })
    }

    fn check_entry(&self, entry: &Entry) -> Result<(), (String, Reason)> {
        if let Some(at) = entry.names.iter().position(String::is_empty) {
            return Err((format!("names[{at}]"), Reason::EmptyName));
        }
        errno(entry.effect(), entry.errno).map_err(|reason| ("errnoRet".to_owned(), reason))?;
        if let Some((at, arg)) = entry.args.iter().enumerate().find(|(_, arg)| arg.index >= ARGUMENTS) {
            return Err((format!("args[{at}].index"), Reason::Index(arg.index)));
        }
        if entry.action == Action::Notify {
            if let Some(at) = entry.names.iter().position(|name| name == "write") {
                return Err((format!("names[{at}]"), Reason::NotifyOnWrite));
            }
            if self.listener_path.is_none() {
                return Err(("action".to_owned(), Reason::NoListener));
            }
        }
        Ok(())
    }
}

fn errno(effect: Effect, number: Option<u32>) -> Result<(), Reason> {
    match (effect, number) {
        (Effect::Errno(cut), Some(number)) if cut >= ERRNO_END => Err(Reason::Errno(number)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(json: &Value) -> Result<(), String> {
        Policy::from_json(json).unwrap().check().map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn refused() {
        let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        for (json, expect) in [
            (json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/l"}), "defaultAction: "),
            (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}), "defaultErrnoRet: "),
            (rule(json!({"names": ["a", ""], "action": "SCMP_ACT_LOG"})), "syscalls[0].names[1]: "),
            // Also where the entry equals the default action and has no effect.
            (rule(json!({"names": [""], "action": "SCMP_ACT_ALLOW"})), "syscalls[0].names[0]: "),
            (
                rule(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65535})),
                "syscalls[0].errnoRet: ",
            ),
            (
                rule(
                    json!({"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}),
                ),
                "syscalls[0].args[0].index: ",
            ),
            (rule(json!({"names": ["a"], "action": "SCMP_ACT_NOTIFY"})), "syscalls[0].action: "),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/l", "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}),
                "syscalls[0].names[0]: ",
            ),
        ] {
            let error = check(&json).unwrap_err();
            assert!(error.starts_with(expect), "{json}: {error}");
        }
    }

    #[test]
    fn accepted() {
        for json in [
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536}),
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4094}),
            json!({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 5000}),
            json!({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 5000}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/l", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}),
        ] {
            assert_eq!(check(&json), Ok(()), "{json}");
        }
    }
}
