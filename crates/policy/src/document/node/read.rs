//! Events of the YAML parser to trees.

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_map};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::{Entry, Node, Number, Value};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};
use crate::document::source::{FileId, Position, Span};

/// Most bytes of a file (`policy.md` 1).
pub const BYTES: usize = 1 << 20;

/// Most mappings and lists within each other. Policies need about ten.
pub const DEPTH: usize = 64;

/// Most documents of a file.
pub const DOCUMENTS: usize = 256;

/// Reads the documents of a file. What is wrong goes to `out`; a document that is not YAML is left out, those after it
/// are read.
pub fn read(file: FileId, text: &str, out: &mut Diagnostics) -> Vec<Node> {
    if text.len() > BYTES {
        let message = format!("the file has {} bytes, more than {BYTES}", text.len());
        let span = Span::start_of(file);
        out.push(
            Diagnostic::new(Code::E013, span, "", message)
                .help("split it into several files of the directory"),
        );
        return Vec::new();
    }
    let options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents: Vec<Node> = Vec::new();
    loop {
        if let Some(last) = documents.get(DOCUMENTS) {
            let message = format!("more than {DOCUMENTS} documents in a file");
            out.push(Diagnostic::new(Code::E013, first_of(last), "", message).label("not read from here on"));
            documents.truncate(DOCUMENTS);
            return documents;
        }
        let mut tree = Tree { file, text, out: &mut *out, open: Vec::new(), root: None };
        match tree.document(&mut parser) {
            Ok(true) => documents.extend(tree.root.filter(|root| root.value != Value::Null)),
            Ok(false) => return documents,
            Err(error) => {
                tree.not_yaml(&error);
                if !parser.proceed_next_document().unwrap_or(false) {
                    return documents;
                }
            }
        }
    }
}

/// The start of a document that may be long.
fn first_of(root: &Node) -> Span {
    root.entries().first().map_or(root.span, |entry| entry.key_span)
}

/// A document while it is read.
struct Tree<'o> {
    file: FileId,
    text: &'o str,
    out: &'o mut Diagnostics,
    open: Vec<Open>,
    root: Option<Node>,
}

/// A list or mapping that has not ended.
struct Open {
    start: Position,
    /// The end of what it holds so far.
    end: Position,
    of: Of,
}

enum Of {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<Box<str>, Span>,
        /// The key whose value is next.
        key: Option<Key>,
    },
}

enum Key {
    Text(Box<str>, Span),
    /// A second one of its name, or none that counts.
    Dropped(Box<str>),
}

