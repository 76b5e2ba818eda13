//! The file of one day: compressed chunks, one per series, then an index, each with a checksum.
//!
//! ```text
//! magic · (chunk · crc32)… · index · index offset u64 · length u32 · crc32 · entries u32 · magic
//! ```
//! An index entry is the series as JSON after its length (u16), then offset (u64), length (u32),
//! count (u32) and first minute (u32). Numbers are little-endian.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oag_types::SeriesKey;

use crate::SeriesError;
use crate::chunk::{self, Point};
use crate::crc::crc32;

const MAGIC: &[u8; 8] = b"OAGSER1\n";
const TAIL: u64 = 28;
const SUFFIX: &str = ".series";

/// Where a series' chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    offset: u64,
    length: u32,
    count: u32,
    first: u32,
}

/// A day's file with its index.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) day: u32,
    /// Grows when the day is written anew.
    pub(crate) version: u32,
    pub(crate) bytes: u64,
    /// In order of series.
    pub(crate) entries: Vec<(Arc<SeriesKey>, Entry)>,
}

impl Segment {
    /// The name of a day's file.
    pub(crate) fn path(dir: &Path, day: u32, version: u32) -> PathBuf {
        dir.join(format!("{day:06}-{version:04}{SUFFIX}"))
    }

    /// Day and version from a file name.
    pub(crate) fn parse_name(name: &str) -> Option<(u32, u32)> {
        let (day, version) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some((day.parse().ok()?, version.parse().ok()?))
    }

    /// Reads the index of a file; `intern` keeps one copy of each series.
    pub(crate) fn open(
        path: &Path,
        day: u32,
        version: u32,
        mut intern: impl FnMut(SeriesKey) -> Arc<SeriesKey>,
    ) -> Result<Self, SeriesError> {
        let damaged = |reason: &str| SeriesError::damaged(path, reason);
        let io = |error| SeriesError::io(path)(error);
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let tail_at = bytes.checked_sub(TAIL).ok_or_else(|| damaged("it is too short"))?;
        let mut tail = [0; TAIL as usize];
        file.read_exact_at(&mut tail, tail_at).map_err(io)?;
        let mut tail = Reader(&tail);
        let (offset, length) = (tail.u64(), tail.u32());
        let (crc, count, magic) = (tail.u32(), tail.u32(), tail.take(8));
        let (Some(offset), Some(length), Some(crc), Some(count)) = (offset, length, crc, count)
        else {
            return Err(damaged("it is too short"));
        };
        if magic != Some(MAGIC) {
            return Err(damaged("it does not end as a series file does"));
        }
        if offset.checked_add(u64::from(length)) != Some(tail_at) {
            return Err(damaged("its index is not where it says"));
        }
        let mut index = vec![0; length as usize];
        file.read_exact_at(&mut index, offset).map_err(io)?;
        if crc32(&index) != crc {
            return Err(damaged("the checksum of its index is wrong"));
        }
        let mut reader = Reader(&index);
        let entries: Option<Vec<_>> = (0..count)
            .map(|_| read_entry(&mut reader).map(|(key, entry)| (intern(key), entry)))
            .collect();
        let mut entries = entries.ok_or_else(|| damaged("its index cannot be read"))?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { path: path.to_owned(), day, version, bytes, entries })
    }

    /// The values of one series; none when it is not in here.
    pub(crate) fn read(&self, key: &SeriesKey) -> Result<Vec<Point>, SeriesError> {
        let found = self.entries.binary_search_by(|(present, _)| present.as_ref().cmp(key));
        let entry = found.ok().and_then(|at| self.entries.get(at));
        let Some((_, entry)) = entry else { return Ok(Vec::new()) };
        let damaged = |reason: String| {
            SeriesError::damaged(&self.path, format!("the values of {key}: {reason}"))
        };
        let file = File::open(&self.path).map_err(SeriesError::io(&self.path))?;
        let mut bytes = vec![0; entry.length as usize + 4];
        let read = file.read_exact_at(&mut bytes, entry.offset);
        read.map_err(|error| damaged(error.to_string()))?;
        let (body, crc) = bytes.split_at(entry.length as usize);
        if crc32(body).to_le_bytes() != *crc {
            return Err(damaged("the checksum is wrong".to_owned()));
        }
        chunk::decode(body, entry.first, entry.count).map_err(damaged)
    }
}

