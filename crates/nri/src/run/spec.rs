//! The OCI spec that a container starts from: the default one, or that of a bundle, in a private copy.

use std::path::{Path, PathBuf};

use nri_seccomp::profile::DEFAULT_CAPABILITIES;
use serde_json::{Value, json};

use super::profile;
use super::rootfs::Bind;
use crate::failure::Failure;
use crate::spec::{read, section};

/// Old runtimes take it (cli.md, "nri run").
const OCI_VERSION: &str = "1.0.2";

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Files of the kernel that tell or change more than a container should know or do.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the command line says about the process, on top of either spec.
pub(crate) struct Process<'a> {
    pub(crate) command: &'a [String],
    pub(crate) env: &'a [String],
    pub(crate) terminal: bool,
}

/// The default spec for a container with this id over this root file system.
///
/// # Errors
/// As [`profile::resolve`].
pub(crate) fn default(
    id: &str,
    root: &Path,
    binds: &[Bind],
    process: &Process<'_>,
) -> Result<Value, Failure> {
    let capabilities = json!(DEFAULT_CAPABILITIES);
    let mut env = vec![PATH.to_owned(), "HOME=/root".to_owned()];
    if process.terminal {
        env.push(format!("TERM={}", std::env::var("TERM").unwrap_or_else(|_| "xterm".into())));
    }
    let default_command = ["sh".to_owned()];
    let command = if process.command.is_empty() { &default_command } else { process.command };
    let mut spec = json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": process.terminal,
            "user": { "uid": 0, "gid": 0 },
            "args": command,
            "env": env,
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "noNewPrivileges": false,
        },
        "root": { "path": root, "readonly": false },
        "hostname": id,
        "mounts": mounts(binds),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "cgroupsPath": cgroup(id),
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
            ],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": profile::resolve(&DEFAULT_CAPABILITIES, std::env::consts::ARCH)?,
        },
    });
    add_env(&mut spec, process.env);
    Ok(spec)
}

/// The cgroup of a container that the default spec describes, in all hierarchies.
pub(crate) fn cgroup(id: &str) -> String {
    format!("/nri-run-{id}")
}

fn mounts(binds: &[Bind]) -> Vec<Value> {
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"] }),
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777", "size=25%"] }),
    ];
    mounts.extend(binds.iter().map(|bind| {
        json!({ "destination": bind.path, "type": "bind", "source": bind.path, "options": ["bind", "ro"] })
    }));
    mounts
}

/// The spec of a bundle, made independent of where it lies: relative paths become absolute, so that the runtime can
/// be given a private copy. `root` overrides the bundle's root file system.
///
/// # Errors
/// `config.json` is missing, is no JSON object, or names a root file system that is not there.
pub(crate) fn from_bundle(bundle: &Path, process: &Process<'_>) -> Result<Value, Failure> {
    let bundle = &std::fs::canonicalize(bundle)
        .map_err(|error| Failure::usage(format!("cannot open bundle {}: {error}", bundle.display())))?;
    let file = bundle.join("config.json");
    let mut spec = read(&file)?;
    let root = spec.pointer("/root/path").and_then(Value::as_str).unwrap_or("rootfs");
    let root = bundle.join(root);
    check_root(&root, "name one in root.path of config.json")?;
    if let Some(section) = section(&mut spec, "root") {
        section.insert("path".into(), json!(root));
    }
    for mount in spec.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        absolute_source(mount, bundle);
    }
    if !spec.get("process").is_some_and(Value::is_object) {
        return Err(Failure::usage(format!("{} has no process: there is nothing to run", file.display())));
    }
    if let Some(section) = section(&mut spec, "process") {
        if !process.command.is_empty() {
            section.insert("args".into(), json!(process.command));
        }
        section.insert("terminal".into(), json!(process.terminal));
        // The size that a spec gives would be another terminal's.
        section.shift_remove("consoleSize");
    }
    add_env(&mut spec, process.env);
    Ok(spec)
}

