//! How loaded the machine of a node is.

use std::sync::{Mutex, PoisonError};

/// Shares of the host in use, each from 0 to 1. What cannot be read is absent, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostLoad {
    /// Of its processors, since the last look.
    pub cpu: Option<f32>,
    /// Of its memory: what is not available without taking it from somebody, over all.
    pub memory: Option<f32>,
}

/// Looks at the host; each meter measures from its own last look.
#[derive(Debug)]
pub struct HostMeter {
    last: Mutex<Option<Ticks>>,
}

/// Processor time of a host since it was started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Default for HostMeter {
    fn default() -> Self {
        Self { last: Mutex::new(read("/proc/stat").as_deref().and_then(ticks)) }
    }
}

impl HostMeter {
    /// Measures from now on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How loaded the host is, and has been since the last look.
    pub fn look(&self) -> HostLoad {
        let now = read("/proc/stat").as_deref().and_then(ticks);
        let last = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now)
        };
        let cpu = last.zip(now).and_then(|(before, after)| share(before, after));
        HostLoad { cpu, memory: read("/proc/meminfo").as_deref().and_then(memory) }
    }
}

/// Memory of this process that is in RAM, in bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    kilobytes(&read("/proc/self/status")?, "VmRSS:").map(|kilobytes| kilobytes * 1_024)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().take(8).map_while(|n| n.parse().ok()).collect();
    // Guests are counted among user and nice already; waiting for the disk is no work.
    let idle = fields.get(3)? + fields.get(4).unwrap_or(&0);
    let all = fields.iter().sum();
    Some(Ticks { busy: all - idle, all })
}

#[expect(clippy::cast_precision_loss, reason = "ticks between two looks are few")]
fn share(before: Ticks, after: Ticks) -> Option<f32> {
    let all = after.all.saturating_sub(before.all);
    let busy = after.busy.saturating_sub(before.busy);
    (all > 0).then(|| (busy as f32 / all as f32).min(1.0))
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn memory(meminfo: &str) -> Option<f32> {
    let total = kilobytes(meminfo, "MemTotal:").filter(|total| *total > 0)?;
    let available = kilobytes(meminfo, "MemAvailable:")?;
    Some(total.saturating_sub(available) as f32 / total as f32)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_as_the_kernel_writes_them() {
        let before = ticks("cpu  100 0 50 800 50 0 0 0 9 9\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(before, Ticks { busy: 150, all: 1_000 });
        let after = ticks("cpu  130 0 70 840 60 0 0 0 9 9\n").unwrap();
        assert_eq!(share(before, after), Some(0.5));
        assert_eq!(share(before, before), None, "no time has passed");
        assert_eq!(ticks("intr 1 2 3"), None);
        let text = "MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:   250 kB\n";
        assert_eq!(memory(text), Some(0.75));
        assert_eq!(memory("MemTotal:  1000 kB\n"), None, "missing is not zero");
    }

    #[test]
    fn this_host_is_read() {
        let meter = HostMeter::new();
        let load = meter.look();
        assert!(load.memory.is_some_and(|share| share > 0.0 && share < 1.0), "{load:?}");
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
