//! OCI bundles for runtimes without an engine, and running them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Host folders that every bundle sees.
const SHARED: [&str; 4] = ["/usr", "/bin", "/lib", "/lib64"];

/// Writes a bundle that sees the host's programs, with this policy (null: none) and command.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write(folder: &Path, policy: &Value, command: &[&str]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("rootfs"))?;
    let bind =
        |path: &str| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]});
    let mut mounts: Vec<Value> =
        SHARED.into_iter().filter(|path| Path::new(path).exists()).map(bind).collect();
    mounts.push(json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}));
    mounts.push(json!({"destination": "/proc", "type": "proc", "source": "proc"}));
    mounts.push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    if let Some(program) = command.first().filter(|program| program.starts_with('/')) {
        mounts.push(bind(program));
    }
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/usr/bin:/bin"],
            "args": command, "noNewPrivileges": true},
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]}
    });
    if !policy.is_null() {
        spec["linux"]["seccomp"] = policy.clone();
    }
    std::fs::write(folder.join("config.json"), spec.to_string())
}

/// A command in a mount namespace of its own, where no cgroup v2 hierarchy stands beside v1: crun 1.8 refuses such hosts.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(program);
    command
}

/// Whether containers of this runtime can be run here; says so where not.
#[must_use]
pub fn possible(runtime: &str) -> bool {
    if !crate::is_root() {
        crate::skipped("containers need root");
        return false;
    }
    let found = Command::new(runtime).arg("--version").output().is_ok();
    if !found {
        crate::skipped(&format!("{runtime} is absent; install the package {runtime}"));
    }
    found
}
