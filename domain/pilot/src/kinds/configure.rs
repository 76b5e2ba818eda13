//! `configure`: set or remove configuration values of a service.

use std::collections::BTreeMap;

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The kind.
#[derive(Debug)]
pub(super) struct Configure;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    set: BTreeMap<String, Option<String>>,
}

const VALUES_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 4096;

impl ActionKind for Configure {
    fn name(&self) -> &'static str {
        "configure"
    }

    fn about(&self) -> &'static str {
        "set or remove configuration values of a service"
    }

    fn permission(&self) -> Permission {
        Permission::new("service:configure")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"set": {
                "type": "object",
                "additionalProperties": {"type": ["string", "null"]},
                "minProperties": 1,
                "maxProperties": VALUES_MAX,
            }},
            "required": ["set"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { set } = params::read(self.name(), context.params)?;
        check(&set)?;
        let service = context.service;
        let replicas = params::whole(context.observed, "replicas").unwrap_or(1).max(2);
        let within =
            params::settle_ms(service).saturating_mul(i64::try_from(replicas).unwrap_or(2));
        let mut before = BTreeMap::new();
        let mut expect = Vec::new();
        let mut changes = Vec::new();
        for (key, value) in &set {
            let field = format!("config.{key}");
            let old = context.observed.text(&field).map(str::to_owned);
            if old != *value {
                changes.push(format!("{key}={}", value.as_deref().unwrap_or("(removed)")));
            }
            before.insert(key.clone(), old);
            expect.push(params::state(field, value.clone(), within));
        }
        if changes.is_empty() {
            return Err(Problem::field("params.set", "every value already is as wanted"));
        }
        expect.extend(params::settled(context.observed, within));
        expect.extend(context.expect_more.iter().cloned());
        Ok(Draft {
            params: json!({"set": set}),
            summary: format!("configure {}: {}", service.name, changes.join(", ")),
            expect,
            risk: Risk::High,
            undo: Undo::By(Box::new(params::spec(service, self.name(), json!({"set": before})))),
            quantity: None,
            affected_share: None,
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { set } = params::read(self.name(), params)?;
        Ok(Operation::Configure(set))
    }
}

fn check(set: &BTreeMap<String, Option<String>>) -> Result<(), Problem> {
    if set.is_empty() || set.len() > VALUES_MAX {
        return Err(Problem::field("params.set", format!("give 1 to {VALUES_MAX} values")));
    }
    for (key, value) in set {
        let good =
            key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if key.is_empty() || key.len() > 128 || !good {
            let text = "use 1 to 128 letters, digits, '_', '.' and '-'";
            return Err(Problem::field(format!("params.set.{key}"), text));
        }
        let value = value.as_deref().unwrap_or_default();
        if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
            let text = format!("at most {VALUE_BYTES_MAX} bytes and no NUL");
            return Err(Problem::field(format!("params.set.{key}"), text));
        }
    }
    Ok(())
}
