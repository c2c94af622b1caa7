//! Tables for people, of text that others may have written.

use std::fmt::Write as _;

/// Longest value that a table shows.
const WIDTH: usize = 48;

/// Columns side by side. A cell may have colours.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..N).map(|column| widest(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells =
            cells.map(|(cell, full)| format!("{cell}{}", " ".repeat(full.saturating_sub(width(cell)))));
        let line = cells.collect::<Vec<_>>().join("  ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A peer's text without anything that a terminal would act upon, and not too long.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == WIDTH {
            plain.push('…');
            break;
        }
        if is_acted_upon(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A whole line with text of others in it, without anything that a terminal would act upon.
pub(crate) fn on_terminal(line: &str) -> String {
    line.chars().map(|c| if is_acted_upon(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a terminal does something at this character, or shows what follows in another place.
pub(crate) fn is_acted_upon(c: char) -> bool {
    c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Columns that a cell takes: colours, which are `ESC [ … m`, take none.
fn width(cell: &str) -> usize {
    let mut columns = 0;
    let mut inside = false;
    for c in cell.chars() {
        match (inside, c) {
            (false, '\u{1b}') => inside = true,
            (false, _) => columns += 1,
            (true, 'm') => inside = false,
            (true, _) => {}
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(plain(&"x".repeat(60)).chars().count(), WIDTH + 1);
    }

    #[test]
    fn colours_take_no_room() {
        let rows = [["a", "b"], ["\u{1b}[32mgreen\u{1b}[0m", "c"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a      b\n\u{1b}[32mgreen\u{1b}[0m  c\n");
    }
}
