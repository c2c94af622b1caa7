//! What OCI application cannot know by itself and asks its embedder for.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Why a callback refused or failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

type Filter = dyn Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> + Send + Sync;
type Resolve = dyn Fn(&str) -> Result<Value, Failure> + Send + Sync;
type Check = dyn Fn(Option<&mut Map<String, Value>>) -> Result<(), Failure> + Send + Sync;
type Inject = dyn Fn(&mut Value, &[&str]) -> Result<(), Failure> + Send + Sync;
type Read = dyn Fn() -> Result<String, Failure> + Send + Sync;

/// The embedder's callbacks (`spec/oci-apply.md` 1). None is needed for an adjustment that has no use for it.
///
/// ```
/// use nri_runtime::oci::Resolvers;
/// use serde_json::json;
///
/// let with = Resolvers::default()
///     .rdt(|class| match class {
///         "gold" => Ok(json!({"closID": "gold"})),
///         other => Err(format!("there is no class {other:?}").into()),
///     })
///     .mountinfo(|| Ok(std::fs::read_to_string("/proc/self/mountinfo")?));
/// ```
#[derive(Default)]
pub struct Resolvers {
    pub(super) annotations: Option<Box<Filter>>,
    pub(super) sysctl: Option<Box<Filter>>,
    pub(super) blockio: Option<Box<Resolve>>,
    pub(super) rdt: Option<Box<Resolve>>,
    pub(super) resources: Option<Box<Check>>,
    pub(super) cdi: Option<Box<Inject>>,
    pub(super) mountinfo: Option<Box<Read>>,
}

impl Resolvers {
    /// Sees the adjusted annotations, removal marks (`-key`) included, and says what becomes of them.
    /// Not called where no annotation is adjusted.
    #[must_use]
    pub fn annotations(
        mut self,
        filter: impl Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.annotations = Some(Box::new(filter));
        self
    }

    /// The same for sysctl, for which the reference has no option (quirk E9).
    #[must_use]
    pub fn sysctl(
        mut self,
        filter: impl Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.sysctl = Some(Box::new(filter));
        self
    }

    /// From the name of a block I/O class to the `blockIO` object of an OCI spec.
    #[must_use]
    pub fn blockio(
        mut self,
        resolve: impl Fn(&str) -> Result<Value, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.blockio = Some(Box::new(resolve));
        self
    }

    /// From the name of an RDT class to the `intelRdt` object of an OCI spec.
    #[must_use]
    pub fn rdt(mut self, resolve: impl Fn(&str) -> Result<Value, Failure> + Send + Sync + 'static) -> Self {
        self.rdt = Some(Box::new(resolve));
        self
    }

    /// Has the last word on `linux.resources`, which it may change; gets nothing where the spec has none. Called
    /// whenever the adjustment speaks of resources, even if it says nothing.
    #[must_use]
    pub fn resources(
        mut self,
        check: impl Fn(Option<&mut Map<String, Value>>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        self.resources = Some(Box::new(check));
        self
    }

    /// Injects CDI devices, by fully qualified name and in order, into the spec.
    #[must_use]
    pub fn cdi(
        mut self,
        inject: impl Fn(&mut Value, &[&str]) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        self.cdi = Some(Box::new(inject));
        self
    }

    /// The text of `/proc/self/mountinfo` where the container will be created. Asked for at most once, and only if
    /// a mount propagates; without it the sources of such mounts stay unchecked ([`super::Applied::unchecked`]).
    #[must_use]
    pub fn mountinfo(mut self, read: impl Fn() -> Result<String, Failure> + Send + Sync + 'static) -> Self {
        self.mountinfo = Some(Box::new(read));
        self
    }
}

impl fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolvers")
            .field("annotations", &self.annotations.is_some())
            .field("sysctl", &self.sysctl.is_some())
            .field("blockio", &self.blockio.is_some())
            .field("rdt", &self.rdt.is_some())
            .field("resources", &self.resources.is_some())
            .field("cdi", &self.cdi.is_some())
            .field("mountinfo", &self.mountinfo.is_some())
            .finish()
    }
}
