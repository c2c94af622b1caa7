//! `packaging/`: the script that moves a containerd's NRI socket behind the gateway, and the systemd units.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nri_tests::skipped;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging")
}

/// The containerd of `cargo xtask test`.
fn containerd() -> Option<PathBuf> {
    let program = PathBuf::from(std::env::var_os("NRI_TEST_CONTAINERD")?).join("containerd");
    program.is_file().then_some(program)
}

/// A node's files under a directory of their own.
struct Node {
    root: tempfile::TempDir,
    containerd: PathBuf,
}

impl Node {
    fn new(containerd: &Path, config: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/containerd")).unwrap();
        fs::create_dir_all(root.path().join("var/lib")).unwrap();
        if let Some(config) = config {
            let file = root.path().join("etc/containerd/config.toml");
            fs::write(&file, config.replace("ROOT", &root.path().to_string_lossy())).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        }
        Self { root, containerd: containerd.to_owned() }
    }

    /// One whose containerd is a script that prints the same settings always.
    fn with_settings(config: &str, settings: &str) -> Self {
        let node = Self::new(Path::new("/nope"), Some(config));
        let program = node.path("containerd");
        fs::write(&program, format!("#!/bin/sh\ncat <<'END'\n{settings}\nEND\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { containerd: program, ..node }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(packaging().join("move-socket"))
            .args(["--root", &self.root.path().to_string_lossy()])
            .args(["--containerd", &self.containerd.to_string_lossy()])
            .args(arguments)
            .env("NRI_MOVE_PATIENCE", "0")
            .output()
            .unwrap()
    }

    /// What the script says, after checking its exit code.
    fn script(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    /// All files below the root: content, mode and time of change.
    fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let data = entry.metadata().unwrap();
                if data.is_dir() {
                    folders.push(entry.path());
                }
                let content = if data.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
                let time = if data.is_file() { data.mtime_nsec() } else { 0 };
                found.insert(entry.path(), (content, data.mode(), time));
            }
        }
        found
    }

