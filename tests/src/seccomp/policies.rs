//! Random policies, edits of others, and calls that hit the values in them.
//!
//! Few names, few values, few arguments: rules shall overlap, shadow and contradict each other.

use serde_json::{Value, json};

use super::bpf::Call;
use crate::random::Random;

/// A machine: the architectures whose calls its kernel takes, native first.
pub const HOSTS: &[&[&str]] = &[
    &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    &["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
    &["SCMP_ARCH_PPC64LE"],
    &["SCMP_ARCH_RISCV64"],
    &["SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"],
];

/// Names that are on every ABI, on some, behind `socketcall` and `ipc`, and nowhere.
const NAMES: &[&str] = &[
    "keyctl",
    "prctl",
    "clone",
    "ioctl",
    "personality",
    "kcmp",
    "socket",
    "connect",
    "accept",
    "accept4",
    "send",
    "recvfrom",
    "socketcall",
    "semop",
    "semtimedop",
    "shmat",
    "msgget",
    "ipc",
    "ptrace",
    "stime",
    "arch_prctl",
    "waitpid",
    "open",
    "vm86",
    "cacheflush",
    "futex_time64",
    "openat2",
    "getpid",
    "write",
    "no_such_call",
];

/// Names of socket and System V IPC calls that have a number behind `socketcall` or `ipc`.
pub const BEHIND_SOCKETCALL_OR_IPC: &[&str] = &[
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

const VALUES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    40,
    0x7e02_0000,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0005,
    0x2_0000_0003,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: &[&str] = &["EQ", "NE", "MASKED_EQ", "LT", "LE", "GT", "GE"];

/// What kind of conditions a policy has. Nearly all policies of the last kind have a hazard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taste {
    /// `EQ` and `MASKED_EQ`, on up to three arguments.
    Equal,
    /// One condition a rule.
    Single,
    /// Values of 32 bits, the other operators on the last condition.
    Small,
    /// Anything.
    Wild,
}

/// A random policy for a machine.
#[must_use]
pub fn policy(random: &mut Random, host: &[&str]) -> Value {
    policy_for(random, host, NAMES)
}

/// A random policy with rules for some of these names.
#[must_use]
pub fn policy_for(random: &mut Random, host: &[&str], names: &[&str]) -> Value {
    let taste = *random.pick(&[Taste::Equal, Taste::Single, Taste::Small, Taste::Small, Taste::Wild]);
    let names: Vec<&str> = (0..1 + random.below(5)).map(|_| *random.pick(names)).collect();
    let mut actions: Vec<&str> = (0..1 + random.below(3)).map(|_| *random.pick(ACTIONS)).collect();
    let default = loop {
        let default = *random.pick(ACTIONS);
        if default != "SCMP_ACT_NOTIFY" {
            break default;
        }
    };
    if random.once_in(4) {
        // A rule for the default action is dropped, unless its number differs.
        actions.push(default);
    }
    let count = *random.pick(&[1, 2, 3, 4, 6, 10, 40]);
    let syscalls: Vec<Value> = (0..count).map(|_| entry(random, taste, &names, &actions)).collect();
    let mut policy = json!({"defaultAction": default, "syscalls": syscalls});
    if random.once_in(4) {
        policy["defaultErrnoRet"] = number(random);
    }
    let archs: Vec<&str> = host.iter().copied().filter(|_| !random.once_in(3)).collect();
    if !archs.is_empty() {
        policy["architectures"] = json!(archs);
    }
    policy["listenerPath"] = "/run/a.sock".into();
    decorate(random, &mut policy);
    policy
}

/// What does not show in the program.
fn decorate(random: &mut Random, policy: &mut Value) {
    let flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"];
    if random.once_in(6) {
        policy["flags"] = json!([*random.pick(&flags)]);
    }
    if random.once_in(8) {
        policy["listenerPath"] = "/run/b.sock".into();
    }
    if random.once_in(12) {
        policy["listenerMetadata"] = "m".into();
    }
}

fn number(random: &mut Random) -> Value {
    json!(*random.pick(&[0u32, 1, 2, 38, 65536, 65537]))
}

fn entry(random: &mut Random, taste: Taste, names: &[&str], actions: &[&str]) -> Value {
    let mut entry = json!({"action": *random.pick(actions)});
    let mut chosen: Vec<&str> = (0..1 + random.below(2)).map(|_| *random.pick(names)).collect();
    if entry["action"] == "SCMP_ACT_NOTIFY" {
        // runc and youki need it for themselves.
        chosen.retain(|name| *name != "write");
    }
    entry["names"] = json!(chosen);
    if random.once_in(4) {
        entry["errnoRet"] = number(random);
    }
    let most = if taste == Taste::Single { 1 } else { 3 };
    let mut count = if random.once_in(6) { 0 } else { 1 + random.below(most) };
    if taste == Taste::Wild && random.once_in(20) {
        count = 7;
    }
    let mut conditions: Vec<Value> = Vec::new();
    for at in 0..count {
        let one = condition(random, taste, at + 1 == count);
        // Mostly an argument once: twice means "or".
        if random.once_in(8) || !conditions.iter().any(|other| other["index"] == one["index"]) {
            conditions.push(one);
        }
    }
    if taste != Taste::Wild {
        conditions.sort_by_key(|condition| condition["index"].as_u64());
        let last = conditions.len().saturating_sub(1);
        for condition in conditions.iter_mut().take(last) {
            if !condition["op"].as_str().unwrap_or_default().ends_with("EQ") {
                condition["op"] = "SCMP_CMP_EQ".into();
            }
        }
    }
    if !conditions.is_empty() {
        entry["args"] = conditions.into();
    }
    entry
}

fn condition(random: &mut Random, taste: Taste, last: bool) -> Value {
    let ordered = match taste {
        Taste::Equal => false,
        Taste::Single | Taste::Wild => true,
        Taste::Small => last,
    };
    let op = *random.pick(if ordered { OPERATORS } else { &["EQ", "EQ", "MASKED_EQ"] });
    let mut condition =
        json!({"index": *random.pick(&[0, 0, 0, 1, 1, 2, 5]), "op": format!("SCMP_CMP_{op}")});
    condition["value"] = value(random, taste).into();
    if op == "MASKED_EQ" || random.once_in(10) {
        condition["valueTwo"] = value(random, taste).into();
    }
    condition
}

/// A value such as random policies have, of 32 bits.
pub fn small_value(random: &mut Random) -> u64 {
    VALUES[random.below(9)]
}

fn value(random: &mut Random, taste: Taste) -> u64 {
    match taste {
        Taste::Small => small_value(random),
        _ if random.once_in(2) => VALUES[random.below(7)],
        _ => *random.pick(VALUES),
    }
}

/// A policy with one to three small changes: what a careless or a cunning author would do.
#[must_use]
pub fn edited(random: &mut Random, policy: &Value, host: &[&str]) -> Value {
    let mut policy = policy.clone();
    for _ in 0..1 + random.below(3) {
        edit(random, &mut policy, host);
    }
    policy
}

fn edit(random: &mut Random, policy: &mut Value, host: &[&str]) {
    match random.below(12) {
        0 => decorate(random, policy),
        1 if random.once_in(3) => policy["defaultErrnoRet"] = number(random),
        1 => policy["architectures"] = json!(&host[..random.below(host.len() + 1)]),
        2 if random.once_in(3) => {
            let action = *random.pick(ACTIONS);
            if action != "SCMP_ACT_NOTIFY" {
                policy["defaultAction"] = action.into();
            }
        }
        choice => {
            let Some(entries) = policy["syscalls"].as_array_mut() else { return };
            if entries.is_empty() || choice < 4 {
                let taste = *random.pick(&[Taste::Single, Taste::Small]);
                let name = match entries.get(random.below(entries.len())) {
                    Some(entry) if !random.once_in(3) => {
                        entry["names"][0].as_str().unwrap_or("keyctl").to_owned()
                    }
                    _ => (*random.pick(NAMES)).to_owned(),
                };
                let action = [*random.pick(ACTIONS)];
                let at = random.below(entries.len() + 1);
                entries.insert(at, entry(random, taste, &[&name], &action));
            } else {
                edit_one(random, choice, entries);
            }
        }
    }
    no_notify_on_write(policy);
    if policy["listenerPath"].is_null() && policy.to_string().contains("SCMP_ACT_NOTIFY") {
        policy["listenerPath"] = "/run/a.sock".into();
    }
}

fn edit_one(random: &mut Random, choice: usize, entries: &mut Vec<Value>) {
    let at = random.below(entries.len());
    match choice {
        4 => drop(entries.remove(at)),
        5 => {
            let entry = entries[at].clone();
            entries.push(entry);
        }
        6 => {
            let other = random.below(entries.len());
            entries.swap(at, other);
        }
        _ => edit_entry(random, choice, &mut entries[at]),
    }
}

fn edit_entry(random: &mut Random, choice: usize, entry: &mut Value) {
    let arguments = entry["args"].as_array().map_or(0, Vec::len);
    match choice {
        7 => {
            if let Some(names) = entry["names"].as_array_mut() {
                let at = random.below(names.len());
                if names.len() > 1 {
                    names.remove(at);
                }
            }
        }
        8 if random.once_in(2) => entry["action"] = (*random.pick(ACTIONS)).into(),
        8 => entry["errnoRet"] = number(random),
        9 if arguments > 0 => {
            let condition = &mut entry["args"][random.below(arguments)];
            condition["op"] = format!("SCMP_CMP_{}", random.pick(OPERATORS)).into();
        }
        10 if arguments > 0 => {
            let condition = &mut entry["args"][random.below(arguments)];
            let value = condition["value"].as_u64().unwrap_or(0);
            let value = if random.once_in(2) { value.wrapping_add(1) } else { value.wrapping_sub(1) };
            condition["value"] = value.into();
        }
        _ => {
            let condition = condition(random, Taste::Small, true);
            match entry["args"].as_array_mut() {
                Some(list) => list.push(condition),
                None => entry["args"] = json!([condition]),
            }
        }
    }
}

/// Such a policy is invalid, and nothing more is learnt from it.
fn no_notify_on_write(policy: &mut Value) {
    for entry in policy["syscalls"].as_array_mut().into_iter().flatten() {
        if entry["action"] == "SCMP_ACT_NOTIFY"
            && let Some(names) = entry["names"].as_array_mut()
        {
            names.retain(|name| name != "write");
        }
    }
}

/// The names in a policy.
#[must_use]
pub fn names(policy: &Value) -> Vec<&str> {
    let entries = policy["syscalls"].as_array().into_iter().flatten();
    let mut names: Vec<&str> = entries
        .flat_map(|entry| entry["names"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What calls of some policies are made of.
pub struct Calls {
    /// `AUDIT_ARCH_…` and the numbers worth trying there.
    points: Vec<(u32, Vec<u32>)>,
    values: Vec<u64>,
}

/// What tells an x32 call from one of x86_64.
pub const X32_BIT: u32 = 1 << 30;

/// The token of x32, which calls do not carry.
pub const X32_TOKEN: u32 = 0x4000_003e;

/// `AUDIT_ARCH_X86_64`
pub const X86_64_TOKEN: u32 = 0xc000_003e;

impl Calls {
    /// For these policies on a machine; `number` and `token` come from libseccomp.
    pub fn new(
        policies: &[&Value],
        host: &[&str],
        token: impl Fn(&str) -> Option<u32>,
        number: impl Fn(&str, &str) -> Option<u32>,
    ) -> Self {
        let names: Vec<&str> = policies.iter().flat_map(|policy| names(policy)).collect();
        let mut points = Vec::new();
        for arch in host {
            let Some(token) = token(arch) else { continue };
            let mut numbers: Vec<u32> = names.iter().filter_map(|name| number(arch, name)).collect();
            numbers.extend(["socketcall", "ipc"].iter().filter_map(|name| number(arch, name)));
            let bit = if token == X32_TOKEN { X32_BIT } else { 0 };
            numbers.extend([0, 39, 500, 100_000].map(|nr| nr | bit));
            numbers.sort_unstable();
            numbers.dedup();
            points.push((if token == X32_TOKEN { X86_64_TOKEN } else { token }, numbers));
        }
        let mut values = vec![0, 1];
        for condition in policies
            .iter()
            .flat_map(|policy| policy["syscalls"].as_array().into_iter().flatten())
            .flat_map(|entry| entry["args"].as_array().into_iter().flatten())
        {
            for key in ["value", "valueTwo"] {
                values.extend(condition[key].as_u64());
            }
        }
        values.sort_unstable();
        values.dedup();
        Self { points, values }
    }

    /// Numbers that are worth trying, by `AUDIT_ARCH_…`.
    #[must_use]
    pub fn points(&self) -> &[(u32, Vec<u32>)] {
        &self.points
    }

    /// A call.
    pub fn any(&self, random: &mut Random) -> Call {
        let (arch, numbers) = random.pick(&self.points);
        let nr = match random.below(20) {
            0 => numbers[random.below(numbers.len())] ^ 1,
            1 => u32::try_from(random.below(600)).unwrap_or(0),
            _ => *random.pick(numbers),
        };
        Call { arch: *arch, nr, args: self.arguments(random) }
    }

    /// Arguments near the values of the policies.
    pub fn arguments(&self, random: &mut Random) -> [u64; 6] {
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = self.argument(random);
        }
        args
    }

    fn argument(&self, random: &mut Random) -> u64 {
        let (one, other) = (*random.pick(&self.values), *random.pick(&self.values));
        match random.below(16) {
            0 => one.wrapping_add(1),
            1 => one.wrapping_sub(1),
            2 => !one,
            3 => one | other,
            4 => one & other,
            5 => one ^ other,
            // The halves of two.
            6 => (one << 32) | (other & 0xffff_ffff),
            7 => (one & !0xffff_ffff) | (other & 0xffff_ffff),
            8 => one ^ (1 << random.below(64)),
            9 => random.next(),
            10 => one | (random.next() & other),
            _ => one,
        }
    }
}
