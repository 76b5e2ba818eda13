//! The rules, on synthetic fleets.

use oag_ops::{Basis, Deployed, Direction, Fleet, decide};
use oag_types::{Comparison, Feature, FindingKind, Observable, ScalingMode};
use serde_json::json;

use crate::support::*;

fn check(fleet: &Fleet, expected: &str) {
    let decision = decide(fleet, &Default::default(), now());
    let expected: String =
        expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(show(&decision), expected);
}

#[test]
fn one_forecast_over_the_threshold_is_not_enough() {
    let mut order = snapshot(service("order"), 7, 1000.0);
    order.load_forecast = Some(forecast(1400.0));
    check(
        &fleet([order]),
        "order: ceil(1400 / (0.85 * 200)) = 9, seen once; added when the next forecast says so too",
    );
}

#[test]
fn two_forecasts_over_the_threshold_add_replicas() {
    let mut order = snapshot(service("order"), 7, 1000.0);
    order.load_forecast = Some(forecast(1400.0));
    order.history = history(&[6, 8]);
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    let confidence = decision.findings[0].confidence;
    assert!(confidence > 0.5 && confidence < 1.0, "{confidence}");
    check(
        &fleet([order]),
        r#"Warning ForecastOverload order: load of order is forecast to reach 1400 requests/s, over 85 % of what 7 replicas carry
        ScaleUp [scale order {"replicas":9}] because order from 7 to 9 replicas: ceil(1400 / (0.85 * 200)) = 9"#,
    );
}

#[test]
fn forecasts_with_one_decision_left_out_are_consecutive_and_with_two_they_are_not() {
    let mut order = snapshot(service("order"), 7, 1000.0);
    order.load_forecast = Some(forecast(1400.0));
    order.history = history(&[8, 8, 8]);
    for expected in [Some(9), None] {
        order.history.pop();
        let decision = decide(&fleet([order.clone()]), &Default::default(), now());
        assert_eq!(target(&decision, "order").map(|(replicas, _)| replicas), expected);
    }
}

#[test]
fn a_spike_is_answered_at_once() {
    let mut order = snapshot(service("order"), 4, 700.0);
    order.load_forecast = Some(forecast(900.0));
    check(
        &fleet([order]),
        r#"Critical Overload order: load of order is 700 requests/s, over 85 % of what 4 replicas carry
        ScaleUp [scale order {"replicas":6}] because order from 4 to 6 replicas: ceil(900 / (0.85 * 200)) = 6"#,
    );
}

#[test]
fn a_wrong_capacity_is_noticed_by_utilisation() {
    let mut order = snapshot(service("order"), 4, 400.0);
    order.utilisation = flat(0.97);
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    assert_eq!(target(&decision, "order"), Some((5, Direction::Up)));
    // Not while replicas are starting: the ones that run are busy because of that.
    order.observed = Some(observed(6, 4));
    let decision = decide(&fleet([order]), &Default::default(), now());
    assert_eq!(target(&decision, "order"), None);
}

#[test]
fn at_the_maximum_features_that_are_not_core_are_shed() {
    let mut order = service("order");
    order.scaling.max_replicas = 4;
    let feature =
        |name: &str, core| Feature { name: name.to_owned(), path_prefix: format!("/{name}"), core };
    order.features = vec![feature("pay", true), feature("reviews", false)];
    let mut order = snapshot(order, 4, 900.0);
    check(
        &fleet([order.clone()]),
        r#"Critical Overload order: load of order is 900 requests/s, over 85 % of what 4 replicas carry; 6 replicas are needed, its maximum is 4
        Shed [shed order {"feature":"reviews"}] because order is overloaded with 4 of at most 4 replicas; not core: reviews"#,
    );
    // Shed already: nothing is left, and nothing comes back while the load is there.
    let fields = &mut order.observed.as_mut().unwrap().fields;
    fields.insert("feature.reviews".to_owned(), json!("shed"));
    order.shed_by_loop = vec!["reviews".to_owned()];
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    assert!(decision.proposals.is_empty());
    // Over: it comes back by itself, but not when a person shed it.
    order.load = flat(300.0);
    order.utilisation = flat(0.4);
    order.load_forecast = Some(forecast(300.0));
    let restored = decide(&fleet([order.clone()]), &Default::default(), now());
    assert_eq!(restored.proposals.len(), 1);
    assert_eq!(restored.proposals[0].actions[0].kind.as_str(), "restore");
    order.shed_by_loop.clear();
    assert!(decide(&fleet([order]), &Default::default(), now()).proposals.is_empty());
}

