//! The ladder of earned autonomy: every action kind climbs by its own measured record.

use std::collections::BTreeMap;

use oag_types::{KindName, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::GuardError;

/// How far a kind may go by itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// It only proposes.
    #[default]
    Observe,
    /// It plays its plans through without changing anything.
    DryRun,
    /// It acts once a person approved.
    Approve,
    /// It acts by itself, within the limits.
    Automatic,
}

/// What became of a proposal, a dry run or an executed action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A proposal was right, judged by what came.
    ProposalRight,
    /// A proposal was wrong.
    ProposalWrong,
    /// A dry run went through.
    DryRunClean,
    /// A dry run showed a fault.
    DryRunFailed,
    /// Every promised effect came.
    Verified,
    /// A promised effect did not come.
    Failed,
    /// A person took it back.
    Undone,
    /// It cannot be known what happened.
    Unknown,
}

/// Counts since the last change of the rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackRecord {
    /// Proposals that were judged.
    pub proposals: u32,
    /// Of those, the ones that proved right.
    pub proposals_right: u32,
    /// Dry runs.
    pub dry_runs: u32,
    /// Of those, the clean ones.
    pub dry_runs_clean: u32,
    /// Executed and verified.
    pub verified: u32,
    /// Executed without the promised effect.
    pub failed: u32,
    /// Executed and taken back by a person.
    pub undone: u32,
    /// Executed with unknown outcome.
    pub unknown: u32,
}

/// Where a kind stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderEntry {
    /// Its rung.
    pub rung: Rung,
    /// The highest rung it may climb to by itself.
    pub ceiling: Rung,
    /// Its record since the last change.
    #[serde(default)]
    pub record: TrackRecord,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

/// What it takes to climb: the lower end of the Wilson interval of the share of successes must
/// reach `lower_bound`, and there must be enough cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderRules {
    /// The share of successes that must be shown, 0 to 1.
    pub lower_bound: f64,
    /// Standard deviations of the interval: 1.645 stands for 95 % on one side.
    pub z: f64,
    /// Fewest judged proposals to leave observe.
    pub min_proposals: u32,
    /// Fewest dry runs to leave dry run.
    pub min_dry_runs: u32,
    /// Fewest executions to leave approve.
    pub min_executed: u32,
}

/// The ladder of a tenant. A kind without an entry is at observe and may climb to approve.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ladder {
    /// Kinds that left the beginning.
    pub entries: BTreeMap<KindName, LadderEntry>,
    /// What it takes to climb.
    pub rules: LadderRules,
}

/// A change of rung or ceiling, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderChange {
    /// Which kind.
    pub kind: KindName,
    /// The rung before.
    pub from: Rung,
    /// The rung after.
    pub to: Rung,
    /// The ceiling after.
    pub ceiling: Rung,
    /// The person who decided it; nobody when the record did.
    pub by: Option<PrincipalId>,
    /// Why, with the numbers.
    pub reason: String,
    /// The record it rests on.
    pub record: TrackRecord,
    /// When.
    pub at: Timestamp,
}

impl Rung {
    /// The rung above.
    #[must_use]
    pub const fn up(self) -> Self {
        match self {
            Self::Observe => Self::DryRun,
            Self::DryRun => Self::Approve,
            Self::Approve | Self::Automatic => Self::Automatic,
        }
    }

    /// The rung below.
    #[must_use]
    pub const fn down(self) -> Self {
        match self {
            Self::Observe | Self::DryRun => Self::Observe,
            Self::Approve => Self::DryRun,
            Self::Automatic => Self::Approve,
        }
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::DryRun => "dry_run",
            Self::Approve => "approve",
            Self::Automatic => "automatic",
        }
    }
}

impl Default for LadderEntry {
    fn default() -> Self {
        Self {
            rung: Rung::Observe,
            ceiling: Rung::Approve,
            record: TrackRecord::default(),
            changed_at: None,
        }
    }
}

impl Default for LadderRules {
    fn default() -> Self {
        Self { lower_bound: 0.9, z: 1.645, min_proposals: 20, min_dry_runs: 20, min_executed: 30 }
    }
}

impl TrackRecord {
    const fn count(&mut self, outcome: Outcome) {
        let slot = match outcome {
            Outcome::ProposalRight => {
                self.proposals_right = self.proposals_right.saturating_add(1);
                &mut self.proposals
            }
            Outcome::ProposalWrong => &mut self.proposals,
            Outcome::DryRunClean => {
                self.dry_runs_clean = self.dry_runs_clean.saturating_add(1);
                &mut self.dry_runs
            }
            Outcome::DryRunFailed => &mut self.dry_runs,
            Outcome::Verified => &mut self.verified,
            Outcome::Failed => &mut self.failed,
            Outcome::Undone => &mut self.undone,
            Outcome::Unknown => &mut self.unknown,
        };
        *slot = slot.saturating_add(1);
    }

    /// Executed actions, however they ended.
    #[must_use]
    pub const fn executed(&self) -> u32 {
        self.verified
            .saturating_add(self.failed)
            .saturating_add(self.undone)
            .saturating_add(self.unknown)
    }
}

