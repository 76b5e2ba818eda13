//! The life of plans over a real SQLite store, with an executor whose world is a map in memory.

#[cfg(test)]
mod checked;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod happenings;
#[cfg(test)]
mod index;
#[cfg(test)]
mod people;
#[cfg(test)]
mod run;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod world;
