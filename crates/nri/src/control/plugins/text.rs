//! The report for people: the engine, a table of plugins with what else is known below each, sums. At most 100 columns.

use std::fmt::Write as _;

use serde_json::Value;

use crate::control::report::{Engine, Plugin, State, Totals};
use crate::control::{Report, Unseen};
use crate::table::{plain, table};

/// Most columns of a line.
const WIDTH: usize = 100;
/// Most columns of a plugin's name.
const NAME: usize = 28;
/// Most containers that are named.
const UNSEEN_MAX: usize = 20;
/// Digits of a digest, with the mark that there are more.
const DIGEST: usize = 13;

pub(super) fn report(report: &Report, colour: bool) -> String {
    let mut text = engine(report.engine.as_ref());
    if report.plugins.is_empty() {
        text.push_str("no plugins\n");
    } else {
        text.push_str(&plugins(&report.plugins, colour));
    }
    text.push_str(&totals(&report.totals));
    text.push_str(&unseen(&report.unseen));
    text
}

/// Nothing where there are none. All of them are in the JSON form.
fn unseen(unseen: &[Unseen]) -> String {
    if unseen.is_empty() {
        return String::new();
    }
    let names = unseen.iter().take(UNSEEN_MAX).map(|Unseen { namespace, pod, container, id }| {
        format!("{}/{}/{} ({})", plain(namespace), plain(pod), plain(container), cut(&plain(id), DIGEST))
    });
    let mut names: Vec<String> = names.collect();
    if unseen.len() > UNSEEN_MAX {
        names.push(format!("and {} more", unseen.len() - UNSEEN_MAX));
    }
    let count = counted(u64::try_from(unseen.len()).unwrap_or(u64::MAX), "container");
    wrapped(&format!("NOT SEEN by the gateway: {count}: {}", names.join(", ")), "", "  ")
}

fn engine(engine: Option<&Engine>) -> String {
    let Some(Engine { name, version, nri_version, connected, since, reconnects }) = engine else {
        return "engine: none has been there yet\n".to_owned();
    };
    let now = if *connected { "connected" } else { "NOT CONNECTED now, was" };
    let said = format!(
        "engine: {} {}, NRI {}, {now} since {}, {} after the first",
        plain(name),
        plain(version),
        plain(nri_version),
        plain(since),
        counted(*reconnects, "connection"),
    );
    wrapped(&said, "", "  ")
}

/// The table, and behind each row what has no place in it.
fn plugins(plugins: &[Plugin], colour: bool) -> String {
    let titles = ["PLUGIN", "STATE", "PID", "QUEUE", "ANSWERS", "VETOES", "LATE", "SKIPPED", "MEAN"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(plugins.iter().map(|plugin| {
        [
            cut(&format!("{}-{}", plain(&plugin.index), plain(&plugin.name)), NAME),
            state(plugin.state, colour),
            plugin.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            short(u64::try_from(plugin.queue).unwrap_or(u64::MAX)),
            short(plugin.answers),
            short(plugin.vetoes),
            short(plugin.lates),
            short(plugin.skipped),
            if plugin.answers == 0 { "-".to_owned() } else { time(plugin.mean_micros) },
        ]
    }));
    let table = table(&rows);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, plugin) in lines.zip(plugins) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        text.push_str(&details(plugin));
    }
    text
}

fn details(plugin: &Plugin) -> String {
    let origin = if plugin.launched { "launched by the gateway" } else { "connected by itself" };
    let late = match plugin.late_answers {
        0 => String::new(),
        late => format!("; {late} came late"),
    };
    let events: Vec<String> = plugin.events.iter().map(|event| plain(event)).collect();
    let events = if events.is_empty() { "none".to_owned() } else { events.join(", ") };
    let since = plain(&plugin.since);
    let said = format!("{origin}, {since}{late}; events: {events}");
    wrapped(&said, "    ", "      ") + &identity(&plugin.identity)
}

