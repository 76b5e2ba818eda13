//! `shed` and `restore`: switch a non-core feature of a service off under pressure, and on again.

use oag_types::{Permission, Problem, Repeatability, Risk, Undo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params;
use crate::{ActionKind, Draft, DraftContext, Operation};

/// The two kinds, told apart by what is wanted.
#[derive(Debug)]
pub(super) struct Feature {
    name: &'static str,
    about: &'static str,
    opposite: &'static str,
    shed: bool,
}

/// `shed`.
pub(super) static SHED: Feature = Feature {
    name: "shed",
    about: "switch a non-core feature of a service off",
    opposite: "restore",
    shed: true,
};

/// `restore`.
pub(super) static RESTORE: Feature = Feature {
    name: "restore",
    about: "switch a shed feature of a service on again",
    opposite: "shed",
    shed: false,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    feature: String,
}

impl ActionKind for Feature {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn permission(&self) -> Permission {
        Permission::new("feature:shed")
    }

    fn repeat(&self) -> Repeatability {
        Repeatability::Idempotent
    }

    fn params_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"feature": {"type": "string"}},
            "required": ["feature"],
            "additionalProperties": false,
        })
    }

    fn draft(&self, context: &DraftContext<'_>) -> Result<Draft, Problem> {
        let Params { feature } = params::read(self.name, context.params)?;
        let service = context.service;
        let known = service.features.iter().find(|known| known.name == feature);
        let known = known.ok_or_else(|| {
            let names: Vec<_> = service.features.iter().map(|f| f.name.as_str()).collect();
            let text = format!(
                "{} has no feature '{feature}'; it has: {}",
                service.name,
                names.join(", ")
            );
            Problem::field("params.feature", text)
        })?;
        if known.core && self.shed {
            let text = format!(
                "'{feature}' is a core feature of {}; core features are never shed",
                service.name
            );
            return Err(Problem::field("params.feature", text));
        }
        let (wanted, field) = (if self.shed { "shed" } else { "on" }, format!("feature.{feature}"));
        if context.observed.text(&field) == Some(wanted) {
            return Err(Problem::field(
                "params.feature",
                format!("'{feature}' is already {wanted}"),
            ));
        }
        let mut expect = vec![params::state(field, wanted, 5_000)];
        expect.extend(context.expect_more.iter().cloned());
        let back = params::spec(service, self.opposite, json!({"feature": feature}));
        Ok(Draft {
            params: json!({"feature": feature}),
            summary: format!("{} the feature '{feature}' of {}", self.name, service.name),
            expect,
            risk: if self.shed { Risk::Medium } else { Risk::Low },
            undo: Undo::By(Box::new(back)),
            quantity: None,
            affected_share: None,
        })
    }

    fn operation(&self, params: &Value) -> Result<Operation, Problem> {
        let Params { feature } = params::read(self.name, params)?;
        Ok(Operation::Shed { feature, shed: self.shed })
    }
}
