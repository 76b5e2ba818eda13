//! What foresight costs and saves: the forecasting rule against the reactive one, replayed over
//! windows of a real recording (`bench/data/NOTICE`). Nothing is timed; the figures are the same on
//! every machine.

use anyhow::{Context as _, ensure};
use clap::Args;
use oag_ops::{NamedPolicy, ReplayConfig, ReplayReport, replay};
use oag_types::{Sample, ScalingMode, ScalingSpec, SeriesKey, Service, Signal, Timestamp};
use serde_json::json;

use crate::Common;
use crate::figures::{Noise, count};
use crate::report::Report;

const RECORDING: &str = include_str!("../data/worldcup98.csv");
/// Rows before this one have gaps and catch-ups of the recording; on later ones constants of the
/// forecaster and of the loop were chosen.
const CHOSEN_ON: usize = 30_240;
/// Rows before this one only teach.
const FIRST: usize = 14_400;
/// Minutes that are counted, minutes before them, and minutes that teach.
const WINDOW: usize = 200;
const WARMUP: usize = 10;
const HISTORY: usize = 10 * 1_440 - WARMUP;
/// Requests per second of one replica, and the highest minute of a window in replicas.
const CAPACITY: f64 = 40.0;
const PEAK_REPLICAS: f64 = 7.6;
/// Minutes until a replica that was asked for is ready and known to be.
const START_MINUTES: u32 = 3;

/// What is replayed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Question {
    /// Quantiles of the load ahead that must fit; several are compared.
    #[arg(long, value_delimiter = ',', default_values_t = [0.98])]
    quantile: Vec<f64>,
    /// Windows in each part of the recording.
    #[arg(long, default_value_t = 40)]
    windows: usize,
    /// The first row of a single window to replay instead.
    #[arg(long, value_name = "ROW")]
    row: Option<usize>,
    /// Seeds of the requests within the minutes.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
}

impl Default for Question {
    fn default() -> Self {
        Self { quantile: vec![0.98], windows: 40, row: None, seeds: 1 }
    }
}

/// Sums over windows.
#[derive(Debug, Default)]
struct Sums {
    windows: usize,
    ahead: usize,
    forecast: Course,
    reactive: Course,
}

#[derive(Debug, Default)]
struct Course {
    overloaded: f64,
    cost: f64,
    changes: f64,
}

/// Replays.
pub(crate) fn measure(question: &Question, common: &Common) -> anyhow::Result<Report> {
    let rows = rows()?;
    let windows = if common.quick { 1 } else { question.windows };
    let latest = rows.len() - WINDOW;
    let parts: Vec<(String, Vec<usize>)> = match question.row {
        Some(row) => {
            ensure!((FIRST..=latest).contains(&row), "rows {FIRST} to {latest} have a past");
            vec![(format!("row {row}"), vec![row])]
        }
        None => vec![
            ("later rows".to_owned(), spread(CHOSEN_ON, latest, windows)),
            ("earlier rows".to_owned(), spread(FIRST, CHOSEN_ON - WINDOW, windows)),
        ],
    };
    let setting = format!(
        "{WINDOW} minutes each, scaled to {PEAK_REPLICAS} replicas, {HISTORY} minutes before, \
         {START_MINUTES} minutes to start"
    );
    let mut report = Report::new("scaling", setting);
    for quantile in &question.quantile {
        for (part, starts) in &parts {
            let mut sums = Sums::default();
            for (number, start) in starts.iter().enumerate() {
                for seed in 0..question.seeds {
                    let seed = seed * 1_000 + number as u64;
                    sums.add(&play(&rows, *start, *quantile, seed)?)?;
                }
            }
            sums.tell(&mut report, &format!("{part}, quantile {quantile}"));
        }
    }
    Ok(report)
}

