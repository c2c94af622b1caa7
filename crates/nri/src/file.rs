//! Writing a file so that nobody ever sees half of it (cli.md, "Bad input").

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file's content: a temporary file beside it, fsync, rename. An existing file's mode is kept.
///
/// # Errors
/// Any step fails; the old content stands then.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    // Through a link the file that it names is replaced, not the link.
    let file = &fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().ok_or_else(|| io::Error::other("a file name is expected"))?;
    let mut own = name.to_owned();
    own.push(format!(".{}.tmp", std::process::id()));
    let temporary = dir.join(own);
    let result = write(&temporary, file, content).and_then(|()| fs::rename(&temporary, file));
    if result.is_err() {
        drop(fs::remove_file(&temporary));
    }
    result?;
    File::open(dir)?.sync_all()
}

fn write(temporary: &Path, file: &Path, content: &[u8]) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    if let Ok(data) = fs::metadata(file) {
        out.set_permissions(data.permissions())?;
    }
    out.write_all(content)?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spec.json");
        replace(&file, b"one").unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(replace(&dir.path().join("missing/spec"), b"").is_err());
        assert!(replace(Path::new("/"), b"").is_err());
    }
}
