//! The order of a run: pod, container, process, and back, with every plugin told of each step (cli.md, "nri run").

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::SystemTime;

use nri_runtime::host::{Failure as HostFailure, Host, Told};
use nri_runtime::oci::{OciRuntime, carried, describe};
use nri_wire::api::{Container, ContainerState, PodSandbox};
use serde_json::Value;

use super::executable::{self, Files};
use super::rootfs::{self, Bind};
use super::runtime::{Exit, Init, Runtime};
use super::signals::Signals;
use super::state::State;
use super::terminal::{self, Console, Terminal};
use super::{Args, interrupted, spec, watch};
use crate::chain::{Adjusted, Chain, Plan, SeccompClass, container_from, deadline, pod_for};
use crate::decision::{self, Decision};
use crate::failure::Failure;

/// One run.
pub(crate) struct Lifecycle<'a> {
    pub(crate) args: &'a Args,
    pub(crate) runtime: &'a Runtime,
    pub(crate) state: &'a mut State,
    pub(crate) signals: &'a mut Signals,
    pub(crate) verbose: bool,
}

/// What the container is made of before any plugin has seen it.
struct Base {
    spec: Value,
    /// What of the host is bound into the default root file system, where that is used.
    binds: Option<Vec<Bind>>,
    terminal: bool,
}

