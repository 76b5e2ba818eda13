//! Single things as text for people.

mod plan;
mod steps;
mod story;

pub(crate) use plan::{States, plan, summary, verdict};
pub(crate) use steps::steps;
pub(crate) use story::{finding, story};
