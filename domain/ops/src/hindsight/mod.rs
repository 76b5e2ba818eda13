//! Looking back on proposals: whether what a proposal foretold came. Pure: the same trial and what
//! came after it give the same answer. The rules are in `docs/guard.md`.

mod claims;

use oag_guard::Rung;
use oag_pilot::{Fate, Figures, Foretold, Hindsight, Rehearsal, Trial};
use oag_types::Timestamp;

pub(crate) use claims::claims;

use crate::decide::numbers::num;

/// Longest run of steps without a value after which values still tell something, as for decisions.
const GAP_STEPS_MAX: i64 = 2;

/// What came after a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct After {
    /// What people did with the proposal.
    pub fate: Fate,
    /// Whether the state has shown that somebody did the same, or more of it.
    pub done: bool,
    /// Whether something the figures rest on was seen changed.
    pub moved: bool,
    /// The values of the claim's metric: when their step began, and how much. In order of time.
    pub values: Vec<(Timestamp, f64)>,
}

/// Whether a proposal was right, judged by what came after it. What cannot be told is neither.
#[must_use]
pub fn look_back(trial: &Trial, after: &After) -> Hindsight {
    let (right, text) = match trial.rung {
        Rung::DryRun => by_dry_run(trial, after),
        _ => by_proposal(trial, after),
    };
    Hindsight { right, text, values: after.values.clone() }
}

type Answer = (Option<bool>, String);

fn right(text: impl Into<String>) -> Answer {
    (Some(true), text.into())
}

fn wrong(text: impl Into<String>) -> Answer {
    (Some(false), text.into())
}

fn untold(text: impl Into<String>) -> Answer {
    (None, text.into())
}

/// On the rung *observe*: what people did by themselves counts, then what was measured.
fn by_proposal(trial: &Trial, after: &After) -> Answer {
    if trial.claim.like.is_some() {
        if after.done {
            return right("somebody did the same, or more of it");
        }
        if after.fate == Fate::Approved {
            return right("somebody approved it");
        }
    }
    let measured = trial.claim.figures.as_ref().map(|figures| measured(trial, figures, after));
    match measured {
        Some((right, text)) if trial.claim.figures.as_ref().is_some_and(|f| f.proves) => {
            (right, text)
        }
        _ if after.fate == Fate::Rejected => wrong("somebody called it off"),
        Some((Some(false), text)) => wrong(text),
        Some((_, text)) => untold(format!("{text}, and nobody took it up")),
        None => untold("nobody took it up, and nothing measured tells whether it was right"),
    }
}

/// On the rung *dry run*: it went through when it was proposed, and what it was proposed for came
/// and would have been answered.
fn by_dry_run(trial: &Trial, after: &After) -> Answer {
    match &trial.rehearsal {
        Some(Rehearsal::Clean(_)) => {}
        Some(Rehearsal::Fault(why)) => return wrong(format!("the dry run failed: {why}")),
        Some(Rehearsal::Untold(why)) => return untold(format!("no dry run: {why}")),
        None => return untold("no dry run was made"),
    }
    if let Some(figures) = trial.claim.figures.as_ref().filter(|figures| figures.proves) {
        let (answer, text) = measured(trial, figures, after);
        let peak = highest(after);
        return match (answer, figures.enough) {
            (Some(true), Some(enough)) if peak > enough => wrong(format!(
                "{text}; but it rose to {}, over the {} that would have been carried",
                num(peak),
                num(enough)
            )),
            _ => (answer, text),
        };
    }
    if trial.claim.like.is_some() && after.done {
        return right("somebody did the same, and the promised state came");
    }
    if after.fate == Fate::Approved {
        return untold("it was approved: what it did is verified by itself");
    }
    by_proposal(trial, after)
}

/// What the measured values say about what was foretold.
fn measured(trial: &Trial, figures: &Figures, after: &After) -> Answer {
    let Figures { metric, limit, foretold, rests_on, .. } = figures;
    if let Some(fact) = rests_on.as_ref().filter(|_| after.moved) {
        return untold(format!("'{}' changed meanwhile, {metric} tells nothing", fact.field));
    }
    if !covered(trial, after) {
        let seen = after.values.len();
        return untold(format!("{metric} came for {seen} of {} steps only", trial.claim.steps));
    }
    let peak = highest(after);
    let said = |is: bool, yes: &str, no: &str| {
        let verb = if is { yes } else { no };
        format!(
            "{metric} {verb} {}: at most {} in {} steps",
            num(*limit),
            num(peak),
            trial.claim.steps
        )
    };
    match foretold {
        Foretold::Passes => (Some(peak > *limit), said(peak > *limit, "passed", "never passed")),
        Foretold::Stays => {
            (Some(peak <= *limit), said(peak <= *limit, "stayed within", "did not stay within"))
        }
        Foretold::Lasts => {
            let ended = after.values.len() >= 2
                && after.values.iter().rev().take(2).all(|(_, value)| value < limit);
            (Some(!ended), said(!ended, "lasted at", "came down by itself below"))
        }
    }
}

fn highest(after: &After) -> f64 {
    after.values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max)
}

/// Whether values came throughout, so that neither answer is likelier for want of data.
fn covered(trial: &Trial, after: &After) -> bool {
    let (from, to) = trial.claim.window(trial.made_at);
    let step_ms = trial.claim.step_ms.max(1);
    let gap_ms = step_ms.saturating_mul(GAP_STEPS_MAX + 1);
    let mut last = from.plus_millis(-step_ms);
    for (at, _) in &after.values {
        if at.millis_since(last) > gap_ms {
            return false;
        }
        last = *at;
    }
    !after.values.is_empty() && to.millis_since(last) <= gap_ms
}
