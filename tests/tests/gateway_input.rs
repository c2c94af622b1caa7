//! Wrong input of `nri gateway`, as an operator meets it: what it says, with which exit code, and what goes on
//! nevertheless. The engine is one that does what a test says.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::ours::{example, nri};
use nri_tests::plugin::{Maker, Plugin};
use rustix::process::Signal;
use serde_json::json;

/// Runs a gateway that ends by itself.
fn gateway(arguments: &[&str]) -> Output {
    Command::new("timeout").arg("60").arg(nri()).arg("gateway").args(arguments).output().unwrap()
}

/// The exit code, and the start of the one line.
fn check(arguments: &[&str], code: i32, expect: &str) {
    let output = gateway(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.starts_with(expect), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
}

/// A gateway that goes on.
fn spawn(engine: &Path, args: Vec<OsString>) -> Gateway {
    Gateway::spawn(engine, &Settings { args, ..Settings::default() })
}

/// The gateway registers and is told of a node without pods.
async fn connect(engine: &FakeEngine) -> Client {
    engine.joined(Vec::new(), Vec::new()).await
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn flags_and_names() {
    check(&[], 2, "error: --engine-socket PATH is needed, here or as `engine-socket` in --config FILE\n");
    check(
        &["--engine-socket", "/e"],
        2,
        "error: --listen PATH is needed, here or as `listen` in --config FILE\n",
    );
    let base = ["--engine-socket", "/e", "--listen", "/s"];
    let with = |more: &[&'static str], expect: &str| {
        check(&base.into_iter().chain(more.iter().copied()).collect::<Vec<_>>(), 2, expect);
    };
    with(
        &["--index", "7"],
        "error: cannot register as 7-nri-gateway: invalid plugin index \"7\", must be 2 digits",
    );
    with(&["--name", "a b"], "error: cannot register as 00-a b: invalid plugin name \"a b\": contains");
    with(&["--listen", "/e"], "error: --listen /e is the engine's own socket; move that first");
    with(&["--record-secrets"], "error: --record-secrets needs --record FILE");
    with(
        &["--listen", "/t,mode=rw"],
        "error: invalid value '/t,mode=rw' for '--listen <[NAME=]PATH[,mode=0600][,group=G]>': invalid socket \"/t,mode=rw\": mode \"rw\" is no octal number",
    );
    with(
        &["--listen", "/t,group=no-such-group"],
        "error: invalid value '/t,group=no-such-group' for '--listen <[NAME=]PATH[,mode=0600][,group=G]>': invalid socket \"/t,group=no-such-group\": no group \"no-such-group\" in /etc/group; create it, or give its number",
    );
    with(&["--plugin-dir", "/etc/passwd"], "error: cannot use plugin-dir /etc/passwd: Not a directory");
    with(&["--config", "/nope.toml"], "error: cannot read /nope.toml: No such file");
}

#[test]
fn the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let name = file.to_str().unwrap();
    for (text, expect) in [
        ("engine-socket = \"/e\"\nlisten = [\"/s\"\n", ":2:15: unclosed array, expected `]`"),
        (
            "engine_socket = \"/e\"\n",
            ":1:1: unknown key `engine_socket`, expected one of `engine-socket`, `listen`,",
        ),
        (
            "wait = 1\n",
            ":1:1: key `wait` is one of `nri run` and `nri adjust`, not of `nri gateway`; take it out",
        ),
        (
            "listen = [\"/s\", \"/t,owner=a\"]\n",
            ":1:17: invalid socket \"/t,owner=a\": unknown option \"owner=a\"",
        ),
        ("[plugins.\"*\"]\ntimeout = 2\n", ":2:11: invalid type: integer `2`, expected a string"),
        ("[default-validator]\nrequired = []\n", ":2:1: unknown field `required`, expected one of `enable`"),
    ] {
        fs::write(&file, text).unwrap();
        check(&["--config", name], 2, &format!("error: {name}{expect}"));
    }
    fs::write(&file, [b'#', 0xff, b'\n']).unwrap();
    check(&["--config", name], 2, &format!("error: cannot read {name}: stream did not contain valid UTF-8"));
    check(&["--config", folder.path().to_str().unwrap()], 2, "error: cannot read ");
}

#[test]
fn where_it_cannot_listen() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let listen = |socket: &str, expect: &str| {
        check(
            &["--engine-socket", &path("engine"), "--listen", socket],
            3,
            &format!("error: failed to listen {expect}"),
        );
    };
    fs::write(path("file"), "precious").unwrap();
    listen(&path("file"), &format!("at {}: there is something that is no socket; remove it\n", path("file")));
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
    fs::create_dir(path("open")).unwrap();
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    listen(&path("open/s"), &format!("in {}: others may write to that directory", path("open")));
    let _live = UnixListener::bind(path("live")).unwrap();
    let own = std::process::id();
    listen(&path("live"), &format!("at {}: process {own} (", path("live")));
    listen(&path("file/s"), &format!("at {}: ", path("file/s")));
    let long = path(&"x".repeat(120));
    listen(&long, &format!("at {long}: File name too long"));
}

