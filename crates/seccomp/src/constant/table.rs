//! Values of the constants that [`super`] names, from the kernel's user-space headers (generic ABI).

/// Names with their values.
pub(super) type Table = &'static [(&'static str, u32)];

/// Flags of clone, unshare and setns.
#[rustfmt::skip]
pub(super) const CLONE: Table = &[
    ("CLONE_NEWTIME", 0x80), ("CLONE_VM", 0x100), ("CLONE_FS", 0x200), ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800), ("CLONE_PIDFD", 0x1000), ("CLONE_PTRACE", 0x2000), ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000), ("CLONE_THREAD", 0x10000), ("CLONE_NEWNS", 0x20000),
    ("CLONE_SYSVSEM", 0x40000), ("CLONE_SETTLS", 0x80000), ("CLONE_PARENT_SETTID", 0x100000),
    ("CLONE_CHILD_CLEARTID", 0x200000), ("CLONE_DETACHED", 0x400000), ("CLONE_UNTRACED", 0x800000),
    ("CLONE_CHILD_SETTID", 0x1000000), ("CLONE_NEWCGROUP", 0x2000000), ("CLONE_NEWUTS", 0x4000000),
    ("CLONE_NEWIPC", 0x8000000), ("CLONE_NEWUSER", 0x10000000), ("CLONE_NEWPID", 0x20000000),
    ("CLONE_NEWNET", 0x40000000), ("CLONE_IO", 0x80000000),
];

/// Address families.
#[rustfmt::skip]
pub(super) const FAMILY: Table = &[
    ("AF_UNSPEC", 0), ("AF_UNIX", 1), ("AF_INET", 2), ("AF_AX25", 3), ("AF_IPX", 4), ("AF_APPLETALK", 5),
    ("AF_NETROM", 6), ("AF_BRIDGE", 7), ("AF_ATMPVC", 8), ("AF_X25", 9), ("AF_INET6", 10), ("AF_ROSE", 11),
    ("AF_DECnet", 12), ("AF_NETBEUI", 13), ("AF_SECURITY", 14), ("AF_KEY", 15), ("AF_NETLINK", 16),
    ("AF_PACKET", 17), ("AF_ASH", 18), ("AF_ECONET", 19), ("AF_ATMSVC", 20), ("AF_RDS", 21), ("AF_SNA", 22),
    ("AF_IRDA", 23), ("AF_PPPOX", 24), ("AF_WANPIPE", 25), ("AF_LLC", 26), ("AF_IB", 27), ("AF_MPLS", 28),
    ("AF_CAN", 29), ("AF_TIPC", 30), ("AF_BLUETOOTH", 31), ("AF_IUCV", 32), ("AF_RXRPC", 33),
    ("AF_ISDN", 34), ("AF_PHONET", 35), ("AF_IEEE802154", 36), ("AF_CAIF", 37), ("AF_ALG", 38),
    ("AF_NFC", 39), ("AF_VSOCK", 40), ("AF_KCM", 41), ("AF_QIPCRTR", 42), ("AF_SMC", 43), ("AF_XDP", 44),
    ("AF_MCTP", 45),
];

/// Kinds of sockets.
#[rustfmt::skip]
pub(super) const SOCKET_TYPE: Table = &[
    ("SOCK_STREAM", 1), ("SOCK_DGRAM", 2), ("SOCK_RAW", 3), ("SOCK_RDM", 4), ("SOCK_SEQPACKET", 5),
    ("SOCK_DCCP", 6), ("SOCK_PACKET", 10),
];

/// Flags beside the kind of a socket.
#[rustfmt::skip]
pub(super) const SOCKET_FLAG: Table = &[
    ("SOCK_NONBLOCK", 0x800), ("SOCK_CLOEXEC", 0x80000),
];

