//! What the policies say to the end result of a creation, or to a pod that is to run (`policy.md` 7).

use nri_policy::judge::{Action, Ended, Judge, Member, Product, Refused};
use nri_wire::api::PodSandbox;
use nri_wire::name::PluginName;
use tracing::{info, warn};

use super::outcome::Cause;
use crate::merge::Merged;

/// What is known beside the end result itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Every plugin that was there.
    pub chain: &'a [Member<'a>],
    /// It is happening now, as opposed to recorded.
    pub is_live: bool,
}

/// Has the end result of a creation judged. What violates an invariant is added to `refused`.
///
/// # Errors
/// An invariant is violated, or a plugin that is required was not there, and a policy rejects that.
pub fn conclude(
    judge: &Judge,
    merged: &Merged,
    circumstances: Circumstances<'_>,
    refused: &mut Vec<Refused>,
) -> Result<(), Cause> {
    if !judge.has_policies() {
        return Ok(());
    }
    let changes: Vec<_> = merged.changes.iter().map(|change| (&change.plugin, &change.change)).collect();
    let product = Product { pristine: &merged.pristine, container: &merged.container, changes: &changes };
    end(judge, merged.pod.as_ref(), Some(product), circumstances, refused)
}

/// The same for a pod that is to run.
///
/// # Errors
/// A plugin that is required is not there, and a policy rejects that.
pub(super) fn conclude_pod(
    judge: &Judge,
    pod: &PodSandbox,
    circumstances: Circumstances<'_>,
) -> Result<(), Cause> {
    if !judge.has_policies() {
        return Ok(());
    }
    end(judge, Some(pod), None, circumstances, &mut Vec::new())
}

fn end(
    judge: &Judge,
    pod: Option<&PodSandbox>,
    product: Option<Product<'_>>,
    circumstances: Circumstances<'_>,
    refused: &mut Vec<Refused>,
) -> Result<(), Cause> {
    let Circumstances { chain, is_live } = circumstances;
    let conclusion = judge.conclude(&Ended { pod, product, chain, refused, is_live });
    for absent in &conclusion.missing {
        match absent.action {
            Action::Warn => warn!("{absent}"),
            Action::Audit => info!("{absent}"),
            _ => {}
        }
    }
    let lacking = conclusion.lacking();
    let rejected = conclusion.refused.iter().find(|refused| refused.action == Action::Reject);
    let owner: Option<PluginName> = rejected.and_then(|refused| refused.plugin.parse().ok());
    let rule = rejected.map(|refused| refused.rule.clone());
    refused.extend(conclusion.refused);
    match (owner, rule) {
        (Some(owner), _) => Err(Cause::Policy(owner)),
        (None, Some(rule)) => Err(Cause::Rejected(format!("the end result violates {rule}"))),
        (None, None) if lacking.is_empty() => Ok(()),
        (None, None) => Err(Cause::Absent(lacking)),
    }
}
