//! `notify`: tell people. Carried out by the product itself, whatever the service's executor is.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Notify;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[default]
    Info,
    Warning,
    Critical,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    message: String,
    #[serde(default)]
    severity: Level,
}

impl ActionKind for Notify {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn about(&self) -> &'static str {
        "tell people something about a service"
    }

    fn permission(&self) -> Permission {
        Permission::new("notify:send")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "message": {"type": "string", "minLength": 1, "maxLength": 2000},
                "severity": {"enum": ["info", "warning", "critical"]},
            },
            "required": ["message"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { message, severity } = params::read(self.name(), context.params)?;
        if message.trim().is_empty() || message.chars().count() > 2000 {
            return Err(Problem::field("params.message", "use 1 to 2,000 characters"));
        }
        Ok(Draft {
            params: json!({"message": message, "severity": severity}),
            summary: format!("notify about {}: {message}", context.service.name),
            expect: Vec::new(),
            risk: Risk::Low,
            undo: Undo::NotNeeded,
            quantity: None,
            affected_share: None,
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { message, severity } = params::read(self.name(), params)?;
        let severity = match severity {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Critical => "critical",
        };
        Ok(Operation::Notify { severity: severity.to_owned(), message })
    }
}
