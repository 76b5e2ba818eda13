//! Integration tests of `oag-schedule`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fleet;
mod length;
mod policies;
mod properties;
mod queue;
mod scheduler;
mod simulate;

use std::time::Duration;

use oag_schedule::fleet::WorkerSpec;
use oag_schedule::length::{Facts, Predictor};
use oag_schedule::policy::PolicyKind;
use oag_schedule::queue::QueueConfig;
use oag_schedule::{Config, Context, Moment, Rates, Scheduler, Task};
use oag_types::Tenant;

/// Answers of one token a second, and prompts that take no time.
const RATES: Rates = Rates { prefill_per_s: 1e9, decode_per_s: 1.0 };

fn at(seconds: f64) -> Moment {
    Moment::from_secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn task(prompt: u32) -> Task {
    let facts = Facts { model: "m".to_owned(), prompt_tokens: prompt, ..Facts::default() };
    Task::new(Context::of(Tenant::default_tenant()), facts)
}

fn worker(slots: u32) -> WorkerSpec {
    WorkerSpec {
        models: vec!["m".to_owned()],
        slots,
        window_tokens: 100_000,
        memory_tokens: 1_000_000,
        rates: RATES,
    }
}

fn scheduler(queue: QueueConfig) -> Scheduler {
    Scheduler::new(Config { queue, ..Config::default() }, Predictor::new(64))
}

fn policy(name: &str) -> PolicyKind {
    name.parse().unwrap()
}