/// How well it is known who a plugin is, by what, and who it is.
fn identity(identity: &Value) -> String {
    let text = |key: &str| identity.get(key).and_then(Value::as_str).map(plain);
    let Some(assurance) = text("assurance") else { return String::new() };
    let proofs = identity.get("proofs").and_then(Value::as_array).into_iter().flatten();
    let proofs: Vec<String> = proofs.filter_map(Value::as_str).map(plain).collect();
    let pod = identity.get("pod").map(|pod| {
        let part = |key: &str| pod.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
        format!("container {} of pod {}/{}", part("container"), part("namespace"), part("name"))
    });
    let user = identity.get("uid").and_then(Value::as_u64).map(|uid| format!("uid {uid}"));
    let unit = text("systemdUnit").map(|unit| format!("unit {unit}"));
    let digest = text("sha256").map(|digest| format!("sha256 {}", cut(&digest, DIGEST)));
    let facts: Vec<String> = [text("exe"), digest, user, unit, pod].into_iter().flatten().collect();
    let known = if facts.is_empty() { "nothing".to_owned() } else { facts.join(", ") };
    let by = if proofs.is_empty() { String::new() } else { format!(" by {}", proofs.join(", ")) };
    wrapped(&format!("identity: {known}; {assurance}{by}"), "    ", "      ")
}

fn totals(totals: &Totals) -> String {
    let Totals { calls, joined, lost, refused, restarts, requests, failures } = totals;
    let said = format!(
        "totals: {}, {failures} failed; {}; plugins: {joined} joined, {lost} lost, {refused} refused, {restarts} restarted",
        counted(*requests, "request"),
        counted(*calls, "call"),
    );
    wrapped(&said, "", "  ")
}

