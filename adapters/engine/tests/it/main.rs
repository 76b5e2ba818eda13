//! The engines, against servers that say on the wire what real ones say.

#[cfg(test)]
mod server;
#[cfg(test)]
mod upstream;
