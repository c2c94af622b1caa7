//! What must hold after all that.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::cast::{Cast, Span, until};
use crate::pods::{Creation, Pods, is_refused_without_gateway};
use crate::stage::{Absence, Stage};
use crate::transcript::{Books, Call};

/// Brings everything to its end, and says what is wrong, and how many creations plugins heard of from beginning to end.
pub(crate) fn run(stage: &mut Stage, cast: &mut Cast, pods: &Pods) -> (Vec<String>, usize) {
    let mut problems = Vec::new();
    cast.gather(stage);
    views(stage, cast, "with pods that stay", &mut problems);
    seen_is_kept(stage, pods, &mut problems);
    for (pod, container) in pods.stay() {
        stage.remove(pods, &pod, &container);
    }
    views(stage, cast, "after all pods", &mut problems);
    seen_is_kept(stage, pods, &mut problems);
    let left = stage.engine_has();
    if left != Books::default() {
        problems.push(format!("the engine still has {left:?}"));
    }
    problems.extend(no_zombies(stage.gateway.pid()).err());
    cast.dismiss();
    stage.gateway.end(Signal::TERM);
    leftovers(stage, &mut problems);

    let creations = pods.creations();
    let mut checked = 0;
    for name in cast.parts.keys() {
        let calls = cast.calls(name);
        let ends = cast.parts.get(name).map(|part| part.ends.clone()).unwrap_or_default();
        nothing_twice(name, &calls, &mut problems);
        checked += everything_once(name, &calls, &ends, &creations, &mut problems);
    }
    if checked == 0 {
        problems.push("no plugin was there during a whole creation".to_owned());
    }
    refusals(stage.is_required(), &creations, &stage.absences, &mut problems);
    unseen_named(&creations, &stage.absences, &stage.gateway_log(), &mut problems);
    problems.extend(pods.problems());
    problems.append(&mut cast.problems);
    (problems, checked)
}

/// Every plugin's books are the engine's.
fn views(stage: &mut Stage, cast: &Cast, when: &str, problems: &mut Vec<String>) {
    for name in cast.parts.keys() {
        let mut books = Books::default();
        // Events are on their way when the client's call returns.
        if !until(|| {
            books = Books::of(&cast.calls(name));
            books == stage.engine_has()
        }) {
            problems.push(format!("{when}, {name} has {books:?}, the engine {:?}", stage.engine_has()));
        }
    }
}

/// No call comes twice to one process.
fn nothing_twice(name: &str, calls: &[Call], problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    let events =
        calls.iter().filter(|call| !["Configure", "Synchronize", "Shutdown"].contains(&&*call.event));
    for call in events {
        if !seen.insert((&call.process, &call.event, &call.pod, &call.container)) {
            problems.push(format!("{name} got twice: {call:?}"));
        }
    }
}

/// Who is connected and active hears of every creation once: by its event, or from the Synchronize that it began with.
/// Says for how many creations it was there from their beginning to their end.
fn everything_once(
    name: &str,
    calls: &[Call],
    ends: &[Span],
    creations: &[Creation],
    problems: &mut Vec<String>,
) -> usize {
    let mut checked = 0;
    for period in periods(calls, ends) {
        let within: Vec<&Call> =
            calls.iter().filter(|call| call.at >= period.from && call.at < period.until).collect();
        for creation in creations.iter().filter(|creation| creation.ended < period.until) {
            let Ok(id) = &creation.result else { continue };
            if creation.stopped.is_some_and(|stopped| stopped <= period.from) {
                continue;
            }
            let told = within.iter().filter(|call| call.containers.contains(id)).count();
            let events =
                within.iter().filter(|call| call.event == "CreateContainer" && call.container == *id).count();
            let all_of_it = creation.began > period.from;
            checked += usize::from(all_of_it);
            if events > 1 || events == 0 && (told == 0 || all_of_it) {
                problems.push(format!(
                    "{name}, from {} until {}: {events} events and {told} Synchronize of {creation:?}",
                    period.from, period.until
                ));
            }
        }
    }
    checked
}

/// The times in which a plugin was there without a break. An upgrade is none.
fn periods(calls: &[Call], ends: &[Span]) -> Vec<Span> {
    let mut periods: Vec<Span> = Vec::new();
    for call in calls.iter().filter(|call| call.event == "Synchronize") {
        let taken_away = ends.iter().any(|end| (end.from..end.until).contains(&call.at));
        if taken_away || periods.last().is_some_and(|period| period.until > call.at) {
            continue;
        }
        let end = ends.iter().map(|end| end.from).find(|end| *end > call.at);
        periods.push(Span { from: call.at, until: end.unwrap_or(u64::MAX) });
    }
    periods
}

/// What the engine refuses for want of the gateway, it refuses while the gateway is away, and nothing else. Where it
/// requires the gateway, nothing is created meanwhile.
fn refusals(required: bool, creations: &[Creation], absences: &[Absence], problems: &mut Vec<String>) {
    for creation in creations {
        match &creation.result {
            Ok(_) if required && absences.iter().any(|absence| entirely_in(creation, absence)) => {
                problems.push(format!("created unseen: {creation:?}"));
            }
            Err(error)
                if !is_refused_without_gateway(error)
                    || !absences.iter().any(|absence| overlaps(creation, absence)) =>
            {
                problems.push(format!("refused: {creation:?}"));
            }
            _ => {}
        }
    }
}

