//! Numbers for models, and what is predicted from them, on the wire.

use std::collections::BTreeMap;
use std::fmt;

use oag_serve::{EngineError, Features, PredictedOutput, Predictions};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::shape::{Shape, Shaped};

wire! {
    /// What a model predicts from.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"features": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})]
    pub(crate) struct PredictRequest {
        /// One row of numbers, or a list of rows: the flat input of the model for each prediction,
        /// the last dimension fastest, its inputs one after the other. At most 4,096 rows and
        /// 524,288 numbers.
        pub(crate) features: FeatureList,
    }

    /// What the model predicts from, whichever it is.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"features": [5.1, 3.5, 1.4, 0.2]})]
    pub(crate) struct PlainPredictRequest {
        /// The model; it may be left out where only one predicts.
        #[serde(default)]
        pub(crate) model: Option<String>,
        /// One row of numbers, or a list of rows: the flat input of the model for each prediction,
        /// the last dimension fastest, its inputs one after the other. At most 4,096 rows and
        /// 524,288 numbers.
        pub(crate) features: FeatureList,
    }

    /// What a model predicts.
    #[derive(Debug, Serialize)]
    #[example({"model": "iris", "prediction": [[0.97, 0.02, 0.01], [0.01, 0.04, 0.95]]})]
    pub(crate) struct PredictView {
        /// The model.
        pub(crate) model: String,
        /// The model's first output: one flat list of numbers for each row.
        pub(crate) prediction: Vec<Vec<f32>>,
        /// Every output by its name, the first one too; only where the model has several.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) outputs: Option<BTreeMap<String, Vec<Vec<f32>>>>,
    }
}

/// One row of numbers, or several.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct FeatureList(Vec<Item>);

#[derive(Debug)]
enum Item {
    Number(f32),
    Row(Vec<f32>),
}

impl Shaped for FeatureList {
    const SHAPE: Shape = Shape::List(&Shape::Anything);
}

impl FeatureList {
    /// As the domain knows them.
    pub(crate) fn features(self) -> Result<Features, EngineError> {
        let mut numbers = Vec::new();
        let mut rows = Vec::new();
        for (at, item) in self.0.into_iter().enumerate() {
            match item {
                Item::Number(number) if rows.is_empty() => numbers.push(number),
                Item::Row(row) if numbers.is_empty() => rows.push(row),
                _ => {
                    return Err(EngineError::Refused {
                        field: format!("features[{at}]").into(),
                        problem: "goes with numbers, or with lists of numbers, not with both; \
                                  send one row or a list of rows"
                            .to_owned(),
                    });
                }
            }
        }
        if !numbers.is_empty() {
            rows.push(numbers);
        }
        Features::new(rows)
    }
}

impl PredictView {
    /// Of an answer that has at least one output.
    pub(crate) fn of(model: String, predictions: Predictions) -> Option<Self> {
        let several = predictions.outputs.len() > 1;
        let prediction = predictions.outputs.first()?.rows.clone();
        let named = |output: PredictedOutput| (output.name, output.rows);
        let outputs = several.then(|| predictions.outputs.into_iter().map(named).collect());
        Some(Self { model, prediction, outputs })
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number or a list of numbers")
    }

    // What is too large for f32 becomes infinite, and is refused as that.
    fn visit_f64<E>(self, value: f64) -> Result<Item, E> {
        Ok(Item::Number(value as f32))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Item, E> {
        Ok(Item::Number(value as f32))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Item, E> {
        Ok(Item::Number(value as f32))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let mut row = Vec::new();
        while let Some(number) = list.next_element::<f64>()? {
            row.push(number as f32);
        }
        Ok(Item::Row(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<f32>>, String> {
        let list: FeatureList = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let features = list.features().map_err(|error| error.to_string())?;
        Ok(features.rows().to_vec())
    }

    #[test]
    fn one_row_or_a_list_of_rows() {
        assert_eq!(read("[1, -2.5, 3e0]").unwrap(), [[1.0, -2.5, 3.0]]);
        assert_eq!(read("[[1, 2], [3, 4]]").unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
        for (text, wanted) in [
            ("[1, [2]]", "features[1]: goes with numbers, or"),
            ("[[1], 2]", "features[1]: goes with numbers, or"),
            ("[]", "features: need at least one row"),
            ("[[1], []]", "features[1]: has no numbers"),
            ("[[1, 1e39]]", "features[0][1]: is inf"),
            ("[1e39]", "features[0][0]: is inf"),
            ("[null]", "expected a number or a list of numbers"),
            ("[[\"1\"]]", "expected f64"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(wanted), "{text}: {problem}");
        }
    }
}