impl LadderRules {
    /// The lower end of the Wilson interval for `successes` out of `trials`; 0 without trials.
    #[must_use]
    pub fn wilson_lower(&self, successes: u32, trials: u32) -> f64 {
        if trials == 0 {
            return 0.0;
        }
        let (n, z2) = (f64::from(trials), self.z * self.z);
        let share = f64::from(successes.min(trials)) / n;
        let middle = share + z2 / (2.0 * n);
        let spread = self.z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        ((middle - spread) / (1.0 + z2 / n)).max(0.0)
    }

    /// Why the record is good enough to leave the rung, or nothing.
    fn earned(&self, rung: Rung, record: &TrackRecord) -> Option<String> {
        let (what, successes, trials, min) = match rung {
            Rung::Observe => {
                ("proposals right", record.proposals_right, record.proposals, self.min_proposals)
            }
            Rung::DryRun => {
                ("dry runs clean", record.dry_runs_clean, record.dry_runs, self.min_dry_runs)
            }
            Rung::Approve => {
                ("executions verified", record.verified, record.executed(), self.min_executed)
            }
            Rung::Automatic => return None,
        };
        let lower = self.wilson_lower(successes, trials);
        (trials > 0 && trials >= min && lower >= self.lower_bound).then(|| {
            format!(
                "{successes} of {trials} {what}: at least {:.1} % with z = {}, {:.1} % were asked",
                lower * 100.0,
                self.z,
                self.lower_bound * 100.0
            )
        })
    }

    fn validate(&self, at: &str) -> Result<(), GuardError> {
        if !(self.lower_bound > 0.0 && self.lower_bound < 1.0) {
            let problem = "must be between 0 and 1, both excluded";
            return Err(GuardError::invalid(format!("{at}.lower_bound"), problem));
        }
        if !(self.z.is_finite() && self.z >= 0.0) {
            let problem = "must be a finite number, 0 or more";
            return Err(GuardError::invalid(format!("{at}.z"), problem));
        }
        Ok(())
    }
}

impl Ladder {
    /// The rung of a kind.
    #[must_use]
    pub fn rung(&self, kind: &KindName) -> Rung {
        self.entries.get(kind).map_or(Rung::Observe, |entry| entry.rung)
    }

    /// The entry of a kind, the beginning when it has none.
    #[must_use]
    pub fn entry(&self, kind: &KindName) -> LadderEntry {
        self.entries.get(kind).cloned().unwrap_or_default()
    }

    /// Counts an outcome; climbs one rung when the record earned it, falls one rung at once on a
    /// failure, and to approve when an outcome is unknown. Every change starts a new record.
    pub fn record(
        &mut self,
        kind: &KindName,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<LadderChange> {
        let entry = self.entries.entry(kind.clone()).or_default();
        entry.record.count(outcome);
        let (to, reason) = match outcome {
            Outcome::Failed => (entry.rung.down(), "a promised effect did not come".to_owned()),
            Outcome::Unknown if entry.rung > Rung::Approve => {
                (Rung::Approve, "the outcome of an action is unknown".to_owned())
            }
            Outcome::Unknown => (entry.rung, String::new()),
            _ if entry.rung < entry.ceiling => match self.rules.earned(entry.rung, &entry.record) {
                Some(reason) => (entry.rung.up(), reason),
                None => (entry.rung, String::new()),
            },
            _ => (entry.rung, String::new()),
        };
        let (from, record) = (entry.rung, entry.record);
        if outcome == Outcome::Failed {
            entry.record = TrackRecord::default();
        }
        if to == from {
            return None;
        }
        let ceiling = entry.ceiling;
        *entry = LadderEntry {
            rung: to,
            ceiling,
            record: TrackRecord::default(),
            changed_at: Some(now),
        };
        Some(LadderChange {
            kind: kind.clone(),
            from,
            to,
            ceiling,
            by: None,
            reason,
            record,
            at: now,
        })
    }

    /// Sets rung and ceiling by a person's decision, and starts a new record.
    ///
    /// # Errors
    /// When the rung is above the ceiling, or no reason is given.
    pub fn set(
        &mut self,
        kind: &KindName,
        rung: Rung,
        ceiling: Rung,
        by: PrincipalId,
        reason: &str,
        now: Timestamp,
    ) -> Result<LadderChange, GuardError> {
        if rung > ceiling {
            let problem =
                format!("'{}' is above the ceiling '{}'", rung.as_str(), ceiling.as_str());
            return Err(GuardError::invalid("rung", problem));
        }
        if reason.trim().is_empty() {
            return Err(GuardError::invalid("reason", "say why, for the ledger"));
        }
        let entry = self.entries.entry(kind.clone()).or_default();
        let (from, record) = (entry.rung, entry.record);
        *entry =
            LadderEntry { rung, ceiling, record: TrackRecord::default(), changed_at: Some(now) };
        let (kind, reason) = (kind.clone(), reason.to_owned());
        Ok(LadderChange { kind, from, to: rung, ceiling, by: Some(by), reason, record, at: now })
    }

    pub(crate) fn validate(&self, at: &str) -> Result<(), GuardError> {
        for (kind, entry) in &self.entries {
            if entry.rung > entry.ceiling {
                let problem = format!(
                    "'{}' is above the ceiling '{}'",
                    entry.rung.as_str(),
                    entry.ceiling.as_str()
                );
                return Err(GuardError::invalid(format!("{at}.entries.{kind}.rung"), problem));
            }
        }
        self.rules.validate(&format!("{at}.rules"))
    }
}
