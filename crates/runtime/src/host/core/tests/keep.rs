//! Answers as they came, for recordings.

use std::sync::Mutex;

use super::*;
use crate::host::given::{Given, Said};

/// An embedder that writes down what plugins ask for.
#[derive(Default)]
struct Notes(Mutex<Vec<(String, Given)>>);

impl Embedder for Arc<Notes> {
    fn asked(&self, plugin: &PluginName, given: &Given) {
        self.0.lock().unwrap().push((plugin.full().to_owned(), given.clone()));
    }
}

fn keeping(notes: &Arc<Notes>) -> Bench {
    let embedder = SharedEmbedder(Arc::new(Arc::clone(notes)));
    let pods = vec![PodSandbox { id: "p".to_owned(), ..PodSandbox::default() }];
    let containers = vec![Container {
        id: "x".to_owned(),
        name: "side".to_owned(),
        pod_sandbox_id: "p".to_owned(),
        ..Container::default()
    }];
    Bench::with(Setup { keep_answers: true, embedder, ..setup() }, pods, containers)
}

#[test]
fn outcomes_hold_answers_and_what_was_known_of_other_containers() {
    let mut bench = keeping(&Arc::default());
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    let answer = CreateContainerResponse {
        update: vec![memory("x", 1), memory("unheard-of", 2)],
        ..CreateContainerResponse::default()
    };
    bench.answer(a, Answer::Create(Box::new(answer.clone())));
    let call = bench.take(b).call;
    bench.end(call, End::Closed);
    let created = bench.created(request);
    let given: Vec<_> = created.plugins.iter().map(|c| c.given.clone()).collect();
    let first = given[0].as_ref().unwrap();
    assert_eq!(first.said, Said::Create(Box::new(answer)));
    assert_eq!(first.targets.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(given[1], None, "it gave none");
}

/// Also an answer that the request fails of.
#[test]
fn failures_hold_them_too() {
    let mut bench = keeping(&Arc::default());
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    bench.answer(a, env("A", "1"));
    bench.answer(b, env("A", "2"));
    let failure = bench.failure(request);
    assert!(failure.plugins.iter().all(|c| c.given.is_some()), "{failure:?}");
}

#[test]
fn what_plugins_ask_for_by_themselves_is_shown() {
    let notes = Arc::<Notes>::default();
    let mut bench = keeping(&notes);
    let a = bench.plugin("10-a", "CreateContainer");
    let identity = &mut bench.core.plugins.get_mut(&a).unwrap().origin.identity;
    (identity.uid, identity.container_id) = (Some(7), Some("x".to_owned()));
    let request =
        nri_wire::api::UpdateContainersRequest { update: vec![memory("x", 1)], ..Default::default() };
    bench
        .core
        .handle_update_containers(a, request.clone(), &["update.linux.9".to_owned()], bench.now)
        .unwrap();
    let seen = notes.0.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(matches!(seen[0].1.said, Said::Synchronize(_)));
    assert_eq!(seen[1].0, "10-a");
    assert_eq!(seen[1].1.said, Said::UpdateContainers(request));
    assert_eq!(seen[1].1.unknown, ["update.linux.9"]);
    assert_eq!(seen[1].1.identity.uid, Some(7));
    assert_eq!(seen[1].1.identity.pod.as_ref().map(|pod| pod.container.as_str()), Some("side"));
    assert_eq!(seen[1].1.targets["x"].namespace.as_deref(), Some(""));
}

#[test]
fn nothing_is_kept_unasked() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c1");
    bench.answer(a, env("A", "1"));
    assert_eq!(bench.created(request).plugins[0].given, None);
}
