//! The five policies and their sizes.

use serde::Serialize;
use serde_json::{Value, json};

use super::load::SEASON_STEPS;

/// Requests a replica serves at once.
pub(super) const CONCURRENCY: u32 = 8;
/// Mean time a request is served for, in milliseconds. It is waited, not computed, so that
/// replicas on one machine do not take capacity from one another.
pub(super) const SERVICE_MS: u64 = 200;
/// What one replica carries, in requests per second.
pub(super) const CAPACITY: f64 = CONCURRENCY as f64 * 1_000.0 / SERVICE_MS as f64;
/// The highest recorded minute, in replicas.
pub(super) const PEAK_REPLICAS: f64 = 7.6;
/// Steps a replica takes until it is ready.
pub(super) const START_DELAY_STEPS: i64 = 2;
/// Steps until it is seen to be ready, and noticed in time.
const LEAD_STEPS: usize = START_DELAY_STEPS as usize + 1;
/// Share of capacity the loop, and the oracle with it, keeps load below: the product's default.
pub(super) const THRESHOLD: f64 = 0.85;
/// Share of capacity the reactive rule aims at: that of a horizontal pod autoscaler.
pub(super) const REACTIVE_TARGET: f64 = 0.7;
/// Steps that the oracle waits between two removals: the guard's cool-down is four minutes, and the
/// oracle acts at the beginning of steps, a few milliseconds sooner or later.
pub(super) const ORACLE_DOWN_STEPS: usize = 5;
const MAX_REPLICAS: u32 = 16;

/// How replicas are decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    /// The product's loop, by forecast.
    Loop,
    /// The rule of a horizontal pod autoscaler.
    Reactive,
    /// As many as the highest step needs, all the time.
    StaticPeak,
    /// As many as the mean needs, all the time.
    StaticMean,
    /// Ahead of time, knowing the load to come.
    Oracle,
}

impl Policy {
    /// All of them, in the order they are shown.
    pub(super) const ALL: [Self; 5] =
        [Self::Loop, Self::Reactive, Self::StaticPeak, Self::StaticMean, Self::Oracle];

    /// Its place in [`Policy::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// For people.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Reactive => "reactive",
            Self::StaticPeak => "static-peak",
            Self::StaticMean => "static-mean",
            Self::Oracle => "oracle",
        }
    }

    /// The service it runs.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::Loop => "demo-loop",
            Self::Reactive => "demo-reactive",
            Self::StaticPeak => "demo-static-peak",
            Self::StaticMean => "demo-static-mean",
            Self::Oracle => "demo-oracle",
        }
    }

    const fn mode(self) -> &'static str {
        match self {
            Self::Loop => "predictive",
            Self::Reactive => "reactive",
            Self::StaticPeak | Self::StaticMean | Self::Oracle => "off",
        }
    }
}

/// Everything that is known before the first request.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    /// Replicas of each policy at first.
    pub(super) initial: [u32; 5],
    /// Replicas the oracle sets at each step of warm-up and window.
    pub(super) oracle: Vec<u32>,
}

impl Sizes {
    /// From what will be offered in each step of warm-up and window.
    pub(super) fn of(offered: &[f64], warmup: usize) -> Self {
        let window = offered.get(warmup..).unwrap_or_default();
        let peak = window.iter().copied().fold(0.0, f64::max);
        let mean = window.iter().sum::<f64>() / window.len().max(1) as f64;
        let oracle = oracle(offered);
        // Those that change start alike, with room for the reactive rule's target.
        let first = offered.iter().take(warmup.max(1)).copied().fold(0.0, f64::max);
        let start = replicas_for(first, REACTIVE_TARGET * CAPACITY);
        let ahead = oracle.first().copied().unwrap_or(start);
        let fixed = |load: f64| replicas_for(load, CAPACITY);
        Self { initial: [start, start, fixed(peak), fixed(mean), ahead], oracle }
    }

