//! What `nri run` and `nri adjust` have in common: the plugins that the command line names, a host that asks them, and
//! the container's spec before and after.

mod class;
mod pod;
mod programs;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nri_runtime::host::{
    self, Config, Created, Embedder, Given, Host, Identity, Judgement, Socket, StartError, Stopped,
};
use nri_runtime::oci::{self, Resolvers};
use nri_runtime::validate::Rejection;
use nri_wire::api::{
    Container, CreateContainerRequest, PodSandbox, StopContainerRequest, ValidateContainerAdjustmentRequest,
};
use nri_wire::name::PluginName;
use nri_wire::restrictions::RestrictionsResponse;
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use self::class::SeccompClass;
pub(crate) use self::pod::{container_from, pod_for};
use crate::audit::{self, About, Audit, Operation, Point};
use crate::failure::Failure;
use crate::policy::lock::{self, InForce};
use crate::record::Recorder;
use crate::settings::run::Run;
use crate::settings::{self, Command, plugin};
use crate::validator::Validator;

/// Nobody waits for a command but a person, so a whole request gets long; each plugin has its own, shorter time.
const REQUEST: Duration = Duration::from_secs(120);

/// How long `--wait` waits.
const WAIT: Duration = Duration::from_secs(10);

/// The plugins of a command line.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Plugin to launch: a file, or the name of a bundled one; CONFIG is a file with its configuration
    #[arg(long, value_name = "PATH[=CONFIG]", help_heading = "Plugins")]
    plugin: Vec<String>,
    /// Directory of plugins to launch, named NN-name
    #[arg(long, value_name = "DIR", help_heading = "Plugins")]
    plugin_dir: Option<PathBuf>,
    /// Directory of their configuration: NN-name.conf or name.conf
    #[arg(long, value_name = "DIR", help_heading = "Plugins")]
    plugin_config_dir: Option<PathBuf>,
    /// Socket for plugins that connect by themselves
    #[arg(long, value_name = "[NAME=]PATH[,mode=0600][,group=G]", value_parser = settings::socket, help_heading = "Plugins")]
    listen: Vec<Socket>,
    /// Wait for so many plugins to connect
    #[arg(long, value_name = "N", help_heading = "Plugins")]
    wait: Option<u32>,
    /// How long to wait for them [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = settings::duration, help_heading = "Plugins")]
    wait_timeout: Option<Duration>,
    /// Settings in TOML: these flags by name, and one table per plugin
    #[arg(long, value_name = "FILE", help_heading = "Plugins")]
    config: Option<PathBuf>,
    #[command(flatten)]
    policy: lock::Flags,
    #[command(flatten)]
    audit: audit::Flags,
    /// What the client asked for as a seccomp profile: runtime-default, localhost, unconfined, privileged [default: what the
    /// command knows, else nothing is said]
    #[arg(long, value_name = "CLASS", hide_possible_values = true, help_heading = "Policy")]
    seccomp_class: Option<SeccompClass>,
    /// The pod, as PodSandbox in JSON (default: from the spec's annotations, else made up)
    #[arg(long, value_name = "FILE")]
    pub(crate) pod: Option<PathBuf>,
}

/// What is known before the first plugin starts: options and file together, every name checked.
pub(crate) struct Plan {
    config: Config,
    policies: InForce,
    validator: Validator,
    wait: usize,
    wait_timeout: Duration,
    /// What the client asked for as a seccomp profile, where that is said.
    pub(crate) seccomp_class: Option<SeccompClass>,
    /// The OCI runtime that the file names.
    pub(crate) runtime: Option<String>,
    /// The recording that the file names, and whether it keeps secrets.
    pub(crate) record: (Option<PathBuf>, bool),
    recorder: Option<Arc<Recorder>>,
    /// The file of audit lines, and whose they are.
    audit: (Option<PathBuf>, Point),
}

/// A host with all its plugins, and one container's way through them.
pub(crate) struct Chain {
    host: Host,
    recorder: Option<Arc<Recorder>>,
    audit: Arc<Audit>,
    policies: InForce,
    /// As audit lines call it.
    runtime: Arc<str>,
}

/// There is no other container to update or evict: what plugins ask for is recorded, if anything is, and fails.
struct Alone {
    policies: InForce,
    validator: Validator,
    recorder: Option<Arc<Recorder>>,
    audit: Arc<Audit>,
    runtime: Arc<str>,
}

impl Embedder for Alone {
    fn asked(&self, plugin: &PluginName, given: &Given) {
        if let Some(recorder) = &self.recorder {
            recorder.asked(plugin, given);
        }
    }

    fn judged(&self, plugin: &PluginName, synchronizing: bool, judgement: &Judgement) {
        let about = About::unasked(synchronizing, &self.policies, &self.runtime);
        self.audit.judged(&about, plugin, judgement);
    }

