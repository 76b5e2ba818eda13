//! `breaker`: trip or reset the circuit breaker in front of a service.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Breaker;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Closed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    state: State,
}

impl ActionKind for Breaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn about(&self) -> &'static str {
        "open (trip) or close (reset) the circuit breaker of a service"
    }

    fn permission(&self) -> Permission {
        Permission::new("breaker:operate")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"state": {"enum": ["open", "closed"]}},
            "required": ["state"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { state } = params::read(self.name(), context.params)?;
        let service = context.service;
        let (wanted, back, verb) = match state {
            State::Open => ("open", State::Closed, "open"),
            State::Closed => ("closed", State::Open, "close"),
        };
        let now = context.observed.text("breaker").ok_or_else(|| {
            Problem::field("service", format!("{} has no circuit breaker", service.name))
        })?;
        if now == wanted {
            let text = format!("the breaker of {} is already {wanted}", service.name);
            return Err(Problem::field("params.state", text));
        }
        let mut expect = vec![params::state("breaker", wanted, 5_000)];
        expect.extend(context.expect_more.iter().cloned());
        Ok(Draft {
            params: json!({"state": state}),
            summary: format!("{verb} the circuit breaker of {}", service.name),
            expect,
            risk: if state == State::Open { Risk::High } else { Risk::Medium },
            undo: Undo::By(Box::new(params::spec(service, self.name(), json!({"state": back})))),
            quantity: None,
            affected_share: (state == State::Open).then_some(1.0),
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { state } = params::read(self.name(), params)?;
        Ok(Operation::SetBreaker(state == State::Open))
    }
}
