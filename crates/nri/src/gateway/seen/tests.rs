//! The list against directories that are as they should be, and others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nri_runtime::host::{Cause, Failure, Told};
use nri_runtime::merge::Creation;
use nri_wire::api::CreateContainerRequest;

use super::*;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("gateway")
    }

    fn file(&self) -> PathBuf {
        self.path().join("seen")
    }

    fn content(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn with(content: &[u8]) -> Self {
        let dir = Self::new();
        fs::create_dir(dir.path()).unwrap();
        fs::write(dir.file(), content).unwrap();
        dir
    }

    fn open(&self) -> Seen {
        Seen::open(&self.path())
    }
}

fn container(id: &str) -> Container {
    Container {
        id: id.to_owned(),
        name: format!("n-{id}"),
        pod_sandbox_id: "p".to_owned(),
        ..Container::default()
    }
}

fn containers(ids: &[&str]) -> Vec<Container> {
    ids.iter().map(|id| container(id)).collect()
}

fn pods() -> Vec<PodSandbox> {
    vec![PodSandbox {
        id: "p".to_owned(),
        name: "shop".to_owned(),
        namespace: "prod".to_owned(),
        ..PodSandbox::default()
    }]
}

fn relayed(seen: &Seen, event: Event, id: &str, outcome: Relay<'_>) {
    let container = container(id);
    let relayed = Relayed {
        event,
        pod: None,
        container: Some(&container),
        resources: None,
        outcome,
        took: Duration::ZERO,
        lost: &[],
    };
    seen.relayed(&relayed);
}

fn tell(seen: &Seen, event: Event, id: &str) {
    relayed(seen, event, id, Relay::Told(&Told::default()));
}

fn answer(seen: &Seen, id: &str) {
    let request = CreateContainerRequest { pod: None, container: Some(container(id)) };
    let created = nri_runtime::host::Created {
        merged: Creation::new(request).finish(),
        plugins: Vec::new(),
        validators: Vec::new(),
        refused: Vec::new(),
    };
    relayed(seen, Event::CreateContainer, id, Relay::Created(&created));
}

fn create(seen: &Seen, id: &str) {
    answer(seen, id);
    tell(seen, Event::PostCreateContainer, id);
}

fn keeps(seen: &Seen) -> bool {
    seen.shared.lock().kept
}

#[track_caller]
fn unseen(seen: &Seen, expect: &[&str]) {
    let ids: Vec<_> = seen.unseen().into_iter().map(|unseen| unseen.id).collect();
    assert_eq!(ids, expect);
}

#[test]
fn what_was_seen_survives_a_restart() {
    let dir = Dir::new();
    let seen = dir.open();
    for id in ["b", "a", "c"] {
        create(&seen, id);
        tell(&seen, Event::StartContainer, id);
    }
    tell(&seen, Event::StopContainer, "c");
    tell(&seen, Event::RemoveContainer, "c");
    drop(seen);
    assert_eq!(dir.content(), "a\nb\n");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.path()), mode(dir.file())), (0o700, 0o600));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let seen = dir.open();
    seen.synchronized(&pods(), &containers(&["a", "b", "d"]));
    unseen(&seen, &["d"]);
    create(&seen, "e");
    drop(seen);
    assert_eq!(dir.content(), "a\nb\ne\n");
}

/// An answer may not have reached the engine: who is killed with it in hand has not adjusted the container.
#[test]
fn an_answer_counts_once_the_engine_has_it() {
    let dir = Dir::new();
    let seen = dir.open();
    answer(&seen, "a");
    drop(seen);
    assert_eq!(dir.content(), "");

    let seen = dir.open();
    answer(&seen, "b");
    seen.synchronized(&pods(), &containers(&["b"]));
    unseen(&seen, &["b"]);
    let failure =
        Failure { event: Event::CreateContainer, cause: Cause::Expired, plugins: vec![], refused: vec![] };
    relayed(&seen, Event::CreateContainer, "c", Relay::Failed(&failure));
    tell(&seen, Event::StartContainer, "c");
    answer(&seen, "d");
    tell(&seen, Event::StartContainer, "d");
    drop(seen);
    assert_eq!(dir.content(), "d\n");
}

