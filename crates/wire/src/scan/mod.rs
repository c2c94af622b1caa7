//! A scanner over encoded messages, run before any of them is decoded.
//!
//! Decoding trusts its input in three ways that a peer can misuse or that lose something: an element that costs two bytes
//! on the wire costs hundreds in memory; a string that is no UTF-8 fails the whole message without saying where (quirk
//! C14); fields that are not known are dropped in silence (`design.md` 3, invariants 7 and 8). The scanner walks the
//! bytes once, driven by a generated table, and answers all three. What passes decodes.

mod table;
mod unknown;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt;

pub use unknown::{Unknown, UnknownField};

use crate::limits::{SCAN_DEPTH_MAX, SCAN_ELEMENTS_MAX};
use table::MESSAGES;
use wire::{Cursor, WireType};

/// A message type in the table, found by its name when the program is compiled.
///
/// ```
/// use nri_wire::scan::{Row, scan};
/// const CONTAINER: Row = Row::named("Container");
/// let unknown = scan(CONTAINER, &[])?;
/// assert!(unknown.is_empty());
/// # Ok::<(), nri_wire::scan::ScanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(u16);

impl Row {
    /// The message of this name.
    ///
    /// # Panics
    /// There is none. In a constant this is an error of compilation.
    #[must_use]
    #[expect(
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "evaluated by the compiler: a wrong name does not compile"
    )]
    pub const fn named(name: &str) -> Self {
        let mut row = 0;
        while row < MESSAGES.len() {
            if is_equal(MESSAGES[row].name.as_bytes(), name.as_bytes()) {
                return Self(row as u16);
            }
            row += 1;
        }
        panic!("no message of this name")
    }

    /// The message of this name, if there is one.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let row = MESSAGES.iter().position(|message| message.name == name)?;
        u16::try_from(row).ok().map(Self)
    }

    /// The name of the message.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.message().name
    }

    fn message(self) -> &'static Message {
        static NONE: Message = Message { name: "", fields: &[] };
        MESSAGES.get(usize::from(self.0)).unwrap_or(&NONE)
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and the lengths are equal")]
const fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Why an encoded message is not decoded. It is always the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanError {
    /// More than [`SCAN_ELEMENTS_MAX`] elements.
    TooManyElements {
        /// The field that went over.
        path: String,
    },
    /// Nested more than [`SCAN_DEPTH_MAX`] deep.
    TooDeep {
        /// The field that went over.
        path: String,
    },
    /// Not the encoding of a message of this type.
    Malformed {
        /// The message or field in which it shows.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A string that is not UTF-8.
    NotUtf8 {
        /// The field.
        path: String,
    },
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyElements { path } => {
                write!(f, "the message has more than {SCAN_ELEMENTS_MAX} elements, at {path}")
            }
            Self::TooDeep { path } => {
                write!(f, "the message is nested more than {SCAN_DEPTH_MAX} deep, at {path}")
            }
            Self::Malformed { path, what } => write!(f, "the message is malformed at {path}: {what}"),
            Self::NotUtf8 { path } => write!(f, "the string {path} is not UTF-8"),
        }
    }
}

impl std::error::Error for ScanError {}

/// Checks an encoded message and reports the fields that are not known.
///
/// # Errors
/// The message must not be decoded: it would fail, or take too much memory.
pub fn scan(row: Row, bytes: &[u8]) -> Result<Unknown, ScanError> {
    Scanner { elements: 0, unknown: Unknown::default(), texts: true }.run(row, bytes)
}

/// The same for a message that is decoded right after: decoding checks every string anyway, so that [`scan`] need
/// look at them only where it failed, to name the one.
#[cfg(any(feature = "tokio", feature = "blocking"))]
pub(crate) fn scan_before_decoding(row: Row, bytes: &[u8]) -> Result<Unknown, ScanError> {
    Scanner { elements: 0, unknown: Unknown::default(), texts: false }.run(row, bytes)
}

/// One row of the table.
struct Message {
    name: &'static str,
    /// In the order of their numbers.
    fields: &'static [Field],
}

struct Field {
    number: u32,
    name: &'static str,
    kind: Kind,
    repeated: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Message(u16),
    Text,
    #[expect(dead_code, reason = "no field of the protocol has this kind today")]
    Bytes,
    Varint,
    #[expect(dead_code, reason = "no field of the protocol has this kind today")]
    Fixed32,
    #[expect(dead_code, reason = "no field of the protocol has this kind today")]
    Fixed64,
}

