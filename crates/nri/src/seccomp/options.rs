//! Options of the commands that compare policies: settings and host (`spec/seccomp.md` 7.1).

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::Arch;

/// Settings that differ from the default, and the ABIs of the host.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) settings: Settings,
    pub(crate) host: Host,
}

/// The flag of each setting, and what it is about; names and values are those of [`Settings::NAMES`].
const FLAGS: &[(&str, &str, &str)] = &[
    ("errno", "errno", "Whether another number of ERRNO or TRACE counts"),
    ("kill", "kill", "Whether kinds of refusal are told apart"),
    ("log", "log", "Whether a record of allowed calls counts"),
    ("delegation", "delegation", "Whether an agent or tracer counts as looser (deny) or is trusted (rank)"),
    ("fake_success", "fake-success", "Whether ERRNO(0), which pretends success, is a refusal like others"),
    (
        "runtime",
        "runtime",
        "Who loads the policy: the filter alone, runc with its stub, youki with its operands",
    ),
];

impl clap::FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self { settings: Settings::default(), host: Host::this() };
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let invalid =
            |error: &dyn std::fmt::Display| clap::Error::raw(clap::error::ErrorKind::InvalidValue, error);
        for (name, _) in Settings::NAMES {
            if let Some(value) = matches.get_one::<String>(name) {
                self.settings.set(name, value).map_err(|error| invalid(&error))?;
            }
        }
        if let Some(host) = matches.get_many::<Arch>("arch").and_then(|archs| Host::new(archs.copied())) {
            self.host = host;
        }
        Ok(())
    }
}

impl clap::Args for Options {
    fn augment_args(command: Command) -> Command {
        let arch = Arg::new("arch")
            .long("arch")
            .value_name("ARCH")
            .help("An ABI that the host can run, native first (repeat); default: those of this machine")
            .value_parser(arch)
            .action(ArgAction::Append);
        let settings = Settings::NAMES.iter().map(|(name, values)| {
            let about = FLAGS.iter().find(|(setting, ..)| setting == name);
            let (_, flag, help) = about.copied().unwrap_or((name, name, ""));
            Arg::new(*name)
                .long(flag)
                .alias(*name)
                .value_name("VALUE")
                .help(help)
                .value_parser(PossibleValuesParser::new(*values))
        });
        command.args(settings).arg(arch)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// `SCMP_ARCH_X86_64`, or `x86_64` as `uname` and libseccomp's tools have it.
pub(crate) fn arch(word: &str) -> Result<Arch, String> {
    let full = format!("SCMP_ARCH_{}", word.to_uppercase());
    word.parse().or_else(|_| full.parse()).map_err(|_| {
        let all: Vec<&str> = Arch::ALL.iter().map(|arch| arch.as_str()).collect();
        format!("expected one of {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use nri_seccomp::settings::{Errno, FakeSuccess};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).map(|line| line.options)
    }

    #[test]
    fn settings_and_host() {
        let default = parse("").unwrap();
        assert_eq!((default.settings, default.host), (Settings::default(), Host::this()));
        for line in ["--errno exact --fake-success allow", "--errno=exact --fake_success=allow"] {
            let settings = parse(line).unwrap().settings;
            let expect =
                Settings { errno: Errno::Exact, fake_success: FakeSuccess::Allow, ..Settings::default() };
            assert_eq!(settings, expect, "{line}");
        }
        let host = parse("--arch SCMP_ARCH_AARCH64 --arch arm").unwrap().host;
        assert_eq!(host, Host::aarch64());
        for line in ["--errno some", "--arch z80", "--other x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_setting_has_a_flag() {
        for (name, _) in Settings::NAMES {
            assert!(FLAGS.iter().any(|(setting, ..)| setting == name), "{name}");
        }
    }
}