    fn restrictions(&self, plugin: &PluginName, identity: &Identity) -> Option<RestrictionsResponse> {
        self.policies.restrictions(plugin, identity)
    }

    fn validate(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        self.validator.validate(request)
    }

    fn admit_pod(
        &self,
        pod: &PodSandbox,
        answered: &[PluginName],
        connected: &[PluginName],
    ) -> Result<(), Rejection> {
        self.validator.admit_pod(pod, answered, connected)
    }
}

impl Plan {
    /// # Errors
    /// The first file or name that is wrong.
    pub(crate) fn new(options: &Options, command: Command) -> Result<Self, Failure> {
        let file: Run = match &options.config {
            Some(file) => settings::read(file, command)?,
            None => Run::default(),
        };
        let plugins = if options.plugin.is_empty() { &file.plugin } else { &options.plugin };
        let listen = if options.listen.is_empty() { file.listen } else { options.listen.clone() };
        let wait = options.wait.or(file.wait).unwrap_or(0);
        if wait > 0 && listen.is_empty() {
            return Err(Failure::usage(format!(
                "--wait {wait} needs a --listen SOCKET for plugins to connect to"
            )));
        }
        let plugin_dir = options.plugin_dir.clone().or(file.plugin_dir);
        let plugin_config_dir = options.plugin_config_dir.clone().or(file.plugin_config_dir);
        for dir in [&plugin_dir, &plugin_config_dir].into_iter().flatten() {
            let data = std::fs::metadata(dir);
            if !data.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
                let why =
                    data.err().map_or_else(|| "it is no directory".to_owned(), |error| error.to_string());
                return Err(Failure::usage(format!("cannot use directory {}: {why}", dir.display())));
            }
        }
        let paths = if options.policy.policy.is_empty() { &file.policy } else { &options.policy.policy };
        let missing = options.policy.on_missing_policy.or(file.on_missing_policy);
        let audit = options.audit.audit.clone().or(file.audit);
        let policies = InForce::named(paths, missing, audit.is_some())?;
        let point = if command == Command::Run { Point::Run } else { Point::Adjust };
        let config = Config {
            judge: policies.judge().clone(),
            runtime_name: "nri".to_owned(),
            launch: programs::named(plugins)?,
            plugin_dir,
            plugin_config_dir,
            listen,
            // Who is not there at the start makes the command fail, and later it may be over at any moment.
            restart: false,
            // Whoever runs one container wants to read all of it.
            log_lines: u32::MAX,
            plugins: plugin::settings(file.plugins),
            trace: crate::trace::from_environment(),
            ..Config::default()
        };
        Ok(Self {
            config,
            policies,
            validator: Validator::new(file.default_validator),
            wait: usize::try_from(wait).unwrap_or(usize::MAX),
            wait_timeout: options.wait_timeout.or(file.wait_timeout).unwrap_or(WAIT),
            seccomp_class: options.seccomp_class.or(file.seccomp_class),
            runtime: file.runtime,
            record: (file.record, file.record_secrets),
            recorder: None,
            audit: (audit, point),
        })
    }

    /// Sockets that will be made.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        self.config.listen.iter().map(|socket| socket.path.clone()).collect()
    }

    /// Tells plugins under which OCI runtime the container will run.
    pub(crate) fn under(&mut self, name: &str, version: &str) {
        name.clone_into(&mut self.config.runtime_name);
        version.clone_into(&mut self.config.runtime_version);
    }

    /// Has every request and answer recorded.
    pub(crate) fn recorded(&mut self, recorder: Arc<Recorder>) {
        self.config.keep_answers = true;
        self.recorder = Some(recorder);
    }

    /// Starts the plugins and waits for those that are wanted.
    ///
    /// # Errors
    /// A socket or directory cannot be used, a plugin that was named did not become active, or too few connected.
    pub(crate) async fn start(self) -> Result<Chain, Failure> {
        let wanted: Vec<_> = self.config.launch.iter().map(|program| program.name.clone()).collect();
        let audit = Arc::new(Audit::open(self.audit.0.as_deref(), self.audit.1)?);
        let runtime: Arc<str> = match self.audit.1 {
            Point::Adjust => "none".into(),
            _ => format!("{}/{}", self.config.runtime_name, self.config.runtime_version).into(),
        };
        audit.loaded(&self.policies, &runtime);
        let embedder = Alone {
            policies: self.policies.clone(),
            validator: self.validator,
            recorder: self.recorder.clone(),
            audit: Arc::clone(&audit),
            runtime: Arc::clone(&runtime),
        };
        let host = Host::start(self.config, embedder).await.map_err(|error| match error {
            StartError::PluginDir(..) => Failure::usage(format!("failed to {error}")),
            _ => Failure::unavailable(format!("failed to {error}")),
        })?;
        let chain = Chain { host, recorder: self.recorder, audit, policies: self.policies, runtime };
        let (plugins, _) = chain.host.status().await;
        let active = |name: &PluginName| plugins.iter().any(|plugin| plugin.active && plugin.name == *name);
        if let Some(absent) = wanted.iter().find(|name| !active(name)) {
            chain.shutdown().await;
            return Err(Failure::unavailable(format!(
                "plugin {absent} did not become ready: it must register, answer Configure and Synchronize; what it printed is above"
            )));
        }
        let present = chain.host.active();
        if self.wait > 0
            && !chain.host.wait_active(present + self.wait, Instant::now() + self.wait_timeout).await
        {
            let came = chain.host.active().saturating_sub(present);
            chain.shutdown().await;
            return Err(Failure::unavailable(format!(
                "{came} of {} plugins connected within {:?}; is their socket the one of --listen?",
                self.wait, self.wait_timeout
            )));
        }
        Ok(chain)
    }
}

