//! The product is killed; the next one takes over what runs.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oag_local::{LocalError, LocalExecutor};
use oag_pilot::Executor;
use oag_runtime::{ShutdownHandle, Supervisor, SystemClock};
use serde_json::{Value, json};

use crate::harness::{Bench, get, is_alive, pids, service, tenant, web};

/// Starts a product on a folder and waits until its two replicas are recorded and healthy.
async fn killed_product(folder: &std::path::Path) -> Vec<i32> {
    let mut product: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "roles::product", "--nocapture", "--test-threads=1"])
        .env("ROLE", "product")
        .env("DATA_DIR", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pids = Vec::new();
    for _ in 0..3_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        pids = Vec::new();
        for (_, record) in records(folder) {
            let port = record["port"].as_u64().unwrap();
            let address = format!("127.0.0.1:{port}").parse().unwrap();
            let healthy = get(&web(), address, "/healthz").await.is_ok();
            pids.extend(record["process"]["pid"].as_i64().filter(|_| healthy));
        }
        if pids.len() == 2 {
            break;
        }
    }
    assert_eq!(pids.len(), 2, "the product did not start its replicas");
    product.kill().unwrap();
    product.wait().unwrap();
    pids.sort_unstable();
    pids.into_iter().map(|pid| i32::try_from(pid).unwrap()).collect()
}

fn records(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Value)> {
    let Ok(entries) = std::fs::read_dir(folder.join("local/default/shop.d")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| {
            let record = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            Some((path, record))
        })
        .collect()
}

async fn adopt(folder: &std::path::Path) -> Bench {
    let bench = Bench::at(folder.to_owned(), |_| {});
    let service = service("shop", json!({ "replicas": 2 }));
    bench.executor.adopt(&tenant(), &service).await.unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_same_processes_serve_again_and_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let before = killed_product(folder.path()).await;
    assert!(before.iter().all(|pid| is_alive(*pid)), "replicas outlive the product");
    let port = std::fs::read_to_string(folder.path().join("local/default/shop.json")).unwrap();
    let port = serde_json::from_str::<Value>(&port).unwrap()["port"].as_u64().unwrap();

    let bench = adopt(folder.path()).await;
    assert_eq!(get(&web(), bench.address(), "/work").await.unwrap().status, 200, "at once");
    assert_eq!(u64::from(bench.address().port()), port);
    let mut after = pids(&bench.settled().await);
    after.sort_unstable();
    assert_eq!(after, before);
    let busy = LocalExecutor::new(
        oag_local::LocalConfig {
            data_dir: folder.path().to_owned(),
            ..oag_local::LocalConfig::default()
        },
        SystemClock::shared(),
        Supervisor::new(ShutdownHandle::new()),
    );
    assert!(matches!(busy, Err(LocalError::Busy { .. })));
    bench.stop().await;
    assert!(before.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_process_was_not_recorded_in_time_is_found_by_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    let before = killed_product(folder.path()).await;
    let mut found = records(folder.path());
    // As if the product had died right after the start, before it wrote the process down...
    let (path, record) = &mut found[0];
    record["process"] = Value::Null;
    std::fs::write(path, record.to_string()).unwrap();
    // ...and as if a record had been lost altogether.
    let (path, lost) = &found[1];
    let lost = i32::try_from(lost["process"]["pid"].as_i64().unwrap()).unwrap();
    std::fs::remove_file(path).unwrap();

    let bench = adopt(folder.path()).await;
    let after = pids(&bench.settled().await);
    let adopted = before.iter().find(|pid| **pid != lost).unwrap();
    assert!(after.contains(adopted), "{after:?}");
    assert!(!is_alive(lost), "what nobody knows is ended");
    assert_eq!(after.len(), 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_number_is_not_taken_for_the_replica_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let before = killed_product(folder.path()).await;
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let mut found = records(folder.path());
    let (path, record) = &mut found[0];
    record["process"]["pid"] = json!(stranger.id());
    std::fs::write(path, record.to_string()).unwrap();

    let bench = adopt(folder.path()).await;
    let after = pids(&bench.settled().await);
    assert!(!after.contains(&i32::try_from(stranger.id()).unwrap()));
    assert_eq!(after.iter().filter(|pid| before.contains(pid)).count(), 1);
    bench.stop().await;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger still runs");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(before.iter().all(|pid| !is_alive(*pid)), "the one disowned was ended by its marker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_over_a_drain_they_are_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::at(folder.path().to_owned(), |config| {
        config.on_drain = oag_local::OnDrain::Keep;
    });
    let shop = service("shop", json!({ "replicas": 2 }));
    bench.executor.adopt(&tenant(), &shop).await.unwrap();
    let before = pids(&bench.settled().await);
    bench.supervisor.shutdown().begin();
    assert!(bench.supervisor.drain(Duration::from_secs(10)).await.is_empty());
    drop(bench);
    assert!(before.iter().all(|pid| is_alive(*pid)));
    let bench = adopt(folder.path()).await;
    assert_eq!(pids(&bench.settled().await), before);
    bench.stop().await;
}
