use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use nri_runtime::host::{Cause, Identity, Known, Said};
use nri_runtime::merge::{Creation, Stop};
use nri_wire::api::{
    ContainerAdjustment, ContainerEviction, ContainerUpdate, CreateContainerRequest, CreateContainerResponse,
    Hook, Hooks, KeyValue, LinuxCpu, StopContainerResponse, SynchronizeResponse, UpdateContainerResponse,
    UpdateContainersRequest,
};
use nri_wire::event::Event;
use serde_json::json;

use super::*;
use crate::journal::file::{self, Lines, Sink};
use crate::journal::queue::{Next, Queue, Weigh as _};
use crate::journal::{QUEUE_MAX, Writer};

const SECRET: &str = "correct-horse-battery";

fn name(text: &str) -> PluginName {
    text.parse().unwrap()
}

fn consulted(plugin: &str, outcome: Outcome, said: Option<Said>) -> Consulted {
    let given = said.map(|said| {
        Arc::new(Given {
            identity: Identity::default(),
            said,
            unknown: Vec::new(),
            targets: BTreeMap::default(),
        })
    });
    Consulted { given, ..Consulted::new(name(plugin), outcome) }
}

fn failure(cause: Cause, plugins: Vec<Consulted>) -> HostFailure {
    HostFailure { event: Event::CreateContainer, cause, plugins, refused: Vec::new() }
}

fn update(id: &str) -> ContainerUpdate {
    ContainerUpdate { container_id: id.to_owned(), ..ContainerUpdate::default() }
}

fn evict(id: &str) -> ContainerEviction {
    ContainerEviction { container_id: id.to_owned(), reason: "why".to_owned() }
}

fn adjusting(value: &str) -> Said {
    let hook = Hook {
        path: "/h".into(),
        args: vec![value.into()],
        env: vec![format!("H={value}")],
        ..Default::default()
    };
    let adjust = ContainerAdjustment {
        env: vec![KeyValue { key: "A".into(), value: value.into() }],
        args: vec!["sh".into(), value.into()],
        hooks: Some(Hooks { prestart: vec![hook], ..Default::default() }),
        ..Default::default()
    };
    Said::Create(Box::new(CreateContainerResponse { adjust: Some(adjust), ..Default::default() }))
}

fn container(value: &str) -> Container {
    let hook = Hook {
        path: "/h".into(),
        args: vec![value.into()],
        env: vec![format!("H={value}")],
        ..Default::default()
    };
    Container {
        id: "c1".into(),
        env: vec![format!("TOKEN={value}"), value.into()],
        args: vec!["sh".into(), value.into()],
        hooks: Some(Hooks { poststop: vec![hook], ..Default::default() }),
        ..Default::default()
    }
}

fn pod() -> PodSandbox {
    PodSandbox { id: "p1".into(), ..Default::default() }
}