impl Lifecycle<'_> {
    /// Returns the container's exit code.
    pub(crate) async fn run(mut self, plan: Plan) -> Result<u8, Failure> {
        let base = self.base()?;
        let id = self.state.id.clone();
        let pod = pod_for(self.args.chain.pod.as_deref(), &id, &base.spec)?;
        let mut about = Container { created_at: now(), ..Container::default() };
        let own_spec = self.args.bundle.is_none().then_some(SeccompClass::RuntimeDefault);
        if let Some(class) = plan.seccomp_class.or(own_spec) {
            class.tell(&base.spec, &mut about);
        }
        let container = container_from(&base.spec, &id, &pod, about, "the container's spec")?;
        let chain = tokio::select! {
            chain = plan.start() => chain?,
            signal = self.signals.end() => return Err(interrupted(signal)),
        };
        let result = self.pod(&chain, &base, &pod, container).await;
        chain.shutdown().await;
        result.map(Exit::code)
    }

    async fn pod(
        &mut self,
        chain: &Chain,
        base: &Base,
        pod: &PodSandbox,
        container: Container,
    ) -> Result<Exit, Failure> {
        self.told(chain.host().run_pod_sandbox(pod.clone(), deadline())).await?;
        let result = self.container(chain, base, pod, container).await;
        warn(chain.host().stop_pod_sandbox(pod.clone(), deadline()).await);
        warn(chain.host().remove_pod_sandbox(pod.clone(), deadline()).await);
        result
    }

    async fn container(
        &mut self,
        chain: &Chain,
        base: &Base,
        pod: &PodSandbox,
        container: Container,
    ) -> Result<Exit, Failure> {
        let adjusted = tokio::select! {
            adjusted = chain.adjust(&base.spec, pod, &container) => adjusted,
            signal = self.signals.end() => return Err(interrupted(signal)),
        };
        self.say_what_is_carried(&adjusted);
        let decision = Decision::new(&container.id, adjusted);
        self.report(&decision);
        if let Some(failure) = decision.failure() {
            return Err(failure);
        }
        let spec = decision.spec.unwrap_or_else(|| base.spec.clone());
        let mut container = describe(&spec, container)
            .map_err(|error| Failure::unavailable(format!("the adjusted spec is no OCI spec: {error}")))?;
        let result = self.process(chain.host(), &spec, base, pod, &mut container).await;

        container.state = ContainerState::ContainerStopped.into();
        container.finished_at = now();
        container.exit_code = result.as_ref().map_or(0, |exit| i32::from(exit.code()));
        if let Err(failure) = chain.stop(pod, &container).await {
            tracing::warn!("{failure}");
        }
        if !self.args.keep {
            self.state.delete_container();
        }
        warn(chain.host().remove_container(pod.clone(), container, deadline()).await);
        result
    }

    /// Creates, starts and awaits the container's process.
    async fn process(
        &mut self,
        host: &Host,
        spec: &Value,
        base: &Base,
        pod: &PodSandbox,
        container: &mut Container,
    ) -> Result<Exit, Failure> {
        let root = spec.pointer("/root/path").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default();
        executable::check(spec, &base.binds.as_ref().map_or(Files::Root(&root), |binds| Files::Host(binds)))?;
        tracing::info!("container {} under {} {}", self.state.id, self.runtime.name, self.runtime.version);
        let (init, controller) = self.create(spec, base.terminal).await?;
        container.pid = init.pid();
        container.state = ContainerState::ContainerCreated.into();
        warn(host.post_create_container(pod.clone(), container.clone(), deadline()).await);
        self.told(host.start_container(pod.clone(), container.clone(), deadline())).await?;
        let mut terminal = controller.map(Terminal::connect).transpose().map_err(|error| {
            Failure::unavailable(format!("cannot connect the container's terminal: {error}"))
        })?;
        let early = watch::start(self.runtime, self.state, self.signals).await?;
        container.state = ContainerState::ContainerRunning.into();
        container.started_at = now();
        let (exit, ()) = tokio::join!(watch::watch(&init, early, terminal.as_mut(), self.signals), async {
            warn(host.post_start_container(pod.clone(), container.clone(), deadline()).await);
        },);
        if let Some(terminal) = terminal {
            terminal.finish().await;
        }
        exit
    }

    async fn create(&mut self, spec: &Value, terminal: bool) -> Result<(Init, Option<OwnedFd>), Failure> {
        let file = self.state.dir.join("config.json");
        std::fs::write(&file, format!("{spec:#}\n"))
            .map_err(|error| Failure::unavailable(format!("cannot write {}: {error}", file.display())))?;
        let cgroup = spec.pointer("/linux/cgroupsPath").and_then(Value::as_str);
        self.state.expect_container(&self.runtime.path, cgroup)?;
        let console = if terminal { Some(Console::listen(&self.state.dir)?) } else { None };
        let socket = console.as_ref().map(|console| console.path.clone());
        let (dir, id) = (&self.state.dir, &self.state.id);
        let init = self.runtime.create(dir, id, socket.as_deref(), self.signals.end()).await?;
        let controller = match console {
            Some(console) => Some(console.accept().await?),
            None => None,
        };
        Ok((init, controller))
    }

    /// Awaits a step that plugins may refuse, unless a signal ends us.
    async fn told(&mut self, step: impl Future<Output = Result<Told, HostFailure>>) -> Result<(), Failure> {
        tokio::select! {
            told = step => told.map(drop).map_err(|failure| Failure::unavailable(failure.to_string())),
            signal = self.signals.end() => Err(interrupted(signal)),
        }
    }

    fn base(&self) -> Result<Base, Failure> {
        let terminal = self.args.terminal || terminal::is_ours();
        let (spec, binds) = base_spec(self.args, self.state, terminal)?;
        Ok(Base { spec, binds, terminal })
    }

    /// Fields that are in the spec and that this runtime ignores.
    fn say_what_is_carried(&self, adjusted: &Adjusted) {
        let Ok(created) = &adjusted.result else { return };
        let runtime = OciRuntime::new(&self.runtime.name, &self.runtime.version);
        for note in carried(&created.merged.adjust, &runtime) {
            tracing::warn!("{note}");
        }
        for update in &created.merged.updates {
            tracing::warn!(
                "an update of container {:?} was asked for; there is no other container",
                update.container_id
            );
        }
    }

    #[expect(clippy::print_stderr, reason = "what plugins did is for people; stdout is the container's")]
    fn report(&self, decision: &Decision) {
        if !decision.refused.is_empty() {
            eprint!("{}", decision::refusals(&decision.refused));
        }
        if self.verbose && !decision.changes.is_empty() {
            eprint!("{}", decision::changes(&decision.changes));
        }
    }
}

/// A step that has happened already: what a plugin says about it changes nothing.
fn warn(told: Result<Told, HostFailure>) {
    if let Err(failure) = told {
        tracing::warn!("{failure}");
    }
}

/// Nanoseconds since 1970, as the protocol has them.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The spec to start from, and what of the host it binds where it uses the default root file system.
fn base_spec(args: &Args, state: &State, terminal: bool) -> Result<(Value, Option<Vec<Bind>>), Failure> {
    let process = spec::Process { command: &args.command, env: &args.env, terminal };
    if let Some(bundle) = &args.bundle {
        return Ok((spec::from_bundle(bundle, &process)?, None));
    }
    if let Some(root) = &args.rootfs {
        spec::check_root(root, "pass a directory with --rootfs")?;
        let root = std::fs::canonicalize(root)
            .map_err(|error| Failure::usage(format!("cannot open {}: {error}", root.display())))?;
        return Ok((spec::default(&state.id, &root, &[], &process)?, None));
    }
    let root = state.dir.join("rootfs");
    let binds = rootfs::build(&root, &state.id)?;
    Ok((spec::default(&state.id, &root, &binds, &process)?, Some(binds)))
}