/// Protocols of AF_NETLINK.
#[rustfmt::skip]
pub(super) const NETLINK: Table = &[
    ("NETLINK_ROUTE", 0), ("NETLINK_USERSOCK", 2), ("NETLINK_SOCK_DIAG", 4), ("NETLINK_XFRM", 6),
    ("NETLINK_SELINUX", 7), ("NETLINK_ISCSI", 8), ("NETLINK_AUDIT", 9), ("NETLINK_FIB_LOOKUP", 10),
    ("NETLINK_CONNECTOR", 11), ("NETLINK_NETFILTER", 12), ("NETLINK_IP6_FW", 13), ("NETLINK_DNRTMSG", 14),
    ("NETLINK_KOBJECT_UEVENT", 15), ("NETLINK_GENERIC", 16), ("NETLINK_SCSITRANSPORT", 18),
    ("NETLINK_ECRYPTFS", 19), ("NETLINK_RDMA", 20), ("NETLINK_CRYPTO", 21),
];

/// Execution domains.
#[rustfmt::skip]
pub(super) const PERSONALITY: Table = &[
    ("PER_LINUX", 0), ("PER_LINUX32", 8),
];

/// Flags beside the execution domain.
#[rustfmt::skip]
pub(super) const PERSONALITY_FLAG: Table = &[
    ("UNAME26", 0x20000), ("ADDR_NO_RANDOMIZE", 0x40000), ("FDPIC_FUNCPTRS", 0x80000),
    ("MMAP_PAGE_ZERO", 0x100000), ("ADDR_COMPAT_LAYOUT", 0x200000), ("READ_IMPLIES_EXEC", 0x400000),
    ("ADDR_LIMIT_32BIT", 0x800000), ("SHORT_INODE", 0x1000000), ("WHOLE_SECONDS", 0x2000000),
    ("STICKY_TIMEOUTS", 0x4000000), ("ADDR_LIMIT_3GB", 0x8000000),
];

/// Requests of ioctl, those that policies name.
#[rustfmt::skip]
pub(super) const IOCTL: Table = &[
    ("TCGETS", 0x5401), ("TCSETS", 0x5402), ("TCSETSW", 0x5403), ("TCSETSF", 0x5404), ("TIOCSCTTY", 0x540e),
    ("TIOCGPGRP", 0x540f), ("TIOCSPGRP", 0x5410), ("TIOCSTI", 0x5412), ("TIOCGWINSZ", 0x5413),
    ("TIOCSWINSZ", 0x5414), ("FIONREAD", 0x541b), ("TIOCLINUX", 0x541c), ("TIOCCONS", 0x541d),
    ("FIONBIO", 0x5421), ("TIOCNOTTY", 0x5422), ("TIOCSETD", 0x5423), ("TIOCGETD", 0x5424),
    ("TIOCVHANGUP", 0x5437), ("TIOCGPTPEER", 0x5441), ("FIONCLEX", 0x5450), ("FIOCLEX", 0x5451),
    ("FIOASYNC", 0x5452), ("SIOCGIFCONF", 0x8912), ("SIOCGIFFLAGS", 0x8913), ("SIOCSIFFLAGS", 0x8914),
    ("TIOCSPTLCK", 0x40045431), ("FICLONE", 0x40049409), ("FS_IOC_SETFLAGS", 0x40086602),
    ("FICLONERANGE", 0x4020940d), ("TIOCGPTN", 0x80045430), ("FS_IOC_GETFLAGS", 0x80086601),
    ("FIDEDUPERANGE", 0xc0189436),
];

