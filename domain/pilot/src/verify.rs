//! Comparing the promised effects of an action with what came.

use oag_runtime::ShutdownHandle;
use oag_types::{
    Action, Comparison, Expectation, Measured, Observable, PlanId, ServiceName, Tenant,
    Verification, VerificationState,
};
use serde_json::Value;

use crate::Pilot;

/// How watching the effects of an action ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Watched {
    /// It can be told.
    Ended(Verification),
    /// A newer plan took over.
    Superseded(PlanId, Verification),
    /// The process drains; verification begins anew after the next start.
    Interrupted,
}

impl Pilot {
    /// Looks until every promised effect is there and stayed as long as promised, or the time for
    /// it is over.
    pub(crate) async fn watch_effects(
        &self,
        tenant: &Tenant,
        plan: PlanId,
        action: &Action,
        shutdown: &ShutdownHandle,
    ) -> Watched {
        let service = &action.spec.target.service;
        let begin = self.clock.monotonic();
        let within = action.expect.iter().map(|e| e.within_ms).max().unwrap_or(0).max(0);
        let mut all_since = None;
        loop {
            let measured = self.measure(tenant, service, action).await;
            let elapsed = millis(self.clock.monotonic().saturating_sub(begin));
            let ended = |state| Verification { state, measured: measured.clone(), at: self.now() };
            if let Some(newer) = self.asked_to_make_way(tenant, service, plan) {
                return Watched::Superseded(newer, ended(VerificationState::Superseded));
            }
            if measured.iter().all(|m| m.holds) && all_since.is_none() {
                all_since = Some(elapsed);
            }
            match all_since {
                Some(since) if broke(&measured, elapsed - since) => {
                    return Watched::Ended(ended(VerificationState::Missed));
                }
                Some(since) if elapsed - since >= longest_hold(action) => {
                    return Watched::Ended(ended(VerificationState::Reached));
                }
                None if elapsed > within => {
                    return Watched::Ended(ended(VerificationState::Missed));
                }
                _ => {}
            }
            let pause = std::time::Duration::from_millis(self.config.look_ms.max(10));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.draining() => return Watched::Interrupted,
            }
        }
    }

    async fn measure(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        action: &Action,
    ) -> Vec<Measured> {
        let needs_state = action.expect.iter().any(|e| matches!(e.observe, Observable::State(_)));
        let state = match self.executors.get(&action.spec.target.executor) {
            Some(executor) if needs_state => executor.observe(tenant, service).await.ok(),
            _ => None,
        };
        let mut measured = Vec::with_capacity(action.expect.len());
        for expected in &action.expect {
            let actual = match &expected.observe {
                Observable::State(field) => state
                    .as_ref()
                    .and_then(|state| state.fields.get(field).cloned())
                    .unwrap_or_default(),
                Observable::Metric(name) => self
                    .meter
                    .latest(tenant, service, name)
                    .await
                    .map(Value::from)
                    .unwrap_or_default(),
            };
            let holds = holds(expected, &actual);
            measured.push(Measured { expected: expected.clone(), actual, holds });
        }
        measured
    }

    fn asked_to_make_way(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        plan: PlanId,
    ) -> Option<PlanId> {
        let busy = self.lock_busy();
        let mine = busy.get(&(tenant.clone(), service.clone())).filter(|busy| busy.plan == plan)?;
        mine.make_way_for
    }
}

/// Whether the actual value keeps the promise. What was not seen keeps none.
pub(crate) fn holds(expected: &Expectation, actual: &Value) -> bool {
    keeps(expected.is, &expected.value, actual)
}

/// Whether an actual value compares with a wanted one as it should.
pub(crate) fn keeps(is: Comparison, wanted: &Value, actual: &Value) -> bool {
    match is {
        Comparison::Eq => equal(wanted, actual),
        Comparison::Le => compare(actual, wanted, |a, b| a <= b),
        Comparison::Ge => compare(actual, wanted, |a, b| a >= b),
    }
}

fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected.as_f64(), actual.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= a.abs().max(b.abs()) * 1e-6,
        // A removed value is promised as null and seen as absent.
        _ => expected == actual,
    }
}

fn compare(left: &Value, right: &Value, keeps: impl Fn(f64, f64) -> bool) -> bool {
    matches!((left.as_f64(), right.as_f64()), (Some(a), Some(b)) if keeps(a, b))
}

/// Whether an effect that must stay for longer than `held_ms` is gone.
fn broke(measured: &[Measured], held_ms: i64) -> bool {
    measured.iter().any(|m| !m.holds && m.expected.hold_ms > 0 && held_ms <= m.expected.hold_ms)
}

fn longest_hold(action: &Action) -> i64 {
    action.expect.iter().map(|e| e.hold_ms).max().unwrap_or(0).max(0)
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expectation(is: Comparison, value: Value) -> Expectation {
        let observe = Observable::State("x".into());
        Expectation { observe, is, value, within_ms: 0, hold_ms: 0 }
    }

    #[test]
    fn promises_are_compared_as_they_are_meant() {
        let cases = [
            (Comparison::Eq, json!(3), json!(3), true),
            (Comparison::Eq, json!(3), json!(3.000_000_1), true),
            (Comparison::Eq, json!(3), json!(4), false),
            (Comparison::Eq, json!("a"), json!("a"), true),
            (Comparison::Eq, json!(null), json!(null), true),
            (Comparison::Eq, json!(true), json!(null), false),
            (Comparison::Le, json!(0.85), json!(0.85), true),
            (Comparison::Le, json!(0.85), json!(0.86), false),
            (Comparison::Ge, json!(2), json!(3), true),
            (Comparison::Ge, json!(2), json!("3"), false),
        ];
        for (is, promised, actual, keeps) in cases {
            assert_eq!(
                holds(&expectation(is, promised.clone()), &actual),
                keeps,
                "{is:?} {promised}"
            );
        }
    }

    #[test]
    fn what_was_not_seen_keeps_no_promise() {
        for is in [Comparison::Le, Comparison::Ge] {
            assert!(!holds(&expectation(is, json!(1)), &Value::Null));
        }
        assert!(!holds(&expectation(Comparison::Eq, json!(1)), &Value::Null));
    }
}
