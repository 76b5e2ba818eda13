//! Every benchmark runs and gives sane figures. Times are not judged: a busy machine is no defect.

#[cfg(all(test, feature = "llama"))]
mod engine;
#[cfg(test)]
mod quick;
