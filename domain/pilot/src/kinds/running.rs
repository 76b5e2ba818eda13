//! `start` and `stop`: run a service with the replicas it had, or none of them.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The two kinds, told apart by what is wanted.
#[derive(Debug)]
pub(super) struct Running {
    name: &'static str,
    about: &'static str,
    opposite: &'static str,
    run: bool,
}

/// `start`.
pub(super) static START: Running = Running {
    name: "start",
    about: "start a stopped service with the replicas it had",
    opposite: "stop",
    run: true,
};

/// `stop`.
pub(super) static STOP: Running = Running {
    name: "stop",
    about: "stop every replica of a service; it remembers how many",
    opposite: "start",
    run: false,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {}

impl ActionKind for Running {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn permission(&self) -> Permission {
        Permission::new(format!("service:{}", self.name))
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({"type": "object", "properties": {}, "additionalProperties": false})
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params {} = params::read(self.name, context.params)?;
        let service = context.service;
        let running = context.observed.fields.get("running").and_then(Value::as_bool);
        if running == Some(self.run) {
            let state = if self.run { "running" } else { "stopped" };
            return Err(Problem::field("service", format!("{} is already {state}", service.name)));
        }
        let mut expect = vec![params::state("running", self.run, params::settle_ms(service))];
        if !self.run {
            expect.push(params::state("ready_replicas", 0, params::settle_ms(service)));
        }
        expect.extend(params::settled(context.observed, params::settle_ms(service)));
        expect.extend(context.expect_more.iter().cloned());
        Ok(Draft {
            params: json!({}),
            summary: format!("{} {}", self.name, service.name),
            expect,
            risk: if self.run { Risk::Low } else { Risk::High },
            undo: Undo::By(Box::new(params::spec(service, self.opposite, json!({})))),
            quantity: None,
            affected_share: (!self.run).then_some(1.0),
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params {} = params::read(self.name, params)?;
        Ok(Operation::SetRunning(self.run))
    }
}
