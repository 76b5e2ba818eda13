//! `rollback`: run the version before again, or a named earlier one.

use oag_types::{Permission, Problem, Repeatability};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{deploy, params};
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Rollback;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default)]
    version: Option<String>,
}

impl ActionKind for Rollback {
    fn name(&self) -> &'static str {
        "rollback"
    }

    fn about(&self) -> &'static str {
        "run the version before again, or a named earlier one"
    }

    fn permission(&self) -> Permission {
        Permission::new("service:rollback")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"version": {"type": "string", "description": "the version before when absent"}},
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { version } = params::read(self.name(), context.params)?;
        let before = context.observed.text("previous_version").map(str::to_owned);
        let version = version.or(before).ok_or_else(|| {
            Problem::field("params.version", "no earlier version is known; name one")
        })?;
        deploy::version_draft(context, &version, "roll back to version", "deploy")
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { version } = params::read(self.name(), params)?;
        let version = version
            .ok_or_else(|| Problem::field("params.version", "missing in a drafted action"))?;
        Ok(Operation::Deploy(version))
    }
}
