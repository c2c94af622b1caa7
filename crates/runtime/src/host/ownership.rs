//! Whose a file is: what others than root and we ourselves may change proves nothing (`policy.md` 2, "Launched plugins").

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Whether nobody but root and this user can change it. In a directory with the sticky bit everybody may add what is
/// theirs, and nobody replaces what is another's.
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    let owned = metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw();
    let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    owned && (metadata.mode() & 0o022 == 0 || sticky)
}

/// The first of a file's directories, from the root on, that others may change.
///
/// # Errors
/// One cannot be looked at.
pub(super) fn foreign_directory(file: &Path) -> io::Result<Option<PathBuf>> {
    let mut directories: Vec<_> = file.ancestors().skip(1).collect();
    directories.reverse();
    for directory in directories {
        if !is_ours(&std::fs::metadata(directory)?) {
            return Ok(Some(directory.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn who_may_change_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("d"), folder.path().join("d/plugin"));
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(&file, "").unwrap();
        for (mode_of_directory, mode, directory, ours) in [
            (0o755, 0o755, None, true),
            (0o755, 0o700, None, true),
            (0o755, 0o775, None, false),
            (0o755, 0o4757, None, false),
            (0o1777, 0o755, None, true),
            (0o777, 0o755, Some(&inner), true),
            (0o775, 0o755, Some(&inner), true),
        ] {
            std::fs::set_permissions(&inner, Permissions::from_mode(mode_of_directory)).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(foreign_directory(&file).unwrap().as_ref(), directory, "{mode_of_directory:o}");
            assert_eq!(is_ours(&std::fs::metadata(&file).unwrap()), ours, "{mode:o}");
        }
    }
}
