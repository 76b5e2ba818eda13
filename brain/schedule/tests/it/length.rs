//! What the predictor learns, and what it must not.

use oag_schedule::length::{Ending, Facts, Predictor};
use proptest::collection::vec;
use proptest::prelude::*;

fn facts(route: &str, prompt_tokens: u32) -> Facts {
    let route = Some(route.to_owned());
    Facts { model: "m".to_owned(), prompt_tokens, route, ..Facts::default() }
}

#[test]
fn it_learns_what_kinds_of_requests_are_long() {
    let mut predictor = Predictor::default();
    for number in 0..200 {
        predictor.learn(&facts("title", 900 + number), "a", Ending::Complete(12));
        predictor.learn(&facts("essay", 900 + number), "a", Ending::Complete(800));
    }
    let (title, essay) = (facts("title", 1_000), facts("essay", 1_000));
    assert!(predictor.predict(&title, "a").tokens < 40.0);
    assert!(predictor.predict(&essay, "a").tokens > 600.0);
    // A long prompt is not a long answer.
    assert!(predictor.predict(&facts("title", 60_000), "a").tokens < 100.0);
    // A limit is respected, and says nothing beyond itself.
    let limited = Facts { answer_tokens_max: Some(100), ..essay };
    assert!(predictor.predict(&limited, "a").tokens <= 100.0);
}

#[test]
fn what_was_cut_off_counts_as_longer_than_what_was_written() {
    let learned = |ending: Ending| {
        let mut predictor = Predictor::default();
        let facts = facts("chat", 500);
        (0..100).for_each(|_| predictor.learn(&facts, "a", Ending::Complete(400)));
        (0..100).for_each(|_| predictor.learn(&facts, "a", ending));
        predictor.predict(&facts, "a").tokens
    };
    assert!(learned(Ending::Complete(20)) < 250.0);
    assert!(learned(Ending::CutOff(20)) > 300.0);
}

#[test]
fn what_is_still_to_come_shrinks_and_never_ends() {
    let mut predictor = Predictor::default();
    let facts = facts("chat", 500);
    (1..400).for_each(|length| predictor.learn(&facts, "a", Ending::Complete(length)));
    let expected = predictor.predict(&facts, "a");
    assert!(expected.residual(300.0) < expected.residual(0.0));
    assert!(expected.residual(1e9) >= 1.0);
    assert!(expected.quantile(0.5) < expected.quantile(0.9));
}

#[test]
fn a_state_that_went_through_json_goes_on_as_if_it_had_not() {
    let mut predictor = Predictor::new(64);
    (1..300).for_each(|at| predictor.learn(&facts("chat", at), "a", Ending::Complete(at * 3)));
    let text = serde_json::to_string(&predictor).unwrap();
    let again: Predictor = serde_json::from_str(&text).unwrap();
    let near = |one: f64, other: f64| (one - other).abs() < 1e-6 * one;
    let asked = facts("chat", 77);
    assert!(near(predictor.predict(&asked, "a").tokens, again.predict(&asked, "a").tokens));
}

proptest! {
    /// Whatever it is taught, it stays within its memory and its answers are lengths.
    #[test]
    fn it_stays_bounded_and_sane(
        taught in vec((any::<u32>(), any::<u32>(), any::<bool>(), "[a-c]{0,2}"), 0..200),
        most in proptest::option::of(any::<u32>()),
    ) {
        let mut predictor = Predictor::new(32);
        for (prompt, tokens, whole, name) in &taught {
            let ending = if *whole { Ending::Complete(*tokens) } else { Ending::CutOff(*tokens) };
            predictor.learn(&facts(name, *prompt), name, ending);
        }
        prop_assert!(predictor.memory_bytes() < 32 * 400);
        let asked = Facts { answer_tokens_max: most, ..facts("a", 5) };
        let expected = predictor.predict(&asked, "t");
        prop_assert!(expected.tokens >= 1.0 && expected.tokens.is_finite());
        prop_assert!(most.is_none_or(|most| expected.tokens <= f64::from(most.max(1))));
        prop_assert!(expected.residual(1e6).is_finite());
    }
}
