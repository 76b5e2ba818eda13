//! Settings of the loop, what it is made of, and what it counts.

use std::sync::Arc;

use oag_runtime::{Clock, IdSource};
use serde::{Deserialize, Serialize};

use crate::{Decision, DecisionPolicy, Desk, SignalHub};

/// Settings of the loop. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpsConfig {
    /// How often the loop looks which services are due at least; up to four times as often where
    /// they are due at different moments.
    pub tick_ms: u64,
    /// The numbers decisions go by.
    pub policy: DecisionPolicy,
    /// Steps of each series a decision sees.
    pub view_steps: usize,
    /// Steps without a finding after which it is over.
    pub close_after_steps: u32,
    /// Steps before a proposal that was not taken up is made again.
    pub repropose_after_steps: u32,
    /// Longest a source may take to answer.
    pub source_timeout_ms: u64,
    /// Most proposals of a tenant that are watched at once until it is known whether they were
    /// right; more are made and not judged.
    pub trials_max: usize,
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self {
            tick_ms: 1_000,
            policy: DecisionPolicy::default(),
            view_steps: 60,
            close_after_steps: 2,
            repropose_after_steps: 10,
            source_timeout_ms: 10_000,
            trials_max: 20_000,
        }
    }
}

/// What the loop is made of.
pub struct OpsParts {
    /// Signals in memory.
    pub hub: Arc<SignalHub>,
    /// The pilot and the catalogue.
    pub desk: Arc<dyn Desk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids for findings and stories.
    pub ids: Arc<dyn IdSource>,
    /// Settings.
    pub config: OpsConfig,
}

/// What the loop has counted since it was made; `open_findings` and `open_trials` are present
/// numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OpsCounters {
    /// Steps taken, over all tenants.
    pub steps: u64,
    /// Steps left out because the one before was still running.
    pub overruns: u64,
    /// Decisions of single services.
    pub decisions: u64,
    /// Decisions of single services that came too late and were left out.
    pub skipped: u64,
    /// Findings recorded.
    pub findings: u64,
    /// Findings that were over.
    pub closed: u64,
    /// Proposals made.
    pub proposals: u64,
    /// Proposals not made because the same one was made a short while ago.
    pub held_back: u64,
    /// Proposals the pilot refused.
    pub refused: u64,
    /// Calls to the desk that failed.
    pub desk_errors: u64,
    /// Rounds of sources.
    pub collected: u64,
    /// Rounds of sources that failed or took too long.
    pub source_errors: u64,
    /// Proposals that proved right.
    pub proved_right: u64,
    /// Proposals that proved wrong.
    pub proved_wrong: u64,
    /// Proposals of which it cannot be told.
    pub proved_nothing: u64,
    /// Findings that are not over.
    pub open_findings: u64,
    /// Actions of proposals that are being watched.
    pub open_trials: u64,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// Services that were due.
    pub due: usize,
    /// Whether the step was left out because the one before was still running.
    pub overrun: bool,
    /// What was decided.
    pub decision: Decision,
    /// Findings recorded.
    pub findings: Vec<oag_types::Finding>,
    /// Plans proposed.
    pub plans: Vec<oag_types::PlanId>,
    /// What the pilot refused, and why.
    pub refused: Vec<oag_types::Problem>,
}
