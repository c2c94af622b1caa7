//! Seccomp policies, in the words of the OCI runtime specification.

use nri_wire::api::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};

use super::check::{self, Verdict};

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Goes through.
    Allow,
    /// Fails with this number; `Errno(1)` is EPERM. Numbers above 4095 are cut to 4095 by the kernel.
    Errno(u32),
    /// Goes through and is written to the kernel's log.
    Log,
    /// Is put before the process behind the listener ([`Seccomp::listener`]).
    Notify,
    /// Raises SIGSYS.
    Trap,
    /// Is put before a tracer, with this number.
    Trace(u32),
    /// Kills the thread.
    KillThread,
    /// Kills the process.
    KillProcess,
}

impl Action {
    fn parts(self) -> (&'static str, Option<u32>) {
        match self {
            Self::Allow => ("SCMP_ACT_ALLOW", None),
            Self::Errno(number) => ("SCMP_ACT_ERRNO", Some(number)),
            Self::Log => ("SCMP_ACT_LOG", None),
            Self::Notify => ("SCMP_ACT_NOTIFY", None),
            Self::Trap => ("SCMP_ACT_TRAP", None),
            Self::Trace(number) => ("SCMP_ACT_TRACE", Some(number)),
            Self::KillThread => ("SCMP_ACT_KILL_THREAD", None),
            Self::KillProcess => ("SCMP_ACT_KILL_PROCESS", None),
        }
    }
}

/// How an argument is compared. All comparisons are of unsigned 64-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compare {
    /// Equal.
    Equal(u64),
    /// Not equal.
    NotEqual(u64),
    /// Less.
    Less(u64),
    /// Less or equal.
    LessOrEqual(u64),
    /// Greater.
    Greater(u64),
    /// Greater or equal.
    GreaterOrEqual(u64),
    /// Equal to `value` under `mask`.
    Masked {
        /// The bits that are looked at.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

/// A rule: system calls, what happens to them, and under which conditions on their arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule(LinuxSyscall);

impl Rule {
    /// A rule for these system calls, by name.
    #[must_use]
    pub fn new<S: Into<String>>(action: Action, names: impl IntoIterator<Item = S>) -> Self {
        let (action, number) = action.parts();
        Self(LinuxSyscall {
            names: names.into_iter().map(Into::into).collect(),
            action: action.to_owned(),
            errno_ret: number.map(Into::into),
            args: Vec::new(),
        })
    }

    /// Only where the argument (0 to 5) compares like this; all conditions of a rule must hold.
    #[must_use]
    pub fn when(mut self, argument: u32, compare: Compare) -> Self {
        let (op, value, value_two) = match compare {
            Compare::Equal(value) => ("SCMP_CMP_EQ", value, 0),
            Compare::NotEqual(value) => ("SCMP_CMP_NE", value, 0),
            Compare::Less(value) => ("SCMP_CMP_LT", value, 0),
            Compare::LessOrEqual(value) => ("SCMP_CMP_LE", value, 0),
            Compare::Greater(value) => ("SCMP_CMP_GT", value, 0),
            Compare::GreaterOrEqual(value) => ("SCMP_CMP_GE", value, 0),
            Compare::Masked { mask, value } => ("SCMP_CMP_MASKED_EQ", mask, value),
        };
        self.0.args.push(LinuxSeccompArg { index: argument, value, value_two, op: op.to_owned() });
        self
    }
}

/// A seccomp policy. It replaces the container's whole policy; start from [`Seccomp::from`] the container's own to
/// change it.
///
/// ```
/// use nri_plugin::seccomp::{Action, Rule, Seccomp};
/// let policy = Seccomp::new(Action::Allow)
///     .architecture("SCMP_ARCH_X86_64")
///     .rule(Rule::new(Action::Errno(1), ["mkdir", "mkdirat"]));
/// assert_eq!(policy.message().syscalls.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Seccomp(LinuxSeccomp);

impl Seccomp {
    /// A policy that does this to every system call that no rule is about.
    #[must_use]
    pub fn new(default: Action) -> Self {
        let (action, number) = default.parts();
        Self(LinuxSeccomp {
            default_action: action.to_owned(),
            default_errno: number.map(Into::into),
            ..LinuxSeccomp::default()
        })
    }

    /// One more architecture, `SCMP_ARCH_…`. The native one needs no mention.
    #[must_use]
    pub fn architecture(mut self, architecture: impl Into<String>) -> Self {
        self.0.architectures.push(architecture.into());
        self
    }

    /// One more flag, `SECCOMP_FILTER_FLAG_…`.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.0.flags.push(flag.into());
        self
    }

    /// One more rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.0.syscalls.push(rule.0);
        self
    }

    /// Takes every rule about a system call away; other names in the same rules stay.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        for rule in &mut self.0.syscalls {
            rule.names.retain(|other| other != name);
        }
        self.0.syscalls.retain(|rule| !rule.names.is_empty());
        self
    }

    /// The unix socket to which the runtime hands the listener's descriptor, and a text that goes with it. What
    /// listens there decides on every call with [`Action::Notify`].
    #[must_use]
    pub fn listener(mut self, path: impl Into<String>, metadata: impl Into<String>) -> Self {
        self.0.listener_path = path.into();
        self.0.listener_metadata = metadata.into();
        self
    }

    /// The message behind it.
    #[must_use]
    pub fn message(&self) -> &LinuxSeccomp {
        &self.0
    }

    /// What no OCI runtime would take. An action without an answer of its own (NOTIFY as default) is its affair.
    pub(super) fn verdict(&self) -> Verdict {
        let policy = &self.0;
        let prefix = |name: &String, start| name.starts_with(start);
        if !policy.default_action.starts_with("SCMP_ACT_") {
            return Some("must have a default action `SCMP_ACT_…`");
        }
        if !policy.architectures.iter().all(|name| prefix(name, "SCMP_ARCH_")) {
            return Some("must name architectures as `SCMP_ARCH_…`");
        }
        if !policy.flags.iter().all(|name| prefix(name, "SECCOMP_FILTER_FLAG_")) {
            return Some("must name flags as `SECCOMP_FILTER_FLAG_…`");
        }
        if policy.listener_path.is_empty() && !policy.listener_metadata.is_empty() {
            return Some("must have a listener for its listener metadata");
        }
        let listener =
            if policy.listener_path.is_empty() { None } else { check::absolute(&policy.listener_path) };
        listener.or_else(|| policy.syscalls.iter().find_map(rule))
    }
}

impl From<LinuxSeccomp> for Seccomp {
    fn from(message: LinuxSeccomp) -> Self {
        Self(message)
    }
}

impl From<Seccomp> for LinuxSeccomp {
    fn from(policy: Seccomp) -> Self {
        policy.0
    }
}

fn rule(rule: &LinuxSyscall) -> Verdict {
    let right = !rule.names.is_empty()
        && rule.names.iter().all(|name| !name.is_empty())
        && rule.args.iter().all(|arg| arg.index < 6);
    (!right).then_some("must name a system call in every rule, and arguments from 0 to 5")
}
