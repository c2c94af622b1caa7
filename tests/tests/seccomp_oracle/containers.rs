//! What runc and crun really install, and what the kernel does with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use nri_seccomp::model::Key;
use nri_seccomp::term::Arch;
use nri_tests::bundle::{self, possible};
use nri_tests::ours::bin;
use nri_tests::random::Random;
use nri_tests::seccomp::bpf::Call;
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::installed;
use nri_tests::seccomp::library::Driver;
use nri_tests::seccomp::policies::{self, HOSTS, X86_64_TOKEN};
use nri_tests::seccomp::profiles;
use nri_tests::wait::until_some;
use serde_json::{Value, json};

use crate::kit::{Oracle, random, times};
use crate::model::{Count, answer, compare, known, model, read};

/// Syscalls that do no harm whatever their arguments, in a child that ends at once: names, and whether 32-bit programs
/// have them under the same name.
const HARMLESS: &[&str] = &[
    "keyctl",
    "personality",
    "prctl",
    "kcmp",
    "getpriority",
    "socket",
    "eventfd2",
    "epoll_create1",
    "inotify_init1",
    "timerfd_create",
    "sched_get_priority_max",
];

/// Random policies and real ones in containers: the installed filter answers like the model, and so does the kernel.
#[test]
fn what_is_installed() {
    let Some(mut oracle) = Oracle::start() else { return };
    let host = HOSTS[0];
    let real = profiles::all();
    let Some((_, docker)) = real.first() else { return };
    for (runtime, driver) in [("runc", Driver::Runc), ("crun", Driver::Crun)] {
        if !possible(runtime) {
            continue;
        }
        let mut random = random(4);
        let mut count = Count::default();
        let mut executed = 0;
        let free = Container::run(runtime, &Value::Null).outcomes(&calls(&oracle, &mut Random(5)));
        let mut all: Vec<Value> = real.iter().map(|(_, profile)| known(&oracle.library, profile)).collect();
        all.extend((0..times(16)).map(|_| policy(&mut random, &known(&oracle.library, docker))));
        for policy in all {
            if oracle.filter(&policy, host, driver).is_err() {
                // A conflict (hazard D): the container would not start.
                continue;
            }
            let read = read(&policy);
            let model = model(&read, host, driver);
            let mut container = Container::run(runtime, &policy);
            let calls = calls(&oracle, &mut Random(5));
            let outcomes = container.outcomes(&calls);
            let filters = installed::read(container.pid()).unwrap_or_else(|error| panic!("filters: {error}"));
            let [program] = filters.as_slice() else { panic!("{} filters: {policy}", filters.len()) };
            let filter = Filter { program: Some(program.clone()), ..Filter::default() };
            let values = oracle.calls(&[&policy], host);
            if let Err(difference) = compare(&model, &filter, &mut random, &values, 20_000, &mut count) {
                panic!("{runtime}: {difference}\n{policy}");
            }
            for ((call, outcome), free) in calls.iter().zip(&outcomes).zip(&free) {
                let arch = Arch::of_call(call.arch, call.nr).unwrap_or_else(|| panic!("{call}"));
                let group = model.abi(arch).group(Key::Number(call.nr));
                if group.is_some_and(|group| !group.hazards().is_empty()) {
                    continue;
                }
                let Some(effect) = model.evaluate(arch, call.nr, &call.args) else { continue };
                assert_eq!(*outcome, expected(answer(effect), free), "{runtime}: {call} {effect}\n{policy}");
                executed += 1;
            }
        }
        println!("{runtime}: {executed} calls executed, {count:?}");
    }
}

