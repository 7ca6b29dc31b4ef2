//! The folder of a log: locked by its server, and reached by its descriptor and not by its path.
//!
//! It makes, opens, names and removes files, and knows nothing of their content. No link in the folder is followed. The
//! invariants: a folder is locked while this exists, and a file gets its name only where nothing else has it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{self, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::sys::Locked;

/// Name of the file whose lock stands for the folder's. It also has the last note of progress.
const LOCK: &str = "lock";

/// Most bytes of a note that are read.
const MOST_NOTE: usize = 1024;

/// Only the owner of the server reads and writes its files.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A locked folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    folder: File,
    lock: Locked<File>,
}

/// Identity of a file, which no other file has while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|data| Self { device: data.dev(), inode: data.ino() })
    }
}

impl From<&Stat> for Identity {
    #[expect(clippy::useless_conversion, reason = "the types of these fields differ between systems")]
    fn from(stat: &Stat) -> Self {
        Self { device: u64::from(stat.st_dev), inode: u64::from(stat.st_ino) }
    }
}

impl Folder {
    /// Opens and locks a folder; makes it if its parent exists.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another server has it, and those of the system.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A program may change its working directory later.
        let path = path::absolute(path)?;
        make(&path)?;
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = File::from(rustix::fs::open(&path, folder, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR => io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is a file; name a folder, which is created if it is missing",
            ),
            error => error.into(),
        })?);
        let lock = lock(&folder)?;
        Ok(Self { path, folder, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of the segments, the lowest first, and the number of the next one. Files without their name yet are
    /// removed: a crash left them.
    pub(super) fn segments(&self) -> io::Result<(Vec<u64>, u64)> {
        let (mut segments, mut highest) = (Vec::new(), 0);
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let Some((number, extension)) = entry.file_name().to_str().ok().and_then(parse_name) else { continue };
            highest = highest.max(number);
            match extension {
                UNFINISHED => self.remove(number, UNFINISHED)?,
                // A link, a folder or a pipe is none of this server's.
                _ if FileType::from_raw_mode(self.stat(&name(number, FINISHED))?.st_mode) == FileType::RegularFile => {
                    segments.push(number);
                }
                _ => log::warn!("{}/{} is no file and is ignored", self.path.display(), name(number, FINISHED)),
            }
        }
        segments.sort_unstable();
        Ok((segments, highest + 1))
    }

    /// Opens a segment to read it.
    pub(super) fn open_segment(&self, number: u64) -> io::Result<File> {
        self.open_file(&name(number, FINISHED), OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// Creates the file of a segment, to which bytes are appended. It has another name until [`Self::finish`].
    pub(super) fn create(&self, number: u64) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        self.open_file(&name(number, UNFINISHED), flags)
    }

    /// Gives a new segment its name.
    pub(super) fn finish(&self, number: u64) -> io::Result<()> {
        let to = name(number, FINISHED);
        match self.stat(&to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{to} is there already"))),
            Err(error) => return Err(error),
        }
        Ok(rustix::fs::renameat(&self.folder, name(number, UNFINISHED), &self.folder, to)?)
    }

    /// Removes a new segment that did not get its name.
    pub(super) fn discard(&self, number: u64) {
        // If this fails too, the next server removes it.
        let _ = self.remove(number, UNFINISHED);
    }

    /// Removes a segment if it is this file.
    pub(super) fn remove_segment(&self, number: u64, identity: Identity) -> io::Result<()> {
        if self.length_of(number, identity)?.is_some() { self.remove(number, FINISHED) } else { Ok(()) }
    }

    fn remove(&self, number: u64, extension: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name(number, extension), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Length of a segment if its name leads to this file.
    pub(super) fn length_of(&self, number: u64, identity: Identity) -> io::Result<Option<u64>> {
        match self.stat(&name(number, FINISHED)) {
            Ok(stat) if Identity::from(&stat) == identity => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says if the folder's path still leads to it, and its lock is where another server looks for it.
    pub(super) fn is_in_place(&self) -> io::Result<bool> {
        let there = match rustix::fs::stat(&self.path) {
            Ok(stat) => Identity::from(&stat) == Identity::of(&self.folder)?,
            Err(Errno::NOENT | Errno::NOTDIR) => false,
            Err(error) => return Err(error.into()),
        };
        let is_locked = match self.stat(LOCK) {
            Ok(stat) => Identity::from(&stat) == Identity::of(&self.lock)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(there && is_locked)
    }

    /// Says if both are the same folder, however it was reached.
    pub(super) fn is_same(&self, other: &Self) -> io::Result<bool> {
        Ok(Identity::of(&self.folder)? == Identity::of(&other.folder)?)
    }

    /// Makes new names of files survive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }

    /// Another handle on the folder, to sync it from another thread.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.folder.try_clone()
    }

    /// Replaces the note of progress. All notes have the same length.
    pub(super) fn write_note(&self, note: &[u8]) -> io::Result<()> {
        self.lock.write_all_at(note, 0)
    }

    /// Makes the note survive a power failure.
    pub(super) fn sync_note(&self) -> io::Result<()> {
        self.lock.sync_data()
    }

    /// The last note of progress; empty if there is none.
    pub(super) fn read_note(&self) -> io::Result<Vec<u8>> {
        let mut note = vec![0; MOST_NOTE];
        let length = self.lock.read_at(&mut note, 0)?;
        note.truncate(length);
        Ok(note)
    }

    fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        open_in(&self.folder, name, flags).map(File::from)
    }
}

/// Makes a folder if it is missing, and its name survive a power failure.
fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::new(error.kind(), "its parent does not exist; create that, or choose another path"));
        }
        Err(error) => return Err(error),
    }
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn lock(folder: &File) -> io::Result<Locked<File>> {
    let file = File::from(open_in(folder, LOCK, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK)?);
    let data = file.metadata()?;
    // The note is written over what is there, which may not be a file that has another name as well.
    if !data.is_file() || data.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its lock is no file of its own; remove that"));
    }
    Locked::new(file).map_err(|(_, error)| match error {
        Errno::WOULDBLOCK => {
            let line = "another server has the history folder open; each server needs one of its own";
            io::Error::new(io::ErrorKind::ResourceBusy, line)
        }
        error => error.into(),
    })
}

