//! One tenant's directory: its buffer, its log and the files of its days.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oag_types::SeriesKey;

use crate::SeriesError;
use crate::buffer::Buffer;
use crate::chunk::Point;
use crate::config::DAY;
use crate::segment::Segment;
use crate::wal::Wal;

/// A day's file that cannot be read at all.
#[derive(Debug, Clone)]
pub(crate) struct BadFile {
    pub(crate) day: u32,
    path: PathBuf,
    reason: String,
}

impl BadFile {
    pub(crate) fn error(&self) -> SeriesError {
        SeriesError::damaged(&self.path, self.reason.clone())
    }
}

/// What of a series lies in a range, to be read without holding a lock.
pub(crate) struct Found {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) bad: Vec<BadFile>,
    pub(crate) buffered: Vec<Point>,
}

/// A tenant's samples.
#[derive(Debug)]
pub(crate) struct TenantData {
    pub(crate) dir: PathBuf,
    pub(crate) buffer: Buffer,
    pub(crate) wal: Wal,
    /// In order of day, then version.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) bad: Vec<BadFile>,
}

impl TenantData {
    /// Opens the directory, made when absent. Says how many values the log had.
    pub(crate) fn open(dir: &Path) -> Result<(Self, usize), SeriesError> {
        std::fs::create_dir_all(dir).map_err(SeriesError::io(dir))?;
        let mut buffer = Buffer::default();
        let (mut segments, mut bad) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(dir).map_err(SeriesError::io(dir))? {
            let entry = entry.map_err(SeriesError::io(dir))?;
            let name = entry.file_name();
            let Some((day, version)) = name.to_str().and_then(Segment::parse_name) else {
                continue;
            };
            let path = entry.path();
            match Segment::open(&path, day, version, |key| buffer.intern(&key)) {
                Ok(segment) => segments.push(Arc::new(segment)),
                Err(SeriesError::Damaged { reason, .. }) => {
                    tracing::error!(file = %path.display(), %reason, "a series file is damaged");
                    bad.push(BadFile { day, path, reason });
                }
                Err(other) => return Err(other),
            }
        }
        segments.sort_by_key(|segment| (segment.day, segment.version));
        let (wal, values) = Wal::open(dir, &mut buffer)?;
        Ok((Self { dir: dir.to_owned(), buffer, wal, segments, bad }, values))
    }

    /// Where the values of a series in `minutes` are.
    pub(crate) fn find(&self, key: &SeriesKey, minutes: &Range<u32>) -> Found {
        let days = minutes.start / DAY..minutes.end.div_ceil(DAY);
        let of_range = |segment: &&Arc<Segment>| days.contains(&segment.day);
        Found {
            segments: self.segments.iter().filter(of_range).cloned().collect(),
            bad: self.bad.iter().filter(|file| days.contains(&file.day)).cloned().collect(),
            buffered: self.buffer.read(key, minutes.clone()),
        }
    }

    /// The version the next file of a day gets.
    pub(crate) fn next_version(&self, day: u32) -> u32 {
        let good = self.segments.iter().filter(|segment| segment.day == day);
        let bad = self.bad.iter().filter(|file| file.day == day);
        let bad = bad.filter_map(|file| Segment::parse_name(file.path.file_name()?.to_str()?));
        good.map(|segment| segment.version)
            .chain(bad.map(|(_, version)| version))
            .max()
            .map_or(0, |version| version + 1)
    }

    /// Removes the files of days before `day`, and series that have nothing left. Says how many
    /// series went.
    pub(crate) fn expire(&mut self, day: u32) -> Result<usize, SeriesError> {
        let old: Vec<PathBuf> = self
            .segments
            .iter()
            .filter(|segment| segment.day < day)
            .map(|segment| segment.path.clone())
            .chain(self.bad.iter().filter(|file| file.day < day).map(|file| file.path.clone()))
            .collect();
        if old.is_empty() {
            return Ok(0);
        }
        for path in old {
            std::fs::remove_file(&path).map_err(SeriesError::io(&path))?;
        }
        self.segments.retain(|segment| segment.day >= day);
        self.bad.retain(|file| file.day >= day);
        let mut alive: HashSet<Arc<SeriesKey>> = HashSet::new();
        for segment in &self.segments {
            alive.extend(segment.entries.iter().map(|(key, _)| Arc::clone(key)));
        }
        let before = self.buffer.series.len();
        self.buffer.keep(|series| !series.points.is_empty() || alive.contains(&series.key));
        let gone = before - self.buffer.series.len();
        if gone > 0 {
            // The log names series by numbers that have changed.
            self.wal.rewrite(&mut self.buffer)?;
        }
        Ok(gone)
    }
}
