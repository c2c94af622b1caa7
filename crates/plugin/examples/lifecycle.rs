//! Writes a line for what happens to pods and containers, and how long containers ran.
//!
//! Shows: several events, the first picture of the node, state between events.

use nri_plugin::{
    Plugin, PostStartContainer, Result, RunPodSandbox, StopContainer, StopPodSandbox, Synchronize, Update,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

#[derive(Default)]
struct Lifecycle {
    started: Mutex<BTreeMap<String, Instant>>,
}

#[nri_plugin::plugin]
impl Plugin for Lifecycle {
    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        say(&format!("{} pods, {} containers", request.pods.len(), request.containers.len()))?;
        Ok(Vec::new())
    }

    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        say(&format!("pod {}/{} runs", request.pod().namespace, request.pod().name))
    }

    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        say(&format!("pod {}/{} has stopped", request.pod().namespace, request.pod().name))
    }

    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        let container = request.container();
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.insert(container.id.clone(), Instant::now());
        say(&format!("container {} runs: {}", container.name, container.args.join(" ")))
    }

    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        let container = request.container();
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        match started.remove(&container.id) {
            Some(start) => say(&format!("container {} ran {} s", container.name, start.elapsed().as_secs()))?,
            None => say(&format!("container {} has stopped", container.name))?,
        }
        Ok(Vec::new())
    }
}

fn say(line: &str) -> Result {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn main() -> ExitCode {
    nri_plugin::run(Lifecycle::default())
}