impl Tree<'_> {
    /// Reads to the end of a document; `false` at the end of the file.
    fn document<'a>(&mut self, parser: &mut Parser<'a, StrInput<'a>>) -> Result<bool, ScanError> {
        while let Some(event) = parser.next_event() {
            let (event, at) = event?;
            let span = self.span(at.start, at.end);
            if event.anchor_id().is_some() {
                // The anchor's own event follows that of its node.
                if let Some(Ok((Event::Anchor(_, name), at))) = parser.peek() {
                    self.refuse(self.span(at.start, at.end), "an anchor", &format!("&{name}"));
                }
            }
            if let Some(tag) = event.tag() {
                let at = at.tag_span().unwrap_or(at);
                self.refuse(self.span(at.start, at.end), "a tag", &tag.original());
            }
            match event {
                Event::DocumentEnd => return Ok(true),
                Event::StreamEnd => return Ok(false),
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    self.refuse(span, "an alias", "*");
                    self.place(Node { span, value: Value::Broken });
                }
                Event::Scalar(text, style, ..) => self.scalar(span, text, style),
                Event::SequenceStart(..) => {
                    let start = self.dash(&at).unwrap_or(span.start);
                    self.open(Span { start, ..span }, Of::List(Vec::new()));
                }
                Event::MappingStart(..) => {
                    self.open(span, Of::Map { entries: Vec::new(), seen: BTreeMap::new(), key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span),
                _ => {}
            }
        }
        Ok(false)
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        Span { file: self.file, start: position(start), end: position(end) }
    }

    fn open(&mut self, span: Span, of: Of) {
        self.open.push(Open { start: span.start, end: span.end, of });
    }

    /// Where a list starts whose dashes are not indented under their key: the parser gives what follows the first one.
    fn dash(&self, at: &granit_parser::Span) -> Option<Position> {
        let Some(Open { of: Of::Map { key: Some(_), .. }, .. }) = self.open.last() else { return None };
        let before = self.text.get(..at.start.byte_offset()?)?;
        let dash = before.trim_end_matches(' ');
        let back = u32::try_from(before.len() - dash.len()).ok()? + 1;
        let start = position(at.start);
        dash.ends_with('-').then_some(Position { column: start.column.saturating_sub(back), ..start })
    }

    /// A block ends where its last value does, a flow at its bracket, which is the only end that has a width.
    fn close(&mut self, at: Span) {
        let Some(Open { start, end, of }) = self.open.pop() else { return };
        let end = if at.start == at.end { end } else { at.end };
        let value = match of {
            Of::List(items) => Value::List(items),
            Of::Map { entries, .. } => Value::Map(entries),
        };
        self.place(Node { span: Span { file: self.file, start, end }, value });
    }

    fn scalar(&mut self, span: Span, text: Cow<'_, str>, style: ScalarStyle) {
        let plain = style == ScalarStyle::Plain;
        let expects_key = matches!(self.open.last(), Some(Open { of: Of::Map { key: None, .. }, .. }));
        if expects_key {
            self.key(text.into(), span, plain);
        } else {
            let value = if plain { plain_value(text) } else { Value::Text(text.into()) };
            // Nothing stands right behind its key, wherever the parser noticed that nothing comes.
            let span = match self.open.last() {
                Some(Open { of: Of::Map { key: Some(Key::Text(_, key)), .. }, .. })
                    if span.start == span.end && plain =>
                {
                    Span { start: key.end, end: key.end, ..span }
                }
                _ => span,
            };
            self.place(Node { span, value });
        }
    }

    fn key(&mut self, text: Box<str>, span: Span, plain: bool) {
        if plain && &*text == "<<" {
            self.refuse(span, "a merge key", "<<");
        }
        let Some(Open { of: Of::Map { seen, key, .. }, end, .. }) = self.open.last_mut() else { return };
        *end = span.end;
        if plain && &*text == "<<" {
            *key = Some(Key::Dropped(text));
            return;
        }
        let first = match seen.entry(text.clone()) {
            btree_map::Entry::Vacant(place) => {
                place.insert(span);
                *key = Some(Key::Text(text, span));
                return;
            }
            btree_map::Entry::Occupied(first) => *first.get(),
        };
        *key = Some(Key::Dropped(text.clone()));
        let path = self.path();
        self.out.push(
            Diagnostic::new(Code::E011, span, path, format!("duplicate key {}", quoted(&text)))
                .label("given a second time")
                .related(first, "first given here")
                .help("remove one of them"),
        );
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) {
        let file = self.file;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { of: Of::List(items), end, .. }) => {
                *end = node.span.end;
                items.push(node);
            }
            Some(Open { of: Of::Map { entries, key, .. }, end, .. }) => match key.take() {
                Some(Key::Text(text, key_span)) => {
                    *end = node.span.end;
                    entries.push(Entry { key: text, key_span, value: node });
                }
                Some(Key::Dropped(_)) => *end = node.span.end,
                None => {
                    *end = node.span.end;
                    *key = Some(Key::Dropped(Box::from("?")));
                    if !node.is_broken() {
                        let path = self.path();
                        let span = Span { file, ..node.span };
                        let message = format!("{} as a key", node.kind());
                        self.out.push(
                            Diagnostic::new(Code::E013, span, path, message).label("a key is one text"),
                        );
                    }
                }
            },
        }
    }

    fn refuse(&mut self, span: Span, what: &str, text: &str) {
        let path = self.path();
        self.out.push(
            Diagnostic::new(Code::E012, span, path, format!("{what} {}", quoted(text)))
                .label("not read in policies")
                .help("write the value out where it is needed"),
        );
    }

    fn not_yaml(&mut self, error: &ScanError) {
        let at = position(*error.marker());
        let span = Span { file: self.file, start: at, end: at };
        let path = self.path();
        let message = match error.kind() {
            ErrorKind::RecursionLimitExceeded => {
                format!("more than {DEPTH} lists and mappings within each other")
            }
            _ => error.info(),
        };
        self.out.push(Diagnostic::new(Code::E013, span, path, message).label("cannot be read from here on"));
    }

    /// Where we are: `spec.levels[0]`.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.of {
                Of::List(items) => path.push_str(&format!("[{}]", items.len())),
                Of::Map { key: Some(Key::Text(key, _) | Key::Dropped(key)), .. } => join(&mut path, key),
                Of::Map { key: None, .. } => {}
            }
        }
        path
    }
}

/// Appends a member to a path.
fn join(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(crate::diagnostic::shortened(key).as_ref());
}

fn position(marker: Marker) -> Position {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: count(marker.line()), column: count(marker.col()).saturating_add(1) }
}

/// What a plain text means: the words of YAML 1.2's core schema, decimal numbers, or itself.
fn plain_value(text: Cow<'_, str>) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => {
            let whole = number.strip_prefix('+').unwrap_or(number).parse().ok();
            Value::Number(Number { text: text.into(), whole })
        }
        _ => Value::Text(text.into()),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(digits)
}
