//! What a proposal says will come, in figures that can be looked at afterwards.

use oag_types::{Comparison, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Observed;
use crate::verify::keeps;

/// What one action of a proposal claims about the time after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The action, counted from 0.
    pub action: usize,
    /// The service it is about.
    pub service: ServiceName,
    /// What the state shows once somebody has done the same, or more of it.
    pub like: Option<Fact>,
    /// What is measured afterwards.
    pub figures: Option<Figures>,
    /// Length of a step of the service, in milliseconds.
    pub step_ms: i64,
    /// Steps it speaks of, after the one it is made in.
    pub steps: u32,
}

/// A fact of a service's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The field of the state.
    pub field: String,
    /// How it compares.
    pub is: Comparison,
    /// With what.
    pub value: Value,
}

/// Values of a metric that are foretold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The metric of the service.
    pub metric: String,
    /// The value it is compared with, in the metric's unit.
    pub limit: f64,
    /// What the values will do.
    pub foretold: Foretold,
    /// Most that would be carried once it is done, in the metric's unit, when that is known.
    pub enough: Option<f64>,
    /// Whether the values alone can show that the proposal was right. Otherwise they can only show
    /// that it was wrong.
    pub proves: bool,
    /// What must stay as it is for the values to say anything.
    pub rests_on: Option<Fact>,
}

/// What values will do over the steps a claim speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foretold {
    /// At least one is above the limit.
    Passes,
    /// None is above the limit.
    Stays,
    /// The last two are not both below the limit.
    Lasts,
}

impl Fact {
    /// A field with this value.
    #[must_use]
    pub fn new(field: impl Into<String>, is: Comparison, value: impl Into<Value>) -> Self {
        Self { field: field.into(), is, value: value.into() }
    }

    /// Whether the state shows it. What is not reported shows nothing.
    #[must_use]
    pub fn holds(&self, observed: &Observed) -> bool {
        observed.fields.get(&self.field).is_some_and(|actual| keeps(self.is, &self.value, actual))
    }
}

impl Claim {
    /// The time it speaks of when made at a moment: from the beginning of the next step, up to
    /// the end of its last one.
    #[must_use]
    pub fn window(&self, made_at: Timestamp) -> (Timestamp, Timestamp) {
        let step_ms = self.step_ms.max(1);
        let first = made_at.as_millis().div_euclid(step_ms) + 1;
        let from = Timestamp::from_millis(first.saturating_mul(step_ms));
        (from, from.plus_millis(step_ms.saturating_mul(i64::from(self.steps))))
    }
}
