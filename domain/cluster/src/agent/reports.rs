//! What a node measured, until the controller has it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::protocol::{Reading, Report, SAMPLES_MAX};

/// Reports that are under way at once, so that a node which comes back with many does not flood
/// the controller.
const UNDER_WAY_MAX: usize = 16;

/// Keeps reports over the end of the process. What it cannot keep is counted, and stays in memory.
pub trait Spool: Send + 'static {
    /// A report that the controller does not have yet.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn keep(&mut self, report: &KeptReport) -> std::io::Result<()>;

    /// Reports up to this number are not needed any more; so many samples of the run were dropped
    /// so far.
    ///
    /// # Errors
    /// When this cannot be kept.
    fn forget(&mut self, up_to: u64, dropped: u64) -> std::io::Result<()>;
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Which run its number belongs to.
    pub run: u64,
    /// Its number.
    pub sequence: u64,
    /// How many samples it has.
    pub samples: u64,
    /// They, as a JSON list.
    pub text: Box<str>,
}

/// What a [`Spool`] has kept of the time before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptReports {
    /// The run that goes on, and the number of its last report; none: a new one begins.
    pub last: Option<(u64, u64)>,
    /// Samples of the run that were dropped.
    pub dropped: u64,
    /// The reports, in their order.
    pub reports: Vec<KeptReport>,
}

/// What has become of reports since the start, and what waits now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportFigures {
    /// Reports made.
    pub made: u64,
    /// Reports the controller has.
    pub acknowledged: u64,
    /// Reports that were sent again.
    pub again: u64,
    /// Samples that were dropped: there was no room, or no controller that could have read them.
    pub dropped: u64,
    /// Times the spool failed.
    pub file_errors: u64,
    /// Reports that wait.
    pub waiting: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Most bytes that wait.
    pub bytes_max: usize,
}

/// All reports that the controller does not have yet.
pub(super) struct Unreported {
    inner: Mutex<Inner>,
    /// There is something to send.
    more: Notify,
}

struct Inner {
    run: u64,
    /// The number of the last report that was made.
    last: u64,
    /// Samples of the run that were dropped.
    dropped: u64,
    queue: VecDeque<KeptReport>,
    /// Of those, under way to the controller.
    sent: usize,
    /// When one of them was sent or acknowledged last.
    moved: Instant,
    bytes: usize,
    bytes_max: usize,
    spool: Option<Box<dyn Spool>>,
    counted: ReportFigures,
}

impl Unreported {
    pub(super) fn new(run: u64, bytes_max: usize) -> Self {
        let inner = Inner {
            run,
            last: 0,
            dropped: 0,
            queue: VecDeque::new(),
            sent: 0,
            moved: Instant::now(),
            bytes: 0,
            bytes_max,
            spool: None,
            counted: ReportFigures::default(),
        };
        Self { inner: Mutex::new(inner), more: Notify::new() }
    }

    /// Goes on with what a spool has kept.
    pub(super) fn restore(&self, spool: Box<dyn Spool>, kept: KeptReports) {
        let mut inner = self.lock();
        inner.spool = Some(spool);
        if let Some((run, last)) = kept.last {
            (inner.run, inner.last, inner.dropped) = (run, last, kept.dropped);
        }
        for report in kept.reports {
            inner.put(report);
        }
        drop(inner);
        self.more.notify_one();
    }

    pub(super) fn add(&self, mut samples: Vec<Reading>) {
        let mut inner = self.lock();
        let all = samples.len();
        samples.retain(|sample| sample.value.is_finite());
        inner.drop_samples((all - samples.len()) as u64);
        for samples in samples.chunks(SAMPLES_MAX) {
            inner.make(samples);
        }
        drop(inner);
        self.more.notify_one();
    }

    /// A new session: what was under way may be lost, and is sent again.
    pub(super) fn begin_anew(&self) {
        self.lock().rewind();
        self.more.notify_one();
    }

    /// Sends again what was under way for too long.
    pub(super) fn look(&self, patience: Duration) {
        let mut inner = self.lock();
        if inner.sent > 0 && inner.moved.elapsed() > patience {
            inner.rewind();
            self.more.notify_one();
        }
    }

    /// Ends when there may be something to send.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }

    /// What is to be sent next.
    pub(super) fn next(&self) -> Vec<Report> {
        self.lock().unsent()
    }

    /// Whether the controller has everything.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// The controller has all reports up to this one.
    pub(super) fn acknowledged(&self, sequence: u64) {
        let mut inner = self.lock();
        let mut taken = 0;
        while inner.queue.front().is_some_and(|first| first.sequence <= sequence) {
            inner.remove_first();
            taken += 1;
        }
        if taken == 0 {
            return;
        }
        inner.counted.acknowledged += taken;
        inner.moved = Instant::now();
        inner.forget(sequence);
        if inner.sent < inner.queue.len() {
            self.more.notify_one();
        }
    }

    pub(super) fn figures(&self) -> ReportFigures {
        let inner = self.lock();
        ReportFigures {
            waiting: inner.queue.len(),
            bytes: inner.bytes,
            bytes_max: inner.bytes_max,
            ..inner.counted
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes a report.
    fn make(&mut self, samples: &[Reading]) {
        let count = samples.len() as u64;
        let text = serde_json::to_string(samples).ok();
        let Some(text) = text.filter(|text| text.len() <= self.bytes_max) else {
            return self.drop_samples(count);
        };
        self.last += 1;
        self.counted.made += 1;
        let report =
            KeptReport { run: self.run, sequence: self.last, samples: count, text: text.into() };
        let kept = self.spool.as_mut().map_or(Ok(()), |spool| spool.keep(&report));
        self.note(kept);
        self.put(report);
    }

    /// Puts a report at the end; the oldest make room for it.
    fn put(&mut self, report: KeptReport) {
        let mut gone = None;
        while self.bytes + report.text.len() > self.bytes_max
            && let Some(first) = self.remove_first()
        {
            self.drop_samples(first.samples);
            gone = Some(first.sequence);
        }
        self.bytes += report.text.len();
        self.queue.push_back(report);
        if let Some(gone) = gone {
            self.forget(gone);
        }
    }

    /// Takes the first one off, whether it was sent or not.
    fn remove_first(&mut self) -> Option<KeptReport> {
        let first = self.queue.pop_front()?;
        self.bytes -= first.text.len();
        self.sent = self.sent.saturating_sub(1);
        Some(first)
    }

    fn unsent(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while self.sent < UNDER_WAY_MAX
            && let Some(kept) = self.queue.get(self.sent)
        {
            let (run, sequence) = (kept.run, kept.sequence);
            let samples = serde_json::from_str(&kept.text).unwrap_or_default();
            reports.push(Report { run, sequence, dropped: self.dropped, samples });
            self.sent += 1;
        }
        if !reports.is_empty() {
            self.moved = Instant::now();
        }
        reports
    }

    fn rewind(&mut self) {
        self.counted.again += self.sent as u64;
        self.sent = 0;
    }

    fn drop_samples(&mut self, samples: u64) {
        self.dropped += samples;
        self.counted.dropped += samples;
    }

    fn forget(&mut self, up_to: u64) {
        let dropped = self.dropped;
        let kept = self.spool.as_mut().map_or(Ok(()), |spool| spool.forget(up_to, dropped));
        self.note(kept);
    }

    /// A spool that fails is counted; it is told to people once.
    fn note(&mut self, kept: std::io::Result<()>) {
        let Err(error) = kept else { return };
        if self.counted.file_errors == 0 {
            tracing::warn!(%error, "reports are not kept over the end of this process");
        }
        self.counted.file_errors += 1;
    }
}
