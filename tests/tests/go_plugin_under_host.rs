//! Plugins written with the reference's library under our host: every event, every adjustable field, both event styles,
//! parts, refusals, and plugins that hang, die or stand still.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is the failure report")]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nri_runtime::host::{Callback, Cause, Config, Embedder, Host, NoEmbedder, Outcome, PluginSettings};
use nri_tests::proto::message;
use nri_wire::api::{
    Container, ContainerAdjustment, ContainerUpdate, CreateContainerRequest, PodSandbox,
    StopContainerRequest, UpdateContainerRequest, UpdatePodSandboxRequest,
};
use nri_wire::event::EVENTS;
use nri_wire::field::{self, FIELDS};
use nri_wire::name::PluginName;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn later() -> Instant {
    Instant::now() + PATIENCE
}

/// A host that listens, in a folder of its own.
struct Bench {
    host: Host,
    folder: tempfile::TempDir,
}

impl Bench {
    /// `None`, with a reason on record, where there is no Go.
    async fn start(config: Config, embedder: impl Embedder) -> Option<Self> {
        nri_tests::go::peers().map_err(nri_tests::skipped).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let config = Config { listen: vec![folder.path().join("nri.sock")], ..config };
        Some(Self { host: Host::start(config, embedder).await.unwrap(), folder })
    }

    /// A Go plugin in a process of its own, active.
    async fn plugin(&self, name: &str, script: &Json, arguments: &[&str]) -> GoPlugin {
        let count = self.host.active() + 1;
        let plugin = self.launch(name, script, arguments);
        assert!(self.host.wait_active(count, later()).await, "{name} does not join");
        plugin
    }

    fn launch(&self, name: &str, script: &Json, arguments: &[&str]) -> GoPlugin {
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        write!(file, "{script}").unwrap();
        let (_, path) = file.keep().unwrap();
        let (index, base) = name.split_once('-').unwrap();
        let mut child = Command::new(nri_tests::go::peers().unwrap())
            .args(["plugin", "-name", base, "-index", index, "-script"])
            .arg(path)
            .arg("-socket")
            .arg(self.folder.path().join("nri.sock"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Read at once: a plugin that cannot print stands still.
        let (line, lines) = mpsc::unbounded_channel();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(text)) = output.next_line().await {
                let _ = line.send(text);
            }
        });
        GoPlugin { stdin: child.stdin.take().unwrap(), lines, child }
    }

    async fn create(&self, id: &str) -> Result<nri_runtime::host::Created, nri_runtime::host::Failure> {
        self.host.create_container(creation(id), later()).await
    }
}

struct GoPlugin {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
}

