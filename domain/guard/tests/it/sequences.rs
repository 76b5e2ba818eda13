//! Random histories: nothing gets past a rule, and nothing is stopped without one.

use std::collections::BTreeMap;

use oag_guard::{
    Book, FreezeWindow, KillScope, KillSwitch, LadderEntry, LimitRule, Rung, Selector, judge,
};
use oag_types::{Decision, KindName, Origin, Timestamp};
use proptest::prelude::*;

use crate::oracle::Model;
use crate::world::{
    KINDS, RawPlan, RawStep, START_MS, book, grid, id, make, raw_freeze, raw_plan, raw_rule,
    raw_scope,
};

#[derive(Debug, Clone)]
enum Event {
    Plan(RawPlan),
    Wait(i64),
    Kill(Option<KillScope>),
    Freezes(Vec<FreezeWindow>),
    Rung(usize, Rung),
    Rules(Vec<LimitRule>),
}

fn rung() -> impl Strategy<Value = Rung> {
    prop_oneof![
        1 => Just(Rung::Observe),
        1 => Just(Rung::DryRun),
        1 => Just(Rung::Approve),
        4 => Just(Rung::Automatic)
    ]
}

fn rules() -> impl Strategy<Value = Vec<LimitRule>> {
    prop::collection::vec(raw_rule(), 0..3)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => raw_plan().prop_map(Event::Plan),
        6 => grid(0, 80_000).prop_map(Event::Wait),
        1 => prop::option::weighted(0.3, raw_scope()).prop_map(Event::Kill),
        1 => prop::collection::vec(raw_freeze(), 0..2).prop_map(Event::Freezes),
        1 => (0..KINDS.len(), rung()).prop_map(|(kind, rung)| Event::Rung(kind, rung)),
        1 => rules().prop_map(Event::Rules),
    ]
}

/// The same setting, once as the guard keeps it and once as the oracle does.
struct Both {
    book: Book,
    model: Model,
    now: Timestamp,
    stand: BTreeMap<usize, f64>,
}

impl Both {
    fn new(rules: Vec<LimitRule>, rungs: Vec<Rung>) -> Self {
        let mut both = Self {
            book: book(),
            model: Model {
                approval_ms: 60_000,
                second_ratio: 2.0,
                second_window: 45_000,
                rungs: vec![Rung::Observe; KINDS.len()],
                ..Model::default()
            },
            now: Timestamp::from_millis(START_MS),
            stand: BTreeMap::new(),
        };
        both.book.approval_rules.expires_after_ms = 60_000;
        both.book.approval_rules.second_person.change_ratio = Some(2.0);
        both.book.approval_rules.second_person.change_window_ms = 45_000;
        both.book.approval_rules.second_person.proposer_counts = false;
        both.set_rules(rules);
        for (kind, rung) in rungs.into_iter().enumerate() {
            both.set_rung(kind, rung);
        }
        both
    }

    fn set_rules(&mut self, mut rules: Vec<LimitRule>) {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("rule-{index}");
            if let (Some(min), Some(max)) = (rule.min, rule.max) {
                assert!(min <= max);
            }
        }
        self.model.rules.clone_from(&rules);
        self.book.limits.rules = rules;
    }

    fn set_rung(&mut self, kind: usize, rung: Rung) {
        self.model.rungs[kind] = rung;
        let entry = LadderEntry { rung, ceiling: Rung::Automatic, ..LadderEntry::default() };
        self.book.ladder.entries.insert(KindName::new(KINDS[kind].0), entry);
    }

    fn plan(&mut self, raw: &RawPlan, n: usize) -> Result<Decision, TestCaseError> {
        let now = self.now.as_millis();
        let made = make(raw, n, self.now, &self.stand);
        let wanted = self.model.decide(&made, now);
        let before = self.book.clone();
        let verdict = made.with_case(self.now, |case| self.book.admit(case));
        prop_assert_eq!(verdict.decision, wanted, "{:#?}", verdict.reasons);
        let strictest = verdict.reasons.iter().map(|reason| reason.decision).max();
        prop_assert_eq!(strictest.unwrap_or(Decision::Allow), verdict.decision);
        let asks = verdict.decision == Decision::NeedsApproval;
        prop_assert_eq!(verdict.approvals_needed > 0, asks);
        if verdict.decision == Decision::Allow {
            self.model.log.extend(self.model.logged(&made, now));
            for (step, quantity) in raw.steps.iter().zip(&made.quantities) {
                if let Some(quantity) = quantity {
                    self.stand.insert(step.service, quantity.to);
                }
            }
            let again = made.with_case(self.now, |case| judge(&self.book, case));
            prop_assert_eq!(again.decision, Decision::Allow, "looking again changes nothing");
            let twice = made.with_case(self.now, |case| self.book.clone().admit(case));
            prop_assert!(raw.steps.is_empty() || twice.decision == Decision::Deny);
        } else {
            prop_assert!(self.book == before, "a refused plan left a trace");
        }
        Ok(verdict.decision)
    }

    fn event(&mut self, event: Event, n: usize) -> Result<Option<Decision>, TestCaseError> {
        match event {
            Event::Plan(raw) => return self.plan(&raw, n).map(Some),
            Event::Wait(ms) => self.now = self.now.plus_millis(ms),
            Event::Kill(scope) => {
                self.book.kill_switch = match scope.clone() {
                    Some(scope) => {
                        KillSwitch::engaged(scope, id("usr", 0), self.now, "fire".to_owned())
                    }
                    None => KillSwitch::default(),
                };
                self.model.killed = scope;
            }
            Event::Freezes(freezes) => {
                self.model.freezes.clone_from(&freezes);
                self.book.freezes = freezes;
            }
            Event::Rung(kind, rung) => self.set_rung(kind, rung),
            Event::Rules(rules) => self.set_rules(rules),
        }
        Ok(None)
    }
}