/// The members that a line must have, in the order in which they are written; `time` and `id` are looked at elsewhere.
#[test]
fn lines_have_the_form_of_the_manual() {
    let check = |entry: Entry, expect: Value| {
        let mut line = entry.line("7-ab");
        let time = line.as_object_mut().unwrap().shift_remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
        assert_eq!(line.to_string(), expect.to_string());
    };
    let mut create =
        about(Recorded::Create, Some(&pod()), Some(&Container { id: "c1".into(), ..Default::default() }));
    create.spec = Some(json!({"ociVersion": "1.0.2"}));
    create.answers = vec![
        consulted(
            "10-a",
            Outcome::Answer,
            Some(Said::Create(Box::new(CreateContainerResponse {
                adjust: Some(ContainerAdjustment { args: vec!["x".into()], ..Default::default() }),
                update: vec![update("c2")],
                evict: vec![evict("c3")],
            }))),
        ),
        consulted("20-b", Outcome::Gone, None),
        consulted("30-c", Outcome::Late, None),
    ];
    create.validators = vec![consulted("90-v", Outcome::Answer, Some(Said::Validate(Default::default())))];
    check(
        create,
        json!({"version": 1, "id": "c7-ab", "event": "CreateContainer", "pod": {"id": "p1"},
        "container": {"id": "c1"}, "spec": {"ociVersion": "1.0.2"},
        "answers": [
            {"plugin": "10-a", "adjust": {"args": ["x"]}, "update": [{"containerId": "c2"}],
                "evict": [{"containerId": "c3", "reason": "why"}]},
            {"plugin": "20-b", "gone": true}, {"plugin": "30-c", "late": true}],
        "validators": [{"plugin": "90-v", "reject": false}], "targets": {}}),
    );

    let resources = LinuxResources {
        cpu: Some(LinuxCpu { cpus: "0-1".into(), ..Default::default() }),
        ..Default::default()
    };
    let mut updated =
        about(Recorded::Update(Some(Box::new(resources.clone()))), Some(&pod()), Some(&Container::default()));
    updated.answers =
        vec![consulted("10-a", Outcome::Answer, Some(Said::Update(UpdateContainerResponse::default())))];
    check(
        updated,
        json!({"version": 1, "id": "u7-ab", "event": "UpdateContainer", "pod": {"id": "p1"},
        "container": {}, "resources": {"cpu": {"cpus": "0-1"}},
        "answers": [{"plugin": "10-a", "update": [], "evict": []}], "targets": {}}),
    );

    let mut stopped = about(Recorded::Stop, Some(&pod()), Some(&Container::default()));
    let known = Known {
        namespace: Some("prod".into()),
        labels: Some([("a".to_owned(), "b".to_owned())].into()),
        resources: Some(resources),
    };
    let said = Said::Stop(StopContainerResponse { update: vec![update("c2")] });
    stopped.answers = vec![Consulted {
        given: Some(Arc::new(Given {
            identity: Identity { uid: Some(7), ..Identity::default() },
            said,
            unknown: vec!["update.linux.9".into()],
            targets: [("c2".to_owned(), known), ("c3".to_owned(), Known::default())].into(),
        })),
        ..consulted("10-a", Outcome::Answer, None)
    }];
    check(
        stopped,
        json!({"version": 1, "id": "s7-ab", "event": "StopContainer", "pod": {"id": "p1"}, "container": {},
        "answers": [{"plugin": "10-a", "update": [{"containerId": "c2"}], "evict": [], "unknown": ["update.linux.9"],
                "facts": {"launched": false, "uid": 7, "proofs": ["peer.uid"], "assurance": "medium"}}],
        "targets": {"c2": {"namespace": "prod", "labels": {"a": "b"}, "resources": {"cpu": {"cpus": "0-1"}}},
            "c3": {"resources": {}}}}),
    );

    let known = Recorded::Synchronize { pods: vec![pod()], containers: vec![Container::default()] };
    check(
        Entry::new(known),
        json!({"version": 1, "id": "y7-ab", "event": "Synchronize", "pods": [{"id": "p1"}],
        "containers": [{}], "answers": [], "targets": {}}),
    );
}

/// What failed requests leave: who did what, in which list, and whether there might have been more.
#[test]
fn failures() {
    let check = |cause: Cause, plugins: Vec<Consulted>, expect: Value| {
        let mut entry = Entry::new(Recorded::Create);
        entry.failed(&failure(cause, plugins));
        let line = entry.line("1");
        let got = json!([line["answers"], line["validators"], line.get("incomplete").is_some()]);
        assert_eq!(got, expect);
    };
    let answer = || consulted("10-a", Outcome::Answer, Some(Said::Create(Box::default())));
    let said = json!({"plugin": "10-a", "adjust": {}, "update": [], "evict": []});
    let agrees = || consulted("90-v", Outcome::Answer, Some(Said::Validate(Default::default())));
    let veto = |plugin| consulted(plugin, Outcome::Veto("no".into()), None);
    check(
        Cause::Veto { plugin: name("20-b"), reason: "no".into(), code: 2 },
        vec![answer(), veto("20-b")],
        json!([[said, {"plugin": "20-b", "error": "no"}], [], true]),
    );
    check(
        Cause::Validator { plugin: name("91-w"), reason: "no".into() },
        vec![answer(), agrees(), veto("91-w")],
        json!([[said], [{"plugin": "90-v", "reject": false}, {"plugin": "91-w", "reject": true, "reason": "no"}], false]),
    );
    check(
        Cause::Validator { plugin: name("91-w"), reason: "it did not answer in time".into() },
        vec![answer(), consulted("91-w", Outcome::Late, None)],
        json!([[said], [{"plugin": "91-w", "late": true}], false]),
    );
    check(Cause::Rejected("no".into()), vec![answer()], json!([[said], [], false]));
    check(
        Cause::Invalid { plugin: name("20-b"), reason: "field 3: not UTF-8".into() },
        vec![answer(), consulted("20-b", Outcome::Answer, None)],
        json!([[said, {"plugin": "20-b", "invalid": "field 3: not UTF-8"}], [], true]),
    );
    check(Cause::Expired, vec![], json!([[], [], true]));
}

