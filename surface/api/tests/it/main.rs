//! The API from outside: requests against the whole router, over a real pilot and a real store.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod conform;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod server;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod watches;
#[cfg(test)]
mod world;
