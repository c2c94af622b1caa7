//! Why a syscall matters: what a process can do with it that its container is there to prevent.

/// Syscalls, and what they let a process do: a fragment that completes "it lets a process …".
const DANGERS: &[(&[&str], &str)] = &[
    (&["acct"], "write a record of every program that ends, on the whole machine, to a file of its choice"),
    (
        &["add_key", "request_key", "keyctl"],
        "reach keys of the kernel's key store, which is not divided among containers",
    ),
    (
        &["adjtimex", "clock_adjtime", "clock_adjtime64"],
        "change how fast the clock of the whole machine runs",
    ),
    (&["arch_prctl"], "change how its own instructions and registers are treated"),
    (&["bpf"], "load programs into the kernel"),
    (&["cachestat", "mincore"], "watch what other containers read, by what is in memory already"),
    (&["capset"], "change its own capabilities"),
    (&["chroot", "pivot_root"], "change what it has as its root directory, a step of many escapes"),
    (
        &["clock_settime", "clock_settime64", "settimeofday", "stime"],
        "set the clock of the whole machine: certificates, logs and locks depend on it",
    ),
    (
        &["clone"],
        "make namespaces, where it is not told which flags to leave out; in a user namespace of its own it has every capability",
    ),
    (
        &["clone3"],
        "make namespaces with flags that stand in memory, where no filter sees them; in a user namespace it has every capability",
    ),
    (&["create_module", "init_module", "finit_module"], "load code into the kernel"),
    (&["delete_module"], "unload parts of the kernel"),
    (&["execveat", "memfd_create"], "run programs that are in no file system"),
    (&["fanotify_init", "fanotify_mark"], "watch, and hold up, access to files of a whole file system"),
    (
        &[
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
        ],
        "mount file systems, which undoes read-only and masked paths; a file system's own code reads what it mounts",
    ),
    (&["get_kernel_syms", "query_module"], "learn where the kernel has its functions"),
    (
        &["io_uring_setup", "io_uring_enter", "io_uring_register"],
        "do many other calls through a queue, past this filter",
    ),
    (&["ioctl"], "give any device its own commands, for example type into a terminal (TIOCSTI)"),
    (&["iopl", "ioperm"], "speak to hardware directly"),
    (
        &["ipc", "socketcall"],
        "make many calls through one, whose arguments stand in memory, where conditions do not reach them",
    ),
    (&["kcmp"], "learn which kernel objects other processes share"),
    (&["kexec_load", "kexec_file_load"], "put another kernel in place of this one"),
    (&["lookup_dcookie"], "learn paths of files outside of its container"),
    (&["lsm_set_self_attr"], "change the security label it runs under"),
    (
        &["mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"],
        "choose which memory of the machine is used, also that of other processes",
    ),
    (
        &["mknod", "mknodat"],
        "make device files, where it has the capability, and open the machine's disks by them",
    ),
    (
        &["modify_ldt", "vm86", "vm86old"],
        "set up memory segments of old modes, the ground of several kernel defects",
    ),
    (&["name_to_handle_at", "open_by_handle_at"], "open files outside of its root by their number"),
    (&["nfsservctl", "quotactl", "quotactl_fd"], "manage file systems of the machine"),
    (
        &["perf_event_open"],
        "measure the kernel and other processes; a large piece of kernel code with a long list of defects",
    ),
    (&["personality"], "switch off address randomisation and take on old, less tested behaviour"),
    (&["pidfd_getfd"], "take open files out of other processes"),
    (&["prctl"], "change its own security state: dumping, speculation, seccomp, keeping of capabilities"),
    (
        &["process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"],
        "read, write or drop the memory of other processes",
    ),
    (&["ptrace"], "take over other processes of its user; before Linux 4.8 also step around this filter"),
    (&["reboot"], "restart or stop the machine"),
    (&["remap_file_pages"], "arrange its memory in an old way that had kernel defects"),
    (&["rtas"], "call the firmware"),
    (&["seccomp"], "put filters on itself, and answer for calls of its children"),
    (&["setdomainname", "sethostname"], "change the name of the host, where it shares that namespace"),
    (&["setns"], "enter namespaces of other containers or of the host, where it can open them"),
    (
        &["socket", "socketpair"],
        "open sockets of any family: kernel crypto (AF_ALG), the hypervisor (AF_VSOCK), raw packets, and many rarely used protocols",
    ),
    (
        &["splice", "tee", "vmsplice"],
        "move memory pages between files and pipes, the ground of write access to read-only files (CVE-2022-0847)",
    ),
    (&["swapon", "swapoff"], "change where the machine swaps to"),
    (&["syslog"], "read the kernel's log, which holds addresses, and clear it"),
    (
        &["_sysctl", "sysfs", "ustat", "uselib", "bdflush"],
        "reach kernel code that nobody uses or tests any more",
    ),
    (&["umount", "umount2"], "take away mounts, and see what they hide"),
    (
        &["unshare"],
        "make namespaces; in a user namespace of its own it has every capability, over much kernel code",
    ),
    (&["userfaultfd"], "stop the kernel in the middle of a copy, which makes its races easy to win"),
    (&["vhangup"], "close a terminal for everybody on it"),
    (&["listmount", "statmount"], "see mounts of other namespaces that it can reach"),
];

/// Why a syscall matters: completes "it lets a process …". `None` for those that are of no special interest.
///
/// ```
/// assert_eq!(nri_seccomp::danger::of("bpf"), Some("load programs into the kernel"));
/// assert_eq!(nri_seccomp::danger::of("read"), None);
/// ```
#[must_use]
pub fn of(syscall: &str) -> Option<&'static str> {
    DANGERS.iter().find(|(names, _)| names.contains(&syscall)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syscall;

    #[test]
    fn every_name_is_one_and_stands_once() {
        let mut seen = BTreeSet::new();
        for name in DANGERS.iter().flat_map(|(names, _)| *names) {
            assert!(syscall::is_known(name), "{name}");
            assert!(seen.insert(name), "{name}");
        }
        assert!(seen.len() > 60);
    }
}