impl Message {
    /// Numbers are mostly dense, so that a field mostly stands at its number.
    fn field(&self, number: u32) -> Option<(usize, &'static Field)> {
        let guess = (number as usize).wrapping_sub(1);
        let at = match self.fields.get(guess) {
            Some(field) if field.number == number => guess,
            _ => self.fields.binary_search_by_key(&number, |field| field.number).ok()?,
        };
        self.fields.get(at).map(|field| (at, field))
    }
}

/// The way from the outermost message to the one that is being read.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    field: &'static Field,
    index: u32,
}

/// Most fields of any message: the indices of their elements are counted in an array of this size.
const FIELDS_MAX: usize = 32;

struct Scanner {
    elements: usize,
    unknown: Unknown,
    /// Whether strings are checked.
    texts: bool,
}

impl Scanner {
    fn run(mut self, row: Row, bytes: &[u8]) -> Result<Unknown, ScanError> {
        self.message(row.message(), bytes, None, 0)?;
        Ok(self.unknown)
    }

    fn message(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        parent: Option<&Place<'_>>,
        depth: usize,
    ) -> Result<(), ScanError> {
        let mut counts = [0_u32; FIELDS_MAX];
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let start = cursor.position();
            let (number, wire_type) = cursor.tag().map_err(|what| malformed(parent, what))?;
            let Some((at, field)) = message.field(number) else {
                cursor.skip(wire_type).map_err(|what| malformed(parent, what))?;
                self.unknown.add(parent, number, cursor.since(start));
                continue;
            };
            let mut place = Place { parent, field, index: 0 };
            if field.repeated
                && let Some(count) = counts.get_mut(at)
            {
                place.index = *count;
                *count = count.saturating_add(1);
            }
            let len = self.value(&mut cursor, wire_type, &place, depth)?;
            self.elements += len;
            if self.elements > SCAN_ELEMENTS_MAX {
                return Err(ScanError::TooManyElements { path: place.path() });
            }
        }
        Ok(())
    }

    /// Reads the value of a known field and says how many elements it adds.
    fn value(
        &mut self,
        cursor: &mut Cursor<'_>,
        wire_type: WireType,
        place: &Place<'_>,
        depth: usize,
    ) -> Result<usize, ScanError> {
        let field = place.field;
        let wrong = |what| malformed(Some(place), what);
        match (field.kind, wire_type) {
            (Kind::Message(row), WireType::Len) => {
                let bytes = cursor.len_delimited().map_err(wrong)?;
                if depth >= SCAN_DEPTH_MAX {
                    return Err(ScanError::TooDeep { path: place.path() });
                }
                self.message(Row(row).message(), bytes, Some(place), depth + 1)?;
                Ok(1)
            }
            (Kind::Text, WireType::Len) => {
                let bytes = cursor.len_delimited().map_err(wrong)?;
                if self.texts && std::str::from_utf8(bytes).is_err() {
                    return Err(ScanError::NotUtf8 { path: place.path() });
                }
                Ok(usize::from(field.repeated))
            }
            (Kind::Bytes, WireType::Len) => {
                cursor.skip(wire_type).map(|()| usize::from(field.repeated)).map_err(wrong)
            }
            (Kind::Varint, WireType::Varint)
            | (Kind::Fixed32, WireType::Fixed32)
            | (Kind::Fixed64, WireType::Fixed64) => {
                cursor.skip(wire_type).map(|()| usize::from(field.repeated)).map_err(wrong)
            }
            (Kind::Varint | Kind::Fixed32 | Kind::Fixed64, WireType::Len) if field.repeated => {
                let mut packed = Cursor::new(cursor.len_delimited().map_err(wrong)?);
                let each = match field.kind {
                    Kind::Fixed32 => WireType::Fixed32,
                    Kind::Fixed64 => WireType::Fixed64,
                    _ => WireType::Varint,
                };
                let mut len = 0;
                while !packed.is_empty() {
                    packed.skip(each).map_err(wrong)?;
                    len += 1;
                }
                Ok(len)
            }
            _ => Err(wrong("a value of another type")),
        }
    }
}

fn malformed(place: Option<&Place<'_>>, what: &'static str) -> ScanError {
    let path = place.map_or_else(|| "its top level".to_owned(), Place::path);
    ScanError::Malformed { path, what }
}

impl Place<'_> {
    /// `container.mounts[2].options[0]`.
    fn path(&self) -> String {
        let mut path = match self.parent {
            Some(parent) => parent.path() + ".",
            None => String::new(),
        };
        path.push_str(self.field.name);
        if self.field.repeated {
            path.push('[');
            path.push_str(&self.index.to_string());
            path.push(']');
        }
        path
    }
}
