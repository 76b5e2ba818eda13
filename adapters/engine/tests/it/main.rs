//! The engines, against servers that say on the wire what real ones say, and against models whose
//! answers another implementation gave.

#[cfg(all(test, not(feature = "llama")))]
mod absent;
#[cfg(all(test, feature = "llama"))]
mod faults;
#[cfg(all(test, feature = "llama"))]
mod local;
#[cfg(all(test, feature = "llama"))]
mod models;
#[cfg(test)]
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(test)]
#[cfg(not(feature = "onnx"))]
mod onnx_absent;
#[cfg(test)]
mod server;
#[cfg(test)]
mod upstream;