/// What came of the request to adjust a container: what the host says, and the spec with it applied.
pub(crate) struct Adjusted {
    pub(crate) result: Result<Created, host::Failure>,
    /// The adjusted spec, or why the result cannot be applied; absent where there is no result.
    pub(crate) applied: Option<Result<Value, oci::ApplyError>>,
    /// The audit line that says more about a failure.
    pub(crate) audit: Option<audit::Id>,
}

impl Chain {
    /// Has the plugins adjust the container, and applies the result to a copy of its spec.
    pub(crate) async fn adjust(&self, spec: &Value, pod: &PodSandbox, container: &Container) -> Adjusted {
        let request = CreateContainerRequest { pod: Some(pod.clone()), container: Some(container.clone()) };
        let begun = Instant::now();
        let result = self.host.create_container(request, deadline()).await;
        let decided = result.as_ref().map_or_else(audit::Done::Failed, audit::Done::Created);
        let audit = self.audit(Operation::Create, pod, container, begun, decided);
        if let Some(recorder) = &self.recorder {
            recorder.created(Some(pod), Some(container), Some(spec), result.as_ref());
        }
        let applied = result.as_ref().ok().map(|created| {
            let applied = oci::apply(spec, &created.merged.adjust, &resolvers())?;
            Ok(applied.spec)
        });
        Adjusted { result, applied, audit }
    }

    fn audit(
        &self,
        operation: Operation,
        pod: &PodSandbox,
        container: &Container,
        begun: Instant,
        decided: audit::Done<'_>,
    ) -> Option<audit::Id> {
        let about = About {
            operation,
            pod: Some(pod),
            container: Some(container),
            policies: &self.policies,
            runtime: &self.runtime,
            gap: Vec::new(),
            took: begun.elapsed(),
        };
        self.audit.decided(&about, decided)
    }

    /// Tells plugins that the container has stopped.
    pub(crate) async fn stop(
        &self,
        pod: &PodSandbox,
        container: &Container,
    ) -> Result<Stopped, host::Failure> {
        let request = StopContainerRequest { pod: Some(pod.clone()), container: Some(container.clone()) };
        let begun = Instant::now();
        let result = self.host.stop_container(request, deadline()).await;
        let decided = result.as_ref().map_or_else(audit::Done::Failed, audit::Done::Stopped);
        self.audit(Operation::Stop, pod, container, begun, decided);
        if let Some(recorder) = &self.recorder {
            recorder.stopped(Some(pod), Some(container), result.as_ref());
        }
        result
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Ends all plugins in order.
    pub(crate) async fn shutdown(&self) {
        self.host.shutdown().await;
        self.audit.close();
    }
}

/// When a request that begins now must be over.
pub(crate) fn deadline() -> Instant {
    Instant::now() + REQUEST
}

/// Classes and CDI devices are resolved by nobody here; the mount table is ours.
fn resolvers() -> Resolvers {
    Resolvers::default().mountinfo(|| Ok(std::fs::read_to_string("/proc/self/mountinfo")?))
}

/// Reads a message of the protocol from a JSON file; members that it does not know are named in the log.
///
/// # Errors
/// The file cannot be read, or is no such message.
pub(crate) fn message<M: prost::Message + prost::Name + Default>(file: &Path) -> Result<M, Failure> {
    let shown = file.display();
    let text =
        std::fs::read(file).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let json = crate::spec::json(&text, &shown.to_string(), &format!("a {}", M::NAME))?;
    let read = crate::json::from_json::<M>(&json)
        .map_err(|error| Failure::usage(format!("{shown}: no {}: {error}", M::NAME)))?;
    for path in &read.unknown {
        tracing::warn!("{shown}: {} has no member {path}; it is left out", M::NAME);
    }
    Ok(read.message)
}
