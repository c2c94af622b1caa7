//! A decision for people: who changed what as a table, what was refused, and the difference of the specs.

use nri_policy::change::Op;
use nri_policy::judge::Refused;
use nri_runtime::merge::Attributed;
use serde_json::Value;

use crate::table::{plain, table};

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
            refused.op.map(op).unwrap_or_default(),
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
}