/// A socket that a dead process left is replaced; mode and group are as asked for.
#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let engine = FakeEngine::bind(&folder.path().join("engine")).unwrap();
    let stale = folder.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let listen = format!("{},mode=0666", stale.display());
    let args = ["--listen", &listen].map(Into::into).to_vec();
    let gateway = spawn(&folder.path().join("engine"), args);
    let _client = connect(&engine).await;
    let ready = gateway.wait_until_ready(1);
    assert!(ready.contains("engine=containerd/2.3.4 nri=0.12.0"), "{ready}");
    assert!(ready.contains(stale.to_str().unwrap()), "{ready}");
    assert_eq!(fs::metadata(&stale).unwrap().permissions().mode() & 0o777, 0o666);
    gateway.wait_for("has mode 0666: every user of this machine may change containers through it", 1);
}

/// G1: what is no plugin is named and skipped; the others start.
#[tokio::test]
async fn a_plugin_directory_with_wrong_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for dir in ["plugins", "plugins/50-directory", "conf", "conf/60-unreadable.conf"] {
        fs::create_dir(path(dir)).unwrap();
    }
    let hello = example("hello");
    for name in ["10-hello", "20-hello", "60-unreadable", "hello"] {
        symlink(&hello, path("plugins").join(name)).unwrap();
    }
    symlink("nowhere", path("plugins/30-dangling")).unwrap();
    write(&path("plugins/40-plain"), "#!/bin/sh\n", 0o644);
    write(&path("plugins/70-dies"), "#!/bin/sh\necho no licence >&2\nexit 7\n", 0o755);
    write(&path("plugins/80-broken"), "#!/nope\n", 0o755);
    let engine = FakeEngine::bind(&path("engine")).unwrap();
    let args = [
        "--plugin-dir",
        path("plugins").to_str().unwrap(),
        "--plugin-config-dir",
        path("conf").to_str().unwrap(),
    ]
    .map(Into::into)
    .to_vec();
    let gateway = spawn(&path("engine"), args);
    let client = connect(&engine).await;
    gateway.wait_until_ready(1);
    for (file, why) in [
        ("plugins/30-dangling", "it is no regular file, nor a link to one"),
        ("plugins/40-plain", "it is not executable (chmod +x)"),
        ("plugins/50-directory", "it is a directory"),
        ("plugins/60-unreadable", "60-unreadable.conf cannot be read: Is a directory"),
        ("plugins/hello", "idx-pluginname expected"),
        ("70-dies", "no licence"),
        ("80-broken", "failed to launch: No such file"),
    ] {
        let line = gateway.wait_for(why, 1);
        assert!(line.contains(file), "{file}: {line}");
    }
    // Both good ones have the same base name and are two plugins; they set the same variable, which is a conflict.
    let refusal = client.create(&pod("p"), &container("c", "p")).await.unwrap_err().to_string();
    assert!(refusal.contains("10-hello") && refusal.contains("20-hello"), "{refusal}");
}

/// D17: a launched plugin and one that connects under its name, which is another program. Both are asked.
#[tokio::test]
async fn two_plugins_of_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("plugins")).unwrap();
    symlink(example("hello"), path("plugins/10-twin")).unwrap();
    let engine = FakeEngine::bind(&path("engine")).unwrap();
    let args = vec!["--plugin-dir".into(), path("plugins").into()];
    let gateway = spawn(&path("engine"), args);
    let client = connect(&engine).await;
    gateway.wait_until_ready(1);
    let script =
        json!({"answers": {"CreateContainer": [{"adjust": {"env": [{"key": "TWIN", "value": "x"}]}}]}});
    let twin = Plugin::connect(Maker::Ours, &gateway.socket(), "10-twin", &script, folder.path()).unwrap();
    twin.until("Synchronize");
    let line = gateway.wait_for("runs beside", 1);
    assert!(line.matches("10-twin").count() >= 2, "{line}");
    assert!(line.contains("which is not known to be the same program of the same user"), "{line}");
    let both = || async {
        let adjust = client.create(&pod("p"), &container("c", "p")).await.unwrap().adjust.unwrap_or_default();
        adjust.env.iter().map(|env| env.key.clone()).collect::<Vec<_>>()
    };
    let mut keys = both().await;
    keys.sort();
    assert_eq!(keys, ["HELLO", "TWIN"], "{}", gateway.log());
}

