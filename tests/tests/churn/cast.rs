//! The plugins, and what is done to them: they join, leave, crash and are upgraded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nri_tests::go;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{LAUNCHED, Stage};
use crate::transcript::{self, Call};
use crate::{Random, now};

/// Longest that a plugin may take to join or to go.
const PATIENCE: Duration = Duration::from_secs(20);
/// The plugins that connect; the last one is Go's.
const NAMES: [&str; 4] = ["10-a", "20-b", "30-c", "40-go"];

/// The same events as the recorder's: a validator that crashes would rightly cost the client a creation.
const GO_SCRIPT: &str = r#"{"events": ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer",
    "PostCreateContainer", "StartContainer", "PostStartContainer", "StopContainer", "RemoveContainer"]}"#;

/// The recorder's program; cargo builds it with this test.
pub(crate) fn recorder() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_recorder"))
}

/// What can be done to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Join,
    Leave,
    Crash,
    /// By a second process of the same program and name.
    Upgrade,
    CrashLaunched,
}

/// One round of deeds, in another order each time, so that none is left out.
const DEEDS: [Deed; 8] = [
    Deed::Join,
    Deed::Join,
    Deed::Join,
    Deed::Leave,
    Deed::Crash,
    Deed::Upgrade,
    Deed::Upgrade,
    Deed::CrashLaunched,
];

/// From a moment to a later one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// Everything that ever happened under one name.
#[derive(Default)]
pub(crate) struct Part {
    /// The process that has the name now.
    actor: Option<Child>,
    /// What the processes wrote.
    pub(crate) files: Vec<PathBuf>,
    /// When the plugin was being taken away, one way or another: from before it to after it.
    pub(crate) ends: Vec<Span>,
}

pub(crate) struct Cast {
    pub(crate) parts: BTreeMap<&'static str, Part>,
    peers: PathBuf,
    /// How often each thing was done.
    pub(crate) deeds: BTreeMap<Deed, usize>,
    /// What is still to be done of this round.
    round: Vec<Deed>,
    pub(crate) problems: Vec<String>,
}

impl Cast {
    pub(crate) fn new(stage: &Stage) -> Result<Self, String> {
        let mut parts: BTreeMap<&'static str, Part> =
            NAMES.into_iter().map(|name| (name, Part::default())).collect();
        let launched = Part { files: vec![stage.folder.path().join(LAUNCHED)], ..Part::default() };
        parts.insert(LAUNCHED, launched);
        let peers = go::peers()?.to_owned();
        Ok(Self { parts, peers, deeds: BTreeMap::new(), round: Vec::new(), problems: Vec::new() })
    }

    /// What reached the plugin of a name.
    pub(crate) fn calls(&self, name: &str) -> Vec<Call> {
        self.parts.get(name).map(|part| transcript::read(&part.files)).unwrap_or_default()
    }

    /// The connection of every plugin has ended.
    pub(crate) fn all_end(&mut self, when: Span) {
        self.parts.values_mut().for_each(|part| part.ends.push(when));
    }

    /// Does one thing to one plugin.
    pub(crate) fn act(&mut self, stage: &Stage, random: &mut Random) {
        self.bury();
        let here: Vec<_> = NAMES.into_iter().filter(|name| self.is_here(name)).collect();
        let absent: Vec<_> = NAMES.into_iter().filter(|name| !self.is_here(name)).collect();
        if self.round.is_empty() {
            self.round = DEEDS.to_vec();
            random.shuffle(&mut self.round);
        }
        let Some(deed) = self.round.pop() else { return };
        let done = match deed {
            Deed::Join => random.one_of(&absent).map(|name| self.start(name, stage)),
            Deed::Leave => random.one_of(&here).map(|name| self.leave(name)),
            Deed::Crash => random.one_of(&here).map(|name| self.crash(name)),
            Deed::CrashLaunched => self.crash_launched().then_some(()),
            Deed::Upgrade => {
                let ours: Vec<_> = here.into_iter().filter(|name| *name != "40-go").collect();
                random.one_of(&ours).map(|name| self.upgrade(name, stage))
            }
        };
        if done.is_some() {
            *self.deeds.entry(deed).or_default() += 1;
        }
    }

    /// Starts whoever is absent, and waits until all have been synchronised after their last end.
    pub(crate) fn gather(&mut self, stage: &Stage) {
        self.bury();
        for name in NAMES {
            if !self.is_here(name) {
                self.start(name, stage);
            }
        }
        let names: Vec<_> = self.parts.keys().copied().collect();
        for name in names {
            if !until(|| self.is_synchronized(name)) {
                self.problems.push(format!("{name} is not synchronised at the end"));
            }
        }
    }

    /// Ends all that connect.
    pub(crate) fn dismiss(&mut self) {
        for name in NAMES {
            if self.is_here(name) {
                self.leave(name);
            }
        }
    }

