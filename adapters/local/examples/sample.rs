//! The sample service by itself: `sample PORT [CONCURRENCY SERVICE_MS START_DELAY_MS]`.

use oag_local::sample::{SampleConfig, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| {
        given.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let defaults = SampleConfig::default();
    let port = u16::try_from(number(0, 0)).map_err(std::io::Error::other)?;
    let config = SampleConfig {
        concurrency: usize::try_from(number(1, 4)).unwrap_or(defaults.concurrency),
        service_ms: number(2, defaults.service_ms),
        start_delay_ms: number(3, defaults.start_delay_ms),
        ..defaults
    };
    serve(port, config).await
}
