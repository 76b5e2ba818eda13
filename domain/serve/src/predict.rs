//! What models of numbers are asked and answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::EngineError;

/// Rows of numbers that a model is asked about, each the flat input of one prediction. There is at
/// least one row, none is empty, and every number is finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<f32>>")]
pub struct Features(Vec<Vec<f32>>);

impl Features {
    /// Most rows of one request.
    pub const ROWS_MAX: usize = 4_096;
    /// Most numbers of one request over all rows, and of one answer over all rows and outputs:
    /// as JSON they fit into one message between controller and worker.
    pub const NUMBERS_MAX: usize = 524_288;

    /// Checks rows.
    ///
    /// # Errors
    /// `Refused`, with the place of what is wrong.
    pub fn new(rows: Vec<Vec<f32>>) -> Result<Self, EngineError> {
        if rows.is_empty() {
            return Err(EngineError::refused("features", "need at least one row of numbers"));
        }
        if rows.len() > Self::ROWS_MAX {
            let problem = format!(
                "have {} rows; at most {} go into one request, send the others in another",
                rows.len(),
                Self::ROWS_MAX
            );
            return Err(EngineError::refused("features", problem));
        }
        let numbers: usize = rows.iter().map(Vec::len).sum();
        if numbers > Self::NUMBERS_MAX {
            let problem = format!(
                "have {numbers} numbers; at most {} go into one request, send fewer rows at once",
                Self::NUMBERS_MAX
            );
            return Err(EngineError::refused("features", problem));
        }
        for (at, row) in rows.iter().enumerate() {
            if row.is_empty() {
                return Err(refused_at(format!("features[{at}]"), "has no numbers"));
            }
            if let Some(place) = row.iter().position(|number| !number.is_finite()) {
                let problem = format!("is {}; every number must be finite", row[place]);
                return Err(refused_at(format!("features[{at}][{place}]"), problem));
            }
        }
        Ok(Self(rows))
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<f32>] {
        &self.0
    }
}

impl TryFrom<Vec<Vec<f32>>> for Features {
    type Error = EngineError;

    fn try_from(rows: Vec<Vec<f32>>) -> Result<Self, EngineError> {
        Self::new(rows)
    }
}

/// What a model predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// The outputs of the model in its own order, at least one.
    pub outputs: Vec<PredictedOutput>,
}

/// One output of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictedOutput {
    /// Its name in the model.
    pub name: String,
    /// One list of finite numbers for each row that was asked, in the same order; what has a shape
    /// is flattened, the last dimension fastest.
    pub rows: Vec<Vec<f32>>,
}

impl Predictions {
    /// Whether this can be the answer to so many rows.
    #[must_use]
    pub fn answers(&self, rows: usize) -> bool {
        !self.outputs.is_empty() && self.outputs.iter().all(|output| output.rows.len() == rows)
    }
}

fn refused_at(field: String, problem: impl Into<String>) -> EngineError {
    EngineError::Refused { field: Cow::Owned(field), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(rows: Vec<Vec<f32>>) -> String {
        Features::new(rows).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert!(wrong(vec![]).starts_with("features: need at least one row"));
        assert!(wrong(vec![vec![1.0], vec![]]).starts_with("features[1]: has no numbers"));
        let text = wrong(vec![vec![1.0], vec![2.0, f32::NAN]]);
        assert!(text.starts_with("features[1][1]: is NaN;"), "{text}");
        let text = wrong(vec![vec![f32::NEG_INFINITY]]);
        assert!(text.starts_with("features[0][0]: is -inf;"), "{text}");
        let text = wrong(vec![vec![0.0]; Features::ROWS_MAX + 1]);
        assert!(text.starts_with("features: have 4097 rows; at most 4096"), "{text}");
        let text = wrong(vec![vec![0.0; Features::NUMBERS_MAX / 2 + 1]; 2]);
        assert!(text.starts_with("features: have 524290 numbers; at most 524288"), "{text}");
        assert!(Features::new(vec![vec![0.0]; Features::ROWS_MAX]).is_ok());
        assert!(Features::new(vec![vec![0.0; Features::NUMBERS_MAX]]).is_ok());
    }

    #[test]
    fn features_travel_as_rows_and_are_checked_on_arrival() {
        let features = Features::new(vec![vec![0.1, -2.0], vec![f32::MIN_POSITIVE]]).unwrap();
        let text = serde_json::to_string(&features).unwrap();
        assert_eq!(text, "[[0.1,-2.0],[1.1754944e-38]]");
        assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), features);
        let error = serde_json::from_str::<Features>("[[1],[]]").unwrap_err();
        assert!(error.to_string().contains("features[1]: has no numbers"), "{error}");
    }

    #[test]
    fn an_answer_has_a_list_for_each_row() {
        let output = |rows| PredictedOutput { name: "y".to_owned(), rows };
        let one = Predictions { outputs: vec![output(vec![vec![1.0], vec![]])] };
        assert!(one.answers(2) && !one.answers(1));
        assert!(!Predictions { outputs: vec![] }.answers(0));
    }
}
