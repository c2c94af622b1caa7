//! The file of `nri run` and `nri adjust`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nri_runtime::host::Socket;
use serde::Deserialize;

use super::plugin::Plugin;
use super::validator::Validator;
use crate::chain::SeccompClass;
use crate::policy::lock::Missing;

/// Its content. `runtime` and the recording are for `nri run` alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Run {
    pub(crate) runtime: Option<String>,
    pub(crate) plugin: Vec<String>,
    pub(crate) plugin_dir: Option<PathBuf>,
    pub(crate) plugin_config_dir: Option<PathBuf>,
    #[serde(deserialize_with = "super::list::one_or_more")]
    pub(crate) listen: Vec<Socket>,
    pub(crate) wait: Option<u32>,
    #[serde(deserialize_with = "super::some_duration")]
    pub(crate) wait_timeout: Option<Duration>,
    #[serde(deserialize_with = "super::list::one_or_more")]
    pub(crate) policy: Vec<PathBuf>,
    pub(crate) on_missing_policy: Option<Missing>,
    pub(crate) seccomp_class: Option<SeccompClass>,
    pub(crate) audit: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) record_secrets: bool,
    pub(crate) plugins: BTreeMap<String, Plugin>,
    #[serde(alias = "default_validator")]
    pub(crate) default_validator: Validator,
}

#[cfg(test)]
mod tests {
    use nri_wire::event::{Event, EventMask};

    use super::super::plugin::Late;
    use super::super::{Command, parse};
    use super::*;

    #[test]
    fn the_example_of_the_manual() {
        let text = r#"
            plugin = ["./a", "logger"]
            wait-timeout = "500ms"
            [plugins."10-topology-aware"]
            timeout = "2s"
            sync-timeout = "10s"
            concurrency = 1
            late = "close"
            on-failure = "continue"
            restart = "always"
            events = ["CreateContainer"]
            [plugins."*"]
            late = "keep"
        "#;
        let settings: Run = parse(text, "f", Command::Adjust).unwrap();
        assert_eq!(settings.wait_timeout, Some(Duration::from_millis(500)));
        let plugin = &settings.plugins["10-topology-aware"];
        assert_eq!(plugin.timeout, Some(Duration::from_secs(2)));
        assert_eq!(plugin.late, Some(Late::Close));
        assert_eq!(plugin.events, Some(EventMask::NONE.with(Event::CreateContainer)));
        assert_eq!(settings.plugins["*"].late, Some(Late::Keep));
    }
}
