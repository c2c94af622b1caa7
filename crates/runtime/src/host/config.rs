//! What a host is given: the runtime it speaks for, its plugins, what an operator says about each of them, and the
//! embedding runtime's callbacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nri_policy::judge::Judge;
use nri_wire::api::{
    Container, ContainerEviction, ContainerUpdate, PodSandbox, ValidateContainerAdjustmentRequest,
};
use nri_wire::event::EventMask;
use nri_wire::io::Trace;
use nri_wire::limits::{REGISTRATION_TIMEOUT, REQUEST_TIMEOUT};
use nri_wire::name::PluginName;
use nri_wire::restrictions::RestrictionsResponse;
use nri_wire::version::NriVersion;

use super::given::Given;
use super::identity::Identity;
use super::listen::{Listener, Socket};
use super::outcome::Judgement;
use crate::limits::STDERR_LINES_MAX;
use crate::validate::Rejection;

/// Somebody who sees every message.
#[derive(Clone)]
pub struct Tracer(pub Arc<dyn Trace>);

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// Everything that a host starts with.
#[derive(Debug)]
pub struct Config {
    /// The runtime's name, as plugins get it in Configure.
    pub runtime_name: String,
    /// The runtime's version, likewise.
    pub runtime_version: String,
    /// The NRI version that plugins are told. A gateway tells its engine's.
    pub nri_version: String,
    /// How long a new connection may take to register.
    pub registration_timeout: Duration,
    /// What a plugin gets for one request unless its settings say otherwise.
    pub request_timeout: Duration,
    /// Directory of plugins to launch; one that is missing holds none.
    pub plugin_dir: Option<PathBuf>,
    /// Directory of their configuration texts: `NN-name.conf`, else `name.conf`.
    pub plugin_config_dir: Option<PathBuf>,
    /// Single plugins to launch besides.
    pub launch: Vec<Program>,
    /// Sockets for plugins that connect by themselves.
    pub listen: Vec<Socket>,
    /// Sockets for them that listen already.
    pub listeners: Vec<Listener>,
    /// Whether launched plugins that end are started again where nothing is said about them. Not useful to whoever
    /// makes one request and is done.
    pub restart: bool,
    /// Most lines of a launched plugin's standard error that are logged in a second; a line says how many more there
    /// were.
    pub log_lines: u32,
    /// What an operator says about plugins, by full name, base name, or `*` (`cli.md`, "Configuration file").
    pub plugins: BTreeMap<String, PluginSettings>,
    /// Base names or full names that no plugin may have that connects by itself.
    pub reserved: BTreeSet<String>,
    /// Who judges the answers of plugins before they count.
    pub judge: Judge,
    /// Whether [`Consulted::given`](super::Consulted::given) holds answers as they came, and
    /// [`Embedder::asked`] is called: for recordings.
    pub keep_answers: bool,
    /// Who sees every message on the connections of plugins.
    pub trace: Option<Tracer>,
    /// The pods that are there already.
    pub pods: Vec<PodSandbox>,
    /// The containers that are there already.
    pub containers: Vec<Container>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runtime_name: "nri-rs".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            nri_version: NriVersion::CURRENT.to_string(),
            registration_timeout: REGISTRATION_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            plugin_dir: None,
            plugin_config_dir: None,
            launch: Vec::new(),
            listen: Vec::new(),
            listeners: Vec::new(),
            restart: true,
            log_lines: STDERR_LINES_MAX,
            plugins: BTreeMap::new(),
            reserved: BTreeSet::new(),
            judge: Judge::allow_all(),
            keep_answers: false,
            trace: None,
            pods: Vec::new(),
            containers: Vec::new(),
        }
    }
}

/// A plugin that the host launches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its index and name; what it registers as is not looked at (`spec/wire.md` 4.3).
    pub name: PluginName,
    /// The file to execute.
    pub path: PathBuf,
    /// The arguments, `argv[0]` first; the path alone if empty.
    pub args: Vec<String>,
    /// The text that it gets in Configure.
    pub config: String,
}

/// What an operator says about one plugin. `None` leaves it to the plugin's own failure policy, then to `design.md` 5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSettings {
    /// Per request.
    pub timeout: Option<Duration>,
    /// For each part of a Synchronize.
    pub sync_timeout: Option<Duration>,
    /// Requests at once; 1 unless said otherwise.
    pub concurrency: Option<usize>,
    /// What a time-out does to the connection.
    pub late: Option<LateRule>,
    /// What a late or lost answer does to the request.
    pub on_failure: Option<FailureRule>,
    /// Whether a launched plugin that ended is started again; else as [`Config::restart`] says.
    pub restart: Option<bool>,
    /// The events that it may get at most.
    pub events: Option<EventMask>,
}

/// What a time-out does to a plugin's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateRule {
    /// Closed at once.
    Close,
    /// Kept, also when the late answer carries changes.
    Keep,
}

/// What a late or lost answer does to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureRule {
    /// It goes on without the plugin.
    Continue,
    /// It fails.
    Reject,
}

