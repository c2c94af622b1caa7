//! Values that a recording keeps to itself (`cli.md`, "nri replay"): a text stands for each, which begins with NUL, as no
//! value of a variable and no argument can. Equal ones stand for equal values; rules that would have to see one cannot tell.

/// Begins such a text.
pub const MARK: char = '\0';

/// The text that stands for a value of this length in bytes, by its code.
///
/// ```
/// use nri_policy::hidden;
/// let text = hidden::text("h1:5d0f", 6);
/// assert_eq!(hidden::value(&text), Some(("h1:5d0f", 6)));
/// assert_eq!(hidden::value("plain"), None);
/// ```
#[must_use]
pub fn text(code: &str, length: u64) -> String {
    format!("{MARK}{code}/{length}")
}

/// The code and the length of the value that a text stands for, if it stands for one.
#[must_use]
pub fn value(text: &str) -> Option<(&str, u64)> {
    let (code, length) = text.strip_prefix(MARK)?.rsplit_once('/')?;
    Some((code, length.parse().ok()?))
}