/// Everything that the host tells, through the real file: no secret in its bytes, each line whole and with its members.
#[test]
fn secrets_stay_out_of_the_file() {
    for secrets in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.jsonl");
        let recorder = Recorder::open(&path, secrets).unwrap();
        let (pod, container) = (pod(), container(SECRET));
        let request = CreateContainerRequest { pod: Some(pod.clone()), container: Some(container.clone()) };
        let created = Created {
            merged: Creation::new(request).finish(),
            plugins: vec![consulted("10-a", Outcome::Answer, Some(adjusting(SECRET)))],
            validators: vec![],
            refused: vec![],
        };
        let spec = json!({"process": {"args": [SECRET], "env": [format!("A={SECRET}")]}});
        recorder.created(Some(&pod), Some(&container), Some(&spec), Ok(&created));
        let reason = format!("A must not be {SECRET}");
        let cause = Cause::Veto { plugin: name("20-b"), reason: reason.clone(), code: 2 };
        let veto = failure(
            cause,
            vec![
                consulted("10-a", Outcome::Answer, Some(adjusting(SECRET))),
                consulted("20-b", Outcome::Veto(reason), None),
            ],
        );
        recorder.created(Some(&pod), Some(&container), None, Err(&veto));
        recorder.updated(Some(&pod), Some(&container), None, Err(&veto));
        let stopped =
            Stopped { merged: Stop::new(Default::default()).finish(), plugins: vec![], refused: vec![] };
        recorder.stopped(Some(&pod), Some(&container), Ok(&stopped));
        recorder.synchronized(&[pod], &[container]);
        for said in [
            Said::Synchronize(SynchronizeResponse { update: vec![update("c1")], more: false }),
            Said::UpdateContainers(UpdateContainersRequest {
                update: vec![update("c1")],
                evict: vec![evict("c1")],
            }),
        ] {
            recorder.asked(
                &name("10-a"),
                &Given { identity: Identity::default(), said, unknown: vec![], targets: BTreeMap::default() },
            );
        }
        recorder.close();

        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.contains(SECRET), secrets, "{text}");
        assert!(text.contains("TOKEN"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(
            events,
            [
                "CreateContainer",
                "CreateContainer",
                "UpdateContainer",
                "StopContainer",
                "Synchronize",
                "Synchronize",
                "UpdateContainers"
            ]
        );
        for (line, letter) in lines.iter().zip(["c1-", "c2-", "u3-", "s4-", "y5-", "y6-", "n7-"]) {
            assert!(line["id"].as_str().unwrap().starts_with(letter), "{line}");
            let members: &[&str] = match line["event"].as_str().unwrap() {
                "CreateContainer" => &["pod", "container", "answers", "validators", "targets"],
                "UpdateContainer" => &["pod", "container", "resources", "answers", "targets"],
                "StopContainer" => &["pod", "container", "answers", "targets"],
                "Synchronize" => &["pods", "containers", "answers"],
                _ => &["answers", "targets"],
            };
            for member in ["version", "id"].iter().chain(members) {
                assert!(line.get(member).is_some(), "{member} in {line}");
            }
        }
        // The same value has the same code everywhere.
        if !secrets {
            let code = &lines[0]["container"]["env"][0]["hmac"];
            assert_eq!(&lines[0]["answers"][0]["adjust"]["env"][0]["value"]["hmac"], code);
            assert_eq!(&lines[4]["containers"][0]["args"][1]["hmac"], code);
            assert_eq!(lines[1]["answers"][1]["error"], "A must not be <hidden>");
        }
    }
}

#[test]
fn what_cannot_be_a_recording() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("notes"), "dear diary").unwrap();
    fs::write(at("target"), "").unwrap();
    symlink(at("target"), at("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (path, expect) in [
        (at("link"), "it is a symbolic link"),
        (at("pipe"), "it is no regular file"),
        (dir.path().to_owned(), "it is no regular file"),
        ("/dev/full".into(), "it is no regular file"),
        (at("notes"), "it holds something that is not a recording"),
        (at("missing/file"), "its directory does not exist"),
    ] {
        let error = Recorder::open(&path, false).unwrap_err().to_string();
        let start = format!("failed to record to {}: {expect}", path.display());
        assert!(error.starts_with(&start), "{error}");
    }
    assert!(open(None, true).unwrap_err().to_string().contains("needs --record FILE"));
}

