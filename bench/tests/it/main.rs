//! Every benchmark runs and gives sane figures. Times are not judged: a busy machine is no defect.

#[cfg(test)]
#[cfg(feature = "llama")]
mod engine;
#[cfg(test)]
mod quick;
