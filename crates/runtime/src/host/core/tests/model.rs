//! Plugins that join, leave, refuse, fall silent and come back at random during thousands of container lifetimes, and an
//! engine that goes away and comes back with another state of the node, against a model of what each plugin must have seen.

use std::collections::BTreeSet;

use super::*;
use crate::host::core::plugin::Picture;

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
    /// Each container that it learnt of since its last Synchronize, that included.
    ever: BTreeSet<String>,
    /// It is being told parts of a Synchronize.
    collects: bool,
    /// How many requests had gone through without it when it was last synchronised. If there were more since, nothing
    /// can be said about what it knows.
    skipped: u64,
    spoilt: bool,
    /// How often a Synchronize put that right.
    righted: u64,
}

impl Told {
    fn learns(&mut self, id: &str, dead: &BTreeSet<String>, how: &str) {
        assert!(self.ever.insert(id.to_owned()), "{id} reaches a plugin twice ({how})");
        if !dead.contains(id) {
            self.known.insert(id.to_owned());
        }
    }

    /// `dead`: containers whose creation failed, which nobody is told.
    fn hears(&mut self, message: &Message, skipped: u64, dead: &BTreeSet<String>) {
        if let Message::Synchronize(part) = message {
            if !self.collects {
                // It counts in place of everything known before.
                self.known.clear();
                self.ever.clear();
                let before = std::mem::take(&mut self.spoilt);
                self.skipped = skipped;
                self.righted += u64::from(before);
            }
            self.collects = part.more;
            part.containers.iter().for_each(|container| self.learns(&container.id, dead, "Synchronize"));
        }
        if self.spoilt {
            return;
        }
        match message {
            Message::Create(request) => {
                self.learns(&request.container.as_ref().unwrap().id, dead, "CreateContainer");
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
    /// Whose creation was refused.
    dead: BTreeSet<String>,
    creating: BTreeMap<u64, String>,
    removing: BTreeMap<u64, String>,
    made: u64,
    /// Requests whose updates were released, in that order.
    released: Vec<u64>,
    updating: BTreeSet<u64>,
    renewals: u64,
    woken: u64,
    righted: u64,
    compared: u64,
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
            dead: BTreeSet::new(),
            renewals: 0,
            woken: 0,
            righted: 0,
            compared: 0,
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
            2 if self.dice.roll(5) == 0 => self.wake(),
            2 if self.dice.roll(8) == 0 => self.renew(),
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

    fn wake(&mut self) {
        self.woken += u64::from(self.silent.pop_first().is_some());
    }

    /// The engine goes away and comes back. What was under way may have happened or not; sometimes more is different.
    fn renew(&mut self) {
        self.renewals += 1;
        for (request, id) in std::mem::take(&mut self.creating) {
            self.bench.cancel(request);
            if self.dice.roll(2) == 0 {
                self.alive.push(id);
            }
        }
        for (request, id) in std::mem::take(&mut self.removing) {
            self.bench.cancel(request);
            if self.dice.roll(2) == 0 {
                self.alive.push(id);
            }
        }
        // Giving one up lets others end that waited for it, and that nobody waits for either.
        self.bench.order.clear();
        self.bench.done.clear();
        if self.dice.roll(2) == 0 {
            self.alive.pop();
            self.made += 1;
            self.alive.push(format!("c{}", self.made));
        }
        let containers: Vec<_> = self.alive.iter().map(|id| self.container(id)).collect();
        self.bench.renew(&containers);
    }

    fn container(&self, id: &str) -> Container {
        Container { env: vec!["x".repeat(self.bytes)], ..container(id) }
    }

    fn create(&mut self) {
        self.made += 1;
        let id = format!("c{}", self.made);
        let request = CreateContainerRequest { pod: Some(pod("p")), container: Some(self.container(&id)) };
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
        let skipped = self.bench.core.plugins[&sent.plugin].tally.skipped;
        self.told.get_mut(&sent.plugin).unwrap().hears(&sent.message, skipped, &self.dead);
        if sent.message.event() != Event::Unknown && self.dice.roll(50) == 0 {
            return self.bench.end(sent.call, End::Status(Status::new(Code::Unknown, "no")));
        }
        let mut answer = match &sent.message {
            Message::Configure(_) => {
                let validates = i32::from(sent.plugin.0.is_multiple_of(3)) << 13;
                Answer::Configure(ConfigureResponse { events: 0x40f | validates, failure_policy: None })
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
            let known = &self.bench.core.plugins[plugin];
            // One that is to be told anew has a false picture until then, and may be asked what others wait for.
            told.spoilt |= known.tally.skipped > told.skipped || known.picture == Picture::False;
        }
        for request in std::mem::take(&mut self.bench.order) {
            let result = self.bench.done.remove(&request).unwrap();
            if let Some(id) = self.creating.remove(&request) {
                match result {
                    Ok(Completion::Created(created)) => {
                        if !created.merged.updates.is_empty() {
                            self.released.push(request);
                            self.updating.insert(request);
                        }
                        self.alive.push(id);
                    }
                    Err(Failure { cause: Cause::Veto { .. } | Cause::Validator { .. }, .. }) => {
                        self.told.values_mut().for_each(|told| _ = told.known.remove(&id));
                        self.dead.insert(id);
                    }
                    other => panic!("no creation: {other:?}"),
                }
            } else {
                self.removing.remove(&request).unwrap();
                assert!(matches!(result, Ok(_) | Err(Failure { cause: Cause::Veto { .. }, .. })));
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
            assert!(
                known.picture != Picture::False || known.is_overdue(),
                "{} is left behind",
                known.label()
            );
            self.righted += told.righted;
            if known.is_active() && !told.spoilt {
                self.compared += 1;
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
    let mut sums = [0; 5];
    for seed in 1..=40_u64 {
        let (concurrency, bytes) = (1 + usize::from(seed % 2 == 0) * 3, usize::from(seed % 8 == 0) * 400_000);
        let mut model = Model::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), concurrency, bytes);
        while model.made < 250 {
            model.step();
        }
        model.settle();
        assert!(model.released.is_sorted(), "updates end in the order of the requests: {:?}", model.released);
        let figures = [model.made, model.renewals, model.woken, model.righted, model.compared];
        sums = std::array::from_fn(|at| sums[at] + figures[at]);
    }
    let [lifetimes, renewals, woken, righted, compared] = sums;
    assert!(lifetimes >= 10_000);
    // What the test is about did happen.
    assert!(renewals > 100 && woken > 50 && righted > 50 && compared > 100, "{sums:?}");
}
