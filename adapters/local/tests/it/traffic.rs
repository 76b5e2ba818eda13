//! What passes through the balancer, byte for byte.

use std::sync::Arc;
use std::time::Duration;

use oag_runtime::{Clock, SystemClock};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Bench, get, web};

async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_get_an_answer_and_leave_the_breaker_alone() {
    let bench = Bench::with_shop(json!({})).await;
    let address = bench.address();
    let answer = raw(address, "GET /work HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let answer = raw(
        address,
        "POST /work HTTP/1.1\r\nhost: a\r\nconnection: close, x-gone\r\nx-gone: 1\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = raw(address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    for _ in 0..30 {
        // A client that goes away in the middle of its body.
        let mut stream = TcpStream::connect(address).await.unwrap();
        let start = b"POST /work HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc";
        stream.write_all(start).await.unwrap();
    }
    assert_eq!(get(&web(), address, "/work").await.unwrap().status, 200);
    assert_eq!(bench.observe().await.text("breaker"), Some("closed"));
    bench.stop().await;
}

/// Not an assertion of speed, only of sanity; the numbers are printed with `--nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_balancer_adds_little() {
    let more = json!({ "env": { "SERVICE_MS": "0" } });
    let bench = Bench::with_shop(more).await;
    let web = web();
    let clock = Arc::new(SystemClock::new());
    let records = std::fs::read_dir(bench.folder.join("local/default/shop.d")).unwrap();
    let record = records
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "json"))
        .unwrap();
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let direct = format!("127.0.0.1:{}", record["port"]).parse().unwrap();
    let mut medians = Vec::new();
    for address in [direct, bench.address()] {
        let mut times = Vec::new();
        for _ in 0..500 {
            let started = clock.monotonic();
            assert_eq!(get(&web, address, "/healthz").await.unwrap().status, 200);
            times.push(clock.monotonic().saturating_sub(started));
        }
        times.sort_unstable();
        medians.push(times[times.len() / 2]);
    }
    println!("direct {:?}, balanced {:?}", medians[0], medians[1]);
    assert!(medians[1] < medians[0] + Duration::from_millis(20), "{medians:?}");
    bench.stop().await;
}
