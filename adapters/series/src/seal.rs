//! Sealing: the buffered values of a day become that day's file. What the day has already is
//! written into the new file, so that a day is one file unless part of it is damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use oag_types::SeriesKey;

use crate::chunk::Point;
use crate::config::DAY;
use crate::segment::{Segment, Writer};
use crate::tenant::TenantData;
use crate::{SeriesConfig, SeriesError};

/// The values of one day, taken from a buffer; they stay there until the file is durable.
pub(crate) struct Job {
    day: u32,
    version: u32,
    dir: PathBuf,
    new: BTreeMap<Arc<SeriesKey>, Vec<Point>>,
    present: Vec<Arc<Segment>>,
}

/// A written file, and what it replaces.
pub(crate) struct Sealed {
    segment: Segment,
    replaced: Vec<Arc<Segment>>,
    new: BTreeMap<Arc<SeriesKey>, Vec<Point>>,
}

/// The days that have values before the minute `until`, oldest first.
pub(crate) fn days(data: &TenantData, until: u32) -> Vec<u32> {
    let points = data.buffer.series.iter().flat_map(|series| &series.points);
    let ended = points.filter(|point| point.minute < until).map(|point| point.minute / DAY);
    let days: std::collections::BTreeSet<u32> = ended.collect();
    days.into_iter().collect()
}

/// Takes what a day has before the minute `until`.
pub(crate) fn plan(data: &TenantData, day: u32, until: u32) -> Job {
    let sealable = |point: &&Point| point.minute / DAY == day && point.minute < until;
    let mut new = BTreeMap::new();
    for series in &data.buffer.series {
        let points: Vec<Point> = series.points.iter().filter(sealable).copied().collect();
        if !points.is_empty() {
            new.insert(Arc::clone(&series.key), points);
        }
    }
    let present = data.segments.iter().filter(|segment| segment.day == day).cloned().collect();
    Job { day, version: data.next_version(day), dir: data.dir.clone(), new, present }
}

/// Writes the file. Slow; holds no lock.
pub(crate) fn write(mut job: Job, config: &SeriesConfig) -> Result<Sealed, SeriesError> {
    let path = loop {
        match write_file(&job, config) {
            Ok(path) => break path,
            Err(SeriesError::Damaged { file, reason }) => {
                let before = job.present.len();
                job.present.retain(|segment| segment.path != file);
                if job.present.len() == before {
                    return Err(SeriesError::Damaged { file, reason });
                }
                tracing::error!(file = %file.display(), %reason, "kept beside the day's new file");
            }
            Err(other) => return Err(other),
        }
    };
    let mut keys: BTreeMap<SeriesKey, Arc<SeriesKey>> = BTreeMap::new();
    for key in job.present.iter().flat_map(|segment| &segment.entries).map(|(key, _)| key) {
        keys.insert(key.as_ref().clone(), Arc::clone(key));
    }
    for key in job.new.keys() {
        keys.insert(key.as_ref().clone(), Arc::clone(key));
    }
    let intern = |key: SeriesKey| keys.get(&key).map_or_else(|| Arc::new(key), Arc::clone);
    let segment = Segment::open(&path, job.day, job.version, intern)?;
    Ok(Sealed { segment, replaced: job.present, new: job.new })
}

/// Puts the file in the place of what it holds; says how many buffered values went.
pub(crate) fn install(data: &mut TenantData, sealed: Sealed) -> Result<usize, SeriesError> {
    let Sealed { segment, replaced, new } = sealed;
    data.segments.retain(|present| !replaced.iter().any(|old| old.path == present.path));
    data.segments.push(Arc::new(segment));
    data.segments.sort_by_key(|segment| (segment.day, segment.version));
    let mut gone = 0;
    for (key, points) in new {
        let id = data.buffer.id(&key);
        gone += data.buffer.forget(id, &points);
    }
    // A crash before this line only means that the values are merged once more.
    data.wal.rewrite(&mut data.buffer)?;
    for old in replaced {
        std::fs::remove_file(&old.path).map_err(SeriesError::io(&old.path))?;
    }
    Ok(gone)
}

fn write_file(job: &Job, config: &SeriesConfig) -> Result<PathBuf, SeriesError> {
    let path = Segment::path(&job.dir, job.day, job.version);
    let mut writer = Writer::create(path, config.digits)?;
    let mut keys: Vec<&Arc<SeriesKey>> = job.new.keys().collect();
    keys.extend(job.present.iter().flat_map(|segment| &segment.entries).map(|(key, _)| key));
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let mut parts = Vec::with_capacity(job.present.len() + 1);
        for segment in &job.present {
            parts.push(segment.read(key)?);
        }
        parts.push(job.new.get(key).cloned().unwrap_or_default());
        writer.add(key, &merge(parts))?;
    }
    writer.finish()
}

/// One value per minute, the first part's where several have one; in order.
pub(crate) fn merge(parts: Vec<Vec<Point>>) -> Vec<Point> {
    let mut parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.len() < 2 {
        return parts.pop().unwrap_or_default();
    }
    let mut points = parts.concat();
    // Stable: among equal minutes the earlier part stays first.
    points.sort_by_key(|point| point.minute);
    points.dedup_by_key(|point| point.minute);
    points
}