/// After each absence the gateway names who runs and went past it: all of them, and nobody else. Whom it was asked about
/// at the moment of its end may be named or not: where the gateway is required as well, the engine counts it as asked
/// (quirk A10).
fn unseen_named(creations: &[Creation], absences: &[Absence], log: &str, problems: &mut Vec<String>) {
    for (number, absence) in absences.iter().enumerate() {
        let end = absences.get(number + 1).map_or(log.len(), |next| next.log_from);
        let said = log.get(absence.log_from..end).unwrap_or_default();
        let named: Vec<&str> = said.lines().filter(|line| line.contains(UNSEEN)).collect();
        // Who was unseen once stays so.
        let until_now = absences.get(..=number).unwrap_or_default();
        for creation in creations {
            let Ok(id) = &creation.result else { continue };
            let is_named = named.iter().any(|line| line.contains(id.as_str()));
            let runs = creation.began < absence.started
                && creation.stopped.is_none_or(|stopped| stopped > absence.ready);
            let must = runs && until_now.iter().any(|absence| entirely_in(creation, absence));
            let may = until_now.iter().any(|absence| may_look_unseen(creation, absence));
            if must && !is_named || is_named && !may {
                problems.push(format!("{absence:?}: named {is_named}: {creation:?}"));
            }
        }
    }
}

/// What the gateway says of such containers, before their ids.
const UNSEEN: &str = "did not go through this gateway";

/// How long before its end a gateway may have been told of a container and not have it on the disk.
const WRITTEN_WITHIN: u64 = 1_000_000_000;

/// The gateway's file has every container that there is and that it has seen, and no other one.
fn seen_is_kept(stage: &mut Stage, pods: &Pods, problems: &mut Vec<String>) {
    let creations = pods.creations();
    let absences = stage.absences.clone();
    let excused = |id: &String| {
        let mut its = creations.iter().filter(|creation| creation.result.as_ref() == Ok(id));
        its.any(|creation| absences.iter().any(|absence| may_look_unseen(creation, absence)))
    };
    let (mut lacks, mut more) = (Vec::new(), Vec::new());
    if !until(|| {
        let there = stage.engine_has().containers;
        let text = fs::read_to_string(stage.gateway.path("state/seen")).unwrap_or_default();
        let seen: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        lacks = there.difference(&seen).filter(|id| !excused(id)).cloned().collect();
        more = seen.difference(&there).cloned().collect();
        lacks.is_empty() && more.is_empty()
    }) {
        problems.push(format!("the file `seen` lacks {lacks:?} and has besides {more:?}"));
    }
}

fn entirely_in(creation: &Creation, absence: &Absence) -> bool {
    creation.began > absence.killed && creation.ended < absence.started
}

fn overlaps(creation: &Creation, absence: &Absence) -> bool {
    creation.ended > absence.killed && creation.began < absence.ready
}

/// The gateway may not have it on the disk that it has seen this one.
fn may_look_unseen(creation: &Creation, absence: &Absence) -> bool {
    creation.ended + WRITTEN_WITHIN > absence.killed && creation.began < absence.ready
}

/// No zombies below the gateway.
pub(crate) fn no_zombies(gateway: u32) -> Result<(), String> {
    let mut found = Vec::new();
    let none = until(|| {
        found = zombies(gateway);
        found.is_empty()
    });
    if none { Ok(()) } else { Err(format!("zombies below the gateway: {found:?}")) }
}

fn zombies(parent: u32) -> Vec<String> {
    let stats = fs::read_dir("/proc").into_iter().flatten().flatten();
    stats
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            let mut words = after_name.split_whitespace();
            words.next() == Some("Z") && words.next() == Some(&parent.to_string())
        })
        .collect()
}

/// No sockets of the gateway's, no processes with its paths.
fn leftovers(stage: &Stage, problems: &mut Vec<String>) {
    let folder = stage.gateway.path("");
    for socket in sockets(&folder) {
        problems.push(format!("left behind: {socket}"));
    }
    let mut found = Vec::new();
    if !until(|| {
        found = processes_with(&folder);
        found.is_empty()
    }) {
        problems.push(format!("processes that go on: {found:?}"));
    }
}

fn sockets(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.append(&mut sockets(&entry.path())),
            Ok(kind) if kind.is_socket() => found.push(entry.path().display().to_string()),
            _ => {}
        }
    }
    found
}

fn processes_with(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let lines = fs::read_dir("/proc").into_iter().flatten().flatten();
    lines
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

/// What the run came to, for people.
pub(crate) fn summary(stage: &Stage, cast: &Cast, pods: &Pods) -> String {
    let creations = pods.creations();
    let refused = creations.iter().filter(|creation| creation.result.is_err()).count();
    let longest = creations.iter().map(|creation| creation.ended - creation.began).max().unwrap_or(0);
    let mut text = format!(
        "{} creations, {refused} of them refused, the longest {} ms; gateway killed {} times",
        creations.len(),
        longest / 1_000_000,
        stage.absences.len()
    );
    write!(text, "; {:?}", cast.deeds).ok();
    for name in cast.parts.keys() {
        let calls = cast.calls(name);
        let count = |event: &str| calls.iter().filter(|call| call.event == event).count();
        let (synchronized, created) = (count("Synchronize"), count("CreateContainer"));
        write!(
            text,
            "; {name}: {} calls, {synchronized} Synchronize, {created} CreateContainer",
            calls.len()
        )
        .ok();
    }
    text
}
