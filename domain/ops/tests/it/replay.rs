//! Recorded load under two policies, side by side.

use oag_ops::{NamedPolicy, ReplayConfig, read_records, replay};
use oag_types::{ScalingMode, SeriesKey, Signal};

use crate::support::*;

/// A day of load that doubles within minutes at noon, one value per 30 s.
fn recording() -> String {
    let mut text = String::from("time,value\n");
    for step in 0..2880_i64 {
        let day = step as f64 / 2880.0;
        let wave = 1.0 - (std::f64::consts::TAU * day).cos();
        let noise = 1.0 + 0.02 * ((step * 7919) % 13 - 6) as f64 / 6.0;
        let noon = if (1400..1600).contains(&step) { 1.8 } else { 1.0 };
        let load = (200.0 + 500.0 * wave) * noon * noise;
        text.push_str(&format!("{},{load:.3}\n", now().as_millis() / 1000 + step * 30));
    }
    text
}

fn policies() -> [NamedPolicy; 2] {
    [
        NamedPolicy::usual("predictive", ScalingMode::Predictive),
        NamedPolicy::usual("reactive", ScalingMode::Reactive),
    ]
}

fn records(text: &str) -> Vec<Signal> {
    let key = SeriesKey::of_service("request_rate", &name("order"));
    read_records(text.lines(), Some(&key), &ReplayConfig::default()).unwrap()
}

#[test]
fn predictive_and_reactive_side_by_side() {
    let config = ReplayConfig { start_delay_steps: 2, ..ReplayConfig::default() };
    let text = recording();
    let mut order = service("order");
    order.scaling.max_replicas = 40;
    let services = [order];
    let report = replay(records(&text), &services, &policies(), &config).unwrap();
    let again = replay(records(&text), &services, &policies(), &config).unwrap();
    assert_eq!(report, again);
    let [predictive, reactive] = report.policies.as_slice() else { panic!("two policies") };
    for outcome in &report.policies {
        println!(
            "{}: overloaded {:.4}, over threshold {:.4}, replica-steps {} (needed {}), ups {}, downs {}",
            outcome.name,
            outcome.overloaded_share,
            outcome.over_threshold_share,
            outcome.replica_steps,
            outcome.replica_steps_needed,
            outcome.scale_ups,
            outcome.scale_downs
        );
        assert_eq!(outcome.steps, 2880);
        assert!(outcome.replica_steps >= outcome.replica_steps_needed / 2);
        assert!(outcome.scale_ups > 0 && outcome.scale_downs > 0);
        assert!(outcome.overloaded_share < 0.01);
        assert!(outcome.timeline.len() <= 5_000);
    }
    assert!(predictive.overloaded_share <= reactive.overloaded_share);
    let first = report.first_difference.unwrap();
    assert_eq!(first.sides.len(), 2);
    assert_ne!(first.sides[0].1, first.sides[1].1);
    assert!(first.sides.iter().any(|(_, _, why)| why.contains("ceil(")), "{first:?}");
}

#[test]
fn the_same_policy_twice_does_not_differ() {
    let [predictive, _] = policies();
    let twice = [predictive.clone(), predictive];
    let report =
        replay(records(&recording()), &[service("order")], &twice, &ReplayConfig::default())
            .unwrap();
    assert_eq!(report.first_difference, None);
}

#[test]
fn capacity_is_measured_from_the_records_when_it_is_not_stated() {
    let mut order = service("order");
    order.scaling.capacity_per_replica = None;
    let mut signals = Vec::new();
    for step in 0..20 {
        let at = now().plus_millis(step * STEP_MS);
        for (metric, value) in [("request_rate", 240.0), ("utilisation", 0.4), ("replicas", 4.0)] {
            signals.push(format!(
                r#"{{"at":"{at}","name":"{metric}","labels":{{"service":"order"}},"value":{value}}}"#
            ));
        }
    }
    let config = ReplayConfig::default();
    let signals = read_records(signals.iter().map(String::as_str), None, &config).unwrap();
    let report = replay(signals.clone(), &[order.clone()], &policies(), &config).unwrap();
    assert_eq!(report.notes, ["order: 150 requests/s per replica (measured from the records)"]);
    let load = signals.into_iter().filter(|s| s.key.name == "request_rate");
    let problem = replay(load, &[order], &policies(), &config).unwrap_err();
    assert_eq!(problem.fields[0].0, "capacity_per_replica");
}

#[test]
fn records_that_cannot_be_read_name_their_line() {
    let config = ReplayConfig::default();
    let key = SeriesKey::new("a");
    let read = |text: &str| read_records(text.lines(), Some(&key), &config);
    assert_eq!(read("t,v\n\n# x\n1,2\n2,\n3,null\n4,NaN\n").unwrap().len(), 1);
    assert_eq!(read("1,2\nx,3\n").unwrap_err().fields[0].0, "records.line 2");
    assert_eq!(read("1,2\n2;zz\n").unwrap_err().fields[0].0, "records.line 2");
    assert_eq!(read("{\"at\":1}").unwrap_err().fields[0].0, "records.line 1");
    assert!(read_records(["1,2"], None, &config).is_err());
    let few = ReplayConfig { records_max: 1, ..config };
    assert!(read_records(["1,2", "2,3"], Some(&key), &few).is_err());
    assert!(replay([], &[service("order")], &policies(), &few).is_err());
    assert!(replay([], &[service("order")], &[], &few).is_err());
}