#[test]
fn replicas_are_removed_slowly_and_on_a_promise() {
    let mut order = snapshot(service("order"), 10, 500.0);
    order.history = history(&[3; 8]);
    assert_eq!(target(&decide(&fleet([order.clone()]), &Default::default(), now()), "order"), None);
    order.history = history(&[3; 9]);
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    assert_eq!(target(&decision, "order"), Some((9, Direction::Down)));
    let action = &decision.proposals[0].actions[0];
    assert_eq!(action.params, json!({"replicas": 9}));
    let promise = &action.expect[0];
    assert_eq!(promise.observe, Observable::Metric("utilisation".to_owned()));
    assert_eq!((promise.is, &promise.value), (Comparison::Le, &json!(0.85)));
    assert_eq!(promise.hold_ms, 2 * STEP_MS);
    // One of the decisions needed as many as there are.
    order.history[4].needed = 10;
    assert_eq!(target(&decide(&fleet([order.clone()]), &Default::default(), now()), "order"), None);
    // Down to what is needed, however much may go at once.
    order.history = history(&[8; 9]);
    order.service.scaling.down_max = 9;
    let decision = decide(&fleet([order]), &Default::default(), now());
    assert_eq!(target(&decision, "order"), Some((8, Direction::Down)));
}

#[test]
fn removing_is_frozen() {
    let calm = || {
        let mut order = snapshot(service("order"), 10, 500.0);
        order.history = history(&[3; 9]);
        order
    };
    let none = |order| {
        let decision = decide(&fleet([order]), &Default::default(), now());
        assert_eq!(target(&decision, "order"), None, "{}", show(&decision));
    };
    none({
        let mut after_up = calm();
        after_up.last_up_at = Some(now().plus_millis(-9 * STEP_MS));
        after_up
    });
    none({
        let mut after_down = calm();
        after_down.last_down_at = Some(now().plus_millis(-9 * STEP_MS));
        after_down
    });
    none({
        let mut starting = calm();
        starting.observed = Some(observed(10, 9));
        starting
    });
    none({
        let mut failing = calm();
        failing.error_rate = flat(0.1);
        failing
    });
    none({
        let mut gap = calm();
        gap.load.values[28] = None;
        gap
    });
    none({
        let mut blind = calm();
        blind.load_forecast = None;
        blind
    });
    none({
        let mut least = calm();
        least.service.scaling.min_replicas = 10;
        least
    });
}

#[test]
fn stale_load_is_said_and_answered_by_utilisation_upwards_only() {
    let mut order = snapshot(service("order"), 4, 500.0);
    let mut values = vec![Some(500.0); 30];
    values[26..].fill(None);
    order.load = view(&values);
    order.fresh = false;
    order.history = history(&[1; 12]);
    order.utilisation = flat(0.3);
    check(
        &fleet([order.clone()]),
        "Warning MissingData order: the newest request_rate of order is 120 s old
        order: without fresh load, by utilisation and never downwards: ceil(4 * 0.3 / 0.7) = 2",
    );
    order.utilisation = flat(0.95);
    check(
        &fleet([order.clone()]),
        r#"Warning MissingData order: the newest request_rate of order is 120 s old
        Critical Overload order: utilisation of order is 95 %, above the target of 70 %
        ScaleUp [scale order {"replicas":6}] because order from 4 to 6 replicas: without fresh load, by utilisation and never downwards: ceil(4 * 0.95 / 0.7) = 6"#,
    );
    order.utilisation = view(&values);
    check(
        &fleet([order]),
        "Warning MissingData order: the newest request_rate of order is 120 s old
        order: no fresh data to scale by",
    );
}

#[test]
fn without_a_capacity_utilisation_itself_is_forecast() {
    let mut order = snapshot(service("order"), 4, 500.0);
    order.capacity = None;
    order.load_forecast = None;
    order.utilisation = flat(0.8);
    order.utilisation_forecast = Some(forecast(0.95));
    order.history = history(&[5]);
    order.history[0].basis = Some(Basis::Utilisation);
    check(
        &fleet([order.clone()]),
        r#"Warning ForecastOverload order: utilisation of order is forecast to reach 0.95, over 85 % of what 4 replicas carry
        ScaleUp [scale order {"replicas":5}] because order from 4 to 5 replicas: ceil(4 * 0.95 / 0.85) = 5"#,
    );
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    let numbers = &decision.findings[0].evidence[0].numbers;
    assert_eq!(numbers["assumption"], json!("utilisation falls as replicas are added"));
    // The forecast before was made with fewer replicas.
    order.last_scale = Some((now().plus_millis(-1), Direction::Up));
    assert_eq!(target(&decide(&fleet([order]), &Default::default(), now()), "order"), None);
}

