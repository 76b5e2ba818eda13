//! Settings of a fleet's controller.

use oag_schedule::Config as ScheduleConfig;
use serde::{Deserialize, Serialize};

/// How a controller treats its nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Order of work and choice of workers.
    pub schedule: ScheduleConfig,
    /// Heartbeats that may be missed before a node is lost.
    pub misses_max: u32,
    /// How long a node whose connection broke may take to come back before its work is given to
    /// others, in milliseconds.
    pub reconnect_ms: u64,
    /// How long nodes may take after a start of the controller to come back with work of the time
    /// before, in milliseconds; then it is begun anew.
    pub restore_ms: u64,
    /// How long kept answers stay after their end, in milliseconds.
    pub kept_ms: i64,
    /// How long a lost node is shown, in milliseconds.
    pub lost_shown_ms: u64,
    /// Nodes that may be known at once.
    pub nodes_max: usize,
    /// Messages that may wait for one node; one that falls behind is disconnected.
    pub outbox_max: usize,
    /// Times one piece of work may be begun.
    pub attempts_max: u32,
    /// Most bytes of one answer.
    pub answer_bytes_max: usize,
    /// How long a node may take for what is answered at once, in milliseconds.
    pub call_ms: u64,
    /// Calls that may be under way at once.
    pub calls_max: usize,
    /// How long a node is given nothing after it could not begin something, in milliseconds.
    pub rest_ms: u64,
    /// Time between two looks at nodes and slices, in milliseconds.
    pub tick_ms: u64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            schedule: ScheduleConfig::default(),
            misses_max: 3,
            reconnect_ms: 2_000,
            restore_ms: 8_000,
            kept_ms: 24 * 3_600_000,
            lost_shown_ms: 24 * 3_600_000,
            nodes_max: 20_000,
            outbox_max: 1_024,
            attempts_max: 5,
            answer_bytes_max: 8 * 1_048_576,
            call_ms: 60_000,
            calls_max: 1_024,
            rest_ms: 1_000,
            tick_ms: 200,
        }
    }
}

/// A setting without meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fleet.{field} must be at least {least}")]
pub struct ConfigError {
    field: &'static str,
    least: u64,
}

impl ClusterConfig {
    /// Checks that every limit can be kept.
    ///
    /// # Errors
    /// When one is zero that must not be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let least = [
            ("misses_max", u64::from(self.misses_max), 1),
            ("nodes_max", self.nodes_max as u64, 1),
            ("outbox_max", self.outbox_max as u64, 16),
            ("attempts_max", u64::from(self.attempts_max), 1),
            ("answer_bytes_max", self.answer_bytes_max as u64, 1_024),
            ("call_ms", self.call_ms, 1),
            ("calls_max", self.calls_max as u64, 1),
            ("tick_ms", self.tick_ms, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((field, _, least)) => Err(ConfigError { field, least }),
            None => Ok(()),
        }
    }
}
