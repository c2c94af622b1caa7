//! Plugins that join, leave, fail and fall silent at random during thousands of container lifetimes, against a model of
//! what each of them must have seen.

use std::collections::BTreeSet;

use super::*;

/// A generator of numbers that is the same everywhere (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What one connection has been told.
#[derive(Default)]
struct Told {
    /// Containers that it knows and that it has not seen removed.
    known: BTreeSet<String>,
    /// Each container that it ever learnt of, in whatever way.
    ever: BTreeSet<String>,
    /// It missed a call and was skipped: nothing can be said about what it knows.
    spoilt: bool,
}

impl Told {
    fn learns(&mut self, id: &str, how: &str) {
        assert!(self.ever.insert(id.to_owned()), "{id} reaches a plugin twice ({how})");
        self.known.insert(id.to_owned());
    }

    fn hears(&mut self, message: &Message) {
        if self.spoilt {
            return;
        }
        match message {
            Message::Synchronize(part) => {
                part.containers.iter().for_each(|container| self.learns(&container.id, "Synchronize"));
            }
            Message::Create(request) => {
                self.learns(&request.container.as_ref().unwrap().id, "CreateContainer");
            }
            Message::Notice { notice, .. } if notice.event() == Event::RemoveContainer => {
                let id = &notice.container.as_ref().unwrap().id;
                assert!(self.known.remove(id), "{id} is removed, and was not known");
            }
            _ => {}
        }
    }
}

struct Model {
    bench: Bench,
    bytes: usize,
    dice: Dice,
    told: BTreeMap<PluginId, Told>,
    /// Of those that live, who falls silent.
    silent: BTreeSet<PluginId>,
    alive: Vec<String>,
    creating: BTreeMap<u64, String>,
    removing: BTreeMap<u64, String>,
    made: u64,
    /// Requests whose updates were released, in that order.
    released: Vec<u64>,
    updating: BTreeSet<u64>,
}

