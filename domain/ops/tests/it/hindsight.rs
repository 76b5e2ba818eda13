//! Looking back on proposals: what came decides, and what cannot be told is not counted.

use oag_guard::Rung;
use oag_ops::{After, look_back};
use oag_pilot::{Claim, Fact, Fate, Figures, Foretold, Rehearsal, Trial};
use oag_types::{ActionId, Comparison, KindName, PlanId, Receipt};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{STEP_MS, name, now};

const STEPS: u32 = 10;

fn figures(foretold: Foretold, limit: f64) -> Figures {
    Figures {
        metric: "request_rate".into(),
        limit,
        foretold,
        enough: None,
        proves: true,
        rests_on: None,
    }
}

fn trial(rung: Rung, like: Option<Fact>, figures: Option<Figures>) -> Trial {
    Trial {
        plan: format!("{}_{:032x}", PlanId::PREFIX, 1).parse().unwrap(),
        action: format!("{}_{:032x}", ActionId::PREFIX, 2).parse().unwrap(),
        kind: KindName::new("scale"),
        rung,
        made_at: now(),
        claim: Claim {
            action: 0,
            service: name("order"),
            like,
            figures,
            step_ms: STEP_MS,
            steps: STEPS,
        },
        rehearsal: None,
    }
}

/// From 4 replicas of 200 requests/s to 6: load passes 680, and 1200 would be carried.
fn up(rung: Rung) -> Trial {
    let like = Fact::new("replicas", Comparison::Ge, 6);
    let foretold = Figures { enough: Some(1_200.0), ..figures(Foretold::Passes, 680.0) };
    trial(rung, Some(like), Some(foretold))
}

/// From 4 replicas to 3: load stays within 510.
fn down() -> Trial {
    trial(Rung::Observe, None, Some(figures(Foretold::Stays, 510.0)))
}

/// Errors of a new version last; only people can show that rolling back was right.
fn rollback() -> Trial {
    let foretold = Figures {
        metric: "error_rate".into(),
        proves: false,
        rests_on: Some(Fact::new("version", Comparison::Eq, "2")),
        ..figures(Foretold::Lasts, 0.05)
    };
    trial(Rung::Observe, Some(Fact::new("version", Comparison::Eq, "1")), Some(foretold))
}

fn clean(mut trial: Trial) -> Trial {
    let receipt = Receipt {
        changed: true,
        detail: String::new(),
        before: json!({"replicas": 4}),
        after: json!({"replicas": 6}),
    };
    trial.rehearsal = Some(Rehearsal::Clean(receipt));
    trial
}

/// Values one step apart from the beginning of the window; none where no value came.
fn after(values: &[Option<f64>]) -> After {
    let (from, _) = up(Rung::Observe).claim.window(now());
    let at = |place: usize| from.plus_millis(place as i64 * STEP_MS);
    let values = values.iter().enumerate();
    let values = values.filter_map(|(place, value)| value.map(|value| (at(place), value)));
    After { fate: Fate::Waiting, done: false, moved: false, values: values.collect() }
}

fn flat(value: f64) -> After {
    after(&[Some(value); STEPS as usize])
}

fn with_peak(value: f64, peak: f64) -> After {
    let mut values = [Some(value); STEPS as usize];
    values[6] = Some(peak);
    after(&values)
}

#[test]
fn more_replicas_were_right_when_load_passed_what_there_was() {
    let cases = [
        (with_peak(400.0, 700.0), Some(true), "request_rate passed 680: at most 700 in 10 steps"),
        (flat(680.0), Some(false), "request_rate never passed 680: at most 680 in 10 steps"),
        (After { done: true, ..flat(100.0) }, Some(true), "somebody did the same"),
        (After { fate: Fate::Approved, ..flat(100.0) }, Some(true), "somebody approved it"),
        // What people said is not what came.
        (After { fate: Fate::Rejected, ..with_peak(400.0, 700.0) }, Some(true), "passed 680"),
        (After { fate: Fate::Rejected, ..flat(100.0) }, Some(false), "never passed"),
        (after(&[]), None, "request_rate came for 0 of 10 steps only"),
    ];
    for (after, right, text) in cases {
        let seen = look_back(&up(Rung::Observe), &after);
        assert_eq!(seen.right, right, "{after:?}");
        assert!(seen.text.contains(text), "{}", seen.text);
        assert_eq!(seen.values, after.values, "what was looked at is kept");
    }
}

#[test]
fn fewer_replicas_were_right_when_load_stayed_within_what_would_have_been_left() {
    assert_eq!(look_back(&down(), &flat(510.0)).right, Some(true));
    assert_eq!(look_back(&down(), &with_peak(300.0, 511.0)).right, Some(false));
    let approved = After { fate: Fate::Approved, ..with_peak(300.0, 511.0) };
    assert_eq!(look_back(&down(), &approved).right, Some(false), "nobody's word keeps load low");
    assert_eq!(look_back(&down(), &after(&[None; 10])).right, None, "silence is not low load");
}

#[test]
fn figures_say_nothing_about_other_replicas_than_they_rest_on() {
    let rests_on = Some(Fact::new("replicas", Comparison::Eq, 4));
    let foretold = Figures { rests_on, ..figures(Foretold::Passes, 0.85) };
    let trial = trial(Rung::Observe, None, Some(foretold));
    assert_eq!(look_back(&trial, &flat(0.9)).right, Some(true));
    let seen = look_back(&trial, &After { moved: true, ..flat(0.9) });
    assert_eq!(seen.right, None);
    assert!(seen.text.contains("'replicas' changed"), "{}", seen.text);
}

