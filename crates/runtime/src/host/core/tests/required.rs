//! Required plugins as "answered" (A10, `policy.md` 7), for containers and pods, with the default validator as the embedder.

use super::*;
use crate::host::outcome::{Absence, Missing};
use crate::validate::{DefaultValidator, REQUIRED_PLUGINS, Rejection};

struct Validating(DefaultValidator);

impl Embedder for Validating {
    fn validate(&self, request: &nri_wire::api::ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        self.0.validate(request)
    }

    fn admit_pod(
        &self,
        pod: &PodSandbox,
        answered: &[PluginName],
        connected: &[PluginName],
    ) -> Result<(), Rejection> {
        assert!(answered.is_sorted() && connected.is_sorted());
        self.0.admit_pod(pod, answered)
    }
}

/// A bench where these plugins are required of everything.
fn requires(names: &[&str]) -> Bench {
    let validator = DefaultValidator {
        required_plugins: names.iter().map(|&name| name.to_owned()).collect(),
        tolerate_missing_annotation: "tolerate".to_owned(),
        ..Default::default()
    };
    let embedder = SharedEmbedder(Arc::new(Validating(validator)));
    Bench::with(Setup { embedder, ..setup() }, Vec::new(), Vec::new())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Container,
    Pod,
}

impl Asked {
    fn submit(self, bench: &mut Bench) -> u64 {
        match self {
            Self::Container => bench.create("c1"),
            Self::Pod => bench.tell(Event::RunPodSandbox, "p1"),
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Container => "CreateContainer",
            Self::Pod => "RunPodSandbox",
        }
    }
}

const BOTH: [Asked; 2] = [Asked::Container, Asked::Pod];

#[track_caller]
fn missing(bench: &mut Bench, request: u64, expect: &[(&str, Absence)]) {
    let Cause::Required(missing) = bench.cause(request) else { panic!("not for a required plugin") };
    let expect: Vec<_> =
        expect.iter().map(|&(plugin, absence)| Missing { plugin: plugin.to_owned(), absence }).collect();
    assert_eq!(missing, expect);
}

/// A pod that is refused whatever anybody says is told to nobody, since engines would not take it back.
fn nod_if_asked(bench: &mut Bench, asked: Asked, plugin: PluginId) {
    match asked {
        Asked::Container => drop(bench.nod(plugin)),
        Asked::Pod => assert_eq!(bench.calls_to(plugin), 0),
    }
}

/// A10: not connected, late, lost, still joining are all missing, and the failure says which.
#[test]
fn each_kind_of_absence_fails_the_request_and_is_named() {
    for asked in BOTH {
        let mut bench = requires(&["a", "20-b"]);
        let request = asked.submit(&mut bench);
        missing(&mut bench, request, &[("a", Absence::NotConnected), ("20-b", Absence::NotConnected)]);

        let a = bench.plugin("10-a", asked.event());
        let request = asked.submit(&mut bench);
        nod_if_asked(&mut bench, asked, a);
        missing(&mut bench, request, &[("20-b", Absence::NotConnected)]);

        let b = bench.plugin("20-b", asked.event());
        let request = asked.submit(&mut bench);
        bench.nod(a);
        bench.nod(b);
        assert!(bench.done[&request].is_ok());

        let request = asked.submit(&mut bench);
        bench.nod(a);
        bench.pass(Duration::from_secs(2));
        missing(&mut bench, request, &[("20-b", Absence::Late)]);
        let skipped = asked.submit(&mut bench);
        nod_if_asked(&mut bench, asked, a);
        missing(&mut bench, skipped, &[("20-b", Absence::Late)]);

        bench.nod(b);
        let request = asked.submit(&mut bench);
        bench.nod(a);
        bench.core.handle_closed(b, "crashed", bench.now);
        bench.drain();
        missing(&mut bench, request, &[("20-b", Absence::Gone)]);

        let joining = bench.configured("20-b", ConfigureResponse::default());
        let request = asked.submit(&mut bench);
        bench.nod(a);
        bench.core.handle_closed(joining, "crashed", bench.now);
        bench.drain();
        missing(&mut bench, request, &[("20-b", Absence::Gone)]);
        let unregistered = bench.connect();
        bench.pass(Duration::from_secs(1));
        bench.register(unregistered, "20-b").unwrap();
        let request = asked.submit(&mut bench);
        nod_if_asked(&mut bench, asked, a);
        missing(&mut bench, request, &[("20-b", Absence::Joining)]);
    }
}

