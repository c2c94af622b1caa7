//! Which change of an answer loosens (`spec/seccomp.md` 2.1), over what filters return. Written from the text alone.

use serde_json::Value;

/// `SECCOMP_RET_ALLOW`
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_KILL_THREAD`
pub const KILL_THREAD: u32 = 0;
/// `SECCOMP_RET_ERRNO | ENOSYS`
pub const ENOSYS: u32 = ERRNO | 38;

const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;

/// The kinds of answers, most restrictive first: the kernel's precedence.
const PRECEDENCE: [u32; 8] = [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, NOTIFY, TRACE, LOG, ALLOW];

/// The settings of a comparison (the `config` of a batch line), and whether the agents differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    exact: bool,
    merged: bool,
    log_ignored: bool,
    ranked: bool,
    fake_allowed: bool,
    other_agent: bool,
}

impl Order {
    /// For a pair of policies (null: none) under these settings.
    #[must_use]
    pub fn new(config: &Value, old: &Value, new: &Value) -> Self {
        let agent = |policy: &Value| {
            let text = |key: &str| policy[key].as_str().unwrap_or_default().to_owned();
            (text("listenerPath"), text("listenerMetadata"))
        };
        Self {
            exact: config["errno"] == "exact",
            merged: config["kill"] == "merged",
            log_ignored: config["log"] == "ignored",
            ranked: config["delegation"] == "rank",
            fake_allowed: config["fake_success"] == "allow",
            other_agent: agent(old) != agent(new),
        }
    }

    /// Whether an answer that was `old` and is `new` loosens.
    #[must_use]
    pub fn loosens(self, old: u32, new: u32) -> bool {
        let kind = |answer: u32| answer & 0xffff_0000;
        let (from, to) = (kind(old), kind(new));
        if new == ERRNO && old != ERRNO && !self.fake_allowed {
            return true;
        }
        if from == to {
            return match from {
                NOTIFY => self.other_agent,
                ERRNO | TRACE => self.exact && old != new,
                _ => false,
            };
        }
        let delegates = match to {
            NOTIFY => [ALLOW, LOG, TRACE].contains(&from),
            TRACE => [ALLOW, LOG].contains(&from),
            _ => false,
        };
        if delegates {
            return !self.ranked;
        }
        let denied = |answer: u32| {
            [KILL_PROCESS, KILL_THREAD, TRAP].contains(&kind(answer))
                || kind(answer) == ERRNO && (answer != ERRNO || self.fake_allowed)
        };
        if self.merged && denied(old) && denied(new) || self.log_ignored && from == LOG && to == ALLOW {
            return false;
        }
        let rank = |kind: u32| PRECEDENCE.iter().position(|other| *other == kind);
        rank(to) > rank(from)
    }

    /// Whether a flag loosens: `SPEC_ALLOW` appears, or `LOG` goes.
    #[must_use]
    pub fn flags_loosen(self, old: &Value, new: &Value) -> bool {
        let has = |policy: &Value, flag: &str| {
            policy["flags"].as_array().is_some_and(|all| all.contains(&flag.into()))
        };
        let speculates = |policy: &Value| {
            policy["flags"].as_array().is_none_or(Vec::is_empty)
                || has(policy, "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
        };
        let logs = |policy: &Value| has(policy, "SECCOMP_FILTER_FLAG_LOG");
        !speculates(old) && speculates(new) || !self.log_ignored && logs(old) && !logs(new)
    }
}
