//! What is remembered of a service between decisions.

use std::collections::{BTreeMap, VecDeque};

use oag_insight::Forecast;
use oag_pilot::Observed;
use oag_types::{Service, Tenant, Timestamp};

use crate::decide::numbers::median;
use crate::{
    ActivePlan, Capacity, CapacitySource, Deployed, Direction, Outlook, PastOutlook, SeriesView,
    ServiceSnapshot, SignalHub,
};

/// Samples the measured capacity is the median of, at most.
const RATIOS_MAX: usize = 240;
/// Samples below which capacity counts as not measured.
const RATIOS_MIN: usize = 5;
/// Utilisation in which a sample says something about capacity: below, noise; above, the replica
/// may be carrying less than it is offered.
const UTILISATION: std::ops::RangeInclusive<f64> = 0.2..=0.98;
/// Outlooks kept at least and at most.
const HISTORY: (usize, usize) = (64, 4096);

/// The memory of one service. It is bounded, and what it forgets with a restart it learns anew.
#[derive(Debug, Clone, Default)]
pub struct ServiceWatch {
    history: VecDeque<PastOutlook>,
    ratios: VecDeque<f64>,
    wanted: Option<u32>,
    ready: Option<u32>,
    steady: bool,
    last_scale: Option<(Timestamp, Direction)>,
    last_up_at: Option<Timestamp>,
    last_down_at: Option<Timestamp>,
    version: Option<String>,
    deployed: Option<Deployed>,
    /// Features the loop asked to shed, and whether they were seen shed since.
    shed: BTreeMap<String, bool>,
}

/// What is looked at, beside the signals.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    /// The owner.
    pub tenant: &'a Tenant,
    /// The service's entry in the catalogue.
    pub service: &'a Service,
    /// Its state, when its executor answered.
    pub observed: Option<Observed>,
    /// The plan in hand.
    pub active: Option<ActivePlan>,
    /// Whether it is its turn.
    pub due: bool,
    /// Steps of each series to show.
    pub view_steps: usize,
    /// When.
    pub now: Timestamp,
}

impl ServiceWatch {
    /// Takes in the present state and gives all that is known.
    pub fn look(&mut self, hub: &SignalHub, look: Look<'_>) -> ServiceSnapshot {
        let Look { tenant, service, observed, active, due, view_steps, now } = look;
        let view = |metric: &str| hub.view(tenant, service, metric, view_steps, now);
        let load = view("request_rate");
        let mut utilisation = view("utilisation");
        let mut utilisation_metric = "utilisation";
        if utilisation.newest_at.is_none() {
            utilisation = view("cpu_usage").map(|percent| percent / 100.0);
            utilisation_metric = "cpu_usage";
        }
        if due {
            if let Some(observed) = &observed {
                self.see(observed, now);
            }
            self.measure(&load, &utilisation, now);
        }
        let capacity = self.capacity(service);
        let has_load = load.newest_at.is_some();
        let ask = |metric: &str| hub.forecast(tenant, service, metric, now);
        let load_forecast =
            if due && has_load && capacity.is_some() { ask("request_rate") } else { None };
        let utilisation_forecast = if due && (!has_load || capacity.is_none()) {
            let forecast = ask(utilisation_metric);
            if utilisation_metric == "cpu_usage" {
                forecast.map(percent_to_share)
            } else {
                forecast
            }
        } else {
            None
        };
        ServiceSnapshot {
            due,
            fresh: load.is_fresh(now),
            load,
            utilisation,
            utilisation_metric,
            latency_p99_ms: view("latency_p99_ms"),
            error_rate: view("error_rate"),
            memory_usage: view("memory_usage"),
            in_flight: view("in_flight"),
            capacity,
            load_forecast,
            utilisation_forecast,
            history: self.history.iter().copied().collect(),
            last_scale: self.last_scale,
            last_up_at: self.last_up_at,
            last_down_at: self.last_down_at,
            deployed: self.deployed.clone(),
            shed_by_loop: self.shed.keys().cloned().collect(),
            active,
            observed,
            service: service.clone(),
        }
    }

