//! What policies say to the end result of a creation, and to pods (`policy.md` 7).

use nri_policy::document::load::{File, load};
use nri_policy::host::NoHost;
use nri_policy::judge::Options;

use super::*;

/// A bench under a policy whose `spec` says this beside that everything may be changed.
fn under(more: &str) -> Bench {
    let content = format!(
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: node}}\nspec: {{defaultLevel: l, levels: [{{name: l, fields: {{'*': allow}}}}], {more}}}\n"
    );
    let file = File { name: "node.yaml".to_owned(), content: content.into_bytes(), distrust: None };
    let set = load(vec![file], &NoHost).into_set().unwrap_or_else(|_| panic!("{more}"));
    let judge = Judge::new(&set, Options::default());
    Bench::with(Setup { judge, ..setup() }, Vec::new(), Vec::new())
}

/// The request went through, or was refused for a required plugin, with this text.
#[track_caller]
fn check_required(bench: &mut Bench, request: u64, require: &str, expect: &str) {
    if expect.is_empty() {
        assert!(bench.done[&request].is_ok(), "{require}");
    } else {
        let text = absent(bench, request);
        assert!(text.contains(expect), "{require}: {text}");
    }
}

#[track_caller]
fn absent(bench: &mut Bench, request: u64) -> String {
    let Cause::Absent(absent) = bench.cause(request) else { panic!("not for a required plugin") };
    absent.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Of a container: who answered, who was late, who is not asked, who is not there.
#[test]
fn required_for_a_container() {
    for (require, expect) in [
        ("{plugin: a}", ""),
        ("{plugin: 10-a}", ""),
        ("{plugin: late}", "did not answer in time"),
        ("{plugin: late, meaning: connected}", ""),
        ("{plugin: idle}", "does not take this event"),
        ("{plugin: idle, meaning: connected}", ""),
        ("{plugin: b}", "policy \"node\""),
        ("{plugin: a, meaning: owns, fields: [env]}", ""),
        ("{plugin: a, meaning: owns, fields: [mounts]}", "mounts"),
    ] {
        let mut bench = under(&format!("require: [{require}]"));
        let a = bench.plugin("10-a", "CreateContainer");
        bench.plugin("20-late", "CreateContainer");
        bench.plugin("30-idle", "StopContainer");
        let request = bench.create("c1");
        bench.answer(a, env("A", "1"));
        bench.pass(Duration::from_secs(2));
        check_required(&mut bench, request, require, expect);
    }
}

/// Of a pod: whoever is not asked counts; one that can only be refused is told to nobody; who must own counts for nothing.
#[test]
fn required_for_a_pod() {
    for (require, asked, expect) in [
        ("{plugin: a}", true, ""),
        ("{plugin: idle}", true, ""),
        ("{plugin: b, meaning: owns, fields: [env]}", true, ""),
        ("{plugin: b}", false, "is not connected"),
        ("{plugin: b, meaning: connected}", false, "is not connected"),
        ("{plugin: late}", true, "did not answer in time"),
    ] {
        let mut bench = under(&format!("require: [{require}]"));
        let a = bench.plugin("10-a", "RunPodSandbox");
        bench.plugin("20-late", "RunPodSandbox");
        bench.plugin("30-idle", "CreateContainer");
        let request = bench.tell(Event::RunPodSandbox, "p1");
        assert_eq!(bench.calls_to(a), usize::from(asked), "{require}");
        if asked {
            bench.nod(a);
            bench.pass(Duration::from_secs(2));
        }
        check_required(&mut bench, request, require, expect);
    }
}

/// The end result, whoever made it; the refusal is on record beside those of single answers.
#[test]
fn invariants() {
    let mut bench = under("invariants: [no-seccomp-loosening]");
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    let adjust = ContainerAdjustment {
        annotations: [("run.oci.handler".to_owned(), "x".to_owned())].into(),
        ..Default::default()
    };
    let answer = CreateContainerResponse { adjust: Some(adjust), ..Default::default() };
    bench.answer(a, Answer::Create(Box::new(answer)));
    bench.nod(b);
    let failure = bench.failure(request);
    assert!(matches!(&failure.cause, Cause::Policy(plugin) if plugin.full() == "10-a"), "{failure}");
    let rules: Vec<_> = failure.refused.iter().map(|refused| refused.rule.as_str()).collect();
    assert_eq!(rules, ["node/invariants/no-seccomp-loosening"]);
}
