//! The machine the demo ran on, and what processes cost.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Clock ticks per second in which Linux counts processor time for programs, on every machine.
const TICKS: f64 = 100.0;

/// Facts about the machine, as far as they can be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_mib: u64,
    pub(super) kernel: String,
    pub(super) version: &'static str,
    /// Whether this program was built with optimisation.
    pub(super) optimised: bool,
    /// Processes that wanted to run, over the last minute, before and after.
    pub(super) load_before: f64,
    pub(super) load_after: f64,
}

/// Processor time, in percent of one core over the counted steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Processor {
    /// This program: it sends the load.
    pub(super) generator: Option<f64>,
    /// The product, with its balancers.
    pub(super) product: Option<f64>,
    /// All replicas of all five services.
    pub(super) replicas: Option<f64>,
}

impl Machine {
    /// Reads them.
    pub(super) fn read() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kib: u64 = field(&memory, "MemTotal")
            .and_then(|text| text.split_whitespace().next().and_then(|kib| kib.parse().ok()))
            .unwrap_or(0);
        let load = load();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&info, "model name").unwrap_or("unknown").to_owned(),
            memory_mib: kib / 1_024,
            kernel: kernel.trim().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            load_before: load,
            load_after: load,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let built = if self.optimised { "optimised build" } else { "unoptimised build" };
        format!(
            "{} x {}, {} MiB, Linux {}, Open-AutoGLM {} ({built}), load {:.1} before and {:.1} \
             after",
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.version,
            self.load_before,
            self.load_after
        )
    }
}

/// Processes that wanted to run over the last minute.
pub(super) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Seconds of processor time that a process has used.
pub(super) fn cpu_seconds(process: &str) -> Option<f64> {
    cpu_of(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The process of the server on a data directory.
pub(super) fn server_process(data: &Path) -> Option<String> {
    let text = fs::read_to_string(data.join("run.json")).ok()?;
    let running: serde_json::Value = serde_json::from_str(&text).ok()?;
    running.get("pid")?.as_u64().map(|pid| pid.to_string())
}

fn cpu_of(stat: &str) -> Option<f64> {
    // The name, in parentheses, may contain anything; the fields count from behind it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_strange_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 1 1 1";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("nonsense"), None);
        assert!(cpu_seconds("self").is_some());
        assert_eq!(cpu_seconds("0"), None);
    }

    #[test]
    fn the_machine_is_told_in_one_line() {
        let machine = Machine::read();
        assert!(machine.cores >= 1);
        assert!(!machine.line().contains('\n'));
    }
}
