//! A diagnostic as compilers show it (`policy.md` 13).

use std::fmt::Write as _;

use nri_policy::diagnostic::{Code, Diagnostic, Severity};
use nri_policy::document::source::{Sources, Span};

use crate::table::is_acted_upon;

/// Most characters of a line that are shown.
const WIDTH: usize = 140;

/// Head, places with their lines, help; ends with a line feed.
pub(crate) fn diagnostic(found: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let paint = Paint { colour };
    let severity = found.code.severity();
    let mark = match severity {
        Severity::Error => "31;1",
        Severity::Warning => "33;1",
    };
    let lines = std::iter::once(found.span).chain(found.related.iter().map(|(span, _)| *span));
    let gutter = lines.map(|span| span.start.line.to_string().len()).max().unwrap_or(1).max(2);
    let mut page = Page { text: String::new(), paint, sources, gutter };
    let head = format!("{}[{}]", severity.name(), found.code);
    page.line(&format!(
        "{}{}",
        paint.on(&head, mark),
        paint.on(&format!(": {}", plain(&found.message)), "1")
    ));
    page.place(found.span, "-->");
    if found.code == Code::E021 {
        page.source_before(found.span);
    }
    page.source(found.span, &found.label, '^', mark);
    for (span, label) in &found.related {
        page.bar();
        page.place(*span, ":::");
        page.source(*span, label, '-', "34;1");
    }
    let meant = found.suggestion.as_ref().map(|word| format!("did you mean `{}`?", plain(word)));
    let helps: Vec<&str> = meant.iter().chain(&found.help).map(String::as_str).collect();
    if !helps.is_empty() {
        page.bar();
    }
    for help in helps {
        let gutter = " ".repeat(page.gutter);
        page.line(&format!("{gutter} {} help: {help}", paint.on("=", "34;1")));
    }
    page.text
}

/// Colours, if there are any.
#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn on(self, text: &str, colour: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

struct Page<'s> {
    text: String,
    paint: Paint,
    sources: &'s Sources,
    /// Columns for line numbers.
    gutter: usize,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn bar(&mut self) {
        let bar = self.paint.on("|", "34;1");
        self.line(&format!("{:1$} {bar}", "", self.gutter));
    }

    fn place(&mut self, span: Span, arrow: &str) {
        let file = plain(self.sources.name(span.file));
        let arrow = self.paint.on(arrow, "34;1");
        self.line(&format!("{:1$}{arrow} {file}:{2}", "", self.gutter, span.start));
        self.bar();
    }

    /// The line above, which says what the place is a part of.
    fn source_before(&mut self, span: Span) {
        let number = span.start.line.saturating_sub(1);
        if let Some(line) = self.source_line(span, number).filter(|line| !line.trim().is_empty()) {
            let shown = Shown::new(line, 1, 1);
            self.numbered(number, &shown.line);
        }
    }

    fn source(&mut self, span: Span, label: &str, caret: char, colour: &str) {
        // Past the end of the text there is no line.
        let line = self.source_line(span, span.start.line).unwrap_or_default();
        let end = if span.end.line == span.start.line { span.end.column } else { u32::MAX };
        let shown = Shown::new(line, span.start.column, end);
        self.numbered(span.start.line, &shown.line);
        let carets = String::from(caret).repeat(shown.length);
        let under = self.paint.on(format!("{carets} {}", plain(label)).trim_end(), colour);
        let bar = self.paint.on("|", "34;1");
        self.line(&format!("{:1$} {bar} {2}{under}", "", self.gutter, " ".repeat(shown.start)));
    }

    fn numbered(&mut self, number: u32, line: &str) {
        let gutter = self.gutter;
        let number = self.paint.on(&format!("{number:>gutter$} |"), "34;1");
        self.line(&format!("{number} {line}"));
    }

    fn source_line(&self, span: Span, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.sources.get(span.file)?.text.lines().nth(index)
    }
}

/// A line, or the part of it around a place.
struct Shown {
    line: String,
    /// Characters before the place.
    start: usize,
    /// Characters of the place, at least one.
    length: usize,
}

impl Shown {
    fn new(line: &str, start: u32, end: u32) -> Self {
        let start = usize::try_from(start).unwrap_or(usize::MAX).saturating_sub(1);
        let end = usize::try_from(end).unwrap_or(usize::MAX).saturating_sub(1);
        let from = if start > WIDTH / 2 && line.chars().nth(WIDTH).is_some() { start - WIDTH / 4 } else { 0 };
        let part: String = line.chars().skip(from).take(WIDTH).map(shown).collect();
        let rest = line.chars().nth(from + WIDTH).is_some();
        let length = part.chars().count();
        let start = (start - from).min(length);
        let before = if from > 0 { "…" } else { "" };
        Self {
            line: format!("{before}{part}{}", if rest { "…" } else { "" }),
            start: start + before.chars().count(),
            length: end.saturating_sub(from).min(length).saturating_sub(start).max(1),
        }
    }
}

/// A character that takes one column and does nothing to a terminal.
fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_acted_upon(c) => '\u{fffd}',
        c => c,
    }
}

/// A text in one line that does nothing to a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use nri_policy::document::load::{File, load};
    use nri_policy::host::NoHost;

    use super::*;

    fn rendered(text: &str) -> String {
        let file =
            File { name: "/etc/nri/policy.d/20-gpu.yaml".into(), content: text.into(), distrust: None };
        let loaded = load(vec![file], &NoHost);
        loaded.diagnostics.list().iter().map(|found| diagnostic(found, &loaded.sources, false)).collect()
    }

    /// The samples of `policy.md` 13.
    #[test]
    fn as_a_compiler_shows_it() {
        let policy = "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {name: gpu}\nspec:\n  identities:\n    - name: gpu\n      level: device-injector\n      match: {pod: {namespace: g}}\n  levels:\n    - name: device-injector\n      requireProof: strong\n      fields:\n        mount:\n          allow: []\n  require:\n    - plugin: gpu\n      tolerate: {annotation: x}\n";
        assert_eq!(
            rendered(policy),
            "error[E044]: level `device-injector` asks for strong proof, identity `gpu` gives medium
  --> /etc/nri/policy.d/20-gpu.yaml:6:7
   |
 6 |     - name: gpu
   |       ^^^^^^^^^ matches pod.namespace only
   |
  ::: /etc/nri/policy.d/20-gpu.yaml:11:7
   |
11 |       requireProof: strong
   |       -------------------- required here
   |
   = help: add `imageDigest`, or lower `requireProof`
error[E021]: unknown field `mount`
  --> /etc/nri/policy.d/20-gpu.yaml:13:9
   |
12 |       fields:
13 |         mount:
   |         ^^^^^ not an NRI field
   |
   = help: did you mean `mounts`?
warning[W104]: toleration by pod annotation without namespaces
  --> /etc/nri/policy.d/20-gpu.yaml:17:7
   |
17 |       tolerate: {annotation: x}
   |       ^^^^^^^^ any pod author can set this annotation
   |
   = help: add `namespaces: [...]`
"
        );
    }

    /// A policy is somebody's text: it does nothing to a terminal, and no line is endless.
    #[test]
    fn hostile_text() {
        let text = format!("{{\"a\": \"{}\u{1b}[31m\u{202e}\", \"kind\": 1}}", "x".repeat(500));
        let shown = rendered(&text);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']));
        assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
        assert!(rendered("a: [").contains(" 1 | a: ["));
    }
}