    /// The entry of a policy's service in the catalogue.
    pub(super) fn service(&self, policy: Policy, program: &str, step_ms: i64) -> Value {
        let (concurrency, service_ms) = (CONCURRENCY.to_string(), SERVICE_MS.to_string());
        let start_delay_ms = (START_DELAY_STEPS * step_ms).to_string();
        json!({
            "name": policy.service(),
            "group": super::world::GROUP,
            "executor": "local",
            "spec": {
                "command": [
                    program, "sample-service", "--port", "{port}", "--concurrency", concurrency,
                    "--service-ms", service_ms, "--start-delay-ms", start_delay_ms,
                ],
                "health": {"path": "/healthz", "interval_ms": 100, "timeout_ms": 2_000},
                "concurrency_per_replica": CONCURRENCY,
                "replicas": self.initial[policy.index()],
            },
            "scaling": {
                "mode": policy.mode(),
                "min_replicas": 1,
                "max_replicas": MAX_REPLICAS,
                "step_ms": step_ms,
                "capacity_per_replica": CAPACITY,
                "season_steps": SEASON_STEPS,
                "threshold": THRESHOLD,
                "reactive_target": REACTIVE_TARGET,
            },
        })
    }
}

/// The smallest whole number of replicas that carries a load, at least one.
pub(super) fn replicas_for(load: f64, each: f64) -> u32 {
    (((load / each) - 1e-9).ceil().max(1.0) as u32).min(MAX_REPLICAS)
}

/// What the loop would do if its forecast were right: as many as are needed until a replica that
/// is asked for now is ready; fewer once they are not needed again before the next removal may be
/// taken back.
fn oracle(offered: &[f64]) -> Vec<u32> {
    let needed: Vec<u32> =
        offered.iter().map(|load| replicas_for(*load, THRESHOLD * CAPACITY)).collect();
    let highest = |from: usize, steps: usize| {
        let until = (from + steps + 1).min(needed.len());
        needed[from..until].iter().copied().max().unwrap_or(1)
    };
    let mut schedule: Vec<u32> = Vec::with_capacity(needed.len());
    for step in 0..needed.len() {
        let soon = highest(step, LEAD_STEPS);
        let later = highest(step, LEAD_STEPS + ORACLE_DOWN_STEPS);
        let before = schedule.last().copied().unwrap_or(soon);
        schedule.push(if soon > before { soon } else { before.min(later) });
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_sizes_carry_the_peak_and_the_mean_of_the_window() {
        let mut offered = vec![20.0; 10];
        offered.extend([100.0, 130.0, 310.0, 60.0]);
        let sizes = Sizes::of(&offered, 10);
        assert_eq!(sizes.initial[Policy::StaticPeak.index()], 8, "310 / 40");
        assert_eq!(sizes.initial[Policy::StaticMean.index()], 4, "150 / 40");
        assert_eq!(sizes.initial[Policy::Loop.index()], 1, "20 / (0.7 * 40)");
        assert_eq!(sizes.initial[Policy::Loop.index()], sizes.initial[Policy::Reactive.index()]);
    }

    #[test]
    fn the_oracle_is_ready_for_every_step_and_holds_no_more_than_it_needs_for_long() {
        let offered: Vec<f64> =
            (0..200).map(|step| 150.0 + 120.0 * (f64::from(step) / 9.0).sin()).collect();
        let schedule = oracle(&offered);
        for (step, load) in offered.iter().enumerate() {
            let asked = schedule[step.saturating_sub(LEAD_STEPS)..=step].iter().min().unwrap();
            let needed = replicas_for(*load, THRESHOLD * CAPACITY);
            assert!(*asked >= needed, "step {step}: {asked} of {needed}");
        }
        let used: u32 = schedule.iter().sum();
        let needed: u32 =
            offered.iter().map(|load| replicas_for(*load, THRESHOLD * CAPACITY)).sum();
        assert!(f64::from(used) < 1.35 * f64::from(needed), "{used} of {needed}");
    }

    #[test]
    fn a_dip_shorter_than_a_removal_and_a_start_is_sat_out() {
        let mut offered = vec![200.0; 20];
        offered[8..12].fill(40.0);
        assert!(oracle(&offered).iter().all(|replicas| *replicas == 6));
        offered.extend(vec![40.0; 20]);
        assert_eq!(oracle(&offered).last(), Some(&2));
    }

    #[test]
    fn a_service_runs_the_sample_of_this_program() {
        let sizes = Sizes::of(&[40.0; 12], 2);
        let entry = sizes.service(Policy::Reactive, "/bin/oag", 1_000);
        assert_eq!(entry["spec"]["command"][0], "/bin/oag");
        assert_eq!(entry["scaling"]["mode"], "reactive");
        assert_eq!(entry["scaling"]["capacity_per_replica"], 40.0);
        assert!(serde_json::from_value::<oag_types::Service>(entry).is_ok());
    }
}
