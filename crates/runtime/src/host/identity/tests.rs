use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cgroup::{Place, place};
use super::peer::{is_there, started};
use super::*;
use crate::limits::DIGEST_THREADS_MAX;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// `@` stands for a container's id.
#[test]
fn cgroup_texts() {
    let check = |text: &str, expect: Option<(&str, Option<&str>, bool)>| {
        let place = place(&text.replace('@', ID));
        let expect = expect.map(|(path, unit, contained)| Place {
            path: path.replace('@', ID),
            unit: unit.map(|unit| unit.replace('@', ID)),
            container: contained.then(|| ID.to_owned()),
        });
        assert_eq!(place, expect, "{text}");
    };
    // cgroup v2
    check("", None);
    check("0::relative\n", None);
    check("0::/\n", Some(("/", None, false)));
    let v2 = |path: &str, unit: Option<&str>, contained| {
        check(&format!("0::{path}\n"), Some((path, unit, contained)));
    };
    v2("/system.slice/nri-plugin.service", Some("nri-plugin.service"), false);
    v2("/user.slice/user-0.slice/session-2.scope", Some("session-2.scope"), false);
    v2(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-@.scope",
        Some("cri-containerd-@.scope"),
        true,
    );
    v2("/kubepods.slice/kubepods-pod1_2.slice/crio-@.scope", Some("crio-@.scope"), true);
    v2("/kubepods.slice/kubepods-pod1_2.slice/crio-@.scope/container", Some("crio-@.scope"), true);
    v2("/kubepods.slice/kubepods-pod1_2.slice/crio-conmon-@.scope", Some("crio-conmon-@.scope"), false);
    v2("/kubepods/burstable/pod1-2/@", None, true);
    v2("/kubepods/besteffort/pod1-2/crio-@", None, true);
    v2("/kubepods-burstable-pod1_2.slice:cri-containerd:@", None, true);
    v2("/system.slice/docker-@.scope", Some("docker-@.scope"), true);
    v2("/docker/@", None, true);
    v2("/default/@", None, true);
    // As seen from a cgroup namespace of our own.
    v2("/../../pod1-2/@", None, true);
    // No ids: too short, upper case, something behind.
    v2("/docker/0123456789abcdef", None, false);
    v2(&format!("/docker/{}", ID.to_uppercase()), None, false);
    v2("/docker/@0", None, false);
    v2("/docker/@-x", None, false);
    // What is below a unit or a container may have been named by its owner.
    v2("/user.slice/user-1000.slice/user@1000.service/@", Some("user@1000.service"), false);
    v2("/user.slice/user-1000.slice/user@1000.service/crio-@.scope", Some("user@1000.service"), false);
    v2("/system.slice/a.service/b.service/@", Some("a.service"), false);
    let other = "f".repeat(64);
    let nested = format!("0::/kubepods/pod1-2/@/kubepods/pod3-4/{other}\n");
    check(&nested, Some((&nested[3..nested.len() - 1], None, true)));
    // cgroup v1, and hybrid
    check(
        "12:pids:/docker/@\n3:cpu,cpuacct:/\n1:name=systemd:/docker/@\n0::/system.slice/containerd.service\n",
        Some(("/docker/@", None, true)),
    );
    check(
        "9:name=systemd:/\n7:blkio:/\n4:memory:/kubepods/burstable/pod1-2/@\n0::/\n",
        Some(("/kubepods/burstable/pod1-2/@", None, true)),
    );
    check("5:cpuacct,cpu:/kubepods/pod1-2/@\n1:name=systemd:/\n", Some(("/kubepods/pod1-2/@", None, true)));
    check("9:name=systemd:/\n4:memory:/\n0::/\n", Some(("/", None, false)));
    check(
        "1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",
        Some(("/system.slice/a.service", Some("a.service"), false)),
    );
    check("nonsense\n::\n0::/a\n", Some(("/a", None, false)));
}

#[test]
fn start_times() {
    let check = |stat: &str, expect| assert_eq!(started(stat), expect, "{stat}");
    let fields = "S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 100";
    check(&format!("7 (sleep) {fields}"), Some(4242));
    check(&format!("7 (a b) {fields}"), Some(4242));
    check(&format!("7 () ) 1 (x)) {fields}"), Some(4242));
    for nothing in ["", "7 (sleep", "7 (sleep) S 1 7", "7 sleep S 1 7 7 0 -1 1 1 2 3 4 5 6 7 8 20 0 1 0 4242"]
    {
        check(nothing, None);
    }
}

#[test]
fn paths_of_executables() {
    for (path, there) in [
        ("/opt/nri/plugins/10-a", true),
        ("/opt/nri/plugins/10-a (deleted)", false),
        ("(unreachable)/10-a", false),
        ("/memfd:a (deleted)", false),
    ] {
        assert_eq!(is_there(OsStr::new(path)), there, "{path}");
    }
}