#[test]
fn callees_grow_along_and_first() {
    let mut gateway = service("gateway");
    gateway.depends_on = vec![calls("order", 0.5), calls("search", 0.1)];
    let mut order = service("order");
    order.depends_on = vec![calls("stock", 2.0)];
    let mut gateway = snapshot(gateway, 5, 900.0);
    gateway.load_forecast = Some(forecast(1300.0));
    let order = snapshot(order, 3, 450.0);
    let stock = snapshot(service("stock"), 6, 900.0);
    let search = snapshot(service("search"), 2, 90.0);
    check(
        &fleet([gateway, order, stock, search]),
        r#"Critical Overload gateway: load of gateway is 900 requests/s, over 85 % of what 5 replicas carry
        Warning ForecastOverload order: calls to order will grow to 650 requests/s with its callers, over 85 % of what 3 replicas carry
        Warning ForecastOverload stock: calls to stock will grow to 1300 requests/s with its callers, over 85 % of what 6 replicas carry
        ScaleUp [scale stock {"replicas":8}; scale order {"replicas":4}; scale gateway {"replicas":8}] because stock from 6 to 8 replicas: ceil(1300 / (0.85 * 200)) = 8; order from 3 to 4 replicas: ceil(650 / (0.85 * 200)) = 4; gateway from 5 to 8 replicas: ceil(1300 / (0.85 * 200)) = 8"#,
    );
}

#[test]
fn cycles_and_unknown_callees_are_cut() {
    let mut a = service("a");
    a.depends_on = vec![calls("b", 1.0), calls("gone", 1.0)];
    let mut b = service("b");
    b.depends_on = vec![calls("a", 1.0)];
    let mut a = snapshot(a, 2, 380.0);
    a.load_forecast = Some(forecast(500.0));
    let b = snapshot(b, 2, 300.0);
    check(
        &fleet([a, b]),
        r#"Critical Overload a: load of a is 380 requests/s, over 85 % of what 2 replicas carry
        Warning ForecastOverload b: calls to b will grow to 500 requests/s with its callers, over 85 % of what 2 replicas carry
        ScaleUp [scale b {"replicas":3}; scale a {"replicas":3}] because b from 2 to 3 replicas: ceil(500 / (0.85 * 200)) = 3; a from 2 to 3 replicas: ceil(500 / (0.85 * 200)) = 3
        note: b calls a in a cycle; not followed
        note: a calls gone, which is not known"#,
    );
}

#[test]
fn a_callee_that_does_not_scale_along_is_left_alone() {
    let mut a = service("a");
    a.depends_on = vec![calls("b", 1.0)];
    a.depends_on[0].scales_along = false;
    let mut a = snapshot(a, 2, 380.0);
    a.load_forecast = Some(forecast(500.0));
    let decision =
        decide(&fleet([a, snapshot(service("b"), 2, 300.0)]), &Default::default(), now());
    assert_eq!(decision.proposals.len(), 1);
    assert_eq!(decision.proposals[0].actions.len(), 1);
}

#[test]
fn errors_after_a_release_are_rolled_back_once() {
    let mut order = snapshot(service("order"), 4, 400.0);
    let mut values = vec![Some(0.0); 30];
    values[27..].fill(Some(0.2));
    order.error_rate = view(&values);
    order.deployed = Some(Deployed {
        at: now().plus_millis(-3 * STEP_MS),
        from: "41".to_owned(),
        to: "42".to_owned(),
        back: false,
    });
    check(
        &fleet([order.clone()]),
        r#"Warning Errors order: 20 % of the requests to order fail
        Rollback [rollback order {"version":"41"}] because 20 % of the requests to order fail; version 42 runs since 90 s, before it was 41"#,
    );
    let none = |order| {
        let decision = decide(&fleet([order]), &Default::default(), now());
        assert!(decision.findings.iter().any(|f| f.kind == FindingKind::Errors));
        assert!(decision.proposals.is_empty());
    };
    let mut returned = order.clone();
    returned.deployed.as_mut().unwrap().back = true;
    none(returned);
    let mut old = order.clone();
    old.deployed.as_mut().unwrap().at = now().plus_millis(-21 * STEP_MS);
    none(old);
    let mut always = order.clone();
    always.error_rate = flat(0.2);
    none(always);
    // Too few requests say nothing.
    order.load = flat(0.5);
    order.load_forecast = Some(forecast(0.5));
    assert!(decide(&fleet([order]), &Default::default(), now()).findings.is_empty());
}

