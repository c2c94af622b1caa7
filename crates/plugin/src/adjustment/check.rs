//! What is refused when an answer is built, because no runtime could carry it out.

use std::fmt;

use nri_wire::field::Field;
use nri_wire::field::RLIMITS;

/// A value that cannot work. The answer that contains it is not sent; the runtime gets this text instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The field.
    pub field: Field,
    /// Which entry of the field; empty where it has only one.
    pub key: String,
    /// What is wrong, and what would be right.
    pub why: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.field, self.why),
            key => write!(f, "{} {key:?}: {}", self.field, self.why),
        }
    }
}

impl std::error::Error for Invalid {}

/// What is wrong with a value, if anything.
pub(crate) type Verdict = Option<&'static str>;

fn unless(right: bool, why: &'static str) -> Verdict {
    (!right).then_some(why)
}

/// Keys that can be marked for removal (`spec/api.md` 4.1): there is no escape for a leading `-`.
pub(crate) fn key(key: &str) -> Verdict {
    unless(!key.is_empty(), "must not be empty")
        .or(unless(!key.starts_with('-'), "must not begin with `-`, which marks removals"))
        .or(text(key))
}

pub(crate) fn text(text: &str) -> Verdict {
    unless(!text.contains('\0'), "must not contain a NUL byte")
}

pub(crate) fn variable(name: &str, value: &str) -> Verdict {
    key(name).or(unless(!name.contains('='), "must not contain `=` in its name")).or(text(value))
}

pub(crate) fn absolute(path: &str) -> Verdict {
    unless(path.starts_with('/'), "must be an absolute path").or(text(path))
}

/// Lists of CPUs and memory nodes, as cpuset(7) writes them. The empty list cannot be told from "no change".
pub(crate) fn ranges(list: &str) -> Verdict {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let range = |piece: &str| match piece.split_once('-') {
        None => number(piece),
        Some((from, to)) => {
            let to = to.split_once(':').map_or(
                to,
                |(to, stride)| {
                    if stride.split('/').all(number) { to } else { "" }
                },
            );
            number(from) && number(to)
        }
    };
    unless(list.split(',').all(|piece| range(piece.trim())), "must be a list of ranges such as `0-3,7`")
}

pub(crate) fn page_size(size: &str) -> Verdict {
    let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
    let right =
        digits.len() + 2 == size.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    unless(right, "must be a page size such as `2MB`")
}

pub(crate) fn cgroup_file(name: &str) -> Verdict {
    unless(!name.is_empty() && !name.contains('/'), "must be the name of a cgroup file such as `memory.high`")
        .or(text(name))
}

/// The limits of getrlimit(2).
pub(crate) fn rlimit(kind: &str, soft: u64, hard: u64) -> Verdict {
    let known = kind.strip_prefix("RLIMIT_").is_some_and(|name| RLIMITS.contains(&name));
    unless(known, "must be a limit of getrlimit(2) such as `RLIMIT_NOFILE`")
        .or(unless(soft <= hard, "must not have a soft limit above its hard limit"))
}

/// The namespace types of the OCI runtime specification.
pub(crate) fn namespace(kind: &str) -> Verdict {
    const TYPES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
    unless(TYPES.contains(&kind), "must be cgroup, ipc, mount, network, pid, time, user or uts")
}

/// Interface names as the kernel takes them: 1 to 15 bytes, no `/`, no blanks, not `.` or `..`.
pub(crate) fn interface(name: &str) -> Verdict {
    let right = (1..16).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace());
    unless(right, "must be the name of a network interface")
}

/// `vendor/class=device`, the fully qualified form of the Container Device Interface.
pub(crate) fn cdi(name: &str) -> Verdict {
    let right = name.split_once('=').is_some_and(|(kind, device)| {
        !device.is_empty() && kind.split_once('/').is_some_and(|(v, c)| !v.is_empty() && !c.is_empty())
    });
    unless(right, "must be fully qualified, such as `vendor.com/class=device`")
}

pub(crate) fn oom_score(score: i64) -> Verdict {
    unless((-1000..=1000).contains(&score), "must be from -1000 to 1000")
}

pub(crate) fn io_priority(priority: i32) -> Verdict {
    unless((0..8).contains(&priority), "must be from 0 to 7")
}

pub(crate) fn command(args: &[String]) -> Verdict {
    unless(args.first().is_some_and(|first| !first.is_empty()), "must begin with a program")
        .or(args.iter().find_map(|arg| text(arg)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_ranges() {
        for right in ["0", "0-3,7", "0-15:2/4", "1, 2"] {
            assert_eq!(ranges(right), None, "{right}");
        }
        for wrong in ["", "a", "1-", "-1", "1,,2", "0-3:/", "0:1"] {
            assert!(ranges(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn page_sizes() {
        for (size, right) in
            [("2MB", true), ("64KB", true), ("1GB", true), ("MB", false), ("2M", false), ("2MBMB", false)]
        {
            assert_eq!(page_size(size).is_none(), right, "{size}");
        }
    }
}
