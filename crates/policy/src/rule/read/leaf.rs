//! Reading the values of a rule's members.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, member, quoted};
use crate::document::node::{Entry, Node, Value};
use crate::document::policy::Sha256;
use crate::rule::Access;
use crate::rule::device::DevicePattern;
use crate::rule::glob::Glob;
use crate::rule::idset::IdSet;
use crate::rule::matching::{Check, Ids, Ratio};
use crate::rule::quantity::{Quantity, number};
use crate::rule::table::{Bounds, Words};

pub(super) fn quantity(
    entry: &Entry,
    path: &str,
    bounds: Option<Bounds>,
    out: &mut Diagnostics,
) -> Option<Quantity> {
    let node = &entry.value;
    let Some(word) = node.word() else {
        out.mismatch(node, path, "a number");
        return None;
    };
    match Quantity::read(word) {
        Ok(Quantity::Host) if !bounds.is_some_and(|bounds| bounds.host) => {
            out.push(
                Diagnostic::new(Code::E032, entry.key_span, path, "the host has no such limit")
                    .label("`host` means nothing here")
                    .help(
                        "`host` is for memory.limit, memory.reservation, memory.swap, pids.limit and rlimits",
                    ),
            );
            None
        }
        Ok(quantity) => Some(quantity),
        Err(_) => {
            out.push(bad_quantity(node, word, path));
            None
        }
    }
}

pub(super) fn bad_quantity(node: &Node, word: &str, path: &str) -> Diagnostic {
    Diagnostic::new(Code::E031, node.span, path, format!("{} is not a quantity", quoted(word)))
        .label("not a quantity")
        .help("a whole number, with `k M G T` or `Ki Mi Gi Ti`; in limits also `requested`, `\"50%\"` of it, or `host`")
}

pub(super) fn natural(node: &Node, path: &str, out: &mut Diagnostics) -> Option<u64> {
    let Some(word) = node.word() else {
        out.mismatch(node, path, "a number");
        return None;
    };
    let natural = number(word).ok().and_then(|number| u64::try_from(number).ok());
    if natural.is_none() {
        out.push(bad_quantity(node, word, path));
    }
    natural
}

