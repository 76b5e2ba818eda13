//! The listener: a real socket, a slow client, a graceful end.

use std::time::Duration;

use oag_api::{ApiConfig, serve};
use oag_runtime::{OnError, TaskKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
    answer
}

#[tokio::test]
async fn requests_are_answered_and_the_drain_ends_it() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = world.supervisor.shutdown().clone();
    let router = world.router.clone();
    let serving = async move { serve(listener, router, &ApiConfig::default(), shutdown).await };
    world.supervisor.spawn("api", TaskKind::Drains, OnError::Log, serving);

    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(ask(&mut stream, request).await.starts_with("HTTP/1.1 200"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let answer = ask(&mut stream, &large).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    // An idle connection does not hold the drain up.
    let idle = TcpStream::connect(address).await.unwrap();
    world.supervisor.shutdown().begin();
    assert_eq!(world.supervisor.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    drop(idle);
    assert!(TcpStream::connect(address).await.is_err());
}
