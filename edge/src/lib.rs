//! How a node joins its controller, and the light node.
//!
//! Owns: what every kind of node needs beside the agent (`oag-cluster`): its name, its certificate
//! and the way to the controller ([`dial`]), the engines of its models ([`engines`]), how loaded it
//! and its host are ([`LoadMeter`]); and the whole of the light node ([`run`]), which measures,
//! reports and may offer the models of an upstream. Refuses: the parts of a controller, whatever
//! needs a store, and engines that need processes of their own; they are in `openautoglm`.

mod counted;
mod engines;
mod host;
mod join;
mod load;
mod log;
mod options;
mod port;
mod run;
mod spool;
mod state;

pub use engines::{ModelArgs, engines, offer, offers, onnx, onnx_files};
pub use host::{HostLoad, HostMeter, resident_bytes};
pub use join::{bundle, dial, identity_folder, node_name};
pub use load::LoadMeter;
pub use options::{EdgeArgs, JoinArgs, Transport};
pub use run::{exit_code, patience, run};
