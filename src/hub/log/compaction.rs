//! A copy of what is held of a file, made on a thread of its own while the file grows.
//!
//! It copies bytes; its user decides when. The invariant: the copy takes the file's name only once it has everything
//! on disk and is locked.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::file::{self, Locked};
use super::{HEADER, HEADER_LENGTH};

/// Bytes copied at once: between two pieces the thread checks if it has to stop.
const PIECE: usize = 256 * 1024;

/// Path of a file's copy.
pub(super) fn path_of_copy(path: &Path) -> PathBuf {
    file::beside(path, ".new")
}

/// A copy under way.
pub(super) struct Compaction {
    /// Ends with the copy, or with nothing if it was told to stop.
    thread: JoinHandle<io::Result<Option<Locked>>>,
    stop: Arc<AtomicBool>,
    /// Bytes of the file that the thread copies.
    range: Range<u64>,
}

impl Compaction {
    /// Begins to copy a range of a file's bytes, behind a header. Only bytes behind the range may change meanwhile.
    pub(super) fn begin(file: &File, path: &Path, range: Range<u64>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let source = file.try_clone()?;
        let (path, bytes, is_stopped) = (path_of_copy(path), range.clone(), Arc::clone(&stop));
        let copy = move || copy_of(&source, &path, bytes, &is_stopped);
        let thread = thread::Builder::new().name("compaction".to_owned()).spawn(copy)?;
        Ok(Self { thread, stop, range })
    }

    /// Says if the thread has ended.
    pub(super) fn is_copied(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells the thread to end soon.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The position in the file of the first byte that is copied.
    pub(super) fn start(&self) -> u64 {
        self.range.start
    }

    /// Waits for the thread, adds the bytes that the file got meanwhile, up to `end`, and renames the copy to the file.
    /// `None` if it was stopped before the copy was done. After an error the file keeps its name.
    pub(super) fn end(self, file: &File, end: u64, path: &Path) -> io::Result<Option<Locked>> {
        let joined = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that copies panicked")));
        let Some(copy) = joined? else { return Ok(None) };
        let offset = HEADER_LENGTH + (self.range.end - self.range.start);
        let never = AtomicBool::new(false);
        copy_range(file, self.range.end..end, &copy, offset, &never)?;
        copy.sync_all()?;
        fs::rename(path_of_copy(path), path)?;
        Ok(Some(copy))
    }
}

fn copy_of(source: &File, path: &Path, range: Range<u64>, stop: &AtomicBool) -> io::Result<Option<Locked>> {
    // An earlier attempt may have left one.
    let _ = fs::remove_file(path);
    let copy = file::create(path)?;
    copy.set_permissions(source.metadata()?.permissions())?;
    copy.write_all_at(&HEADER, 0)?;
    if !copy_range(source, range, &copy, HEADER_LENGTH, stop)? {
        return Ok(None);
    }
    // Most bytes reach the disk here, so that the journal waits only for the last few.
    copy.sync_data()?;
    Ok(Some(copy))
}

/// Copies a range of bytes to an offset. Returns false if it was stopped before the end.
fn copy_range(from: &File, mut range: Range<u64>, to: &File, mut offset: u64, stop: &AtomicBool) -> io::Result<bool> {
    let mut buffer = vec![0; PIECE];
    while !range.is_empty() {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let length = PIECE.min(usize::try_from(range.end - range.start).unwrap_or(PIECE));
        let piece = &mut buffer[..length];
        from.read_exact_at(piece, range.start)?;
        to.write_all_at(piece, offset)?;
        range.start += length as u64;
        offset += length as u64;
    }
    Ok(true)
}
