//! Sessions over gRPC: each message is one frame of a stream.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Version};
use oag_cluster::{Cluster, Frame};
use tokio::sync::Notify;
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use crate::converse::{Terms, converse};

/// How long a connection may carry nothing. Heartbeats are frames: a living node never meets it.
pub(crate) const IDLE: Duration = Duration::from_secs(15 * 60);
/// Frames that wait for the connection; more wait where they come from.
const WAITING_MAX: usize = 64;

/// Answers a call with a session. `alive` is told of each frame.
pub(crate) async fn session(
    request: Request<Body>,
    cluster: Cluster,
    terms: Terms,
    alive: Arc<Notify>,
) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if request.version() != Version::HTTP_2 || !kind.is_some_and(is_grpc) {
        let text = "this is a gRPC method; it is called over HTTP/2 with application/grpc\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let mut opened = Some((cluster, terms, alive));
    let service = tower::service_fn(move |call: tonic::Request<Streaming<Frame>>| {
        // A call is answered once.
        let opened = opened.take().ok_or_else(|| Status::internal("answered already"));
        ready(opened.map(|parts| tonic::Response::new(carry(call.into_inner(), parts))))
    });
    Grpc::new(ProstCodec::<Frame, Frame>::default())
        .max_decoding_message_size(Frame::BYTES_MAX)
        .streaming(service, request)
        .await
        .map(Body::new)
}

/// Refuses a call.
pub(crate) fn refuse(status: &Status) -> Response {
    status.clone().into_http::<Body>()
}

/// The frames that a session says. It goes on while they are read, and is over when nobody does
/// any more.
fn carry(
    said: Streaming<Frame>,
    (cluster, terms, alive): (Cluster, Terms, Arc<Notify>),
) -> impl Stream<Item = Result<Frame, Status>> + Send + 'static {
    let (told, frames) = mpsc::channel(WAITING_MAX);
    let told = told
        .sink_map_err(|error: mpsc::SendError| error.to_string())
        .with(|text: String| ready(Ok::<_, String>(Frame::from(text))));
    let said = said.map(move |frame| {
        alive.notify_one();
        frame.map_err(|status| status.message().to_owned())?.text().map(str::to_owned)
    });
    let talk = async move {
        converse(&cluster, terms, Box::pin(patient(said)), told).await;
    };
    let talk = Box::pin(talk).into_stream().filter_map(|()| ready(None));
    stream::select(frames.map(Ok), talk)
}

/// What a node says, until it says nothing for too long.
fn patient<S>(said: S) -> impl Stream<Item = Result<String, String>>
where
    S: Stream<Item = Result<String, String>>,
{
    let said = Box::pin(said);
    stream::unfold(said, async |mut said| {
        let next = match tokio::time::timeout(IDLE, said.next()).await {
            Ok(next) => next?,
            Err(_) => Err(format!("nothing was said for {} minutes", IDLE.as_secs() / 60)),
        };
        Some((next, said))
    })
}

/// `application/grpc`, or with the encoding of messages that is used here.
fn is_grpc(kind: &[u8]) -> bool {
    matches!(kind, b"application/grpc" | b"application/grpc+proto")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_for_too_long_is_gone_and_who_speaks_is_not() {
        let every = |pause: Duration| {
            stream::unfold(0, move |count: u32| async move {
                tokio::time::sleep(pause).await;
                Some((Ok(count.to_string()), count + 1))
            })
        };
        let living: Vec<_> = patient(every(IDLE - Duration::from_secs(1))).take(3).collect().await;
        assert_eq!(living, ["0", "1", "2"].map(|text| Ok(text.to_owned())));
        let mut silent = Box::pin(patient(every(IDLE + Duration::from_secs(1))));
        let why = silent.next().await.unwrap().unwrap_err();
        assert_eq!(why, "nothing was said for 15 minutes");
    }
}
