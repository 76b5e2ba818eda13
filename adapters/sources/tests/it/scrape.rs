//! Against a small server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use oag_ops::Source;
use oag_sources::{PrometheusConfig, PrometheusSource, SourcesError};
use oag_types::{Signal, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the server answers: a status, a content type and a text.
type Answer = Arc<Mutex<(u16, &'static str, String)>>;

async fn server(tasks: &mut JoinSet<()>) -> (SocketAddr, Answer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Answer = Arc::new(Mutex::new((200, "text/plain", String::new())));
    let given = Arc::clone(&answer);
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let given = Arc::clone(&given);
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                let (status, kind, text) = given.lock().unwrap().clone();
                let response = Response::builder()
                    .status(status)
                    .header("content-type", kind)
                    .header("location", "/elsewhere")
                    .body(Full::new(Bytes::from(text)))
                    .unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    });
    (address, answer)
}

fn config(address: SocketAddr) -> PrometheusConfig {
    let text = serde_json::json!({ "name": "shop", "url": format!("http://{address}/metrics") });
    serde_json::from_value(text).unwrap()
}

fn shown(signals: &[Signal]) -> Vec<String> {
    let mut lines: Vec<String> =
        signals.iter().map(|signal| format!("{} {}", signal.key, signal.sample.value)).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn an_endpoint_is_scraped_into_gauges_and_rates() {
    let mut tasks = JoinSet::new();
    let (address, answer) = server(&mut tasks).await;
    let mut config = config(address);
    config.labels = [("service".to_owned(), "order".to_owned())].into();
    config.deny = vec!["go_*".to_owned()];
    let source = PrometheusSource::new(config).unwrap();
    let text = |requests: u32, count: u32| {
        format!(
            "# TYPE req_total counter\nreq_total{{service=\"x\"}} {requests}\n\
             # TYPE lat histogram\nlat_bucket{{le=\"+Inf\"}} {count}\nlat_count {count}\n\
             lat_sum NaN\ntemp 21.5\ntemp 22\ngo_threads 7\nold 1 5\n"
        )
    };
    let set = |text: String| answer.lock().unwrap().2 = text;
    set(text(100, 10));
    let at = Timestamp::from_millis(1_795_000_000_000);
    let first = source.collect(at).await.unwrap();
    assert_eq!(shown(&first), ["temp{service=\"order\"} 21.5"]);
    set(text(150, 4));
    let second = source.collect(at.plus_millis(10_000)).await.unwrap();
    assert_eq!(
        shown(&second),
        [
            "lat_bucket_per_second{le=\"+Inf\",service=\"order\"} 0.4",
            "lat_count_per_second{service=\"order\"} 0.4",
            "req_per_second{exported_service=\"x\",service=\"order\"} 5",
            "temp{service=\"order\"} 21.5",
        ]
    );
    tasks.shutdown().await;
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let mut tasks = JoinSet::new();
    let (address, answer) = server(&mut tasks).await;
    let mut small = config(address);
    small.max_bytes = 100;
    let source = PrometheusSource::new(small).unwrap();
    let now = Timestamp::from_millis(1_000);
    let fails = async |status, kind, text: String, says: &str| {
        *answer.lock().unwrap() = (status, kind, text);
        let error = source.collect(now).await.unwrap_err().to_string();
        assert!(error.starts_with("shop: ") && error.contains(says), "{error}");
    };
    fails(500, "text/plain", String::new(), "500").await;
    fails(302, "text/plain", String::new(), "302").await;
    fails(200, "text/plain", "a 1\n".repeat(100), "larger than 100").await;
    fails(200, "text/plain", "<html>".to_owned(), "line 1").await;
    fails(200, "application/openmetrics-text", "a 1\n".to_owned(), "EOF").await;
    tasks.shutdown().await;
    let error = source.collect(now).await.unwrap_err().to_string();
    assert!(error.starts_with("shop: "), "{error}");
}

#[test]
fn settings_are_checked() {
    let with = |url: &str| {
        let mut config = config(([127, 0, 0, 1], 1).into());
        url.clone_into(&mut config.url);
        PrometheusSource::new(config).map(drop)
    };
    for url in ["", "ftp://x/", "file:///etc/passwd", "x"] {
        assert!(matches!(with(url), Err(SourcesError::Setting { field: "url", .. })), "{url}");
    }
    assert_eq!(with("https://127.0.0.1/metrics"), Ok(()));
    let unknown = serde_json::json!({ "name": "a", "url": "http://a/", "intervall_ms": 1 });
    assert!(serde_json::from_value::<PrometheusConfig>(unknown).is_err());
}
