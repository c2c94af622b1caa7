//! Taking away what says nothing, so that two adjustments or updates can be compared (`spec/api.md` 10).
//!
//! Not loss-free, hence never used on the way of a request: a pids limit of 0, I/O priority NONE, scheduler NONE and
//! the default memory policy vanish.

use nri_wire::api::{ContainerAdjustment, ContainerUpdate, LinuxContainerAdjustment, LinuxResources};

/// Messages that can be stripped.
pub trait Strip: Sized {
    /// The message without sub-messages that say nothing; `None` if nothing is left. Wrappers say something whatever
    /// their value is.
    ///
    /// ```
    /// use nri_runtime::merge::strip::Strip as _;
    /// use nri_wire::api::{ContainerAdjustment, Hooks};
    /// let adjust = ContainerAdjustment { hooks: Some(Hooks::default()), ..Default::default() };
    /// assert_eq!(adjust.strip(), None);
    /// ```
    #[must_use]
    fn strip(self) -> Option<Self>;
}

impl Strip for ContainerAdjustment {
    fn strip(mut self) -> Option<Self> {
        part(&mut self.hooks, |_| {});
        part(&mut self.linux, linux);
        said(self)
    }
}

impl Strip for ContainerUpdate {
    fn strip(mut self) -> Option<Self> {
        part(&mut self.linux, |linux| part(&mut linux.resources, resources));
        said(self)
    }
}

fn linux(linux: &mut LinuxContainerAdjustment) {
    part(&mut linux.resources, resources);
    part(&mut linux.io_priority, |_| {});
    part(&mut linux.seccomp_policy, |_| {});
    part(&mut linux.scheduler, |_| {});
    part(&mut linux.rdt, |_| {});
    part(&mut linux.memory_policy, |_| {});
}

fn resources(resources: &mut LinuxResources) {
    part(&mut resources.memory, |_| {});
    part(&mut resources.cpu, |_| {});
    part(&mut resources.pids, |_| {});
}

/// Strips an optional part and takes it away if nothing is left of it.
fn part<T: Default + PartialEq>(slot: &mut Option<T>, strip: impl FnOnce(&mut T)) {
    *slot = slot.take().and_then(|mut value| {
        strip(&mut value);
        said(value)
    });
}

fn said<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}
