//! Who a plugin is, by its process: an impostor, another program in the place of the one that connected, a descriptor in
//! other hands, a replaced file. Before a gateway at a fake engine, and launched by `nri adjust`.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::ours::{nri, scripted_plugin};
use nri_tests::plugin::{Maker, Plugin, lines};
use nri_tests::wait::until_async as until;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::kit::policy;

/// Tells the process of [`connects_if_told_to`] what to do: `exec` or `child`.
const ACT: &str = "NRI_TEST_LOCK_ACT";

/// A gateway under a policy, and the engine before it.
struct Node {
    gateway: Gateway,
    client: Client,
    folder: TempDir,
    _policy: TempDir,
    _engine: FakeEngine,
}

impl Node {
    async fn start(spec: &str) -> Self {
        let (folder, policy) = (tempfile::tempdir().unwrap(), policy(spec));
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::bind(&socket).unwrap();
        let args = ["-v".into(), "--policy".into(), policy.path().into()];
        let gateway = Gateway::spawn(&socket, &Settings { args: args.into(), ..Settings::default() });
        let client = engine.joined(vec![pod("p")], vec![]).await;
        Self { gateway, client, folder, _policy: policy, _engine: engine }
    }

    /// The variables that a new container gets.
    async fn variables(&self, id: &str) -> Vec<String> {
        let created = self.client.create(&pod("p"), &container(id, "p")).await.unwrap();
        created.adjust.into_iter().flat_map(|adjust| adjust.env).map(|env| env.key).collect()
    }

    /// This test's own program, which connects and waits to be told to go on.
    fn stranger(&self, act: &str) -> Stranger {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::connects_if_told_to", "--nocapture"])
            .env(ACT, act)
            .env("NRI_TEST_LOCK_SOCKET", self.gateway.socket())
            .env("NRI_TEST_LOCK_SCRIPT", self.folder.path().join("script"))
            .env("NRI_PLUGIN_NAME", "a")
            .env("NRI_PLUGIN_IDX", "10")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.path().join("stranger")).unwrap())
            .spawn()
            .unwrap();
        Stranger(process)
    }

    /// The gateway holds the executable of whoever connected until it has registered.
    fn has_seen(&self, exe: &Path) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.gateway.pid())).unwrap();
        descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == exe))
    }
}

struct Stranger(Child);

impl Stranger {
    fn go_on(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The process of [`Node::stranger`]; nothing to see without being told so.
#[test]
fn connects_if_told_to() {
    let Ok(act) = std::env::var(ACT) else { return };
    let socket = std::env::var_os("NRI_TEST_LOCK_SOCKET").unwrap();
    let stream = UnixStream::connect(socket).unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut command = Command::new(scripted_plugin());
    command.arg("-script").arg(std::env::var_os("NRI_TEST_LOCK_SCRIPT").unwrap());
    command.env_remove(ACT).env("NRI_PLUGIN_SOCKET", "3");
    command.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(stream), child_fd: 3 }]).unwrap();
    if act == "exec" {
        panic!("{}", command.exec());
    }
    command.spawn().unwrap().wait().unwrap();
}

/// Sets a variable in every container, by a script from the host's settings.
fn sets_a() -> Json {
    json!({"answers": {"CreateContainer": [{"adjust": {"env": [{"key": "A", "value": "1"}]}}]}})
}

/// Whoever connects with this program may set variables; others lose theirs.
fn trusts(program: &Path) -> String {
    format!(
        "{{defaultLevel: none, identities: [{{name: own, level: trusted, reserve: [kept], match: {{peer: {{exe: {}}}}}}}], \
         levels: [{{name: none, fields: {{env: {{allow: [], onViolation: drop-entry}}}}}}, {{name: trusted, fields: {{env: allow}}}}]}}",
        json!(program)
    )
}

