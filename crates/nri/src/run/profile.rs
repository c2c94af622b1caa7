//! The default seccomp policy of `nri run`: an allow-list of our own, written from the facts of `spec/seccomp.md` 4.
//!
//! The rules stand in `default-seccomp.json`. Like the profiles of container engines they are resolved for the
//! capabilities that the container starts with; a plugin that changes those later does not change the policy.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

const RULES: &str = include_str!("default-seccomp.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: String,
    default_errno_ret: u32,
    architectures: std::collections::BTreeMap<String, Vec<String>>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    /// Why the rule is there; for readers only.
    #[serde(default, rename = "comment")]
    _comment: String,
    names: Vec<String>,
    #[serde(default)]
    args: Vec<Value>,
    action: Option<String>,
    errno_ret: Option<u32>,
    /// The rule counts when one of these is in the bounding set.
    #[serde(default)]
    caps: Vec<String>,
    /// The rule does not count when one of these is in the bounding set.
    #[serde(default)]
    unless_caps: Vec<String>,
    /// The rule counts on this architecture only.
    arch: Option<String>,
}

impl Rule {
    fn counts(&self, capabilities: &[&str], arch: &str) -> bool {
        let any = |names: &[String]| names.iter().any(|name| capabilities.contains(&name.as_str()));
        (self.caps.is_empty() || any(&self.caps))
            && !any(&self.unless_caps)
            && self.arch.as_deref().is_none_or(|own| own == arch)
    }

    fn resolved(self) -> Value {
        let mut rule = Map::new();
        rule.insert("names".into(), json!(self.names));
        rule.insert("action".into(), json!(self.action.unwrap_or_else(|| "SCMP_ACT_ALLOW".into())));
        if let Some(errno) = self.errno_ret {
            rule.insert("errnoRet".into(), json!(errno));
        }
        if !self.args.is_empty() {
            rule.insert("args".into(), json!(self.args));
        }
        Value::Object(rule)
    }
}

/// The policy, as `linux.seccomp` of an OCI spec, for a container with these capabilities on this architecture
/// (as `std::env::consts::ARCH` names it).
///
/// # Errors
/// The built-in data file is broken, which a test excludes.
pub(crate) fn resolve(capabilities: &[&str], arch: &str) -> Result<Value, Failure> {
    let profile: Profile = serde_json::from_str(RULES)
        .map_err(|error| Failure::unavailable(format!("the built-in seccomp policy is broken: {error}")))?;
    let rules: Vec<Value> = profile
        .rules
        .into_iter()
        .filter(|rule| rule.counts(capabilities, arch))
        .map(Rule::resolved)
        .collect();
    let mut policy =
        json!({ "defaultAction": profile.default_action, "defaultErrnoRet": profile.default_errno_ret });
    if let (Some(policy), Some(architectures)) = (policy.as_object_mut(), profile.architectures.get(arch)) {
        policy.insert("architectures".into(), json!(architectures));
    }
    if let Some(policy) = policy.as_object_mut() {
        policy.insert("syscalls".into(), Value::Array(rules));
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(capabilities: &[&str], syscall: &str, expect: &[(&str, bool)]) {
        let policy = resolve(capabilities, "x86_64").unwrap();
        let found: Vec<(String, bool)> = policy["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["names"].as_array().unwrap().iter().any(|name| name == syscall))
            .map(|rule| (rule["action"].as_str().unwrap().to_owned(), rule.get("args").is_some()))
            .collect();
        let found: Vec<(&str, bool)> = found.iter().map(|(action, args)| (action.as_str(), *args)).collect();
        assert_eq!(found, expect, "{syscall} with {capabilities:?}");
    }

    /// `spec/seccomp.md` 4: what is allowed, for whom, and under conditions.
    #[test]
    fn rules_follow_the_capabilities() {
        const ALLOW: &str = "SCMP_ACT_ALLOW";
        check(&[], "mkdir", &[(ALLOW, false)]);
        check(&[], "keyctl", &[]);
        check(&[], "mount", &[]);
        check(&["CAP_SYS_ADMIN"], "mount", &[(ALLOW, false)]);
        check(&[], "clone", &[(ALLOW, true)]);
        check(&["CAP_SYS_ADMIN"], "clone", &[(ALLOW, false)]);
        check(&[], "clone3", &[("SCMP_ACT_ERRNO", false)]);
        check(&["CAP_SYS_ADMIN"], "clone3", &[(ALLOW, false)]);
        check(&["CAP_SYS_CHROOT"], "chroot", &[(ALLOW, false)]);
        check(&[], "chroot", &[]);
        check(&[], "personality", &[(ALLOW, true); 5]);
        check(&[], "io_uring_setup", &[]);
        check(&[], "kexec_load", &[]);
    }

    #[test]
    fn architectures() {
        assert_eq!(resolve(&[], "aarch64").unwrap()["architectures"][0], "SCMP_ARCH_AARCH64");
        assert!(resolve(&[], "riscv64").unwrap().get("architectures").is_none());
    }

    /// A name twice in the list of unconditional rules would be a slip of the editor.
    #[test]
    fn no_name_is_listed_twice() {
        let policy = resolve(&[], "x86_64").unwrap();
        let names: Vec<&Value> = policy["syscalls"][0]["names"].as_array().unwrap().iter().collect();
        let unique: std::collections::BTreeSet<&str> =
            names.iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(unique.len(), names.len());
    }
}