/// A policy under which a program starts and ends, with random rules for harmless calls.
fn policy(random: &mut Random, base: &Value) -> Value {
    let host = HOSTS[0];
    loop {
        let mut policy = policies::policy_for(random, host, HARMLESS);
        let rules = policy["syscalls"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if rules.iter().any(|rule| rule["action"] == "SCMP_ACT_NOTIFY") {
            // There is no listener.
            continue;
        }
        let allowed = base["syscalls"].as_array().into_iter().flatten().filter(|entry| {
            entry["action"] == "SCMP_ACT_ALLOW" && entry["args"].as_array().is_none_or(Vec::is_empty)
        });
        let mut syscalls: Vec<Value> = allowed.cloned().collect();
        for entry in &mut syscalls {
            if let Some(names) = entry["names"].as_array_mut() {
                names.retain(|name| !HARMLESS.iter().any(|harmless| name == harmless));
            }
        }
        // runc needs these after the filter is in, and programs at their start.
        syscalls.push(json!({"names": ["clone", "arch_prctl", "close_range"], "action": "SCMP_ACT_ALLOW"}));
        syscalls.extend(rules);
        for entry in &mut syscalls {
            // crun refuses a number beside other actions.
            if !["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"].iter().any(|action| entry["action"] == *action) {
                entry.as_object_mut().map(|members| members.shift_remove("errnoRet"));
            }
        }
        policy["syscalls"] = syscalls.into();
        if !["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"].iter().any(|action| policy["defaultAction"] == *action) {
            policy.as_object_mut().map(|members| members.shift_remove("defaultErrnoRet"));
        }
        // Old versions of runc take the native architecture into their stub where it is listed, and no flags.
        policy["architectures"] = json!(&host[..1 + random.below(3)]);
        let members = policy.as_object_mut().map(|members| {
            ["flags", "listenerPath", "listenerMetadata"].map(|key| members.shift_remove(key))
        });
        if members.is_some() {
            return policy;
        }
    }
}

/// Harmless calls with values from the domain of random policies, always the same ones.
fn calls(oracle: &Oracle, random: &mut Random) -> Vec<Call> {
    let compat = oracle.library.token("SCMP_ARCH_X86").unwrap_or_default();
    let mut calls = Vec::new();
    for name in HARMLESS {
        for n in 0..8 {
            let (arch, token) =
                if n % 3 == 2 { ("SCMP_ARCH_X86", compat) } else { ("SCMP_ARCH_X86_64", X86_64_TOKEN) };
            let Some(nr) = oracle.library.number(arch, name) else { continue };
            let mut args = [(); 6].map(|()| policies::small_value(random));
            if token == compat {
                args = args.map(|arg| arg & 0xffff_ffff);
            }
            calls.push(Call { arch: token, nr, args });
        }
    }
    calls
}

/// How a call ends that the filter answers so, and that ended like `free` without one.
fn expected(answer: u32, free: &str) -> String {
    match (answer & 0xffff_0000, answer & 0xffff) {
        (0x0005_0000, 0) => "ok".to_owned(),
        (0x0005_0000, errno) => format!("errno {errno}"),
        // Nobody traces it.
        (0x7ff0_0000, _) => "errno 38".to_owned(),
        (0x7fff_0000 | 0x7ffc_0000, _) => free.to_owned(),
        _ => "signal 31".to_owned(),
    }
}

/// A container whose program makes the calls that it is told to.
struct Container {
    runtime: Child,
    input: Option<ChildStdin>,
    folder: tempfile::TempDir,
}

impl Container {
    fn run(runtime: &str, policy: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let program = bin("syscalls");
        bundle::write(folder.path(), policy, &[&program.to_string_lossy()])
            .unwrap_or_else(|error| panic!("no bundle: {error}"));
        let id =
            folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = bundle::command(Path::new(runtime));
        command.arg("--root").arg(folder.path().join("state")).arg("run").arg("--bundle").arg(folder.path());
        command.arg("--pid-file").arg(folder.path().join("pid")).arg(format!("nri-oracle{id}"));
        let error = std::fs::File::create(folder.path().join("error"));
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(error.map_or_else(|_| Stdio::inherit(), Stdio::from))
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{runtime} does not start: {error}"));
        let input = child.stdin.take();
        Self { runtime: child, input, folder }
    }

    fn outcomes(&mut self, calls: &[Call]) -> Vec<String> {
        let mut text = String::new();
        for Call { arch, nr, args: [a, b, c, d, e, f] } in calls {
            let kind = if *arch == X86_64_TOKEN { "native" } else { "compat" };
            text += &format!("{kind} {nr} {a} {b} {c} {d} {e} {f}\n");
        }
        text.push('\n');
        let sent =
            self.input.as_mut().map(|input| input.write_all(text.as_bytes()).and_then(|()| input.flush()));
        let output = self.runtime.stdout.take();
        let lines =
            output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok);
        let outcomes: Vec<String> = lines.take_while(|line| line != "done").collect();
        if outcomes.len() != calls.len() {
            let said = std::fs::read_to_string(self.folder.path().join("error")).unwrap_or_default();
            panic!("{} of {} calls ({sent:?}): {said}\n{}", outcomes.len(), calls.len(), self.config());
        }
        outcomes
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("config.json")).unwrap_or_default()
    }

    /// runc writes it when the program runs already.
    fn pid(&self) -> i32 {
        let read = || std::fs::read_to_string(self.folder.path().join("pid")).ok()?.trim().parse().ok();
        until_some(read, || format!("no pid: {}", self.config()))
    }
}

impl Drop for Container {
    /// The end of its input ends the program, and the runtime removes what was.
    fn drop(&mut self) {
        self.input = None;
        self.runtime.wait().ok();
    }
}