#[test]
fn latency_and_anomalies_are_findings_without_actions() {
    let mut order = snapshot(service("order"), 4, 400.0);
    let mut values = vec![Some(50.0); 30];
    values[27..].fill(Some(400.0));
    order.latency_p99_ms = view(&values);
    order.latency_p99_ms.score = Some(oag_ops::SeriesScore {
        at: now(),
        score: 0.99,
        alert: true,
        mean: Some(50.0),
        lo: Some(40.0),
        hi: Some(60.0),
    });
    check(
        &fleet([order]),
        "Warning Latency order: order takes 400 ms (p99), usually 50 ms
        Info Anomaly order: latency_p99_ms of order left the usual range
        order: ceil(400 / (0.85 * 200)) = 3; fewer would do, but not for 10 decisions in a row yet",
    );
}

#[test]
fn the_reactive_rule_is_that_of_the_pod_autoscaler() {
    let reactive = |replicas: u32, ready: u32, utilisation: f64, recommended: &[u32]| {
        let mut order = service("order");
        order.scaling.mode = ScalingMode::Reactive;
        let mut order = snapshot(order, replicas, 400.0);
        order.observed = Some(observed(replicas, ready));
        order.utilisation = flat(utilisation);
        order.history = history(&vec![1; recommended.len()]);
        for (past, recommended) in order.history.iter_mut().zip(recommended) {
            past.recommended = Some(*recommended);
        }
        target(&decide(&fleet([order]), &Default::default(), now()), "order")
    };
    // Growth: ceil(4 * 0.9 / 0.7) = 6, at once.
    assert_eq!(reactive(4, 4, 0.9, &[]), Some((6, Direction::Up)));
    // Within 10 % of 0.7 nothing happens.
    assert_eq!(reactive(4, 4, 0.76, &[]), None);
    // Replicas that are starting count as idle: 4 of 6 at 0.9 are 6 at 0.6, below the target.
    assert_eq!(reactive(6, 4, 0.9, &[]), None);
    // Shrinking waits for the window, and takes the highest of it.
    assert_eq!(reactive(6, 6, 0.3, &[3; 5]), None);
    assert_eq!(reactive(6, 6, 0.3, &[3; 10]), Some((3, Direction::Down)));
    assert_eq!(reactive(6, 6, 0.3, &[3, 3, 3, 3, 3, 5, 3, 3, 3, 3]), Some((5, Direction::Down)));
}

#[test]
fn a_stopped_or_silent_service_is_left_alone() {
    let mut order = snapshot(service("order"), 4, 900.0);
    order.observed = None;
    check(
        &fleet([order.clone()]),
        "order: its executor does not report how many replicas it has
        note: order: not scaled: its executor does not report how many replicas it has",
    );
    let mut stopped = observed(4, 0);
    stopped.fields.insert("running".to_owned(), json!(false));
    order.observed = Some(stopped);
    assert!(decide(&fleet([order.clone()]), &Default::default(), now()).proposals.is_empty());
    order.observed = Some(observed(4, 4));
    order.service.scaling.mode = ScalingMode::Off;
    assert!(decide(&fleet([order]), &Default::default(), now()).proposals.is_empty());
}

#[test]
fn a_plan_in_hand_goes_first() {
    let mut order = snapshot(service("order"), 4, 700.0);
    let plan = oag_types::PlanId::from_uuid(Default::default());
    let mut active = oag_ops::ActivePlan { plan, verifying: false, replicas: Some(6) };
    order.active = Some(active);
    let decision = decide(&fleet([order.clone()]), &Default::default(), now());
    assert_eq!((decision.findings.len(), decision.proposals.len()), (1, 0));
    active.verifying = true;
    order.active = Some(active);
    assert_eq!(decide(&fleet([order]), &Default::default(), now()).proposals.len(), 1);
}

#[test]
fn neither_capacity_nor_utilisation_is_said() {
    let mut order = snapshot(service("order"), 4, 700.0);
    (order.capacity, order.load_forecast) = (None, None);
    order.utilisation = view(&[None; 30]);
    order.utilisation_metric = "cpu_usage";
    order.history = history(&[4; 3]);
    check(
        &fleet([order]),
        "Warning MissingData order: no cpu_usage of order has ever come
        order: neither the capacity of a replica nor utilisation is known",
    );
}

#[test]
fn below_the_minimum_replicas_are_added_without_a_finding() {
    let mut order = snapshot(service("order"), 2, 100.0);
    order.service.scaling.min_replicas = 3;
    let decision = decide(&fleet([order]), &Default::default(), now());
    assert_eq!(target(&decision, "order"), Some((3, Direction::Up)));
    assert!(decision.findings.is_empty() && decision.proposals[0].answers.is_empty());
}