impl GoPlugin {
    async fn line(&mut self) -> Json {
        let line = timeout(PATIENCE, self.lines.recv()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next line of this event.
    async fn until(&mut self, event: &str) -> Json {
        loop {
            let line = self.line().await;
            if line["event"] == event {
                return line;
            }
        }
    }

    async fn tell(&mut self, command: &Json) {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

fn pod() -> PodSandbox {
    PodSandbox { id: "pod0".into(), name: "web".into(), ..Default::default() }
}

fn container(id: &str) -> Container {
    Container { id: id.into(), pod_sandbox_id: "pod0".into(), name: id.into(), ..Default::default() }
}

fn creation(id: &str) -> CreateContainerRequest {
    CreateContainerRequest { pod: Some(pod()), container: Some(container(id)) }
}

/// The life of a pod with one container, every event once. Gives the events in order.
async fn full_cycle(host: &Host) -> Vec<&'static str> {
    let (p, c, at) = (pod, || container("ctr0"), later());
    host.run_pod_sandbox(p(), at).await.unwrap();
    let request = UpdatePodSandboxRequest { pod: Some(p()), ..Default::default() };
    host.update_pod_sandbox(request, at).await.unwrap();
    host.post_update_pod_sandbox(p(), at).await.unwrap();
    host.create_container(creation("ctr0"), at).await.unwrap();
    host.post_create_container(p(), c(), at).await.unwrap();
    host.start_container(p(), c(), at).await.unwrap();
    host.post_start_container(p(), c(), at).await.unwrap();
    let request = UpdateContainerRequest { pod: Some(p()), container: Some(c()), linux_resources: None };
    host.update_container(request, at).await.unwrap();
    host.post_update_container(p(), c(), at).await.unwrap();
    let request = StopContainerRequest { pod: Some(p()), container: Some(c()) };
    host.stop_container(request, at).await.unwrap();
    host.remove_container(p(), c(), at).await.unwrap();
    host.stop_pod_sandbox(p(), at).await.unwrap();
    host.remove_pod_sandbox(p(), at).await.unwrap();
    vec![
        "RunPodSandbox",
        "UpdatePodSandbox",
        "PostUpdatePodSandbox",
        "CreateContainer",
        "ValidateContainerAdjustment",
        "PostCreateContainer",
        "StartContainer",
        "PostStartContainer",
        "UpdateContainer",
        "PostUpdateContainer",
        "StopContainer",
        "RemoveContainer",
        "StopPodSandbox",
        "RemovePodSandbox",
    ]
}

/// CONF-134, EXT-012: every event, by its own call and, for plugins older than NRI 0.12, by StateChange.
#[tokio::test]
async fn every_event_in_both_styles() {
    for style in ["stub", "old"] {
        let Some(bench) = Bench::start(Config::default(), NoEmbedder).await else { return };
        let mut plugin = bench.plugin("10-all", &json!({}), &["-style", style]).await;
        let expected = full_cycle(&bench.host).await;
        assert_eq!(expected.len(), EVENTS.len());
        bench.host.shutdown().await;
        let mut seen = Vec::new();
        loop {
            let line = plugin.line().await;
            match line["event"].as_str().unwrap() {
                "closed" => break,
                "started" | "registered" => {}
                "StateChange" if style == "old" => {
                    let name = line["request"]["event"].as_str().unwrap();
                    let plain = name.replace('_', "").to_lowercase();
                    let event = EVENTS.iter().find(|(_, name)| name.to_lowercase() == plain).unwrap();
                    seen.push(event.1.to_owned());
                }
                event => seen.push(event.to_owned()),
            }
        }
        // A first try by the dedicated call is answered Unimplemented, and tells nothing.
        let told: Vec<_> = seen.iter().map(String::as_str).filter(|e| expected.contains(e)).collect();
        assert_eq!(told, expected, "{style}");
        assert_eq!(seen.last().unwrap(), "Shutdown");
    }
}

/// CONF-226 to CONF-229: what Configure tells.
#[tokio::test]
async fn what_configure_tells() {
    let config = Config {
        runtime_name: "rt".into(),
        runtime_version: "v1.2".into(),
        nri_version: "v9.8.7".into(),
        registration_timeout: Duration::from_millis(5005),
        request_timeout: Duration::from_millis(2007),
        ..Config::default()
    };
    let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
    let mut plugin = bench.plugin("10-a", &json!({}), &[]).await;
    let line = plugin.until("Configure").await;
    assert_eq!((&line["runtime"], &line["version"]), (&json!("rt"), &json!("v1.2")));
    let left = line["timeout_ms"].as_i64().unwrap();
    assert!((1..=2007).contains(&left), "{left}");
    let line = plugin.until("started").await;
    assert_eq!(line["nri_version"], "v9.8.7");
    assert_eq!((&line["registration_timeout_ms"], &line["request_timeout_ms"]), (&json!(5005), &json!(2007)));
}

/// Every field of an adjustment arrives as the Go plugin meant it.
#[tokio::test]
async fn every_field() {
    let golden = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/messages.jsonl"));
    let mut adjust = golden
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .find(|line| line["message"] == "ContainerAdjustment" && line["case"] == "full")
        .unwrap()["json"]
        .take();
    // Set and removed at once; the removal has a test of its own.
    adjust["linux"]["rdt"].as_object_mut().unwrap().remove("remove");
    let meant: ContainerAdjustment = message(&adjust);
    let fields: Vec<_> = field::adjustment(&meant).iter().map(|entry| entry.field).collect();
    let absent: Vec<_> = FIELDS.iter().map(|info| info.field).filter(|f| !fields.contains(f)).collect();
    assert_eq!(format!("{absent:?}"), "[RdtRemove]");

    let Some(bench) = Bench::start(Config::default(), NoEmbedder).await else { return };
    let script = json!({"answers": {"CreateContainer": [{"adjust": adjust}]}});
    let _plugin = bench.plugin("10-a", &script, &[]).await;
    let created = bench.create("ctr0").await.unwrap();
    let got = field::adjustment(&created.merged.adjust);
    assert_eq!(format!("{got:?}"), format!("{:?}", field::adjustment(&meant)));
    assert_eq!(created.merged.changes.len(), got.len());
}

/// Two Go plugins: one after the other by index, both named in their conflict.
#[tokio::test]
async fn two_plugins() {
    let env = |key: &str| json!({"adjust": {"env": [{"key": key, "value": "1"}]}});
    let script = |key: &str| {
        json!({"events": ["CreateContainer"],
               "answers": {"CreateContainer": [{"for": "clash", "adjust": {"args": [key]}}, env(key)]}})
    };
    let Some(bench) = Bench::start(Config::default(), NoEmbedder).await else { return };
    let _b = bench.plugin("20-b", &script("B"), &[]).await;
    let mut a = bench.plugin("10-a", &script("A"), &[]).await;
    let created = bench.create("ctr0").await.unwrap();
    let keys: Vec<_> = created.merged.adjust.env.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(keys, ["A", "B"]);
    let seen = a.until("CreateContainer").await;
    assert_eq!(seen["container"]["name"], "ctr0");
    let failure = bench.create("clash").await.unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("10-a") && text.contains("20-b") && text.contains("Args"), "{text}");
}

/// EXT-015: the plugin's words, and the plugin stays. CONF-181: so do a validator's.
#[tokio::test]
async fn refusals() {
    let script = json!({"answers": {
        "CreateContainer": [{"for": "vetoed", "error": "not this one"}],
        "ValidateContainerAdjustment": [{"for": "rejected", "reject": "not like this"}]}});
    let Some(bench) = Bench::start(Config::default(), NoEmbedder).await else { return };
    let _plugin = bench.plugin("10-a", &script, &[]).await;
    match bench.create("vetoed").await.unwrap_err().cause {
        Cause::Veto { plugin, reason, code } => {
            assert_eq!((plugin.full(), reason.as_str(), code), ("10-a", "not this one", 2));
        }
        other => panic!("{other:?}"),
    }
    match bench.create("rejected").await.unwrap_err().cause {
        Cause::Validator { plugin, reason } => {
            assert_eq!(plugin.full(), "10-a");
            assert!(reason.contains("not like this"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    bench.create("fine").await.unwrap();
}

/// The node that a plugin is told: 9 MB in parts (EXT-020 to EXT-023), whole and in order.
#[tokio::test]
async fn synchronize_in_parts() {
    let big = |n: usize| Container {
        env: vec![format!("X={}", "x".repeat(30_000))],
        ..container(&format!("c{n:03}"))
    };
    let config = Config {
        pods: (0..30).map(|n| PodSandbox { id: format!("p{n:02}"), ..Default::default() }).collect(),
        containers: (0..300).map(big).collect(),
        request_timeout: Duration::from_secs(20),
        ..Config::default()
    };
    let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
    let mut plugin = bench.plugin("10-a", &json!({}), &[]).await;
    let line = plugin.until("Synchronize").await;
    assert_eq!(line["pods"].as_array().unwrap().len(), 30);
    let ids: Vec<_> =
        line["containers"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..300).map(|n| format!("c{n:03}")).collect::<Vec<_>>());
}

/// Unsolicited updates and those in the answer to Synchronize reach the runtime (CONF-225).
#[tokio::test]
async fn updates_on_the_plugins_own_account() {
    #[derive(Clone, Default)]
    struct Runtime(Arc<Mutex<Vec<String>>>);
    impl Embedder for Runtime {
        fn update<'a>(
            &'a self,
            plugin: &'a PluginName,
            updates: Vec<ContainerUpdate>,
        ) -> Callback<'a, Vec<ContainerUpdate>> {
            let mut seen = self.0.lock().unwrap();
            seen.extend(updates.iter().map(|update| format!("{plugin} {}", update.container_id)));
            Box::pin(std::future::ready(updates.into_iter().filter(|u| u.container_id == "gone").collect()))
        }
    }
    let runtime = Runtime::default();
    let Some(bench) = Bench::start(Config::default(), runtime.clone()).await else { return };
    let script = json!({"answers": {"Synchronize": [{"update": [{"containerId": "first"}]}]}});
    let mut plugin = bench.plugin("10-a", &script, &[]).await;
    plugin.tell(&json!({"do": "update", "update": [{"containerId": "c1"}, {"containerId": "gone"}]})).await;
    let line = plugin.until("updated").await;
    assert_eq!(line["failed"].as_array().unwrap().len(), 1, "{line}");
    let mut seen = runtime.0.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, ["10-a c1", "10-a first", "10-a gone"]);
}

/// A plugin that never answers costs one deadline, once; the others go on.
#[tokio::test]
async fn a_plugin_that_never_answers() {
    let config = Config { request_timeout: Duration::from_millis(500), ..Config::default() };
    let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
    let never = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"never": true}]}});
    let _hangs = bench.plugin("10-hangs", &never, &[]).await;
    let _works = bench.plugin("20-works", &json!({"events": ["CreateContainer"]}), &[]).await;
    let start = Instant::now();
    for n in 0..10 {
        let created = bench.create(&format!("c{n}")).await.unwrap();
        let outcomes: Vec<_> = created.plugins.into_iter().map(|consulted| consulted.outcome).collect();
        assert_eq!(outcomes, [Outcome::Late, Outcome::Answer]);
    }
    // Ten deadlines would be five seconds.
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

