//! Our side: a host that speaks the wire alone, and the plugin that answers like its Go counterpart.

use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use nri_plugin::{Adjustment, Builder, CreateContainer, Plugin, RunPodSandbox};
use nri_wire::api;
use nri_wire::connection::Role;
use nri_wire::io::tokio::Peer;
use nri_wire::service::{self, Rpc};
use prost::Message as _;
use tokio::time::Instant;

use crate::Failure;
use crate::round::{Round, Took, rounds};

const TIMEOUT: Duration = Duration::from_secs(2);

/// Waits for one plugin, introduces itself, and measures.
pub(crate) fn wire(socket: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let peer = runtime.block_on(async {
        let listener = tokio::net::UnixListener::bind(socket)?;
        println!(r#"{{"event":"listening"}}"#);
        let (stream, _) = listener.accept().await?;
        introduce(stream).await
    })?;
    rounds(|round| {
        let (peer, round) = (peer.clone(), round.clone());
        // In a task, as a host calls: the future of block_on itself is polled with a system call more.
        let task = runtime.spawn(async move {
            match round.what.as_str() {
                "small" => {
                    let request = api::RunPodSandboxRequest { pod: Some(pod()) };
                    measure::<service::RunPodSandbox>(&peer, &round, &request).await
                }
                "create" => {
                    let container = Some(container(&round));
                    let request = api::CreateContainerRequest { pod: Some(pod()), container };
                    measure::<service::CreateContainer>(&peer, &round, &request).await
                }
                other => Err(format!("cannot measure {other:?}")),
            }
        });
        Ok(runtime.block_on(task)??)
    })
}

/// Times each call after the warm ones.
async fn measure<R: Rpc>(peer: &Peer, round: &Round, request: &R::Request) -> Result<Took, String>
where
    R::Request: Sync,
{
    let mut took = Vec::with_capacity(round.calls);
    for n in 0..round.warm + round.calls {
        let start = std::time::Instant::now();
        call::<R>(peer, request).await?;
        if n >= round.warm {
            took.push(start.elapsed());
        }
    }
    Ok(Took::of(took))
}

/// Takes a plugin's registration, configures and synchronises it.
async fn introduce(stream: tokio::net::UnixStream) -> Result<Peer, Failure> {
    let (peer, mut requests) = Peer::start(stream, Role::Runtime);
    let register = requests.next().await.ok_or("the plugin did not register")?;
    register.answer::<service::RegisterPlugin>(Ok(api::Empty {}));
    peer.admit();
    call::<service::Configure>(&peer, &api::ConfigureRequest::default()).await?;
    call::<service::Synchronize>(&peer, &api::SynchronizeRequest::default()).await?;
    // Nothing else is asked of a runtime here.
    tokio::spawn(async move { while requests.next().await.is_some() {} });
    Ok(peer)
}

/// Kilobytes that a plugin has resident, a second after it was launched, configured and synchronised.
pub(crate) fn resident(program: &str) -> Result<f64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut command = std::process::Command::new(program);
    command
        .env_clear()
        .env("NRI_PLUGIN_NAME", "idle")
        .env("NRI_PLUGIN_IDX", "50")
        .env("NRI_PLUGIN_SOCKET", "3");
    command.fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: 3 }])?;
    let mut child = command.spawn()?;
    drop(command);
    let rss = runtime.block_on(async {
        ours.set_nonblocking(true)?;
        let _peer = introduce(tokio::net::UnixStream::from_std(ours)?).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident_of(child.id())
    });
    child.kill().ok();
    child.wait()?;
    rss
}

/// Kilobytes that a process has resident now.
pub(crate) fn resident_of(pid: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no resident size")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()?)
}

async fn call<R: Rpc>(peer: &Peer, request: &R::Request) -> Result<(), String> {
    match peer.call::<R>(request, Instant::now() + TIMEOUT).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", R::METHOD)),
    }
}

/// The plugin of the measurements: one small adjustment, always the same, and the same as the Go plugin's.
struct Fixed;

#[nri_plugin::plugin]
impl Plugin for Fixed {
    fn run_pod_sandbox(&self, _request: &RunPodSandbox) -> nri_plugin::Result {
        Ok(())
    }

    fn create_container(&self, _request: &CreateContainer) -> nri_plugin::Result<Adjustment> {
        Ok(Adjustment::new()
            .add_env("BENCH", "1")
            .add_annotation("example.com/bench", "1")
            .memory_limit(256 << 20))
    }
}

pub(crate) fn plugin(socket: &str) -> Result<(), Failure> {
    Ok(Builder::new().name("bench").index("10").socket(socket).run(Fixed)?)
}

pub(crate) fn pod() -> api::PodSandbox {
    api::PodSandbox {
        id: "p0".into(),
        name: "pod-p0".into(),
        uid: "uid-p0".into(),
        namespace: "default".into(),
        labels: [("app".to_owned(), "sample".to_owned())].into(),
        linux: Some(api::LinuxPodSandbox { cgroup_parent: "/kubepods/p0".into(), ..Default::default() }),
        ..Default::default()
    }
}

/// A container like those of an engine, whose encoding has at least the round's size: mostly variables and mounts.
pub(crate) fn container(round: &Round) -> api::Container {
    let mut container = api::Container {
        id: "c0".into(),
        pod_sandbox_id: "p0".into(),
        name: "container-c0".into(),
        args: ["/bin/server", "--config", "/etc/server.yaml"].map(str::to_owned).into(),
        linux: Some(api::LinuxContainer { cgroups_path: "/kubepods/p0/c0".into(), ..Default::default() }),
        ..Default::default()
    };
    let mut n = 0;
    while container.encoded_len() < round.size {
        match n % 4 {
            2 => container.mounts.push(api::Mount {
                destination: format!("/var/data/volume-{n:04}"),
                source: format!("/var/lib/kubelet/pods/p0/volumes/volume-{n:04}"),
                r#type: "bind".into(),
                options: ["rbind", "rprivate", "rw"].map(str::to_owned).into(),
            }),
            3 if n < 64 => {
                container
                    .annotations
                    .insert(format!("example.com/annotation-{n:04}"), format!("value of annotation {n:04}"));
            }
            _ => {
                container.env.push(format!(
                    "SERVICE_{n:04}_PORT_TCP_ADDR=10.96.{}.{}:8443",
                    n / 256,
                    n % 256
                ));
            }
        }
        n += 1;
    }
    container
}