    /// The settings as containerd itself understands them, NRI's table without indentation.
    fn dump(&self) -> String {
        let output = Command::new(&self.containerd)
            .arg("--config")
            .arg(self.path("etc/containerd/config.toml"))
            .args(["config", "dump"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A configuration as people have it: settings of NRI in the main file, others beside it.
const CONFIG: &str = r#"# ours
version = 2
root = "/data/containerd"
[plugins."io.containerd.nri.v1.nri"]
  plugin_path = "/usr/lib/nri/plugins"
  plugin_request_timeout = "7s"
  [plugins."io.containerd.nri.v1.nri".default_validator]
    enable = true
    reject_oci_hook_adjustment = true
"#;

#[test]
fn forth_and_back_on_a_real_containerd() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    let imports = "imports = [\"ROOT/etc/containerd/other/*.toml\"] # drop-ins";
    let with = |line: &str| CONFIG.replacen("version = 2\n", &format!("version = 2\n{line}\n"), 1);
    for config in [
        None,
        Some("version = 3\n".to_owned()),
        Some(CONFIG.to_owned()),
        Some(with("imports = []")),
        Some(with("imports = ['conf.d/*.toml']")),
        Some(with("imports = [\"ROOT/etc/containerd/main-2.toml\"]")),
        Some(with(imports.split(" #").next().unwrap())),
    ] {
        let node = Node::new(&containerd, config.as_deref());
        fs::write(node.path("etc/containerd/main-2.toml"), "version = 2\noom_score = -500\n").unwrap();
        let before = (node.files(), node.dump());
        let dry = node.script(&["--dry-run"], 0);
        assert!(dry.contains("+socket_path = '/run/nri-engine/nri.sock'"), "{dry}");
        assert_eq!(node.files(), before.0, "a dry run changed something");

        let said = node.script(&[], 0);
        let after = node.dump();
        assert!(said.contains("moved in the files"), "{said}");
        let expect = before
            .1
            .replace("socket_path = '/var/run/nri/nri.sock'", "socket_path = '/run/nri-engine/nri.sock'")
            .replace("plugin_path = '/usr/lib/nri/plugins'", "plugin_path = '/run/nri-engine/plugins'")
            .replace("plugin_path = '/opt/nri/plugins'", "plugin_path = '/run/nri-engine/plugins'");
        let without_imports = |text: &str| {
            text.lines().filter(|line| !line.starts_with("imports")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_imports(&after), without_imports(&expect), "{config:?}");
        let gateway = fs::read_to_string(node.path("etc/nri/gateway.toml")).unwrap();
        assert!(gateway.contains("listen = [\"/var/run/nri/nri.sock\"]\n"), "{gateway}");
        let plugins = if before.1.contains("/usr/lib/nri/plugins") { "/usr/lib" } else { "/opt" };
        assert!(gateway.contains(&format!("plugin-dir = \"{plugins}/nri/plugins\"\n")), "{gateway}");

        let moved = node.files();
        let said = node.script(&[], 0);
        assert!(
            said.starts_with("nothing to do: containerd's NRI socket is /run/nri-engine/nri.sock"),
            "{said}"
        );
        node.script(&["--roll-back", "--dry-run"], 0);
        assert_eq!(node.files(), moved, "a second run or a dry run changed something");

        node.script(&["--roll-back"], 0);
        assert_eq!(node.files(), before.0, "not exactly as before");
        assert!(node.script(&["--roll-back"], 0).starts_with("nothing to roll back"));
    }
}

#[test]
fn required_plugins_of_the_engine_become_the_gateways() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    let config = format!(
        "{CONFIG}    required_plugins = [\"a\", \"b\"]\n    tolerate_missing_plugins_annotation = \"x/y\"\n"
    );
    for (arguments, engine) in [(&[][..], "[]"), (&["--require"], "['nri-gateway']")] {
        let node = Node::new(&containerd, Some(&config));
        let before = node.files();
        node.script(arguments, 0);
        assert!(node.dump().contains(&format!("required_plugins = {engine}\n")), "{}", node.dump());
        assert!(node.dump().contains("reject_oci_hook_adjustment = true\n"));
        let gateway = fs::read_to_string(node.path("etc/nri/gateway.toml")).unwrap();
        assert!(gateway.contains("required-plugins = ['a', 'b']\n"), "{gateway}");
        assert!(gateway.contains("tolerate-missing-plugins-annotation = \"x/y\"\n"), "{gateway}");
        node.script(&["--roll-back"], 0);
        assert_eq!(node.files(), before);
    }
    let node = Node::new(&containerd, Some("version = 2\n"));
    node.script(&["--require"], 0);
    assert!(node.dump().contains("enable = true\n"));
    let node = Node::new(&containerd, Some("version = 2\n"));
    node.script(&[], 0);
    let said = node.script(&["--require"], 2);
    assert!(said.starts_with("error: the socket has been moved without --require; run"), "{said}");
}

/// A file that is read later and has the last word: the script sees it in what containerd says, and undoes all.
#[test]
fn a_setting_that_wins_over_the_drop_in_undoes_the_move() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    let node = Node::new(&containerd, Some("version = 2\nimports = ['conf.d/*.toml']\n"));
    fs::create_dir(node.path("etc/containerd/conf.d")).unwrap();
    let later = "version = 2\n[plugins.\"io.containerd.nri.v1.nri\"]\nsocket_path = \"/run/late.sock\"\n";
    fs::write(node.path("etc/containerd/conf.d/zzz.toml"), later).unwrap();
    let before = node.files();
    let said = node.script(&[], 3);
    assert!(said.contains("zz-nri-gateway.toml: another file sets socket_path after it"), "{said}");
    assert!(said.contains("everything is as before"), "{said}");
    assert_eq!(node.files(), before);
}

/// The services are a script's: it writes down what it is asked, and fails where it is told to.
#[test]
fn services_are_restarted_in_order_and_a_failure_undoes_the_move() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    for (failing, code, expect) in [
        (
            "nothing",
            0,
            "restart containerd.service|enable nri-gateway.service|restart --no-block nri-gateway.service|is-active --quiet nri-gateway.service",
        ),
        (
            "restart containerd.service",
            3,
            "restart containerd.service|disable --now nri-gateway.service|restart containerd.service",
        ),
        (
            "is-active --quiet nri-gateway.service",
            3,
            "restart containerd.service|enable nri-gateway.service|restart --no-block nri-gateway.service|is-active --quiet nri-gateway.service|disable --now nri-gateway.service|restart containerd.service",
        ),
    ] {
        let node = Node::new(&containerd, Some(CONFIG));
        fs::create_dir_all(node.path("run/nri-engine")).unwrap();
        fs::create_dir_all(node.path("var/run/nri")).unwrap();
        let _sockets = ["run/nri-engine/nri.sock", "var/run/nri/nri.sock"]
            .map(|path| UnixListener::bind(node.path(path)).unwrap());
        let (program, log) = (node.path("systemctl"), tempfile::NamedTempFile::new().unwrap());
        // The second restart of containerd, which undoes, works.
        let text = format!(
            "#!/bin/sh\necho \"$*\" >>{log}\n[ \"$*\" != \"{failing}\" ] || [ \"$(grep -c -F -x \"$*\" {log})\" -gt 1 ]\n",
            log = log.path().display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let before = node.files();
        let said = node.script(&["--systemctl", &program.to_string_lossy()], code);
        let asked = fs::read_to_string(log.path()).unwrap();
        let asked: Vec<&str> =
            asked.lines().filter(|line| !line.starts_with("cat ") && !line.starts_with("show ")).collect();
        if failing == "restart containerd.service" {
            assert!(said.contains("error: containerd.service does not start; see journalctl -u"), "{said}");
        }
        assert_eq!(asked.join("|"), expect, "{said}");
        assert_eq!(node.files() == before, code != 0, "{said}");
    }
}

/// Ended by a signal, and killed without a chance to undo anything.
#[test]
fn a_move_that_is_cut_off() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    let node = Node::new(&containerd, Some(CONFIG));
    let elsewhere = tempfile::tempdir().unwrap();
    let program = elsewhere.path().join("systemctl");
    // At the first restart only.
    let text = "#!/bin/sh\ncase $* in restart*) mkdir $0.$SIGNAL && kill -$SIGNAL $PPID || : ;; esac\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let before = node.files();
    let run = |signal: &str| {
        let output = Command::new(packaging().join("move-socket"))
            .args(["--root", &node.root.path().to_string_lossy(), "--systemctl", &program.to_string_lossy()])
            .args(["--containerd", &containerd.to_string_lossy()])
            .env("SIGNAL", signal)
            .output()
            .unwrap();
        (output.status, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, said) = run("TERM");
    assert!(said.ends_with("everything is as before\n"), "{said}");
    assert_eq!((status.code(), node.files() == before), (Some(143), true), "{said}");
    let (status, said) = run("KILL");
    assert_eq!((status.code(), node.files() == before), (None, false), "{said}");
    let said = node.script(&[], 2);
    assert!(
        said.starts_with("error: an earlier move was cut off; run move-socket --roll-back first"),
        "{said}"
    );
    node.script(&["--roll-back"], 0);
    assert_eq!(node.files(), before);
}

#[test]
fn what_is_not_understood_is_refused_and_nothing_changes() {
    let nri = "[plugins]\n  [plugins.\"io.containerd.nri.v1.nri\"]\n    disable = false\n    socket_path = \"/run/nri/nri.sock\"\n    plugin_path = \"/opt/nri/plugins\"\n    plugin_config_path = \"/etc/nri/conf.d\"\n";
    let version = "version = 2\n";
    for (config, settings, arguments, expect) in [
        (
            "root = \"/x\"\n",
            nri.to_owned(),
            &[][..],
            "/etc/containerd/config.toml is of version 1; 2 or newer is needed: see `containerd config migrate`",
        ),
        ("version = 1\n", nri.to_owned(), &[], "is of version 1; 2 or newer"),
        (version, "version = 2".to_owned(), &[], "this containerd has no NRI: "),
        (
            version,
            nri.replace("disable = false", "disable = true"),
            &[],
            "NRI is disabled in containerd; set disable = false",
        ),
        (
            version,
            nri.replace("disable =", "disable_connections = true\n    disable ="),
            &[],
            "containerd takes no connections of plugins",
        ),
        (
            version,
            nri.replace("\"/opt/nri/plugins\"", "\"\"\"\n/opt\"\"\""),
            &[],
            "cannot understand the line `plugin_path = \"\"\"`",
        ),
        (
            version,
            nri.replace("/opt/nri", "opt"),
            &[],
            "an absolute path is expected in NRI's settings, not \"opt/plugins\"",
        ),
        (
            version,
            nri.replace("/opt/nri", "/opt,a"),
            &[],
            "a path with a quote or comma is in NRI's settings: /opt,a/plugins",
        ),
        (
            version,
            nri.to_owned(),
            &["--require"],
            "this containerd knows no required plugins, --require needs 2.2",
        ),
        (
            version,
            format!(
                "{nri}    [plugins.\"io.containerd.nri.v1.nri\".default_validator]\n    enable = false\n    reject_sysctl_adjustment = true\n    required_plugins = []\n"
            ),
            &["--require"],
            "the default validator of containerd has settings but is not enabled",
        ),
        ("version = 2\nimports = [\n \"a\"]\n", nri.to_owned(), &[], "cannot understand the imports of"),
        (version, nri.to_owned(), &["--nope"], "unknown argument --nope; see move-socket --help"),
        (version, nri.to_owned(), &["--config"], "--config needs a value"),
        (version, nri.to_owned(), &["--config", "x"], "--config x: an absolute path is expected"),
        (
            version,
            nri.to_owned(),
            &["--containerd", "/nope"],
            "there is no program /nope; pass --containerd PROGRAM",
        ),
        (version, nri.to_owned(), &["--containerd", "false"], "containerd cannot read its own configuration"),
    ] {
        let node = Node::with_settings(config, &settings);
        let before = node.files();
        let said = node.script(arguments, 2);
        assert!(said.starts_with("error: ") && said.contains(expect), "{expect}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(node.files(), before, "{expect}");
    }
}

/// What was changed since the move is not lost: the gateway's own settings are kept beside, the engine's refused.
#[test]
fn changes_after_the_move() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    let node = Node::new(&containerd, Some(CONFIG));
    let config = fs::read_to_string(node.path("etc/containerd/config.toml")).unwrap();
    node.script(&[], 0);
    let moved = fs::read_to_string(node.path("etc/containerd/config.toml")).unwrap();
    fs::write(node.path("etc/containerd/config.toml"), format!("{moved}# more\n")).unwrap();
    let said = node.script(&["--roll-back"], 2);
    assert!(said.contains("+# more\n") && said.contains("error: rolling back would lose that"), "{said}");
    fs::write(node.path("etc/containerd/config.toml"), moved).unwrap();
    fs::write(node.path("etc/nri/gateway.toml"), "mine").unwrap();
    node.script(&["--roll-back"], 0);
    assert_eq!(fs::read_to_string(node.path("etc/containerd/config.toml")).unwrap(), config);
    assert_eq!(fs::read_to_string(node.path("etc/nri/gateway.toml.rolled-back")).unwrap(), "mine");
}

#[test]
fn the_scripts_are_clean() {
    let node = "../tests/tests/packaging/node.sh";
    match Command::new("shellcheck").args(["move-socket", "install", node]).current_dir(packaging()).output()
    {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        Err(_) => skipped("shellcheck; apt-get install shellcheck"),
    }
}

/// systemd itself reads the units, with a program that exists in the gateway's place.
#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(packaging().join("systemd/nri-gateway.service")).unwrap();
    let unit = unit.replace("/usr/local/bin/nri", "/bin/true");
    for drop_in in [false, true] {
        let file = folder.path().join("nri-gateway.service");
        fs::write(&file, &unit).unwrap();
        if drop_in {
            let beside = folder.path().join("nri-gateway.service.d");
            fs::create_dir(&beside).unwrap();
            fs::copy(packaging().join("systemd/confined.conf"), beside.join("confined.conf")).unwrap();
        }
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else {
            return skipped("systemd-analyze; apt-get install systemd");
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("nri-gateway.service"), "{said}");
        assert!(!said.contains("confined.conf"), "{said}");
    }
}

#[test]
fn the_installation_has_what_the_unit_names() {
    let root = tempfile::tempdir().unwrap();
    let output = Command::new(packaging().join("install"))
        .args(["--root", &root.path().to_string_lossy(), "--program", "/bin/true"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (file, mode) in [
        ("usr/local/bin/nri", 0o755),
        ("usr/local/sbin/nri-move-socket", 0o755),
        ("etc/systemd/system/nri-gateway.service", 0o644),
        ("etc/tmpfiles.d/nri-gateway.conf", 0o644),
    ] {
        let data = fs::metadata(root.path().join(file)).unwrap();
        assert_eq!(data.permissions().mode() & 0o777, mode, "{file}");
    }
    let unit = fs::read_to_string(root.path().join("etc/systemd/system/nri-gateway.service")).unwrap();
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/nri gateway --config /etc/nri/gateway.toml\n"),
        "{unit}"
    );
    let output = Command::new(packaging().join("install")).args(["--program", "/nope"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: there is no program /nope; build it with: cargo build --release -p nri\n");
}

/// The sample is read as it is, and with every line that is commented out in it.
#[test]
fn the_sample_of_settings_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let sample = fs::read_to_string(packaging().join("nri-gateway.toml")).unwrap();
    let all: Vec<&str> = sample
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .collect();
    assert!(all.iter().any(|line| line.starts_with("record = ")), "{all:?}");
    for text in [sample.clone(), all.join("\n")] {
        let file = folder.path().join("gateway.toml");
        fs::write(&file, text).unwrap();
        // Its index is wrong, so that nothing starts; that is looked at after the file.
        let output = Command::new(nri_tests::ours::nri())
            .args(["gateway", "--index", "x", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("error: cannot register as x-nri-gateway"), "{said}");
    }
}

/// The whole way with a real containerd and gateway: moved, ready, plugins launched by the gateway, and back.
#[test]
fn a_node_is_moved_and_moved_back() {
    let Some(containerd) = containerd() else { return skipped("containerd; run `cargo xtask test`") };
    if !nri_tests::is_root() {
        return skipped("root, for a mount namespace");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging/node.sh");
    std::os::unix::fs::symlink(&script, path("systemctl")).unwrap();
    let config = format!(
        "version = 3\nroot = \"{root}/root\"\n[plugins.'io.containerd.nri.v1.nri']\nplugin_path = \"{root}/plugins\"\n",
        root = folder.path().display()
    );
    fs::write(path("config.toml"), config).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "timeout", "120", "sh"])
        .arg(&script)
        .env("W", folder.path())
        .env("CONTAINERD", containerd.parent().unwrap())
        .env("NRI", nri_tests::ours::nri())
        .env("HELLO", nri_tests::ours::example("hello"))
        .env("MOVE", packaging().join("move-socket"))
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let report =
        format!("{said}\n== gateway\n{}\n== containerd\n{}", log("gateway.log"), log("containerd.log"));
    assert!(output.status.success(), "{report}");
    for expect in [
        "moved: containerd at /run/nri-engine/nri.sock, the gateway at /var/run/nri/nri.sock\n",
        "gateway: ready engine=containerd/",
        "directory: 700\n",
        "10-hello",
        "nothing to do: containerd's NRI socket is /run/nri-engine/nri.sock already\n",
        "rolled back\nas before\n",
    ] {
        assert!(said.contains(expect), "{expect}: {report}");
    }
}
