//! The log of values that are not sealed yet, so that a crash loses only what was not flushed.
//!
//! Frames of length (u32), checksum (u32) and records; the first that does not check ends the log.
//! A record names a series (`0`, number u32, length u16, JSON) or gives a value (`1`, number u32,
//! minute u32, weight u32, value f64). A later value for the same minute replaces the earlier.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::SeriesError;
use crate::buffer::Buffer;
use crate::chunk::Point;
use crate::crc::crc32;
use crate::segment::{Reader, rename};

const NAME: u8 = 0;
const VALUE: u8 = 1;
const VALUE_LEN: u64 = 21;
const FRAME_LEN_MAX: usize = 1 << 20;
/// The log is written anew when it is this much longer than its content needs.
const SLACK: u64 = 16 << 20;

/// The open log of a tenant.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    number: u32,
    bytes: u64,
    /// After a failed write the end of the file is unknown: it is written anew.
    torn: bool,
}

impl Wal {
    /// Replays the newest log into `buffer` and goes on behind it. Says how many values it had.
    pub(crate) fn open(dir: &Path, buffer: &mut Buffer) -> Result<(Self, usize), SeriesError> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(SeriesError::io(dir))? {
            let name = entry.map_err(SeriesError::io(dir))?.file_name();
            numbers.extend(name.to_str().and_then(parse_name));
        }
        numbers.sort_unstable();
        let number = numbers.pop().unwrap_or(0);
        for old in numbers {
            // The newer log was complete before it got its name.
            remove(&path(dir, old));
        }
        let path = path(dir, number);
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(&path);
        let file = file.map_err(SeriesError::io(&path))?;
        let content = std::fs::read(&path).map_err(SeriesError::io(&path))?;
        let (valid, values) = replay(&content, buffer);
        if valid < content.len() {
            let lost = content.len() - valid;
            tracing::warn!(file = %path.display(), bytes = lost, "the end of the log is cut short");
            let cut = file.set_len(valid as u64).and_then(|()| file.sync_all());
            cut.map_err(SeriesError::io(&path))?;
        }
        let (dir, bytes) = (dir.to_owned(), valid as u64);
        Ok((Self { dir, path, file, number, bytes, torn: false }, values))
    }

    /// Writes what is not in the log yet, durably.
    pub(crate) fn flush(&mut self, buffer: &mut Buffer) -> Result<(), SeriesError> {
        let buffered: usize = buffer.series.iter().map(|series| series.points.len()).sum();
        if self.torn || self.bytes > 2 * VALUE_LEN * buffered as u64 + SLACK {
            return self.rewrite(buffer);
        }
        let frames = frames(buffer);
        if frames.is_empty() {
            return Ok(());
        }
        self.torn = true;
        let written = self.file.write_all(&frames).and_then(|()| self.file.sync_data());
        written.map_err(SeriesError::io(&self.path))?;
        self.torn = false;
        self.bytes += frames.len() as u64;
        mark_logged(buffer);
        Ok(())
    }

    /// Starts a new log with only what is buffered now.
    pub(crate) fn rewrite(&mut self, buffer: &mut Buffer) -> Result<(), SeriesError> {
        for series in &mut buffer.series {
            series.named = false;
            series.unlogged = 0;
        }
        self.torn = true;
        let frames = frames(buffer);
        let next = path(&self.dir, self.number + 1);
        let working = next.with_extension("working");
        let mut file = File::create(&working).map_err(SeriesError::io(&working))?;
        let written = file.write_all(&frames).and_then(|()| file.sync_all());
        written.map_err(SeriesError::io(&working))?;
        rename(&working, &next)?;
        remove(&self.path);
        self.file = file;
        self.path = next;
        self.number += 1;
        self.bytes = frames.len() as u64;
        self.torn = false;
        mark_logged(buffer);
        Ok(())
    }
}

fn mark_logged(buffer: &mut Buffer) {
    for series in &mut buffer.series {
        // Only what was written was named.
        series.named |= series.unlogged < series.points.len();
        series.unlogged = series.points.len();
    }
}

/// Everything not in the log yet, in frames.
fn frames(buffer: &Buffer) -> Vec<u8> {
    let (mut frames, mut records) = (Vec::new(), Vec::new());
    for (id, series) in (0_u32..).zip(&buffer.series) {
        let new = series.points.get(series.unlogged..).unwrap_or_default();
        if new.is_empty() {
            continue;
        }
        if !series.named {
            let Ok(key) = serde_json::to_vec(&series.key) else { continue };
            let Ok(length) = u16::try_from(key.len()) else { continue };
            records.push(NAME);
            records.extend_from_slice(&id.to_le_bytes());
            records.extend_from_slice(&length.to_le_bytes());
            records.extend_from_slice(&key);
        }
        for point in new {
            records.push(VALUE);
            for number in [id, point.minute, point.weight] {
                records.extend_from_slice(&number.to_le_bytes());
            }
            records.extend_from_slice(&point.value.to_le_bytes());
            if records.len() > FRAME_LEN_MAX {
                close_frame(&mut frames, &mut records);
            }
        }
    }
    close_frame(&mut frames, &mut records);
    frames
}

fn close_frame(frames: &mut Vec<u8>, records: &mut Vec<u8>) {
    let length = u32::try_from(records.len()).unwrap_or(u32::MAX);
    if length > 0 {
        frames.extend_from_slice(&length.to_le_bytes());
        frames.extend_from_slice(&crc32(records).to_le_bytes());
        frames.append(records);
    }
}

/// Reads frames while they check; says how many bytes and values that was.
fn replay(content: &[u8], buffer: &mut Buffer) -> (usize, usize) {
    let mut reader = Reader(content);
    let (mut valid, mut values) = (0, 0);
    let mut ids = std::collections::HashMap::new();
    while let (Some(length), Some(crc)) = (reader.u32(), reader.u32()) {
        let Some(records) = reader.take(length as usize).filter(|frame| crc32(frame) == crc) else {
            break;
        };
        let mut records = Reader(records);
        while let Some(grown) = replay_one(&mut records, buffer, &mut ids) {
            values += usize::from(grown);
        }
        valid = content.len() - reader.0.len();
    }
    for series in &mut buffer.series {
        series.unlogged = series.points.len();
    }
    (valid, values)
}

fn replay_one(
    records: &mut Reader<'_>,
    buffer: &mut Buffer,
    ids: &mut std::collections::HashMap<u32, usize>,
) -> Option<bool> {
    let kind = records.take(1)?.first().copied()?;
    let number = records.u32()?;
    if kind == NAME {
        let length = records.u16()?;
        let key = serde_json::from_slice(records.take(usize::from(length))?).ok()?;
        ids.insert(number, buffer.id(&key));
        return Some(false);
    }
    let (minute, weight) = (records.u32()?, records.u32()?);
    let value = f64::from_bits(records.u64()?);
    let id = ids.get(&number)?;
    Some(buffer.restore(*id, Point { minute, weight, value }))
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("tail-{number:06}.log"))
}

fn parse_name(name: &str) -> Option<u32> {
    name.strip_prefix("tail-")?.strip_suffix(".log")?.parse().ok()
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(file = %path.display(), %error, "an old log was not removed");
    }
}
