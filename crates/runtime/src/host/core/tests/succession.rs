//! Take-over (`design.md` 5): each request reaches one of the two, and names that nobody may take.

use super::*;
use crate::host::identity::{Identity, PodIdentity, Sha256};

const ALL: ConfigureResponse = ConfigureResponse { events: 0x3fff, failure_policy: None };

/// A process of user 0 that executes this file.
fn runs(exe: &str) -> Origin {
    Origin {
        identity: Identity { uid: Some(0), exe: Some(exe.into()), ..Identity::default() },
        ..origin(Some(7))
    }
}

fn digest(byte: u8) -> Option<Sha256> {
    Some(Sha256([byte; 32]))
}

impl Bench {
    /// A plugin of this origin that has answered Configure.
    fn comes(&mut self, name: &str, origin: Origin, answer: ConfigureResponse) -> PluginId {
        let plugin = self.core.handle_connected(None, origin, self.now).unwrap();
        self.register(plugin, name).unwrap();
        self.answer(plugin, Answer::Configure(answer));
        plugin
    }

    /// The same, active.
    fn active(&mut self, name: &str, origin: Origin, answer: ConfigureResponse) -> PluginId {
        let plugin = self.comes(name, origin, answer);
        assert!(matches!(self.nod(plugin), Message::Synchronize(_)));
        plugin
    }

    /// Answers everything until nothing is asked any more. Gives who was asked about which container.
    fn nod_all(&mut self) -> Vec<(PluginId, Event, String)> {
        let mut asked = Vec::new();
        while let Some(sent) = self.calls.pop_front() {
            let id = match &sent.message {
                Message::Create(request) => request.container.as_ref().map(|c| c.id.clone()),
                Message::Notice { notice, .. } => notice.container.as_ref().map(|c| c.id.clone()),
                _ => None,
            };
            asked.extend(id.map(|id| (sent.plugin, sent.message.event(), id)));
            self.end(sent.call, End::Answer(nothing(&sent.message), Vec::new()));
        }
        asked
    }
}

fn created(asked: &[(PluginId, Event, String)], plugin: PluginId) -> Vec<&str> {
    let creations = asked.iter().filter(|(by, event, _)| *by == plugin && *event == Event::CreateContainer);
    creations.map(|(_, _, id)| id.as_str()).collect()
}

/// Which newcomers replace which plugins.
#[test]
fn who_is_the_same() {
    let check = |old: Identity, new: Identity, replaces: bool| {
        let mut bench = Bench::new();
        let described = format!("{old:?} {new:?}");
        let old = bench.active("10-a", Origin { identity: old, ..origin(Some(1)) }, ALL);
        bench.active("10-a", Origin { identity: new, ..origin(Some(2)) }, ALL);
        let goes = bench.calls.iter().any(|s| s.plugin == old && matches!(s.message, Message::Shutdown(_)));
        assert_eq!(goes, replaces, "{described}");
    };
    let user = |uid: u32| Identity { uid: Some(uid), ..Identity::default() };
    let file = |uid: u32, path: &str| Identity { exe: Some(path.into()), ..user(uid) };
    let content = |uid: u32, byte: u8| Identity { sha256: digest(byte), ..user(uid) };
    let container = |name: &str, container: &str| Identity {
        pod: Some(PodIdentity {
            namespace: "ns".into(),
            name: name.into(),
            labels: BTreeMap::new(),
            container: container.into(),
        }),
        ..user(0)
    };
    check(file(0, "/a"), file(0, "/a"), true);
    check(content(0, 1), content(0, 1), true);
    check(container("p", "c"), container("p", "c"), true);
    check(
        Identity { sha256: digest(1), ..file(0, "/a") },
        Identity { sha256: digest(2), ..file(0, "/a") },
        true,
    );
    check(
        Identity { sha256: digest(1), ..file(0, "/a") },
        Identity { sha256: digest(1), ..file(0, "/b") },
        true,
    );
    // Nothing is known, or only that it is the same user.
    check(Identity::default(), Identity::default(), false);
    check(user(0), user(0), false);
    check(file(0, "/a"), file(0, "/b"), false);
    check(file(0, "/a"), file(1, "/a"), false);
    check(content(0, 1), content(1, 1), false);
    check(content(0, 1), content(0, 2), false);
    check(container("p", "c"), container("p", "d"), false);
    check(container("p", ""), container("p", ""), false);
}

