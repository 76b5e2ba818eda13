//! What executors remember of the keys they were handed, and how they tell what they changed.

use std::collections::BTreeMap;

use oag_types::Receipt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ExecError;

/// How an operation with a key ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was begun and nothing more is known.
    Begun,
    /// It was done.
    Done(Receipt),
    /// It was tried and did not work.
    Failed(String),
}

impl Outcome {
    /// What is answered when the key comes again.
    ///
    /// # Errors
    /// When it was not done, or nobody knows.
    pub fn again(&self) -> Result<Receipt, ExecError> {
        match self {
            Self::Done(receipt) => Ok(Receipt {
                changed: false,
                detail: format!("done before: {}", receipt.detail),
                ..receipt.clone()
            }),
            Self::Failed(why) => Err(ExecError::Failed(format!("tried before: {why}"))),
            Self::Begun => Err(ExecError::Failed(
                "begun before, and how it ended is not known; it is not done again".to_owned(),
            )),
        }
    }
}

impl From<Result<Receipt, String>> for Outcome {
    fn from(ended: Result<Receipt, String>) -> Self {
        ended.map_or_else(Self::Failed, Self::Done)
    }
}

/// The keys that came last, each with what became of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    key: String,
    outcome: Outcome,
}

impl Keys {
    /// What became of a key.
    #[must_use]
    pub fn outcome(&self, key: &str) -> Option<&Outcome> {
        self.0.iter().rev().find(|known| known.key == key).map(|known| &known.outcome)
    }

    /// Notes what became of a key; `most` are remembered, and the oldest are forgotten.
    pub fn note(&mut self, key: &str, outcome: Outcome, most: usize) {
        self.0.retain(|known| known.key != key);
        self.0.push(Key { key: key.to_owned(), outcome });
        let surplus = self.0.len().saturating_sub(most.max(1));
        self.0.drain(..surplus);
    }
}

/// What an operation did, told from the facts before and after it.
#[must_use]
pub fn receipt(
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
    detail: String,
) -> Receipt {
    let changed = before != after;
    let detail = if changed { detail } else { format!("{detail}: it was so already") };
    Receipt { changed, detail, before: differing(before, after), after: differing(after, before) }
}

/// The facts of one state that are not those of the other.
fn differing(facts: &BTreeMap<String, Value>, others: &BTreeMap<String, Value>) -> Value {
    let differing = facts.iter().filter(|(name, value)| others.get(*name) != Some(value));
    Value::Object(differing.map(|(name, value)| (name.clone(), value.clone())).collect())
}
