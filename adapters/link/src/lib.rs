//! The way of a node to its controller.
//!
//! Owns: connections that carry the messages of a session. Refuses: what the messages say, and
//! when to connect again (`oag-cluster`).

mod address;
mod secure;
mod socket;
mod stream;
mod witness;

pub use address::{BadAddress, Controller};
pub use secure::{SecureAddress, SecureDial, TlsOf, enrol, renew, where_to};
pub use socket::SocketDial;
pub use stream::StreamDial;