/// Operations of prctl.
#[rustfmt::skip]
pub(super) const PRCTL: Table = &[
    ("PR_SET_PDEATHSIG", 1), ("PR_GET_PDEATHSIG", 2), ("PR_GET_DUMPABLE", 3), ("PR_SET_DUMPABLE", 4),
    ("PR_GET_KEEPCAPS", 7), ("PR_SET_KEEPCAPS", 8), ("PR_SET_NAME", 15), ("PR_GET_NAME", 16),
    ("PR_GET_SECCOMP", 21), ("PR_SET_SECCOMP", 22), ("PR_CAPBSET_READ", 23), ("PR_CAPBSET_DROP", 24),
    ("PR_GET_TSC", 25), ("PR_SET_TSC", 26), ("PR_GET_SECUREBITS", 27), ("PR_SET_SECUREBITS", 28),
    ("PR_SET_TIMERSLACK", 29), ("PR_GET_TIMERSLACK", 30), ("PR_MCE_KILL", 33), ("PR_SET_MM", 35),
    ("PR_SET_CHILD_SUBREAPER", 36), ("PR_GET_CHILD_SUBREAPER", 37), ("PR_SET_NO_NEW_PRIVS", 38),
    ("PR_GET_NO_NEW_PRIVS", 39), ("PR_GET_TID_ADDRESS", 40), ("PR_SET_THP_DISABLE", 41),
    ("PR_GET_THP_DISABLE", 42), ("PR_MPX_ENABLE_MANAGEMENT", 43), ("PR_MPX_DISABLE_MANAGEMENT", 44),
    ("PR_CAP_AMBIENT", 47), ("PR_GET_SPECULATION_CTRL", 52), ("PR_SET_SPECULATION_CTRL", 53),
    ("PR_SET_IO_FLUSHER", 57), ("PR_GET_IO_FLUSHER", 58), ("PR_SET_SYSCALL_USER_DISPATCH", 59),
    ("PR_SCHED_CORE", 62), ("PR_SET_VMA", 0x53564d41), ("PR_SET_PTRACER", 0x59616d61),
];

/// Operations of keyctl.
#[rustfmt::skip]
pub(super) const KEYCTL: Table = &[
    ("KEYCTL_GET_KEYRING_ID", 0), ("KEYCTL_JOIN_SESSION_KEYRING", 1), ("KEYCTL_UPDATE", 2),
    ("KEYCTL_REVOKE", 3), ("KEYCTL_CHOWN", 4), ("KEYCTL_SETPERM", 5), ("KEYCTL_DESCRIBE", 6),
    ("KEYCTL_CLEAR", 7), ("KEYCTL_LINK", 8), ("KEYCTL_UNLINK", 9), ("KEYCTL_SEARCH", 10),
    ("KEYCTL_READ", 11), ("KEYCTL_INSTANTIATE", 12), ("KEYCTL_NEGATE", 13),
    ("KEYCTL_SET_REQKEY_KEYRING", 14), ("KEYCTL_SET_TIMEOUT", 15), ("KEYCTL_ASSUME_AUTHORITY", 16),
    ("KEYCTL_GET_SECURITY", 17), ("KEYCTL_SESSION_TO_PARENT", 18), ("KEYCTL_REJECT", 19),
    ("KEYCTL_INSTANTIATE_IOV", 20), ("KEYCTL_INVALIDATE", 21), ("KEYCTL_GET_PERSISTENT", 22),
    ("KEYCTL_DH_COMPUTE", 23), ("KEYCTL_PKEY_QUERY", 24), ("KEYCTL_PKEY_ENCRYPT", 25),
    ("KEYCTL_PKEY_DECRYPT", 26), ("KEYCTL_PKEY_SIGN", 27), ("KEYCTL_PKEY_VERIFY", 28),
    ("KEYCTL_RESTRICT_KEYRING", 29), ("KEYCTL_MOVE", 30), ("KEYCTL_CAPABILITIES", 31),
    ("KEYCTL_WATCH_KEY", 32),
];

/// Requests of ptrace.
#[rustfmt::skip]
pub(super) const PTRACE: Table = &[
    ("PTRACE_TRACEME", 0), ("PTRACE_PEEKTEXT", 1), ("PTRACE_PEEKDATA", 2), ("PTRACE_PEEKUSR", 3),
    ("PTRACE_POKETEXT", 4), ("PTRACE_POKEDATA", 5), ("PTRACE_POKEUSR", 6), ("PTRACE_CONT", 7),
    ("PTRACE_KILL", 8), ("PTRACE_SINGLESTEP", 9), ("PTRACE_ATTACH", 16), ("PTRACE_DETACH", 17),
    ("PTRACE_SYSCALL", 24), ("PTRACE_SETOPTIONS", 16896), ("PTRACE_GETEVENTMSG", 16897),
    ("PTRACE_GETSIGINFO", 16898), ("PTRACE_SETSIGINFO", 16899), ("PTRACE_GETREGSET", 16900),
    ("PTRACE_SETREGSET", 16901), ("PTRACE_SEIZE", 16902), ("PTRACE_INTERRUPT", 16903),
    ("PTRACE_LISTEN", 16904), ("PTRACE_PEEKSIGINFO", 16905), ("PTRACE_GETSIGMASK", 16906),
    ("PTRACE_SETSIGMASK", 16907), ("PTRACE_SECCOMP_GET_FILTER", 16908),
    ("PTRACE_SECCOMP_GET_METADATA", 16909), ("PTRACE_GET_SYSCALL_INFO", 16910),
];

