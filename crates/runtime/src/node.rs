//! This node, asked by the rules of policies: its files, devices and limits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nri_policy::host::{DeviceNode, Host, Unknown};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use sha2::Digest as _;

use crate::limits::{DIGESTS_MAX, HOOK_FILE_MAX, POLICY_FILE_MAX, POLICY_NODES_MAX};

/// This node. What takes long is remembered: digests, by what shows that a file is still the same.
#[derive(Debug, Default)]
pub struct Node {
    annotations: Vec<String>,
    digests: Mutex<BTreeMap<Version, [u8; 32]>>,
}

/// Device, inode, length, time of change.
type Version = (u64, u64, u64, (i64, i64));

impl Node {
    /// With the annotations that the node's OCI runtimes report as potentially unsafe.
    #[must_use]
    pub fn new(unsafe_annotations: Vec<String>) -> Self {
        Self { annotations: unsafe_annotations, digests: Mutex::default() }
    }
}

impl Host for Node {
    fn real_path(&self, path: &str) -> Result<String, Unknown> {
        let real = fs::canonicalize(path).map_err(|error| failed("look up", path, &error))?;
        real.into_os_string().into_string().map_err(|_| Unknown(format!("look up {path}: it is not UTF-8")))
    }

    fn has_symlink(&self, path: &str) -> Result<bool, Unknown> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            // With `O_PATH` a link at the very end is refused too.
            Ok(_) => Ok(false),
            Err(Errno::LOOP) => Ok(true),
            Err(error) => Err(failed("look up", path, &error.into())),
        }
    }

    fn sha256(&self, path: &str) -> Result<[u8; 32], Unknown> {
        self.digest(path).map_err(|error| failed("read", path, &error))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Unknown> {
        let read = || {
            let mut content = Vec::new();
            open(path)?.0.take(POLICY_FILE_MAX).read_to_end(&mut content)?;
            Ok(content)
        };
        read().map_err(|error: io::Error| failed("read", path, &error))
    }

    fn device_nodes(&self, folder: &str) -> Result<Vec<DeviceNode>, Unknown> {
        let mut nodes = Vec::new();
        let mut left = POLICY_NODES_MAX;
        list(Path::new(folder), &mut left, &mut nodes).map_err(|error| failed("list", folder, &error))?;
        Ok(nodes)
    }

    fn memory_total(&self) -> Result<u64, Unknown> {
        const FILE: &str = "/proc/meminfo";
        let text = text(FILE)?;
        let kibibytes = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes
            .and_then(|number| number.checked_mul(1024))
            .ok_or_else(|| Unknown(format!("find MemTotal in {FILE}")))
    }

    fn pid_max(&self) -> Result<u64, Unknown> {
        const FILE: &str = "/proc/sys/kernel/pid_max";
        text(FILE)?.trim().parse().map_err(|_| Unknown(format!("find a number in {FILE}")))
    }

    fn hard_limit(&self, kind: &str) -> Result<u64, Unknown> {
        let known = LIMITS.iter().find(|(name, _)| *name == kind);
        let (_, resource) = known.ok_or_else(|| Unknown(format!("find a limit {kind}")))?;
        Ok(getrlimit(*resource).maximum.unwrap_or(u64::MAX))
    }

    fn cpus(&self) -> Result<String, Unknown> {
        text("/sys/devices/system/cpu/online")
    }

    fn memory_nodes(&self) -> Result<String, Unknown> {
        text("/sys/devices/system/node/online")
    }

    fn is_host_namespace(&self, path: &str) -> Result<bool, Unknown> {
        let place = |path: &str| fs::metadata(path).map(|data| (data.dev(), data.ino()));
        let found = match place(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("look up", path, &error)),
        };
        let list = fs::read_dir(NAMESPACES).map_err(|error| failed("list", NAMESPACES, &error))?;
        for entry in list {
            let path = entry.map_err(|error| failed("list", NAMESPACES, &error))?.path();
            let path = path.to_string_lossy();
            if place(&path).map_err(|error| failed("look up", &path, &error))? == found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn since_boot(&self) -> Result<Duration, Unknown> {
        let time = clock_gettime(ClockId::Boottime);
        Duration::try_from(time).map_err(|_| Unknown("read the time since boot".to_owned()))
    }

    fn unsafe_annotations(&self) -> &[String] {
        &self.annotations
    }
}

/// The namespaces of the first process.
const NAMESPACES: &str = "/proc/1/ns";

const LIMITS: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

impl Node {
    fn digest(&self, path: &str) -> io::Result<[u8; 32]> {
        let (mut file, data) = open(path)?;
        let version = (data.dev(), data.ino(), data.len(), (data.ctime(), data.ctime_nsec()));
        let known = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(&version) {
            return Ok(*digest);
        }
        if data.len() > HOOK_FILE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hash.update(buffer.get(..count).unwrap_or_default()),
            }
        }
        let digest = hash.finalize().into();
        if is_settled(&data) {
            let mut known = known();
            if known.len() >= DIGESTS_MAX {
                known.pop_first();
            }
            known.insert(version, digest);
        }
        Ok(digest)
    }
}

