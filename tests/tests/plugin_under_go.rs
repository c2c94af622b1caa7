//! A plugin of ours under the reference's adaptation: every event, every adjustable field, parts, updates, validation.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is the failure report")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use nri_plugin::seccomp::{Action, Compare, Rule, Seccomp};
use nri_plugin::{
    Adjustment, Builder, Configure, CreateContainer, Device, DeviceKind, DeviceRule, EventMask, Hook,
    HookKind, IoClass, MemoryPolicy, MemoryPolicyMode, Mount, NriVersion, Plugin, PostCreateContainer,
    PostStartContainer, PostUpdateContainer, PostUpdatePodSandbox, Reconnect, RemoveContainer,
    RemovePodSandbox, Result, RunPodSandbox, Running, Scheduler, SchedulerPolicy, StartContainer,
    StopContainer, StopPodSandbox, Synchronize, Update, UpdateContainer, UpdatePodSandbox, Updates, Validate,
};
use nri_wire::api::{self, ContainerAdjustment};
use nri_wire::field::{self, FIELDS, Field, Value};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value as Json, json};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The reference's adaptation in a process of its own.
struct GoHost {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<Json>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl GoHost {
    /// Starts it with these pods and containers; `None`, with a reason on record, where there is no Go.
    fn start(pods: &Json, containers: &Json) -> Option<Self> {
        let program = nri_tests::go::peers().map_err(nri_tests::skipped).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nri.sock");
        let mut child = Command::new(program)
            .args(["host", "-name", "go-host", "-version", "v1.2.3", "-request-timeout", "20000", "-socket"])
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in output.lines().map_while(std::io::Result::ok) {
                let _ = line.send(serde_json::from_str(&text).unwrap());
            }
        });
        let commands = child.stdin.take().unwrap();
        let mut host = Self { child, commands, lines, socket, _folder: folder };
        host.call(&json!({"do": "start", "pods": pods, "containers": containers}));
        Some(host)
    }

    /// Runs a command; its line, and those that came before it.
    fn call(&mut self, command: &Json) -> (Json, Vec<Json>) {
        writeln!(self.commands, "{command}").unwrap();
        let mut before = Vec::new();
        loop {
            let line = self.line();
            if line["event"] == command["do"] {
                return (line, before);
            }
            before.push(line);
        }
    }

    /// Relays a call that must succeed.
    fn relay(&mut self, call: &str, request: &Json) -> Json {
        let (mut line, _) = self.call(&json!({"do": call, "request": request}));
        assert_eq!(line["error"], Json::Null, "{call}");
        line["response"].take()
    }

    fn line(&self) -> Json {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for a line of this event.
    fn until(&self, event: &str) -> Json {
        loop {
            let line = self.line();
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Starts a plugin, and waits until the host has it. The host tells that only of plugins that come.
    fn plugin(&self, name: &str, index: &str, plugin: impl Plugin) -> Running {
        let builder = Builder::new().name(name).index(index).socket(&self.socket);
        let running = builder.reconnect(Reconnect::Never).start(plugin).unwrap();
        self.until("plugins");
        running
    }
}

impl Drop for GoHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn end(running: Running) {
    running.session().stop();
    running.wait().unwrap();
}

/// A message from its proto3 JSON.
fn message<M: Message + Default>(name: &str, json: &Json) -> M {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTOR_SET).unwrap());
    let descriptor = POOL.get_message_by_name(&format!("nri.pkg.api.v1alpha1.{name}")).unwrap();
    M::decode(&*DynamicMessage::deserialize(descriptor, json).unwrap().encode_to_vec()).unwrap()
}

fn subject() -> Json {
    json!({"pod": {"id": "pod0", "name": "web"}, "container": {"id": "ctr0", "podSandboxId": "pod0", "name": "server"}})
}

/// Tells each call, and answers creations as told.
struct Teller {
    told: Sender<String>,
    answer: Mutex<Adjustment>,
}

impl Teller {
    fn new(answer: Adjustment) -> (Self, Receiver<String>) {
        let (told, tells) = channel();
        (Self { told, answer: Mutex::new(answer) }, tells)
    }

    fn tell(&self, call: &str, pod: &str, container: &str) -> Result {
        Ok(self.told.send(format!("{call} {pod} {container}").trim_end().to_owned())?)
    }
}

