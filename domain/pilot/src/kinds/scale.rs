//! `scale`: bring a service to a number of replicas.

use oag_guard::Quantity;
use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Scale;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    replicas: u32,
}

impl ActionKind for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn about(&self) -> &'static str {
        "bring a service to a number of replicas"
    }

    fn permission(&self) -> Permission {
        Permission::new("service:scale")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"replicas": {"type": "integer", "minimum": 0, "maximum": 10_000}},
            "required": ["replicas"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { replicas } = params::read(self.name(), context.params)?;
        let service = context.service;
        let now = params::whole(context.observed, "replicas").ok_or_else(|| {
            Problem::field("service", "its executor does not report how many replicas it has")
        })?;
        let (least, most) = (service.scaling.min_replicas, service.scaling.max_replicas);
        if replicas < least || replicas > most {
            return Err(Problem::field(
                "params.replicas",
                format!("{replicas} is outside {least} to {most}, the bounds of {}", service.name),
            ));
        }
        if u64::from(replicas) == now {
            return Err(Problem::field(
                "params.replicas",
                format!("{} already has {now} replicas", service.name),
            ));
        }
        let lost = now.saturating_sub(u64::from(replicas));
        #[expect(clippy::cast_precision_loss, reason = "replica counts are far below 2^52")]
        let (from, to, share) = (now as f64, f64::from(replicas), lost as f64 / now.max(1) as f64);
        let mut expect =
            vec![params::state("ready_replicas", replicas, params::settle_ms(service))];
        expect.extend(context.expect_more.iter().cloned());
        Ok(Draft {
            params: json!({"replicas": replicas}),
            summary: format!("scale {} to {replicas} replicas (from {now})", service.name),
            expect,
            risk: if lost == 0 { Risk::Low } else { Risk::Medium },
            undo: Undo::By(Box::new(params::spec(service, self.name(), json!({"replicas": now})))),
            quantity: Some(Quantity { name: "replicas".to_owned(), from, to }),
            affected_share: (lost > 0).then_some(share),
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { replicas } = params::read(self.name(), params)?;
        Ok(Operation::SetReplicas(replicas))
    }
}
