//! Certificates over real TLS on loopback, and commands in all the ways they can be wrong.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod pins;
