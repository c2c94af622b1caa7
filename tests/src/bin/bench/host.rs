//! Our whole host as a driver, and plugins that do nothing, many in one process.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use nri_plugin::{Builder, Plugin, RemoveContainer};
use nri_runtime::host::{Config, Host, NoEmbedder, PluginSettings};
use nri_wire::api;
use tokio::time::Instant;

use crate::Failure;
use crate::ours::{container, pod};
use crate::round::{Round, Took, rounds};

/// What a creation gets: so much that only a plugin's own time-out counts.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest that plugins may take to connect.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host on a socket, with so many plugins that may each have so many requests at once.
pub(crate) fn drive(socket: &str, plugins: &str, concurrency: &str) -> Result<(), Failure> {
    let (plugins, concurrency): (usize, usize) = (plugins.parse()?, concurrency.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = PluginSettings { concurrency: Some(concurrency), ..PluginSettings::default() };
    let config = Config {
        listen: vec![PathBuf::from(socket).into()],
        plugins: [("*".to_owned(), settings)].into(),
        ..Config::default()
    };
    let host = runtime.block_on(async { Host::start(config, NoEmbedder).await })?;
    println!(r#"{{"event":"listening"}}"#);
    if !runtime.block_on(host.wait_active(plugins, Instant::now() + PATIENCE)) {
        return Err("the plugins did not connect".into());
    }
    // Between rounds the host must go on, or plugins would see it stand still.
    let (host, handle) = (host.clone(), runtime.handle().clone());
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    rounds(|round| {
        let (host, round) = (host.clone(), round.clone());
        let (sender, result) = std::sync::mpsc::channel();
        handle.spawn(async move { sender.send(measure(&host, &round).await) });
        Ok(result.recv()??)
    })
}

async fn measure(host: &Host, round: &Round) -> Result<Took, String> {
    match round.what.as_str() {
        "create" => {
            let mut took = Vec::with_capacity(round.calls);
            for n in 0..round.warm + round.calls {
                let one = create(host, round, n).await?;
                if n >= round.warm {
                    took.push(one);
                }
            }
            Ok(Took::of(took))
        }
        "parallel" => {
            let start = std::time::Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for n in 0..round.calls {
                let (host, round) = (host.clone(), round.clone());
                calls.spawn(async move { create(&host, &round, n).await });
            }
            while let Some(end) = calls.join_next().await {
                end.map_err(|error| error.to_string())??;
            }
            Ok(Took::of(vec![start.elapsed()]))
        }
        other => Err(format!("cannot measure {other:?}")),
    }
}

async fn create(host: &Host, round: &Round, n: usize) -> Result<Duration, String> {
    let container = api::Container { id: format!("c{n}"), ..container(round) };
    let request = api::CreateContainerRequest { pod: Some(pod()), container: Some(container) };
    let start = std::time::Instant::now();
    host.create_container(request, Instant::now() + DEADLINE).await.map_err(|failure| failure.to_string())?;
    Ok(start.elapsed())
}

struct Idle;

#[nri_plugin::plugin]
impl Plugin for Idle {
    fn remove_container(&self, _request: &RemoveContainer) -> nri_plugin::Result {
        Ok(())
    }
}

/// Connects so many plugins, says so, and keeps them until stdin ends.
pub(crate) fn idle_plugins(socket: &str, count: &str) -> Result<(), Failure> {
    let count: usize = count.parse()?;
    let mut running = Vec::with_capacity(count);
    for n in 0..count {
        running.push(Builder::new().name(format!("idle-{n}")).index("50").socket(socket).start(Idle)?);
    }
    println!(r#"{{"event":"connected"}}"#);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
