//! `-o text|json`: the form of what most commands say (cli.md).

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One object
    Json,
}
