//! The table for people.

use std::fmt::Write as _;

use nri_seccomp::compare::changes::{Change, Direction, Subject};
use nri_seccomp::danger;
use nri_seccomp::term::{Arch, Flag};

use super::Shown;
use crate::seccomp::paragraph;
use crate::table::{on_terminal, plain};

/// Columns of a line that says old and new side by side.
const WIDTH: usize = 100;

/// The whole table.
pub(super) fn text(shown: &Shown<'_>) -> String {
    let [old, new] = &shown.files;
    let relation = shown.comparison.relation;
    let verdict =
        if relation.accepts() { relation.as_str().to_owned() } else { relation.as_str().to_uppercase() };
    let mut text = format!("old      {}\nnew      {}\n", on_terminal(old), on_terminal(new));
    let reason = shown
        .comparison
        .reason
        .as_deref()
        .unwrap_or("the new policy is at least as restrictive as the old one");
    text.push_str(&paragraph::hanging("verdict  ", &on_terminal(&format!("{verdict}: {reason}"))));
    text.push('\n');
    for change in &shown.changes.list {
        text.push_str(&line(change));
    }
    let archs: Vec<&str> = shown.host.archs().iter().map(|arch| arch.short()).collect();
    let _ = writeln!(
        text,
        "  same       {} named by a policy, on {}",
        syscalls(shown.changes.same),
        archs.join(", ")
    );
    let reasons = reasons(&shown.changes.list);
    if !reasons.is_empty() {
        text.push_str("\nwhy it matters\n");
        for (what, why) in reasons {
            text.push_str(&paragraph::hanging(&format!("  {what}: "), &why));
        }
    }
    text
}

fn syscalls(number: usize) -> String {
    if number == 1 { "1 system call".to_owned() } else { format!("{number} system calls") }
}

/// A change on one line where it fits, else with old and new below each other.
fn line(change: &Change) -> String {
    let label = match change.direction {
        Direction::Looser => "LOOSER",
        Direction::Mixed => "MIXED",
        Direction::Unclear => "UNCLEAR",
        other => other.as_str(),
    };
    let title = format!("  {label:11}");
    let subject = subject(change);
    let mut text = match (change.old.as_slice(), change.new.as_slice()) {
        ([old], [new]) if title.len() + subject.len() + old.len() + new.len() + 6 <= WIDTH => {
            format!("{title}{subject:28} {old} → {new}\n")
        }
        (old, new) => {
            let mut text = paragraph::hanging(&title, &subject);
            for (word, lines) in [("old", old), ("new", new)] {
                for (at, line) in lines.iter().enumerate() {
                    let word = if at == 0 { word } else { "" };
                    text.push_str(&paragraph::hanging(
                        &format!("             {word:4} "),
                        &on_terminal(line),
                    ));
                }
            }
            text
        }
    };
    if let Some(example) = change.example.as_ref().filter(|call| call.args.iter().any(|arg| *arg != 0)) {
        let example =
            format!("{} on {}: {} → {}", example.text(), example.arch.short(), example.old, example.new);
        text.push_str(&paragraph::hanging("             e.g. ", &on_terminal(&example)));
    }
    if let Some(note) = &change.note {
        text.push_str(&paragraph::hanging("             ", &on_terminal(note)));
    }
    if change.direction == Direction::Behaviour && change.subject == Subject::Default {
        text.push_str(
            "             programs may take other paths: after ENOSYS they try an older system call\n",
        );
    }
    text
}

fn subject(change: &Change) -> String {
    let archs = |archs: &[Arch]| archs.iter().map(|arch| arch.short()).collect::<Vec<_>>().join(", ");
    match &change.subject {
        Subject::Syscalls(names) => {
            let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
            let mut text = names.join(", ");
            if !change.everywhere {
                let _ = write!(text, " (on {})", archs(&change.archs));
            }
            text
        }
        Subject::Default => format!("every other call (on {})", archs(&change.archs)),
        Subject::Abi => format!("every call on {}", archs(&change.archs)),
        Subject::Flag(flag) => format!("flag {}", flag.as_str().trim_start_matches("SECCOMP_FILTER_FLAG_")),
        Subject::Listener => "listener".to_owned(),
    }
}

/// Why what loosens matters: each reason once, with all that it is about.
pub(super) fn reasons(changes: &[Change]) -> Vec<(String, String)> {
    let mut reasons: Vec<(String, String)> = Vec::new();
    for change in changes.iter().filter(|change| change.direction.may_loosen()) {
        for (what, why) in why(change) {
            match reasons.iter_mut().find(|(_, known)| *known == why) {
                Some((whats, _)) => {
                    let _ = write!(whats, ", {what}");
                }
                None => reasons.push((what, why)),
            }
        }
    }
    reasons
}

fn why(change: &Change) -> Vec<(String, String)> {
    let one = |what: &str, why: &str| vec![(what.to_owned(), why.to_owned())];
    match &change.subject {
        Subject::Syscalls(names) => names
            .iter()
            .filter_map(|name| Some((name.clone(), format!("lets a process {}", danger::of(name)?))))
            .collect(),
        Subject::Default => {
            one("every other call", "these are all that no rule names, those of future kernels too")
        }
        Subject::Abi => {
            one("another ABI", "it is a second door to every system call, with numbers and widths of its own")
        }
        Subject::Flag(Flag::SpecAllow) => one(
            "SPEC_ALLOW",
            "a mitigation of speculative execution is off; no flags at all count as this one",
        ),
        Subject::Flag(Flag::Log) => one("LOG", "what the filter answered is no longer recorded"),
        Subject::Flag(_) | Subject::Listener => Vec::new(),
    }
}
