//! Signals in memory: the newest samples of every series, their anomaly scores, and forecasts of
//! the series decisions rest on.

mod check;
mod config;
mod grid;
mod import;
mod series;
mod tenant;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use oag_insight::{Forecast, Score};
use oag_runtime::Clock;
use oag_types::{
    Code, Problem, Sample, SeriesKey, Service, ServiceName, Signal, Tenant, Timestamp,
};

pub use config::{BackfillReport, HubConfig, HubCounters, IngestReport};
pub use grid::{SeriesScore, SeriesView};

use crate::LongTerm;
use check::{Moment, check_key, check_moment, out_of_range, too_many};
use series::Taken;
use tenant::{Outcome, Pupil, TenantSignals, forecast_config};

/// Most steps of a view.
const VIEW_STEPS_MAX: usize = 10_000;

/// Which series to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesFilter {
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Only metric names that begin with this.
    pub name_prefix: Option<String>,
    /// At most so many, by name; 1,000 when absent.
    pub limit: Option<usize>,
}

/// Signals in memory, per tenant. Cheap to ask; nothing here waits for anything.
pub struct SignalHub {
    config: HubConfig,
    clock: Arc<dyn Clock>,
    long_term: Option<Arc<dyn LongTerm>>,
    tenants: RwLock<HashMap<Tenant, Arc<Mutex<TenantSignals>>>>,
    counters: Mutex<HubCounters>,
}