impl Model {
    /// `bytes`: of each container, so that some nodes need several parts.
    fn new(seed: u64, concurrency: usize, bytes: usize) -> Self {
        let settings = PluginSettings { concurrency: Some(concurrency), ..Default::default() };
        Self {
            bench: Bench::with_settings("*", settings),
            bytes,
            dice: Dice(seed),
            told: BTreeMap::new(),
            silent: BTreeSet::new(),
            alive: Vec::new(),
            creating: BTreeMap::new(),
            removing: BTreeMap::new(),
            made: 0,
            released: Vec::new(),
            updating: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.roll(40) {
            0 => self.join(),
            1 if self.told.len() > 3 => self.leave(),
            2 if self.dice.roll(10) == 0 => self.fall_silent(),
            3..14 if self.creating.len() < 8 => self.create(),
            14..22 if self.alive.len() > 5 && self.removing.len() < 4 => self.remove(),
            22 => self.bench.pass(Duration::from_millis(50)),
            _ => self.answer(),
        }
        self.collect();
    }

    fn join(&mut self) {
        if self.told.len() >= 6 {
            return;
        }
        let plugin = self.bench.connect();
        let name = format!("{:02}-p{}", self.dice.roll(100), plugin.0);
        self.bench.register(plugin, &name).unwrap();
        self.told.insert(plugin, Told::default());
    }

    fn leave(&mut self) {
        let at = usize::try_from(self.dice.roll(self.told.len() as u64)).unwrap();
        let plugin = *self.told.keys().nth(at).unwrap();
        self.bench.core.handle_closed(plugin, "crashed", self.bench.now);
    }

    fn fall_silent(&mut self) {
        let at = usize::try_from(self.dice.roll(self.told.len().max(1) as u64)).unwrap();
        if let Some(plugin) = self.told.keys().nth(at) {
            self.silent.insert(*plugin);
        }
    }

    fn create(&mut self) {
        self.made += 1;
        let id = format!("c{}", self.made);
        let container = Container { env: vec!["x".repeat(self.bytes)], ..container(&id) };
        let request = CreateContainerRequest { pod: Some(pod("p")), container: Some(container) };
        let submission = Submission::Create(Box::new(request));
        let request = self.bench.submit_within(submission, Duration::from_secs(20));
        self.creating.insert(request, id);
    }

    fn remove(&mut self) {
        let at = usize::try_from(self.dice.roll(self.alive.len() as u64)).unwrap();
        let id = self.alive.swap_remove(at);
        let request = self.bench.submit_within(notice(Event::RemoveContainer, &id), Duration::from_secs(20));
        self.removing.insert(request, id);
    }

    /// One plugin answers one call, whichever.
    fn answer(&mut self) {
        let ready: Vec<_> = (0..self.bench.calls.len())
            .filter(|at| !self.silent.contains(&self.bench.calls[*at].plugin))
            .collect();
        if ready.is_empty() {
            return;
        }
        let at = usize::try_from(self.dice.roll(ready.len() as u64)).unwrap();
        let sent = self.bench.calls.remove(ready[at]).unwrap();
        self.told.get_mut(&sent.plugin).unwrap().hears(&sent.message);
        let mut answer = match &sent.message {
            Message::Configure(_) => {
                Answer::Configure(ConfigureResponse { events: 0x40f, failure_policy: None })
            }
            message => nothing(message),
        };
        if let Answer::Create(create) = &mut answer
            && self.dice.roll(3) == 0
        {
            // Nobody else sets the same, so nothing conflicts.
            create.update = vec![memory(&format!("t{}", sent.call.0), 1)];
        }
        self.bench.end(sent.call, End::Answer(answer, Vec::new()));
    }

    fn collect(&mut self) {
        self.bench.drain();
        for plugin in self.bench.closed.keys() {
            self.told.remove(plugin);
            self.silent.remove(plugin);
        }
        self.bench.closed.clear();
        for (plugin, told) in &mut self.told {
            told.spoilt |= self.bench.core.plugins[plugin].tally.lates > 0;
        }
        for request in std::mem::take(&mut self.bench.order) {
            let result = self.bench.done.remove(&request).unwrap();
            if let Some(id) = self.creating.remove(&request) {
                let Completion::Created(created) = result.unwrap() else { panic!("no creation") };
                if !created.merged.updates.is_empty() {
                    self.released.push(request);
                    self.updating.insert(request);
                }
                self.alive.push(id);
            } else {
                self.removing.remove(&request).unwrap();
                result.unwrap();
            }
        }
    }

    /// Lets everything end, then compares.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.bench.calls.iter().all(|sent| self.silent.contains(&sent.plugin)) {
                self.bench.pass(Duration::from_millis(100));
            }
            self.answer();
            self.collect();
            if self.creating.is_empty() && self.removing.is_empty() && self.bench.calls.is_empty() {
                break;
            }
        }
        assert!(self.creating.is_empty() && self.removing.is_empty(), "a request is stuck");
        let alive: BTreeSet<_> = self.alive.iter().cloned().collect();
        for (plugin, told) in &self.told {
            let known = &self.bench.core.plugins[plugin];
            if known.is_active() && !told.spoilt {
                assert_eq!(told.known, alive, "what {} knows of the node", known.label());
            }
        }
        assert!(self.bench.core.requests.is_empty(), "requests are forgotten");
        assert!(self.bench.core.carriers.is_empty());
        assert!(self.bench.core.calls.is_empty());
    }
}

/// Every container reaches every plugin exactly once; what plugins know is what there is; updates end in ticket order;
/// nothing is left behind.
#[test]
fn ten_thousand_lifetimes() {
    let mut lifetimes = 0;
    for seed in 1..=40_u64 {
        let (concurrency, bytes) = (1 + usize::from(seed % 2 == 0) * 3, usize::from(seed % 8 == 0) * 400_000);
        let mut model = Model::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), concurrency, bytes);
        while model.made < 250 {
            model.step();
        }
        model.settle();
        lifetimes += model.made;
        assert!(model.released.is_sorted(), "updates end in the order of the requests: {:?}", model.released);
    }
    assert!(lifetimes >= 10_000);
}
