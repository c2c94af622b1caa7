//! `--plugin PATH[=CONFIG]`: a file, or the name of a bundled plugin, which is this program under another name.

use std::path::Path;

use nri_runtime::host::Program;
use nri_wire::name::PluginName;
use rustix::fs::{Access, access};

use crate::failure::Failure;
use crate::plugins;

/// The programs that these arguments name, in their order. One without an index gets the next of 00, 01, …
///
/// # Errors
/// The first argument that names nothing that can be launched.
pub(crate) fn named(arguments: &[String]) -> Result<Vec<Program>, Failure> {
    let mut programs: Vec<Program> = Vec::with_capacity(arguments.len());
    let mut next = 0;
    for argument in arguments {
        let program = one(argument, &mut next)?;
        if programs.iter().any(|other| other.name == program.name) {
            return Err(Failure::usage(format!(
                "two plugins are named {}; give one of the files another name or index",
                program.name
            )));
        }
        programs.push(program);
    }
    Ok(programs)
}

fn one(argument: &str, next: &mut u32) -> Result<Program, Failure> {
    let (what, config) = match argument.split_once('=') {
        Some((what, config)) => (what, Some(config)),
        None => (argument, None),
    };
    let config = match config {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("cannot read {file}, the configuration of plugin {what}: {error}"))
        })?,
        None => String::new(),
    };
    let file_name = Path::new(what).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name(file_name, next)
        .map_err(|error| Failure::usage(format!("cannot use plugin {what}: {error}")))?;
    if let Some(own) = bundled(what, &name) {
        let path = std::env::current_exe().map_err(|error| {
            Failure::unavailable(format!("cannot find the file of this program: {error}"))
        })?;
        let args = ["nri", "plugin", own].map(str::to_owned).to_vec();
        return Ok(Program { name, path, args, config });
    }
    let path = std::path::absolute(what)
        .map_err(|error| Failure::usage(format!("cannot use plugin {what}: {error}")))?;
    check(&path, what)?;
    Ok(Program { name, path, args: Vec::new(), config })
}

/// A path is never taken for a bundled plugin, a bundled name never for a file of the current directory.
fn bundled<'a>(what: &str, name: &'a PluginName) -> Option<&'a str> {
    (!what.contains('/') && plugins::bundled(name.base()).is_some()).then(|| name.base())
}

fn check(path: &Path, what: &str) -> Result<(), Failure> {
    let fail = |why: &str| Err(Failure::usage(format!("cannot launch plugin {what}: {why}")));
    match std::fs::metadata(path) {
        Ok(data) if !data.is_file() => fail("it is not a file"),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => fail("it is not executable; chmod +x it"),
        Ok(_) => Ok(()),
        Err(error) if what.contains('/') => fail(&error.to_string()),
        Err(_) => fail("there is no such file, and no bundled plugin of this name; see `nri plugin list`"),
    }
}

/// The name of a file, with the next index in front where it has none.
fn name(file: &str, next: &mut u32) -> Result<PluginName, nri_wire::name::NameError> {
    if let Ok(name) = file.parse() {
        return Ok(name);
    }
    let name = PluginName::new(&format!("{:02}", *next % 100), file)?;
    *next += 1;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for (name, mode) in [("tool", 0o755), ("30-other", 0o755), ("text", 0o644)] {
            std::fs::write(path(name), "configuration").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path(name), mode).unwrap();
        }
        let programs = named(&[
            path("tool"),
            format!("{}={}", path("30-other"), path("text")),
            "logger".to_owned(),
            "60-seccomp".to_owned(),
        ])
        .unwrap();
        let names: Vec<&str> = programs.iter().map(|program| program.name.full()).collect();
        assert_eq!(names, ["00-tool", "30-other", "01-logger", "60-seccomp"]);
        assert_eq!(programs[1].config, "configuration");
        assert_eq!(programs[3].args, ["nri", "plugin", "seccomp"]);

        let check = |arguments: &[String], expect: &str| {
            let message = named(arguments).unwrap_err().to_string();
            assert!(message.contains(expect), "{message}");
        };
        check(&[path("text")], "text: it is not executable; chmod +x it");
        check(&[path("nope")], "nope: No such file or directory");
        check(&["nope".to_owned()], "no bundled plugin of this name; see `nri plugin list`");
        check(&[path("")], "it is not a file");
        check(&["/".to_owned()], "cannot use plugin /: invalid plugin name: name is empty");
        check(&[path("tool") + "=/nope"], "cannot read /nope, the configuration of plugin");
        check(&["60-logger".to_owned(), "60-logger".to_owned()], "two plugins are named 60-logger");
    }
}
