//! Messages as gRPC carries them; `surface/nodes/proto/node.proto` says the same.

use bytes::Bytes;

use crate::protocol::{FromNode, Hello, ToNode};

/// One message of [`crate::protocol`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    /// The message as JSON text.
    #[prost(bytes = "bytes", tag = "1")]
    pub json: Bytes,
}

impl Frame {
    /// The path under which sessions are opened.
    pub const SESSION: &'static str = "/openautoglm.node.v1.NodeService/Session";
    /// Most bytes of a frame: a message of the most bytes, and what goes before it.
    pub const BYTES_MAX: usize = crate::protocol::MESSAGE_BYTES_MAX + 16;

    /// The text of the message.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.json).map_err(|error| format!("messages are text: {error}"))
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self { json: text.into() }
    }
}

/// Messages as JSON text. Written and read in this crate alone, so that it is compiled once and
/// for speed.
macro_rules! text {
    ($($message:ty),*) => {$(
        impl $message {
            /// The message as JSON text.
            #[must_use]
            pub fn to_text(&self) -> String {
                // Messages are our own and can all be written.
                serde_json::to_string(self).unwrap_or_default()
            }

            /// The message of a JSON text.
            ///
            /// # Errors
            /// When it is none, where and why.
            pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
                serde_json::from_str(text)
            }
        }
    )*};
}

text!(Hello, FromNode, ToNode);

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// The definition that others build their clients from, which no compiler compares with this.
    const PROTO: &str = include_str!("../../../surface/nodes/proto/node.proto");

    #[test]
    fn a_frame_is_on_the_wire_as_the_definition_says() {
        let frame = Frame::from(r#"{"type":"bye"}"#.to_owned());
        // Field 1, length-delimited, 14 bytes.
        let by_hand = [&[1 << 3 | 2, 14], frame.json.as_ref()].concat();
        assert_eq!(frame.encode_to_vec(), by_hand);
        // A field of a later version is passed over.
        let newer = [by_hand.as_slice(), &[2 << 3, 7]].concat();
        assert_eq!(Frame::decode(newer.as_slice()).unwrap(), frame);
        assert!(Frame { json: vec![0xff].into() }.text().is_err());
        assert!(PROTO.contains("bytes json = 1;"));
        let (service, method) = Frame::SESSION[1..].split_once('/').unwrap();
        let (package, service) = service.rsplit_once('.').unwrap();
        assert!(PROTO.contains(&format!("package {package};")));
        assert!(PROTO.contains(&format!("service {service} {{")));
        assert!(PROTO.contains(&format!("rpc {method}(stream Frame) returns (stream Frame);")));
    }
}
