//! The store: tenants, limits, and the thread that flushes, seals and lets go.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use oag_runtime::Clock;
use oag_types::{Sample, SeriesKey, Tenant, Timestamp};

use crate::chunk::Point;
use crate::config::{DAY, STEP_MS, minute, minutes};
use crate::seal::{self, merge};
use crate::tenant::{Found, TenantData};
use crate::{SeriesConfig, SeriesError};

/// Longest name and labels of a series together, in bytes.
const KEY_LEN_MAX: usize = 4_096;
/// A file may be replaced while it is being looked for.
const READ_TRIES: u32 = 5;

/// Plain counters for the telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesStats {
    /// Series of all tenants.
    pub series: usize,
    /// Values in memory.
    pub buffered: usize,
    /// Files of days.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that cannot be read at all.
    pub damaged: usize,
}

/// Samples of all tenants in a directory of this machine. Every method blocks.
pub struct SeriesStore {
    shared: Arc<Shared>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    dir: PathBuf,
    config: SeriesConfig,
    clock: Arc<dyn Clock>,
    tenants: Mutex<BTreeMap<Tenant, TenantData>>,
    series: AtomicUsize,
    buffered: AtomicUsize,
    /// One sealing at a time.
    sealing: Mutex<()>,
    sealed_at: AtomicI64,
    failing: AtomicBool,
    lock: File,
}