fn open_in(folder: &File, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, FILE_MODE)?)
}

/// Extensions of segments, and of segments that are being made.
const FINISHED: &str = "log";
const UNFINISHED: &str = "new";

/// Digits of a number in a name, so that names sort as numbers do.
const DIGITS: usize = 12;
const MOST_NUMBER: u64 = 10_u64.pow(DIGITS as u32);

fn name(number: u64, extension: &str) -> String {
    format!("{number:0DIGITS$}.{extension}")
}

fn parse_name(text: &str) -> Option<(u64, &'static str)> {
    let (number, extension) = text.split_once('.')?;
    let extension = [FINISHED, UNFINISHED].into_iter().find(|known| *known == extension)?;
    let number = number.parse().ok().filter(|number| (1..MOST_NUMBER).contains(number))?;
    (name(number, extension) == text).then_some((number, extension))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::tests::Temporary;
    use super::*;

    #[test]
    fn a_folder_is_made_for_its_owner_alone_and_locked() {
        let parent = Temporary::new();
        let path = parent.path().join("log");
        let folder = Folder::open(&path).expect("it is made");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
        let busy = Folder::open(&path).expect_err("it is locked");
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        let in_a_child = folder.lock.try_clone().expect("a copy of the descriptor");
        drop(folder);
        Folder::open(&path).expect("nobody has it open, although a child has a copy");
        drop(in_a_child);
        let missing = Folder::open(&path.join("a/b")).expect_err("no parent");
        assert_eq!(missing.to_string(), "its parent does not exist; create that, or choose another path");
        let file = Folder::open(&path.join("lock")).expect_err("a file");
        assert!(file.to_string().starts_with("it is a file; name a folder"), "{file}");
    }

    #[test]
    fn no_link_is_followed() {
        let parent = Temporary::new();
        let (path, target) = (parent.path().join("log"), parent.path().join("target"));
        fs::create_dir(&path).expect("a folder");
        fs::write(&target, "a letter").expect("a file");
        symlink(&target, path.join("lock")).expect("a link");
        Folder::open(&path).expect_err("a lock that is a link");
        fs::remove_file(path.join("lock")).expect("it is there");
        fs::hard_link(&target, path.join("lock")).expect("a second name");
        Folder::open(&path).expect_err("a lock that is another file as well");
        fs::remove_file(path.join("lock")).expect("it is there");

        let folder = Folder::open(&path).expect("a lock of its own");
        symlink(&target, path.join("000000000003.log")).expect("a link");
        symlink(&target, path.join("000000000004.new")).expect("a link");
        fs::write(path.join("000000000002.log"), "").expect("a file");
        fs::write(path.join("2.log"), "").expect("a file of another name");
        assert_eq!(folder.segments().expect("a list"), (vec![2], 5));
        assert!(!path.join("000000000004.new").exists(), "a crash may have left it");
        folder.open_segment(3).expect_err("a link");
        symlink(&target, path.join("000000000005.new")).expect("a link");
        folder.create(5).expect_err("something has the name");
        folder.create(3).expect("it has another name at first");
        assert_eq!(folder.finish(3).expect_err("it is taken").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(target).expect("it is there"), "a letter");
    }

    #[test]
    fn only_its_own_files_are_removed() {
        let parent = Temporary::new();
        let path = parent.path().join("log");
        let folder = Folder::open(&path).expect("it is made");
        let identity = Identity::of(&folder.create(1).expect("it is made")).expect("it has one");
        folder.finish(1).expect("it is free");
        assert_eq!(folder.length_of(1, identity).expect("no error"), Some(0));
        let file = path.join("000000000001.log");
        fs::rename(&file, path.join("mine")).expect("it moves");
        assert_eq!(folder.length_of(1, identity).expect("no error"), None);
        fs::write(&file, "another's").expect("a file");
        folder.remove_segment(1, identity).expect("nothing to do");
        assert!(file.exists());
        fs::rename(path.join("mine"), &file).expect("it moves back");
        folder.remove_segment(1, identity).expect("it is removed");
        assert!(!file.exists());
    }

    #[test]
    fn a_folder_that_moves_is_noticed() {
        let parent = Temporary::new();
        let path = parent.path().join("log");
        let folder = Folder::open(&path).expect("it is made");
        assert!(folder.is_in_place().expect("no error"));
        fs::remove_file(path.join("lock")).expect("it is there");
        assert!(!folder.is_in_place().expect("no error"), "another server could lock it");
        let folder = Folder::open(&path).expect("another lock");
        fs::rename(&path, parent.path().join("moved")).expect("it moves");
        assert!(!folder.is_in_place().expect("no error"));
        let other = Folder::open(&path).expect("a new one in its place");
        assert!(!folder.is_in_place().expect("no error") && other.is_in_place().expect("no error"));
        assert!(!folder.is_same(&other).expect("no error"));
    }
}
