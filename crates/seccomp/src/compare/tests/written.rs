//! Policies in short: `default ERRNO(1); arch X86; ALLOW clone: a0&0x7e020000==0` or `none`.
//!
//! Statements: `default ACTION`, `arch A,B`, `flags F,G`, `listener PATH`, `metadata TEXT`, and rules
//! `ACTION name,name: condition condition`. The default action is ERRNO(1) where it is not said.

use crate::policy::{Condition, Entry, Extra, Policy};
use crate::term::{Action, Arch, Flag, Operator};

pub(super) fn policy(text: &str) -> Option<Policy> {
    if text == "none" {
        return None;
    }
    let mut policy = Policy::new(Action::Errno);
    for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let (word, rest) = statement.split_once(' ').unwrap();
        match word {
            "default" => (policy.default_action, policy.default_errno) = action(rest),
            "arch" => {
                let archs = rest.split(',').map(|arch| format!("SCMP_ARCH_{arch}").parse::<Arch>().unwrap());
                policy.architectures.extend(archs);
            }
            "flags" => {
                let flags = rest
                    .split(',')
                    .map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}").parse::<Flag>().unwrap());
                policy.flags.extend(flags);
            }
            "listener" => policy.listener_path = Some(rest.to_owned()),
            "metadata" => policy.listener_metadata = Some(rest.to_owned()),
            word => policy.syscalls.push(entry(word, rest)),
        }
    }
    Some(policy)
}

fn entry(word: &str, rest: &str) -> Entry {
    let (names, conditions) = rest.split_once(':').unwrap_or((rest, ""));
    let (action, errno) = action(word);
    let mut entry = Entry::new(names.split(','), action);
    entry.errno = errno;
    entry.args = conditions.split_whitespace().map(condition).collect();
    entry
}

fn action(word: &str) -> (Action, Option<u32>) {
    let (word, number) = word
        .split_once('(')
        .map_or((word, None), |(word, number)| (word, Some(number.trim_end_matches(')').parse().unwrap())));
    (format!("SCMP_ACT_{word}").parse().unwrap(), number)
}

/// `a0==5`, `a1&0xff==3`; a trailing `/N` is `valueTwo` where it has no meaning.
fn condition(text: &str) -> Condition {
    let (text, junk) = text.split_once('/').unwrap_or((text, "0"));
    let index = text[1..2].parse().unwrap();
    let text = &text[2..];
    let (op, value, value_two) = if let Some(masked) = text.strip_prefix('&') {
        let (mask, datum) = masked.split_once("==").unwrap();
        (Operator::MaskedEq, number(mask), number(datum))
    } else {
        let signs = [
            ("==", Operator::Eq),
            ("!=", Operator::Ne),
            ("<=", Operator::Le),
            (">=", Operator::Ge),
            ("<", Operator::Lt),
            (">", Operator::Gt),
        ];
        let (value, op) = signs.iter().find_map(|(sign, op)| Some((text.strip_prefix(sign)?, *op))).unwrap();
        (op, number(value), number(junk))
    };
    Condition { index, value, value_two, op, extra: Extra::new() }
}

fn number(text: &str) -> u64 {
    match (text.strip_prefix('~'), text.strip_prefix("0x")) {
        (Some(inverted), _) => !number(inverted),
        (_, Some(digits)) => u64::from_str_radix(digits, 16).unwrap(),
        _ => text.parse().unwrap(),
    }
}
