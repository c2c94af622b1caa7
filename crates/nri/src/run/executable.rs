//! Whether the container's command exists, looked at before a runtime is started: a runtime answers in words of its
//! own, on the container's stderr. Where mounts make the answer uncertain the runtime decides.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, open, openat2};
use serde_json::Value;

use super::rootfs::Bind;
use crate::failure::{Failure, Kind};

/// What the container's files are.
pub(crate) enum Files<'a> {
    /// The host's, as far as they are bound into the default root file system.
    Host(&'a [Bind]),
    /// A directory of its own.
    Root(&'a Path),
}

enum Found {
    File,
    NotExecutable,
    Nothing,
}

/// Looks for the command.
///
/// # Errors
/// It is certainly not there, or certainly cannot be executed.
pub(crate) fn check(spec: &Value, files: &Files<'_>) -> Result<(), Failure> {
    let Some(command) = spec.pointer("/process/args/0").and_then(Value::as_str) else {
        return Err(Failure::usage("there is no command to run: give one after --, or in process.args"));
    };
    if mounts_may_hide(spec, files) || (command.contains('/') && !command.starts_with('/')) {
        return Ok(());
    }
    let refuse = |kind, what: &str| Err(Failure::new(kind, format!("command {command:?} {what}")));
    if command.starts_with('/') {
        return match find(Path::new(command), files) {
            Found::File => Ok(()),
            Found::NotExecutable => refuse(Kind::NotExecutable, "is no executable file in the container"),
            Found::Nothing => refuse(Kind::NotFound, "does not exist in the container"),
        };
    }
    let Some(path) = path_of(spec) else { return Ok(()) };
    let places = path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(command));
    if places.into_iter().any(|place| matches!(find(&place, files), Found::File)) {
        return Ok(());
    }
    refuse(Kind::NotFound, &format!("is in none of the container's directories {path}"))
}

/// A mount that the default root file system does not have may bring the command.
fn mounts_may_hide(spec: &Value, files: &Files<'_>) -> bool {
    const EMPTY: [&str; 7] = ["proc", "tmpfs", "devpts", "mqueue", "sysfs", "cgroup", "cgroup2"];
    let text =
        |mount: &Value, member| mount.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    spec.get("mounts").and_then(Value::as_array).into_iter().flatten().any(|mount| {
        let (source, destination) = (text(mount, "source"), text(mount, "destination"));
        let host = |bind: &Bind| bind.path == Path::new(&source) && source == destination;
        let ours = matches!(files, Files::Host(binds) if binds.iter().any(host));
        !ours && !EMPTY.contains(&text(mount, "type").as_str())
    })
}

fn path_of(spec: &Value) -> Option<String> {
    let env = spec.pointer("/process/env")?.as_array()?;
    env.iter()
        .filter_map(Value::as_str)
        .filter_map(|entry| entry.strip_prefix("PATH="))
        .next_back()
        .map(str::to_owned)
}

fn find(path: &Path, files: &Files<'_>) -> Found {
    let mode = match files {
        Files::Host(binds) => std::fs::canonicalize(path)
            .ok()
            .filter(|real: &PathBuf| binds.iter().any(|bind| real.starts_with(&bind.path)))
            .and_then(|real| std::fs::metadata(real).ok())
            .map(|data| data.permissions().mode()),
        Files::Root(root) => mode_inside(root, path),
    };
    match mode {
        None => Found::Nothing,
        Some(mode) if mode & 0o170_000 == 0o100_000 && mode & 0o111 != 0 => Found::File,
        Some(_) => Found::NotExecutable,
    }
}

/// Links are followed as in the container, where the directory is the root.
fn mode_inside(root: &Path, path: &Path) -> Option<u32> {
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    Some(fstat(file).ok()?.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        std::os::unix::fs::symlink("/usr/bin", root.path().join("bin")).unwrap();
        for (name, mode) in [("tool", 0o755), ("text", 0o644)] {
            let file = root.path().join("usr/bin").join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let check = |command: &str, mount: &str, expect: Option<Kind>| {
            let spec = json!({
                "process": { "args": [command], "env": ["PATH=/sbin:/bin"] },
                "mounts": [{ "destination": "/x", "type": mount, "source": "/y" }],
            });
            let result = super::check(&spec, &Files::Root(root.path()));
            assert_eq!(result.err().map(|failure| failure.kind()), expect, "{command}");
        };
        check("tool", "tmpfs", None);
        check("/bin/tool", "tmpfs", None);
        check("/usr/bin/text", "tmpfs", Some(Kind::NotExecutable));
        check("text", "tmpfs", Some(Kind::NotFound));
        check("/bin", "tmpfs", Some(Kind::NotExecutable));
        check("nope", "tmpfs", Some(Kind::NotFound));
        check("/nope", "tmpfs", Some(Kind::NotFound));
        check("/nope", "bind", None);
        check("./nope", "tmpfs", None);
        let host = Files::Host(&[Bind { path: "/usr".into() }]);
        let spec = |command: &str| json!({"process": {"args": [command]}});
        assert!(super::check(&spec("/usr/bin/env"), &host).is_ok());
        assert_eq!(super::check(&spec("/proc/1/exe"), &host).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(super::check(&json!({}), &host).unwrap_err().kind(), Kind::Usage);
    }
}
