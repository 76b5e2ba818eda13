//! The values that are not sealed yet, of one tenant.

use std::collections::HashMap;
use std::sync::Arc;

use oag_types::SeriesKey;

use crate::Downsample;
use crate::chunk::Point;

/// One series' values, by minute, strictly growing.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) key: Arc<SeriesKey>,
    pub(crate) points: Vec<Point>,
    /// Values from here on are not in the log yet.
    pub(crate) unlogged: usize,
    /// Whether the present log file knows the series' number.
    pub(crate) named: bool,
}

/// All series of a tenant, those with nothing buffered included.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) series: Vec<Buffered>,
    ids: HashMap<Arc<SeriesKey>, usize>,
}

impl Buffer {
    /// The number of a series, given when it is new.
    pub(crate) fn id(&mut self, key: &SeriesKey) -> usize {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = self.series.len();
        let (key, points) = (Arc::new(key.clone()), Vec::new());
        self.ids.insert(Arc::clone(&key), id);
        self.series.push(Buffered { key, points, unlogged: 0, named: false });
        id
    }

    /// The one copy of a series.
    pub(crate) fn intern(&mut self, key: &SeriesKey) -> Arc<SeriesKey> {
        let id = self.id(key);
        self.series.get(id).map_or_else(|| Arc::new(key.clone()), |s| Arc::clone(&s.key))
    }

    pub(crate) fn knows(&self, key: &SeriesKey) -> bool {
        self.ids.contains_key(key)
    }

    /// Adds a sample; says whether memory grew. A minute that is over keeps its value: what comes
    /// late fills gaps only.
    pub(crate) fn add(&mut self, id: usize, minute: u32, value: f64, how: Downsample) -> bool {
        let Some(series) = self.series.get_mut(id) else { return false };
        let last = series.points.len().wrapping_sub(1);
        match series.points.last_mut() {
            Some(open) if open.minute == minute => {
                merge(open, value, how);
                series.unlogged = series.unlogged.min(last);
                false
            }
            Some(open) if open.minute > minute => {
                let place = series.points.binary_search_by_key(&minute, |point| point.minute);
                let Err(place) = place else { return false };
                series.points.insert(place, Point { minute, weight: 1, value });
                series.unlogged = series.unlogged.min(place);
                true
            }
            _ => {
                series.points.push(Point { minute, weight: 1, value });
                true
            }
        }
    }

    /// Sets a value as the log has it; says whether memory grew.
    pub(crate) fn restore(&mut self, id: usize, point: Point) -> bool {
        let Some(series) = self.series.get_mut(id) else { return false };
        match series.points.binary_search_by_key(&point.minute, |point| point.minute) {
            Ok(place) => {
                if let Some(present) = series.points.get_mut(place) {
                    *present = point;
                }
                false
            }
            Err(place) => {
                series.points.insert(place, point);
                true
            }
        }
    }

    /// The values of a series within minutes, in order.
    pub(crate) fn read(&self, key: &SeriesKey, minutes: std::ops::Range<u32>) -> Vec<Point> {
        let series = self.ids.get(key).and_then(|id| self.series.get(*id));
        let points = series.map_or(&[] as &[Point], |series| &series.points);
        points.iter().filter(|point| minutes.contains(&point.minute)).copied().collect()
    }

    /// Keeps only some series; the numbers of the others change.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Buffered) -> bool) {
        self.series.retain(wanted);
        let keys = self.series.iter().map(|series| Arc::clone(&series.key));
        self.ids = keys.zip(0..).collect();
    }

    /// Forgets sealed values; says how many.
    pub(crate) fn forget(&mut self, id: usize, sealed: &[Point]) -> usize {
        let Some(series) = self.series.get_mut(id) else { return 0 };
        let before = series.points.len();
        let is_sealed =
            |minute: u32| sealed.binary_search_by_key(&minute, |point| point.minute).is_ok();
        let unlogged = series.unlogged;
        let logged = series.points.iter().take(unlogged);
        series.unlogged = logged.filter(|point| !is_sealed(point.minute)).count();
        series.points.retain(|point| !is_sealed(point.minute));
        // What was grown for a day is given back; sealing is rare.
        series.points.shrink_to_fit();
        before - series.points.len()
    }
}

fn merge(open: &mut Point, value: f64, how: Downsample) {
    open.weight = open.weight.saturating_add(1);
    match how {
        // The running mean: stays finite where a sum would not.
        Downsample::Mean => open.value += (value - open.value) / f64::from(open.weight),
        Downsample::Last => open.value = value,
        Downsample::Max => open.value = open.value.max(value),
    }
}