    fn is_here(&self, name: &str) -> bool {
        self.parts.get(name).is_some_and(|part| part.actor.is_some())
    }

    /// Takes note of processes that ended with their connection: Go's does.
    fn bury(&mut self) {
        for (name, part) in &mut self.parts {
            let Some(actor) = &mut part.actor else { continue };
            if let Ok(Some(status)) = actor.try_wait() {
                if *name != "40-go" {
                    self.problems.push(format!("{name} ended by itself: {status}"));
                }
                part.actor = None;
            }
        }
    }

    /// Whether the newest process of this name has been synchronised since it was taken away for the last time.
    fn is_synchronized(&self, name: &str) -> bool {
        let end = self.parts.get(name).and_then(|part| part.ends.last());
        let since = end.map_or(0, |end| end.until);
        self.synchronized(name).is_some_and(|at| at > since)
    }

    /// When the newest process of this name was synchronised last.
    fn synchronized(&self, name: &str) -> Option<u64> {
        let last = self.parts.get(name)?.files.last()?;
        let calls = transcript::read(std::slice::from_ref(last));
        calls.iter().rev().find(|call| call.event == "Synchronize").map(|call| call.at)
    }

    fn start(&mut self, name: &'static str, stage: &Stage) {
        let Some(part) = self.parts.get_mut(name) else { return };
        let file = stage.folder.path().join(format!("{name}.{}", part.files.len()));
        let socket = stage.gateway.socket();
        let stderr = File::create(stage.folder.path().join(format!("{name}.stderr"))).unwrap();
        let mut command = match name.strip_suffix("-go") {
            Some(index) => {
                let mut command = Command::new(&self.peers);
                let script = stage.folder.path().join("go.json");
                std::fs::write(&script, GO_SCRIPT).unwrap();
                command.args(["plugin", "-name", "go", "-index", index, "-socket"]).arg(socket);
                command.arg("-script").arg(script);
                command.stdout(File::create(&file).unwrap());
                command
            }
            None => {
                let mut command = Command::new(recorder());
                command.arg(socket).arg(name).arg(&file).stdout(Stdio::null());
                command
            }
        };
        let process = command.stdin(Stdio::piped()).stderr(stderr).spawn().unwrap();
        part.files.push(file);
        part.actor = Some(process);
    }

    fn leave(&mut self, name: &str) {
        let from = now();
        let Some(mut actor) = self.take(name) else { return };
        if let Some(mut stdin) = actor.stdin.take() {
            // The recorder's word, and the end of stdin, which is Go's; a plugin that is gone already needs neither.
            let word = if name == "40-go" { "{\"do\":\"stop\"}" } else { "stop" };
            writeln!(stdin, "{word}").ok();
        }
        self.await_end(name, actor, "told to stop");
        self.ended(name, from);
    }

    fn crash(&mut self, name: &str) {
        let from = now();
        let Some(mut actor) = self.take(name) else { return };
        actor.kill().ok();
        actor.wait().ok();
        self.ended(name, from);
    }

    /// A second process takes over: once it is synchronised, the first one goes.
    fn upgrade(&mut self, name: &'static str, stage: &Stage) {
        // Whoever connects last takes over, and after an absence of the gateway the first one may still have to.
        if !until(|| self.is_synchronized(name)) {
            self.problems.push(format!("{name} does not join"));
        }
        let Some(old) = self.take(name) else { return };
        self.start(name, stage);
        if !until(|| self.synchronized(name).is_some()) {
            self.problems.push(format!("the successor of {name} is not synchronised"));
        }
        self.await_end(name, old, "replaced");
    }

    fn crash_launched(&mut self) -> bool {
        let calls = self.calls(LAUNCHED);
        let pid = calls.last().and_then(|call| call.process.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| is_recorder(*pid)) else { return false };
        let from = now();
        kill_process(pid, Signal::KILL).ok();
        until(|| !is_recorder(pid));
        self.ended(LAUNCHED, from);
        true
    }

    fn take(&mut self, name: &str) -> Option<Child> {
        self.parts.get_mut(name)?.actor.take()
    }

    fn ended(&mut self, name: &str, from: u64) {
        if let Some(part) = self.parts.get_mut(name) {
            part.ends.push(Span { from, until: now() });
        }
    }

    fn await_end(&mut self, name: &str, mut actor: Child, why: &str) {
        if !until(|| !matches!(actor.try_wait(), Ok(None))) {
            self.problems.push(format!("{name} was {why} and does not end"));
        }
        actor.kill().ok();
        actor.wait().ok();
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for actor in self.parts.values_mut().filter_map(|part| part.actor.as_mut()) {
            actor.kill().ok();
            actor.wait().ok();
        }
    }
}

/// Whether a process is still the one that wrote this.
fn is_recorder(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).is_ok_and(|exe| exe == recorder())
}

/// Waits until something holds; false if it does not in time.
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