#[nri_plugin::plugin]
impl Plugin for Teller {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        self.tell("Configure", &request.runtime_name, &request.runtime_version)?;
        Ok(EventMask::NONE)
    }
    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        self.tell("Synchronize", &request.pods.len().to_string(), &request.containers.len().to_string())?;
        Ok(vec![Update::new("ctr-other").cpu_shares(7)])
    }
    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        self.tell("RunPodSandbox", &request.pod().name, "")
    }
    fn update_pod_sandbox(&self, request: &UpdatePodSandbox) -> Result {
        self.tell("UpdatePodSandbox", &request.pod().name, "")
    }
    fn post_update_pod_sandbox(&self, request: &PostUpdatePodSandbox) -> Result {
        self.tell("PostUpdatePodSandbox", &request.pod().name, "")
    }
    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        self.tell("StopPodSandbox", &request.pod().name, "")
    }
    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        self.tell("RemovePodSandbox", &request.pod().name, "")
    }
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        assert!(request.deadline().is_some());
        self.tell("CreateContainer", &request.pod().name, &request.container().name)?;
        Ok(self.answer.lock().unwrap().clone())
    }
    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        self.tell("PostCreateContainer", &request.pod().name, &request.container().name)
    }
    fn start_container(&self, request: &StartContainer) -> Result {
        self.tell("StartContainer", &request.pod().name, &request.container().name)
    }
    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        self.tell("PostStartContainer", &request.pod().name, &request.container().name)
    }
    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        self.tell("UpdateContainer", &request.pod().name, &request.container().name)?;
        Ok(Update::new(&request.container().id).cpu_shares(9).into())
    }
    fn post_update_container(&self, request: &PostUpdateContainer) -> Result {
        self.tell("PostUpdateContainer", &request.pod().name, &request.container().name)
    }
    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        self.tell("StopContainer", &request.pod().name, &request.container().name)?;
        Ok(vec![Update::new("ctr-other").cpu_shares(8)])
    }
    fn remove_container(&self, request: &RemoveContainer) -> Result {
        self.tell("RemoveContainer", &request.pod().name, &request.container().name)
    }
    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        self.tell("ValidateContainerAdjustment", &request.pod().name, &request.container().name)?;
        let bad = request.adjust.iter().flat_map(|adjust| &adjust.env).any(|kv| kv.key == "BAD");
        if bad { Err("BAD may not be set".into()) } else { Ok(()) }
    }
}

/// Every event, in the dedicated form that the reference speaks since NRI 0.12, and the answers to them.
#[test]
fn every_event() {
    let Some(mut host) = GoHost::start(&json!([{"id": "pod0"}]), &json!([{"id": "ctr-other"}])) else {
        return;
    };
    let (plugin, tells) = Teller::new(Adjustment::new().update(Update::new("ctr-other").cpu_shares(6)));
    let builder = Builder::new().name("teller").index("10").socket(&host.socket);
    let running = builder.reconnect(Reconnect::Never).start(plugin).unwrap();
    let synchronized = host.until("synchronized");
    assert_eq!(shares(&synchronized["update"][0]), "7");
    host.until("plugins");
    assert_eq!(running.session().runtime().name, "go-host");
    assert_eq!(running.session().runtime().nri, Some(NriVersion::CURRENT));

    let calls = [
        "RunPodSandbox",
        "UpdatePodSandbox",
        "PostUpdatePodSandbox",
        "CreateContainer",
        "PostCreateContainer",
        "StartContainer",
        "PostStartContainer",
        "UpdateContainer",
        "PostUpdateContainer",
        "StopContainer",
        "RemoveContainer",
        "StopPodSandbox",
        "RemovePodSandbox",
    ];
    let mut expect = vec!["Configure go-host v1.2.3".to_owned(), "Synchronize 1 1".to_owned()];
    for call in calls {
        let mut request = subject();
        if call.contains("Pod") {
            request.as_object_mut().unwrap().remove("container");
        }
        let response = host.relay(call, &request);
        expect.push(format!("{call} web{}", if call.contains("Pod") { "" } else { " server" }));
        match call {
            "CreateContainer" => {
                expect.push("ValidateContainerAdjustment web server".to_owned());
                assert_eq!(shares(&response["update"][0]), "6");
            }
            "UpdateContainer" => assert_eq!(shares(&response["update"][0]), "9"),
            "StopContainer" => assert_eq!(shares(&response["update"][0]), "8"),
            _ => {}
        }
    }
    assert_eq!(tells.try_iter().collect::<Vec<String>>(), expect);
    end(running);
}

