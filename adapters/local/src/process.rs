//! Processes as the kernel shows them: identity, state, cost, and how to signal exactly one.

use procfs::process::{Process, Stat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// The variable that marks a process as a replica of this installation.
pub(crate) const MARKER: &str = "OPENAUTOGLM_REPLICA";

/// One process, not mistaken for another that got its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks after boot at which it started.
    pub(crate) start_ticks: u64,
}

/// What a live process costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) cpu_ticks: u64,
    pub(crate) resident_bytes: u64,
}

/// A process found by its marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) identity: Identity,
    /// Whether it leads its process group, as every replica does.
    pub(crate) leader: bool,
    pub(crate) marker: String,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid)?;
        Some(Self { pid, start_ticks: stat.starttime })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            stat.starttime == self.start_ticks && !matches!(stat.state, 'Z' | 'X' | 'x')
        })
    }

    pub(crate) fn cost(&self) -> Option<Cost> {
        let stat = stat(self.pid)?;
        (stat.starttime == self.start_ticks).then(|| Cost {
            cpu_ticks: stat.utime + stat.stime,
            resident_bytes: stat.rss * procfs::page_size(),
        })
    }

    /// Signals it. The pid is pinned before its start time is compared, so that a process that
    /// got the number in between is not hit. Says whether the signal was sent.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pinned) => self.is_alive() && pidfd_send_signal(&pinned, signal).is_ok(),
            Err(rustix::io::Errno::NOSYS) => {
                self.is_alive() && rustix::process::kill_process(pid, signal).is_ok()
            }
            Err(_) => false,
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok()
}

/// The boot the start times belong to.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Every process of this user whose marker starts with `prefix`. Reads all of `/proc`.
pub(crate) fn marked(prefix: &str) -> Vec<Marked> {
    let own = rustix::process::getuid().as_raw();
    let Ok(processes) = procfs::process::all_processes() else { return Vec::new() };
    processes
        .flatten()
        .filter(|process| process.uid().is_ok_and(|uid| uid == own))
        .filter_map(|process| read_marker(&process, prefix))
        .collect()
}

fn read_marker(process: &Process, prefix: &str) -> Option<Marked> {
    use std::io::Read;
    let mut bytes = Vec::new();
    process.open_relative("environ").ok()?.take(1 << 20).read_to_end(&mut bytes).ok()?;
    let text = bytes.split(|byte| *byte == 0).find_map(|variable| {
        let text = std::str::from_utf8(variable).ok()?;
        text.strip_prefix(MARKER)?.strip_prefix('=')
    })?;
    if !text.starts_with(prefix) {
        return None;
    }
    let stat = process.stat().ok()?;
    if matches!(stat.state, 'Z' | 'X' | 'x') {
        return None;
    }
    Some(Marked {
        identity: Identity { pid: stat.pid, start_ticks: stat.starttime },
        leader: stat.pgrp == stat.pid,
        marker: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Identity {
        Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn a_process_is_known_by_number_and_start() {
        assert!(own().is_alive());
        let reused = Identity { start_ticks: own().start_ticks + 1, ..own() };
        assert!(!reused.is_alive());
        assert!(!reused.signal(Signal::TERM), "a process with a reused number is never signalled");
        assert_eq!(reused.cost(), None);
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap());
        // Until it is waited for, the child stays in the table of processes.
        while identity.is_some_and(|identity| identity.is_alive()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
