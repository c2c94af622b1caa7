//! The table for people.

use std::fmt::Write as _;

use nri_seccomp::term::Arch;
use nri_seccomp::wording;

use super::Shown;
use crate::seccomp::paragraph;
use crate::table::{on_terminal, plain};

/// Warnings that are shown; a policy can have one for each of its names.
const WARNINGS: usize = 40;

/// The whole table.
pub(super) fn text(shown: &Shown<'_>) -> String {
    let mut text = calls(shown);
    if !shown.lints.is_empty() {
        let _ = write!(text, "\nworth a look  ({})\n", shown.lints.len());
        for lint in shown.lints.iter().take(WARNINGS) {
            text.push_str(&paragraph::hanging("  ", &on_terminal(&lint.to_string())));
        }
        if let Some(more) = shown.lints.len().checked_sub(WARNINGS).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more: -o json has them all");
        }
    }
    text
}

fn calls(shown: &Shown<'_>) -> String {
    let mut text = head(shown);
    let outline = &shown.outline;
    if !shown.model.abi(outline.arch).is_in_filter() {
        let _ = writeln!(
            text,
            "\n{} is not in the filter: every call there ends the thread.",
            outline.arch.short()
        );
        return text;
    }
    for (effect, names) in &outline.always {
        let _ = write!(
            text,
            "\n{}  ({})\n",
            wording::effect(*effect, outline.arch),
            count(names.len(), "syscall")
        );
        text.push_str(&paragraph::names(names, 2));
    }
    if !outline.depends.is_empty() {
        let _ = write!(text, "\nby arguments  ({})\n", count(outline.depends.len(), "syscall"));
        let widest = outline.depends.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, lines) in &outline.depends {
            for (at, line) in lines.iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                text.push_str(&paragraph::hanging(&format!("  {name:widest$}  "), line));
            }
        }
    }
    let rest = [
        ("as the default", &outline.repeats),
        ("not on this ABI", &outline.absent),
        ("unknown names", &outline.unknown),
    ];
    for (title, names) in rest {
        if !names.is_empty() {
            let _ = write!(text, "\n{title}  ({})\n", names.len());
            let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
            text.push_str(&paragraph::names(&names, 2));
        }
    }
    text
}

fn head(shown: &Shown<'_>) -> String {
    let Shown { policy, model, outline, .. } = shown;
    let archs: Vec<&str> = model.archs().map(Arch::short).collect();
    let flags = if policy.flags.is_empty() {
        "none, which means SPEC_ALLOW with runc and crun".to_owned()
    } else {
        let words: Vec<&str> = policy
            .flags
            .iter()
            .map(|flag| flag.as_str().trim_start_matches("SECCOMP_FILTER_FLAG_"))
            .collect();
        words.join(", ")
    };
    let mut rows = vec![
        ("shown for", outline.arch.short().to_owned()),
        ("default", wording::effect(model.default_effect(), outline.arch)),
        ("ABIs", archs.join(", ")),
        ("flags", flags),
    ];
    if let Some(path) = &policy.listener_path {
        rows.push(("listener", plain(path)));
    }
    if let Some(metadata) = &policy.listener_metadata {
        rows.push(("metadata", plain(metadata)));
    }
    let mut text = String::new();
    for (title, value) in rows {
        let _ = writeln!(text, "{title:11}{value}");
    }
    text
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
