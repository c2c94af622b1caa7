//! Sockets for plugins, as flags and files name them: `[NAME=]PATH[,mode=0600][,group=G]` (cli.md, "nri gateway").

use std::fs;

use nri_runtime::host::Socket;

use super::list::Entry;

/// Reads one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Socket, String> {
    let wrong = |why: String| format!("invalid socket {text:?}: {why}");
    let mut parts = text.split(',');
    let place = parts.next().unwrap_or_default();
    let (name, path) = match place.split_once('=') {
        Some((name, path)) if !name.contains('/') => (Some(name), path),
        _ => (None, place),
    };
    if path.is_empty() {
        return Err(wrong("the path is missing; [NAME=]PATH[,mode=0600][,group=G] is expected".into()));
    }
    if name.is_some_and(|name| name.is_empty() || !name.chars().all(is_name)) {
        return Err(wrong("its name may have letters, digits, '-', '_' and '.'".into()));
    }
    let path = std::path::absolute(path).map_err(|error| wrong(error.to_string()))?;
    let mut socket = Socket { name: name.map(str::to_owned), ..path.into() };
    for option in parts {
        match option.split_once('=') {
            Some(("mode", text)) => socket.mode = mode(text).map_err(wrong)?,
            Some(("group", text)) => socket.group = Some(group(text).map_err(wrong)?),
            _ => return Err(wrong(format!("unknown option {option:?}; mode=0600 or group=G is expected"))),
        }
    }
    Ok(socket)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ 0..=0o777) => Ok(mode),
        Ok(_) => Err(format!("mode {text:?} has more than the nine permission bits")),
        Err(_) => Err(format!("mode {text:?} is no octal number such as 0660")),
    }
}

/// A number, or a name of this machine's own groups: those of a directory service may not be there when a node boots.
fn group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let file = "/etc/group";
    let groups = fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    number(&groups, text).ok_or_else(|| format!("no group {text:?} in {file}; create it, or give its number"))
}

/// What a text of the form `name:password:number:members` says (group(5)).
fn number(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

impl Entry for Socket {
    const WHAT: &'static str = "a socket";

    fn read(text: &str) -> Result<Self, String> {
        parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_what_is_wrong_with_them() {
        for (text, name, path, mode, group) in [
            ("/run/nri.sock", None, "/run/nri.sock", 0o600, None),
            ("gpu=/run/a=b", Some("gpu"), "/run/a=b", 0o600, None),
            ("/run/a=b", None, "/run/a=b", 0o600, None),
            ("/s,mode=0660,group=12", None, "/s", 0o660, Some(12)),
            ("a.b-c_1=/s,group=root", Some("a.b-c_1"), "/s", 0o600, Some(0)),
        ] {
            let expect = Socket { name: name.map(str::to_owned), path: path.into(), mode, group };
            assert_eq!(parse(text).unwrap(), expect, "{text}");
        }
        assert!(parse("nri.sock").unwrap().path.is_absolute());
        for (text, expect) in [
            ("", "the path is missing"),
            ("gpu=", "the path is missing"),
            ("=/s", "its name may have letters"),
            ("a b=/s", "its name may have letters"),
            ("/s,mode=rw", "mode \"rw\" is no octal number such as 0660"),
            ("/s,mode=4755", "mode \"4755\" has more than the nine permission bits"),
            (
                "/s,group=no-such-group",
                "no group \"no-such-group\" in /etc/group; create it, or give its number",
            ),
            ("/s,owner=a", "unknown option \"owner=a\"; mode=0600 or group=G is expected"),
            ("/s,", "unknown option \"\""),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(&format!("invalid socket {text:?}: {expect}")), "{message}");
        }
    }

    #[test]
    fn the_file_of_groups() {
        let groups = "root:x:0:\nbroken\nempty:::\nplugins:x:987:a,b\n";
        for (name, expect) in
            [("plugins", Some(987)), ("root", Some(0)), ("broken", None), ("empty", None), ("x", None)]
        {
            assert_eq!(number(groups, name), expect, "{name}");
        }
    }
}
