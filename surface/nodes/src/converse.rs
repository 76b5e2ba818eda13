//! A session, whatever carries its messages.

use std::pin::Pin;
use std::time::Duration;

use futures::{Sink, SinkExt, Stream, StreamExt};
use oag_cluster::protocol::{FromNode, Hello, ToNode};
use oag_cluster::{Cluster, Inbox, SessionId};
use oag_types::NodeName;

/// How long a node may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Messages that are sent in one go.
const BATCH_MAX: usize = 64;

/// Ends with the reason for which a session must end.
pub(crate) type Over = Pin<Box<dyn Future<Output = &'static str> + Send>>;

/// On which terms a session is opened.
pub(crate) struct Terms {
    /// The name in the node's certificate, when it has one.
    pub(crate) name: Option<NodeName>,
    /// The end of that certificate, or another reason.
    pub(crate) over: Over,
}

impl Terms {
    /// Without a certificate, and for as long as both sides like.
    pub(crate) fn none() -> Self {
        Self { name: None, over: Box::pin(std::future::pending()) }
    }
}

/// A session that is open; it is detached however it ends, also when it is dropped.
struct Attached<'a> {
    cluster: &'a Cluster,
    session: SessionId,
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.cluster.detach(&self.session);
    }
}

/// Speaks with a node until either side ends it, or its terms do; messages are JSON text. A node
/// with a certificate must call itself as that does.
pub(crate) async fn converse<I, O>(cluster: &Cluster, terms: Terms, mut said: I, mut told: O)
where
    I: Stream<Item = Result<String, String>> + Unpin,
    O: Sink<String, Error = String> + Unpin,
{
    let Terms { name, mut over } = terms;
    let attached = match tokio::time::timeout(HELLO, said.next()).await {
        Ok(Some(Ok(text))) => hello(&text, name.as_ref())
            .and_then(|hello| cluster.attach(hello).map_err(|why| why.to_string())),
        Ok(Some(Err(why))) => Err(why),
        Ok(None) => return,
        Err(_) => Err("no hello came".to_owned()),
    };
    match attached {
        Ok((session, inbox)) => {
            let attached = Attached { cluster, session };
            talk(&attached, (&mut over, inbox), (&mut said, &mut told)).await;
        }
        Err(reason) => {
            tracing::warn!(reason, "node refused");
            let _ = told.send(ToNode::Close { reason, again: false }.to_text()).await;
        }
    }
    let _ = told.close().await;
}

/// Carries messages both ways until the end.
async fn talk<I, O>(
    Attached { cluster, session }: &Attached<'_>,
    (over, mut inbox): (&mut Over, Inbox),
    (said, told): (&mut I, &mut O),
) where
    I: Stream<Item = Result<String, String>> + Unpin,
    O: Sink<String, Error = String> + Unpin,
{
    let node = session.node.as_str();
    let close = loop {
        tokio::select! {
            why = &mut *over => {
                tracing::info!(node, why, "session ended");
                break why.to_owned();
            }
            message = inbox.recv() => {
                let Some(message) = message else { return };
                let mut sent = told.feed(message.to_text()).await;
                for _ in 0..BATCH_MAX {
                    let (true, Ok(message)) = (sent.is_ok(), inbox.try_recv()) else { break };
                    sent = told.feed(message.to_text()).await;
                }
                if sent.is_err() || told.flush().await.is_err() {
                    return;
                }
            }
            heard = said.next() => match heard {
                Some(Ok(text)) => match FromNode::from_text(&text) {
                    Ok(message) => cluster.take(session, message),
                    Err(error) => {
                        tracing::warn!(node, %error, "message of a node not understood");
                        break format!("a message is not understood: {error}");
                    }
                },
                Some(Err(why)) => {
                    tracing::debug!(node, why, "connection broke");
                    return;
                }
                None => return,
            },
        }
    };
    let _ = told.send(ToNode::Close { reason: close, again: true }.to_text()).await;
}

fn hello(text: &str, certified: Option<&NodeName>) -> Result<Hello, String> {
    let hello = Hello::from_text(text).map_err(|error| {
        format!(
            "the first message must be a registration such as \
                 {{\"node_id\":\"worker-1\",\"heartbeat_interval\":5000}}: {error}"
        )
    })?;
    match certified {
        Some(name) if *name != hello.node_id => {
            Err(format!("the certificate is {name}'s, but the node calls itself {}", hello.node_id))
        }
        _ => Ok(hello),
    }
}