/// Before the cut the old one, after it the new one, nothing twice, nothing to nobody; then Shutdown, and the end.
#[test]
fn each_request_reaches_one_of_the_two() {
    let mut bench = Bench::new();
    let old = bench.active("10-a", runs("/a"), ALL);
    let before = [bench.create("c1"), bench.create("c2")];
    let new = bench.comes("10-a", runs("/a"), ALL);
    let after = [bench.create("c3"), bench.tell(Event::PostCreateContainer, "c1")];
    assert_eq!(bench.calls_to(new), 0, "waits for what was there before its cut");
    let asked = bench.nod_all();
    assert_eq!(created(&asked, old), ["c1", "c2"]);
    assert_eq!(created(&asked, new), ["c3"]);
    assert!(asked.contains(&(new, Event::PostCreateContainer, "c1".to_owned())));
    for request in before.into_iter().chain(after) {
        assert!(bench.done[&request].is_ok());
    }
    assert_eq!(bench.closed[&old], "shut down");
    assert_eq!((bench.core.active(), bench.core.totals().lost), (1, 0));
}

/// The old one gets Shutdown once, after the newcomer's last part and before anything else.
#[test]
fn the_old_one_is_told_to_go() {
    let mut bench = Bench::new();
    let old = bench.active("10-a", runs("/a"), ALL);
    let new = bench.comes("10-a", runs("/a"), ALL);
    assert_eq!(bench.calls_to(old), 0, "goes on until the newcomer is active");
    bench.nod(new);
    assert!(matches!(bench.take(old).message, Message::Shutdown(_)));
    bench.pass(Duration::from_millis(500));
    assert!(bench.closed.contains_key(&old));
}

/// What waits for a newcomer that fails goes back to the old one, in its place in the chain, and it validates.
#[test]
fn a_failed_newcomer_leaves_the_old_one_in_place() {
    for hangs in [false, true] {
        let mut bench = Bench::new();
        let first = bench.active("05-first", runs("/first"), ALL);
        let old = bench.active("10-a", runs("/a"), ALL);
        let last = bench.active("20-last", runs("/last"), ALL);
        let new = bench.comes("10-a", runs("/a"), ALL);
        let requests = [bench.create("c1"), bench.create("c2"), bench.tell(Event::StartContainer, "c0")];
        for plugin in [first, first, first, last] {
            // Nothing that hangs, but what waits for the newcomer.
            bench.nod(plugin);
        }
        if hangs {
            bench.pass(Duration::from_secs(2));
        } else {
            bench.core.handle_closed(new, "crashed", bench.now);
            bench.drain();
        }
        assert!(bench.closed.contains_key(&new));
        let asked = bench.nod_all();
        assert_eq!(created(&asked, old), ["c1", "c2"], "{hangs}");
        assert!(asked.contains(&(old, Event::StartContainer, "c0".to_owned())), "{hangs}");
        assert_eq!(created(&asked, last), ["c1", "c2"], "{hangs}");
        let names = ["05-first", "10-a", "20-last"];
        for request in &requests[..2] {
            let created = bench.created(*request);
            let of = |list: &[crate::host::outcome::Consulted]| {
                list.iter().map(|c| (c.plugin.full().to_owned(), c.outcome.clone())).collect::<Vec<_>>()
            };
            let expect = names.map(|name| (name.to_owned(), Outcome::Answer));
            assert_eq!(of(&created.plugins), expect, "{hangs}");
            assert_eq!(of(&created.validators), expect, "{hangs}");
        }
        assert!(bench.done[&requests[2]].is_ok());
        let later = bench.create("c3");
        assert_eq!(created(&bench.nod_all(), old), ["c3"]);
        bench.created(later);
    }
}

