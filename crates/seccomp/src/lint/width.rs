//! Arguments of which the kernel takes 32 bits, or fewer, after the filter has looked at 64.

/// Whether the kernel drops the upper half of this argument.
pub(super) fn is_narrow(syscall: &str, argument: u32) -> bool {
    let at = NARROW.binary_search_by(|(name, _)| (*name).cmp(syscall));
    at.ok().and_then(|at| NARROW.get(at)).is_some_and(|(_, arguments)| arguments.contains(&argument))
}

/// Syscalls that policies put conditions on, with those arguments that are declared `int`, `unsigned int`, `pid_t`,
/// `uid_t` or the like in the kernel's `SYSCALL_DEFINE`. In the order of names.
const NARROW: &[(&str, &[u32])] = &[
    ("accept", &[0]),
    ("accept4", &[0, 3]),
    ("arch_prctl", &[0]),
    ("bind", &[0, 2]),
    ("bpf", &[0, 2]),
    ("chmod", &[1]),
    ("chown", &[1, 2]),
    ("connect", &[0, 2]),
    ("dup3", &[0, 1, 2]),
    ("epoll_create1", &[0]),
    ("eventfd2", &[0, 1]),
    ("fanotify_init", &[0, 1]),
    ("fchmod", &[0, 1]),
    ("fchmodat", &[0, 2]),
    ("fchown", &[0, 1, 2]),
    ("fcntl", &[0, 1]),
    ("futex", &[1, 2, 5]),
    ("getsockopt", &[0, 1, 2]),
    ("inotify_init1", &[0]),
    ("io_uring_register", &[0, 1, 3]),
    ("io_uring_setup", &[0]),
    ("ioctl", &[0, 1]),
    ("ioprio_set", &[0, 1, 2]),
    ("ipc", &[0, 1]),
    ("kcmp", &[0, 1, 2]),
    ("keyctl", &[0]),
    ("kill", &[0, 1]),
    ("listen", &[0, 1]),
    ("madvise", &[2]),
    ("membarrier", &[0, 1, 2]),
    ("memfd_create", &[1]),
    ("mknod", &[1, 2]),
    ("mknodat", &[0, 2, 3]),
    ("msgget", &[0, 1]),
    ("open", &[1, 2]),
    ("openat", &[0, 1, 2]),
    ("perf_event_open", &[1, 2, 3]),
    ("personality", &[0]),
    ("pidfd_getfd", &[0, 1, 2]),
    ("pidfd_open", &[0, 1]),
    ("pidfd_send_signal", &[0, 1, 3]),
    ("pipe2", &[1]),
    ("prctl", &[0]),
    ("prlimit64", &[0, 1]),
    ("quotactl", &[0, 2]),
    ("reboot", &[0, 1, 2]),
    ("recvfrom", &[0, 3]),
    ("recvmsg", &[0, 2]),
    ("sched_setscheduler", &[0, 1]),
    ("seccomp", &[0, 1]),
    ("semctl", &[0, 1, 2]),
    ("semget", &[0, 1, 2]),
    ("sendmsg", &[0, 2]),
    ("sendto", &[0, 3, 5]),
    ("setgid", &[0]),
    ("setns", &[0, 1]),
    ("setpriority", &[0, 1, 2]),
    ("setregid", &[0, 1]),
    ("setresgid", &[0, 1, 2]),
    ("setresuid", &[0, 1, 2]),
    ("setreuid", &[0, 1]),
    ("setrlimit", &[0]),
    ("setsockopt", &[0, 1, 2, 4]),
    ("setuid", &[0]),
    ("shmctl", &[0, 1]),
    ("shmget", &[0, 2]),
    ("shutdown", &[0, 1]),
    ("socket", &[0, 1, 2]),
    ("socketcall", &[0]),
    ("socketpair", &[0, 1, 2]),
    ("splice", &[0, 2, 5]),
    ("syslog", &[0, 2]),
    ("tgkill", &[0, 1, 2]),
    ("timer_create", &[0]),
    ("tkill", &[0, 1]),
    ("umount2", &[1]),
    ("userfaultfd", &[0]),
    ("waitid", &[0, 1, 3]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_names_of_syscalls() {
        assert!(NARROW.is_sorted_by(|one, other| one.0 < other.0));
        for (name, arguments) in NARROW {
            assert!(crate::syscall::is_known(name), "{name}");
            assert!(arguments.is_sorted() && arguments.iter().all(|argument| *argument < 6), "{name}");
        }
        assert!(is_narrow("socket", 0) && !is_narrow("clone", 0) && !is_narrow("unshare", 0));
    }
}
