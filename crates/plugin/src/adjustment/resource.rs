//! The setters for resources, which adjustments and updates share.

/// Writes the resource setters into an `impl` block whose type has
/// `fn resource(self, field: Field, key: &str, value: Value<'_>, verdict: Verdict) -> Self`.
macro_rules! resource_setters {
    () => {
        resource_setters! { @numbers
            /// Memory limit, bytes; −1 is unlimited.
            memory_limit: MemoryLimit Int(i64);
            /// Soft memory limit, bytes.
            memory_reservation: MemoryReservation Int(i64);
            /// Memory and swap together, bytes; −1 is unlimited.
            memory_swap: MemorySwap Int(i64);
            /// Kernel memory limit, bytes (cgroup v1).
            memory_kernel: MemoryKernel Int(i64);
            /// Kernel TCP buffer limit, bytes (cgroup v1).
            memory_kernel_tcp: MemoryKernelTcp Int(i64);
            /// Swappiness, 0 to 100 (cgroup v1).
            memory_swappiness: MemorySwappiness UInt(u64);
            /// Whether the OOM killer leaves the container alone (cgroup v1).
            memory_disable_oom_killer: MemoryDisableOomKiller Bool(bool);
            /// Whether memory is accounted hierarchically (cgroup v1).
            memory_use_hierarchy: MemoryUseHierarchy Bool(bool);
            /// CPU shares, 2 to 262144.
            cpu_shares: CpuShares UInt(u64);
            /// CPU time per period, microseconds; −1 is unlimited.
            cpu_quota: CpuQuota Int(i64);
            /// Length of a CPU period, microseconds.
            cpu_period: CpuPeriod UInt(u64);
            /// Real-time CPU time per real-time period, microseconds.
            cpu_realtime_runtime: CpuRealtimeRuntime Int(i64);
            /// Length of a real-time period, microseconds.
            cpu_realtime_period: CpuRealtimePeriod UInt(u64);
            /// Most processes; −1 is unlimited (NRI 0.7). In updates, reference runtimes ignore it.
            pids_limit: PidsLimit Int(i64);
        }

        /// CPUs that may be used: a list of ranges such as `0-3,7`.
        pub fn cpuset_cpus(self, list: impl AsRef<str>) -> Self {
            let list = list.as_ref();
            self.resource(Field::CpuCpus, "", &Value::Text(list), check::ranges(list))
        }

        /// Memory nodes that may be used: a list of ranges such as `0-1`.
        pub fn cpuset_mems(self, list: impl AsRef<str>) -> Self {
            let list = list.as_ref();
            self.resource(Field::CpuMems, "", &Value::Text(list), check::ranges(list))
        }

        /// Limit for huge pages of this size (`2MB`, `1GB`), bytes.
        pub fn hugepage_limit(self, size: impl AsRef<str>, bytes: u64) -> Self {
            let size = size.as_ref();
            self.resource(Field::Hugepages, size, &Value::UInt(bytes), check::page_size(size))
        }

        /// A file of the unified cgroup hierarchy and its content, such as `memory.high`.
        pub fn unified(self, file: impl AsRef<str>, value: impl AsRef<str>) -> Self {
            let (file, value) = (file.as_ref(), value.as_ref());
            let verdict = check::cgroup_file(file).or(check::text(value));
            self.resource(Field::Unified, file, &Value::Text(value), verdict)
        }

        /// Block I/O class, as the runtime's configuration names it; the empty class takes it away.
        pub fn blockio_class(self, class: impl AsRef<str>) -> Self {
            self.resource(Field::BlockioClass, "", &Value::Text(class.as_ref()), None)
        }

        /// RDT class, as the runtime's configuration names it; the empty class takes it away.
        pub fn rdt_class(self, class: impl AsRef<str>) -> Self {
            self.resource(Field::RdtClass, "", &Value::Text(class.as_ref()), None)
        }
    };
    (@numbers $($(#[$doc:meta])* $name:ident: $field:ident $value:ident($type:ty);)*) => {$(
        $(#[$doc])*
        pub fn $name(self, value: $type) -> Self {
            self.resource(Field::$field, "", &Value::$value(value), None)
        }
    )*};
}

pub(crate) use resource_setters;