/// An event that only the old one wants stays with it while the newcomer joins, and it is not dismissed in the middle.
#[test]
fn the_old_one_finishes_what_is_its_own() {
    let mut bench = Bench::new();
    let old = bench.active("10-a", runs("/a"), ALL);
    let narrow = ConfigureResponse { events: EventMask::NONE.with(Event::CreateContainer).bits(), ..ALL };
    let new = bench.comes("10-a", runs("/a"), narrow);
    let started = bench.tell(Event::StartContainer, "c0");
    bench.nod(new);
    assert!(!bench.closed.contains_key(&old));
    assert_eq!(bench.nod(old).event(), Event::StartContainer);
    assert!(bench.done[&started].is_ok());
    assert!(matches!(bench.nod(old), Message::Shutdown(_)));
    assert!(bench.closed.contains_key(&old));
    let nobody = bench.tell(Event::StartContainer, "c0");
    assert!(bench.done[&nobody].is_ok());
}

/// An old one that hangs costs its own requests their deadline, and is replaced.
#[test]
fn an_old_one_that_hangs_is_replaced() {
    let mut bench = Bench::new();
    let narrow = ConfigureResponse { events: EventMask::NONE.with(Event::CreateContainer).bits(), ..ALL };
    let old = bench.active("10-a", runs("/a"), narrow);
    let request = bench.create("c1");
    let new = bench.comes("10-a", runs("/a"), narrow);
    bench.take(old);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
    bench.nod(new);
    bench.pass(Duration::from_millis(500));
    assert!(bench.closed.contains_key(&old));
    bench.create("c2");
    assert!(matches!(bench.nod(new), Message::Create(_)));
}

/// An old one that goes by itself while the newcomer joins is not missed.
#[test]
fn an_old_one_that_goes_by_itself() {
    for newcomer_fails in [false, true] {
        let mut bench = Bench::new();
        let old = bench.active("10-a", runs("/a"), ALL);
        let new = bench.comes("10-a", runs("/a"), ALL);
        let request = bench.create("c1");
        bench.core.handle_closed(old, "gone", bench.now);
        bench.drain();
        if newcomer_fails {
            bench.core.handle_closed(new, "gone", bench.now);
            bench.drain();
            assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Gone);
        } else {
            assert_eq!(created(&bench.nod_all(), new), ["c1"]);
            bench.created(request);
        }
    }
}

/// Several newcomers, one after the other: each replaces the one before it.
#[test]
fn a_row_of_newcomers() {
    let mut bench = Bench::new();
    let mut last = bench.active("10-a", runs("/a"), ALL);
    for n in 0..5 {
        bench.pass(Duration::from_secs(120));
        let new = bench.comes("10-a", runs("/a"), ALL);
        let id = format!("c{n}");
        bench.create(&id);
        assert_eq!(created(&bench.nod_all(), new), [id]);
        assert!(bench.closed.contains_key(&last));
        last = new;
    }
    assert_eq!(bench.core.plugins().len(), 1);
}

/// Two copies that replace each other whenever they are started again do so once a minute in the end; an upgrade now and then
/// waits for nothing.
#[test]
fn two_copies_slow_down() {
    let mut bench = Bench::new();
    bench.active("10-a", runs("/a"), ALL);
    bench.pass(Duration::from_secs(120));
    bench.active("10-a", runs("/a"), ALL);
    for pause in [0, 1, 2, 4, 8, 16, 32, 60, 60] {
        bench.nod_all();
        if pause > 0 {
            bench.pass(Duration::from_millis(pause * 1000 - 1));
            let early = bench.core.handle_connected(None, runs("/a"), bench.now).unwrap();
            assert!(matches!(bench.register(early, "10-a"), Err(Refusal::Pause(_))), "{pause}");
            bench.core.handle_closed(early, "refused", bench.now);
            bench.pass(Duration::from_millis(1));
        }
        bench.active("10-a", runs("/a"), ALL);
    }
}

