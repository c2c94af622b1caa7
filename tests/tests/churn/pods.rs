//! Clients that create and remove pods, and what came of every creation.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nri_tests::cri::Cri;
use nri_tests::engine::IMAGE;
use serde_json::{Value as Json, json};

use crate::stage::Stage;
use crate::{Random, now};

/// Longest that any call of a client may take.
const CALL_MAX: Duration = Duration::from_secs(30);
/// How long a client goes on with a creation that the engine refuses because the gateway is away.
const REFUSED_MAX: Duration = Duration::from_secs(60);
/// Of so many pods, one stays until the end.
const STAYS: usize = 8;

/// One attempt to create a container.
#[derive(Clone, Debug)]
pub(crate) struct Creation {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// The container, or what the engine said.
    pub(crate) result: Result<String, String>,
    /// When its end began: from here on it may count as gone.
    pub(crate) stopped: Option<u64>,
}

/// What all clients share.
pub(crate) struct Pods {
    wanted: usize,
    allowed: AtomicUsize,
    begun: AtomicUsize,
    done: AtomicUsize,
    over: AtomicBool,
    creations: Mutex<Vec<Creation>>,
    /// Pods that stay, with their containers.
    stay: Mutex<Vec<(String, String)>>,
    problems: Mutex<Vec<String>>,
}

impl Pods {
    pub(crate) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            allowed: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            creations: Mutex::default(),
            stay: Mutex::default(),
            problems: Mutex::default(),
        }
    }

    /// Lets so many pods begin.
    pub(crate) fn allow(&self, pods: usize) {
        self.allowed.store(pods, Ordering::Relaxed);
    }

    /// Pods that went through their whole life, or stay.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether something went wrong that makes going on useless.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn creations(&self) -> Vec<Creation> {
        lock(&self.creations).clone()
    }

    pub(crate) fn stay(&self) -> Vec<(String, String)> {
        lock(&self.stay).clone()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        lock(&self.problems).clone()
    }

    pub(crate) fn problem(&self, text: String) {
        lock(&self.problems).push(text);
    }

    /// A container's end begins.
    pub(crate) fn stops(&self, container: &str) {
        let at = now();
        let mut all = lock(&self.creations);
        let its = all.iter_mut().filter(|creation| creation.result.as_deref() == Ok(container));
        its.for_each(|creation| creation.stopped = Some(at));
    }

    /// Creates a container, once, and writes down what came of it.
    pub(crate) fn create(&self, cri: &mut Cri, pod: &str, name: &str) -> Result<String, String> {
        let config = json!({"metadata": {"name": name}, "image": {"image": IMAGE}, "command": ["sleep", "1000"],
            "linux": {"security_context": {"namespace_options": {"network": "NODE"}}}});
        let began = now();
        let result = self
            .ask(cri, &json!({"do": "create", "pod": pod, "config": config}))
            .map(|answer| answer.get("container").and_then(Json::as_str).unwrap_or_default().to_owned());
        let ended = now();
        lock(&self.creations).push(Creation { began, ended, result: result.clone(), stopped: None });
        result
    }

    /// Asks within the time that any call may take.
    pub(crate) fn ask(&self, cri: &mut Cri, line: &Json) -> Result<Json, String> {
        let began = now();
        let result = cri.ask(line);
        let took = Duration::from_nanos(now().saturating_sub(began));
        if took > CALL_MAX {
            self.problem(format!("a call took {took:?}: {line}"));
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an engine refused a creation because the gateway was not there, or went before it had validated the result.
pub(crate) fn is_refused_without_gateway(error: &str) -> bool {
    error.contains("nri-gateway") && (error.contains("required plugin") || error.contains("ttrpc: closed"))
}

/// One client.
pub(crate) struct Worker {
    number: usize,
    cri: Cri,
    shared: Arc<Pods>,
    random: Random,
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        stage: &Stage,
        shared: Arc<Pods>,
        random: Random,
    ) -> Result<Self, String> {
        let cri = Cri::connect(&stage.cri_socket())?;
        Ok(Self { number, cri, shared, random })
    }

    /// Takes pods through their lives until there are enough.
    pub(crate) fn run(mut self) {
        loop {
            let number = self.shared.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.shared.wanted || self.shared.is_over() {
                return;
            }
            while number >= self.shared.allowed.load(Ordering::Relaxed) && !self.shared.is_over() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let name = format!("w{}-{number}", self.number);
            if let Err(error) = self.live(&name, number % STAYS == STAYS - 1) {
                self.shared.problem(format!("pod {name}: {error}"));
                self.shared.over.store(true, Ordering::Relaxed);
            }
            self.shared.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn live(&mut self, name: &str, stays: bool) -> Result<(), String> {
        let pod = self.cri.run_pod(name, &json!({})).map_err(|error| format!("run: {error}"))?;
        let container = self.create(&pod, name)?;
        self.ask("start", "container", &container)?;
        if stays {
            lock(&self.shared.stay).push((pod, container));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(self.random.below(300)));
        self.shared.stops(&container);
        self.ask("stop", "container", &container)?;
        self.ask("rm", "container", &container)?;
        self.ask("stopp", "pod", &pod)?;
        self.ask("rmp", "pod", &pod)
    }

    /// Creates a container, again and again while the engine refuses it for want of the gateway.
    fn create(&mut self, pod: &str, name: &str) -> Result<String, String> {
        let began = now();
        loop {
            match self.shared.create(&mut self.cri, pod, name) {
                Err(error)
                    if is_refused_without_gateway(&error)
                        && Duration::from_nanos(now() - began) < REFUSED_MAX =>
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                result => return result.map_err(|error| format!("create: {error}")),
            }
        }
    }

    fn ask(&mut self, call: &str, of: &str, id: &str) -> Result<(), String> {
        let line = json!({"do": call, of: id, "timeout": 0});
        self.shared.ask(&mut self.cri, &line).map(drop).map_err(|error| format!("{call}: {error}"))
    }
}