/// v0.12.4: the plugin's own failure policy, over the real protocol; the operator's word overrules it.
#[tokio::test]
async fn failure_policy() {
    for (overruled, fails) in [(false, true), (true, false)] {
        let on_failure = overruled.then_some(nri_runtime::host::FailureRule::Continue);
        let settings = PluginSettings { on_failure, ..Default::default() };
        let config = Config {
            request_timeout: Duration::from_millis(500),
            plugins: [("*".to_owned(), settings)].into(),
            ..Config::default()
        };
        let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
        let never = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"never": true}]}});
        let _hangs = bench.plugin("10-hangs", &never, &["-fail-request"]).await;
        match bench.create("c").await {
            Ok(_) => assert!(!fails),
            Err(failure) => assert!(fails && matches!(failure.cause, Cause::Late(_)), "{failure}"),
        }
    }
}

/// A plugin that is killed in the middle of a request is gone at once.
#[tokio::test]
async fn a_plugin_that_is_killed() {
    let Some(bench) = Bench::start(Config::default(), NoEmbedder).await else { return };
    let never = json!({"answers": {"CreateContainer": [{"exit": 3}]}, "events": ["CreateContainer"]});
    let _dies = bench.plugin("10-dies", &never, &[]).await;
    let start = Instant::now();
    let created = bench.create("c").await.unwrap();
    assert_eq!(created.plugins[0].outcome, Outcome::Gone);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    while bench.host.active() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// EXT-025, B1: a plugin that stands still (SIGSTOP) while megabytes wait to be written to it costs other requests one
/// deadline, once.
#[tokio::test]
async fn a_stopped_plugin_with_megabytes_pending() {
    let config = Config { request_timeout: Duration::from_millis(1500), ..Config::default() };
    let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
    let stopped = bench.plugin("10-stops", &json!({"events": ["CreateContainer"]}), &[]).await;
    let _works = bench.plugin("20-works", &json!({"events": ["CreateContainer"]}), &[]).await;
    stopped.signal(Signal::STOP);
    let start = Instant::now();
    for n in 0..10 {
        let mut request = creation(&format!("c{n}"));
        request.container.as_mut().unwrap().env = vec![format!("X={}", "x".repeat(3 << 20))];
        let created = bench.host.create_container(request, later()).await.unwrap();
        assert_eq!(created.plugins[0].outcome, Outcome::Late);
        assert_eq!(created.plugins[1].outcome, Outcome::Answer);
    }
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    stopped.signal(Signal::CONT);
    // It catches up: its late answer changes nothing, so it is back.
    while bench.host.status().await.0[0].overdue {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.create("after").await.unwrap().plugins[0].outcome, Outcome::Answer);
}

/// A newcomer that stands still in the middle of a large Synchronize gates nobody.
#[tokio::test]
async fn a_newcomer_that_stands_still() {
    let big = |n: usize| Container {
        env: vec![format!("X={}", "x".repeat(1 << 20))],
        ..container(&format!("c{n}"))
    };
    let config = Config {
        containers: (0..9).map(big).collect(),
        request_timeout: Duration::from_millis(1000),
        ..Config::default()
    };
    let Some(bench) = Bench::start(config, NoEmbedder).await else { return };
    let mut plugin = bench.launch("10-a", &json!({"answers": {"Configure": [{"sleep_ms": 200}]}}), &[]);
    plugin.until("Configure").await;
    plugin.signal(Signal::STOP);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let begun = Instant::now();
        bench.create("new").await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.host.active(), 0);
}

