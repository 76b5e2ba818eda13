//! Sessions over WebSocket.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use oag_cluster::Cluster;
use oag_cluster::protocol::MESSAGE_BYTES_MAX;

use crate::converse::{Terms, converse};

/// Bytes read at once. The default of the library is kept for each connection, idle or not; ten
/// thousand nodes make that a gigabyte.
const READ_BYTES: usize = 4_096;

/// Answers an upgrade with a session.
pub(crate) fn session(upgrade: WebSocketUpgrade, cluster: Cluster, terms: Terms) -> Response {
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| carry(socket, cluster, terms))
}

async fn carry(socket: WebSocket, cluster: Cluster, terms: Terms) {
    let (told, said) = socket.split();
    let said = said.filter_map(async |message| match message {
        Ok(Message::Text(text)) => Some(Ok(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Some(Err("messages are text".to_owned())),
        // Pings are answered below; after a close nothing more comes.
        Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    let told = told
        .sink_map_err(|error| error.to_string())
        .with(async |text: String| Ok::<_, String>(Message::Text(text.into())));
    converse(&cluster, terms, Box::pin(said), Box::pin(told)).await;
}
