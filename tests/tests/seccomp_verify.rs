//! `nri seccomp verify` on live processes and containers: what it finds, what stands in its way, and that the process goes on.

#![expect(unsafe_code, reason = "no crate of ours wraps ptrace")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nri_seccomp::bpf::Instruction;
use nri_tests::bundle::{self, possible};
use nri_tests::ours::nri;
use nri_tests::seccomp::install;
use nri_tests::wait::{until, until_some};
use nri_tests::{is_root, skipped};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// `mkdir` is ERRNO(n), on x86_64 and on aarch64 (`mkdirat`); everything else is allowed.
fn no_mkdir(errno: u32) -> Vec<Instruction> {
    let (audit, number) = if cfg!(target_arch = "aarch64") { (0xc000_00b7, 34) } else { (0xc000_003e, 83) };
    let op = |code, k, jt, jf| Instruction { code, jt, jf, k };
    vec![
        op(0x20, 4, 0, 0),
        op(0x15, audit, 0, 3),
        op(0x20, 0, 0, 0),
        op(0x15, number, 0, 1),
        op(0x06, 0x0005_0000 | errno, 0, 0),
        op(0x06, 0x7fff_0000, 0, 0),
    ]
}

/// The policy for it, but that the other ABIs are not in the filter of a policy.
fn policy(errno: u32) -> Value {
    let name = if cfg!(target_arch = "aarch64") { "mkdirat" } else { "mkdir" };
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]})
}

fn ready() -> bool {
    let possible = is_root() && Path::new("/proc/self/status").exists();
    if !possible {
        skipped("reading filters of live processes needs root");
    }
    possible
}

