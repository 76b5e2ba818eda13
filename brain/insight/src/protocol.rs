//! The line protocol: one JSON object in, at most one JSON object out.
//!
//! A series begins with `{"type":"start","id","step_s",..}`. Then
//! - [`Task::Univariate`]: per point `{"type":"point","ts","value"}`, answered by
//!   `{"score","alert","mean","lo","hi"}`;
//! - [`Task::Load`]: once `{"type":"history","ts":[..],"value":[..]}`, then per step
//!   `{"type":"point","ts","value","want"}`, answered by `{"mean","lo","hi","plan","method"}` when
//!   `want` is true.
//!
//! Times are in seconds, missing values are `null`. A second `start` begins a new series.

use serde::Deserialize;
use serde_json::json;

use crate::anomaly::{Detector, DetectorConfig};
use crate::forecast::{ForecastConfig, Forecaster, short_forecast};

/// The longest horizon a `start` line may ask for.
const HORIZON_MAX: usize = 10_000;
/// The longest season a `start` line may name.
const SEASON_MAX: usize = 10_000_000;

/// What a [`Session`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// An anomaly score per point.
    Univariate,
    /// A load forecast when asked.
    Load,
}

/// Why a line was refused; the session is unchanged and takes the next line.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The line is not a JSON object of a known type with the fields it needs.
    #[error("line is not a message of this protocol: {0}")]
    Malformed(String),
    /// A point or a history came before `start`.
    #[error("`{0}` before `start`")]
    NotStarted(&'static str),
    /// A field has a value outside its range.
    #[error("field `{field}`: {problem}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// One conversation: feed it lines, write out what it answers.
#[derive(Debug)]
pub struct Session {
    task: Task,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    Univariate(Box<Detector>),
    Load { forecaster: Box<Forecaster>, horizon: usize },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message {
    Start {
        step_s: f64,
        #[serde(default)]
        season: Option<usize>,
        #[serde(default)]
        horizon: Option<usize>,
    },
    History {
        ts: Vec<f64>,
        value: Vec<Option<f64>>,
    },
    Point {
        ts: f64,
        value: Option<f64>,
        #[serde(default)]
        want: bool,
    },
}

impl Session {
    /// A session that waits for its `start` line.
    pub fn new(task: Task) -> Self {
        Self { task, state: State::Idle }
    }

    /// Takes one line (blank lines are skipped) and gives the answer line, without a line end,
    /// where the protocol wants one.
    pub fn line(&mut self, line: &str) -> Result<Option<String>, ProtocolError> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        let message =
            serde_json::from_str(line).map_err(|e| ProtocolError::Malformed(e.to_string()))?;
        match message {
            Message::Start { step_s, season, horizon } => {
                self.start(step_s, season, horizon).map(|()| None)
            }
            Message::History { ts, value } => self.history(&ts, &value).map(|()| None),
            Message::Point { ts, value, want } => self.point(ts, value, want),
        }
    }

    fn start(
        &mut self,
        step_s: f64,
        season: Option<usize>,
        horizon: Option<usize>,
    ) -> Result<(), ProtocolError> {
        if !(step_s.is_finite() && step_s >= 0.001) {
            return Err(field("step_s", format!("{step_s} is not a positive number of seconds")));
        }
        let step_ms = millis(step_s);
        self.state = match self.task {
            Task::Univariate => {
                State::Univariate(Box::new(Detector::new(DetectorConfig::for_step(step_ms))))
            }
            Task::Load => {
                let horizon = horizon.unwrap_or(10);
                if horizon == 0 || horizon > HORIZON_MAX {
                    return Err(field("horizon", format!("{horizon} is not in 1..={HORIZON_MAX}")));
                }
                if season.is_some_and(|s| s > SEASON_MAX) {
                    return Err(field("season", format!("more than {SEASON_MAX} steps")));
                }
                let cfg = ForecastConfig {
                    step_ms,
                    season_steps: season,
                    horizon,
                    plan_quantile: ForecastConfig::PLAN_ONCE,
                };
                State::Load { forecaster: Box::new(Forecaster::new(cfg)), horizon }
            }
        };
        Ok(())
    }

    fn history(&mut self, ts: &[f64], value: &[Option<f64>]) -> Result<(), ProtocolError> {
        let forecaster = match &mut self.state {
            State::Load { forecaster, .. } => forecaster,
            State::Univariate(_) => {
                return Err(field("type", "`history` belongs to the load task".to_owned()));
            }
            State::Idle => return Err(ProtocolError::NotStarted("history")),
        };
        if ts.len() != value.len() {
            let problem = format!("{} values for {} times", value.len(), ts.len());
            return Err(field("value", problem));
        }
        let ts_ms: Vec<i64> = ts.iter().map(|&t| millis(t)).collect();
        forecaster.push_history(&ts_ms, value);
        Ok(())
    }

    fn point(
        &mut self,
        ts: f64,
        value: Option<f64>,
        want: bool,
    ) -> Result<Option<String>, ProtocolError> {
        match &mut self.state {
            State::Idle => Err(ProtocolError::NotStarted("point")),
            State::Univariate(detector) => {
                let s = detector.update(millis(ts), value);
                let answer = json!({
                    "score": s.score, "alert": s.alert, "mean": s.mean, "lo": s.lo, "hi": s.hi,
                });
                Ok(Some(answer.to_string()))
            }
            State::Load { forecaster, horizon } => {
                forecaster.push(millis(ts), value);
                if !want {
                    return Ok(None);
                }
                let f = forecaster.forecast().unwrap_or_else(|| short_forecast(&[], *horizon));
                let answer = json!({
                    "mean": f.mean, "lo": f.lo, "hi": f.hi, "plan": f.plan, "method": f.method,
                });
                Ok(Some(answer.to_string()))
            }
        }
    }
}

fn field(field: &'static str, problem: String) -> ProtocolError {
    ProtocolError::Field { field, problem }
}

/// Seconds to milliseconds; the cast saturates, so any float is safe.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
