//! Whether a process is still what it was found to be: it may have become another program, or moved, since it connected
//! (`policy.md` 2, "Rules"). Asked again before an answer counts; it costs three looks into `/proc`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::peer;

/// What can change about a process while it lives.
#[derive(Debug)]
pub(crate) struct Proof {
    process: PathBuf,
    /// Device and inode of the file that it executes; absent where that could not be seen.
    exe: Option<(u64, u64)>,
    /// Path of its cgroup, likewise.
    cgroup: Option<String>,
}

/// What is no longer as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It executes another file.
    Exe,
    /// It is in another cgroup.
    Cgroup,
}

impl Proof {
    /// Of a process as it is now.
    pub(crate) fn of(pid: u32) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        Self { exe: exe(&process), cgroup: cgroup(&process), process }
    }

    /// Of a process that we start from this file. Where it runs is up to us.
    pub(crate) fn of_launched(pid: u32, file: &std::fs::Metadata) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        Self { exe: Some((file.dev(), file.ino())), cgroup: None, process }
    }

    /// Looks again.
    pub(crate) fn check(&self) -> Result<(), Changed> {
        if self.exe.is_some() && exe(&self.process) != self.exe {
            return Err(Changed::Exe);
        }
        if self.cgroup.is_some() && cgroup(&self.process) != self.cgroup {
            return Err(Changed::Cgroup);
        }
        Ok(())
    }
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exe => "its process executes another file than when it connected",
            Self::Cgroup => "its process is in another cgroup than when it connected",
        })
    }
}

fn exe(process: &Path) -> Option<(u64, u64)> {
    // Follows the link to the file itself, whatever mount namespace that is in and whether it still has a name.
    std::fs::metadata(process.join("exe")).ok().map(|file| (file.dev(), file.ino()))
}

fn cgroup(process: &Path) -> Option<String> {
    super::cgroup::place(&peer::text(&process.join("cgroup"))?).map(|place| place.path)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    /// A process that becomes another program is no longer what it was; one that is over is nothing.
    #[test]
    fn an_exec_is_noticed() {
        let script = "echo ready; read go; exec cat";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut ready = [0; 6];
        output.read_exact(&mut ready).unwrap();
        let proof = Proof::of(child.id());
        assert!(proof.exe.is_some());
        assert_eq!(proof.check(), Ok(()));
        input.write_all(b"go\nx\n").unwrap();
        // What `cat` repeats shows that it runs.
        output.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(proof.check(), Err(Changed::Exe));
        drop(input);
        child.wait().unwrap();
        assert_eq!(proof.check(), Err(Changed::Exe));
    }
}