/// Writes a day's file beside its name; [`Writer::finish`] gives it the name.
pub(crate) struct Writer {
    file: BufWriter<File>,
    working: PathBuf,
    path: PathBuf,
    at: u64,
    index: Vec<u8>,
    count: u32,
    digits: Option<u8>,
}

impl Writer {
    pub(crate) fn create(path: PathBuf, digits: Option<u8>) -> Result<Self, SeriesError> {
        let working = path.with_extension("working");
        let file = File::create(&working).map_err(SeriesError::io(&working))?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC).map_err(SeriesError::io(&working))?;
        let at = MAGIC.len() as u64;
        Ok(Self { file, working, path, at, index: Vec::new(), count: 0, digits })
    }

    /// Adds a series; `points` in order, at least one.
    pub(crate) fn add(&mut self, key: &SeriesKey, points: &[Point]) -> Result<(), SeriesError> {
        let Some(first) = points.first() else { return Ok(()) };
        let failed = |reason: String| SeriesError::damaged(&self.working, reason);
        let body = chunk::encode(points, self.digits).map_err(failed)?;
        let name = serde_json::to_vec(key).map_err(|error| failed(error.to_string()))?;
        let too_long = |error: std::num::TryFromIntError| failed(error.to_string());
        let name_length = u16::try_from(name.len()).map_err(too_long)?;
        let length = u32::try_from(body.len()).map_err(too_long)?;
        let count = u32::try_from(points.len()).map_err(too_long)?;
        let io = SeriesError::io(&self.working);
        let written = self.file.write_all(&body);
        written.and_then(|()| self.file.write_all(&crc32(&body).to_le_bytes())).map_err(io)?;
        self.index.extend_from_slice(&name_length.to_le_bytes());
        self.index.extend_from_slice(&name);
        self.index.extend_from_slice(&self.at.to_le_bytes());
        for number in [length, count, first.minute] {
            self.index.extend_from_slice(&number.to_le_bytes());
        }
        self.at += u64::from(length) + 4;
        self.count += 1;
        Ok(())
    }

    /// Makes the file durable under its name.
    pub(crate) fn finish(mut self) -> Result<PathBuf, SeriesError> {
        let length = u32::try_from(self.index.len())
            .map_err(|error| SeriesError::damaged(&self.working, error.to_string()))?;
        let mut tail = Vec::with_capacity(TAIL as usize);
        tail.extend_from_slice(&self.at.to_le_bytes());
        for number in [length, crc32(&self.index), self.count] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        tail.extend_from_slice(MAGIC);
        let done = self.file.write_all(&self.index).and_then(|()| self.file.write_all(&tail));
        let done = done.and_then(|()| self.file.flush());
        done.and_then(|()| self.file.get_ref().sync_all())
            .map_err(SeriesError::io(&self.working))?;
        rename(&self.working, &self.path)?;
        Ok(self.path)
    }
}

/// Renames within a directory and makes that durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), SeriesError> {
    std::fs::rename(from, to).map_err(SeriesError::io(to))?;
    let dir = to.parent().unwrap_or_else(|| Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(SeriesError::io(dir))
}

fn read_entry(reader: &mut Reader<'_>) -> Option<(SeriesKey, Entry)> {
    let length = reader.u16()?;
    let key = serde_json::from_slice(reader.take(usize::from(length))?).ok()?;
    let entry = Entry {
        offset: reader.u64()?,
        length: reader.u32()?,
        count: reader.u32()?,
        first: reader.u32()?,
    };
    Some((key, entry))
}

/// Takes little-endian numbers from the front of bytes.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
