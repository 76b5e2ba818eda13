//! `restart`: replace every replica by a fresh one, without losing capacity on the way.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Restart;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// What the executor's count of restarts will be; filled in by the draft, which makes the
    /// action observable after a crash.
    #[serde(default)]
    restarts: Option<u64>,
}

impl ActionKind for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn about(&self) -> &'static str {
        "replace every replica of a service by a fresh one"
    }

    fn permission(&self) -> Permission {
        Permission::new("service:restart")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Observable
    }

    fn params_schema(&self) -> Value {
        json!({"type": "object", "properties": {}, "additionalProperties": false})
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { restarts } = params::read(self.name(), context.params)?;
        if restarts.is_some() {
            return Err(Problem::field(
                "params.restarts",
                "is filled in by the product; leave it out",
            ));
        }
        let service = context.service;
        let next = params::whole(context.observed, "restarts").unwrap_or(0) + 1;
        let replicas = params::whole(context.observed, "replicas").unwrap_or(1);
        let within =
            params::settle_ms(service).saturating_mul(i64::try_from(replicas.max(1)).unwrap_or(1));
        let mut expect = vec![
            params::state("restarts", next, within),
            params::state("ready_replicas", replicas, within),
        ];
        expect.extend(params::settled(context.observed, within));
        expect.extend(context.expect_more.iter().cloned());
        Ok(Draft {
            params: json!({"restarts": next}),
            summary: format!("restart {} ({replicas} replicas, one after the other)", service.name),
            expect,
            risk: Risk::Medium,
            undo: Undo::NotNeeded,
            quantity: None,
            affected_share: None,
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { restarts } = params::read(self.name(), params)?;
        let count = restarts
            .ok_or_else(|| Problem::field("params.restarts", "missing in a drafted action"))?;
        Ok(Operation::Restart(count))
    }
}
