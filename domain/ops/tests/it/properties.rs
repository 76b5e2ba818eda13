//! What holds for every input.

use oag_ops::{
    AnalysisDecision, AnalyzeRequest, Direction, Fleet, ServiceSnapshot, analyze, decide,
};
use oag_types::ScalingMode;
use proptest::prelude::*;

use crate::support::*;

fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop::option::weighted(0.8, -10.0..1e6_f64), 0..40)
}

prop_compose! {
    fn any_snapshot(text: &'static str)(
        load in values(),
        utilisation in prop::collection::vec(prop::option::weighted(0.8, 0.0..1.2_f64), 0..40),
        errors in prop::collection::vec(prop::option::of(0.0..1.0_f64), 0..40),
        (wanted, ready) in (0..30_u32, 0..30_u32),
        (least, most) in (0..12_u32, 0..24_u32),
        needed in prop::collection::vec(0..30_u32, 0..15),
        peak in prop::option::of(0.0..1e6_f64),
        capacity in prop::bool::ANY,
        mode in prop::sample::select(vec![ScalingMode::Predictive, ScalingMode::Reactive, ScalingMode::Off]),
        calls_other in prop::option::of(0.1..3.0_f64),
    ) -> ServiceSnapshot {
        let mut service = service(text);
        service.scaling.min_replicas = least;
        service.scaling.max_replicas = most;
        service.scaling.mode = mode;
        if let Some(per) = calls_other {
            service.depends_on = vec![calls("a", per), calls("b", per)];
        }
        let mut snapshot = snapshot(service, 1, 100.0);
        snapshot.observed = Some(observed(wanted, ready));
        snapshot.load = view(&load);
        snapshot.utilisation = view(&utilisation);
        snapshot.error_rate = view(&errors);
        snapshot.fresh = snapshot.load.is_fresh(now());
        snapshot.load_forecast = peak.map(forecast);
        snapshot.utilisation_forecast = peak.map(|peak| forecast(peak / 1e6));
        snapshot.history = history(&needed);
        if !capacity {
            snapshot.capacity = None;
        }
        snapshot
    }
}

fn pair() -> impl Strategy<Value = Fleet> {
    (any_snapshot("a"), any_snapshot("b")).prop_map(|(a, b)| fleet([a, b]))
}

proptest! {
    #[test]
    fn targets_stay_within_bounds_and_stale_data_removes_nothing(fleet in pair()) {
        let decision = decide(&fleet, &Default::default(), now());
        prop_assert_eq!(&decision, &decide(&fleet, &Default::default(), now()));
        for proposal in &decision.proposals {
            for action in proposal.actions.iter().filter(|a| a.kind.as_str() == "scale") {
                let snapshot = fleet.get(&action.service).unwrap();
                let replicas = action.params["replicas"].as_u64().unwrap();
                let scaling = &snapshot.service.scaling;
                prop_assert!(replicas <= u64::from(scaling.max_replicas));
                prop_assert!(replicas >= u64::from(scaling.min_replicas.min(scaling.max_replicas)));
                prop_assert!(scaling.mode != ScalingMode::Off);
                let wanted = u64::from(snapshot.wanted().unwrap());
                prop_assert!(replicas != wanted);
                if replicas < wanted {
                    let fresh = snapshot.load.is_fresh(now()) || snapshot.utilisation.is_fresh(now());
                    prop_assert!(fresh);
                    if scaling.mode == ScalingMode::Predictive && snapshot.capacity.is_some()
                        && snapshot.load.newest_at.is_some()
                    {
                        prop_assert!(snapshot.load.is_fresh(now()));
                    }
                }
            }
        }
        for finding in &decision.findings {
            prop_assert!((0.0..=1.0).contains(&finding.confidence));
            prop_assert!(!finding.evidence.is_empty());
        }
    }

    #[test]
    fn growth_needs_two_forecasts_or_overload_now(
        load in 1.0..3000.0_f64,
        peak in 1.0..5000.0_f64,
        replicas in 1..20_u32,
        before in prop::option::of(0..30_u32),
    ) {
        let mut order = snapshot(service("order"), replicas, load);
        order.load_forecast = Some(forecast(peak));
        order.history = before.map(|before| history(&[before])).unwrap_or_default();
        let decision = decide(&fleet([order]), &Default::default(), now());
        let limit = 0.85 * 200.0 * f64::from(replicas);
        if let Some((_, Direction::Up)) = target(&decision, "order") {
            let again = peak > limit && before.is_some_and(|before| before > replicas);
            prop_assert!(load > limit || again);
        } else if replicas < 20 {
            prop_assert!(load <= limit * 1.000_001);
        }
    }

    #[test]
    fn analysis_answers_everything(
        metrics in prop::collection::btree_map(
            prop::sample::select(vec![
                "cpu_usage", "memory_usage", "request_rate", "error_rate", "latency_ms",
                "in_flight", "replicas", "whatever", "qps", "utilisation",
            ]).prop_map(str::to_owned),
            prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..50),
            1..6,
        ),
        context in prop::option::of(".{0,60}"),
        replicas in prop::option::of(1..u32::MAX),
    ) {
        let request = AnalyzeRequest { metrics, context, replicas, ..Default::default() };
        let analysis = analyze(&request, None).unwrap();
        prop_assert!((0.0..=1.0).contains(&analysis.confidence));
        prop_assert!(!analysis.action.is_empty());
        prop_assert_eq!(analysis.plan.is_some(), analysis.decision == AnalysisDecision::Act);
        let again = analyze(&request, None).unwrap();
        prop_assert_eq!(analysis, again);
    }

    #[test]
    fn more_cpu_never_gives_fewer_replicas_and_sentence_and_plan_agree(
        cpu in prop::collection::vec(2.0..90.0_f64, 3..40),
        more in 0.0..10.0_f64,
        replicas in 1..50_u32,
    ) {
        let ask = |more: f64| {
            let request = AnalyzeRequest {
                metrics: [("cpu_usage".to_owned(), cpu.iter().map(|v| Some(v + more)).collect())].into(),
                service: Some(name("order")),
                replicas: Some(replicas),
                max_replicas: Some(10_000),
                ..Default::default()
            };
            analyze(&request, None).unwrap()
        };
        let (less, more) = (ask(0.0), ask(more));
        prop_assert!(more.replicas.unwrap_or(replicas) >= less.replicas.unwrap_or(replicas));
        if let Some(plan) = &less.plan {
            let planned = plan.actions[0].params["replicas"].as_u64().unwrap();
            prop_assert_eq!(less.action, format!("scale order to {planned} replicas"));
            prop_assert_eq!(Some(planned), less.replicas.map(u64::from));
        }
    }

    #[test]
    fn the_unit_of_metrics_without_meaning_does_not_matter(
        values in prop::collection::vec(1.0..1000.0_f64, 3..40),
        factor in prop::sample::select(vec![0.001, 0.5, 2.0, 1000.0]),
    ) {
        let ask = |factor: f64| {
            let values = values.iter().map(|v| Some(v * factor)).collect();
            let request = AnalyzeRequest {
                metrics: [("request_rate".to_owned(), values)].into(),
                ..Default::default()
            };
            let analysis = analyze(&request, None).unwrap();
            (analysis.decision, analysis.action, (analysis.confidence * 1e6).round())
        };
        prop_assert_eq!(ask(1.0), ask(factor));
    }
}
