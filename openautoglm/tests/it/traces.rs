//! Traces that are sent to a collector.

use std::sync::{Arc, Mutex};

use oag_testkit::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::{Home, LONG};

/// Answers every request with an empty 200 and keeps what was asked.
async fn collect(listener: TcpListener, asked: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        connections.spawn(async move {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                asked.lock().unwrap().push(bytes[..count].to_vec());
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn requests_are_sent_as_traces() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut collector = JoinSet::new();
    collector.spawn(collect(listener, Arc::clone(&asked)));

    let home = Home::new();
    home.configure(&format!("[telemetry]\notlp_endpoint = \"{endpoint}\""));
    let mut site = home.start().await;
    site.get("/api/v1/whoami").await;
    // What is left is sent at the end at the latest.
    site.product.terminate().await.unwrap();
    let sent = wait_until("a trace is sent", LONG, async || {
        let asked = asked.lock().unwrap();
        let all: Vec<u8> = asked.concat();
        let text = String::from_utf8_lossy(&all).into_owned();
        (text.contains("POST /v1/traces") && text.contains("whoami")).then_some(())
    });
    sent.await.unwrap_or_else(|error| {
        let asked = asked.lock().unwrap();
        panic!("{error}: {:?}\n{}", String::from_utf8_lossy(&asked.concat()), site.product.log())
    });
}
