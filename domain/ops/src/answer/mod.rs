//! Answers to questions about operation, from the product's own records and never from a language
//! model. Pure but for the port: the same question and the same facts give the same answer.
//! Nothing is executed: what should be done is answered with the command that would do it.

mod compose;
mod cut;
mod engine;
mod facts;
mod found;
mod planned;
mod question;
mod quote;
mod wish;
mod wished;
mod words;

use oag_types::ServiceName;

pub use engine::{RULES_MODEL, RulesEngine};
pub use facts::{Asker, Facts, Found, Records};

use compose::Writer;
use question::{Topic, understand};

/// Services whose present state one answer can need.
const STATES_MAX: usize = 8;

/// Answers a message from facts; without them (nobody knows who asks) it says only what it is.
/// The answer is in the language of the message, Chinese or English, and ends with a line break.
#[must_use]
pub fn answer(message: &str, facts: Option<&Facts>) -> String {
    let names = facts.map(names).unwrap_or_default();
    Writer::new(understand(message, &names), facts).write()
}

/// The services whose present state the answer to a message would use.
#[must_use]
pub fn states_for(message: &str, facts: &Facts) -> Vec<ServiceName> {
    let names = names(facts);
    let mut wanted: Vec<ServiceName> = Vec::new();
    for asked in understand(message, &names).asked {
        match asked.topic {
            Topic::Replicas if asked.services.is_empty() => wanted.extend(names.iter().cloned()),
            Topic::Replicas | Topic::Status | Topic::Problems | Topic::Do(_) => {
                wanted.extend(asked.services);
            }
            _ => {}
        }
    }
    let mut first: Vec<ServiceName> = Vec::new();
    for name in wanted {
        if first.len() < STATES_MAX && !first.contains(&name) {
            first.push(name);
        }
    }
    first
}

fn names(facts: &Facts) -> Vec<ServiceName> {
    facts.services.iter().map(|service| service.name.clone()).collect()
}