/// Whether another change would show: times of files have a grain, two changes in one look like one.
fn is_settled(data: &fs::Metadata) -> bool {
    const GRAIN: u64 = 2;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(data.ctime()).is_ok_and(|changed| changed.saturating_add(GRAIN) <= now)
}

/// A regular file, and nothing that would keep us waiting.
fn open(path: &str) -> io::Result<(File, fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, data))
}

/// All device nodes below a folder, links not followed.
fn list(folder: &Path, left: &mut usize, nodes: &mut Vec<DeviceNode>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        *left = left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        let kind = entry.file_type()?;
        let device = if kind.is_block_device() { 'b' } else { 'c' };
        if kind.is_dir() {
            // What goes away meanwhile, or may not be read, has no nodes for us.
            let _ = list(&entry.path(), left, nodes);
        } else if (kind.is_block_device() || kind.is_char_device())
            && let (Ok(data), Ok(path)) = (entry.metadata(), entry.path().into_os_string().into_string())
        {
            let number = |n: u32| i64::from(n);
            nodes.push(DeviceNode {
                path,
                kind: device,
                major: number(rustix::fs::major(data.rdev())),
                minor: number(rustix::fs::minor(data.rdev())),
            });
        }
    }
    Ok(())
}

fn text(path: &str) -> Result<String, Unknown> {
    fs::read_to_string(path).map_err(|error| failed("read", path, &error))
}

fn failed(what: &str, path: &str, error: &io::Error) -> Unknown {
    Unknown(format!("{what} {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_this_node() {
        let node = Node::default();
        assert!(node.memory_total().unwrap() > 1 << 20);
        assert!(node.pid_max().unwrap() > 0);
        assert!(node.hard_limit("RLIMIT_NOFILE").unwrap() > 0);
        assert!(node.hard_limit("RLIMIT_NONE").is_err());
        assert!(node.cpus().unwrap().starts_with('0'));
        let nodes = node.device_nodes("/dev").unwrap();
        let null = nodes.iter().find(|node| node.path == "/dev/null").unwrap();
        assert_eq!((null.kind, null.major, null.minor), ('c', 1, 3));
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("file"), "abc").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        let node = Node::default();
        for (name, expect) in [("file", Some(false)), ("link", Some(true)), ("none", None)] {
            assert_eq!(node.has_symlink(&path(name)).ok(), expect, "{name}");
        }
        let real = fs::canonicalize(path("file")).unwrap();
        assert_eq!(node.real_path(&path("link")).unwrap(), real.to_str().unwrap());
        let abc = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        for _ in 0..2 {
            assert_eq!(node.sha256(&path("link")), Ok(abc));
        }
        assert!(node.sha256(folder.path().to_str().unwrap()).is_err());
        assert_eq!(node.read(&path("file")), Ok(b"abc".to_vec()));
    }
}
