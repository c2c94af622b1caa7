//! What the policy costs: `cargo xtask bench policy` runs `bench policy`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nri_policy::change::Containers;
use nri_policy::document::load::{File, PolicySet, load};
use nri_policy::host::NoHost;
use nri_policy::identity::Facts;
use nri_policy::judge::{Asked, Creation, Judge, Options};
use nri_wire::api;
use nri_wire::name::PluginName;

use crate::Failure;
use crate::compare::{Row, progress, settle};
use crate::entrant::Entrant;
use crate::ours::{container, pod, resident_of};
use crate::round::Round;

/// Judgements and calls; the median counts.
const TIMES: usize = 2001;
/// Policies are loaded so often.
const LOADS: usize = 21;
/// The size of the call that a judgement is a share of.
const CALL: usize = 11 * 1024;

pub(crate) fn run(json: bool) -> Result<(), Failure> {
    progress("calls");
    let call = call()?;
    progress("judgements");
    let (few, many) = (judged(20)?, judged(200)?);
    progress("loading");
    let (loading, memory) = loaded()?;
    let rows = [
        Row { what: "judging 20 changes ÷ the 11 KB call, p50", ratio: share(few, call), must: 0.1 },
        Row {
            what: "judging 200 changes ÷ 100 µs, p50",
            ratio: share(many, Duration::from_micros(100)),
            must: 1.0,
        },
        Row {
            what: "loading 50 files of 100 rules ÷ 50 ms, p50",
            ratio: share(loading, Duration::from_millis(50)),
            must: 1.0,
        },
        Row {
            what: "resident memory of these policies ÷ 16 MiB",
            ratio: memory / (16.0 * 1024.0),
            must: 1.0,
        },
    ];
    settle(&rows, json)
}

fn share(took: Duration, of: Duration) -> f64 {
    took.as_secs_f64() / of.as_secs_f64()
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

fn times<T>(count: usize, mut work: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    };
    median((0..count).map(once).collect())
}

/// A CreateContainer of 11 KB and its answer: host and plugin are processes on one core, as in `bench compare`.
fn call() -> Result<Duration, Failure> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("nri.sock");
    let (own, socket) = (std::env::current_exe()?, socket.display().to_string());
    let own = own.to_str().ok_or("the path of this program is no text")?;
    let mut contest = Entrant::start(true, &[own, "wire", &socket], &[&[own, "plugin", &socket]])?;
    let round = Round { what: "create".to_owned(), size: CALL, calls: TIMES, warm: 200, ..Round::default() };
    Ok(Duration::from_nanos(contest.run(&round)?.p50_ns))
}

/// An answer with this many changes: variables, mounts, annotations, and a memory limit.
fn answer(changes: usize) -> api::CreateContainerResponse {
    let mut adjust = api::ContainerAdjustment::default();
    let memory = api::LinuxMemory { limit: Some((256_i64 << 20).into()), ..Default::default() };
    adjust.linux.get_or_insert_default().resources.get_or_insert_default().memory = Some(memory);
    for n in 1..changes {
        match n % 3 {
            0 => adjust.env.push(api::KeyValue { key: format!("NVIDIA_{n}"), value: "1".into() }),
            1 => adjust.mounts.push(api::Mount {
                destination: format!("/usr/lib/gpu/{n}"),
                source: format!("/usr/lib/nvidia/{n}"),
                r#type: "bind".into(),
                options: ["ro", "nosuid", "nodev", "rbind"].map(str::to_owned).into(),
            }),
            _ => drop(adjust.annotations.insert(format!("example.com/{n}"), "1".into())),
        }
    }
    api::CreateContainerResponse { adjust: Some(adjust), ..Default::default() }
}

/// A policy with `rules` rules of fields in all, each with matchers.
fn policy(name: usize, rules: usize) -> String {
    let mut text = format!(
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: p{name}}}\nspec:\n  \
         defaultLevel: l0\n  levels:\n"
    );
    for level in 0..rules.div_ceil(4) {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "    - name: l{level}\n      fields:\n        env: {{allow: [{{name: \"NVIDIA_*\"}}], deny: [\"@loader-injection\"]}}\n        \
             mounts: {{allow: [{{source: /usr/lib/nvidia/**, destination: /usr/lib/**, options: {{require: [ro, nosuid, nodev]}}}}]}}\n        \
             annotations: {{deny: [\"@runtime-control\"]}}\n        \"@memory\": {{bound: {{max: 1Gi}}}}\n"
        );
    }
    text
}

fn set(files: &[String]) -> Result<PolicySet, Failure> {
    let file = |(n, text): (usize, &String)| File {
        name: format!("{n}.yaml"),
        content: text.clone().into_bytes(),
        distrust: None,
    };
    let loaded = load(files.iter().enumerate().map(file).collect(), &NoHost);
    let said = loaded.diagnostics.list().iter().map(|found| found.message.clone()).collect::<Vec<_>>();
    loaded.into_set().map_err(|_| format!("the policy does not load: {said:?}").into())
}

fn judged(changes: usize) -> Result<Duration, Failure> {
    let judge = Judge::new(&set(&[policy(0, 4)])?, Options::default());
    let (plugin, answer): (PluginName, _) = ("10-a".parse()?, answer(changes));
    let (pod, container) = (pod(), container(&Round { size: CALL, ..Round::default() }));
    let judge_once = |answer| {
        let containers = Containers { pristine: &container, running: &container };
        let basis = Creation { containers, pod: Some(&pod), targets: &() };
        judge.judge(&Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &[] }, answer)
    };
    let verdict = judge_once(answer.clone());
    if !verdict.refused.is_empty() {
        return Err(format!("the policy refuses what it should allow: {:?}", verdict.refused).into());
    }
    // What copying an answer costs is no judgement.
    let copy = times(TIMES, || answer.clone());
    Ok(times(TIMES, || judge_once(answer.clone())).saturating_sub(copy))
}

/// What loading takes, and how many KiB more are resident with what was loaded.
fn loaded() -> Result<(Duration, f64), Failure> {
    let files: Vec<String> = (0..50).map(|name| policy(name, 100)).collect();
    let before = resident_of(std::process::id())?;
    let judge = Judge::new(&set(&files)?, Options::default());
    let memory = (resident_of(std::process::id())? - before).max(0.0);
    let took = times(LOADS, || set(&files).map(|set| Judge::new(&set, Options::default())).is_ok());
    drop(judge);
    Ok((took, memory))
}
