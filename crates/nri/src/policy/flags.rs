//! The flags of commands that judge: `--policy`, `--on-missing-policy`.

use std::path::PathBuf;
use std::sync::Arc;

use nri_policy::document::load::PolicySet;
use nri_policy::host::NoHost;
use nri_policy::judge::{Judge, OnMissing, Options};
use serde::Deserialize;

use super::file;
use crate::failure::Failure;

/// What flags or the file say.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Flags {
    /// Policy that says what plugins may change: a file, or a directory of policies; may be given several times
    #[arg(long, value_name = "FILE|DIR", help_heading = "Policy")]
    pub(crate) policy: Vec<PathBuf>,
    /// What becomes of changes of containers that no policy covers [default: allow]
    #[arg(long, value_name = "allow|deny", hide_possible_values = true, help_heading = "Policy")]
    pub(crate) on_missing_policy: Option<Missing>,
}

/// What becomes of changes that no policy covers (`policy.md` 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// They count.
    Allow,
    /// They are refused.
    Deny,
}

impl From<Missing> for OnMissing {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Allow => Self::Allow,
            Missing::Deny => Self::Deny,
        }
    }
}

/// The policies of a command that reads only what it is told to.
///
/// # Errors
/// A path cannot be read or holds no policy, or a policy does not load.
pub(crate) fn named(paths: &[PathBuf]) -> Result<PolicySet, Failure> {
    if paths.is_empty() { Ok(PolicySet::compat()) } else { file::enforce(paths) }
}

/// Who judges by these policies.
pub(crate) fn judge(set: &PolicySet, missing: Option<Missing>) -> Judge {
    let on_missing = missing.map(OnMissing::from).unwrap_or_default();
    Judge::new(set, Options { on_missing, host: Arc::new(NoHost), records: false })
}
