//! Parts this binary plays as a process of its own. Without a part given these pass at once.

use std::path::PathBuf;
use std::time::Duration;

use oag_local::sample::{SampleConfig, serve};
use oag_pilot::Executor;
use oag_types::Tenant;

use crate::harness::{Bench, service};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A replica: the sample service, or one that ends at once.
#[tokio::test]
async fn replica() {
    if std::env::var("ROLE").as_deref() != Ok("replica") {
        return;
    }
    let config = SampleConfig {
        concurrency: usize::try_from(number("CONCURRENCY", 8)).unwrap(),
        service_ms: number("SERVICE_MS", 5),
        start_delay_ms: number("START_DELAY_MS", 0),
        ..SampleConfig::default()
    };
    serve(u16::try_from(number("PORT", 0)).unwrap(), config).await.unwrap();
}

/// A product that runs one service until it is killed.
#[tokio::test]
async fn product() {
    if std::env::var("ROLE").as_deref() != Ok("product") {
        return;
    }
    let folder = PathBuf::from(std::env::var("DATA_DIR").unwrap());
    let bench = Bench::at(folder, |_| {});
    let service = service("shop", serde_json::json!({ "replicas": 2 }));
    bench.executor.adopt(&Tenant::default_tenant(), &service).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
}
