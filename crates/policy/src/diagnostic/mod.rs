//! What is wrong with a policy: codes, places, and words (`policy.md` 14).

mod code;
mod suggest;

use std::borrow::Cow;

pub use self::code::{CODES, Code, Info, Severity, UnknownCode};
pub use self::suggest::nearest;
use crate::document::node::{Entry, Node};
use crate::document::source::{Sources, Span};

/// Most diagnostics that are kept; what comes after is counted.
pub const KEPT: usize = 1000;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What kind of thing.
    pub code: Code,
    /// Where it stands.
    pub span: Span,
    /// The way to it in its document: `spec.levels[0].fields.mount`.
    pub path: String,
    /// One line: what is wrong.
    pub message: String,
    /// What stands at the place, in a few words; may be empty.
    pub label: String,
    /// Other places that matter, with their labels.
    pub related: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    /// Errors and warnings, the dropped ones too.
    errors: usize,
    warnings: usize,
}

impl Diagnostic {
    /// A diagnostic without the optional parts.
    #[must_use]
    pub fn new(code: Code, span: Span, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            span,
            path: path.into(),
            message: message.into(),
            label: String::new(),
            related: Vec::new(),
            help: None,
            suggestion: None,
        }
    }

    /// With a text for the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the nearest of some words, if one is near.
    #[must_use]
    pub fn suggest<'w>(mut self, word: &str, among: impl IntoIterator<Item = &'w str>) -> Self {
        self.suggestion = nearest(word, among).map(str::to_owned);
        self
    }
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.code.severity() {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if !self.is_full() {
            self.kept.push(diagnostic);
        }
    }

    /// Lets somebody add, who does not know where missing members are said to be missing (E023): the place that they give
    /// becomes a related one.
    pub(crate) fn with_missing_at(&mut self, at: Span, add: impl FnOnce(&mut Self)) {
        let before = self.kept.len();
        add(self);
        for found in self.kept.iter_mut().skip(before).filter(|found| found.code == Code::E023) {
            if found.span != at {
                let label = match std::mem::take(&mut found.label) {
                    label if label.is_empty() => "here".to_owned(),
                    label => label,
                };
                found.related.insert(0, (found.span, label));
                found.span = at;
            }
        }
    }

    /// Says that a member is not known here (E021).
    pub fn unknown(&mut self, entry: &Entry, path: &str, known: &[&str]) {
        if self.is_full() {
            self.errors += 1;
            return;
        }
        let message = format!("unknown key {}", quoted(&entry.key));
        let diagnostic = Diagnostic::new(Code::E021, entry.key_span, member(path, &entry.key), message)
            .label("does not belong here")
            .suggest(&entry.key, known.iter().copied());
        let diagnostic = match diagnostic.suggestion {
            None if known.is_empty() => diagnostic.help("nothing is known here"),
            Some(_) => diagnostic,
            None => diagnostic.help(format!("known here: {}", known.join(", "))),
        };
        self.push(diagnostic);
    }

    /// Says that a value is of the wrong type (E024); `expected` is a noun, `a list of globs`. Silent about what is broken.
    pub fn mismatch(&mut self, node: &Node, path: &str, expected: &str) {
        if !node.is_broken() {
            let message = format!("expected {expected}, found {}", node.kind());
            self.push(Diagnostic::new(Code::E024, node.span, path, message).label(format!("not {expected}")));
        }
    }

    /// Says that a word is none of those that are allowed (E024).
    pub fn not_one_of(&mut self, node: &Node, path: &str, allowed: &[&str]) {
        let Some(word) = node.word() else {
            return self.mismatch(node, path, &format!("one of {}", allowed.join(", ")));
        };
        let message = format!("{} is not one of {}", quoted(word), allowed.join(", "));
        self.push(
            Diagnostic::new(Code::E024, node.span, path, message)
                .label("not allowed here")
                .suggest(word, allowed.iter().copied()),
        );
    }

    /// Whether what comes now is only counted, so that nobody needs to look for words.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.kept.len() >= KEPT
    }

    /// What was found, in the order of [`sort`](Self::sort), the first [`KEPT`].
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// How many errors there are.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are.
    #[must_use]
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errors == 0 && self.warnings == 0
    }

    /// Sorts by file, line and column.
    pub fn sort(&mut self, sources: &Sources) {
        self.kept.sort_by(|a, b| {
            let place = |d: &Diagnostic| (d.span.start, d.code, d.span.end);
            sources.name(a.span.file).cmp(sources.name(b.span.file)).then_with(|| place(a).cmp(&place(b)))
        });
    }
}

/// The path of a member of what is at `path`.
#[must_use]
pub fn member(path: &str, key: &str) -> String {
    let key = shortened(key);
    if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") }
}

/// A text of the file for a message: in backquotes, not too long.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

/// A text of the file, in one line and not too long for a message.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    const MOST: usize = 100;
    let long = text.char_indices().nth(MOST).map(|(end, _)| end);
    if long.is_none() && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.get(..long.unwrap_or(text.len())).unwrap_or_default().chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if long.is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}
