//! The settings of `nri gateway`: its flags and its file are one type, so that both have the same names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nri_runtime::host::Socket;
use nri_runtime::validate::DefaultValidator;
use nri_wire::name::PluginName;
use serde::Deserialize;

use super::plugin::Plugin;
use super::validator::Validator;
use super::{Command, read};
use crate::control;
use crate::failure::Failure;
use crate::policy::lock::{InForce, Missing};

/// What flags or the file say; what they leave out has its default in [`Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// The engine's NRI socket
    #[arg(long, value_name = "PATH")]
    engine_socket: Option<PathBuf>,
    /// Socket for plugins that connect by themselves; may be given several times
    #[arg(long, value_name = "[NAME=]PATH[,mode=0600][,group=G]", value_parser = super::socket)]
    #[serde(deserialize_with = "super::list::one_or_more")]
    listen: Vec<Socket>,
    /// Directory of plugins to launch, named NN-name
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// Directory of their configuration: NN-name.conf or name.conf
    #[arg(long, value_name = "DIR")]
    plugin_config_dir: Option<PathBuf>,
    /// Policy that says what plugins may change: a file, or a directory of policies; may be given several times
    /// [default: /etc/nri/policy.d]
    #[arg(long, value_name = "FILE|DIR")]
    #[serde(deserialize_with = "super::list::one_or_more")]
    policy: Vec<PathBuf>,
    /// What becomes of changes of containers that no policy covers [default: allow]
    #[arg(long, value_name = "allow|deny", hide_possible_values = true)]
    on_missing_policy: Option<Missing>,
    /// Append a line for every decision about a plugin's changes to a file; without it, refusals are logged
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Write every request, answer and decision to a file, for `nri replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Record the values of variables and arguments as well
    #[arg(long)]
    record_secrets: bool,
    /// Serve metrics for Prometheus
    #[arg(long, value_name = "ADDR|unix:PATH")]
    metrics: Option<String>,
    /// Index under which the gateway registers at the engine [default: 00]
    #[arg(long, value_name = "NN")]
    index: Option<String>,
    /// Name under which it registers [default: nri-gateway]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Directory of what must survive a restart [default: /run/nri/gateway]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Control socket, for `nri plugins` [default: /run/nri/control.sock]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    #[arg(skip)]
    plugins: BTreeMap<String, Plugin>,
    #[arg(skip)]
    #[serde(alias = "default_validator")]
    default_validator: Validator,
}

/// Where settings come from; they are read again when they may have changed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    #[command(flatten)]
    flags: Gateway,
    /// Settings in TOML: these flags by name, and one table per plugin
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Settings that are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) engine_socket: PathBuf,
    pub(crate) listen: Vec<Socket>,
    pub(crate) plugin_dir: Option<PathBuf>,
    pub(crate) plugin_config_dir: Option<PathBuf>,
    pub(crate) audit: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) record_secrets: bool,
    pub(crate) metrics: Option<String>,
    /// As which it registers at the engine.
    pub(crate) name: PluginName,
    pub(crate) state_dir: PathBuf,
    pub(crate) control: PathBuf,
    /// Paths of policies. In force at once when they are read again, as the next.
    pub(crate) policy: Vec<PathBuf>,
    pub(crate) on_missing_policy: Option<Missing>,
    /// In force at once when they are read again.
    pub(crate) plugins: BTreeMap<String, Plugin>,
    /// In force at once when it is read again.
    pub(crate) validator: DefaultValidator,
}

impl Source {
    /// Reads the file, if there is one, and puts the flags above it.
    ///
    /// # Errors
    /// The first thing that is wrong or missing.
    pub(crate) fn read(&self) -> Result<Settings, Failure> {
        let file = match &self.config {
            Some(file) => read(file, Command::Gateway)?,
            None => Gateway::default(),
        };
        self.flags.clone().or(file).complete()
    }
}

impl Gateway {
    /// These, and what they leave out from the others.
    fn or(self, other: Self) -> Self {
        Self {
            engine_socket: self.engine_socket.or(other.engine_socket),
            listen: if self.listen.is_empty() { other.listen } else { self.listen },
            plugin_dir: self.plugin_dir.or(other.plugin_dir),
            plugin_config_dir: self.plugin_config_dir.or(other.plugin_config_dir),
            policy: if self.policy.is_empty() { other.policy } else { self.policy },
            on_missing_policy: self.on_missing_policy.or(other.on_missing_policy),
            audit: self.audit.or(other.audit),
            record: self.record.or(other.record),
            record_secrets: self.record_secrets || other.record_secrets,
            metrics: self.metrics.or(other.metrics),
            index: self.index.or(other.index),
            name: self.name.or(other.name),
            state_dir: self.state_dir.or(other.state_dir),
            control: self.control.or(other.control),
            plugins: other.plugins,
            default_validator: other.default_validator,
        }
    }

    fn complete(self) -> Result<Settings, Failure> {
        let needed = |key: &str, value: &str| {
            Failure::usage(format!("--{key} {value} is needed, here or as `{key}` in --config FILE"))
        };
        let index = self.index.as_deref().unwrap_or("00");
        let name = self.name.as_deref().unwrap_or("nri-gateway");
        let name = PluginName::new(index, name)
            .map_err(|error| Failure::usage(format!("cannot register as {index}-{name}: {error}")))?;
        let engine_socket = self.engine_socket.ok_or_else(|| needed("engine-socket", "PATH"))?;
        if self.listen.is_empty() {
            return Err(needed("listen", "PATH"));
        }
        distinct(&engine_socket, &self.listen)?;
        Ok(Settings {
            engine_socket,
            listen: self.listen,
            plugin_dir: self.plugin_dir,
            plugin_config_dir: self.plugin_config_dir,
            policy: self.policy,
            on_missing_policy: self.on_missing_policy,
            audit: self.audit,
            record: self.record,
            record_secrets: self.record_secrets,
            metrics: self.metrics,
            name,
            state_dir: self.state_dir.unwrap_or_else(|| "/run/nri/gateway".into()),
            control: self.control.unwrap_or_else(|| control::SOCKET.into()),
            plugins: self.plugins,
            validator: self.default_validator.into(),
        })
    }
}

/// A gateway that listens where its engine does would take the engine's socket away, or connect to itself.
fn distinct(engine: &Path, listen: &[Socket]) -> Result<(), Failure> {
    for (at, socket) in listen.iter().enumerate() {
        let path = socket.path.display();
        if socket.path == engine {
            return Err(Failure::usage(format!(
                "--listen {path} is the engine's own socket; move that first (docs/gateway.md) or choose another path"
            )));
        }
        let before = listen.get(..at).unwrap_or_default();
        if before.iter().any(|other| other.path == socket.path) {
            return Err(Failure::usage(format!("--listen {path} is given twice")));
        }
        if socket.name.is_some() && before.iter().any(|other| other.name == socket.name) {
            let name = socket.name.as_deref().unwrap_or_default();
            return Err(Failure::usage(format!("two sockets of --listen are named {name}")));
        }
    }
    Ok(())
}

impl Settings {
    /// The policies that they name.
    ///
    /// # Errors
    /// A policy does not load.
    pub(crate) fn in_force(&self) -> Result<InForce, Failure> {
        InForce::of_daemon(&self.policy, self.on_missing_policy, self.audit.is_some())
    }

    /// Looks at what the settings name: what can be wrong with a directory is said at the start.
    ///
    /// # Errors
    /// A directory that cannot be used. One that is not there may come with a plugin's package.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (key, dir) in [("plugin-dir", &self.plugin_dir), ("plugin-config-dir", &self.plugin_config_dir)] {
            let Some(dir) = dir else { continue };
            let shown = dir.display();
            match std::fs::read_dir(dir) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Few plugins need a text.
                    if key == "plugin-dir" {
                        tracing::warn!("{key} {shown} is not there; no plugin comes from it");
                    }
                }
                Err(error) => {
                    return Err(Failure::usage(format!("cannot use {key} {shown}: {error}")));
                }
            }
        }
        for socket in self.listen.iter().filter(|socket| socket.mode & 0o002 != 0) {
            let (path, mode) = (socket.path.display(), socket.mode);
            tracing::warn!(
                "{path} has mode {mode:04o}: every user of this machine may change containers through it"
            );
        }
        Ok(())
    }

    /// The keys that differ and count only at a start.
    pub(crate) fn needing_restart(&self, new: &Self) -> Vec<&'static str> {
        [
            ("engine-socket", self.engine_socket != new.engine_socket),
            ("listen", self.listen != new.listen),
            ("plugin-dir", self.plugin_dir != new.plugin_dir),
            ("plugin-config-dir", self.plugin_config_dir != new.plugin_config_dir),
            ("audit", self.audit != new.audit),
            ("record", self.record != new.record),
            ("record-secrets", self.record_secrets != new.record_secrets),
            ("metrics", self.metrics != new.metrics),
            ("index", self.name.index() != new.name.index()),
            ("name", self.name.base() != new.name.base()),
            ("state-dir", self.state_dir != new.state_dir),
            ("control", self.control != new.control),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        source: Source,
    }

    fn settings(arguments: &[&str], file: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, file).unwrap();
        let config = ["gateway", "--config", path.to_str().unwrap()];
        let line: Line = clap::Parser::try_parse_from(config.iter().chain(arguments)).unwrap();
        line.source.read().map_err(|failure| failure.to_string())
    }

    const FILE: &str = r#"
        engine-socket = "/run/nri-engine/nri.sock"
        listen = ["/run/nri/nri.sock", "gpu=/run/nri/gpu.sock,mode=0660,group=0"]
        index = "05"
        record = "/var/log/nri"
        plugins.a.timeout = "1s"
        default_validator.required_plugins = ["a"]
    "#;

    #[test]
    fn flags_stand_above_the_file_and_defaults_below() {
        let file = settings(&[], FILE).unwrap();
        assert_eq!(file.engine_socket.to_str(), Some("/run/nri-engine/nri.sock"));
        assert_eq!((file.listen.len(), file.listen[1].mode), (2, 0o660));
        assert_eq!(file.name.full(), "05-nri-gateway");
        assert_eq!(file.state_dir.to_str(), Some("/run/nri/gateway"));
        assert!(file.plugins.contains_key("a"));
        assert_eq!(file.validator.required_plugins, ["a"]);
        let both = settings(&["--listen", "/s", "--name", "gw", "--record-secrets"], FILE).unwrap();
        assert_eq!((both.listen.len(), both.name.full()), (1, "05-gw"));
        assert!(both.record_secrets);
        assert_eq!(file.needing_restart(&both), ["listen", "record-secrets", "name"]);
        assert!(file.needing_restart(&settings(&[], FILE).unwrap()).is_empty());
    }

    #[test]
    fn what_is_missing_or_does_not_fit() {
        for (arguments, file, expect) in [
            (&[][..], "", "--engine-socket PATH is needed, here or as `engine-socket` in --config FILE"),
            (&["--engine-socket", "/e"], "", "--listen PATH is needed, here or as `listen` in --config FILE"),
            (&["--index", "7"], FILE, "cannot register as 7-nri-gateway: "),
            (&["--name", "a b"], FILE, "cannot register as 05-a b: "),
            (
                &["--listen", "/e", "--engine-socket", "/e"],
                "",
                "--listen /e is the engine's own socket; move",
            ),
            (&["--listen", "/e", "--listen", "/e"], FILE, "--listen /e is given twice"),
            (&["--listen", "a=/e", "--listen", "a=/f"], FILE, "two sockets of --listen are named a"),
        ] {
            let message = settings(arguments, file).unwrap_err();
            assert!(message.starts_with(expect), "{message}");
        }
    }
}
