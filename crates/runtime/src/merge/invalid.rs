//! Entries that nobody can carry out.

use nri_wire::api::{IoPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MpolFlag, MpolMode};
use nri_wire::field::{Field, Value};

/// Why an entry is invalid, if it is.
///
/// Enum numbers that we do not know would be written as something else or take a setting away (`spec/README.md`,
/// correction 8). A variable's name with `=` or NUL would set another variable than the one that was judged.
pub(super) fn reason(field: Field, key: &str, value: &Value<'_>) -> Option<String> {
    match value {
        Value::IoPriority(p) => unknown::<IoPrioClass>("class", [&p.class]),
        Value::Scheduler(s) => unknown::<LinuxSchedulerPolicy>("policy", [&s.policy])
            .or_else(|| unknown::<LinuxSchedulerFlag>("flag", &s.flags)),
        Value::MemoryPolicy(p) => {
            unknown::<MpolMode>("mode", [&p.mode]).or_else(|| unknown::<MpolFlag>("flag", &p.flags))
        }
        _ if field == Field::Env && key.contains(['=', '\0']) => {
            Some("the name of a variable cannot have '=' or NUL in it".to_owned())
        }
        _ => None,
    }
}

fn unknown<'a, E: TryFrom<i32>>(what: &str, numbers: impl IntoIterator<Item = &'a i32>) -> Option<String> {
    let number = numbers.into_iter().find(|&&number| E::try_from(number).is_err())?;
    Some(format!("unknown {what} number {number}"))
}