    /// Keeps what was decided, for the decisions after it.
    pub fn remember(&mut self, outlook: &Outlook, service: &Service) {
        let (least, most) = HISTORY;
        let down = usize::try_from(service.scaling.down_every_steps).unwrap_or(most);
        let keep = down.saturating_add(1).clamp(least, most);
        self.history.push_back(outlook.past);
        while self.history.len() > keep {
            self.history.pop_front();
        }
    }

    /// Keeps that the loop asked for a feature to be shed.
    pub fn asked_to_shed(&mut self, feature: &str) {
        self.shed.entry(feature.to_owned()).or_insert(false);
    }

    /// The capacity of one replica: measured, else stated.
    #[must_use]
    pub fn capacity(&self, service: &Service) -> Option<Capacity> {
        if self.ratios.len() >= RATIOS_MIN {
            let values: Vec<f64> = self.ratios.iter().copied().collect();
            let source = CapacitySource::Measured { n: values.len() };
            let measured = median(&values).filter(|each| *each > 0.0);
            if let Some(per_replica) = measured {
                return Some(Capacity { per_replica, source });
            }
        }
        let stated = service.scaling.capacity_per_replica;
        let stated = stated.filter(|each| each.is_finite() && *each > 0.0)?;
        Some(Capacity { per_replica: stated, source: CapacitySource::Stated })
    }

    fn see(&mut self, observed: &Observed, now: Timestamp) {
        let whole = |field: &str| {
            let value = observed.fields.get(field).and_then(serde_json::Value::as_u64);
            value.and_then(|value| u32::try_from(value).ok())
        };
        let wanted = whole("replicas");
        if let (Some(before), Some(wanted)) = (self.wanted, wanted)
            && before != wanted
        {
            let direction = if wanted > before { Direction::Up } else { Direction::Down };
            self.last_scale = Some((now, direction));
            match direction {
                Direction::Up => self.last_up_at = Some(now),
                Direction::Down => self.last_down_at = Some(now),
            }
        }
        let ready = whole("ready_replicas");
        // Only replicas that were all ready a step ago too say how much one of them carries.
        self.steady = wanted.is_some() && ready == wanted && self.ready == ready;
        self.wanted = wanted.or(self.wanted);
        self.ready = ready;
        self.see_version(observed, now);
        for (feature, seen) in &mut self.shed {
            *seen |= observed.text(&format!("feature.{feature}")) == Some("shed");
        }
        self.shed.retain(|feature, seen| {
            !*seen || observed.text(&format!("feature.{feature}")) == Some("shed")
        });
    }

    fn see_version(&mut self, observed: &Observed, now: Timestamp) {
        let Some(version) = observed.text("version").filter(|version| !version.is_empty()) else {
            return;
        };
        if let Some(before) = &self.version
            && before != version
        {
            let back = self.deployed.as_ref().is_some_and(|last| last.from == version);
            let (from, to) = (before.clone(), version.to_owned());
            self.deployed = Some(Deployed { at: now, from, to, back });
        }
        self.version = Some(version.to_owned());
    }

    fn measure(&mut self, load: &SeriesView, utilisation: &SeriesView, now: Timestamp) {
        let (Some(rate), Some(share)) = (load.fresh(now), utilisation.fresh(now)) else { return };
        let ready = self.ready.filter(|ready| *ready > 0 && self.steady);
        let Some(ready) = ready.filter(|_| UTILISATION.contains(&share)) else { return };
        let each = rate / (f64::from(ready) * share);
        if each.is_finite() && each > 0.0 {
            if self.ratios.len() >= RATIOS_MAX {
                self.ratios.pop_front();
            }
            self.ratios.push_back(each);
        }
    }
}

fn percent_to_share(mut forecast: Forecast) -> Forecast {
    for values in [&mut forecast.mean, &mut forecast.lo, &mut forecast.hi, &mut forecast.plan] {
        for value in values {
            *value /= 100.0;
        }
    }
    forecast
}
