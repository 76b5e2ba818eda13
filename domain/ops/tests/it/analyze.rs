//! One-off analysis: good input, bad input, and what the sentences say.

use oag_ops::{
    AnalysisActionKind, AnalysisDecision, AnalyzeRequest, Language, PlannedUndo, analyze,
    find_service,
};
use oag_types::FindingKind;
use serde_json::{Value, json};

use crate::support::*;

fn request(body: Value) -> AnalyzeRequest {
    serde_json::from_value(body).unwrap()
}

fn action(body: Value) -> String {
    analyze(&request(body), None).unwrap().action
}

#[test]
fn the_example_of_the_source_is_answered_with_its_arithmetic() {
    let body = json!({
        "metrics": {
            "cpu_usage": [95, 96, 98, 94],
            "request_rate": [1200, 1300, 1100, 1400],
            "error_rate": [0.05, 0.12, 0.33, 0.41],
        },
        "context": "大促期间订单服务出现延迟",
    });
    let analysis = analyze(&request(body.clone()), None).unwrap();
    assert_eq!(analysis.action, "将 order-service 扩容到 6 个副本");
    assert_eq!(analysis.action_kind, AnalysisActionKind::ScaleUp);
    assert_eq!(analysis.decision, AnalysisDecision::Act);
    assert_eq!(analysis.language, Language::Chinese);
    assert_eq!(analysis.service, Some(name("order-service")));
    assert!((analysis.ratio.unwrap() - 1.4).abs() < 1e-9);
    assert!(analysis.evidence.contains(&"ceil(4 * 0.98 / 0.7) = 6".to_owned()));
    assert_eq!(
        analysis.assumptions,
        ["未提供当前副本数，假设为 4；若为 n，则需要 ceil(n * 0.98 / 0.7)"]
    );
    let plan = analysis.plan.unwrap();
    assert_eq!(plan.actions[0].params, json!({"replicas": 6}));
    assert_eq!(plan.actions[0].expect[0].value, json!(6));
    assert_eq!(plan.actions[0].undo, PlannedUndo::AsBefore);
    assert!(analysis.confidence > 0.5 && analysis.confidence < 0.9);
    let kinds: Vec<_> = analysis.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FindingKind::Overload, FindingKind::Errors]);
    // With stated replicas nothing is assumed, and it is surer.
    let mut stated = request(body);
    stated.replicas = Some(10);
    let stated = analyze(&stated, None).unwrap();
    assert_eq!(stated.action, "将 order-service 扩容到 14 个副本");
    assert!(stated.assumptions.is_empty() && stated.confidence > analysis.confidence);
    assert_eq!(stated.plan.unwrap().actions[0].undo, PlannedUndo::By(json!({"replicas": 10})));
}

#[test]
fn english_gets_english() {
    let body = json!({
        "metrics": {"cpu": [95, 96, 98, 94]},
        "context": "the order service is slow during the sale",
        "replicas": 4,
    });
    assert_eq!(action(body), "scale order-service to 6 replicas");
}

#[test]
fn calm_input_calls_for_nothing() {
    let body = json!({
        "metrics": {"cpu_usage": [30, 31, 29, 30, 32], "error_rate": [0, 0, 0.001, 0, 0]},
        "service": "payment",
    });
    let analysis = analyze(&request(body), None).unwrap();
    assert_eq!(analysis.action, "no action: payment is calm");
    assert_eq!(analysis.decision, AnalysisDecision::NoAction);
    assert_eq!(analysis.findings[0].kind, FindingKind::Calm);
    assert!(analysis.plan.is_none());
}

#[test]
fn errors_at_low_load_are_not_answered_by_replicas() {
    let metrics = json!({"cpu_usage": [20, 21, 22, 20], "error_rate": [0.0, 0.3, 0.4, 0.5]});
    let say = |context: &str| action(json!({"metrics": metrics, "context": context}));
    assert_eq!(
        say("order-service fails after the release"),
        "find out whether the errors of order-service came with the release and roll back if so; \
         load is low, do not scale"
    );
    assert_eq!(
        say("支付服务报错"),
        "排查 payment-service 的错误原因（最近有发布吗？）；负载不高，不扩容"
    );
    let analysis = analyze(&request(json!({"metrics": metrics})), None).unwrap();
    assert_eq!(analysis.action_kind, AnalysisActionKind::Investigate);
    assert!(analysis.plan.is_none());
}

#[test]
fn falling_load_takes_nothing_away() {
    let body = json!({
        "metrics": {"cpu_usage": [60, 50, 40, 30, 20, 10], "request_rate": [900, 700, 500, 300, 200, 100]},
        "context": "cart service at night",
    });
    assert_eq!(
        action(body),
        "no action: load of cart-service is falling; replicas are not removed on a one-off analysis"
    );
}