/// A launched plugin is not replaced by one that connects, whoever that is.
#[test]
fn a_launched_plugin_stays() {
    let program =
        Program { name: "10-a".parse().unwrap(), path: "/a".into(), args: Vec::new(), config: String::new() };
    let mut bench = Bench::with(Setup { programs: vec![program], ..setup() }, Vec::new(), Vec::new());
    let old = bench.core.handle_connected(Some(SeatId(0)), runs("/a"), bench.now).unwrap();
    bench.register(old, "10-a").unwrap();
    bench.answer(old, Answer::Configure(ALL));
    bench.nod(old);
    let new = bench.active("10-a", runs("/a"), ALL);
    assert!(bench.calls.is_empty());
    bench.create("c1");
    let asked = bench.nod_all();
    assert_eq!((created(&asked, old).len(), created(&asked, new).len()), (1, 1));
}

/// A digest that is still to come is awaited for a bounded time, and only where it decides.
#[test]
fn a_digest_is_awaited_where_it_decides() {
    let pending = || Origin {
        identity: Identity { uid: Some(0), ..Identity::default() },
        pending: true,
        ..origin(None)
    };
    let replaced = |bench: &mut Bench, old| {
        bench.nod_all();
        bench.closed.contains_key(&old)
    };
    for (of_newcomer, replaces) in [(digest(1), true), (digest(2), false), (None, false)] {
        let mut bench = Bench::new();
        let old = bench.active("10-a", pending(), ALL);
        let new = bench.comes("10-a", pending(), ALL);
        assert_eq!(bench.calls_to(new), 0);
        bench.core.handle_digest(old, digest(1), bench.now);
        bench.drain();
        assert_eq!(bench.calls_to(new), 0);
        bench.core.handle_digest(new, of_newcomer, bench.now);
        bench.drain();
        assert_eq!(bench.calls_to(new), 1);
        assert_eq!(replaced(&mut bench, old), replaces, "{of_newcomer:?}");
    }
    let mut bench = Bench::new();
    let old = bench.active("10-a", pending(), ALL);
    let new = bench.comes("10-a", pending(), ALL);
    bench.pass(Duration::from_millis(1999));
    assert_eq!(bench.calls_to(new), 0);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.calls_to(new), 1);
    assert!(!replaced(&mut bench, old));
    // Another name, another user, or the same file: nothing to wait for.
    bench.active("20-b", pending(), ALL);
    let user = Identity { uid: Some(1), ..Identity::default() };
    bench.active("10-a", Origin { identity: user, ..pending() }, ALL);
    let same = Origin { pending: true, ..runs("/a") };
    bench.active("30-c", same.clone(), ALL);
    bench.active("30-c", same, ALL);
}

/// Reserved names, base or full: refused with a reason, and the connection ends. Launched plugins have theirs.
#[test]
fn reserved_names_are_refused() {
    let program =
        Program { name: "10-a".parse().unwrap(), path: "/a".into(), args: Vec::new(), config: String::new() };
    let reserved = ["a", "20-b"].map(str::to_owned).into();
    let setup = Setup { programs: vec![program], reserved, ..setup() };
    let mut bench = Bench::with(setup, Vec::new(), Vec::new());
    for (name, refused) in [("10-a", true), ("99-a", true), ("20-b", true), ("10-b", false), ("10-aa", false)]
    {
        let plugin = bench.connect();
        let result = bench.register(plugin, name);
        assert_eq!(result.is_err(), refused, "{name}");
        if let Err(refusal) = result {
            assert!(refusal.is_final() && refusal.to_string().contains(&format!("{name} is reserved")));
        }
    }
    let launched = bench.core.handle_connected(Some(SeatId(0)), origin(None), bench.now).unwrap();
    bench.register(launched, "10-a").unwrap();
}

/// A stranger who fails to join under a plugin's name does not keep that plugin from joining.
#[test]
fn strangers_have_pauses_of_their_own() {
    let mut bench = Bench::new();
    let stranger = bench.comes("10-a", runs("/stranger"), ALL);
    bench.core.handle_closed(stranger, "crashed", bench.now);
    bench.drain();
    for (exe, refused) in [("/stranger", true), ("/a", false)] {
        let plugin = bench.core.handle_connected(None, runs(exe), bench.now).unwrap();
        assert_eq!(bench.register(plugin, "10-a").is_err(), refused, "{exe}");
    }
}

