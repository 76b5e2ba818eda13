//! What the figures were measured on, and what this process has used of it.

use std::fmt;
use std::fs::read_to_string;
use std::time::Duration;

use anyhow::Context as _;
use oag_runtime::{Clock, SystemClock};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The facts without which a figure says nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Processors this process may use.
    pub(crate) cores: usize,
    /// Their name.
    pub(crate) cpu: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Runnable tasks over the last minute, before the measurement.
    pub(crate) load_1m: f64,
    /// How this program was built.
    pub(crate) profile: &'static str,
}

impl Machine {
    /// Reads them; what cannot be read is `unknown`.
    pub(crate) fn read() -> Self {
        let text = |path: &str| read_to_string(path).unwrap_or_default();
        let cpuinfo = text("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
        let load = text("/proc/loadavg");
        let load = load.split(' ').next().and_then(|first| first.parse().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: model.unwrap_or("unknown").to_owned(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_1m: load.unwrap_or_default(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, kernel, load_1m, profile } = self;
        write!(f, "{cores} cores, {cpu}, Linux {kernel}, {profile} build, load {load_1m}")
    }
}

/// Real time and processor time that something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    /// Real seconds.
    pub(crate) wall_s: f64,
    /// Seconds of processor time of the whole process, every thread included.
    pub(crate) cpu_s: f64,
}

impl Took {
    /// What was used after an earlier moment.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self { wall_s: self.wall_s - earlier.wall_s, cpu_s: self.cpu_s - earlier.cpu_s }
    }
}

/// Reads what another process has used.
pub(crate) struct Meter {
    clock: SystemClock,
    stat: String,
}

impl Meter {
    /// Of the process with this number.
    pub(crate) fn of(process: u32) -> Self {
        Self { clock: SystemClock::new(), stat: format!("/proc/{process}/stat") }
    }

    /// Seconds since this was made, and processor time of the process since it began, in user and
    /// kernel mode, threads that ended included. The system counts in hundredths of a second.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub(crate) fn read(&self) -> anyhow::Result<Took> {
        let stat = read_to_string(&self.stat).context("the process is gone")?;
        let fields = stat.rsplit_once(')').context("no stat")?.1.split_ascii_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        #[expect(clippy::cast_precision_loss, reason = "it is about a hundred")]
        let per_s = rustix::param::clock_ticks_per_second() as f64;
        let wall_s = self.clock.monotonic().as_secs_f64();
        Ok(Took { wall_s, cpu_s: ticks.iter().sum::<f64>() / per_s })
    }
}

/// Measures from where it was started.
pub(crate) struct Stopwatch {
    clock: SystemClock,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self { cpu: cpu_time(), clock: SystemClock::new() }
    }

    /// What has been used since the start.
    pub(crate) fn took(&self) -> Took {
        let wall = self.clock.monotonic();
        let cpu = cpu_time().saturating_sub(self.cpu);
        Took { wall_s: wall.as_secs_f64(), cpu_s: cpu.as_secs_f64() }
    }
}

/// Processor time of this process in user and kernel mode, threads that ended included.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// Resident memory of this process in MB (10^6 bytes): now, and at most since it started.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn resident_mb() -> anyhow::Result<(f64, f64)> {
    let status = read_to_string("/proc/self/status").context("/proc/self/status")?;
    let field = |name: &str| -> anyhow::Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        let number = line.split_ascii_whitespace().nth(1).context("no number")?;
        Ok(number.parse::<f64>()? * 1_024.0 / 1e6)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