#[tokio::test]
async fn an_impostor_is_refused() {
    let node = Node::start(&trusts(Path::new("/opt/real"))).await;
    let plugin =
        Plugin::connect(Maker::Ours, &node.gateway.socket(), "10-kept", &sets_a(), node.folder.path())
            .unwrap();
    until("the impostor is refused", || plugin.lines().iter().any(|line| line["event"] == "closed")).await;
    let line = plugin.lines().into_iter().find(|line| line["event"] == "closed").unwrap();
    assert!(line["error"].as_str().unwrap_or_default().contains("kept"), "{line}");
    assert!(node.gateway.log().contains("node/reserve/own"), "{}", node.gateway.log());
    assert!(node.variables("c1").await.is_empty());
}

/// The same program under the same policy: by itself it is trusted, in the place of another one it is nobody.
#[tokio::test]
async fn another_program_after_connecting_is_nobody() {
    let own = std::env::current_exe().unwrap();
    let node = Node::start(&trusts(&own)).await;
    let output = node.folder.path().join("lines");
    let mut script = sets_a();
    script["output"] = json!(output);
    fs::write(node.folder.path().join("script"), script.to_string()).unwrap();
    let mut stranger = node.stranger("exec");
    until("the connection is looked at", || node.has_seen(&own)).await;
    stranger.go_on();
    until("it is active", || lines(&output).iter().any(|line| line["event"] == "Synchronize")).await;
    assert!(node.variables("c1").await.is_empty());
    assert!(node.gateway.log().contains("no proven identity any more"), "{}", node.gateway.log());

    let node = Node::start(&trusts(&scripted_plugin())).await;
    let plugin =
        Plugin::connect(Maker::Ours, &node.gateway.socket(), "10-a", &sets_a(), node.folder.path()).unwrap();
    until("it is active", || plugin.lines().iter().any(|line| line["event"] == "Synchronize")).await;
    assert_eq!(node.variables("c1").await, ["A"]);
}

#[tokio::test]
async fn a_descriptor_in_other_hands_is_cut_off() {
    let own = std::env::current_exe().unwrap();
    let node = Node::start(&trusts(&own)).await;
    fs::write(node.folder.path().join("script"), sets_a().to_string()).unwrap();
    let mut stranger = node.stranger("child");
    until("the connection is looked at", || node.has_seen(&own)).await;
    stranger.go_on();
    until("it is found out", || node.gateway.log().contains("wrote on the connection of process")).await;
    assert!(node.variables("c1").await.is_empty());
}

/// A launched plugin that is known by its digest; another file under the same name is another plugin.
#[test]
fn a_replaced_file_is_another_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::copy(scripted_plugin(), path("10-a")).unwrap();
    let digest: String =
        Sha256::digest(fs::read(path("10-a")).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut script = sets_a();
    script["output"] = json!(path("lines"));
    fs::write(path("config"), script.to_string()).unwrap();
    fs::write(path("config.json"), r#"{"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/"}}"#).unwrap();
    let spec = format!(
        "{{defaultLevel: none, identities: [{{name: own, level: trusted, match: {{launched: {{path: {}, sha256: '{digest}'}}}}}}], \
         levels: [{{name: none, fields: {{env: deny}}}}, {{name: trusted, requireProof: strong, fields: {{env: allow}}}}]}}",
        json!(fs::canonicalize(path("10-a")).unwrap())
    );
    let policy = policy(&spec);
    let plugin = format!("{}={}", path("10-a").display(), path("config").display());
    let decision = || -> Json {
        let output = Command::new(nri())
            .args(["adjust", "-o", "json", "--spec", "config.json", "--plugin", &plugin, "--policy"])
            .arg(policy.path())
            .current_dir(folder.path())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    let first = decision();
    assert_eq!((&first["outcome"], &first["refused"]), (&json!("adjusted"), &json!([])), "{first}");
    // The same program, one byte longer.
    let mut content = fs::read(path("10-a")).unwrap();
    content.push(0);
    fs::remove_file(path("10-a")).unwrap();
    fs::write(path("10-a"), content).unwrap();
    fs::set_permissions(path("10-a"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let second = decision();
    assert_eq!(second["outcome"], "rejected", "{second}");
    let refused = &second["refused"][0];
    assert_eq!(
        (&refused["level"], &refused["rule"], &refused["identity"]),
        (&json!("none"), &json!("node/none/env"), &Json::Null)
    );
}