/// The form of `facts` in recorded lines (`policy.md` 2).
#[test]
fn facts() {
    let check = |identity: &Identity, expect: &str| {
        assert_eq!(serde_json::to_string(identity).unwrap(), expect);
    };
    check(&Identity::default(), r#"{"launched":false,"proofs":[],"assurance":"weak"}"#);
    let hex = "ab".repeat(32);
    check(
        &Identity::of_launched(Path::new("/p/10-a"), Some(Sha256([0xab; 32])), false),
        &format!(
            r#"{{"launched":true,"exe":"/p/10-a","sha256":"{hex}","proofs":["launched.path","launched.sha256"],"assurance":"strong"}}"#
        ),
    );
    check(
        &Identity::of_launched(Path::new("/p/10-a"), Some(Sha256([0xab; 32])), true),
        &format!(
            r#"{{"launched":true,"exe":"/p/10-a","sha256":"{hex}","script":true,"proofs":["launched.path","launched.sha256"],"assurance":"medium"}}"#
        ),
    );
    check(
        &Identity {
            uid: Some(0),
            gid: Some(5),
            groups: vec![5, 6],
            systemd_unit: Some("a.service".into()),
            cgroup: Some("/system.slice/a.service".into()),
            container_id: Some("c".into()),
            pod: Some(PodIdentity {
                namespace: "ns".into(),
                name: "p".into(),
                labels: BTreeMap::new(),
                container: "c".into(),
            }),
            ..Identity::default()
        },
        concat!(
            r#"{"launched":false,"uid":0,"gid":5,"groups":[5,6],"systemdUnit":"a.service","#,
            r#""cgroup":"/system.slice/a.service","containerId":"c","#,
            r#""pod":{"namespace":"ns","name":"p","container":"c"},"#,
            r#""proofs":["peer.uid","peer.gid","peer.groups","peer.systemdUnit","peer.cgroup","pod.namespace","pod.name","#,
            r#""pod.container"],"assurance":"medium"}"#
        ),
    );
}

/// This process is its own peer: every fact is known from elsewhere.
#[tokio::test]
async fn this_process() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let mut seen = observe(&ours);
    assert_eq!(seen.pid, Some(std::process::id()));
    assert_eq!(seen.identity.uid, Some(rustix::process::getuid().as_raw()));
    assert_eq!(seen.identity.exe, std::fs::read_link("/proc/self/exe").ok());
    assert!(seen.identity.cgroup.is_some() && seen.exit.is_some());
    let hasher = Hasher::default();
    let digest = hasher.digest(seen.image.take().unwrap()).await.unwrap();
    let content = std::fs::read("/proc/self/exe").unwrap();
    let expect: [u8; 32] =
        sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(content)).into();
    assert_eq!(digest, Sha256(expect));
}

/// A process that is gone, while its connection lives on in another one: nothing of it is believed, its end is told.
#[tokio::test]
async fn a_process_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut heir = heir(&path);
    let (stream, _) = listener.accept().await.unwrap();
    let seen = observe(&stream);
    assert_eq!((seen.identity.exe, seen.identity.cgroup), (None, None));
    assert!(seen.identity.uid.is_some() && seen.image.is_none());
    seen.exit.unwrap().wait().await;
    drop(stream);
    heir.read_to_end(&mut Vec::new()).unwrap();
}

/// Has a process connect, hand its connection to another one, and end. That one ends with the connection, and with it the
/// output that this gives.
pub(in crate::host) fn heir(socket: &Path) -> std::process::ChildStdout {
    let mut peer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host::identity::tests::connects_if_told_to", "--nocapture"])
        .env("NRI_TEST_CONNECT", socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(peer.wait().unwrap().success());
    peer.stdout.unwrap()
}

/// The process that connects for [`heir`]; nothing to see without being told so.
#[test]
fn connects_if_told_to() {
    if let Some(socket) = std::env::var_os("NRI_TEST_CONNECT") {
        let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let heir = Command::new("cat").stdin(std::os::fd::OwnedFd::from(stream)).spawn().unwrap();
        // It goes on without this process, which ends now.
        std::mem::forget(heir);
    }
}

/// Files that cannot be read to their end cost their time and a few threads, and no more until those come back.
#[tokio::test]
async fn slow_files_are_given_up() {
    let hold =
        |path: &Path| rustix::fs::open(path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut hasher = Hasher::default();
    hasher.patience = Duration::from_millis(1);
    for _ in 0..DIGEST_THREADS_MAX {
        assert_eq!(hasher.digest(hold(&pipe)).await, None);
    }
    hasher.patience = Duration::from_secs(10);
    assert_eq!(hasher.digest(hold(Path::new("/bin/sh"))).await, None, "all threads wait for the pipe");
    // A pipe that somebody writes to can be opened, and ends once nobody does.
    drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    let read = async {
        while hasher.digest(hold(Path::new("/bin/sh"))).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
}

/// Content that may change without a trace is not remembered; what is remembered needs no second reading.
#[test]
fn digests_are_remembered_once_they_are_settled() {
    let hasher = Hasher::default();
    let mut fresh = tempfile::tempfile().unwrap();
    fresh.write_all(b"abc").unwrap();
    let mut again = || {
        std::io::Seek::rewind(&mut fresh).unwrap();
        hasher.read(&mut fresh, &|| false).unwrap().to_string()
    };
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((again().as_str(), again().as_str()), (abc, abc));
    assert_eq!(hasher.remembered(), 0);
    let mut old = std::fs::File::open("/bin/sh").unwrap();
    let digest = hasher.read(&mut old, &|| false).unwrap();
    // At its end by now: only memory can know it.
    assert_eq!(hasher.read(&mut old, &|| false).unwrap(), digest);
    assert_eq!(hasher.remembered(), 1);
}