pub(super) fn numbers(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Vec<u32>> {
    let mut read = |node: &Node, path: &str| {
        let word = node.word()?;
        let id = number(word).ok().and_then(|number| u32::try_from(number).ok());
        if id.is_none() {
            out.push(bad_quantity(node, word, path));
        }
        id
    };
    match &node.value {
        Value::List(items) => {
            let ids = items.iter().enumerate().map(|(at, item)| (item, read(item, &format!("{path}[{at}]"))));
            let ids: Vec<_> = ids.collect();
            for (item, _) in ids.iter().filter(|(item, _)| item.word().is_none()) {
                out.mismatch(item, path, "a number");
            }
            Some(ids.into_iter().filter_map(|(_, id)| id).collect())
        }
        _ if node.word().is_some() => read(node, path).map(|id| vec![id]),
        _ => {
            out.mismatch(node, path, "a number or a list of numbers");
            None
        }
    }
}

/// Permission bits: with a leading 0 or `0o` octal, else decimal as in OCI specs.
pub(super) fn file_mode(node: &Node, path: &str, out: &mut Diagnostics) -> Option<u32> {
    let Some(word) = node.word() else {
        out.mismatch(node, path, "permission bits");
        return None;
    };
    let octal = word.strip_prefix("0o").or_else(|| word.strip_prefix('0').filter(|rest| !rest.is_empty()));
    let mode = match octal {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => u32::from_str_radix(digits, 8).ok(),
        Some(_) => None,
        None => number(word).ok().and_then(|number| u32::try_from(number).ok()),
    };
    if mode.is_none() {
        out.push(bad_quantity(node, word, path).help("permission bits: `0660`, `0o660`, or 432"));
    }
    mode
}

pub(super) fn ratio(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Ratio> {
    let Some(word) = node.word() else {
        out.mismatch(node, path, "a number");
        return None;
    };
    let read = || {
        let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || word.ends_with('.') {
            return None;
        }
        let of = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Ratio { number: format!("{whole}{fraction}").parse().ok()?, of })
    };
    let ratio = read();
    if ratio.is_none() {
        out.push(bad_quantity(node, word, path).help("how many periods: `2`, `1.5`"));
    }
    ratio
}

pub(super) fn subset(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Ids> {
    match node.text() {
        Some("requested") => Some(Ids::Requested),
        Some("host") => Some(Ids::Host),
        _ => id_set(node, path, out).map(Ids::These),
    }
}

pub(super) fn id_set(node: &Node, path: &str, out: &mut Diagnostics) -> Option<IdSet> {
    let Some(word) = node.word() else {
        out.mismatch(node, path, "numbers and ranges, `0-3,7`");
        return None;
    };
    let set = word.parse().ok();
    if set.is_none() {
        out.push(bad_quantity(node, word, path).help("numbers and ranges: `\"0-3,7\"`"));
    }
    set
}

pub(super) fn device_patterns(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Vec<DevicePattern>> {
    let list = strings(node, path, "`c MAJOR:MINOR`", out)?;
    let read = |(node, word, path): (&Node, &str, String)| {
        let pattern = device_pattern(word);
        if pattern.is_none() {
            let message = format!("{} is not a device number", quoted(word));
            out.push(
                Diagnostic::new(Code::E031, node.span, path, message)
                    .label("not a device number")
                    .help("type, major and minor number: `c 195:*`, `b *:*`"),
            );
        }
        pattern
    };
    Some(list.into_iter().filter_map(read).collect())
}

pub(super) fn device_pattern(text: &str) -> Option<DevicePattern> {
    let (kind, number) = text.split_once(' ')?;
    let (major, minor) = number.split_once(':')?;
    let kind = match kind {
        "b" => Some('b'),
        "c" | "u" => Some('c'),
        "p" => Some('p'),
        "a" | "*" => None,
        _ => return None,
    };
    let number = |text: &str| match text {
        "*" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    Some(DevicePattern { kind, major: number(major)?, minor: number(minor)? })
}

pub(super) fn access(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Access> {
    let access = node.text().and_then(Access::read);
    if access.is_none() && !node.is_broken() {
        let message = "expected letters of `rwm`";
        out.push(Diagnostic::new(Code::E024, node.span, path, message).label("not letters of `rwm`"));
    }
    access
}

pub(super) fn options(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Check> {
    let Value::Map(entries) = &node.value else {
        out.mismatch(node, path, "a mapping with `require` or `forbid`");
        return None;
    };
    let (mut require, mut forbid) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = member(path, &entry.key);
        let list = match &*entry.key {
            "require" => &mut require,
            "forbid" => &mut forbid,
            _ => {
                out.unknown(entry, path, &["require", "forbid"]);
                continue;
            }
        };
        let Value::List(items) = &entry.value.value else {
            out.mismatch(&entry.value, &at, "a list of options");
            continue;
        };
        for item in items {
            match item.word() {
                Some(option) => list.push(option.to_owned()),
                None => out.mismatch(item, &at, "an option"),
            }
        }
    }
    Some(Check::Options { require, forbid })
}

pub(super) fn digest(node: &Node, path: &str, out: &mut Diagnostics) -> Option<[u8; 32]> {
    let digest = node.word().and_then(|word| Sha256::parse(word).map(|digest| digest.0));
    if digest.is_none() && !node.is_broken() {
        let message = "expected a SHA-256 in hexadecimal";
        out.push(
            Diagnostic::new(Code::E024, node.span, path, message)
                .label("not 64 hexadecimal digits")
                .help("as `sha256sum FILE` prints it, with or without `sha256:` in front"),
        );
    }
    digest
}

pub(super) fn names(node: &Node, path: &str, words: Words, out: &mut Diagnostics) -> Option<Vec<String>> {
    let list = strings(node, path, "a name or a list of names", out)?;
    let mut names = Vec::new();
    for (node, word, path) in list {
        let bare = words.bare(word);
        if words.known.is_empty() || words.known.contains(&bare) {
            names.push(bare.to_owned());
        } else {
            out.not_one_of(node, &path, words.known);
        }
    }
    Some(names)
}

pub(super) fn globs(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Vec<Glob>> {
    let Value::List(items) = &node.value else {
        out.mismatch(node, path, "a list of globs");
        return None;
    };
    let read = |(at, item): (usize, &Node)| text_glob(item, &format!("{path}[{at}]"), out);
    Some(items.iter().enumerate().filter_map(read).collect())
}

/// One text, or a list of texts, each with its place.
pub(super) fn strings<'n>(
    node: &'n Node,
    path: &str,
    expected: &str,
    out: &mut Diagnostics,
) -> Option<Vec<(&'n Node, &'n str, String)>> {
    if let Some(word) = node.word() {
        return Some(vec![(node, word, path.to_owned())]);
    }
    let Value::List(items) = &node.value else {
        out.mismatch(node, path, expected);
        return None;
    };
    let mut list = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        match item.word() {
            Some(word) => list.push((item, word, path)),
            None => out.mismatch(item, &path, "a name"),
        }
    }
    Some(list)
}

pub(crate) fn text_glob(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Glob> {
    match node.word() {
        Some(word) => Some(Glob::text(word)),
        None => {
            out.mismatch(node, path, "a glob");
            None
        }
    }
}

pub(crate) fn path_glob(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Glob> {
    let Some(word) = node.word() else {
        out.mismatch(node, path, "a glob for paths");
        return None;
    };
    let glob = Glob::path(word).ok();
    if glob.is_none() {
        out.push(
            Diagnostic::new(Code::E030, node.span, path, format!("{} is not a glob for paths", quoted(word)))
                .label("`**` is not a whole segment here")
                .help(
                    "`**` stands alone between slashes, for any number of segments; inside a segment use `*`",
                ),
        );
    }
    glob
}

/// One of some words.
pub(crate) fn word<T: Clone>(
    node: &Node,
    path: &str,
    words: &[(&'static str, T)],
    out: &mut Diagnostics,
) -> Option<T> {
    let found = node.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
    if found.is_none() && !node.is_broken() {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        out.not_one_of(node, path, &words);
    }
    found.map(|(_, value)| value.clone())
}

pub(super) fn truth(node: &Node, path: &str, out: &mut Diagnostics) -> Option<bool> {
    if node.bool().is_none() {
        out.mismatch(node, path, "`true` or `false`");
    }
    node.bool()
}

pub(super) fn text(node: &Node, path: &str, out: &mut Diagnostics) -> Option<String> {
    if node.word().is_none() {
        out.mismatch(node, path, "text");
    }
    node.word().map(str::to_owned)
}

pub(super) fn name(node: &Node, path: &str, out: &mut Diagnostics) -> Option<String> {
    let name = text(node, path, out)?;
    if name.is_empty() {
        out.push(Diagnostic::new(Code::E024, node.span, path, "a name is not empty").label("empty"));
        return None;
    }
    Some(name)
}
