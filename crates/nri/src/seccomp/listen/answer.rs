//! What to answer, by syscall.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use nri_seccomp::syscall;

use super::notification::Notification;

/// Largest error number that a system call can return (`MAX_ERRNO` of Linux).
const ERRNO_MAX: u16 = 4095;

/// An answer to a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The call runs. Says that nothing more than watching is meant.
    Log,
    /// The call runs.
    Continue,
    /// The call fails with this error.
    Errno(u16),
    /// The call returns this without running.
    Return(i64),
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "expected log, continue, errno=N with N from 1 to {ERRNO_MAX}, or return=N, found {text:?}"
            )
        };
        match text.split_once('=') {
            None if text == "log" => Ok(Self::Log),
            None if text == "continue" => Ok(Self::Continue),
            Some(("errno", number)) => {
                let number = number.parse().ok().filter(|number| (1..=ERRNO_MAX).contains(number));
                number.map(Self::Errno).ok_or_else(bad)
            }
            Some(("return", number)) => number.parse().map(Self::Return).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Continue => f.write_str("continue"),
            Self::Errno(number) => write!(f, "errno={number}"),
            Self::Return(number) => write!(f, "return={number}"),
        }
    }
}

/// An answer for one syscall, by name: `mkdir=errno=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyscallAnswer {
    name: String,
    answer: Answer,
}

impl FromStr for SyscallAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, answer) = text.split_once('=').ok_or("expected NAME=ACTION, such as mkdir=errno=1")?;
        if !syscall::is_known(name) {
            return Err(format!("no system call is named {name:?}"));
        }
        Ok(Self { name: name.to_owned(), answer: answer.parse()? })
    }
}

/// All answers.
pub(super) struct Answers {
    default: Answer,
    by_name: BTreeMap<String, Answer>,
}

impl Answers {
    /// Of several answers for one syscall the last counts, as usual for options.
    pub(super) fn new(default: Answer, syscalls: &[SyscallAnswer]) -> Self {
        Self { default, by_name: syscalls.iter().map(|one| (one.name.clone(), one.answer)).collect() }
    }

    pub(super) fn answer(&self, notification: &Notification) -> Answer {
        notification.name().and_then(|name| self.by_name.get(name)).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_from_text() {
        for (text, expect) in [
            ("log", Some(Answer::Log)),
            ("continue", Some(Answer::Continue)),
            ("errno=1", Some(Answer::Errno(1))),
            ("errno=4095", Some(Answer::Errno(4095))),
            ("errno=0", None),
            ("errno=4096", None),
            ("errno=EPERM", None),
            ("return=-5", Some(Answer::Return(-5))),
            ("return=", None),
            ("log=1", None),
            ("", None),
        ] {
            let answer = text.parse::<Answer>().ok();
            assert_eq!(answer, expect, "{text}");
            assert!(answer.is_none_or(|answer| answer.to_string() == text), "{text}");
        }
    }

    #[test]
    fn answers_for_syscalls() {
        let one: SyscallAnswer = "mkdir=errno=1".parse().unwrap();
        assert_eq!((one.name.as_str(), one.answer), ("mkdir", Answer::Errno(1)));
        for text in ["mkdir", "mkdri=log", "mkdir=", "=log"] {
            assert!(text.parse::<SyscallAnswer>().is_err(), "{text}");
        }
    }
}
