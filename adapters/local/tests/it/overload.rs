//! More than it can do: quick refusals, an open breaker, shed parts.

use std::time::Duration;

use oag_local::LocalSource;
use oag_ops::Source;
use oag_pilot::{ExecError, Executor, Happened, Operation};
use oag_runtime::{Clock, SystemClock};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Bench, Load, get, service, tenant, web};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_refused_at_once_and_the_queue_is_bounded() {
    let bench = Bench::new(|config| {
        config.queue_max = 4;
        config.queue_wait_ms = 20_000;
    });
    let more = json!({ "concurrency_per_replica": 2, "env": { "SERVICE_MS": "1000" } });
    bench.executor.adopt(&tenant(), &service("shop", more)).await.unwrap();
    bench.settled().await;
    let address = bench.address();
    let clock = SystemClock::new();
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let clock = clock.clone();
        clients.spawn(async move {
            let started = clock.monotonic();
            let answer = get(&web(), address, "/work").await.unwrap();
            (answer.status, clock.monotonic().saturating_sub(started))
        });
    }
    let answers = clients.join_all().await;
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 503).collect();
    assert_eq!((answers.len(), refused.len()), (50, 44), "2 served, 4 wait, 44 refused");
    let mut times: Vec<_> = refused.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_millis(700), "refused at once: {median:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_opens_lets_a_probe_through_and_closes() {
    let breaker = json!({
        "enabled": true, "failureThreshold": 50, "sleepWindowInMs": 300,
        "requestVolumeThreshold": 10,
    });
    let bench = Bench::with_shop(json!({ "breaker": breaker })).await;
    let mut reports = bench.executor.happenings().unwrap();
    let (web, address) = (web(), bench.address());
    for turn in 0..10 {
        assert_eq!(bench.observe().await.text("breaker"), Some("closed"), "{turn}");
        assert_eq!(get(&web, address, "/status/500").await.unwrap().status, 500);
    }
    bench.until("open", |seen| seen.text("breaker") == Some("open")).await;
    let answer = get(&web, address, "/work").await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["x-openautoglm-breaker"], "open");
    assert!(answer.headers.contains_key("retry-after"));
    for _ in 0..500 {
        if get(&web, address, "/work").await.unwrap().status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.until("closed", |seen| seen.text("breaker") == Some("closed")).await;

    bench.apply(Operation::SetBreaker(true), "trip").await.unwrap();
    assert_eq!(get(&web, address, "/work").await.unwrap().status, 503);
    assert_eq!(bench.observe().await.text("breaker"), Some("open"));
    bench.apply(Operation::SetBreaker(false), "reset").await.unwrap();
    assert_eq!(get(&web, address, "/work").await.unwrap().status, 200);
    let mut told = Vec::new();
    while let Ok(happening) = reports.try_recv() {
        let Happened::Breaker { from, to, .. } = happening.what;
        told.push(format!("{from} {to}"));
    }
    let by_itself = ["closed open", "open half_open", "half_open closed"];
    assert_eq!(told, [&by_itself[..], &["closed open", "open closed"]].concat());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shed_part_is_refused_and_the_core_is_not_shed() {
    let bench = Bench::with_shop(json!({})).await;
    let (web, address) = (web(), bench.address());
    let shed = |feature: &str, shed| Operation::Shed { feature: feature.to_owned(), shed };
    bench.apply(shed("reviews", true), "shed").await.unwrap();
    assert_eq!(bench.observe().await.text("feature.reviews"), Some("shed"));
    let answer = get(&web, address, "/reviews/1").await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (503, r#"{"shed":"reviews"}"#));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(get(&web, address, "/pay").await.unwrap().status, 200);
    let core = bench.apply(shed("pay", true), "core").await.unwrap_err();
    assert!(matches!(&core, ExecError::Refused(why) if why.contains("core")), "{core:?}");
    bench.apply(shed("reviews", false), "restore").await.unwrap();
    assert_eq!(get(&web, address, "/reviews/1").await.unwrap().status, 200);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_come_once_per_step_and_are_plausible() {
    let more = json!({ "concurrency_per_replica": 4, "env": { "SERVICE_MS": "20" } });
    let bench = Bench::with_shop(more).await;
    let source = LocalSource::new(std::sync::Arc::clone(&bench.executor), 250);
    let clock = SystemClock::new();
    let load = Load::start(bench.address(), 4);
    assert!(source.collect(clock.now()).await.unwrap().is_empty(), "no whole step yet");
    let mut steps = Vec::new();
    while steps.len() < 2 {
        let signals = source.collect(clock.now()).await.unwrap();
        if !signals.is_empty() {
            steps.push(signals);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, failed) = load.end().await;
    assert!(failed.is_empty(), "{failed:?}");
    let last = &steps[1];
    let value = |name: &str| {
        let found = last.iter().find(|signal| signal.key.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).sample.value
    };
    assert!(last.iter().all(|signal| signal.sample.at.as_millis() % 1_000 == 0));
    assert!(last.iter().all(|signal| signal.key.labels["service"] == "shop"));
    assert!((50.0..=260.0).contains(&value("request_rate")), "{}", value("request_rate"));
    assert!((14.0..=80.0).contains(&value("latency_p50_ms")), "{}", value("latency_p50_ms"));
    assert!(value("latency_p99_ms") >= value("latency_p50_ms"));
    assert!((0.5..=1.0).contains(&value("utilisation")), "{}", value("utilisation"));
    assert!((value("error_rate"), value("ready_replicas")) == (0.0, 1.0));
    assert!(value("rss_bytes") > 1e6 && value("cpu_usage") > 0.0);
    bench.stop().await;
}
