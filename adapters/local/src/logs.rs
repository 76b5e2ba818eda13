//! The last lines of the replicas' output. Replicas write to files, which outlive this process;
//! the files are read on and emptied at a size.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use oag_pilot::LogLine;
use oag_types::Timestamp;

/// Longest line kept, in bytes.
const LINE_MAX: usize = 8 << 10;
/// Most bytes read from one file at a time.
const READ_MAX: u64 = 1 << 20;
/// How much of the output of an adopted replica is read again.
const REREAD: u64 = 64 << 10;

/// Lines of a service, oldest first, and how far each file was read.
#[derive(Debug)]
pub(crate) struct LogBook {
    kept: usize,
    lines: VecDeque<LogLine>,
    tails: BTreeMap<PathBuf, Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    offset: u64,
    partial: Vec<u8>,
    /// The rest of a line that was too long is skipped.
    skipping: bool,
}

impl LogBook {
    pub(crate) fn new(kept: usize) -> Self {
        Self { kept, lines: VecDeque::new(), tails: BTreeMap::new() }
    }

    /// The last `limit` lines.
    pub(crate) fn last(&self, limit: usize) -> Vec<LogLine> {
        self.lines.iter().skip(self.lines.len().saturating_sub(limit)).cloned().collect()
    }

    /// Reads on in one file and empties it when it is larger than `bytes_max`.
    pub(crate) fn read_on(
        &mut self,
        path: &Path,
        replica: &str,
        error: bool,
        at: Timestamp,
        bytes_max: u64,
    ) {
        let Ok(length) = std::fs::metadata(path).map(|metadata| metadata.len()) else { return };
        let first = length.saturating_sub(REREAD);
        let tail = self
            .tails
            .entry(path.to_owned())
            .or_insert_with(|| Tail { offset: first, ..Tail::default() });
        if length < tail.offset {
            tail.offset = 0;
        }
        let Some(bytes) = tail.read(path, length) else { return };
        if tail.offset >= bytes_max {
            // Writers append, so they go on at the new end.
            if File::options().write(true).open(path).and_then(|file| file.set_len(0)).is_ok() {
                tail.offset = 0;
            }
        }
        let texts = tail.split(&bytes);
        self.push(texts, replica, error, at);
    }

    /// Takes the last words of a replica that is gone.
    pub(crate) fn close(&mut self, path: &Path, replica: &str, error: bool, at: Timestamp) {
        self.read_on(path, replica, error, at, u64::MAX);
        let rest = self.tails.remove(path).map(|tail| tail.partial).unwrap_or_default();
        if !rest.is_empty() {
            self.push(vec![String::from_utf8_lossy(&rest).into_owned()], replica, error, at);
        }
    }

    fn push(&mut self, texts: Vec<String>, replica: &str, error: bool, at: Timestamp) {
        for text in texts {
            self.lines.push_back(LogLine { at, replica: replica.to_owned(), error, text });
        }
        let surplus = self.lines.len().saturating_sub(self.kept);
        self.lines.drain(..surplus);
    }
}

impl Tail {
    fn read(&mut self, path: &Path, length: u64) -> Option<Vec<u8>> {
        if length == self.offset {
            return None;
        }
        // Too much at once: only the end matters.
        let start = self.offset.max(length.saturating_sub(READ_MAX));
        let mut file = File::open(path).ok()?;
        file.seek(SeekFrom::Start(start)).ok()?;
        let mut bytes = Vec::new();
        file.take(READ_MAX).read_to_end(&mut bytes).ok()?;
        self.offset = start + u64::try_from(bytes.len()).unwrap_or(0);
        Some(bytes)
    }

    fn split(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ended) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            if !self.skipping {
                let room = LINE_MAX.saturating_sub(self.partial.len());
                self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            let full = self.partial.len() >= LINE_MAX;
            if (ended || full) && !self.skipping {
                texts.push(String::from_utf8_lossy(&self.partial).into_owned());
                self.partial.clear();
            }
            self.skipping = !ended && (full || self.skipping);
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn texts(book: &LogBook) -> Vec<String> {
        book.last(100).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_read_on_cut_kept_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.out");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        let mut book = LogBook::new(3);
        let read = |book: &mut LogBook| {
            book.read_on(&path, "a", false, Timestamp::from_millis(1), 64);
        };
        file.write_all(b"one\ntw").unwrap();
        read(&mut book);
        assert_eq!(texts(&book), ["one"]);
        file.write_all(b"o\n\xff\n").unwrap();
        read(&mut book);
        assert_eq!(texts(&book), ["one", "two", "\u{fffd}"]);
        file.write_all(&[b'x'; 20_000]).unwrap();
        file.write_all(b"\nend").unwrap();
        read(&mut book);
        assert_eq!(texts(&book).last().unwrap().len(), LINE_MAX);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "emptied at its limit");
        file.write_all(b"ing").unwrap();
        book.close(&path, "a", false, Timestamp::from_millis(2));
        assert_eq!(texts(&book).last().unwrap(), "ending");
        assert_eq!(texts(&book).len(), 3);
    }
}
