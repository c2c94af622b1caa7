//! What an operator says about one plugin: a table `[plugins.NAME]`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use nri_runtime::host::{FailureRule, LateRule, PluginSettings};
use nri_wire::event::EventMask;
use serde::de::{Deserialize, Deserializer, Error};

/// One such table. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Plugin {
    #[serde(deserialize_with = "super::some_duration")]
    pub(crate) timeout: Option<Duration>,
    #[serde(deserialize_with = "super::some_duration")]
    pub(crate) sync_timeout: Option<Duration>,
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) late: Option<Late>,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) restart: Option<Restart>,
    #[serde(deserialize_with = "events")]
    pub(crate) events: Option<EventMask>,
}

/// What a time-out does to the connection.
#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Late {
    Close,
    Keep,
}

/// What a late or lost answer does to the request.
#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFailure {
    Continue,
    Reject,
}

/// Whether a launched plugin that ended is started again.
#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    Always,
    Never,
}

/// The tables as a host takes them.
pub(crate) fn settings(tables: BTreeMap<String, Plugin>) -> BTreeMap<String, PluginSettings> {
    tables.into_iter().map(|(name, plugin)| (name, plugin.into())).collect()
}

impl From<Plugin> for PluginSettings {
    fn from(plugin: Plugin) -> Self {
        Self {
            timeout: plugin.timeout,
            sync_timeout: plugin.sync_timeout,
            concurrency: plugin.concurrency.map(Into::into),
            late: plugin.late.map(|late| match late {
                Late::Close => LateRule::Close,
                Late::Keep => LateRule::Keep,
            }),
            on_failure: plugin.on_failure.map(|rule| match rule {
                OnFailure::Continue => FailureRule::Continue,
                OnFailure::Reject => FailureRule::Reject,
            }),
            restart: plugin.restart.map(|restart| restart == Restart::Always),
            events: plugin.events,
        }
    }
}

fn events<'de, D: Deserializer<'de>>(from: D) -> Result<Option<EventMask>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    names.join(",").parse().map(Some).map_err(D::Error::custom)
}