/// An unfinished line of somebody who was killed is ended first; a mode that others could read by is put right.
#[test]
fn a_recording_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    fs::write(&path, "{\"whole\":1}\n{\"to").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    file::open(&path, &KIND).unwrap().append(b"{}\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"whole\":1}\n{\"to\n{}\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_renamed_recording_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("r"), dir.path().join("r.1"));
    let recorder = Recorder::open(&path, false).unwrap();
    fs::rename(&path, &old).unwrap();
    recorder.reopen();
    recorder.synchronized(&[], &[]);
    recorder.close();
    assert_eq!(fs::read_to_string(&old).unwrap(), "");
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

/// What does not fit is dropped and counted, and told once; the end of it, too.
#[test]
fn the_queue_is_bounded() {
    let entry = || Entry::new(Recorded::Stop);
    let queue = Queue::new(entry().weight() * 4);
    let first: Vec<_> = (0..7).map(|_| queue.push(entry())).collect();
    assert_eq!(first, [false, false, false, false, true, false, false]);
    queue.next();
    assert_eq!(queue.recovered(), None, "it is still nearly full");
    queue.next();
    assert_eq!((queue.recovered(), queue.recovered()), (Some(3), None));
    assert!(queue.lose());
    assert!(!queue.lose());
    assert_eq!(queue.close(Duration::ZERO), 4, "two lost, two never written");
    assert!(!queue.push(entry()));
}

/// A node's whole state may be heavier than the queue.
#[test]
fn one_heavy_entry_goes_through() {
    let queue = Queue::new(1);
    assert!(!queue.push(Entry::new(Recorded::Stop)));
    assert!(queue.push(Entry::new(Recorded::Stop)));
    assert!(matches!(queue.next(), Next::Write(_)));
}

/// A disk of a certain size, which takes what fits.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    size: usize,
    may_cut: bool,
}

impl Disk {
    fn new(size: usize, may_cut: bool) -> Self {
        Self(Arc::new(Mutex::new(Content { size, may_cut, ..Content::default() })))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().bytes.clone()).unwrap()
    }
}

impl Sink for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.0.lock().unwrap();
        let room = bytes.len().min(content.size - content.bytes.len());
        content.bytes.extend(&bytes[..room]);
        if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        if !content.may_cut {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.bytes.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

#[test]
fn a_line_that_does_not_fit_leaves_nothing_of_itself() {
    for (may_cut, expect) in [(true, "aaaa\nc\n"), (false, "aaaa\nbb\nc\n")] {
        let disk = Disk::new(7, may_cut);
        let mut lines = Lines::new(disk.clone());
        lines.append(b"aaaa\n").unwrap();
        assert_eq!(lines.append(b"bbbb\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.0.lock().unwrap().size = 20;
        lines.append(b"c\n").unwrap();
        assert_eq!(disk.text(), expect);
    }
}

/// The thread on a disk that is full: what does not fit is lost and counted, what fits afterwards is written.
#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let disk = Disk::new(0, true);
    let queue = Arc::new(Queue::new(QUEUE_MAX));
    let mut writer = Writer {
        kind: &KIND,
        queue: Arc::clone(&queue),
        path: "r".into(),
        text: text(Key::random().unwrap(), false),
        pause: Duration::ZERO,
    };
    let mut lines = Lines::new(disk.clone());
    for _ in 0..3 {
        writer.write(&mut lines, &Entry::new(Recorded::Stop));
    }
    disk.0.lock().unwrap().size = usize::MAX;
    queue.push(Entry::new(Recorded::Stop));
    let thread = std::thread::spawn(move || writer.run(lines, |_| Err::<Lines<Disk>, _>("no")));
    queue.reopen();
    assert_eq!(queue.close(Duration::from_secs(60)), 0, "told when it went on");
    thread.join().unwrap();
    assert_eq!(disk.text().lines().count(), 1);
}

/// The real thing: a file system of 64 KiB. Needs root.
#[test]
fn a_full_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let flags = rustix::mount::MountFlags::empty();
    if let Err(error) = rustix::mount::mount("none", dir.path(), "tmpfs", flags, Some(c"size=64k")) {
        assert_eq!(error, rustix::io::Errno::PERM);
        println!("skipped: a full file system; root is needed");
        return;
    }
    let mounted = Mounted(dir.path());
    let path = dir.path().join("r");
    let mut lines: Lines<File> = file::open(&path, &KIND).unwrap();
    let line = format!("{{\"x\":\"{}\"}}\n", "x".repeat(1500));
    let full =
        (0..100).find_map(|_| lines.append(line.as_bytes()).err()).expect("64 KiB take 100 lines of 1.5 KiB");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.lines().count() > 10 && text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    assert!(text.ends_with('\n'));
    drop(mounted);
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH).ok();
    }
}

#[test]
fn times_are_of_the_result() {
    let mut entry = Entry::new(Recorded::Stop);
    entry.at = SystemTime::UNIX_EPOCH;
    assert_eq!(entry.line("1")["time"], "1970-01-01T00:00:00.000Z");
}
