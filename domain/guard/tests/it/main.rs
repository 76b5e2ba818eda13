//! The guard from outside: examples, and properties against independent, naive oracles.

#[cfg(test)]
mod breaker;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod world;
