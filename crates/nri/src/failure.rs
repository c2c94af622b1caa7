//! What a command failed of, and the exit code that says so (cli.md, "Exit codes").

use std::fmt;
use std::process::ExitCode;

/// A failure that ends a command: one line for people and the kind that decides the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A negative answer: rejected, denied, differs.
    Rejected,
    /// Bad usage, or the caller's own files cannot be read.
    Usage,
    /// Something needed is missing or failed: a runtime, a plugin, a permission.
    Unavailable,
    /// The container's command cannot be executed (`nri run`).
    NotExecutable,
    /// The container's command is not found (`nri run`).
    NotFound,
    /// A signal ended us.
    Signal(i32),
}

impl Failure {
    /// The exit code of bad usage.
    pub(crate) const USAGE: u8 = 2;

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unavailable, message: message.into() }
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code of a command that has none of its own.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Rejected => 1,
            Kind::Usage => Self::USAGE,
            Kind::Unavailable | Kind::NotExecutable | Kind::NotFound => 3,
            Kind::Signal(_) => 130,
        })
    }

    /// Says it, and gives the exit code of a command that has none of its own.
    pub(crate) fn end(&self) -> ExitCode {
        self.print();
        self.exit_code()
    }

    /// Prints the line `error: …`. A message of several lines is folded, so that it stays one.
    pub(crate) fn print(&self) {
        let line: Vec<&str> = self.message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        crate::log::say(format_args!("error: {}", line.join("; ")));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