fn history() -> impl Strategy<Value = (Vec<LimitRule>, Vec<Rung>, Vec<Event>)> {
    let rungs = prop::collection::vec(rung(), KINDS.len());
    (rules(), rungs, prop::collection::vec(event(), 1..40))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The guard and the oracle agree on every plan of every history.
    #[test]
    fn nothing_gets_past_and_nothing_is_stopped_without_cause(
        (rules, rungs, events) in history()
    ) {
        let mut both = Both::new(rules, rungs);
        for (n, event) in events.into_iter().enumerate() {
            both.event(event, n)?;
        }
        let text = serde_json::to_string(&both.book).unwrap();
        prop_assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), both.book);
    }

    /// One more rule never lets more through.
    #[test]
    fn more_rules_never_allow_more(
        (rules, rungs, events) in history(),
        more in raw_rule(),
        freeze in raw_freeze(),
        scope in raw_scope(),
        raw in raw_plan(),
    ) {
        let mut both = Both::new(rules, rungs);
        for (n, event) in events.into_iter().enumerate() {
            both.event(event, n)?;
        }
        let made = make(&raw, 1_000, both.now, &both.stand);
        let before = made.with_case(both.now, |case| judge(&both.book, case)).decision;
        let mut stricter = [both.book.clone(), both.book.clone(), both.book.clone()];
        stricter[0].limits.rules.push(LimitRule { name: "more".to_owned(), ..more });
        stricter[1].freezes.push(freeze);
        if !both.book.kill_switch.on {
            stricter[2].kill_switch =
                KillSwitch::engaged(scope, id("usr", 0), both.now, "fire".to_owned());
        }
        for book in stricter {
            let after = made.with_case(both.now, |case| judge(&book, case)).decision;
            prop_assert!(after >= before);
        }
    }

    /// However a change is cut into actions and plans, what goes through within the window is no
    /// more than one action could have done. Summed afterwards, without the oracle.
    #[test]
    fn splitting_gains_nothing(
        cuts in prop::collection::vec(
            (prop::collection::vec((-4..6_i32, any::<bool>()), 1..5), grid(0, 20_000)), 1..25
        ),
        start in 1..12_i32,
        max_step in 1..8_i32,
    ) {
        let window = 60_000;
        let mut rule = LimitRule::new("step", Selector::kinds(&["scale"]));
        rule.max_step = Some(f64::from(max_step));
        rule.step_window_ms = window;
        let mut both = Both::new(vec![rule], vec![Rung::Automatic; KINDS.len()]);
        both.book.approval_rules.second_person.change_ratio = None;
        both.model.second_ratio = f64::INFINITY;
        both.stand.insert(0, f64::from(start));
        let mut moves: Vec<(i64, f64)> = Vec::new();
        for (n, (changes, wait)) in cuts.into_iter().enumerate() {
            let step = |(by, chained): (i32, bool)| RawStep {
                kind: 0, service: 0, from: start, by, chained, risk: 0, share: None,
                breaker_open: false,
            };
            let raw = RawPlan {
                origin: Origin::Loop, proposer: 4, approvals: Vec::new(), lives_ms: 60_000,
                steps: changes.into_iter().map(step).collect(),
            };
            let made = make(&raw, n, both.now, &both.stand);
            let decision = made.with_case(both.now, |case| both.book.admit(case)).decision;
            if decision == Decision::Allow {
                for quantity in made.quantities.iter().flatten() {
                    moves.push((both.now.as_millis(), quantity.to - quantity.from));
                    both.stand.insert(0, quantity.to);
                }
            }
            both.now = both.now.plus_millis(wait);
        }
        for (end, _) in &moves {
            let inside = moves.iter().filter(|(at, _)| at <= end && end - at < window);
            let up: f64 = inside.clone().map(|(_, change)| change.max(0.0)).sum();
            let down: f64 = inside.map(|(_, change)| (-change).max(0.0)).sum();
            prop_assert!(up <= f64::from(max_step) && down <= f64::from(max_step));
        }
    }
}

/// The histories above are worth something only if every decision comes up often in them.
#[test]
fn histories_reach_every_decision() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<Decision, usize> = BTreeMap::new();
    for _ in 0..200 {
        let (rules, rungs, events) = history().new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(rules, rungs);
        for (n, event) in events.into_iter().enumerate() {
            let busy = matches!(&event, Event::Plan(raw) if !raw.steps.is_empty());
            if let Some(decision) = both.event(event, n).unwrap()
                && busy
            {
                *seen.entry(decision).or_default() += 1;
            }
        }
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count >= 150), "{seen:?}");
}