impl std::fmt::Debug for SignalHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalHub").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl SignalHub {
    /// An empty hub.
    #[must_use]
    pub fn new(
        config: HubConfig,
        clock: Arc<dyn Clock>,
        long_term: Option<Arc<dyn LongTerm>>,
    ) -> Self {
        Self { config, clock, long_term, tenants: RwLock::default(), counters: Mutex::default() }
    }

    /// Its limits.
    #[must_use]
    pub const fn config(&self) -> &HubConfig {
        &self.config
    }

    /// Takes in a batch. Every signal is judged by itself; the report says what became of each.
    pub fn ingest(&self, tenant: &Tenant, signals: &[Signal]) -> IngestReport {
        let now = self.clock.now();
        let mut report = IngestReport::default();
        let mut counted = HubCounters::default();
        let Some(state) = self.tenant(tenant) else {
            let text = format!("the limit of {} tenants is reached", self.config.tenants_max);
            let refuse = |at| (at, Problem::new(Code::OVERLOADED, text.clone()));
            report.rejected = (0..signals.len()).map(refuse).collect();
            self.count(&report, counted);
            return report;
        };
        // Long-term storage is told after the lock is gone.
        let mut forward = Vec::with_capacity(signals.len());
        {
            let mut state = lock(&state);
            for (at, signal) in signals.iter().enumerate() {
                let taken = self.take(&mut state, signal, now, &mut report, &mut counted);
                match taken {
                    Ok(true) => forward.push(at),
                    Ok(false) => {}
                    Err(problem) => report.rejected.push((at, problem)),
                }
            }
        }
        if let Some(long_term) = &self.long_term {
            for signal in forward.into_iter().filter_map(|at| signals.get(at)) {
                if long_term.append(tenant, &signal.key, signal.sample).is_err() {
                    counted.long_term_errors += 1;
                }
            }
        }
        self.count(&report, counted);
        report
    }

    /// Whether the signal is to be forwarded to long-term storage.
    fn take(
        &self,
        state: &mut TenantSignals,
        signal: &Signal,
        now: Timestamp,
        report: &mut IngestReport,
        counted: &mut HubCounters,
    ) -> Result<bool, Problem> {
        check_key(&signal.key)?;
        if !signal.sample.value.is_finite() {
            return Err(Problem::field("value", "not a finite number"));
        }
        let moment = check_moment(&self.config, now, signal.sample.at);
        if moment != Moment::Fine {
            report.future += usize::from(moment == Moment::Future);
            return Err(out_of_range(&self.config, signal.sample.at, moment));
        }
        match state.take(&self.config, &signal.key, signal.sample, now) {
            Outcome::TooMany => {
                counted.too_many_series += 1;
                Err(too_many(self.config.series_max))
            }
            Outcome::Took { taken, new, evicted, scored } => {
                report.new_series += usize::from(new);
                counted.evicted += u64::from(evicted);
                counted.scored += scored.points;
                counted.alerts += scored.alerts;
                match taken {
                    Taken::Accepted => report.accepted += 1,
                    Taken::Duplicate => report.duplicates += 1,
                    Taken::Late => report.late += 1,
                }
                Ok(taken != Taken::Duplicate)
            }
        }
    }

    /// Tells the hub which services there are: their steps, and whose forecasts are needed.
    pub fn set_services(&self, tenant: &Tenant, services: &[Service]) {
        if let Some(state) = self.tenant(tenant) {
            lock(&state).set_services(services);
        }
    }

    /// The newest sample of a series.
    #[must_use]
    pub fn latest(&self, tenant: &Tenant, key: &SeriesKey) -> Option<Sample> {
        let state = self.known(tenant)?;
        lock(&state).series(key)?.newest()
    }

    /// The samples with `from <= at < to`, in order of time: from memory, and from long-term
    /// storage what lies before it. What cannot be read is left out and counted.
    #[must_use]
    pub fn window(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Sample> {
        let (oldest, recent) = self.known(tenant).map_or((None, Vec::new()), |state| {
            let state = lock(&state);
            let series = state.series(key);
            let oldest = series.and_then(|s| s.oldest()).map(|s| s.at);
            (oldest, series.map(|s| s.range(from, to)).unwrap_or_default())
        });
        let until = oldest.map_or(to, |oldest| oldest.min(to));
        if from >= until {
            return recent;
        }
        let mut samples = self.past(tenant, key, from, until);
        samples.extend(recent);
        samples
    }

    /// The series there are, by name.
    #[must_use]
    pub fn series(&self, tenant: &Tenant, filter: &SeriesFilter) -> Vec<SeriesKey> {
        let Some(state) = self.known(tenant) else { return Vec::new() };
        let wanted = |key: &&SeriesKey| {
            let service = filter.service.as_ref().map(ServiceName::as_str);
            let prefix = filter.name_prefix.as_deref();
            service.is_none_or(|s| key.labels.get("service").is_some_and(|label| label == s))
                && prefix.is_none_or(|prefix| key.name.starts_with(prefix))
        };
        let mut keys: Vec<SeriesKey> = lock(&state).keys().filter(wanted).cloned().collect();
        keys.sort_unstable();
        keys.truncate(filter.limit.unwrap_or(1_000));
        keys
    }

    /// The newest anomaly score of a series; none before its detector is warm.
    #[must_use]
    pub fn score(&self, tenant: &Tenant, key: &SeriesKey) -> Option<Score> {
        let state = self.known(tenant)?;
        let score = lock(&state).series(key)?.score();
        score.map(|(_, score)| score)
    }

    /// The metrics of a service, by name.
    #[must_use]
    pub fn metrics(&self, tenant: &Tenant, service: &ServiceName) -> Vec<String> {
        self.known(tenant).map(|state| lock(&state).metrics(service)).unwrap_or_default()
    }

    /// The newest value of a metric of a service, when it is no older than two steps of the
    /// service: of a single series its newest sample, of several their joined newest step.
    #[must_use]
    pub fn fresh(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        metric: &str,
        now: Timestamp,
    ) -> Option<f64> {
        let state = self.known(tenant)?;
        lock(&state).fresh(service, metric, self.config.step_ms, now)
    }

    /// The last `steps` steps of a metric of a service, joined over its series: rates and counts
    /// add up, latencies take the worst, everything else the mean.
    #[must_use]
    pub fn view(
        &self,
        tenant: &Tenant,
        service: &Service,
        metric: &str,
        steps: usize,
        now: Timestamp,
    ) -> SeriesView {
        let step_ms = service.scaling.step_ms.max(1);
        let steps = steps.min(VIEW_STEPS_MAX);
        let none = || SeriesView { step_ms, values: vec![None; steps], ..SeriesView::default() };
        self.known(tenant).map_or_else(none, |state| {
            lock(&state).view(&service.name, metric, step_ms, steps, now)
        })
    }

    /// The forecast of a metric of a service. Its forecaster is made when it is first asked for,
    /// taught from long-term storage, and fed every step that has passed since.
    #[must_use]
    pub fn forecast(
        &self,
        tenant: &Tenant,
        service: &Service,
        metric: &str,
        now: Timestamp,
    ) -> Option<Forecast> {
        let state = self.known(tenant)?;
        let key = (service.name.clone(), metric.to_owned());
        let scaling = &service.scaling;
        let config = forecast_config(&self.config, scaling.step_ms, scaling.season_steps);
        let missing = {
            let state = lock(&state);
            let missing = !state.has_pupil(&key, &config);
            if missing && state.forecasters() >= self.config.forecasters_max {
                return None;
            }
            missing
        };
        if missing {
            let mut pupil = Pupil::new(config);
            let series = SeriesKey::of_service(metric, &service.name);
            let oldest = lock(&state).series(&series).and_then(|s| s.oldest());
            let until = oldest.map_or(now, |oldest| oldest.at);
            let from = now.plus_millis(self.config.history_ms.saturating_neg());
            pupil.teach_history(&self.past(tenant, &series, from, until));
            lock(&state).set_pupil(key.clone(), pupil);
        }
        lock(&state).forecast(&key, now)
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> HubCounters {
        let mut counters = *self.counters_mut();
        for state in self.tenants.read().unwrap_or_else(PoisonError::into_inner).values() {
            let state = lock(state);
            counters.series += state.len() as u64;
            counters.forecasters += state.forecasters() as u64;
        }
        counters
    }

    /// Bytes held, estimated from what is kept.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.values().map(|state| lock(state).memory_bytes()).sum()
    }

    fn past(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Sample> {
        let Some(long_term) = &self.long_term else { return Vec::new() };
        long_term.range(tenant, key, from, to).unwrap_or_else(|error| {
            tracing::warn!(%error, series = %key, "long-term storage gave nothing");
            self.counters_mut().long_term_errors += 1;
            Vec::new()
        })
    }

    fn count(&self, report: &IngestReport, counted: HubCounters) {
        let mut counters = self.counters_mut();
        counters.accepted += report.accepted as u64;
        counters.duplicates += report.duplicates as u64;
        counters.late += report.late as u64;
        counters.future += report.future as u64;
        counters.rejected += report.rejected.len() as u64;
        counters.too_many_series += counted.too_many_series;
        counters.long_term_errors += counted.long_term_errors;
        counters.evicted += counted.evicted;
        counters.scored += counted.scored;
        counters.alerts += counted.alerts;
    }

    fn counters_mut(&self) -> MutexGuard<'_, HubCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, tenant: &Tenant) -> Option<Arc<Mutex<TenantSignals>>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// The tenant's part, made when there is room for one more.
    fn tenant(&self, tenant: &Tenant) -> Option<Arc<Mutex<TenantSignals>>> {
        if let Some(state) = self.known(tenant) {
            return Some(state);
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if !tenants.contains_key(tenant) && tenants.len() >= self.config.tenants_max {
            return None;
        }
        Some(Arc::clone(tenants.entry(tenant.clone()).or_default()))
    }
}

fn lock(state: &Mutex<TenantSignals>) -> MutexGuard<'_, TenantSignals> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