#[test]
fn what_only_people_can_prove_is_right_by_their_doing_and_wrong_against_the_evidence() {
    let ended = |values: [f64; 2]| {
        let mut all = [Some(0.4); STEPS as usize];
        all[8] = Some(values[0]);
        all[9] = Some(values[1]);
        after(&all)
    };
    let cases = [
        (After { done: true, ..flat(0.4) }, Some(true)),
        (After { fate: Fate::Approved, ..flat(0.4) }, Some(true)),
        (After { fate: Fate::Rejected, ..flat(0.4) }, Some(false)),
        (After { fate: Fate::Over, ..ended([0.0, 0.01]) }, Some(false)),
        (ended([0.0, 0.01]), Some(false)),
        (ended([0.0, 0.2]), None),
        (flat(0.4), None),
        (After { moved: true, ..ended([0.0, 0.0]) }, None),
        (after(&[]), None),
    ];
    for (after, right) in cases {
        let seen = look_back(&rollback(), &after);
        assert_eq!(seen.right, right, "{after:?}: {}", seen.text);
    }
}

#[test]
fn what_claims_nothing_measurable_rests_on_people_alone() {
    let raise = trial(Rung::Observe, Some(Fact::new("replicas", Comparison::Ge, 2)), None);
    assert_eq!(look_back(&raise, &After { done: true, ..flat(0.0) }).right, Some(true));
    assert_eq!(look_back(&raise, &After { fate: Fate::Rejected, ..flat(0.0) }).right, Some(false));
    assert_eq!(look_back(&raise, &flat(9_000.0)).right, None);
}

#[test]
fn a_dry_run_is_clean_when_it_went_through_and_would_have_helped() {
    let dry = || clean(up(Rung::DryRun));
    assert_eq!(look_back(&dry(), &with_peak(400.0, 1_200.0)).right, Some(true));
    assert_eq!(look_back(&dry(), &flat(400.0)).right, Some(false), "it was not needed");
    let short = look_back(&dry(), &with_peak(400.0, 1_201.0));
    assert_eq!(short.right, Some(false), "it would not have been enough");
    assert!(short.text.contains("over the 1200 that would have been carried"), "{}", short.text);
    // People's doing does not replace the comparison with what came.
    assert_eq!(look_back(&dry(), &After { done: true, ..flat(400.0) }).right, Some(false));
    assert_eq!(look_back(&dry(), &after(&[])).right, None);

    let fault = Rehearsal::Fault("no such version".into());
    let failed = Trial { rehearsal: Some(fault), ..up(Rung::DryRun) };
    let seen = look_back(&failed, &with_peak(400.0, 700.0));
    assert_eq!((seen.right, seen.text.contains("no such version")), (Some(false), true));
    let untold = Rehearsal::Untold("the executor is away".into());
    for rehearsal in [Some(untold), None] {
        let trial = Trial { rehearsal, ..up(Rung::DryRun) };
        assert_eq!(look_back(&trial, &with_peak(400.0, 700.0)).right, None);
    }
}

#[test]
fn a_dry_run_that_only_people_can_prove_is_clean_when_the_state_came() {
    let dry = clean(Trial { rung: Rung::DryRun, ..rollback() });
    assert_eq!(look_back(&dry, &After { done: true, ..flat(0.4) }).right, Some(true));
    assert_eq!(look_back(&dry, &flat(0.0)).right, Some(false), "errors ended by themselves");
    assert_eq!(look_back(&dry, &flat(0.4)).right, None);
    let approved = look_back(&dry, &After { fate: Fate::Approved, ..flat(0.4) });
    assert_eq!(approved.right, None, "what it really did is verified by itself");
}

proptest! {
    /// Gaps must not make one answer likelier than the other: with more than two steps missing in
    /// a row nothing is told, however high or low the values are.
    #[test]
    fn a_long_gap_tells_nothing_whatever_the_values(
        values in prop::collection::vec(0.0..2_000.0_f64, STEPS as usize),
        first in 0..8_usize,
    ) {
        let mut all: Vec<Option<f64>> = values.into_iter().map(Some).collect();
        for value in &mut all[first..first + 3] {
            *value = None;
        }

        let seen = look_back(&up(Rung::Observe), &after(&all));
        prop_assert_eq!(seen.right, None);
        prop_assert_eq!(look_back(&down(), &after(&all)).right, None);
    }

    /// Two steps missing are no more than decisions themselves live with.
    #[test]
    fn a_short_gap_leaves_the_answer_to_the_values(
        values in prop::collection::vec(0.0..2_000.0_f64, STEPS as usize),
        first in 0..9_usize,
    ) {
        let mut all: Vec<Option<f64>> = values.into_iter().map(Some).collect();
        for value in &mut all[first..first + 2] {
            *value = None;
        }
        let peak = all.iter().flatten().copied().fold(0.0, f64::max);
        let seen = look_back(&up(Rung::Observe), &after(&all));
        prop_assert_eq!(seen.right, Some(peak > 680.0));
        prop_assert_eq!(look_back(&down(), &after(&all)).right, Some(peak <= 510.0));
    }
}

#[test]
fn a_claim_speaks_of_whole_steps_after_the_one_it_is_made_in() {
    let trial = up(Rung::Observe);
    let made = trial.made_at.plus_millis(STEP_MS / 2);
    let (from, to) = trial.claim.window(made);
    assert!(from > made && from.as_millis() % STEP_MS == 0, "{from:?}");
    assert_eq!(to.millis_since(from), i64::from(STEPS) * STEP_MS);
    let due = Trial { made_at: made, ..trial }.due_at();
    assert_eq!(due.millis_since(to), STEP_MS, "values may come late");
}