/// Launched from a plugin directory with a drop-in configuration, G1's misfits skipped, started again when it dies.
#[tokio::test]
async fn launched_from_a_directory() {
    let Ok(program) = nri_tests::go::peers().map_err(nri_tests::skipped) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (dir, conf) = (folder.path().join("plugins"), folder.path().join("conf"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::create_dir(&conf).unwrap();
    let script = "#!/bin/sh\nexec GO plugin\n".replace("GO", program.to_str().unwrap());
    for name in ["10-dies", "README", "20-plain"] {
        let path = dir.join(name);
        std::fs::write(&path, &script).unwrap();
        let mode = if name == "20-plain" { 0o644 } else { 0o755 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let output = folder.path().join("lines");
    let drop_in = json!({"output": output, "events": ["CreateContainer"],
        "answers": {"CreateContainer": [{"for": "kill", "exit": 1}, {"adjust": {"env": [{"key": "A", "value": "1"}]}}]}});
    std::fs::write(conf.join("dies.conf"), drop_in.to_string()).unwrap();
    let config = Config { plugin_dir: Some(dir), plugin_config_dir: Some(conf), ..Config::default() };
    let host = Host::start(config, NoEmbedder).await.unwrap();
    assert!(host.wait_active(1, later()).await);
    let (plugins, _) = host.status().await;
    assert_eq!((plugins[0].name.full(), plugins[0].launched), ("10-dies", true));
    let created = host.create_container(creation("c"), later()).await.unwrap();
    assert_eq!(created.merged.adjust.env.len(), 1);

    let created = host.create_container(creation("kill"), later()).await.unwrap();
    assert_eq!(created.plugins[0].outcome, Outcome::Gone);
    while host.active() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(host.wait_active(1, later()).await, "started again");
    let (plugins, totals) = host.status().await;
    assert!(totals.restarts >= 1);
    let pid = plugins[0].pid.unwrap();
    host.shutdown().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "ended and reaped");
    let lines = std::fs::read_to_string(&output).unwrap();
    assert!(lines.contains("\"Shutdown\""), "{lines}");
}
