//! `script`: run a prepared script of a service's entry. It may do anything, so it is neither
//! idempotent nor observable: after a crash its outcome is unknown and a person is asked.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Script;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    script: String,
    #[serde(default)]
    args: Vec<String>,
}

const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 1024;

impl ActionKind for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn about(&self) -> &'static str {
        "run a prepared script of a service"
    }

    fn permission(&self) -> Permission {
        Permission::new("script:run")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Neither
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "script": {"type": "string"},
                "args": {"type": "array", "items": {"type": "string"}, "maxItems": ARGS_MAX},
            },
            "required": ["script"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { script, args } = params::read(self.name(), context.params)?;
        let service = context.service;
        let prepared = service.spec.get("scripts").and_then(Value::as_object);
        if !prepared.is_some_and(|scripts| scripts.contains_key(&script)) {
            let names: Vec<_> = prepared.into_iter().flat_map(|s| s.keys().cloned()).collect();
            let text = format!(
                "{} has no prepared script '{script}'; it has: {}",
                service.name,
                names.join(", ")
            );
            return Err(Problem::field("params.script", text));
        }
        if args.len() > ARGS_MAX || args.iter().any(|a| a.len() > ARG_BYTES_MAX || a.contains('\0'))
        {
            let text =
                format!("at most {ARGS_MAX} arguments of {ARG_BYTES_MAX} bytes, without NUL");
            return Err(Problem::field("params.args", text));
        }
        let shown = if args.is_empty() { String::new() } else { format!(" {}", args.join(" ")) };
        Ok(Draft {
            params: json!({"script": script, "args": args}),
            summary: format!("run the script '{script}{shown}' of {}", service.name),
            expect: context.expect_more.to_vec(),
            risk: Risk::High,
            undo: Undo::Impossible("what a script did is not known to the product".to_owned()),
            quantity: None,
            affected_share: None,
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { script, args } = params::read(self.name(), params)?;
        Ok(Operation::RunScript { script, args })
    }
}
