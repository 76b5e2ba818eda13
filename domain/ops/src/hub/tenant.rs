//! What is kept in memory for one tenant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use oag_insight::{Forecast, ForecastConfig, Forecaster};
use oag_types::{Sample, SeriesKey, Service, ServiceName, Timestamp};

use super::HubConfig;
use super::grid::{Join, SeriesScore, SeriesView, means, start_of, step_of};
use super::series::{Scored, Series, Taken};

/// Series of a metric joined at most; more are left out of the sum.
const JOINED_MAX: usize = 1_000;
/// Metrics that decisions forecast.
const FORECAST_METRICS: [&str; 3] = ["request_rate", "utilisation", "cpu_usage"];

#[derive(Debug, Default)]
pub(super) struct TenantSignals {
    series: HashMap<Arc<SeriesKey>, Series>,
    /// Series by service and metric.
    index: HashMap<ServiceName, BTreeMap<String, BTreeSet<Arc<SeriesKey>>>>,
    /// Steps and seasons of the services of the catalogue.
    steps: HashMap<ServiceName, (i64, Option<usize>)>,
    forecasters: HashMap<(ServiceName, String), Pupil>,
}

/// A forecaster and how far it has been taught.
#[derive(Debug)]
pub(super) struct Pupil {
    config: ForecastConfig,
    forecaster: Forecaster,
    /// The step taught last, counted from the epoch.
    taught: Option<i64>,
}

/// What taking in one sample did.
pub(super) enum Outcome {
    TooMany,
    Took { taken: Taken, new: bool, evicted: bool, scored: Scored },
}

impl TenantSignals {
    pub(super) fn take(
        &mut self,
        config: &HubConfig,
        key: &SeriesKey,
        sample: Sample,
        now: Timestamp,
    ) -> Outcome {
        let (mut new, mut evicted) = (false, false);
        if !self.series.contains_key(key) {
            if self.series.len() >= config.series_max {
                evicted = self.evict(config, now);
                if !evicted {
                    return Outcome::TooMany;
                }
            }
            self.insert(key);
            new = true;
        }
        let step_ms =
            self.service_of(key).and_then(|s| self.steps.get(&s)).map(|(step_ms, _)| *step_ms);
        let Some(series) = self.series.get_mut(key) else { return Outcome::TooMany };
        let taken = series.take(sample, config.ring_samples);
        let scored = match taken {
            Taken::Accepted => series.score_newest(step_ms),
            Taken::Duplicate | Taken::Late => Scored::default(),
        };
        Outcome::Took { taken, new, evicted, scored }
    }

    /// Only services of the catalogue cost a name to be parsed for each sample.
    fn service_of(&self, key: &SeriesKey) -> Option<ServiceName> {
        if self.steps.is_empty() { None } else { key.service() }
    }

    fn insert(&mut self, key: &SeriesKey) {
        let shared = Arc::new(key.clone());
        if let Some(service) = key.service() {
            let metrics = self.index.entry(service).or_default();
            metrics.entry(key.name.clone()).or_default().insert(Arc::clone(&shared));
        }
        self.series.insert(shared, Series::default());
    }

    /// Drops the longest idle series, when one has been idle for long enough.
    fn evict(&mut self, config: &HubConfig, now: Timestamp) -> bool {
        let idle = self.series.iter().map(|(key, series)| (series.newest().map(|s| s.at), key));
        let Some((newest, key)) = idle.min() else { return false };
        if newest.is_some_and(|at| now.millis_since(at) < config.idle_ms) {
            return false;
        }
        let key = Arc::clone(key);
        self.series.remove(&key);
        if let Some(service) = key.service()
            && let Some(metrics) = self.index.get_mut(&service)
        {
            if let Some(keys) = metrics.get_mut(&key.name) {
                keys.remove(&key);
            }
            metrics.retain(|_, keys| !keys.is_empty());
            if metrics.is_empty() {
                self.index.remove(&service);
            }
        }
        true
    }