/// A process that says something all the time.
struct Talker {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Talker {
    fn start(filters: &[&[Instruction]]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do echo on || exit; sleep 0.002; done"]);
        install::before_exec(&mut command, filters);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut talker = Self { child, lines };
        talker.goes_on();
        talker
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// It says more than what may have been in the pipe.
    fn goes_on(&mut self) {
        let mut said = String::new();
        while said.len() < 200 {
            assert_ne!(self.lines.read_line(&mut said).unwrap(), 0, "the process has ended");
        }
        let status = status(self.pid());
        assert!(status.contains("TracerPid:\t0"), "{status}");
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn status(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// The exit code, stdout and stderr of `nri seccomp verify`.
fn verify(args: &[&str], policy: Option<&Value>) -> (i32, String, String) {
    run(Command::new(nri()).args(["seccomp", "verify"]).args(args), policy)
}

fn run(command: &mut Command, policy: Option<&Value>) -> (i32, String, String) {
    if policy.is_some() {
        command.args(["--against", "-"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    if let Some(policy) = policy {
        // One that fails early does not read it.
        input.write_all(policy.to_string().as_bytes()).ok();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_is_found() {
    if !ready() {
        return;
    }
    let one = no_mkdir(1);
    let mut talker = Talker::start(&[&one]);
    let pid = talker.pid().to_string();
    // The filter lets the calls of other ABIs through, which a policy's does not.
    let arch = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    let native = ["--arch", arch];
    let check = |more: &[&str], policy: Option<&Value>, code: i32, result: Value, relation: Value| {
        let args = [&[&*pid, "-o", "json"][..], more].concat();
        let (got, json, error) = verify(&args, policy);
        assert_eq!(got, code, "{json}{error}");
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["result"], &json["relation"]), (&result, &relation), "{json}");
        assert_eq!((&json["mode"], &json["filters"][0]["instructions"]), (&json!("filter"), &json!(6)));
        assert_eq!(json["counterexample"].is_object(), code == 1);
    };
    check(&[], None, 0, Value::Null, Value::Null);
    check(&native, Some(&policy(1)), 0, json!("adherent"), json!("equal"));
    check(&native, Some(&policy(13)), 0, json!("adherent"), json!("equal"));
    check(
        &[&native[..], &["--errno", "exact"]].concat(),
        Some(&policy(13)),
        1,
        json!("differs"),
        json!("incomparable"),
    );
    check(&[], Some(&Value::Null), 0, json!("adherent"), json!("tighter"));
    check(&native, Some(&json!({"defaultAction": "SCMP_ACT_ERRNO"})), 1, json!("differs"), json!("looser"));
    if arch == "x86_64" {
        check(&[], Some(&policy(1)), 1, json!("differs"), json!("looser"));
    }
    let lost = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]});
    check(&native, Some(&lost), 1, json!("differs"), json!("incomparable"));
    talker.goes_on();
    let (code, text, _) = verify(&[&pid, "--arch", arch], Some(&policy(1)));
    assert_eq!(code, 0);
    assert!(
        text.contains("1 filter\n") && text.contains("adherent: the filters do what the policy says"),
        "{text}"
    );
}

/// Several filters are one: the strictest answer, and the number of the one installed last.
#[test]
fn several_filters() {
    if !ready() {
        return;
    }
    let (first, mut then) = (no_mkdir(1), no_mkdir(2));
    then.push(then[5]);
    let talker = Talker::start(&[&first, &then]);
    let pid = talker.pid().to_string();
    let arch = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    for (errno, expect) in [(2, 0), (1, 1)] {
        let (code, json, error) =
            verify(&[&pid, "-o", "json", "--errno", "exact", "--arch", arch], Some(&policy(errno)));
        assert_eq!(code, expect, "{json}{error}");
        let json: Value = serde_json::from_str(&json).unwrap();
        let lengths: Vec<&Value> =
            json["filters"].as_array().unwrap().iter().map(|one| &one["instructions"]).collect();
        assert_eq!(lengths, [&json!(7), &json!(6)]);
    }
}

/// A process without filters is unconfined; threads that differ are said, and then it cannot be told.
#[test]
fn threads() {
    let own = std::process::id().to_string();
    let (code, _, error) = verify(&[&own], Some(&json!({"defaultAction": "SCMP_ACT_ERRNO"})));
    assert_eq!(code, 1, "{error}");
    let (installed, wait) = channel();
    let (go, stay) = channel::<()>();
    let thread = std::thread::spawn(move || {
        install::here(&no_mkdir(1)).unwrap();
        installed.send(()).unwrap();
        stay.recv().ok();
    });
    wait.recv().unwrap();
    let (code, text, error) = verify(&[&own], Some(&Value::Null));
    assert_eq!(code, 4, "{text}{error}");
    assert!(text.contains("unknown: 1 of "), "{text}");
    drop(go);
    thread.join().unwrap();
}

#[test]
fn what_stands_in_the_way() {
    let check = |args: &[&str], code: i32, said: &str| {
        let (got, _, error) = verify(args, None);
        assert_eq!(got, code, "{error}");
        assert!(error.starts_with("error: ") && error.contains(said), "{error}");
    };
    check(&[], 2, "required");
    check(&["0"], 2, "invalid value");
    check(&["2147483647"], 3, "there is no process 2147483647");
    check(&["--container", "no-such-container"], 3, "no container");
    check(&["--container", "../x"], 2, "invalid container id");
    check(&["--container", "x", "1"], 2, "cannot be used with");
    let (code, _, error) = verify(&["1"], Some(&json!({"defaultAction": "SCMP_ACT_FOO"})));
    assert_eq!((code, error.contains("stdin: ")), (2, true), "{error}");
    if !ready() {
        return;
    }
    let mut talker = Talker::start(&[&no_mkdir(1)]);
    let pid = talker.pid().to_string();
    let refused = |mut command: Command, said: &str| {
        let (code, _, error) = run(&mut command, Some(&policy(1)));
        assert_eq!((code, error.contains(said)), (3, true), "{error}");
    };
    let mut confined = Command::new(nri());
    confined.args(["seccomp", "verify", &pid]);
    install::before_exec(&mut confined, &[&no_mkdir(1)]);
    refused(confined, "under none itself");
    let mut weak = Command::new("setpriv");
    weak.arg("--bounding-set=-sys_admin").arg(nri()).args(["seccomp", "verify", &pid]);
    refused(weak, "CAP_SYS_ADMIN");
    let traced = Traced::new(talker.pid());
    let mut second = Command::new(nri());
    second.args(["seccomp", "verify", &pid]);
    refused(second, "is traced by process");
    drop(traced);
    talker.goes_on();
}

/// Somebody else's tracer.
struct Traced(i32);

impl Traced {
    fn new(pid: i32) -> Self {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: takes no memory.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) }, 0);
        Self(pid)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: take no memory.
        unsafe {
            libc::ptrace(libc::PTRACE_INTERRUPT, self.0, none, none);
            libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL);
            libc::ptrace(libc::PTRACE_DETACH, self.0, none, none);
        }
    }
}

/// Whenever it is killed, the process goes on; one that was stopped stays so.
#[test]
fn the_process_goes_on() {
    if !ready() {
        return;
    }
    let mut talker = Talker::start(&[&no_mkdir(1)]);
    let pid = talker.pid().to_string();
    let kill = |signal| kill_process(Pid::from_child(&talker.child), signal).unwrap();
    for n in 0..40 {
        let mut reader = Command::new(nri())
            .args(["seccomp", "verify", &pid])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(400 * n));
        reader.kill().ok();
        reader.wait().unwrap();
        until("nobody traces the process", || status(talker.pid()).contains("TracerPid:\t0"));
    }
    kill(Signal::STOP);
    let stopped = || status(talker.pid()).contains("State:\tT");
    until("it is stopped", stopped);
    let (code, _, error) = verify(&[&pid], None);
    assert_eq!((code, stopped()), (0, true), "{error}");
    kill(Signal::CONT);
    talker.goes_on();
}

/// What runc and crun installed is what the bundle says, and not what another policy says.
#[test]
fn containers() {
    // Built before anything waits for it.
    let _built = nri();
    for runtime in ["runc", "crun"] {
        if !possible(runtime) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let archs = if cfg!(target_arch = "aarch64") {
            ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
        } else {
            ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        };
        let policy = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": archs,
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]
        });
        bundle::write(folder.path(), &policy, &["sh", "-c", "echo up; exec sleep 60"]).unwrap();
        let id = format!("nri-verify-{runtime}-{}", std::process::id());
        let mut command = bundle::command(Path::new(runtime));
        command.arg("run").arg("--bundle").arg(folder.path()).arg(&id);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut up = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut up).unwrap();
        assert_eq!(up, "up\n");
        let found = until_some(
            || Some(verify(&["--container", &id, "-o", "json"], None)).filter(|(code, _, _)| *code != 3),
            || format!("no state of {id}: {:?}", verify(&["--container", &id], None)),
        );
        let (other, _, _) =
            verify(&["--container", &id], Some(&json!({"defaultAction": "SCMP_ACT_KILL_PROCESS"})));
        // `run` removes what was when its process ends.
        let killed = bundle::command(Path::new(runtime)).args(["kill", &id, "KILL"]).status().unwrap();
        child.wait().unwrap();
        assert!(killed.success());
        let (code, json, error) = found;
        assert_eq!((code, other), (0, 1), "{json}{error}");
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["result"], &json["relation"]), (&json!("adherent"), &json!("equal")), "{json}");
        assert_eq!(json["container"], json!(id));
    }
}
