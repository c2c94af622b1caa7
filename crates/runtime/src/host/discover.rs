//! Plugins to launch: the files of a directory, and their configuration (`spec/adaptation.md` 3, quirk G1).

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nri_wire::name::{NameError, PluginName};

use super::config::Program;
use crate::limits::CONFIG_TEXT_MAX;

/// What a plugin directory holds.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The plugins, in the order of their file names.
    pub programs: Vec<Program>,
    /// Files that look like plugins but are none; each is worth one warning.
    pub skipped: Vec<Skipped>,
}

/// A file that is not launched, and why.
#[derive(Debug)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why a file is not launched.
#[derive(Debug)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name is not `NN-name`.
    Name(NameError),
    /// Its name is not UTF-8.
    NotUtf8,
    /// It has no execute bit.
    NotExecutable,
    /// A directory.
    Directory,
    /// Something that is no file, or a link to nothing.
    NotAFile,
    /// It cannot be looked at.
    Unreadable(io::Error),
    /// Its configuration cannot be read.
    Config(PathBuf, io::Error),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: not launched: {}", self.path.display(), self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "{error}"),
            Self::NotUtf8 => f.write_str("its name is not UTF-8"),
            Self::NotExecutable => f.write_str("it is not executable (chmod +x)"),
            Self::Directory => f.write_str("it is a directory"),
            Self::NotAFile => f.write_str("it is no regular file, nor a link to one"),
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::Config(path, error) => {
                write!(f, "its configuration {} cannot be read: {error}", path.display())
            }
        }
    }
}

/// Looks through a plugin directory. One that is not there holds no plugin.
///
/// # Errors
/// The directory cannot be read.
pub fn discover(dir: &Path, config_dir: Option<&Path>) -> io::Result<Discovered> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Discovered::default()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    let mut found = Discovered::default();
    for path in paths {
        match look_at(&path, config_dir) {
            Ok(Some(program)) => found.programs.push(program),
            Ok(None) => {}
            Err(reason) => found.skipped.push(Skipped { path, reason }),
        }
    }
    Ok(found)
}

/// One entry of the directory. None: a hidden directory, such as volumes of Kubernetes have.
fn look_at(path: &Path, config_dir: Option<&Path>) -> Result<Option<Program>, SkipReason> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SkipReason::NotAFile),
        Err(error) => return Err(SkipReason::Unreadable(error)),
    };
    if metadata.is_dir() {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        return if hidden { Ok(None) } else { Err(SkipReason::Directory) };
    }
    if !metadata.is_file() {
        return Err(SkipReason::NotAFile);
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(SkipReason::NotExecutable);
    }
    let file = path.file_name().and_then(|name| name.to_str()).ok_or(SkipReason::NotUtf8)?;
    let name: PluginName = file.parse().map_err(SkipReason::Name)?;
    let config = match config_dir {
        Some(dir) => configuration(dir, &name)?,
        None => String::new(),
    };
    Ok(Some(Program { name, path: path.to_owned(), args: Vec::new(), config }))
}

/// The text of `NN-name.conf`, else of `name.conf`, else nothing.
fn configuration(dir: &Path, name: &PluginName) -> Result<String, SkipReason> {
    for file in [format!("{}.conf", name.full()), format!("{}.conf", name.base())] {
        let path = dir.join(file);
        match read_text(&path) {
            Ok(text) => return Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SkipReason::Config(path, error)),
        }
    }
    Ok(String::new())
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(CONFIG_TEXT_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_TEXT_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {CONFIG_TEXT_MAX} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G1, EXT-037: each file that is no plugin is skipped by name, the others are found in order.
    #[test]
    fn a_directory_of_good_and_bad_files() {
        let root = tempfile::tempdir().unwrap();
        let (dir, conf) = (root.path().join("plugins"), root.path().join("conf"));
        fs::create_dir_all(dir.join("30-directory")).unwrap();
        fs::create_dir_all(dir.join("..data")).unwrap();
        fs::create_dir_all(conf.join("11-broken.conf")).unwrap();
        for (name, mode) in
            [("20-b", 0o755), ("10-a", 0o700), ("README", 0o755), ("11-broken", 0o755), ("40-plain", 0o644)]
        {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", dir.join("50-dangling")).unwrap();
        std::os::unix::fs::symlink("10-a", dir.join("60-link")).unwrap();
        fs::write(conf.join("a.conf"), "general").unwrap();
        fs::write(conf.join("10-a.conf"), "special").unwrap();
        fs::write(conf.join("b.conf"), "general").unwrap();

        let found = discover(&dir, Some(&conf)).unwrap();
        let programs: Vec<_> = found.programs.iter().map(|p| (p.name.full(), p.config.as_str())).collect();
        assert_eq!(programs, [("10-a", "special"), ("20-b", "general"), ("60-link", "")]);
        let skipped: Vec<_> = found.skipped.iter().map(ToString::to_string).collect();
        for (line, parts) in skipped.iter().zip([
            ["11-broken", "11-broken.conf cannot be read"],
            ["30-directory", "it is a directory"],
            ["40-plain", "not executable"],
            ["50-dangling", "nor a link to one"],
            ["README", "idx-pluginname expected"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        assert_eq!(skipped.len(), 5);
    }

    #[test]
    fn no_directory_is_no_plugin() {
        let root = tempfile::tempdir().unwrap();
        assert!(discover(&root.path().join("none"), None).unwrap().programs.is_empty());
        fs::write(root.path().join("file"), "").unwrap();
        assert!(discover(&root.path().join("file"), None).is_err());
    }
}