/// # Errors
/// The root file system is not a directory; `hint` says what to do about it.
pub(crate) fn check_root(root: &Path, hint: &str) -> Result<(), Failure> {
    match std::fs::metadata(root) {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => {
            Err(Failure::usage(format!("root file system {} is not a directory; {hint}", root.display())))
        }
        Err(error) => {
            Err(Failure::usage(format!("no root file system at {}: {error}; {hint}", root.display())))
        }
    }
}

/// OCI runtimes read a relative source of a bind mount from the bundle.
fn absolute_source(mount: &mut Value, bundle: &Path) {
    let options = mount.get("options").and_then(Value::as_array);
    let bind = mount.get("type").is_some_and(|kind| kind == "bind")
        || options.is_some_and(|options| options.iter().any(|option| option == "bind" || option == "rbind"));
    let Some(source) = mount.get("source").and_then(Value::as_str).map(PathBuf::from) else { return };
    if bind && source.is_relative() {
        mount["source"] = json!(bundle.join(source));
    }
}

/// Sets variables: the last of a name counts, a new one goes to the end.
fn add_env(spec: &mut Value, variables: &[String]) {
    let Some(process) = section(spec, "process") else { return };
    let Some(env) = process.entry("env").or_insert_with(|| json!([])).as_array_mut() else { return };
    for variable in variables {
        let name = variable.split('=').next().unwrap_or_default();
        env.retain(|entry| entry.as_str().is_none_or(|entry| entry.split('=').next() != Some(name)));
        env.push(json!(variable));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process<'a>(command: &'a [String], env: &'a [String]) -> Process<'a> {
        Process { command, env, terminal: false }
    }

    #[test]
    fn default_spec_names_what_cli_md_promises() {
        let command = ["true".to_owned()];
        let env = ["A=1".to_owned(), "HOME=/x".to_owned(), "A=2".to_owned()];
        let spec = default("c1", Path::new("/r"), &[Bind { path: "/usr".into() }], &process(&command, &env))
            .unwrap();
        assert_eq!(spec["ociVersion"], "1.0.2");
        assert_eq!(spec["process"]["args"], json!(["true"]));
        assert_eq!(spec["process"]["env"], json!([PATH, "HOME=/x", "A=2"]));
        assert_eq!(spec["linux"]["cgroupsPath"], "/nri-run-c1");
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(spec["mounts"].as_array().unwrap().last().unwrap()["options"], json!(["bind", "ro"]));
    }

    #[test]
    fn a_bundle_is_read_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        let check = |text: &str, expect: &str| {
            std::fs::write(&config, text).unwrap();
            let error = from_bundle(dir.path(), &process(&[], &[])).unwrap_err().to_string();
            let error = error.replace(&*dir.path().canonicalize().unwrap().to_string_lossy(), "DIR");
            assert_eq!(error, expect);
        };
        check(
            "{",
            "DIR/config.json:1:1: not JSON: EOF while parsing an object; an OCI runtime spec is expected",
        );
        check("[]", "DIR/config.json: an OCI runtime spec must be a JSON object");
        check(r#"{"process":1}"#, "DIR/config.json: process must be a JSON object");
        check(
            r#"{"process":{}}"#,
            "no root file system at DIR/rootfs: No such file or directory (os error 2); name one in root.path of config.json",
        );
        std::fs::create_dir(dir.path().join("rootfs")).unwrap();
        check("{}", "DIR/config.json has no process: there is nothing to run");
        let text = r#"{"process":{"terminal":true,"args":["a"]},"mounts":[{"type":"bind","source":"data"},{"source":"proc"}]}"#;
        std::fs::write(&config, text).unwrap();
        let spec = from_bundle(dir.path(), &process(&[], &["X=1".to_owned()])).unwrap();
        assert_eq!(spec["process"], json!({"terminal": false, "args": ["a"], "env": ["X=1"]}));
        assert_eq!(spec["mounts"][0]["source"], json!(dir.path().canonicalize().unwrap().join("data")));
        assert_eq!(spec["mounts"][1]["source"], "proc");
        assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
    }
}