/// Commands of bpf.
#[rustfmt::skip]
pub(super) const BPF: Table = &[
    ("BPF_MAP_CREATE", 0), ("BPF_MAP_LOOKUP_ELEM", 1), ("BPF_MAP_UPDATE_ELEM", 2),
    ("BPF_MAP_DELETE_ELEM", 3), ("BPF_MAP_GET_NEXT_KEY", 4), ("BPF_PROG_LOAD", 5), ("BPF_OBJ_PIN", 6),
    ("BPF_OBJ_GET", 7), ("BPF_PROG_ATTACH", 8), ("BPF_PROG_DETACH", 9), ("BPF_PROG_TEST_RUN", 10),
    ("BPF_PROG_GET_NEXT_ID", 11), ("BPF_MAP_GET_NEXT_ID", 12), ("BPF_PROG_GET_FD_BY_ID", 13),
    ("BPF_MAP_GET_FD_BY_ID", 14), ("BPF_OBJ_GET_INFO_BY_FD", 15), ("BPF_PROG_QUERY", 16),
    ("BPF_RAW_TRACEPOINT_OPEN", 17), ("BPF_BTF_LOAD", 18), ("BPF_BTF_GET_FD_BY_ID", 19),
    ("BPF_TASK_FD_QUERY", 20), ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", 21), ("BPF_MAP_FREEZE", 22),
    ("BPF_BTF_GET_NEXT_ID", 23), ("BPF_LINK_CREATE", 28), ("BPF_LINK_UPDATE", 29),
];

/// Commands of fcntl.
#[rustfmt::skip]
pub(super) const FCNTL: Table = &[
    ("F_DUPFD", 0), ("F_GETFD", 1), ("F_SETFD", 2), ("F_GETFL", 3), ("F_SETFL", 4), ("F_SETOWN", 8),
    ("F_GETOWN", 9), ("F_SETSIG", 10), ("F_GETSIG", 11), ("F_SETLEASE", 1024), ("F_GETLEASE", 1025),
    ("F_NOTIFY", 1026), ("F_DUPFD_CLOEXEC", 1030), ("F_SETPIPE_SZ", 1031), ("F_GETPIPE_SZ", 1032),
    ("F_ADD_SEALS", 1033), ("F_GET_SEALS", 1034),
];

/// Protections of memory.
#[rustfmt::skip]
pub(super) const PROT: Table = &[
    ("PROT_READ", 0x1), ("PROT_WRITE", 0x2), ("PROT_EXEC", 0x4), ("PROT_GROWSDOWN", 0x1000000),
    ("PROT_GROWSUP", 0x2000000),
];

/// Flags of mmap.
#[rustfmt::skip]
pub(super) const MAP: Table = &[
    ("MAP_SHARED", 0x1), ("MAP_PRIVATE", 0x2), ("MAP_FIXED", 0x10), ("MAP_ANONYMOUS", 0x20),
    ("MAP_GROWSDOWN", 0x100), ("MAP_DENYWRITE", 0x800), ("MAP_EXECUTABLE", 0x1000), ("MAP_LOCKED", 0x2000),
    ("MAP_NORESERVE", 0x4000), ("MAP_POPULATE", 0x8000), ("MAP_NONBLOCK", 0x10000), ("MAP_STACK", 0x20000),
    ("MAP_HUGETLB", 0x40000), ("MAP_SYNC", 0x80000), ("MAP_FIXED_NOREPLACE", 0x100000),
];