#[test]
fn the_engines_state_against_the_list() {
    let dir = Dir::with(b"a\nb\ngone\n");
    let seen = dir.open();
    let mut stopped = container("s");
    stopped.set_state(ContainerState::ContainerStopped);
    let mut all = containers(&["a", "b", "x", "y", "z"]);
    all.push(stopped);
    seen.synchronized(&pods(), &all);
    unseen(&seen, &["x", "y", "z"]);
    assert_eq!(
        seen.unseen()[0],
        Unseen {
            namespace: "prod".to_owned(),
            pod: "shop".to_owned(),
            container: "n-x".to_owned(),
            id: "x".to_owned(),
        }
    );
    tell(&seen, Event::StopContainer, "x");
    tell(&seen, Event::RemoveContainer, "y");
    unseen(&seen, &["z"]);
    seen.synchronized(&[], &[]);
    unseen(&seen, &[]);
    drop(seen);
    assert_eq!(dir.content(), "");
}

#[test]
fn the_warning() {
    let check = |count: usize, expect: &str| {
        let ids: Vec<String> = (0..count).map(|n| format!("{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let pods = pods();
        let pods = pods.iter().map(|pod| (pod.id.as_str(), pod)).collect();
        let unseen: Vec<_> = containers(&ids).iter().map(|container| described(container, &pods)).collect();
        let text = Warning(&unseen).to_string();
        assert!(text.ends_with(expect), "{text}");
        assert_eq!(text.matches("prod/shop/").count(), count.min(20));
    };
    check(1, "1 container runs that did not go through this gateway: prod/shop/n-00 (00)");
    check(
        2,
        "2 containers run that did not go through this gateway: prod/shop/n-00 (00), prod/shop/n-01 (01)",
    );
    check(20, "prod/shop/n-19 (19)");
    check(21, "prod/shop/n-19 (19), and 1 more");
    let of_nowhere = described(&container("c"), &BTreeMap::new());
    assert!(Warning(&[of_nowhere]).to_string().ends_with(": /p/n-c (c)"));
}

/// What a full disk, a crash or a hand has made of the file.
#[test]
fn a_file_that_is_not_as_it_should_be() {
    let long = format!("{}\na\n", "x".repeat(257));
    for (content, expect) in [
        (&b""[..], ""),
        (b"a\nb", "a\n"),
        (b"\n\na\n\n", "a\n"),
        (b"a b\n\xff\xfe\n\0\na\n", "a\n"),
        (b"a\na\n", "a\n"),
        (long.as_bytes(), "a\n"),
    ] {
        let dir = Dir::with(content);
        let seen = dir.open();
        let all = containers(&["a", "b"]);
        seen.synchronized(&pods(), &all);
        unseen(&seen, if expect.is_empty() { &["a", "b"] } else { &["b"] });
        tell(&seen, Event::RemoveContainer, "b");
        drop(seen);
        let ids: BTreeSet<_> = dir.content().lines().map(str::to_owned).collect();
        assert_eq!(lines(&ids), expect, "{content:?}");
    }
}

/// Ids that would break the file, or that no engine has.
#[test]
fn ids_that_are_none() {
    let dir = Dir::new();
    let seen = dir.open();
    for id in ["", "a\nb", "a b", "ä", &"x".repeat(257)] {
        create(&seen, id);
    }
    create(&seen, "good_1.x-y");
    drop(seen);
    assert_eq!(dir.content(), "good_1.x-y\n");
}

#[test]
fn one_gateway_holds_the_directory() {
    let dir = Dir::new();
    let first = dir.open();
    create(&first, "a");
    let second = dir.open();
    assert!(!keeps(&second));
    create(&second, "b");
    second.synchronized(&pods(), &containers(&["b", "c"]));
    unseen(&second, &["c"]);
    drop((first, second));
    assert_eq!(dir.content(), "a\n");
    assert!(keeps(&dir.open()));
}

#[test]
fn a_directory_that_cannot_be_used() {
    for wrong in ["a file", "a link", "seen is a directory", "seen is a link", "seen is a pipe"] {
        let dir = Dir::new();
        let elsewhere = dir.0.path().join("elsewhere");
        match wrong {
            "a file" => fs::write(dir.path(), "").unwrap(),
            "a link" => {
                fs::create_dir(&elsewhere).unwrap();
                std::os::unix::fs::symlink(&elsewhere, dir.path()).unwrap();
            }
            "seen is a directory" => fs::create_dir_all(dir.file()).unwrap(),
            "seen is a link" => {
                fs::create_dir(dir.path()).unwrap();
                std::os::unix::fs::symlink(&elsewhere, dir.file()).unwrap();
            }
            _ => {
                fs::create_dir(dir.path()).unwrap();
                rustix::fs::mknodat(rustix::fs::CWD, dir.file(), rustix::fs::FileType::Fifo, 0o600.into(), 0)
                    .unwrap();
            }
        }
        let seen = dir.open();
        assert!(!keeps(&seen), "{wrong}");
        create(&seen, "a");
        seen.synchronized(&pods(), &containers(&["a", "b"]));
        unseen(&seen, &["b"]);
    }
}

/// Others may have opened it; it is closed to them.
#[test]
fn a_directory_that_is_too_open() {
    let dir = Dir::with(b"a\n");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let _seen = dir.open();
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

/// As on a full disk: the file cannot be replaced, and later can. The gateway goes on, and writes everything then.
#[test]
fn what_could_not_be_written_is_written_later() {
    let dir = Dir::new();
    let seen = dir.open();
    create(&seen, "a");
    create(&seen, "b");
    // A directory in the place of the temporary file.
    let obstacle = dir.path().join("seen.tmp");
    until(|| dir.content() == "a\nb\n");
    fs::create_dir(&obstacle).unwrap();
    tell(&seen, Event::RemoveContainer, "a");
    until(|| {
        let state = seen.shared.lock();
        !state.rewrite
    });
    create(&seen, "c");
    until(|| seen.shared.lock().added.is_empty());
    fs::remove_dir(&obstacle).ok();
    drop(seen);
    assert_eq!(dir.content(), "b\nc\n");
}

/// 5,000 containers that come, are told again, and go: no work that grows with their square.
#[test]
fn many_containers() {
    let begun = Instant::now();
    let dir = Dir::new();
    let ids: Vec<String> = (0..5000).map(|n| format!("{n:064x}")).collect();
    let all: Vec<_> = ids.iter().map(|id| container(id)).collect();
    let seen = dir.open();
    ids.iter().for_each(|id| create(&seen, id));
    drop(seen);
    assert_eq!(dir.content().lines().count(), 5000);
    let seen = dir.open();
    seen.synchronized(&pods(), &all);
    unseen(&seen, &[]);
    ids.iter().for_each(|id| tell(&seen, Event::RemoveContainer, id));
    seen.synchronized(&pods(), &all);
    assert_eq!(seen.unseen().len(), 5000);
    drop(seen);
    assert_eq!(dir.content(), "");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}

/// Containers that are never heard of again take no memory for ever.
#[test]
fn what_never_came_to_be_is_forgotten() {
    let dir = Dir::new();
    let seen = dir.open();
    for number in 0..ANSWERED_MAX + 10 {
        answer(&seen, &format!("c{number:06}"));
    }
    assert_eq!(seen.shared.lock().answered.len(), ANSWERED_MAX);
    tell(&seen, Event::PostCreateContainer, &format!("c{:06}", ANSWERED_MAX + 9));
    seen.close();
    assert_eq!(dir.content(), format!("c{:06}\n", ANSWERED_MAX + 9));
}
