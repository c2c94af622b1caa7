//! Progress and logs: tracing to stderr, in a form for people or as JSON.

mod flood;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::flood::Flood;
use crate::table::is_acted_upon;

/// Where the host logs what launched plugins print on stderr.
const PRINTED: &str = "nri_runtime::host::stderr";

/// Whether our terminal is in raw mode, in which a new line does not begin at the left.
static RAW: AtomicBool = AtomicBool::new(false);

/// Whether others depend on us, so that neither a full log nor one that nobody reads may get in their way.
static SERVING: AtomicBool = AtomicBool::new(false);
/// Whether the last line found no room.
static STUCK: AtomicBool = AtomicBool::new(false);
/// How long a line waits for room.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Bytes that never wait where there is room at all (`PIPE_BUF` of Linux).
const PIECE: usize = 4096;

/// Options of every command.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Say more; twice: say everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say only what is wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Form of the log on stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
}

/// Form of the log.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Starts logging. `RUST_LOG` overrides the level per module, as usual in Rust programs.
pub(crate) fn start(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => "error".to_owned(),
        // What a plugin prints is meant to be read.
        (false, 0) => format!("warn,{PRINTED}=info"),
        (false, 1) => "info".to_owned(),
        (false, _) => "debug".to_owned(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        // It would say so on stderr, and end us when it cannot.
        .log_internal_errors(false);
    match options.log_format {
        Format::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colour).event_format(Lines).finish().with(Flood::default()).init();
        }
        Format::Json => builder.json().finish().with(Flood::default()).init(),
    }
}

/// Puts a line on stderr beside the log, whatever the log's level. Where that is full or closed, nobody can be told.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    drop(Stderr.write_all(format!("{line}\n").as_bytes()));
}

/// From now on others depend on us: floods are cut, and what the log has no room for is left out.
pub(crate) fn serve() {
    SERVING.store(true, Ordering::Relaxed);
}

/// Standard error, which whoever should read it may have forgotten.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !SERVING.load(Ordering::Relaxed) {
            return io::stderr().write(bytes);
        }
        let patience = if STUCK.load(Ordering::Relaxed) { Timespec::default() } else { PATIENCE };
        let stderr = io::stderr();
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let has_room = poll(&mut polled, Some(&patience)).is_ok_and(|ready| ready > 0);
        STUCK.store(!has_room, Ordering::Relaxed);
        if !has_room {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::stderr().write(bytes.get(..PIECE).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that our terminal is in raw mode, or no longer.
pub(crate) fn raw(raw: bool) {
    RAW.store(raw, Ordering::Relaxed);
}

/// One line an event: `warning: text key=value`; a plugin's own line with its name in front.
struct Lines;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N>
    for Lines
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let (colour, word) = match *event.metadata().level() {
            Level::ERROR => ("31", "error"),
            Level::WARN => ("33", "warning"),
            Level::INFO => ("32", "info"),
            Level::DEBUG | Level::TRACE => ("34", "debug"),
        };
        let printed = event.metadata().target() == PRINTED && *event.metadata().level() == Level::INFO;
        match (printed, to.has_ansi_escapes()) {
            (true, _) => write!(to, "{}: {}", said.plugin, said.message)?,
            (false, true) => {
                write!(to, "\x1b[{colour}m{word}\x1b[0m: {}{}", Tame(&said.message), Tame(&said.rest))?;
            }
            (false, false) => write!(to, "{word}: {}{}", Tame(&said.message), Tame(&said.rest))?,
        }
        to.write_str(if RAW.load(Ordering::Relaxed) { "\r\n" } else { "\n" })
    }
}

/// A text that may be a peer's: it begins no line of its own, and moves no cursor.
struct Tame<'a>(&'a str);

impl fmt::Display for Tame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if is_acted_upon(c) && c != '\t' => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}

/// What an event holds.
#[derive(Default)]
struct Said {
    message: String,
    plugin: String,
    /// All fields but the message, each with a blank in front.
    rest: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin" {
            value.clone_into(&mut self.plugin);
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_stay_in_their_line() {
        for (text, shown) in [
            ("two words\tü", "two words\tü"),
            ("no\nwarning: forged", r"no\nwarning: forged"),
            ("\u{1b}[2J\r\0\u{9b}", r"\u{1b}[2J\r\u{0}\u{9b}"),
        ] {
            assert_eq!(Tame(text).to_string(), shown);
        }
    }
}