/// Flags of open that have one value on every ABI with the generic ones.
#[rustfmt::skip]
pub(super) const OPEN: Table = &[
    ("O_WRONLY", 0x1), ("O_RDWR", 0x2), ("O_CREAT", 0x40), ("O_EXCL", 0x80), ("O_NOCTTY", 0x100),
    ("O_TRUNC", 0x200), ("O_APPEND", 0x400), ("O_NONBLOCK", 0x800), ("O_CLOEXEC", 0x80000),
];

/// Operations of seccomp.
#[rustfmt::skip]
pub(super) const SECCOMP: Table = &[
    ("SECCOMP_SET_MODE_STRICT", 0), ("SECCOMP_SET_MODE_FILTER", 1), ("SECCOMP_GET_ACTION_AVAIL", 2),
    ("SECCOMP_GET_NOTIF_SIZES", 3),
];

/// Flags of its filters.
#[rustfmt::skip]
pub(super) const SECCOMP_FLAG: Table = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", 0x1), ("SECCOMP_FILTER_FLAG_LOG", 0x2),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 0x4), ("SECCOMP_FILTER_FLAG_NEW_LISTENER", 0x8),
    ("SECCOMP_FILTER_FLAG_TSYNC_ESRCH", 0x10),
];

/// Operations of arch_prctl.
#[rustfmt::skip]
pub(super) const ARCH_PRCTL: Table = &[
    ("ARCH_SET_GS", 0x1001), ("ARCH_SET_FS", 0x1002), ("ARCH_GET_FS", 0x1003), ("ARCH_GET_GS", 0x1004),
    ("ARCH_GET_CPUID", 0x1011), ("ARCH_SET_CPUID", 0x1012), ("ARCH_GET_XCOMP_SUPP", 0x1021),
    ("ARCH_GET_XCOMP_PERM", 0x1022), ("ARCH_REQ_XCOMP_PERM", 0x1023),
];

/// Flags of mount.
#[rustfmt::skip]
pub(super) const MOUNT: Table = &[
    ("MS_RDONLY", 0x1), ("MS_NOSUID", 0x2), ("MS_NODEV", 0x4), ("MS_NOEXEC", 0x8), ("MS_SYNCHRONOUS", 0x10),
    ("MS_REMOUNT", 0x20), ("MS_MANDLOCK", 0x40), ("MS_DIRSYNC", 0x80), ("MS_NOATIME", 0x400),
    ("MS_NODIRATIME", 0x800), ("MS_BIND", 0x1000), ("MS_MOVE", 0x2000), ("MS_REC", 0x4000),
    ("MS_SILENT", 0x8000), ("MS_UNBINDABLE", 0x20000), ("MS_PRIVATE", 0x40000), ("MS_SLAVE", 0x80000),
    ("MS_SHARED", 0x100000), ("MS_RELATIME", 0x200000),
];

/// Flags of umount2.
#[rustfmt::skip]
pub(super) const UMOUNT: Table = &[
    ("MNT_FORCE", 0x1), ("MNT_DETACH", 0x2), ("MNT_EXPIRE", 0x4), ("UMOUNT_NOFOLLOW", 0x8),
];

/// Clocks.
#[rustfmt::skip]
pub(super) const CLOCK: Table = &[
    ("CLOCK_REALTIME", 0), ("CLOCK_MONOTONIC", 1), ("CLOCK_PROCESS_CPUTIME_ID", 2),
    ("CLOCK_THREAD_CPUTIME_ID", 3), ("CLOCK_MONOTONIC_RAW", 4), ("CLOCK_REALTIME_COARSE", 5),
    ("CLOCK_MONOTONIC_COARSE", 6), ("CLOCK_BOOTTIME", 7), ("CLOCK_REALTIME_ALARM", 8),
    ("CLOCK_BOOTTIME_ALARM", 9), ("CLOCK_TAI", 11),
];

