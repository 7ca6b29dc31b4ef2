//! Files of a journal: made for their owner alone, locked, found by name after a crash.
//!
//! Their content is for the other files here. The invariant: an open file is locked, and has the name by which it was
//! opened.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::sys;

/// Mode of a new file: only its owner reads and writes it.
const OWNER_ONLY: u32 = 0o600;

/// A file that no other server has open.
pub(super) type Locked = sys::Locked<File>;

fn locked(file: File) -> io::Result<Locked> {
    Locked::new(file).map_err(|(_, error)| match error {
        Errno::WOULDBLOCK => {
            let line = "another server has the history file open; each server needs one of its own";
            io::Error::new(io::ErrorKind::ResourceBusy, line)
        }
        error => io::Error::from(error),
    })
}

/// Opens and locks a file, or makes it. Returns its path without symbolic links too.
pub(super) fn open(path: &Path) -> io::Result<(Locked, PathBuf)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY);
    loop {
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the history file has to be a regular file"));
        }
        let file = locked(file)?;
        // A server that compacts its file replaces it, and this lock may be on the file that it replaced.
        if is_named(&file, path)? {
            return Ok((file, fs::canonicalize(path)?));
        }
    }
}

/// Makes a file that was not there, locked.
pub(super) fn create(path: &Path) -> io::Result<Locked> {
    locked(OpenOptions::new().read(true).write(true).create_new(true).mode(OWNER_ONLY).open(path)?)
}

/// Opens a file to add to it, or makes it.
pub(super) fn open_to_add(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)
}

/// The path of a file beside another, with more at the end of its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    PathBuf::from(beside)
}

/// Makes a file's new name, or its removal, survive a power failure.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    #[test]
    fn a_file_is_named_until_another_takes_its_name() {
        let folder = Folder::new();
        let (old, path) = open(&folder.file()).expect("a new file");
        assert!(is_named(&old, &path).expect("it is there"));
        fs::rename(&path, folder.path().join("moved")).expect("it moves");
        assert!(!is_named(&old, &path).expect("no error"), "nothing has the name");
        let (new, _) = open(&path).expect("a new file, which is not the locked one");
        assert!(!is_named(&old, &path).expect("no error") && is_named(&new, &path).expect("no error"));
    }

    #[test]
    fn a_copy_of_the_descriptor_in_a_child_does_not_keep_the_lock() {
        let folder = Folder::new();
        let (file, path) = open(&folder.file()).expect("a new file");
        let in_a_child = file.try_clone().expect("a copy");
        assert_eq!(open(&path).expect_err("it is locked").kind(), io::ErrorKind::ResourceBusy);
        drop(file);
        open(&path).expect("nobody has it open any more");
        drop(in_a_child);
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        for path in ["/dev/null", "/"] {
            open(Path::new(path)).expect_err("no regular file");
        }
    }
}