/// A plugin that does not take the event has nothing to answer: for a pod it counts while it is connected, for a container
/// only if it validates.
#[test]
fn plugins_that_do_not_take_the_event() {
    for (asked, events, counts) in [
        (Asked::Pod, "CreateContainer", true),
        (Asked::Pod, "ValidateContainerAdjustment", true),
        (Asked::Container, "RunPodSandbox", false),
        (Asked::Container, "ValidateContainerAdjustment", true),
    ] {
        let mut bench = requires(&["a"]);
        let a = bench.plugin("10-a", events);
        let request = asked.submit(&mut bench);
        if bench.calls_to(a) > 0 {
            bench.nod(a);
        }
        if counts {
            assert!(bench.done[&request].is_ok(), "{asked:?} {events}");
        } else {
            missing(&mut bench, request, &[("a", Absence::NotSubscribed)]);
        }
        bench.core.handle_closed(a, "crashed", bench.now);
        let request = asked.submit(&mut bench);
        missing(&mut bench, request, &[("a", Absence::NotConnected)]);
    }
}

/// A RunPodSandbox of p1 with annotations.
fn annotated(annotations: &[(&str, &str)]) -> Submission {
    let annotations = annotations.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Submission::Notice(StateChangeEvent {
        event: Event::RunPodSandbox as i32,
        pod: Some(PodSandbox { annotations, ..pod("p1") }),
        container: None,
    })
}

/// CONF-190 to 193 for pods: annotations ask for more, and tolerate where a key for that is set.
#[test]
fn annotations_of_the_pod() {
    let scoped = format!("{REQUIRED_PLUGINS}/pod");
    let of_container = format!("{REQUIRED_PLUGINS}/container.c");
    let mut bench = requires(&["a"]);
    let a = bench.plugin("10-a", "RunPodSandbox");
    for (annotations, expect) in [
        (&[(REQUIRED_PLUGINS, "[b]")][..], &["b"][..]),
        (&[(scoped.as_str(), "[b]"), (REQUIRED_PLUGINS, "[c]")], &["b"]),
        (&[(of_container.as_str(), "[b]")], &[]),
        (&[(REQUIRED_PLUGINS, "[a]")], &[]),
        (&[(REQUIRED_PLUGINS, "[b]"), ("tolerate", "true")], &[]),
        (&[(REQUIRED_PLUGINS, "[b]"), ("tolerate", "true"), ("tolerate/pod", "false")], &["b"]),
    ] {
        let request = bench.submit_within(annotated(annotations), PLENTY);
        if expect.is_empty() {
            bench.nod(a);
            assert!(bench.done[&request].is_ok(), "{annotations:?}");
        } else {
            let expect: Vec<_> = expect.iter().map(|&name| (name, Absence::NotConnected)).collect();
            missing(&mut bench, request, &expect);
        }
    }
    let request = bench.submit_within(annotated(&[(REQUIRED_PLUGINS, "{b: c}")]), PLENTY);
    assert_eq!(bench.calls_to(a), 0);
    assert!(matches!(bench.cause(request), Cause::Rejected(text) if text.contains("not a list")));
}

/// The reference's text first, so that whoever looks for it finds it; then why.
#[test]
fn the_text_names_the_plugin_and_the_reason() {
    let mut bench = requires(&["a", "b"]);
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c1");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.calls_to(a), 1);
    assert_eq!(
        bench.failure(request).to_string(),
        r#"CreateContainer: validation error: required plugins "a,b" not present: "a" did not answer in time, "b" is not connected"#
    );
}

