//! Long lists and lines on a terminal.

/// Columns of a line.
const WIDTH: usize = 110;

/// Names with commas between them, on as many lines as they need, each indented.
pub(crate) fn names<N: AsRef<str>>(names: &[N], indent: usize) -> String {
    let mut line = " ".repeat(indent);
    line.push_str(&names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "));
    hanging(&" ".repeat(indent), line.trim_start())
}

/// A text behind a title; further lines begin where it does.
pub(crate) fn hanging(title: &str, text: &str) -> String {
    let indent = title.chars().count();
    let mut lines = title.to_owned();
    let mut column = indent;
    for (at, word) in text.split(' ').enumerate() {
        let size = word.chars().count();
        if at > 0 && column + 1 + size > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if at > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += size;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(names(&["a", "b"], 2), "  a, b\n");
        let long = vec!["abcdefgh"; 12];
        let text = names(&long, 2);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.starts_with("  a") && line.len() <= WIDTH), "{text}");
        assert_eq!(hanging("  x  ", "allow when y"), "  x  allow when y\n");
    }
}
