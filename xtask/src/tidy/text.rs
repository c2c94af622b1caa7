//! Rules over the text of single files: sizes, forgotten notes, places where something must not happen.

use std::path::Path;

/// Longest a source file may be, lines. Longer ones are two rooms in one.
const LINES_MAX: usize = 650;

/// A word that may stand nowhere in the code, or only in some places.
struct Forbidden {
    word: &'static str,
    /// Files where it counts.
    within: fn(&Path) -> bool,
    why: &'static str,
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden { word: concat!("TO", "DO"), within: is_code, why: "finish it, or file an issue" },
    Forbidden { word: concat!("FIX", "ME"), within: is_code, why: "finish it, or file an issue" },
    Forbidden {
        word: concat!("#[ign", "ore"),
        within: is_code,
        why: "a test that needs something reports `skipped: …`",
    },
    Forbidden { word: concat!("#[al", "low("), within: is_code, why: "use #[expect(…, reason = …)]" },
    Forbidden {
        word: concat!("process::", "Command"),
        within: |path| is_library(path) && !path.starts_with("crates/runtime/src/host"),
        why: "in the libraries only crates/runtime/src/host starts processes",
    },
    Forbidden {
        word: concat!("uns", "afe {"),
        within: |path| {
            [
                "crates/wire",
                "crates/seccomp",
                "crates/policy",
                "crates/runtime/src/merge",
                "crates/runtime/src/oci",
            ]
            .iter()
            .any(|pure| path.starts_with(pure))
        },
        why: "no unsafe in wire, seccomp, policy, merge, oci",
    },
    Forbidden {
        word: concat!("Instant::", "now"),
        within: |path| {
            ["crates/wire/src", "crates/policy", "crates/runtime/src/merge", "crates/runtime/src/oci"]
                .iter()
                .any(|pure| path.starts_with(pure))
                && !path.starts_with("crates/wire/src/io")
                && !path.components().any(|part| part.as_os_str() == "tests")
        },
        why: "time comes in as an argument",
    },
];

pub(super) fn check(path: &Path, content: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if is_generated(path) {
        return findings;
    }
    let lines = content.lines().count();
    if is_code(path) && lines > LINES_MAX {
        findings.push(format!("{}: {lines} lines; more than {LINES_MAX} are two files", path.display()));
    }
    for (number, line) in content.lines().enumerate() {
        for rule in FORBIDDEN.iter().filter(|rule| (rule.within)(path) && line.contains(rule.word)) {
            findings.push(format!("{}:{}: {}: {}", path.display(), number + 1, rule.word, rule.why));
        }
    }
    if is_code(path) && !content.is_empty() && !content.ends_with('\n') {
        findings.push(format!("{}: no newline at the end", path.display()));
    }
    findings
}

fn is_code(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs" || extension == "go")
}

fn is_library(path: &Path) -> bool {
    ["wire", "seccomp", "policy", "plugin", "plugin-macros", "runtime"]
        .iter()
        .any(|name| path.starts_with(format!("crates/{name}/src")))
}

fn is_generated(path: &Path) -> bool {
    path.ends_with("src/api/generated.rs") || path.ends_with("src/scan/table.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, line: &str) -> usize {
        check(Path::new(path), &format!("{line}\n")).len()
    }

    #[test]
    fn rules_hold_where_they_should_and_nowhere_else() {
        for (path, line, findings) in [
            ("crates/wire/src/mux.rs", concat!("uns", "afe { x }"), 1),
            ("crates/plugin/src/fd.rs", concat!("uns", "afe { x }"), 0),
            ("crates/runtime/src/host/launch.rs", concat!("std::process::", "Command::new"), 0),
            ("crates/runtime/src/oci/mod.rs", concat!("std::process::", "Command::new"), 1),
            ("crates/nri/src/main.rs", concat!("std::process::", "Command::new"), 0),
            ("crates/wire/src/io/tokio.rs", concat!("Instant::", "now()"), 0),
            ("crates/wire/src/mux.rs", concat!("Instant::", "now()"), 1),
            ("README.md", concat!("TO", "DO"), 0),
        ] {
            assert_eq!(check_line(path, line), findings, "{path}: {line}");
        }
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(check(Path::new("a.rs"), &long).len(), 1);
        assert_eq!(check(Path::new("crates/wire/src/scan/table.rs"), &long).len(), 0);
    }
}
