//! What an action kind must say about itself. One file in `kinds/` and one line in its table make
//! a new kind.

use oag_guard::Quantity;
use oag_types::{Expectation, Permission, Problem, Repeatability, Risk, Service, Undo};
use serde_json::Value;

use crate::{Observed, Operation};

/// What a kind looks at while drafting an action.
#[derive(Debug, Clone, Copy)]
pub struct DraftContext<'a> {
    /// The service the action is done to.
    pub service: &'a Service,
    /// Its present state.
    pub observed: &'a Observed,
    /// The parameters as they were given.
    pub params: &'a Value,
    /// The metrics that were fresh when the plan was made, for promises.
    pub expect_more: &'a [Expectation],
}

/// An action drafted by its kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The parameters, checked and complete.
    pub params: Value,
    /// One line for people.
    pub summary: String,
    /// What it promises.
    pub expect: Vec<Expectation>,
    /// How much can go wrong.
    pub risk: Risk,
    /// The way back.
    pub undo: Undo,
    /// The quantity it changes, for limits.
    pub quantity: Option<Quantity>,
    /// Share of the service's replicas taken away or restarted at once, 0 to 1, for the blast
    /// radius.
    pub affected_share: Option<f64>,
}

/// A kind of action.
pub trait ActionKind: Send + Sync + std::fmt::Debug {
    /// Its name, such as `scale`.
    fn name(&self) -> &'static str;

    /// One line on what it does, for help and documents.
    fn about(&self) -> &'static str;

    /// The permission it needs.
    fn permission(&self) -> Permission;

    /// What may be done after a crash in the middle of it.
    fn repeat(&self) -> Repeatability;

    /// The JSON schema of its parameters.
    fn params_schema(&self) -> Value;

    /// Checks the parameters against the present state and completes the action.
    ///
    /// # Errors
    /// A problem that names the parameter and says what to do.
    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem>;

    /// What the executor is asked to do.
    ///
    /// # Errors
    /// When the parameters are not those of a draft.
    fn operation(&self, params: &Value) -> Result<Operation, Problem>;
}
