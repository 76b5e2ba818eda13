//! What is known about a service at one moment: all that decisions rest on, as plain data.

use oag_insight::Forecast;
use oag_pilot::Observed;
use oag_types::{PlanId, Service, Timestamp};
use serde::{Deserialize, Serialize};

use crate::SeriesView;

/// Where the capacity of one replica comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapacitySource {
    /// The median of `rate / (ready replicas x utilisation)` over this many samples.
    Measured {
        /// Samples the median is over.
        n: usize,
    },
    /// Stated in the catalogue.
    Stated,
}

/// What one replica carries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Requests per second of one replica at full utilisation.
    pub per_replica: f64,
    /// Where it comes from.
    pub source: CapacitySource,
}

/// What a decision forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Requests per second, divided by the capacity of a replica.
    Load,
    /// Utilisation itself, because the capacity of a replica is not known.
    Utilisation,
}

/// What an earlier decision found, kept so that the next one can judge "again" from data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PastOutlook {
    /// When it was decided.
    pub at: Timestamp,
    /// What was forecast; none when data was missing.
    pub basis: Option<Basis>,
    /// Highest `plan` value over the horizon, in requests per second or as a share.
    pub peak: f64,
    /// Replicas that the peak needs, before the bounds of the service.
    pub needed: u32,
    /// Replicas the reactive rule recommended, when it could.
    pub recommended: Option<u32>,
}

/// Which way a service was scaled last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
}

/// A change of version that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// When it was first seen.
    pub at: Timestamp,
    /// The version before.
    pub from: String,
    /// The version since.
    pub to: String,
    /// Whether it was a return to the version before the last change: never rolled back.
    pub back: bool,
}

/// A plan in hand for a service: proposed, waiting for approval, queued or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivePlan {
    /// Which.
    pub plan: PlanId,
    /// Whether everything is done and only effects are being verified: a newer plan may take
    /// over.
    pub verifying: bool,
    /// The replicas it brings this service to, when it scales it.
    pub replicas: Option<u32>,
}

/// A service at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceSnapshot {
    /// Its entry in the catalogue.
    pub service: Service,
    /// Whether it is its turn; others are there for the topology only.
    pub due: bool,
    /// Its state as its executor reports it; none when the executor does not answer.
    pub observed: Option<Observed>,
    /// `request_rate`, requests per second.
    pub load: SeriesView,
    /// `utilisation` as a share, or `cpu_usage` (percent) divided by 100 where there is none.
    pub utilisation: SeriesView,
    /// Which metric `utilisation` was read from.
    pub utilisation_metric: &'static str,
    /// `latency_p99_ms`.
    pub latency_p99_ms: SeriesView,
    /// `error_rate`, share of requests, 0 to 1.
    pub error_rate: SeriesView,
    /// `memory_usage`.
    pub memory_usage: SeriesView,
    /// `in_flight`, requests being answered.
    pub in_flight: SeriesView,
    /// Whether the newest load is no older than two steps.
    pub fresh: bool,
    /// What one replica carries, when it is known.
    pub capacity: Option<Capacity>,
    /// Forecast of the load, when there is load and a capacity to compare it with.
    pub load_forecast: Option<Forecast>,
    /// Forecast of utilisation, made when there is no capacity or no load.
    pub utilisation_forecast: Option<Forecast>,
    /// Earlier outlooks, oldest first, without the one being made.
    pub history: Vec<PastOutlook>,
    /// When and which way its wanted replicas changed last.
    pub last_scale: Option<(Timestamp, Direction)>,
    /// When replicas were last added.
    pub last_up_at: Option<Timestamp>,
    /// When replicas were last removed.
    pub last_down_at: Option<Timestamp>,
    /// The last change of version that was seen.
    pub deployed: Option<Deployed>,
    /// Features that were shed by the loop, and may be restored by it.
    pub shed_by_loop: Vec<String>,
    /// The plan in hand.
    pub active: Option<ActivePlan>,
}

impl ServiceSnapshot {
    /// Replicas that are wanted, as the executor reports.
    #[must_use]
    pub fn wanted(&self) -> Option<u32> {
        self.whole("replicas")
    }

    /// Replicas that are ready, as the executor reports.
    #[must_use]
    pub fn ready(&self) -> Option<u32> {
        self.whole("ready_replicas")
    }

    /// Whether the executor reports the service as stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let running = self.observed.as_ref().and_then(|o| o.fields.get("running"));
        running.and_then(serde_json::Value::as_bool) == Some(false)
    }

    fn whole(&self, field: &str) -> Option<u32> {
        let value = self.observed.as_ref()?.fields.get(field)?.as_u64()?;
        u32::try_from(value).ok()
    }
}

/// Every service of a tenant at one moment, in the order of names. The topology is in the
/// `depends_on` of the services.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Fleet {
    /// The services.
    pub services: Vec<ServiceSnapshot>,
}

impl Fleet {
    /// A service by name.
    #[must_use]
    pub fn get(&self, name: &oag_types::ServiceName) -> Option<&ServiceSnapshot> {
        self.services.iter().find(|snapshot| snapshot.service.name == *name)
    }
}
