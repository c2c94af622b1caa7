//! `nri policy check`.

use std::path::PathBuf;
use std::process::ExitCode;

use nri_policy::diagnostic::Diagnostic;
use nri_policy::document::load::Loaded;
use nri_policy::document::source::Position;
use serde_json::{Value, json};

use super::{file, render};
use crate::failure::Failure;
use crate::output::Output;

/// Look for mistakes in policies
///
/// Exit code: 0 clean or warnings only, 1 errors, 2 unreadable.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri policy check\n  nri policy check --deny-warnings 10-node.yaml\n  nri policy check -o json /etc/nri/policy.d | jq '.diagnostics[].message'"
)]
pub(crate) struct Args {
    /// Files, or folders of which all *.yaml, *.yml and *.json are read; default: /etc/nri/policy.d
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 if there are warnings
    #[arg(long)]
    deny_warnings: bool,
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(String, ExitCode), Failure> {
    let loaded = file::load(&args.paths)?;
    let out = &loaded.diagnostics;
    let bad = out.errors() > 0 || (args.deny_warnings && out.warnings() > 0);
    let text = match args.output {
        Output::Json => format!("{}\n", report(&loaded)),
        Output::Text => shown(&loaded),
    };
    Ok((text, if bad { ExitCode::from(1) } else { ExitCode::SUCCESS }))
}

/// The object of `cli.md`, "nri policy".
fn report(loaded: &Loaded) -> Value {
    let place = |place: Position| json!({"line": place.line, "column": place.column});
    let one = |found: &Diagnostic| {
        json!({
            "code": found.code.name(),
            "severity": found.code.severity().name(),
            "message": found.message,
            "file": loaded.sources.name(found.span.file),
            "start": place(found.span.start),
            "end": place(found.span.end),
            "path": found.path,
            "suggestion": found.suggestion,
            "label": found.label,
            "help": found.help,
            "related": found.related.iter().map(|(span, label)| json!({
                "file": loaded.sources.name(span.file), "start": place(span.start), "end": place(span.end),
                "label": label,
            })).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": 1,
        "hash": loaded.short_hash(),
        "diagnostics": loaded.diagnostics.list().iter().map(one).collect::<Vec<_>>(),
    })
}

fn shown(loaded: &Loaded) -> String {
    let colour = super::colour();
    let out = &loaded.diagnostics;
    let mut text: String = out
        .list()
        .iter()
        .map(|found| format!("{}\n", render::diagnostic(found, &loaded.sources, colour)))
        .collect();
    let left_out = (out.errors() + out.warnings()).saturating_sub(out.list().len());
    if left_out > 0 {
        text.push_str(&format!("… and {left_out} more.\n\n"));
    }
    let counted = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let files = counted(loaded.files, "file");
    text.push_str(&format!(
        "{}, {} in {files}.",
        counted(out.errors(), "error"),
        counted(out.warnings(), "warning")
    ));
    match loaded.short_hash() {
        Some(_) if loaded.files == 0 => text.push_str(&format!(
            " Without a policy in {}, preset/compat is in force: everything is allowed and recorded.",
            file::DIR
        )),
        Some(hash) => text.push_str(&format!(" Policy {hash}.")),
        None => {}
    }
    text.push('\n');
    text
}