fn state(state: State, colour: bool) -> String {
    let (text, code) = match state {
        State::Joining => ("joining", 34),
        State::Active => ("active", 32),
        State::Late => ("late", 31),
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A number in few columns: 99999, then 100k, 10M and so on.
fn short(number: u64) -> String {
    let mut number = number;
    for unit in ["", "k", "M", "G", "T", "P"] {
        if number < 100_000 {
            return format!("{number}{unit}");
        }
        number /= 1000;
    }
    format!("{number}E")
}

fn time(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{} s", short(micros / 1_000_000), micros % 1_000_000 / 100_000),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Words in lines of at most [`WIDTH`] columns. What is longer than any line is cut.
fn wrapped(said: &str, first: &str, next: &str) -> String {
    let (mut text, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    let longest = WIDTH.saturating_sub(first.len().max(next.len()));
    for word in said.split(' ').map(|word| cut(word, longest)) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    text.push_str(&line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin() -> Plugin {
        Plugin {
            name: "topology-aware".into(),
            index: "10".into(),
            pid: Some(20817),
            launched: true,
            since: "2026-11-23T09:15:00.000Z".into(),
            identity: json!({
                "launched": true, "exe": "/opt/nri/plugins/10-topology-aware", "sha256": "0123456789abcdef0123",
                "proofs": ["launched.path", "launched.sha256"], "assurance": "strong",
            }),
            events: vec!["CreateContainer".into(), "StopContainer".into()],
            queue: 1,
            answers: 412,
            mean_micros: 1234,
            ..Plugin::default()
        }
    }

    #[test]
    fn a_report() {
        let late = Plugin {
            name: "a-name-that-does-not-fit-in-the-table".into(),
            index: "20".into(),
            pid: None,
            launched: false,
            identity: json!({
                "uid": 0, "systemdUnit": "kubelet.service",
                "pod": {"namespace": "kube-system", "name": "p", "container": "c"},
                "proofs": ["peer.uid", "peer.systemdUnit", "pod.name"], "assurance": "medium",
            }),
            state: State::Late,
            events: nri_wire::event::EVENTS.iter().map(|(_, name)| (*name).to_owned()).collect(),
            answers: 0,
            lates: 3,
            late_answers: 2,
            ..plugin()
        };
        let engine = Engine {
            name: "containerd".into(),
            version: "2.3.4".into(),
            nri_version: "0.12.0".into(),
            connected: true,
            since: "2026-11-23T09:14:07.213Z".into(),
            reconnects: 1,
        };
        let container = Unseen {
            namespace: "prod".into(),
            pod: "shop-0".into(),
            container: "main".into(),
            id: "0123456789abcdef".repeat(4),
        };
        let said = Report {
            version: 1,
            engine: Some(engine),
            plugins: vec![plugin(), late],
            totals: Totals { calls: 1, requests: 2, ..Totals::default() },
            unseen: vec![container],
        };
        let expect = "\
engine: containerd 2.3.4, NRI 0.12.0, connected since 2026-11-23T09:14:07.213Z, 1 connection after
  the first
PLUGIN                        STATE   PID    QUEUE  ANSWERS  VETOES  LATE  SKIPPED  MEAN
10-topology-aware             active  20817  1      412      0       0     0        1.2 ms
    launched by the gateway, 2026-11-23T09:15:00.000Z; events: CreateContainer, StopContainer
    identity: /opt/nri/plugins/10-topology-aware, sha256 0123456789ab…; strong by launched.path,
      launched.sha256
20-a-name-that-does-not-fit…  late    -      1      0        0       3     0        -
    connected by itself, 2026-11-23T09:15:00.000Z; 2 came late; events: RunPodSandbox,
      StopPodSandbox, RemovePodSandbox, CreateContainer, PostCreateContainer, StartContainer,
      PostStartContainer, UpdateContainer, PostUpdateContainer, StopContainer, RemoveContainer,
      UpdatePodSandbox, PostUpdatePodSandbox, ValidateContainerAdjustment
    identity: uid 0, unit kubelet.service, container c of pod kube-system/p; medium by peer.uid,
      peer.systemdUnit, pod.name
totals: 2 requests, 0 failed; 1 call; plugins: 0 joined, 0 lost, 0 refused, 0 restarted
NOT SEEN by the gateway: 1 container: prod/shop-0/main (0123456789ab…)
";
        assert_eq!(report(&said, false), expect);
        let coloured = report(&said, true);
        assert!(
            coloured.contains("10-topology-aware             \x1b[32mactive\x1b[0m  20817  1"),
            "{coloured}"
        );
        assert!(coloured.contains("\x1b[31mlate\x1b[0m    -      1"), "{coloured}");
    }

    #[test]
    fn nothing_there() {
        let said = Report {
            version: 1,
            engine: None,
            plugins: Vec::new(),
            totals: Totals::default(),
            unseen: Vec::new(),
        };
        let text = report(&said, true);
        assert!(
            text.starts_with("engine: none has been there yet\nno plugins\ntotals: 0 requests"),
            "{text}"
        );
    }

    /// Whatever a gateway says, no line is too long and nothing reaches the terminal as it is.
    #[test]
    fn extremes_fit() {
        let plugin = Plugin {
            name: "x\u{1b}[2J".repeat(20),
            index: "99".into(),
            state: State::Joining,
            pid: Some(4_194_304),
            queue: usize::MAX,
            answers: u64::MAX,
            vetoes: u64::MAX,
            lates: u64::MAX,
            skipped: u64::MAX,
            late_answers: u64::MAX,
            mean_micros: u64::MAX,
            identity: json!({"exe": "/\u{1b}[1m".repeat(50), "assurance": "weak", "proofs": ["x".repeat(300)]}),
            ..plugin()
        };
        let totals = Totals { calls: u64::MAX, joined: u64::MAX, lost: u64::MAX, ..Totals::default() };
        let container = Unseen { pod: "\u{1b}[2J".repeat(99), id: "\u{1b}".repeat(99), ..Unseen::default() };
        let said = Report {
            version: 1,
            engine: Some(Engine::default()),
            plugins: vec![plugin],
            totals,
            unseen: vec![container; 21],
        };
        let text = report(&said, false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn figures() {
        for (number, expect) in
            [(0, "0"), (99_999, "99999"), (100_000, "100k"), (123_456_789, "123M"), (u64::MAX, "18446P")]
        {
            assert_eq!(short(number), expect);
        }
        for (micros, expect) in [(7, "7 µs"), (1999, "1.9 ms"), (2_500_000, "2.5 s")] {
            assert_eq!(time(micros), expect);
        }
    }
}