impl SeriesStore {
    /// Opens a directory, made when absent, with everything in it. Only one process can have it
    /// open. Damaged files do not keep it from opening.
    ///
    /// # Errors
    /// `InUse`, `Io`.
    pub fn open(
        dir: impl AsRef<Path>,
        config: SeriesConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SeriesError> {
        let dir = dir.as_ref().to_owned();
        std::fs::create_dir_all(&dir).map_err(SeriesError::io(&dir))?;
        let lock = lock(&dir)?;
        let (mut tenants, mut series, mut buffered) = (BTreeMap::new(), 0, 0);
        for entry in std::fs::read_dir(&dir).map_err(SeriesError::io(&dir))? {
            let entry = entry.map_err(SeriesError::io(&dir))?;
            let name = entry.file_name().into_string().ok().filter(|_| entry.path().is_dir());
            let Some(tenant) = name.and_then(|name| Tenant::try_from(name).ok()) else { continue };
            let (data, values) = TenantData::open(&entry.path())?;
            series += data.buffer.series.len();
            buffered += values;
            tenants.insert(tenant, data);
        }
        let flush = Duration::from_millis(config.flush_ms.max(1));
        let sealed_at = AtomicI64::new(clock.now().as_millis());
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            config,
            clock,
            tenants: Mutex::new(tenants),
            series: AtomicUsize::new(series),
            buffered: AtomicUsize::new(buffered),
            sealing: Mutex::new(()),
            sealed_at,
            failing: AtomicBool::new(false),
            lock,
        });
        let (wake, woken) = sync_channel(1);
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("series-keeper".to_owned())
            .spawn(move || keep(&worker, &woken, flush))
            .map_err(SeriesError::io(&dir))?;
        Ok(Self { shared, wake: Some(wake), thread: Some(thread) })
    }

    /// Takes a sample into the buffer; it is on the disk after the next flush.
    ///
    /// # Errors
    /// `Refused`, `TooManySeries`, `Full`, `Io` for the first sample of a tenant.
    pub fn append(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        sample: Sample,
    ) -> Result<(), SeriesError> {
        let shared = &self.shared;
        let minute = shared.minute_of(key, sample)?;
        let (series_max, max) = (shared.config.series_max, shared.config.buffered_max);
        let mut tenants = shared.tenants();
        let data = match tenants.get_mut(tenant) {
            Some(data) => data,
            None => {
                let dir = shared.dir.join(tenant.as_str());
                let (data, _) = TenantData::open(&dir)?;
                tenants.entry(tenant.clone()).or_insert(data)
            }
        };
        let new = !data.buffer.knows(key);
        if new && shared.series.load(Ordering::Relaxed) >= series_max {
            return Err(SeriesError::TooManySeries { max: series_max });
        }
        let buffered = shared.buffered.load(Ordering::Relaxed);
        if buffered >= max {
            self.wake();
            return Err(SeriesError::Full { max });
        }
        shared.series.fetch_add(usize::from(new), Ordering::Relaxed);
        let id = data.buffer.id(key);
        if data.buffer.add(id, minute, sample.value, shared.config.downsample) {
            shared.buffered.fetch_add(1, Ordering::Relaxed);
        }
        if shared.under_pressure() {
            self.wake();
        }
        Ok(())
    }

    /// The values of a series from `from` on and before `to`, in order, one per minute, each at
    /// the beginning of its minute.
    ///
    /// # Errors
    /// `Damaged` naming the file when part of it cannot be read; see
    /// [`SeriesStore::range_readable`]. `Io`.
    pub fn range(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, SeriesError> {
        let (samples, mut errors) = self.range_readable(tenant, key, from, to);
        if errors.is_empty() { Ok(samples) } else { Err(errors.swap_remove(0)) }
    }

    /// What can be read of [`SeriesStore::range`], and why the rest cannot.
    pub fn range_readable(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> (Vec<Sample>, Vec<SeriesError>) {
        let minutes = minutes(from, to);
        let mut tries = 0;
        let (points, errors) = loop {
            let found = self.shared.tenants().get(tenant).map(|data| data.find(key, &minutes));
            let Some(found) = found else { return (Vec::new(), Vec::new()) };
            let (points, errors) = read(found, key, &minutes);
            tries += 1;
            if tries == READ_TRIES || !errors.iter().any(is_gone) {
                break (points, errors);
            }
        };
        let sample = |point: Point| {
            let at = Timestamp::from_millis(i64::from(point.minute) * STEP_MS);
            Sample { at, value: point.value }
        };
        (points.into_iter().map(sample).collect(), errors)
    }

    /// The series a tenant has values of, in order.
    #[must_use]
    pub fn series(&self, tenant: &Tenant) -> Vec<SeriesKey> {
        let tenants = self.shared.tenants();
        let series = tenants.get(tenant).map(|data| &data.buffer.series);
        let mut keys: Vec<SeriesKey> =
            series.into_iter().flatten().map(|series| series.key.as_ref().clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Writes what is buffered to the log, durably.
    ///
    /// # Errors
    /// `Io`.
    pub fn flush(&self) -> Result<(), SeriesError> {
        self.shared.flush()
    }

    /// Seals every day that is over and removes days that are too old, as the store's own thread
    /// does from time to time.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn maintain(&self) -> Result<(), SeriesError> {
        self.shared.maintain()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> SeriesStats {
        let tenants = self.shared.tenants();
        let segments = || tenants.values().flat_map(|data| &data.segments);
        SeriesStats {
            series: self.shared.series.load(Ordering::Relaxed),
            buffered: self.shared.buffered.load(Ordering::Relaxed),
            files: segments().count(),
            bytes: segments().map(|segment| segment.bytes).sum(),
            damaged: tenants.values().map(|data| data.bad.len()).sum(),
        }
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A full channel means that it is being woken already.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for SeriesStore {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the series store's thread panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is just being started has it open, too.
        let _ = self.lock.unlock();
    }
}

impl Shared {
    fn tenants(&self) -> MutexGuard<'_, BTreeMap<Tenant, TenantData>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_pressure(&self) -> bool {
        self.buffered.load(Ordering::Relaxed) >= self.config.buffered_max / 4 * 3
    }

    fn minute_of(&self, key: &SeriesKey, sample: Sample) -> Result<u32, SeriesError> {
        let labels = key.labels.iter().map(|(name, value)| name.len() + value.len());
        if key.name.len() + labels.sum::<usize>() > KEY_LEN_MAX {
            return Err(SeriesError::Refused("its series has too long a name"));
        }
        if !sample.value.is_finite() {
            return Err(SeriesError::Refused("its value is not finite"));
        }
        let now = self.clock.now();
        if sample.at.millis_since(now) > self.config.ahead_max_ms {
            return Err(SeriesError::Refused("it is ahead of the clock"));
        }
        let minute = u32::try_from(sample.at.as_millis().div_euclid(STEP_MS)).unwrap_or(0);
        if minute / DAY < self.oldest_day(now) || minute == 0 {
            return Err(SeriesError::Refused("it is older than what is kept"));
        }
        Ok(minute)
    }

    fn oldest_day(&self, now: Timestamp) -> u32 {
        (minute(now) / DAY).saturating_sub(self.config.retention_days)
    }

    fn flush(&self) -> Result<(), SeriesError> {
        let mut first = Ok(());
        for data in self.tenants().values_mut() {
            let flushed = data.wal.flush(&mut data.buffer);
            first = first.and(flushed);
        }
        first
    }

    fn maintain(&self) -> Result<(), SeriesError> {
        let _one = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        self.sealed_at.store(now.as_millis(), Ordering::Relaxed);
        // Only the present minute still changes.
        let ended = minute(now.plus_millis(-self.config.lateness_ms)) / DAY * DAY;
        let until = if self.under_pressure() { minute(now) } else { ended };
        let names: Vec<Tenant> = self.tenants().keys().cloned().collect();
        for name in names {
            let days = self.tenants().get(&name).map(|data| seal::days(data, until));
            for day in days.unwrap_or_default() {
                self.seal(&name, day, until)?;
            }
            if let Some(data) = self.tenants().get_mut(&name) {
                let gone = data.expire(self.oldest_day(now))?;
                self.series.fetch_sub(gone, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn seal(&self, tenant: &Tenant, day: u32, until: u32) -> Result<(), SeriesError> {
        let job = self.tenants().get(tenant).map(|data| seal::plan(data, day, until));
        let Some(job) = job else { return Ok(()) };
        let sealed = seal::write(job, &self.config)?;
        if let Some(data) = self.tenants().get_mut(tenant) {
            let gone = seal::install(data, sealed)?;
            self.buffered.fetch_sub(gone, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What the thread does each time.
    fn tick(&self) {
        let since = self.clock.now().as_millis() - self.sealed_at.load(Ordering::Relaxed);
        let due = since >= self.config.seal_every_ms || self.under_pressure();
        let kept = self.flush().and_then(|()| if due { self.maintain() } else { Ok(()) });
        let failed = kept.is_err();
        if let Err(error) = kept
            && !self.failing.load(Ordering::Relaxed)
        {
            // Once, not at every tick: the next try may well succeed.
            tracing::error!(%error, "samples could not be stored");
        }
        self.failing.store(failed, Ordering::Relaxed);
    }
}

fn keep(shared: &Shared, woken: &Receiver<()>, flush: Duration) {
    // Until the store is dropped.
    while let Ok(()) | Err(RecvTimeoutError::Timeout) = woken.recv_timeout(flush) {
        shared.tick();
    }
    if let Err(error) = shared.flush() {
        tracing::error!(%error, "the last samples could not be stored");
    }
}

/// Reads what was found; minutes in several files are the oldest file's.
fn read(found: Found, key: &SeriesKey, minutes: &Range<u32>) -> (Vec<Point>, Vec<SeriesError>) {
    let mut errors: Vec<SeriesError> = found.bad.iter().map(|file| file.error()).collect();
    let mut parts = Vec::with_capacity(found.segments.len() + 1);
    for segment in found.segments {
        match segment.read(key) {
            Ok(points) => parts.push(points),
            Err(error) => errors.push(error),
        }
    }
    parts.push(found.buffered);
    let mut points = merge(parts);
    points.retain(|point| minutes.contains(&point.minute));
    (points, errors)
}

fn is_gone(error: &SeriesError) -> bool {
    matches!(error, SeriesError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn lock(dir: &Path) -> Result<File, SeriesError> {
    let path = dir.join("series.lock");
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(SeriesError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SeriesError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(SeriesError::io(&path)(error)),
    }
}
