//! A server that answers from a script and keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// What the server does with one request.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Parts of the body, each after a pause.
    pub(crate) parts: Vec<(Duration, String)>,
    /// Whether the connection breaks after the last part.
    pub(crate) breaks: bool,
}

impl Script {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, parts: vec![(Duration::ZERO, body.into())], breaks: false }
    }

    /// A stream of events, each a part.
    pub(crate) fn events(events: &[&str]) -> Self {
        let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
        let part = |event: &&str| (Duration::ZERO, format!("data: {event}\n\n"));
        Self { status: 200, headers, parts: events.iter().map(part).collect(), breaks: false }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn slowly(mut self, pause: Duration) -> Self {
        self.parts.iter_mut().skip(1).for_each(|part| part.0 = pause);
        self
    }

    pub(crate) fn breaking(mut self) -> Self {
        self.breaks = true;
        self
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    scripts: VecDeque<Script>,
    asked: Vec<Asked>,
    /// Bodies that were given up before their end.
    dropped: usize,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A body under way; it counts when it is dropped before its end.
struct UnderWay {
    state: Arc<Mutex<State>>,
    parts: VecDeque<Result<(Duration, String), std::io::Error>>,
    done: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.done {
            self.state.lock().unwrap().dropped += 1;
        }
    }
}

impl Server {
    /// Answers with these scripts, in their order; the last one again and again.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts = scripts.into_iter().collect();
        let state = Arc::new(Mutex::new(State { scripts, ..State::default() }));
        let server = Self { address, state: Arc::clone(&state) };
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A body that breaks ends the connection with an error.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn dropped(&self) -> usize {
        self.state.lock().unwrap().dropped
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (authorization, request_id) = (header("authorization"), header("x-request-id"));
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap();
    let script = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked { path, authorization, request_id, body });
        let last = state.scripts.len() == 1;
        let script = if last { state.scripts.front().cloned() } else { state.scripts.pop_front() };
        script.unwrap()
    };
    let mut response = Response::builder().status(script.status);
    for (name, value) in &script.headers {
        response = response.header(*name, value);
    }
    let parts = script.parts.into_iter().map(Ok);
    let broken = script.breaks.then(|| Err(std::io::Error::other("broken on purpose")));
    let body = UnderWay { state, parts: parts.chain(broken).collect(), done: false };
    let frames = stream::unfold(body, |mut body| async move {
        let next = body.parts.pop_front();
        body.done = !matches!(next, Some(Ok(_)));
        let frame = match next? {
            Ok((pause, text)) => {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(Bytes::from(text)))
            }
            Err(error) => {
                // What was written before has to be on its way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(error)
            }
        };
        Some((frame, body))
    });
    Ok(response.body(BodyExt::boxed_unsync(StreamBody::new(frames.boxed()))).unwrap())
}
