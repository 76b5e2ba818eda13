//! Synthetic services and worlds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oag_insight::Forecast;
use oag_ops::{
    Capacity, CapacitySource, Decision, Direction, Fleet, PastOutlook, SeriesView, ServiceSnapshot,
};
use oag_pilot::Observed;
use oag_types::{Dependency, ScalingSpec, Service, ServiceName, Timestamp};
use serde_json::json;

pub(crate) const STEP_MS: i64 = 30_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_020_000)
}

pub(crate) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(crate) fn service(text: &str) -> Service {
    Service {
        name: name(text),
        group: "shop".parse().unwrap(),
        executor: "local".to_owned(),
        spec: json!(null),
        depends_on: Vec::new(),
        scaling: ScalingSpec {
            capacity_per_replica: Some(200.0),
            max_replicas: 20,
            ..ScalingSpec::default()
        },
        features: Vec::new(),
    }
}

pub(crate) fn calls(service: &str, calls_per_request: f64) -> Dependency {
    Dependency { service: name(service), calls_per_request, scales_along: true }
}

pub(crate) fn observed(replicas: u32, ready: u32) -> Observed {
    let fields: BTreeMap<_, _> = [
        ("replicas".to_owned(), json!(replicas)),
        ("ready_replicas".to_owned(), json!(ready)),
        ("running".to_owned(), json!(true)),
        ("version".to_owned(), json!("1")),
    ]
    .into();
    Observed { revision: 1, fields }
}

pub(crate) fn view(values: &[Option<f64>]) -> SeriesView {
    let last = values.iter().rposition(Option::is_some);
    let age = last.map(|at| (values.len() - 1 - at) as i64 * STEP_MS);
    SeriesView {
        step_ms: STEP_MS,
        values: values.to_vec(),
        last_step_at: now(),
        newest_at: age.map(|age| now().plus_millis(-age)),
        series: usize::from(last.is_some()),
        score: None,
    }
}

pub(crate) fn flat(value: f64) -> SeriesView {
    view(&[Some(value); 30])
}

pub(crate) fn forecast(peak: f64) -> Forecast {
    Forecast {
        mean: vec![peak * 0.95; 10],
        lo: vec![peak * 0.8; 10],
        hi: vec![peak * 1.1; 10],
        plan: vec![peak; 10],
        method: "test",
    }
}

/// A calm service: `load` requests/s on `replicas` replicas of 200 requests/s each.
pub(crate) fn snapshot(service: Service, replicas: u32, load: f64) -> ServiceSnapshot {
    let utilisation = (load / (f64::from(replicas) * 200.0)).min(1.0);
    ServiceSnapshot {
        due: true,
        observed: Some(observed(replicas, replicas)),
        load: flat(load),
        utilisation: flat(utilisation),
        utilisation_metric: "utilisation",
        latency_p99_ms: flat(50.0),
        error_rate: flat(0.0),
        memory_usage: view(&[None; 30]),
        in_flight: view(&[None; 30]),
        fresh: true,
        capacity: Some(Capacity { per_replica: 200.0, source: CapacitySource::Stated }),
        load_forecast: Some(forecast(load)),
        utilisation_forecast: None,
        history: Vec::new(),
        last_scale: None,
        last_up_at: None,
        last_down_at: None,
        deployed: None,
        shed_by_loop: Vec::new(),
        active: None,
        service,
    }
}

/// Outlooks of the last decisions, oldest first, one step apart up to now.
pub(crate) fn history(needed: &[u32]) -> Vec<PastOutlook> {
    let count = needed.len() as i64;
    (0..)
        .zip(needed)
        .map(|(at, needed)| PastOutlook {
            at: now().plus_millis((at - count) * STEP_MS),
            basis: Some(oag_ops::Basis::Load),
            peak: f64::from(*needed) * 170.0,
            needed: *needed,
            recommended: None,
        })
        .collect()
}

pub(crate) fn fleet(services: impl IntoIterator<Item = ServiceSnapshot>) -> Fleet {
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by(|a, b| a.service.name.cmp(&b.service.name));
    Fleet { services }
}

/// A decision as a few lines of text.
pub(crate) fn show(decision: &Decision) -> String {
    let mut text = String::new();
    for finding in &decision.findings {
        writeln!(
            text,
            "{:?} {:?} {}: {}",
            finding.severity, finding.kind, finding.service, finding.summary
        )
        .unwrap();
    }
    for proposal in &decision.proposals {
        let actions: Vec<_> = proposal
            .actions
            .iter()
            .map(|a| format!("{} {} {}", a.kind, a.service, a.params))
            .collect();
        writeln!(text, "{:?} [{}] because {}", proposal.aim, actions.join("; "), proposal.reason)
            .unwrap();
    }
    if decision.proposals.is_empty() {
        for outlook in &decision.outlooks {
            writeln!(text, "{}: {}", outlook.service, outlook.why).unwrap();
        }
    }
    for note in &decision.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

pub(crate) fn target(decision: &Decision, service: &str) -> Option<(u32, Direction)> {
    decision.outlooks.iter().find(|o| o.service.as_str() == service)?.target
}
