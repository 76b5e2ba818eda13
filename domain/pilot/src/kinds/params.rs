//! What the kinds share: reading parameters and writing common promises.

use oag_types::{
    ActionSpec, Comparison, Expectation, KindName, Observable, Problem, Service, Target,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads parameters into the kind's own struct; null counts as an empty object.
pub(super) fn read<T: DeserializeOwned>(kind: &str, params: &Value) -> Result<T, Problem> {
    let params = if params.is_null() { json!({}) } else { params.clone() };
    serde_json::from_value(params)
        .map_err(|error| Problem::field("params", format!("not valid for '{kind}': {error}")))
}

/// What a service is addressed by.
pub(super) fn target(service: &Service) -> Target {
    Target {
        service: service.name.clone(),
        group: service.group.clone(),
        executor: service.executor.clone(),
    }
}

/// An action of a kind on a service.
pub(super) fn spec(service: &Service, kind: &str, params: Value) -> ActionSpec {
    ActionSpec { kind: KindName::new(kind), target: target(service), params }
}

/// How long a change of replicas may take: eight steps, at least five seconds, at most two minutes.
pub(super) fn settle_ms(service: &Service) -> i64 {
    service.scaling.step_ms.saturating_mul(8).clamp(5_000, 120_000)
}

/// A promise about the state an executor reports.
pub(super) fn state(
    field: impl Into<String>,
    value: impl Into<Value>,
    within_ms: i64,
) -> Expectation {
    Expectation {
        observe: Observable::State(field.into()),
        is: Comparison::Eq,
        value: value.into(),
        within_ms,
        hold_ms: 0,
    }
}

/// A promise that every replica is as wanted, of executors that can tell: what was wanted is set
/// at once, but replicas follow one after the other.
pub(super) fn settled(observed: &crate::Observed, within_ms: i64) -> Option<Expectation> {
    observed.fields.contains_key("settled").then(|| state("settled", true, within_ms))
}

/// A whole number of the observed state.
pub(super) fn whole(observed: &crate::Observed, field: &str) -> Option<u64> {
    observed.fields.get(field).and_then(Value::as_u64)
}
