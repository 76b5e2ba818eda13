//! One series in memory: its newest samples and its detector.

use std::collections::VecDeque;

use oag_insight::{Detector, DetectorConfig, Score};
use oag_types::{Sample, Timestamp};

/// Samples after which the step of a series is known.
const STEP_SAMPLES: usize = 5;
/// Steps of silence told to a detector one by one.
const FILL_MAX: i64 = 240;

/// What became of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Accepted,
    Duplicate,
    Late,
}

#[derive(Debug, Default)]
pub(super) struct Series {
    ring: VecDeque<Sample>,
    /// Made as soon as the step is known.
    detector: Option<Box<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    step_ms: i64,
    detector: Detector,
    /// The step fed last, counted from the epoch.
    fed: i64,
    score: Option<(Timestamp, Score)>,
}

/// What scoring did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scored {
    pub(super) points: u64,
    pub(super) alerts: u64,
}

impl Series {
    pub(super) fn take(&mut self, sample: Sample, ring_samples: usize) -> Taken {
        let newest = self.ring.back().map(|last| last.at);
        if newest.is_none_or(|at| at < sample.at) {
            if self.ring.len() >= ring_samples.max(1) {
                self.ring.pop_front();
            }
            self.ring.push_back(sample);
            return Taken::Accepted;
        }
        match self.ring.binary_search_by_key(&sample.at, |kept| kept.at) {
            Ok(_) => Taken::Duplicate,
            Err(0) if self.ring.len() >= ring_samples.max(1) => Taken::Late,
            Err(place) => {
                if self.ring.len() >= ring_samples.max(1) {
                    self.ring.pop_front();
                    self.ring.insert(place - 1, sample);
                } else {
                    self.ring.insert(place, sample);
                }
                Taken::Accepted
            }
        }
    }

    /// Feeds the detector with the newest sample, once per step; `service_step_ms` is the step of
    /// the service the series belongs to.
    pub(super) fn score_newest(&mut self, service_step_ms: Option<i64>) -> Scored {
        let Some(newest) = self.ring.back().copied() else { return Scored::default() };
        if let Some(watcher) = &mut self.detector {
            return watcher.feed(newest);
        }
        if self.ring.len() < STEP_SAMPLES {
            return Scored::default();
        }
        let Some(spacing) = self.spacing_ms() else { return Scored::default() };
        let step_ms = spacing.max(service_step_ms.unwrap_or(1)).max(1);
        let mut watcher = Box::new(Watcher {
            step_ms,
            detector: Detector::new(DetectorConfig::for_step(step_ms)),
            fed: i64::MIN,
            score: None,
        });
        let mut total = Scored::default();
        for &sample in &self.ring {
            let scored = watcher.feed(sample);
            total.points += scored.points;
            total.alerts += scored.alerts;
        }
        self.detector = Some(watcher);
        total
    }

    /// The median distance between neighbouring samples, in milliseconds.
    pub(super) fn spacing_ms(&self) -> Option<i64> {
        let recent = self.ring.len().saturating_sub(32);
        let mut gaps: Vec<i64> = self
            .ring
            .range(recent..)
            .zip(self.ring.range(recent..).skip(1))
            .map(|(a, b)| b.at.millis_since(a.at))
            .collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }

    pub(super) fn newest(&self) -> Option<Sample> {
        self.ring.back().copied()
    }

    pub(super) fn oldest(&self) -> Option<Sample> {
        self.ring.front().copied()
    }

    /// Samples with `from <= at < to`.
    pub(super) fn range(&self, from: Timestamp, to: Timestamp) -> Vec<Sample> {
        if from >= to {
            return Vec::new();
        }
        let start = self.ring.partition_point(|s| s.at < from);
        let end = self.ring.partition_point(|s| s.at < to);
        self.ring.range(start..end).copied().collect()
    }

    pub(super) fn score(&self) -> Option<(Timestamp, Score)> {
        self.detector.as_ref().and_then(|watcher| watcher.score)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let detector = self.detector.as_ref().map_or(0, |watcher| {
            size_of::<Watcher>() - size_of::<Detector>() + watcher.detector.memory_bytes()
        });
        size_of::<Self>() + self.ring.capacity() * size_of::<Sample>() + detector
    }
}

impl Watcher {
    fn feed(&mut self, sample: Sample) -> Scored {
        let step = sample.at.as_millis().div_euclid(self.step_ms);
        if step <= self.fed {
            return Scored::default();
        }
        if self.fed > i64::MIN {
            let first = (self.fed + 1).max(step.saturating_sub(FILL_MAX));
            for missing in first..step {
                self.detector.update(missing.saturating_mul(self.step_ms), None);
            }
        }
        self.fed = step;
        let score = self.detector.update(step.saturating_mul(self.step_ms), Some(sample.value));
        self.score = Some((sample.at, score));
        Scored { points: 1, alerts: u64::from(score.alert) }
    }
}
