//! One request through the balancer: shed, break, wait, forward, count.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::breaker::Pass;
use crate::gate::{Lease, Refusal};
use crate::unit::{Unit, lock};

/// Connections tried for a request that may be repeated.
const CONNECTS_MAX: usize = 3;

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const BREAKER: HeaderName = HeaderName::from_static("x-openautoglm-breaker");

type Reply = Either<Relayed, Full<Bytes>>;

/// Answers one request. Never fails: what goes wrong is an answer.
pub(crate) async fn handle(
    unit: Arc<Unit>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    unit.meter.arrived();
    let started = unit.monotonic();
    if let Some(feature) = shed_feature(&unit, request.uri().path()) {
        unit.meter.rejected(false);
        return Ok(refuse(&serde_json::json!({ "shed": feature }), 5));
    }
    if let Some(wait_s) = unit.breaker.refusal(unit.shared.clock.now()) {
        return Ok(broken(&unit, wait_s));
    }
    let lease = match unit.gate.acquire().await {
        Ok(lease) => lease,
        Err(refusal) => {
            unit.meter.rejected(true);
            let why = match refusal {
                Refusal::Stopped => "the service is stopped",
                Refusal::Full => "too many requests wait already",
                Refusal::Waited => "no replica was free in time",
            };
            return Ok(refuse(&serde_json::json!({ "error": why }), 1));
        }
    };
    let pass = match unit.breaker.admit(unit.shared.clock.now()) {
        Ok(pass) => pass,
        Err(wait_s) => return Ok(broken(&unit, wait_s)),
    };
    let count = Count {
        unit: Arc::clone(&unit),
        pass: Some(pass),
        started,
        answered: false,
        error: false,
        done: false,
    };
    Ok(forward(&unit, peer, request, lease, count).await)
}

/// The shed feature a path belongs to: the longest prefix decides, so that a core part below a
/// shed one is served.
fn shed_feature(unit: &Unit, path: &str) -> Option<String> {
    let shed = {
        let wanted = lock(&unit.wanted);
        if wanted.shed.is_empty() {
            return None;
        }
        wanted.shed.clone()
    };
    let entry = unit.entry();
    let feature = entry
        .service
        .features
        .iter()
        .filter(|feature| path.starts_with(&feature.path_prefix))
        .max_by_key(|feature| feature.path_prefix.len())?;
    shed.contains(&feature.name).then(|| feature.name.clone())
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Reply> {
    let mut response = Response::new(Either::Right(Full::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(body: &serde_json::Value, wait_s: u64) -> Response<Reply> {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

fn broken(unit: &Unit, wait_s: u64) -> Response<Reply> {
    unit.meter.rejected(true);
    let body = serde_json::json!({ "error": "the circuit breaker is open" });
    let mut response = refuse(&body, wait_s);
    response.headers_mut().insert(BREAKER, HeaderValue::from_static("open"));
    response
}

/// Sends the request to the replica of the lease; when connecting fails and the request may be
/// repeated, to another.
async fn forward(
    unit: &Arc<Unit>,
    peer: SocketAddr,
    request: Request<Incoming>,
    mut lease: Lease,
    mut count: Count,
) -> Response<Reply> {
    let (mut head, body) = request.into_parts();
    prepare(&mut head.headers, peer);
    let repeatable = matches!(head.method, Method::GET | Method::HEAD) && body.is_end_stream();
    let upload_failed = Arc::new(AtomicBool::new(false));
    let mut body = Some(body);
    let mut connects = 1;
    loop {
        let upload = Upload { body: body.take(), failed: Arc::clone(&upload_failed) };
        let Some(outgoing) = outgoing(&head, lease.slot.address, upload) else {
            count.client_failed();
            let body = serde_json::json!({ "error": "the request's target is not valid" });
            return answer(StatusCode::BAD_REQUEST, &body);
        };
        let timeout = Duration::from_millis(unit.shared.config.response_timeout_ms);
        let sent = tokio::time::timeout(timeout, unit.shared.forwarding.request(outgoing)).await;
        let failure = match sent {
            Ok(Ok(response)) => return relay(response, lease, count),
            Ok(Err(error)) => error,
            Err(_) => return count.fail(StatusCode::GATEWAY_TIMEOUT, "the replica did not answer"),
        };
        if upload_failed.load(Ordering::SeqCst) {
            count.client_failed();
            let body = serde_json::json!({ "error": "the request ended early" });
            return answer(StatusCode::BAD_REQUEST, &body);
        }
        tracing::debug!(service = %unit.name, replica = lease.slot.id, error = ?failure,
            "replica failed a request");
        let refused = failure.is_connect();
        if refused {
            unit.gate.suspect(&lease.slot);
        }
        unit.wake.notify_one();
        if !refused || !repeatable || connects >= CONNECTS_MAX {
            return count.fail(StatusCode::BAD_GATEWAY, "the replica failed");
        }
        connects += 1;
        drop(lease);
        lease = match unit.gate.acquire().await {
            Ok(other) => other,
            Err(_) => return count.fail(StatusCode::BAD_GATEWAY, "no replica is left"),
        };
    }
}

fn outgoing(
    head: &http::request::Parts,
    address: SocketAddr,
    upload: Upload,
) -> Option<Request<Upload>> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let uri = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query(target)
        .build()
        .ok()?;
    let mut request = Request::new(upload);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().clone_from(&head.headers);
    if !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::try_from(address.to_string())
    {
        request.headers_mut().insert(HOST, host);
    }
    Some(request)
}

/// Takes out what belongs to this connection only and adds where the request comes from.
fn prepare(headers: &mut HeaderMap, peer: SocketAddr) {
    remove_hop_by_hop(headers);
    let peer = peer.ip().to_string();
    let chain = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .chain([peer.as_str()])
        .collect::<Vec<_>>()
        .join(", ");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn relay(response: Response<Incoming>, lease: Lease, mut count: Count) -> Response<Reply> {
    count.answered = true;
    count.error = response.status().is_server_error();
    let (mut head, body) = response.into_parts();
    remove_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Response::from_parts(head, Either::Left(Relayed { body, count, _lease: lease }))
}

/// Counts a request once, when its answer was passed on or given up.
struct Count {
    unit: Arc<Unit>,
    pass: Option<Pass>,
    started: Duration,
    /// Whether a replica answered before the client went away.
    answered: bool,
    error: bool,
    done: bool,
}

impl Count {
    /// No answer of a replica: the balancer's own.
    fn fail(mut self, status: StatusCode, why: &str) -> Response<Reply> {
        self.done = true;
        self.unit.meter.failed();
        self.judge(false);
        answer(status, &serde_json::json!({ "error": why }))
    }

    fn judge(&mut self, success: bool) {
        if let Some(pass) = self.pass.take() {
            self.unit.breaker.record(self.unit.shared.clock.now(), success, pass);
        }
    }

    /// The client's fault says nothing about the replica.
    fn client_failed(&mut self) {
        self.done = true;
        self.unit.meter.rejected(false);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let time = self.unit.monotonic().saturating_sub(self.started);
        self.unit.meter.answered(time, self.error);
        if self.answered {
            self.judge(!self.error);
        }
    }
}

/// The body of a request; remembers when the client did not send all of it. None: empty.
pub(crate) struct Upload {
    body: Option<Incoming>,
    failed: Arc<AtomicBool>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.failed.store(true, Ordering::SeqCst);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of an answer; the request counts as in flight until it was passed on.
pub(crate) struct Relayed {
    body: Incoming,
    count: Count,
    _lease: Lease,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.count.error = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
