//! Taking single entries out of a message again.

use super::entry::Value;
use super::resource::{resources, set_resource};
use super::{Entry, Field};
use crate::api::{ContainerAdjustment, ContainerUpdate, HugepageLimit, LinuxResources};

/// Keeps the entries of an adjustment that `keep` says yes to; it is asked about each once, by its place in
/// [`adjustment`](super::adjustment), in that order. Sub-messages that say nothing any more go too.
pub fn retain_adjustment(adjust: &mut ContainerAdjustment, mut keep: impl FnMut(usize) -> bool) {
    let mut place = 0..;
    let mut next = || place.next().is_some_and(&mut keep);
    adjust.annotations.retain(|_, _| next());
    adjust.mounts.retain(|_| next());
    adjust.env.retain(|_| next());
    if !adjust.args.is_empty() && !next() {
        adjust.args.clear();
    }
    if let Some(hooks) = &mut adjust.hooks {
        for list in [
            &mut hooks.prestart,
            &mut hooks.create_runtime,
            &mut hooks.create_container,
            &mut hooks.start_container,
            &mut hooks.poststart,
            &mut hooks.poststop,
        ] {
            list.retain(|_| next());
        }
    }
    if let Some(linux) = &mut adjust.linux {
        linux.devices.retain(|_| next());
        if let Some(resources) = &mut linux.resources {
            retain_resources(resources, |_| next());
        }
        if !linux.cgroups_path.is_empty() && !next() {
            linux.cgroups_path.clear();
        }
        single(&mut linux.oom_score_adj, &mut next);
        single(&mut linux.io_priority, &mut next);
        single(&mut linux.seccomp_policy, &mut next);
        linux.namespaces.retain(|_| next());
        linux.sysctl.retain(|_, _| next());
        linux.net_devices.retain(|_, _| next());
        single(&mut linux.scheduler, &mut next);
        if let Some(rdt) = &mut linux.rdt {
            rdt.remove = rdt.remove && next();
            single(&mut rdt.clos_id, &mut next);
            single(&mut rdt.schemata, &mut next);
            single(&mut rdt.enable_monitoring, &mut next);
        }
        single(&mut linux.memory_policy, &mut next);
        said(&mut linux.resources);
        said(&mut linux.rdt);
    }
    adjust.rlimits.retain(|_| next());
    adjust.cdi_devices.retain(|_| next());
    said(&mut adjust.hooks);
    said(&mut adjust.linux);
}

/// The same for [`update`](super::update). Device rules, which are no entries of updates, go.
pub fn retain_update(update: &mut ContainerUpdate, mut keep: impl FnMut(usize) -> bool) {
    let mut place = 0..;
    let set = update.linux.as_mut().and_then(|linux| linux.resources.as_mut());
    if let Some(resources) = set {
        retain_resources(resources, |entry| {
            entry.field != Field::DeviceCgroup && place.next().is_some_and(&mut keep)
        });
    }
}

/// Resources are written anew from what is kept.
fn retain_resources(set: &mut LinuxResources, mut keep: impl FnMut(&Entry<'_>) -> bool) {
    let old = std::mem::take(set);
    for entry in resources(&old).iter().filter(|entry| keep(entry)) {
        match (entry.field, &entry.value) {
            // A size that is given twice stays so: it is a conflict, which merging has to see.
            (Field::Hugepages, &Some(Value::UInt(limit))) => {
                set.hugepage_limits.push(HugepageLimit { page_size: entry.key.to_owned(), limit });
            }
            _ => {
                set_resource(set, entry);
            }
        }
    }
}

fn single<T>(value: &mut Option<T>, next: &mut impl FnMut() -> bool) {
    if value.is_some() && !next() {
        *value = None;
    }
}

fn said<T: Default + PartialEq>(value: &mut Option<T>) {
    if value.as_ref().is_some_and(|value| *value == T::default()) {
        *value = None;
    }
}