#[tokio::test]
async fn a_plugin_directory_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let engine = FakeEngine::bind(&folder.path().join("engine")).unwrap();
    let missing = folder.path().join("missing");
    let args = vec!["--plugin-dir".into(), missing.clone().into()];
    let gateway = spawn(&folder.path().join("engine"), args);
    let client = connect(&engine).await;
    gateway.wait_until_ready(1);
    let said = format!("plugin-dir {} is not there; no plugin comes from it", missing.display());
    assert!(gateway.log().contains(&said), "{}", gateway.log());
    assert_eq!(
        client.create(&pod("p"), &container("c", "p")).await.unwrap().adjust.unwrap_or_default().env,
        []
    );
}

/// The gateway keeps trying, says once what is in the way, and gets ready when the engine comes.
#[tokio::test]
async fn an_engine_that_is_not_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine");
    let gateway = spawn(&path, Vec::new());
    let engine = format!("engine={}", path.display());
    let says = |text: &str| {
        let line = gateway.wait_for(text, 1);
        assert!(line.contains(&engine), "{line}");
    };
    says("is the engine running, and NRI enabled with this socket_path?");
    fs::write(&path, "").unwrap();
    says("it is not a socket; trying again");
    fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    says("the process that made the socket is gone");
    fs::remove_file(&path).unwrap();
    // Somebody who speaks something else.
    let other = UnixListener::bind(&path).unwrap();
    let (mut stream, _) = other.accept().unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    drop(stream);
    drop(other);
    says("is it the engine's NRI socket?");
    fs::remove_file(&path).unwrap();
    let engine = FakeEngine::bind(&path).unwrap();
    let _client = connect(&engine).await;
    gateway.wait_until_ready(1);
}

/// SIGHUP: what can take effect does; what cannot is named; a file that is wrong changes nothing. The service manager
/// hears of all of it.
#[tokio::test]
async fn settings_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let engine = FakeEngine::bind(&path("engine")).unwrap();
    let manager = UnixDatagram::bind(path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hears = |expect: &str| {
        let mut buffer = [0; 4096];
        loop {
            let read = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("no {expect:?}: {error}"));
            if String::from_utf8_lossy(buffer.get(..read).unwrap()).contains(expect) {
                return;
            }
        }
    };
    let file = path("gateway.toml");
    fs::write(&file, "index = \"05\"\n").unwrap();
    let args = vec!["--config".into(), file.clone().into(), "--name".into(), "mine".into()];
    let env = vec![("NOTIFY_SOCKET".into(), path("notify").into())];
    let gateway = Gateway::spawn(&path("engine"), &Settings { args, env, ..Settings::default() });
    hears("STATUS=waiting for the engine at ");
    let client = connect(&engine).await;
    assert_eq!(
        (client.registered.plugin_idx.as_str(), client.registered.plugin_name.as_str()),
        ("05", "mine")
    );
    hears("READY=1\nSTATUS=relaying containerd/2.3.4");

    // A plugin that is told nothing more, though it did not reconnect.
    let script =
        json!({"answers": {"CreateContainer": [{"adjust": {"env": [{"key": "HELLO", "value": "x"}]}}]}});
    let hello = Plugin::connect(Maker::Ours, &gateway.socket(), "10-hello", &script, folder.path()).unwrap();
    hello.until("Synchronize");
    let adjusted = || async {
        let answer = client.create(&pod("p"), &container("c", "p")).await.unwrap();
        answer.adjust.is_some_and(|adjust| !adjust.env.is_empty())
    };
    for _ in 0..300 {
        if adjusted().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(adjusted().await, "{}", gateway.log());
    fs::write(&file, "index = \"06\"\nname = \"other\"\n[plugins.hello]\nevents = [\"RunPodSandbox\"]\n")
        .unwrap();
    gateway.signal(Signal::HUP);
    hears("RELOADING=1");
    hears("READY=1");
    gateway.wait_for("needs a restart to take effect: index", 1);
    assert!(!adjusted().await, "{}", gateway.log());

    let required = "[plugins.hello]\nevents = [\"RunPodSandbox\"]\n[default-validator]\nrequired-plugins = [\"absent\"]\n";
    fs::write(&file, required).unwrap();
    gateway.signal(Signal::HUP);
    hears("READY=1");
    let refusal = client.create(&pod("p"), &container("c", "p")).await.unwrap_err().to_string();
    assert!(refusal.contains("absent"), "{refusal}");
    fs::write(&file, "[plugins.hello]\nevents = [\"RunPodSandbox\"]\n").unwrap();
    gateway.signal(Signal::HUP);
    hears("READY=1");

    fs::write(&file, "[plugins.hello]\nevents = [\"Create\"]\n").unwrap();
    gateway.signal(Signal::HUP);
    let line = gateway.wait_for("the settings stay as they are: ", 1);
    assert!(line.contains("gateway.toml:2:10: unknown event \"Create\""), "{line}");
    assert!(!adjusted().await);
    fs::remove_file(&file).unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_for("gateway.toml: No such file or directory", 1);
    assert!(!adjusted().await);
    gateway.signal(Signal::TERM);
    hears("STOPPING=1");
}
