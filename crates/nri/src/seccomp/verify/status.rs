//! What `/proc/PID/status` says about seccomp and tracing.

/// The lines of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// `Seccomp:` 0 none, 1 strict, 2 filter.
    pub(super) mode: Option<u32>,
    /// `Seccomp_filters:`, since Linux 5.9.
    pub(super) filters: Option<u32>,
    /// `TracerPid:`, 0 for none.
    pub(super) tracer: u32,
    pub(super) no_new_privs: Option<bool>,
    /// Whether `CapEff:` has CAP_SYS_ADMIN.
    pub(super) admin: bool,
}

const CAP_SYS_ADMIN: u64 = 1 << 21;

impl Status {
    pub(super) fn of(text: &str) -> Self {
        let mut status = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "Seccomp" => status.mode = value.parse().ok(),
                "Seccomp_filters" => status.filters = value.parse().ok(),
                "TracerPid" => status.tracer = value.parse().unwrap_or(0),
                "NoNewPrivs" => status.no_new_privs = Some(value == "1"),
                "CapEff" => {
                    status.admin = u64::from_str_radix(value, 16).is_ok_and(|set| set & CAP_SYS_ADMIN != 0);
                }
                _ => {}
            }
        }
        status
    }

    pub(super) fn filtered(&self) -> bool {
        self.mode == Some(2)
    }

    /// How people are told.
    pub(super) fn mode_text(&self) -> &'static str {
        match self.mode {
            Some(0) => "none",
            Some(1) => "strict",
            Some(2) => "filter",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_interest() {
        let text = "Name:\tSeccomp: 1\nTracerPid:\t7\nCapEff:\t0000000000200000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let expect =
            Status { mode: Some(2), filters: Some(3), tracer: 7, no_new_privs: Some(true), admin: true };
        assert_eq!(Status::of(text), expect);
        assert!(!Status::of("CapEff:\t00000000a80425fb\n").admin);
        assert_eq!(Status::of(""), Status::default());
    }
}
