//! A decision for people: who changed what as a table, what was refused, and the difference of the specs.

use std::fmt::Write as _;

use nri_policy::change::Op;
use nri_policy::judge::Refused;
use nri_runtime::merge::Attributed;
use serde_json::Value;

/// Longest value that the table shows.
const WIDTH: usize = 48;

/// Who changed what.
pub(crate) fn changes(changes: &[Attributed]) -> String {
    let mut rows = vec![["PLUGIN", "FIELD", "KEY", "OP", "BEFORE", "AFTER"].map(str::to_owned)];
    rows.extend(changes.iter().map(|Attributed { plugin, change }| {
        let field = match &change.update {
            Some((_, id)) => format!("{} of {}", change.subject, plain(id)),
            None => change.subject.to_string(),
        };
        [
            plugin.full().to_owned(),
            field,
            plain(&change.key),
            op(change.op),
            value(&change.before),
            value(&change.after),
        ]
    }));
    table(&rows)
}

/// What violates the policy, and what became of it.
pub(crate) fn refusals(refused: &[Refused]) -> String {
    let mut rows = vec![["PLUGIN", "FIELD", "KEY", "OP", "RULE", "ACTION", "REASON"].map(str::to_owned)];
    rows.extend(refused.iter().map(|refused| {
        let action = serde_json::to_value(refused.action).unwrap_or_default();
        [
            plain(&refused.plugin),
            plain(&refused.field),
            plain(&refused.key),
            op(refused.op),
            plain(&refused.rule),
            action.as_str().unwrap_or_default().to_owned(),
            plain(&refused.reason),
        ]
    }));
    table(&rows)
}

/// The unified difference of two specs; empty if there is none.
pub(crate) fn diff(before: &Value, after: &Value) -> String {
    let text = |spec: &Value| format!("{spec:#}\n");
    let (before, after) = (text(before), text(after));
    similar::TextDiff::from_lines(&before, &after).unified_diff().header("spec", "adjusted").to_string()
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn op(op: Op) -> String {
    match op {
        Op::Add => "add",
        Op::Replace => "replace",
        Op::Remove => "remove",
    }
    .to_owned()
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// A plugin's text without anything that a terminal would act upon, and not too long.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == WIDTH {
            plain.push('…');
            break;
        }
        if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
        {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use nri_policy::change::{Recorded, Subject};
    use nri_wire::field::Field;
    use serde_json::json;

    #[test]
    fn a_table_of_changes() {
        let change = |plugin: &str, field, key: &str, op, before, after| Attributed {
            plugin: plugin.parse().unwrap(),
            change: Recorded {
                update: None,
                subject: Subject::Field(field),
                key: key.into(),
                op,
                before,
                after,
            },
        };
        let rows = [
            change("10-a", Field::Env, "A", Op::Add, Value::Null, json!("1")),
            change("20-long", Field::CpuShares, "", Op::Replace, json!(2), json!(1024)),
            change("20-long", Field::Env, "E\u{1b}[1m", Op::Remove, json!("x"), Value::Null),
        ];
        let expect = "\
PLUGIN   FIELD       KEY         OP       BEFORE  AFTER
10-a     env         A           add      -       1
20-long  cpu.shares              replace  2       1024
20-long  env         E\\u{1b}[1m  remove   x       -
";
        assert_eq!(changes(&rows), expect);
    }

    #[test]
    fn differences() {
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": 1})), "");
        let text = diff(&json!({"a": 1, "b": 2}), &json!({"a": 1, "b": 3}));
        assert!(text.starts_with("--- spec\n+++ adjusted\n@@"), "{text}");
        assert!(text.contains("-  \"b\": 2\n+  \"b\": 3\n"), "{text}");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(plain(&"x".repeat(60)).chars().count(), WIDTH + 1);
    }
}
