//! The executor with real processes. This binary also plays the replicas and a product that is
//! killed: see `roles`.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod traffic;