fn shares(update: &Json) -> &str {
    update["linux"]["resources"]["cpu"]["shares"]["value"].as_str().unwrap_or_default()
}

/// Every adjustable field, set once.
fn everything() -> Adjustment {
    Adjustment::new()
        .add_annotation("note", "x")
        .add_mount(Mount::bind("/srv", "/srv").option("ro"))
        .add_hook(HookKind::CreateRuntime, Hook::new("/bin/true").arg("true").timeout(Duration::from_secs(2)))
        .add_device(Device::new("/dev/fuse", DeviceKind::Char, 10, 229).file_mode(0o600).owner(1, 2))
        .add_cdi_device("vendor.com/gpu=0")
        .add_env("A", "b")
        .set_args(["sh", "-c", "true"])
        .memory_limit(64 << 20)
        .memory_reservation(1)
        .memory_swap(-1)
        .memory_kernel(2)
        .memory_kernel_tcp(3)
        .memory_swappiness(0)
        .memory_disable_oom_killer(false)
        .memory_use_hierarchy(true)
        .cpu_shares(4)
        .cpu_quota(-1)
        .cpu_period(5)
        .cpu_realtime_runtime(6)
        .cpu_realtime_period(7)
        .cpuset_cpus("0-3")
        .cpuset_mems("0")
        .pids_limit(8)
        .hugepage_limit("2MB", 9)
        .blockio_class("gold")
        .rdt_class("silver")
        .unified("memory.high", "max")
        .cgroups_path("/a/b")
        .oom_score_adj(-5)
        .add_rlimit("RLIMIT_NOFILE", 1, 2)
        .io_priority(IoClass::IoprioClassBe, 7)
        .seccomp(
            Seccomp::new(Action::Errno(38))
                .architecture("SCMP_ARCH_X86_64")
                .flag("SECCOMP_FILTER_FLAG_LOG")
                .listener("/run/l.sock", "web")
                .rule(Rule::new(Action::Errno(1), ["mkdir"]).when(1, Compare::Masked { mask: 7, value: 1 })),
        )
        .set_namespace("uts", "/proc/1/ns/uts")
        .set_sysctl("net.ipv4.ip_forward", "1")
        .add_net_device("eth1", "net0")
        .scheduler(Scheduler::new(SchedulerPolicy::SchedBatch).nice(5))
        .rdt_clos_id("clos")
        .rdt_schemata(["L3:0=f", "MB:0=10"])
        .rdt_monitoring(true)
        .memory_policy(MemoryPolicy::new(MemoryPolicyMode::MpolInterleave, "0-1"))
        .add_device_rule(DeviceRule::allow("rw").kind(DeviceKind::Char).major(10).minor(229))
}

fn adjusted(host: &mut GoHost, request: &Json) -> ContainerAdjustment {
    message("ContainerAdjustment", &host.relay("CreateContainer", request)["adjust"])
}

/// What an adjustment says, whatever the order.
fn said(adjust: &ContainerAdjustment) -> BTreeMap<(Field, String), Option<Value<'_>>> {
    let entries = field::adjustment(adjust);
    entries.into_iter().map(|entry| ((entry.field, entry.key.to_owned()), entry.value)).collect()
}

/// Every field arrives as it was meant, and so do removals, as far as the reference reports them.
#[test]
fn every_field() {
    let Some(mut host) = GoHost::start(&json!([]), &json!([])) else { return };
    let sent = everything().into_message().unwrap().adjust.unwrap();
    for info in FIELDS.iter().filter(|info| info.field != Field::RdtRemove) {
        assert!(said(&sent).keys().any(|(field, _)| *field == info.field), "{} is not set", info.name);
    }
    let (plugin, _tells) = Teller::new(everything());
    let running = host.plugin("all", "10", plugin);
    let received = adjusted(&mut host, &subject());
    assert_eq!(said(&received), said(&sent));
    end(running);

    let Some(mut host) = GoHost::start(&json!([]), &json!([])) else { return };
    let removals = Adjustment::new()
        .remove_annotation("note")
        .remove_mount("/srv")
        .remove_namespace("uts")
        .remove_sysctl("net.ipv4.ip_forward")
        .remove_net_device("eth1")
        .remove_rdt();
    let sent = removals.clone().into_message().unwrap().adjust.unwrap();
    let (plugin, _tells) = Teller::new(removals.remove_env("A").remove_device("/dev/fuse"));
    let running = host.plugin("none", "10", plugin);
    // Removals of variables and devices never reach a runtime under the reference (`spec/adaptation.md` 10.4).
    assert_eq!(said(&adjusted(&mut host, &subject())), said(&sent));
    end(running);
}

