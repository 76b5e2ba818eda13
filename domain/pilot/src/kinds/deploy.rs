//! `deploy`: run another version of a service, replacing replicas one after the other.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Deploy;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    pub(super) version: String,
}

impl ActionKind for Deploy {
    fn name(&self) -> &'static str {
        "deploy"
    }

    fn about(&self) -> &'static str {
        "run another version of a service"
    }

    fn permission(&self) -> Permission {
        Permission::new("service:deploy")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"version": {"type": "string", "minLength": 1, "maxLength": 128}},
            "required": ["version"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { version } = params::read(self.name(), context.params)?;
        version_draft(context, &version, "deploy version", "rollback")
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { version } = params::read(self.name(), params)?;
        Ok(Operation::Deploy(version))
    }
}

/// What deploying a version promises; its way back is the other of the two kinds.
pub(super) fn version_draft(
    context: &DraftContext<'_>,
    version: &str,
    verb: &str,
    undo_kind: &str,
) -> Result<Draft, Problem> {
    let service = context.service;
    if version.is_empty() || version.len() > 128 {
        return Err(Problem::field("params.version", "use 1 to 128 characters"));
    }
    let before = context.observed.text("version").unwrap_or_default().to_owned();
    if before == version {
        let text = format!("{} already runs version {version}", service.name);
        return Err(Problem::field("params.version", text));
    }
    let replicas = params::whole(context.observed, "replicas").unwrap_or(1);
    let within =
        params::settle_ms(service).saturating_mul(i64::try_from(replicas.max(1)).unwrap_or(1));
    let mut expect = vec![
        params::state("version", version, within),
        params::state("ready_replicas", replicas, within),
    ];
    expect.extend(context.expect_more.iter().cloned());
    let undo = if before.is_empty() {
        Undo::Impossible("the version before is not known".to_owned())
    } else {
        Undo::By(Box::new(params::spec(service, undo_kind, json!({"version": before}))))
    };
    Ok(Draft {
        params: json!({"version": version}),
        summary: format!("{verb} {version} of {} (from {before})", service.name),
        expect,
        risk: Risk::High,
        undo,
        quantity: None,
        affected_share: None,
    })
}
