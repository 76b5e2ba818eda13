//! Which loopback ports are free to give away.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::{LocalError, PortRange};

/// Gives out ports nobody listens on and that were not given out before.
#[derive(Debug)]
pub(crate) struct Ports {
    range: PortRange,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u16,
    taken: BTreeSet<u16>,
}

impl Ports {
    /// `seed` moves the first port that is tried, so that installations rarely meet.
    pub(crate) fn new(range: PortRange, seed: u64) -> Self {
        let size = u64::from(range.last.saturating_sub(range.first)) + 1;
        let offset = u16::try_from(seed % size).unwrap_or(0);
        let next = range.first.saturating_add(offset);
        Self { range, state: Mutex::new(State { next, taken: BTreeSet::new() }) }
    }

    /// A free port, taken until `release`.
    pub(crate) fn take(&self) -> Result<u16, LocalError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in self.range.first..=self.range.last {
            let port = state.next;
            state.next = if port >= self.range.last { self.range.first } else { port + 1 };
            if !state.taken.contains(&port) && is_free(port) {
                state.taken.insert(port);
                return Ok(port);
            }
        }
        Err(LocalError::NoPort { first: self.range.first, last: self.range.last })
    }

    /// Marks a port of an earlier process as taken.
    pub(crate) fn reserve(&self, port: u16) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).taken.insert(port);
    }

    pub(crate) fn release(&self, port: u16) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&port);
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_until_released() {
        let ports = Ports::new(PortRange { first: 19_310, last: 19_312 }, 1);
        let given: BTreeSet<u16> = (0..3).filter_map(|_| ports.take().ok()).collect();
        assert!(given.len() <= 3);
        assert!(matches!(ports.take(), Err(LocalError::NoPort { .. })));
        let Some(port) = given.first() else { return };
        ports.release(*port);
        assert_eq!(ports.take().ok(), Some(*port));
    }
}