impl PluginSettings {
    /// These settings, and where they say nothing the others.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            timeout: self.timeout.or(other.timeout),
            sync_timeout: self.sync_timeout.or(other.sync_timeout),
            concurrency: self.concurrency.or(other.concurrency),
            late: self.late.or(other.late),
            on_failure: self.on_failure.or(other.on_failure),
            restart: self.restart.or(other.restart),
            events: self.events.or(other.events),
        }
    }

    /// What the table says about a plugin: its full name before its base name before `*`, key by key.
    #[must_use]
    pub fn lookup(table: &BTreeMap<String, Self>, name: &PluginName) -> Self {
        [name.full(), name.base(), "*"]
            .into_iter()
            .filter_map(|key| table.get(key))
            .fold(Self::default(), Self::or)
    }
}

/// A future that a callback returns.
pub type Callback<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who asks the embedding runtime for something on its own account.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The plugin.
    pub plugin: &'a PluginName,
    /// It has a call of the host in hand that it has not answered. Whoever makes it wait for the end of a request makes
    /// it hang.
    pub in_call: bool,
}

/// What the embedding runtime does for its host. Each method has a harmless default.
pub trait Embedder: Send + Sync + 'static {
    /// Applies updates that a plugin asks for on its own account (or in its answer to Synchronize), already judged.
    /// Gives back those that could not be applied. Called concurrently with requests.
    fn update<'a>(
        &'a self,
        _asking: Asking<'a>,
        updates: Vec<ContainerUpdate>,
    ) -> Callback<'a, Vec<ContainerUpdate>> {
        Box::pin(std::future::ready(updates))
    }

    /// Evicts containers on a plugin's own account (quirk C15).
    fn evict<'a>(&'a self, _asking: Asking<'a>, _evictions: Vec<ContainerEviction>) -> Callback<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Sees what a plugin asks for in its answer to Synchronize or on its own account, as it came, also if the policy
    /// then refuses it. Called only with [`Config::keep_answers`], on the host's own task: it must not block.
    fn asked(&self, _plugin: &PluginName, _given: &Given) {}

    /// Sees what the policy says of what a plugin asks for in its answer to Synchronize (`synchronizing`) or on its own
    /// account. Called only with a judge that records ([`Options::records`](nri_policy::judge::Options)), on the host's own
    /// task: it must not block.
    fn judged(&self, _plugin: &PluginName, _synchronizing: bool, _judgement: &Judgement) {}

    /// What the policy lets a plugin do that asks (`nri_wire::restrictions`); `None`: there is nothing to tell. `plugin` is
    /// the name that it says before it registers, and its own afterwards; who it is, `identity` says. Called on the host's
    /// own task: it must not block.
    fn restrictions(&self, _plugin: &PluginName, _identity: &Identity) -> Option<RestrictionsResponse> {
        None
    }

    /// Looks at the merged result of a CreateContainer as a validator of the host's own, before the plugins that
    /// validate: required plugins, the default validator.
    ///
    /// # Errors
    /// Why it is rejected. To [`Rejection::Missing`] the host adds what became of each plugin.
    fn validate(&self, _request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        Ok(())
    }

    /// Decides whether a pod may run, once every plugin has been told of it (RunPodSandbox). `answered`: the plugins that
    /// answered in time, and those that are connected and have nothing to answer, since they do not take the event.
    /// `connected`: all that get events now. Asked before as well, with all plugins that may answer: what is refused then
    /// is told to nobody.
    ///
    /// # Errors
    /// As [`Embedder::validate`].
    fn admit_pod(
        &self,
        _pod: &PodSandbox,
        _answered: &[PluginName],
        _connected: &[PluginName],
    ) -> Result<(), Rejection> {
        Ok(())
    }
}

/// An embedder that applies nothing and rejects nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEmbedder;

impl Embedder for NoEmbedder {}

/// The embedder as the host holds it.
#[derive(Clone)]
pub(crate) struct SharedEmbedder(pub(crate) Arc<dyn Embedder>);

impl fmt::Debug for SharedEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_name_wins_key_by_key() {
        let settings = |ms, concurrency| PluginSettings {
            timeout: Some(Duration::from_millis(ms)),
            concurrency,
            ..PluginSettings::default()
        };
        let table = BTreeMap::from([
            ("*".to_owned(), settings(1, Some(3))),
            ("a".to_owned(), settings(2, None)),
            ("10-a".to_owned(), PluginSettings { late: Some(LateRule::Keep), ..PluginSettings::default() }),
        ]);
        for (name, ms, late) in [("10-a", 2, Some(LateRule::Keep)), ("11-a", 2, None), ("10-b", 1, None)] {
            let found = PluginSettings::lookup(&table, &name.parse().unwrap());
            assert_eq!((found.timeout, found.late), (Some(Duration::from_millis(ms)), late), "{name}");
            assert_eq!(found.concurrency, Some(3));
        }
    }
}