    /// Takes in the catalogue: steps of services, and which forecasters are still needed.
    pub(super) fn set_services(&mut self, services: &[Service]) {
        self.steps = services
            .iter()
            .map(|s| (s.name.clone(), (s.scaling.step_ms.max(1), s.scaling.season_steps)))
            .collect();
        let steps = &self.steps;
        self.forecasters.retain(|(service, _), _| steps.contains_key(service));
    }

    pub(super) fn series(&self, key: &SeriesKey) -> Option<&Series> {
        self.series.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &SeriesKey> {
        self.series.keys().map(AsRef::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) fn forecasters(&self) -> usize {
        self.forecasters.len()
    }

    /// The metrics of a service, in order.
    pub(super) fn metrics(&self, service: &ServiceName) -> Vec<String> {
        self.index.get(service).map(|m| m.keys().cloned().collect()).unwrap_or_default()
    }

    fn joined(&self, service: &ServiceName, metric: &str) -> Vec<&Series> {
        let keys = self.index.get(service).and_then(|metrics| metrics.get(metric));
        keys.into_iter().flatten().take(JOINED_MAX).filter_map(|key| self.series.get(key)).collect()
    }

    pub(super) fn fresh(
        &self,
        service: &ServiceName,
        metric: &str,
        default_step_ms: i64,
        now: Timestamp,
    ) -> Option<f64> {
        let step_ms = self.steps.get(service).map_or(default_step_ms, |(step_ms, _)| *step_ms);
        let joined = self.joined(service, metric);
        if let [one] = joined.as_slice() {
            let newest = one.newest()?;
            let age = now.millis_since(newest.at);
            return (age <= step_ms.saturating_mul(2)).then_some(newest.value);
        }
        self.view(service, metric, step_ms, 3, now).fresh(now)
    }

    pub(super) fn view(
        &self,
        service: &ServiceName,
        metric: &str,
        step_ms: i64,
        steps: usize,
        now: Timestamp,
    ) -> SeriesView {
        let joined = self.joined(service, metric);
        let newest_at = joined.iter().filter_map(|s| s.newest()).map(|s| s.at).max();
        let present = step_of(now, step_ms);
        let has_present = newest_at.is_some_and(|at| step_of(at, step_ms) >= present);
        let last = if has_present { present } else { present - 1 };
        let first = last - i64::try_from(steps).unwrap_or(1) + 1;
        let fresh = |at: Timestamp| now.millis_since(at) <= step_ms.saturating_mul(2);
        let score = match joined.as_slice() {
            [one] => one.score().filter(|(at, _)| fresh(*at)).map(|(at, score)| SeriesScore {
                at,
                score: score.score,
                alert: score.alert,
                mean: score.mean,
                lo: score.lo,
                hi: score.hi,
            }),
            _ => None,
        };
        SeriesView {
            step_ms,
            values: self.grid(&joined, metric, step_ms, first, last),
            last_step_at: start_of(last, step_ms),
            newest_at,
            series: joined.len(),
            score,
        }
    }

    fn grid(
        &self,
        joined: &[&Series],
        metric: &str,
        step_ms: i64,
        first: i64,
        last: i64,
    ) -> Vec<Option<f64>> {
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        let (from, to) = (start_of(first, step_ms), start_of(last + 1, step_ms));
        let rows: Vec<Vec<Option<f64>>> =
            joined.iter().map(|s| means(&s.range(from, to), step_ms, first, count)).collect();
        if let [only] = rows.as_slice() {
            return only.clone();
        }
        let join = Join::of(metric);
        (0..count)
            .map(|at| join.join(rows.iter().filter_map(|row| row.get(at).copied().flatten())))
            .collect()
    }

    /// Whether a forecaster of these settings is there.
    pub(super) fn has_pupil(&self, key: &(ServiceName, String), config: &ForecastConfig) -> bool {
        self.forecasters.get(key).is_some_and(|pupil| pupil.config == *config)
    }

    /// Teaches the forecaster of an imported series anew: the import, then what is in memory.
    /// Without long-term storage this is the only way it learns of the import.
    pub(super) fn reteach(
        &mut self,
        config: &HubConfig,
        series: &SeriesKey,
        samples: &[Sample],
    ) -> bool {
        let Some(service) = series.service() else { return false };
        let Some(&(step_ms, season_steps)) = self.steps.get(&service) else { return false };
        if series.labels.len() != 1 || !FORECAST_METRICS.contains(&series.name.as_str()) {
            return false;
        }
        let key = (service, series.name.clone());
        if !self.forecasters.contains_key(&key) && self.forecasters.len() >= config.forecasters_max
        {
            return false;
        }
        let mut pupil = Pupil::new(forecast_config(config, step_ms, season_steps));
        pupil.teach_history(samples);
        self.forecasters.insert(key, pupil);
        true
    }

    pub(super) fn set_pupil(&mut self, key: (ServiceName, String), pupil: Pupil) {
        self.forecasters.insert(key, pupil);
    }

    /// Teaches the forecaster every step up to now and asks it.
    pub(super) fn forecast(
        &mut self,
        key: &(ServiceName, String),
        now: Timestamp,
    ) -> Option<Forecast> {
        let (step_ms, taught) = self.forecasters.get(key).map(|p| (p.config.step_ms, p.taught))?;
        let joined = self.joined(&key.0, &key.1);
        let oldest = joined.iter().filter_map(|s| s.oldest()).map(|s| s.at).min()?;
        let newest = joined.iter().filter_map(|s| s.newest()).map(|s| s.at).max()?;
        let present = step_of(now, step_ms);
        let last = if step_of(newest, step_ms) >= present { present } else { present - 1 };
        let mut first = step_of(oldest, step_ms);
        if let Some(taught) = taught {
            first = first.max(taught + 1);
        }
        let values = self.grid(&joined, &key.1, step_ms, first, last);
        let pupil = self.forecasters.get_mut(key)?;
        pupil.teach(first, &values);
        pupil.forecaster.forecast()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let key_bytes = |key: &SeriesKey| {
            let labels: usize = key.labels.iter().map(|(n, v)| n.len() + v.len() + 96).sum();
            size_of::<SeriesKey>() + key.name.len() + labels + 48
        };
        let series: usize =
            self.series.iter().map(|(key, series)| key_bytes(key) + series.memory_bytes()).sum();
        let pupils: usize = self
            .forecasters
            .values()
            .map(|p| size_of::<Pupil>() + p.forecaster.memory_bytes())
            .sum();
        series + pupils
    }
}

/// The forecaster's settings for a service.
pub(super) fn forecast_config(
    config: &HubConfig,
    step_ms: i64,
    season_steps: Option<usize>,
) -> ForecastConfig {
    let step_ms = step_ms.max(1);
    let day = config.season_ms.and_then(|season| usize::try_from(season / step_ms).ok());
    ForecastConfig {
        step_ms,
        season_steps: season_steps.or(day).filter(|steps| *steps > 1),
        horizon: config.horizon,
        plan_quantile: config.plan_quantile,
    }
}

impl Pupil {
    pub(super) fn new(config: ForecastConfig) -> Self {
        Self { forecaster: Forecaster::new(config.clone()), config, taught: None }
    }

    /// Teaches a history, sorted by time.
    pub(super) fn teach_history(&mut self, samples: &[Sample]) {
        let step_ms = self.config.step_ms;
        for run in samples.chunk_by(|a, b| step_of(a.at, step_ms) == step_of(b.at, step_ms)) {
            let Some(step) = run.first().map(|s| step_of(s.at, step_ms)) else { continue };
            self.teach(step, &means(run, step_ms, step, 1));
        }
    }

    fn teach(&mut self, first: i64, values: &[Option<f64>]) {
        for (step, value) in (first..).zip(values) {
            // Silence before the first value says nothing about the series.
            if self.taught.is_none_or(|taught| step > taught)
                && (self.taught.is_some() || value.is_some())
            {
                self.forecaster.push(step.saturating_mul(self.config.step_ms), *value);
                self.taught = Some(step);
            }
        }
    }
}
