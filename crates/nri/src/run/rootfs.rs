//! The default root file system: the host's programs, read-only, on an empty tmpfs, so that no image is needed.
//!
//! It is mounted in a mount namespace of our own. When our process ends, however it ends, the mount goes with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::failure::Failure;

/// Enough for a session's files, little enough not to fill the host's memory.
const SIZE: &std::ffi::CStr = c"mode=0755,size=25%";

/// A directory of the host that stands in the container at the same path, read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) path: PathBuf,
}

/// Moves the process into a mount namespace of its own, into which later mounts of the host still propagate.
/// Must be called while the process has one thread.
///
/// # Errors
/// The kernel refuses; the message says what it takes.
pub(crate) fn private_mounts() -> Result<(), Failure> {
    let refused = |error| {
        Failure::unavailable(format!(
            "cannot create a mount namespace: {error}; CAP_SYS_ADMIN is needed, run as root"
        ))
    };
    #[expect(unsafe_code, reason = "rustix marks unshare as unsafe because of CLONE_FILES")]
    // SAFETY: CLONE_NEWNS alone does not touch the table of descriptors, which is what the function warns of.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(refused)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(refused)
}

/// Mounts and fills the root file system at `root`, and returns what the container has to bind into it.
///
/// # Errors
/// The file that could not be made, and why.
pub(crate) fn build(root: &Path, hostname: &str) -> Result<Vec<Bind>, Failure> {
    let fail = |what: &Path, error: &dyn std::fmt::Display| {
        Failure::unavailable(format!("cannot prepare the root file system: {}: {error}", what.display()))
    };
    fs::create_dir_all(root).map_err(|error| fail(root, &error))?;
    mount("nri-run", root, "tmpfs", MountFlags::NODEV, SIZE).map_err(|error| fail(root, &error))?;
    let mut binds = Vec::new();
    for entry in host_entries(Path::new("/")).map_err(|error| fail(Path::new("/"), &error))? {
        let inside = root.join(entry.path.strip_prefix("/").unwrap_or(&entry.path));
        match entry.link {
            Some(target) => symlink(target, &inside),
            None => {
                binds.push(Bind { path: entry.path });
                fs::create_dir(&inside)
            }
        }
        .map_err(|error| fail(&inside, &error))?;
    }
    for (dir, mode) in [
        ("dev", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("etc", 0o755),
        ("root", 0o700),
        ("run", 0o755),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ] {
        let dir = root.join(dir);
        fs::create_dir(&dir).map_err(|error| fail(&dir, &error))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).map_err(|error| fail(&dir, &error))?;
    }
    for (name, text) in etc(hostname) {
        let file = root.join("etc").join(name);
        fs::write(&file, text).map_err(|error| fail(&file, &error))?;
    }
    binds.extend(below(&binds, &mount_points()));
    for dir in ["/etc/alternatives", "/etc/ssl/certs"] {
        if Path::new(dir).is_dir() {
            let inside = root.join(dir.trim_start_matches('/'));
            fs::create_dir_all(&inside).map_err(|error| fail(&inside, &error))?;
            binds.push(Bind { path: dir.into() });
        }
    }
    Ok(binds)
}

/// An entry of the host's root directory: a directory, or a link where `/usr` is merged.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    link: Option<PathBuf>,
}

/// `/usr`, `/bin`, `/sbin` and every `/lib*`, in order of their names.
fn host_entries(host: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(host)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !matches!(name, "usr" | "bin" | "sbin") && !name.starts_with("lib") {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            entries.push(Entry { path: Path::new("/").join(name), link: Some(fs::read_link(entry.path())?) });
        } else if kind.is_dir() {
            entries.push(Entry { path: Path::new("/").join(name), link: None });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The minimal `/etc`: who is root, what localhost is, and the loader's cache, so that programs start as on the host.
fn etc(hostname: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".to_vec()),
        ("group", b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n".to_vec()),
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost\n").into_bytes()),
        ("nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec()),
    ];
    files.extend(fs::read("/etc/ld.so.cache").ok().map(|cache| ("ld.so.cache", cache)));
    files
}

/// A bind mount carries no file systems mounted below it, and a recursive one would leave them writable: each is
/// bound, read-only, on its own.
fn below(binds: &[Bind], mounted: &[PathBuf]) -> Vec<Bind> {
    let inside =
        |path: &&PathBuf| binds.iter().any(|bind| path.starts_with(&bind.path) && **path != bind.path);
    let mut found: Vec<PathBuf> =
        mounted.iter().filter(inside).filter(|path| path.is_dir()).cloned().collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|path| Bind { path }).collect()
}

/// Every mount point that our namespace has, in the kernel's order.
pub(crate) fn mount_points() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| PathBuf::from(unescape(path))).collect()
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (escaped, plain)| path.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both layouts: a merged `/usr` with links, and directories of their own.
    #[test]
    fn host_layouts() {
        let host = tempfile::tempdir().unwrap();
        for dir in ["usr", "home", "lib64"] {
            fs::create_dir(host.path().join(dir)).unwrap();
        }
        symlink("usr/bin", host.path().join("bin")).unwrap();
        let entry =
            |path: &str, link: Option<&str>| Entry { path: path.into(), link: link.map(PathBuf::from) };
        assert_eq!(
            host_entries(host.path()).unwrap(),
            [entry("/bin", Some("usr/bin")), entry("/lib64", None), entry("/usr", None)]
        );
    }

    #[test]
    fn file_systems_below_are_bound_on_their_own() {
        let usr = [Bind { path: "/usr".into() }];
        let mounted = ["/", "/usr", "/usr/bin", "/usrlocal", "/usr/bin"].map(PathBuf::from);
        assert_eq!(below(&usr, &mounted), [Bind { path: "/usr/bin".into() }]);
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
    }
}