#[test]
fn a_service_that_is_not_named_is_asked_for() {
    let metrics = json!({"cpu_usage": [95, 96, 98, 94]});
    let analysis = analyze(&request(json!({"metrics": metrics})), None).unwrap();
    assert_eq!(analysis.action, "which service is meant? It needs 1.4 times its present replicas");
    assert_eq!(analysis.decision, AnalysisDecision::Ask);
    assert!(analysis.assumptions.contains(&"target service is not named".to_owned()));
    assert!(analysis.service.is_none() && analysis.plan.is_none());
    let several = json!({"metrics": metrics, "context": "订单和支付都很慢"});
    assert_eq!(
        action(several),
        "请说明是哪个服务（order-service, payment-service）：需要扩容到当前副本数的 1.4 倍"
    );
    assert_eq!(find_service("订单服务", &[name("orders")]), Some(name("orders")));
}

#[test]
fn what_is_known_of_the_service_is_used() {
    let known = snapshot(service("order"), 5, 600.0);
    let metrics = json!({"request_rate": [900, 1200, 1400], "cpu_usage": [60, 60, 60]});
    let analysis = analyze(&request(json!({"metrics": metrics})), Some(&known)).unwrap();
    assert_eq!(analysis.action, "scale order to 9 replicas");
    assert!(analysis.evidence.contains(&"ceil(1400 / (0.85 * 200)) = 9".to_owned()));
    assert!(analysis.assumptions.is_empty());
}

#[test]
fn at_the_maximum_it_says_so() {
    let body = json!({
        "metrics": {"cpu_usage": [95, 96, 98, 94]}, "service": "order", "replicas": 4, "max_replicas": 4,
    });
    assert_eq!(
        action(body),
        "order is at its maximum of 4 replicas: raise it, or shed what is not core"
    );
}

#[test]
fn units_are_said() {
    let said =
        |metrics: Value| analyze(&request(json!({"metrics": metrics})), None).unwrap().assumptions;
    let share = said(json!({"cpu_usage": [0.95, 0.96, 0.98]}));
    assert!(share[0].contains("taken as a share"), "{share:?}");
    let percent = said(json!({"error_rate": [5, 12, 33]}));
    assert!(percent[0].contains("taken as percent"), "{percent:?}");
    let cores = said(json!({"cpu_usage": [395, 396, 398]}));
    assert!(cores[0].contains("of how many cores"), "{cores:?}");
}

#[test]
fn gaps_and_lengths_are_said() {
    let body = json!({"metrics": {
        "cpu_usage": [null, 30, 31, 32, 30],
        "request_rate": [100, 110],
        "queue_length": [1, 2, 1, 2, 1, 2, 1, 2, 500],
    }});
    let analysis = analyze(&request(body), None).unwrap();
    assert_eq!(
        analysis.assumptions,
        [
            "the metrics differ in length; aligned at the newest end",
            "1 of 5 values of cpu_usage are not usable and were left out",
            "request_rate has 2 usable points, fewer than 3; nothing is judged from it",
            "metrics without a known meaning are only looked at for anomalies: queue_length",
            "target service is not named",
        ]
    );
    assert_eq!(
        analysis.action,
        "is the unusual queue_length of the service expected? nothing else calls for action"
    );
}

#[test]
fn too_little_data_is_asked_for() {
    let analysis = analyze(&request(json!({"metrics": {"cpu_usage": [99, 99]}})), None).unwrap();
    assert_eq!(
        analysis.action,
        "too little data (at most 2 usable points): send at least 3 points"
    );
    assert!(analysis.confidence <= 0.2);
    let empty = analyze(&request(json!({"metrics": {"cpu_usage": []}})), None).unwrap();
    assert_eq!(empty.decision, AnalysisDecision::Ask);
}

#[test]
fn input_that_is_not_valid_names_the_field() {
    let field = |request: &AnalyzeRequest| analyze(request, None).unwrap_err().fields[0].0.clone();
    assert_eq!(field(&request(json!({"metrics": {}}))), "metrics");
    let series: serde_json::Map<String, Value> =
        (0..201).map(|at| (format!("m{at}"), json!([1]))).collect();
    assert_eq!(field(&request(json!({"metrics": series}))), "metrics");
    let mut long = request(json!({"metrics": {"cpu_usage": []}}));
    long.metrics.insert("x".to_owned(), vec![Some(1.0); 10_001]);
    assert_eq!(field(&long), "metrics.x");
    let with = |name: &str, value: Value| {
        let mut body = json!({"metrics": {"cpu_usage": [1, 2, 3]}});
        body[name] = value;
        field(&request(body))
    };
    assert_eq!(with("replicas", json!(0)), "replicas");
    assert_eq!(with("max_replicas", json!(0)), "max_replicas");
    assert_eq!(with("step_ms", json!(0)), "step_ms");
    assert_eq!(with("context", json!("x".repeat(10_001))), "context");
    let mut bounds = request(json!({"metrics": {"cpu_usage": [1, 2, 3]}}));
    (bounds.min_replicas, bounds.max_replicas) = (Some(3), Some(2));
    assert_eq!(field(&bounds), "min_replicas");
}
