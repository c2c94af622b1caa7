//! Annotations of a pod that speak of a container (`spec/api.md` 13), and the values they carry.

use std::collections::BTreeMap;

/// The pod annotation that names required plugins (`spec/api.md` 13).
pub const REQUIRED_PLUGINS: &str = "required-plugins.noderesource.dev";

/// The annotation `key` as it holds for one container: `KEY/container.NAME`, else `KEY/pod`, else `KEY`. Only pod
/// annotations are searched.
///
/// ```
/// use nri_policy::annotation::effective;
/// let pod = [("k".to_owned(), "all".to_owned()), ("k/container.c".to_owned(), "c".to_owned())].into();
/// assert_eq!((effective(&pod, "k", "c"), effective(&pod, "k", "d")), (Some("c"), Some("all")));
/// ```
#[must_use]
pub fn effective<'a>(pod: &'a BTreeMap<String, String>, key: &str, container: &str) -> Option<&'a str> {
    pod.get(&format!("{key}/container.{container}"))
        .map(String::as_str)
        .or_else(|| effective_for_pod(pod, key))
}

/// The annotation `key` as it holds for the pod itself: `KEY/pod`, else `KEY`.
#[must_use]
pub fn effective_for_pod<'a>(pod: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    pod.get(&format!("{key}/pod")).or_else(|| pod.get(key)).map(String::as_str)
}

/// A truth value as the reference accepts it.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A YAML list of plain texts: in flow form (`[ a, "b" ]`), in block form (lines of `- a`), or nothing, which is the empty
/// list. Anything else of YAML has no use in a list of plugin names and is an error, so that no YAML parser is needed here.
/// Comments end a line as in YAML.
///
/// # Errors
/// What is wrong with it, as a fragment of a sentence.
pub fn list(text: &str) -> Result<Vec<String>, &'static str> {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| uncommented(line).trim())
        .filter(|line| !line.is_empty() && *line != "---")
        .collect();
    let Some(first) = lines.first() else { return Ok(Vec::new()) };
    if matches!(*first, "null" | "~") && lines.len() == 1 {
        return Ok(Vec::new());
    }
    if first.starts_with('[') {
        let joined = lines.join(" ");
        let inner = joined
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or("the list has no closing bracket, or something after it")?
            .trim();
        let inner = inner.strip_suffix(',').unwrap_or(inner);
        if inner.trim().is_empty() {
            return Ok(Vec::new());
        }
        return inner.split(',').map(scalar).collect();
    }
    lines
        .iter()
        .map(|line| match line.strip_prefix('-') {
            Some(rest) if rest.starts_with([' ', '\t']) => scalar(rest),
            _ => Err("not a list"),
        })
        .collect()
}

fn uncommented(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split_once(" #").map_or(line, |(before, _)| before)
}

fn scalar(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let inner = rest.strip_suffix(quote).ok_or("a quoted name does not end")?;
            if inner.contains(['"', '\'', '\\']) {
                return Err("quotes and escapes are not understood in names");
            }
            return Ok(inner.to_owned());
        }
    }
    if text.is_empty() {
        return Err("an element is empty");
    }
    // Characters that would begin something else than a plain text, or that no plugin's name has.
    if text.contains(['[', ']', '{', '}', '&', '*', '!', '|', '>', '%', '@', '`', '"', '\'', ':', '#', '?']) {
        return Err("an element is not a plain name");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let ok = |names: &[&str]| Ok(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        for (text, expect) in [
            ("", ok(&[])),
            ("[]", ok(&[])),
            ("~", ok(&[])),
            ("[ plugin ]", ok(&["plugin"])),
            ("[a, 'b', \"10-c\",]", ok(&["a", "b", "10-c"])),
            ("[a,\n b]", ok(&["a", "b"])),
            ("- a\n- b # why\n", ok(&["a", "b"])),
            ("---\n# which\n- 10-a.b_c+d\n", ok(&["10-a.b_c+d"])),
            ("a", Err("not a list")),
            ("{a: b}", Err("not a list")),
            ("[a", Err("the list has no closing bracket, or something after it")),
            ("[a] b", Err("the list has no closing bracket, or something after it")),
            ("[a,,b]", Err("an element is empty")),
            ("[[a]]", Err("an element is not a plain name")),
            ("- a: b", Err("an element is not a plain name")),
            ("- \"a", Err("a quoted name does not end")),
            ("-a", Err("not a list")),
        ] {
            assert_eq!(list(text), expect, "{text:?}");
        }
    }
}