/// Whatever comes in whatever order: each creation reaches the plugin once, in one of its processes.
#[test]
fn in_any_order_each_creation_is_seen_once() {
    for seed in 0..300_u64 {
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        // Every third node is told in parts.
        let large = || Container { env: vec!["x".repeat(3 << 20)], ..container("large") };
        let there = if seed % 3 == 0 {
            vec![large(), Container { id: "larger".into(), ..large() }]
        } else {
            Vec::new()
        };
        let mut bench = Bench::with(setup(), Vec::new(), there);
        let only = ConfigureResponse { events: EventMask::NONE.with(Event::CreateContainer).bits(), ..ALL };
        // Each from another file, so that none has to wait for having replaced one that was new itself.
        let at = |step: usize| {
            let mut origin = runs(&format!("/{step}"));
            origin.identity.sha256 = digest(1);
            origin
        };
        let mut newest = bench.comes("10-a", at(usize::MAX), only);
        while bench.calls_to(newest) > 0 {
            bench.nod(newest);
        }
        let (mut seen, mut requests, mut crashed) = (Vec::new(), Vec::new(), false);
        for step in 0..60_usize {
            match next(8) {
                0..=2 => requests.push(bench.create(&format!("c{step}"))),
                // The next one after a crash would have to wait.
                3 if !crashed && bench.core.plugins.values().all(Plugin::is_active) => {
                    newest = bench.comes("10-a", at(step), only);
                }
                4 if !bench.core.plugins[&newest].is_active() => {
                    bench.core.handle_closed(newest, "crashed", bench.now);
                    bench.drain();
                    crashed = true;
                    newest = *bench.core.plugins.keys().next_back().unwrap();
                }
                _ if !bench.calls.is_empty() => {
                    let at = usize::try_from(next(bench.calls.len() as u64)).unwrap();
                    let sent = bench.calls.remove(at).unwrap();
                    if let Message::Create(request) = &sent.message {
                        seen.extend(request.container.as_ref().map(|c| c.id.clone()));
                    }
                    bench.end(sent.call, End::Answer(nothing(&sent.message), Vec::new()));
                }
                _ => {}
            }
        }
        seen.extend(bench.nod_all().into_iter().map(|(_, _, id)| id));
        for request in &requests {
            assert_eq!(bench.created(*request).plugins.len(), 1, "seed {seed}");
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((distinct.len(), seen.len()), (requests.len(), requests.len()), "seed {seed}");
        assert_eq!(bench.core.plugins().len(), 1, "seed {seed}");
    }
}

/// The engine is back with another state of the node while a newcomer is told the old one in parts: it takes over all the
/// same, and is told anew.
#[test]
fn a_newcomer_may_be_outdated() {
    let big = |id: &str| Container { env: vec!["x".repeat(3 << 20)], ..container(id) };
    let ids = |message: Message| match message {
        Message::Synchronize(part) => {
            (part.containers.into_iter().map(|container| container.id).collect::<Vec<_>>(), part.more)
        }
        other => panic!("no Synchronize: {other:?}"),
    };
    let mut bench = Bench::with(setup(), vec![pod("p")], vec![big("c1"), big("c2")]);
    let old = bench.comes("10-a", runs("/a"), ALL);
    while bench.calls_to(old) > 0 {
        bench.nod(old);
    }
    let new = bench.comes("10-a", runs("/a"), ALL);
    bench.renew(&[container("c9")]);
    assert_eq!(ids(bench.nod(old)), (vec!["c9".to_owned()], false));
    assert_eq!(ids(bench.nod(new)), (vec!["c1".to_owned()], true));
    assert_eq!(ids(bench.nod(new)), (Vec::new(), false), "ends what it has collected");
    assert!(matches!(bench.nod(old), Message::Shutdown(_)));
    assert_eq!(ids(bench.nod(new)), (vec!["c9".to_owned()], false));
    assert_eq!(bench.core.active(), 1);
}
