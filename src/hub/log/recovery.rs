//! Recovery of a file that is opened: whole records, and perhaps other bytes behind them.
//!
//! One record at a time is in memory. The invariant: a file of another program is not touched, and bytes that are cut
//! off are one torn record or are kept aside.
//!
//! The bytes behind the last whole record are one torn record if they are
//!
//! - shorter than a record's head, or
//! - a sound head, with its own checksum, whose record reaches to the end of the file or beyond, or
//! - all zeros, which some file systems leave in place of a write that did not finish.
//!
//! Everything else is damage. A write that a crash or a full disk cuts short leaves a torn record. A power failure may
//! take a part from the middle of a group of records, and the rest is kept aside then.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::record::{HEAD_LENGTH, Head, Record};
use super::{HEADER, HEADER_LENGTH, file};

/// Bytes of the header that name the format; the version follows.
const NAME_LENGTH: usize = 12;

/// Findings of opening a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Number of whole records.
    pub(crate) records: usize,
    /// Number of bytes cut off behind them.
    pub(crate) cut: u64,
    /// File to which those bytes were added, if they are more than one torn record.
    pub(crate) damaged: Option<PathBuf>,
}

/// Gives the records of a file to `keep`, oldest first, and cuts off the bytes behind them. Returns their lengths too.
/// An empty file gets its header.
pub(super) fn recover(
    file: &File,
    path: &Path,
    mut keep: impl FnMut(Record),
) -> io::Result<(VecDeque<u32>, Recovered)> {
    let length = file.metadata()?.len();
    if !has_header(file, length)? {
        begin(file, path)?;
        return Ok((VecDeque::new(), Recovered { records: 0, cut: length, damaged: None }));
    }
    let mut reader = Reader::new(file, length)?;
    let mut lengths = VecDeque::new();
    while let Some((record, length)) = reader.next()? {
        lengths.push_back(length);
        keep(record);
    }
    let end = reader.position;
    let damaged = if is_damage(file, end, length)? { Some(keep_aside(file, path, end)?) } else { None };
    if end < length {
        file.set_len(end)?;
        file.sync_all()?;
    }
    let records = lengths.len();
    Ok((lengths, Recovered { records, cut: length - end, damaged }))
}

/// Returns true if the file has its header, and false for a file that a crash left with a part of it. Any other file is
/// an error.
fn has_header(file: &File, length: u64) -> io::Result<bool> {
    let mut header = HEADER;
    let found = &mut header[..length.min(HEADER_LENGTH) as usize];
    file.read_exact_at(found, 0)?;
    if HEADER.starts_with(found) {
        return Ok(found.len() == HEADER.len());
    }
    let line = match header.split_at(NAME_LENGTH) {
        (name, version) if length >= HEADER_LENGTH && name == &HEADER[..NAME_LENGTH] => {
            let version = version.try_into().map_or(0, u32::from_le_bytes);
            format!("the history file is of version {version}, and this server reads version 1")
        }
        _ => "the file is not a history file of smolcast, and is left as it is".to_owned(),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, line))
}

/// Replaces the content of a file with a header.
fn begin(file: &File, path: &Path) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(&HEADER, 0)?;
    file.sync_all()?;
    file::sync_folder_of(path)
}

/// Reads whole records, until there is none.
struct Reader<'f> {
    file: BufReader<&'f File>,
    /// Position of the next record.
    position: u64,
    /// Length of the file: no more is read, or allocated for.
    length: u64,
    payload: Vec<u8>,
}

impl<'f> Reader<'f> {
    fn new(mut file: &'f File, length: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(HEADER_LENGTH))?;
        let file = BufReader::with_capacity(64 * 1024, file);
        Ok(Self { file, position: HEADER_LENGTH, length, payload: Vec::new() })
    }

    /// The next record and its length.
    fn next(&mut self) -> io::Result<Option<(Record, u32)>> {
        if self.length - self.position < HEAD_LENGTH as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD_LENGTH];
        self.file.read_exact(&mut head)?;
        let Some(head) = Head::decode(&head).filter(|head| self.length - self.position >= reach(*head)) else {
            return Ok(None);
        };
        self.payload.resize(head.payload_length(), 0);
        self.file.read_exact(&mut self.payload)?;
        let record = if head.announces(&self.payload) { Record::decode(&self.payload) } else { None };
        if record.is_some() {
            self.position += reach(head);
        }
        Ok(record.map(|record| (record, head.record_length())))
    }
}

fn reach(head: Head) -> u64 {
    u64::from(head.record_length())
}

/// Returns true if the bytes from `end` to `length`, behind the last whole record, are more than one torn record.
fn is_damage(file: &File, end: u64, length: u64) -> io::Result<bool> {
    if length - end < HEAD_LENGTH as u64 {
        return Ok(false);
    }
    let mut head = [0; HEAD_LENGTH];
    file.read_exact_at(&mut head, end)?;
    Ok(match Head::decode(&head) {
        Some(head) => reach(head) < length - end,
        None => !is_zeros(file, end)?,
    })
}

fn is_zeros(mut file: &File, from: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut rest = BufReader::with_capacity(64 * 1024, file);
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let count = bytes.len();
        rest.consume(count);
    }
}

/// Appends the bytes behind `end` to the file for damaged bytes.
fn keep_aside(mut file: &File, path: &Path, end: u64) -> io::Result<PathBuf> {
    let aside = file::beside(path, ".damaged");
    let mut kept = file::open_to_add(&aside)?;
    let before = kept.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end))?;
    let copied = io::copy(&mut file, &mut kept).and_then(|_| kept.sync_all());
    if let Err(error) = copied {
        let _ = kept.set_len(before);
        let line = format!("what is damaged in it cannot be kept in {}: {error}", aside.display());
        return Err(io::Error::new(error.kind(), line));
    }
    file::sync_folder_of(&aside)?;
    Ok(aside)
}