/// What comes of two plugins that answer a creation with these.
fn both(first: Adjustment, second: Adjustment) -> Option<Json> {
    let mut host = GoHost::start(&json!([]), &json!([]))?;
    let (plugin, _tells) = Teller::new(first);
    let first = host.plugin("first", "10", plugin);
    let (plugin, _tells) = Teller::new(second);
    let second = host.plugin("second", "20", plugin);
    let (line, _) = host.call(&json!({"do": "CreateContainer", "request": subject()}));
    end(second);
    end(first);
    Some(line)
}

/// Two plugins that set the same conflict, and both are named.
#[test]
fn conflicts() {
    let set = |value: &str| Adjustment::new().add_env("A", value);
    let Some(line) = both(set("1"), set("2")) else { return };
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("\"20-second\" and \"10-first\" both tried to set Env A"), "{error}");
}

/// A removal takes over what an earlier plugin has set.
#[test]
fn taking_over() {
    let first = Adjustment::new().add_env("A", "1").set_args(["a"]);
    let second = Adjustment::new().add_env("A", "2").remove_env("A").replace_args(["b"]);
    let Some(line) = both(first, second) else { return };
    let adjust: ContainerAdjustment = message("ContainerAdjustment", &line["response"]["adjust"]);
    assert_eq!((adjust.env[0].value.as_str(), adjust.args[0].as_str()), ("2", "b"));
}

/// A validator's reason reaches the runtime.
#[test]
fn validation() {
    let Some(mut host) = GoHost::start(&json!([]), &json!([])) else { return };
    let (plugin, _tells) = Teller::new(Adjustment::new().add_env("BAD", "1"));
    let running = host.plugin("judge", "10", plugin);
    let (line, _) = host.call(&json!({"do": "CreateContainer", "request": subject()}));
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("judge") && error.contains("BAD may not be set"), "{error}");
    end(running);
}

/// 300 containers of 30 KB: 9 MB, which the reference cuts into parts.
#[test]
fn synchronize_in_parts() {
    let text = "x".repeat(30 << 10);
    let pods: Vec<Json> = (0..30).map(|n| json!({"id": format!("pod{n}")})).collect();
    let containers: Vec<Json> = (0..300)
        .map(|n| json!({"id": format!("ctr{n}"), "podSandboxId": format!("pod{}", n / 10), "annotations": {"text": text}}))
        .collect();
    let Some(host) = GoHost::start(&json!(pods), &json!(containers)) else { return };
    let (plugin, tells) = Teller::new(Adjustment::new());
    let running = host.plugin("teller", "10", plugin);
    let told: Vec<String> = tells.try_iter().collect();
    assert_eq!(told, ["Configure go-host v1.2.3", "Synchronize 30 300"]);
    end(running);
}

/// Updates on the plugin's own account: those that fail come back, and so does the runtime's refusal.
#[test]
fn unsolicited_updates() {
    let Some(mut host) = GoHost::start(&json!([]), &json!([])) else { return };
    let (plugin, _tells) = Teller::new(Adjustment::new());
    let running = host.plugin("updater", "10", plugin);
    let update =
        || Updates::from(vec![Update::new("a").memory_limit(1 << 20), Update::new("b").pids_limit(3)]);

    let failed = running.session().update_containers(update(), PATIENCE).unwrap();
    assert_eq!(failed, []);
    let line = host.until("UpdateContainers");
    assert_eq!(line["update"][0]["linux"]["resources"]["memory"]["limit"]["value"], "1048576");

    host.call(&json!({"do": "failed", "failed": [{"containerId": "b"}]}));
    let failed = running.session().update_containers(update(), PATIENCE).unwrap();
    assert_eq!(failed[0].container_id, "b");

    host.call(&json!({"do": "failed", "error": "no such container"}));
    let error = running.session().update_containers(update(), PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "refused by the runtime: no such container");
    end(running);
}
