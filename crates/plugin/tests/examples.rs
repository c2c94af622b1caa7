//! Every example does what it says, as a plugin that the runtime launches: with an inherited socket.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

mod host;

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use host::{Host, container, pod};
use nri_plugin::api::{
    Container, CreateContainerRequest, FieldOwners, LinuxContainer, LinuxCpu, LinuxResources, LinuxSeccomp,
    LinuxSyscall, OwningPlugins, PostStartContainerRequest, RunPodSandboxRequest, StopContainerRequest,
    SynchronizeRequest, ValidateContainerAdjustmentRequest,
};
use nri_wire::service;

/// A launched example. Its standard input is the socket: descriptor 0, which `Command` can hand over.
struct Example {
    host: Option<Host>,
    child: Child,
}

impl Example {
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let mut command = Command::new(program(name));
        command.env("NRI_PLUGIN_SOCKET", "0").env("NRI_PLUGIN_NAME", name).env("NRI_PLUGIN_IDX", "10");
        command.envs(variables.iter().copied()).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command);
        let host = Host::new(ours);
        host.configure();
        Self { host: Some(host), child }
    }

    fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// Closes the connection; an orderly end is a success. Returns what the example wrote.
    fn end(mut self) -> Vec<String> {
        self.host.take().unwrap().peer.close("test");
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

/// `cargo test` builds examples beside the folder of its own programs.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is absent: run `cargo test -p nri-plugin`, which builds it", path.display());
    path
}

fn create(container: Container) -> CreateContainerRequest {
    CreateContainerRequest { pod: Some(pod()), container: Some(container) }
}

#[test]
fn hello() {
    let example = Example::start("hello", &[]);
    let env = example.host().adjusted().env;
    assert_eq!((env[0].key.as_str(), env[0].value.as_str()), ("HELLO", "web"));
    example.end();
}

#[test]
fn idle() {
    let example = Example::start("idle", &[]);
    example.host().call::<service::RemoveContainer>(Default::default()).unwrap();
    example.end();
}

#[test]
fn lifecycle() {
    let example = Example::start("lifecycle", &[]);
    let (pod, container) = (Some(pod()), Some(Container { args: vec!["sh".to_owned()], ..container() }));
    let request = SynchronizeRequest { pods: vec![pod.clone().unwrap()], ..Default::default() };
    example.host().call::<service::Synchronize>(request).unwrap();
    example.host().call::<service::RunPodSandbox>(RunPodSandboxRequest { pod: pod.clone() }).unwrap();
    let request = PostStartContainerRequest { pod: pod.clone(), container: container.clone() };
    example.host().call::<service::PostStartContainer>(request).unwrap();
    let request = StopContainerRequest { pod, container };
    example.host().call::<service::StopContainer>(request).unwrap();
    let lines = example.end();
    assert_eq!(lines[..3], ["1 pods, 0 containers", "pod default/web runs", "container server runs: sh"]);
    assert!(lines[3].starts_with("container server ran "), "{}", lines[3]);
}

#[test]
fn seccomp_listener() {
    let example = Example::start("seccomp_listener", &[]);
    assert_eq!(example.host().adjusted().linux, None);

    let mut pod = pod();
    pod.annotations.insert("seccomp-listener".to_owned(), "true".to_owned());
    let rule = LinuxSyscall {
        names: vec!["mkdir".to_owned(), "read".to_owned()],
        action: "SCMP_ACT_ALLOW".to_owned(),
        ..LinuxSyscall::default()
    };
    let own = LinuxSeccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        syscalls: vec![rule],
        ..LinuxSeccomp::default()
    };
    let linux = LinuxContainer { seccomp_policy: Some(own), ..LinuxContainer::default() };
    let container = Container { linux: Some(linux), ..container() };
    let request = CreateContainerRequest { pod: Some(pod), container: Some(container) };
    let answer = example.host().call::<service::CreateContainer>(request).unwrap();
    let policy = answer.adjust.unwrap().linux.unwrap().seccomp_policy.unwrap();
    assert_eq!(policy.default_action, "SCMP_ACT_ERRNO");
    assert_eq!(policy.listener_path, "/run/seccomp/uid0.sock");
    assert_eq!(policy.listener_metadata, "default/web");
    let rules: Vec<(String, &str)> =
        policy.syscalls.iter().map(|rule| (rule.names.join(" "), rule.action.as_str())).collect();
    assert_eq!(
        rules,
        [("read".to_owned(), "SCMP_ACT_ALLOW"), ("mkdir mkdirat".to_owned(), "SCMP_ACT_NOTIFY")]
    );
    example.end();
}

#[test]
fn validator() {
    let example = Example::start("validator", &[("TRUSTED", "10-good")]);
    let validate = |owner: &str| {
        let fields = FieldOwners { simple: [(3, owner.to_owned())].into(), ..FieldOwners::default() };
        let owners = OwningPlugins { owners: [("ctr0".to_owned(), fields)].into() };
        let request = ValidateContainerAdjustmentRequest {
            container: Some(container()),
            owners: Some(owners),
            ..Default::default()
        };
        example.host().call::<service::ValidateContainerAdjustment>(request).unwrap()
    };
    assert!(!validate("10-good").reject);
    let rejected = validate("10-good,20-other");
    assert!(rejected.reject);
    assert_eq!(rejected.reason, "plugin 20-other may not add hooks");
    example.end();
}

#[test]
fn updater() {
    let example = Example::start("updater", &[]);
    let cpu = LinuxCpu { shares: Some(512.into()), ..LinuxCpu::default() };
    let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
    let linux = LinuxContainer { resources: Some(resources), ..LinuxContainer::default() };
    let container = Container { linux: Some(linux), ..container() };
    let shares = |resources: Option<LinuxResources>| resources.unwrap().cpu.unwrap().shares.unwrap().value;

    let answer = example.host().call::<service::CreateContainer>(create(container.clone())).unwrap();
    assert_eq!(shares(answer.adjust.unwrap().linux.unwrap().resources), 1024);
    let request = PostStartContainerRequest { pod: Some(pod()), container: Some(container) };
    example.host().call::<service::PostStartContainer>(request).unwrap();
    let update = example.host().updated().update.remove(0);
    assert_eq!(update.container_id, "ctr0");
    assert_eq!(shares(update.linux.unwrap().resources), 512);
    example.end();
}