/// A pod that was refused is none that a plugin is told when it joins. Who was told of it is told of its end, once,
/// whether or not the engine does that as well.
#[test]
fn a_refused_pod_leaves_nothing_behind() {
    for follow in [&[][..], &[Event::StopPodSandbox], &[Event::StopPodSandbox, Event::RemovePodSandbox]] {
        let mut bench = requires(&["b"]);
        let a = bench.plugin("10-a", "RunPodSandbox,StopPodSandbox,RemovePodSandbox");
        let other = bench.plugin("15-other", "RunPodSandbox,StopPodSandbox");
        let b = bench.plugin("20-b", "RunPodSandbox,RemovePodSandbox");
        let request = bench.tell(Event::RunPodSandbox, "p1");
        bench.nod(a);
        bench.nod(other);
        bench.core.handle_closed(b, "crashed", bench.now);
        bench.drain();
        missing(&mut bench, request, &[("b", Absence::Gone)]);
        for (plugin, event) in
            [(a, Event::StopPodSandbox), (a, Event::RemovePodSandbox), (other, Event::StopPodSandbox)]
        {
            let Message::Notice { notice, .. } = bench.nod(plugin) else { panic!("no event") };
            let pod = notice.pod.as_ref().map(|pod| pod.id.as_str());
            assert_eq!((notice.event(), pod), (event, Some("p1")));
        }
        for &event in follow {
            let request = bench.tell(event, "p1");
            assert!(bench.done[&request].is_ok());
        }
        assert_eq!((bench.calls_to(a), bench.calls_to(other)), (0, 0));
        let b = bench.configured("20-b", ConfigureResponse::default());
        let Message::Synchronize(part) = bench.nod(b) else { panic!("no Synchronize") };
        assert_eq!(part.pods, [], "{follow:?}");
        let untold = bench.submit_within(annotated(&[(REQUIRED_PLUGINS, "[c]")]), PLENTY);
        missing(&mut bench, untold, &[("c", Absence::NotConnected)]);
        for &event in follow {
            let request = bench.tell(event, "p1");
            assert!(bench.done[&request].is_ok());
        }

        let request = bench.tell(Event::RunPodSandbox, "p2");
        assert_eq!((bench.calls_to(a), bench.calls_to(other), bench.calls_to(b)), (1, 1, 1));
        [a, other, b].into_iter().for_each(|plugin| drop(bench.nod(plugin)));
        assert!(bench.done[&request].is_ok());
        let c = bench.configured("30-c", ConfigureResponse::default());
        let Message::Synchronize(part) = bench.nod(c) else { panic!("no Synchronize") };
        assert_eq!(part.pods.len(), 1);
        let request = bench.tell(Event::RemovePodSandbox, "p2");
        [a, b, c].into_iter().for_each(|plugin| drop(bench.nod(plugin)));
        assert!(bench.done[&request].is_ok());
    }
}

/// The plugin that was late knows the pod as well; it hears of the end once it has answered.
#[test]
fn a_late_plugin_hears_of_the_end_afterwards() {
    let mut bench = requires(&["a"]);
    let a = bench.plugin("10-a", "RunPodSandbox,RemovePodSandbox");
    let request = bench.tell(Event::RunPodSandbox, "p1");
    bench.pass(Duration::from_secs(2));
    missing(&mut bench, request, &[("a", Absence::Late)]);
    let removal = bench.tell(Event::RemovePodSandbox, "p1");
    assert!(bench.done[&removal].is_ok());
    assert_eq!(bench.calls_to(a), 1);
    bench.nod(a);
    let Message::Notice { notice, .. } = bench.nod(a) else { panic!("no event") };
    assert_eq!(notice.event(), Event::RemovePodSandbox);
    assert_eq!(bench.calls_to(a), 0);
}

/// The host's own validation comes before the plugins', and may have any reason.
#[test]
fn the_embedder_may_reject_for_a_reason_of_its_own() {
    struct Strict;
    impl Embedder for Strict {
        fn validate(&self, _: &nri_wire::api::ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
            Err(Rejection::Other("not today".to_owned()))
        }
    }
    let embedder = SharedEmbedder(Arc::new(Strict));
    let mut bench = Bench::with(Setup { embedder, ..setup() }, Vec::new(), Vec::new());
    let v = bench.plugin("90-v", "ValidateContainerAdjustment");
    let request = bench.create("c1");
    assert_eq!(bench.calls_to(v), 0);
    assert!(matches!(bench.cause(request), Cause::Rejected(reason) if reason == "not today"));
}