/// Resources with limits.
#[rustfmt::skip]
pub(super) const RESOURCE: Table = &[
    ("RLIMIT_CPU", 0), ("RLIMIT_FSIZE", 1), ("RLIMIT_DATA", 2), ("RLIMIT_STACK", 3), ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5), ("RLIMIT_NPROC", 6), ("RLIMIT_NOFILE", 7), ("RLIMIT_MEMLOCK", 8), ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10), ("RLIMIT_SIGPENDING", 11), ("RLIMIT_MSGQUEUE", 12), ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14), ("RLIMIT_RTTIME", 15),
];

/// Scheduling policies.
#[rustfmt::skip]
pub(super) const SCHEDULER: Table = &[
    ("SCHED_OTHER", 0), ("SCHED_FIFO", 1), ("SCHED_RR", 2), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Advice about memory.
#[rustfmt::skip]
pub(super) const ADVICE: Table = &[
    ("MADV_NORMAL", 0), ("MADV_RANDOM", 1), ("MADV_SEQUENTIAL", 2), ("MADV_WILLNEED", 3),
    ("MADV_DONTNEED", 4), ("MADV_FREE", 8), ("MADV_REMOVE", 9), ("MADV_DONTFORK", 10), ("MADV_DOFORK", 11),
    ("MADV_MERGEABLE", 12), ("MADV_UNMERGEABLE", 13), ("MADV_HUGEPAGE", 14), ("MADV_NOHUGEPAGE", 15),
    ("MADV_DONTDUMP", 16), ("MADV_DODUMP", 17), ("MADV_WIPEONFORK", 18), ("MADV_KEEPONFORK", 19),
    ("MADV_COLD", 20), ("MADV_PAGEOUT", 21), ("MADV_HWPOISON", 100),
];

/// Levels of socket options.
#[rustfmt::skip]
pub(super) const LEVEL: Table = &[
    ("IPPROTO_IP", 0), ("SOL_SOCKET", 1), ("IPPROTO_TCP", 6), ("IPPROTO_UDP", 17), ("IPPROTO_IPV6", 41),
];

/// Mode bits that matter.
#[rustfmt::skip]
pub(super) const MODE: Table = &[
    ("S_ISVTX", 0o1000), ("S_ISGID", 0o2000), ("S_ISUID", 0o4000),
];

/// Kinds of files in a mode.
#[rustfmt::skip]
pub(super) const FILE_TYPE: Table = &[
    ("S_IFIFO", 0o10000), ("S_IFCHR", 0o20000), ("S_IFDIR", 0o40000), ("S_IFBLK", 0o60000),
    ("S_IFREG", 0o100000), ("S_IFSOCK", 0o140000),
];

/// Commands of membarrier.
#[rustfmt::skip]
pub(super) const MEMBARRIER: Table = &[
    ("MEMBARRIER_CMD_QUERY", 0), ("MEMBARRIER_CMD_GLOBAL", 1),
];

/// Signals.
#[rustfmt::skip]
pub(super) const SIGNAL: Table = &[
    ("SIGHUP", 1), ("SIGINT", 2), ("SIGQUIT", 3), ("SIGILL", 4), ("SIGTRAP", 5), ("SIGABRT", 6),
    ("SIGBUS", 7), ("SIGFPE", 8), ("SIGKILL", 9), ("SIGUSR1", 10), ("SIGSEGV", 11), ("SIGUSR2", 12),
    ("SIGPIPE", 13), ("SIGALRM", 14), ("SIGTERM", 15), ("SIGCHLD", 17), ("SIGCONT", 18), ("SIGSTOP", 19),
    ("SIGTSTP", 20), ("SIGTTIN", 21), ("SIGTTOU", 22), ("SIGSYS", 31),
];

/// Flags of memfd_create.
#[rustfmt::skip]
pub(super) const MEMFD: Table = &[
    ("MFD_CLOEXEC", 0x1), ("MFD_ALLOW_SEALING", 0x2), ("MFD_HUGETLB", 0x4), ("MFD_NOEXEC_SEAL", 0x8),
    ("MFD_EXEC", 0x10),
];
