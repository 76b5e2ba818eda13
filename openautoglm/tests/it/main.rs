//! The product as a process: started, killed, tampered with and asked from outside.

#[cfg(test)]
mod analyze;
#[cfg(test)]
mod autonomy;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fleet;
#[cfg(test)]
#[cfg(feature = "llama")]
mod models;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod postgres;
#[cfg(test)]
#[cfg(feature = "onnx")]
mod predict;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod up;
#[cfg(test)]
mod world;