fn rows() -> anyhow::Result<Vec<f64>> {
    let lines = RECORDING.lines().filter(|line| !line.starts_with('#'));
    let values = lines.flat_map(|line| line.split(','));
    values.map(|text| text.parse().with_context(|| format!("'{text}' in the recording"))).collect()
}

/// So many rows, evenly spread.
fn spread(first: usize, last: usize, number: usize) -> Vec<usize> {
    (0..number).map(|at| first + (last - first) * at / number.max(1)).collect()
}

/// One window under both rules.
fn play(rows: &[f64], start: usize, quantile: f64, seed: u64) -> anyhow::Result<ReplayReport> {
    let window = &rows[start..start + WINDOW];
    let scale = PEAK_REPLICAS * CAPACITY / window.iter().copied().fold(1.0, f64::max);
    let key = SeriesKey::of_service("request_rate", &"shop".parse()?);
    let mut noise = Noise::new(seed);
    let played = &rows[start - WARMUP - HISTORY..start + WINDOW];
    let signals = played.iter().enumerate().map(|(minute, value)| {
        let value = poisson(value * scale, &mut noise);
        let at = Timestamp::from_millis(minute as i64 * 60_000);
        Signal { key: key.clone(), sample: Sample { at, value } }
    });
    let scaling = ScalingSpec {
        step_ms: 60_000,
        max_replicas: 16,
        capacity_per_replica: Some(CAPACITY),
        season_steps: Some(1_440),
        ..ScalingSpec::default()
    };
    let shop = json!({"name": "shop", "group": "shop", "executor": "none", "scaling": scaling});
    let shop: Service = serde_json::from_value(shop)?;
    let forecast = NamedPolicy {
        plan_quantile: Some(quantile),
        ..NamedPolicy::usual("forecast", ScalingMode::Predictive)
    };
    let policies = [forecast, NamedPolicy::usual("reactive", ScalingMode::Reactive)];
    let config = ReplayConfig {
        start_delay_steps: START_MINUTES,
        warmup_share: (count(HISTORY) + 0.5) / count(played.len()),
        ..ReplayConfig::default()
    };
    Ok(replay(signals, &[shop], &policies, &config)?)
}

/// Requests that came in a second when so many are usual: gaps between them forget.
fn poisson(rate: f64, noise: &mut Noise) -> f64 {
    let (mut at, mut requests) = (0.0, 0_usize);
    loop {
        at -= (1.0 - noise.uniform()).ln() / rate;
        if at.is_nan() || at > 1.0 {
            return count(requests);
        }
        requests += 1;
    }
}

impl Sums {
    fn add(&mut self, report: &ReplayReport) -> anyhow::Result<()> {
        let [forecast, reactive] = report.policies.as_slice() else {
            anyhow::bail!("two policies were replayed");
        };
        let (over, cost) = (
            forecast.overloaded_share - reactive.overloaded_share,
            forecast.replica_steps as f64 - reactive.replica_steps as f64,
        );
        self.windows += 1;
        self.ahead += usize::from(over <= 0.0 && cost <= 0.0 && (over < 0.0 || cost < 0.0));
        for (course, outcome) in [(&mut self.forecast, forecast), (&mut self.reactive, reactive)] {
            course.overloaded += outcome.overloaded_share;
            course.cost += outcome.replica_steps as f64 / outcome.replica_steps_needed as f64;
            course.changes += (outcome.scale_ups + outcome.scale_downs) as f64;
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report, name: &str) {
        let windows = count(self.windows.max(1));
        for (rule, course) in [("forecast", &self.forecast), ("reactive", &self.reactive)] {
            let name = |what: &str| format!("{name}, {rule}: {what}");
            report.row(name("overloaded"), 100.0 * course.overloaded / windows, "%");
            report.row(name("replicas over need"), course.cost / windows, "x");
            report.row(name("changes in a window"), course.changes / windows, "");
        }
        report.row(format!("{name}: windows ahead"), count(self.ahead), "windows");
        report.row(format!("{name}: of"), count(self.windows), "windows");
    }
}
