//! A simulated world for one policy: replicas that take time to start, and load as recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oag_pilot::Observed;
use oag_runtime::FakeClock;
use oag_types::{
    FindingKind, Problem, Sample, SeriesKey, Service, ServiceName, Signal, Tenant, Timestamp,
};
use serde_json::json;

use super::{NamedPolicy, PolicyOutcome, ReplayConfig, ReplayPoint};
use crate::decide::numbers::replicas_for;
use crate::{Aim, Decision, Fleet, HubConfig, Look, ServiceWatch, SignalHub, decide};

/// Steps of each series a decision sees.
const VIEW_STEPS: usize = 60;

/// What is recorded of one service.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) service: Service,
    /// Requests per second of one replica.
    pub(super) each: f64,
    /// The first step, counted from the epoch.
    pub(super) first: i64,
    /// Load per step.
    pub(super) load: Vec<Option<f64>>,
    /// Leading steps that only teach.
    pub(super) warmup: usize,
}

struct Simulated<'a> {
    recorded: &'a Recorded,
    service: Service,
    watch: ServiceWatch,
    ready: u32,
    /// Replicas that are starting, and the step at which they are ready.
    starting: Vec<(i64, u32)>,
    revision: u64,
    /// Wanted replicas after each step's decision.
    wanted: Vec<u32>,
    /// Why they changed, by index of step.
    whys: BTreeMap<usize, String>,
    open: BTreeSet<FindingKind>,
}

/// What one policy did to every service, for comparing step by step.
pub(super) struct Course {
    pub(super) outcome: PolicyOutcome,
    pub(super) services: Vec<ServiceCourse>,
}

pub(super) struct ServiceCourse {
    pub(super) name: ServiceName,
    pub(super) wanted: Vec<u32>,
    pub(super) whys: BTreeMap<usize, String>,
}

pub(super) fn run(
    recorded: &[Recorded],
    policy: &NamedPolicy,
    config: &ReplayConfig,
) -> Result<Course, Problem> {
    let mut world = World::new(recorded, policy, config)?;
    // Every service keeps its own step; a moment is the beginning of one or more steps.
    let mut moments: BTreeSet<i64> = BTreeSet::new();
    for one in recorded {
        let step_ms = one.service.scaling.step_ms.max(1);
        let last = i64::try_from(one.load.len()).unwrap_or(i64::MAX);
        let warm = i64::try_from(one.warmup).unwrap_or(0);
        moments.extend((warm..last).map(|step| (one.first + step).saturating_mul(step_ms)));
    }
    for moment in moments {
        world.moment(moment);
    }
    Ok(world.finish())
}

struct World<'a> {
    config: &'a ReplayConfig,
    policy: &'a NamedPolicy,
    tenant: Tenant,
    clock: FakeClock,
    hub: SignalHub,
    services: Vec<Simulated<'a>>,
    outcome: PolicyOutcome,
    over: u64,
    over_threshold: u64,
    points: usize,
    stride: usize,
}

impl<'a> World<'a> {
    fn new(
        recorded: &'a [Recorded],
        policy: &'a NamedPolicy,
        config: &'a ReplayConfig,
    ) -> Result<Self, Problem> {
        let clock = FakeClock::at(Timestamp::default());
        let usual = HubConfig::default();
        let plan_quantile = policy.plan_quantile.unwrap_or(usual.plan_quantile);
        let config_of_hub = HubConfig { plan_quantile, ..usual };
        let hub = SignalHub::new(config_of_hub, Arc::new(clock.clone()), None);
        let tenant = Tenant::default_tenant();
        let mut services: Vec<Simulated<'a>> = Vec::with_capacity(recorded.len());
        for one in recorded {
            services.push(simulated(one, policy, config));
        }
        let catalogue: Vec<Service> = services.iter().map(|s| s.service.clone()).collect();
        hub.set_services(&tenant, &catalogue);
        for one in recorded {
            let step_ms = one.service.scaling.step_ms.max(1);
            let past: Vec<Sample> = (one.first..)
                .zip(&one.load)
                .take(one.warmup)
                .filter_map(|(step, value)| {
                    let at = Timestamp::from_millis(step.saturating_mul(step_ms));
                    value.map(|value| Sample { at, value })
                })
                .collect();
            if let Some(last) = past.last() {
                clock.set(last.at);
                let key = SeriesKey::of_service("request_rate", &one.service.name);
                hub.backfill(&tenant, &key, &past)?;
            }
        }
        let total: usize = recorded.iter().map(|one| one.load.len() - one.warmup).sum();
        Ok(Self {
            config,
            policy,
            tenant,
            clock,
            hub,
            services,
            outcome: PolicyOutcome {
                name: policy.name.clone(),
                steps: 0,
                overloaded_share: 0.0,
                over_threshold_share: 0.0,
                requests_over: 0.0,
                replica_steps: 0,
                replica_steps_needed: 0,
                scale_ups: 0,
                scale_downs: 0,
                findings: 0,
                timeline: Vec::new(),
            },
            over: 0,
            over_threshold: 0,
            points: 0,
            stride: total.div_ceil(config.timeline_max.max(1)).max(1),
        })
    }

    fn moment(&mut self, millis: i64) {
        let now = Timestamp::from_millis(millis);
        self.clock.set(now);
        let mut fleet = Fleet::default();
        let mut signals = Vec::new();
        for one in &mut self.services {
            let Some(at) = one.index(millis) else { continue };
            one.start(millis);
            let load = one.recorded.load.get(at).copied().flatten();
            signals.extend(one.signals(load, now));
            self.outcome.replica_steps += u64::from(one.present());
            let Some(load) = load else { continue };
            let capacity = f64::from(one.ready) * one.recorded.each;
            let scaling = &one.service.scaling;
            self.outcome.steps += 1;
            self.over += u64::from(load > capacity);
            self.over_threshold += u64::from(load > scaling.threshold * capacity);
            let step_s = f64::from(u32::try_from(scaling.step_ms).unwrap_or(u32::MAX)) / 1000.0;
            self.outcome.requests_over += (load - capacity).max(0.0) * step_s;
            let (least, most) = crate::decide::bounds(scaling);
            let needed = replicas_for(load, scaling.threshold * one.recorded.each);
            self.outcome.replica_steps_needed += u64::from(needed.clamp(least, most));
        }
        self.hub.ingest(&self.tenant, &signals);
        for one in &mut self.services {
            let due = one.index(millis).is_some();
            let observed = Some(one.observed());
            fleet.services.push(one.watch.look(
                &self.hub,
                Look {
                    tenant: &self.tenant,
                    service: &one.service,
                    observed,
                    active: None,
                    due,
                    view_steps: VIEW_STEPS,
                    now,
                },
            ));
        }
        let decision = decide(&fleet, &self.policy.policy, now);
        self.apply(&decision, millis);
        self.record(&decision, millis, now);
    }

    /// Carries out what was decided, as if nobody had to be asked.
    fn apply(&mut self, decision: &Decision, millis: i64) {
        for proposal in &decision.proposals {
            if !matches!(proposal.aim, Aim::ScaleUp | Aim::ScaleDown) {
                continue;
            }
            for action in &proposal.actions {
                let one = self.services.iter_mut().find(|s| s.service.name == action.service);
                let replicas = action.params.get("replicas").and_then(serde_json::Value::as_u64);
                let replicas = replicas.and_then(|replicas| u32::try_from(replicas).ok());
                if let (Some(one), Some(replicas)) = (one, replicas) {
                    let before = one.present();
                    one.set(replicas, millis, self.config.start_delay_steps);
                    self.outcome.scale_ups += u64::from(replicas > before);
                    self.outcome.scale_downs += u64::from(replicas < before);
                    if let Some(at) = one.index(millis) {
                        one.whys.insert(at, proposal.reason.clone());
                    }
                }
            }
        }
    }

    fn record(&mut self, decision: &Decision, millis: i64, now: Timestamp) {
        for one in &mut self.services {
            let Some(at) = one.index(millis) else { continue };
            let outlook = decision.outlooks.iter().find(|o| o.service == one.service.name);
            if let Some(outlook) = outlook {
                one.watch.remember(outlook, &one.service);
            }
            let found = decision.findings.iter().filter(|f| f.service == one.service.name);
            let found: BTreeSet<FindingKind> = found.map(|f| f.kind).collect();
            self.outcome.findings += found.difference(&one.open).count() as u64;
            one.open = found;
            let wanted = one.present();
            one.wanted.push(wanted);
            let why = one.whys.get(&at).cloned().unwrap_or_default();
            let shown = self.points.is_multiple_of(self.stride) || !why.is_empty();
            self.points += 1;
            if shown && self.outcome.timeline.len() < self.config.timeline_max.saturating_mul(2) {
                let load = one.recorded.load.get(at).copied().flatten();
                let capacity = f64::from(one.ready) * one.recorded.each;
                self.outcome.timeline.push(ReplayPoint {
                    at: now,
                    service: one.service.name.clone(),
                    load,
                    wanted,
                    ready: one.ready,
                    utilisation: load.filter(|_| capacity > 0.0).map(|load| load / capacity),
                    why,
                });
            }
        }
    }

    fn finish(mut self) -> Course {
        let share = |count: u64, of: u64| {
            #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
            let share = if of == 0 { 0.0 } else { count as f64 / of as f64 };
            share
        };
        self.outcome.overloaded_share = share(self.over, self.outcome.steps);
        self.outcome.over_threshold_share = share(self.over_threshold, self.outcome.steps);
        let course = |one: Simulated<'_>| ServiceCourse {
            name: one.service.name,
            wanted: one.wanted,
            whys: one.whys,
        };
        Course { outcome: self.outcome, services: self.services.into_iter().map(course).collect() }
    }
}

fn simulated<'a>(
    recorded: &'a Recorded,
    policy: &NamedPolicy,
    config: &ReplayConfig,
) -> Simulated<'a> {
    let mut service = recorded.service.clone();
    // Only replicas are simulated.
    service.features.clear();
    service.scaling.capacity_per_replica = Some(recorded.each);
    service.scaling.mode = policy.mode.unwrap_or(service.scaling.mode);
    service.scaling.threshold = policy.threshold.unwrap_or(service.scaling.threshold);
    let (least, most) = crate::decide::bounds(&service.scaling);
    let first = recorded.load.iter().skip(recorded.warmup).copied().flatten().next();
    let each = service.scaling.threshold.clamp(0.05, 1.0) * recorded.each;
    let enough = first.map_or(least, |load| replicas_for(load, each));
    let ready = config.initial_replicas.unwrap_or(enough).clamp(least, most);
    Simulated {
        recorded,
        service,
        watch: ServiceWatch::default(),
        ready,
        starting: Vec::new(),
        revision: 1,
        wanted: Vec::new(),
        whys: BTreeMap::new(),
        open: BTreeSet::new(),
    }
}

impl Simulated<'_> {
    fn step(&self, millis: i64) -> i64 {
        millis.div_euclid(self.service.scaling.step_ms.max(1))
    }

    /// The index of the step that begins at this moment.
    fn index(&self, millis: i64) -> Option<usize> {
        let step_ms = self.service.scaling.step_ms.max(1);
        if millis.rem_euclid(step_ms) != 0 {
            return None;
        }
        let at = usize::try_from(self.step(millis) - self.recorded.first).ok()?;
        (at >= self.recorded.warmup && at < self.recorded.load.len()).then_some(at)
    }

    fn present(&self) -> u32 {
        self.ready + self.starting.iter().map(|(_, count)| count).sum::<u32>()
    }

    /// Replicas whose time has come are ready.
    fn start(&mut self, millis: i64) {
        let step = self.step(millis);
        let done = self.starting.iter().filter(|(at, _)| *at <= step).map(|(_, n)| n).sum::<u32>();
        self.ready += done;
        self.starting.retain(|(at, _)| *at > step);
    }

    fn set(&mut self, replicas: u32, millis: i64, delay: u32) {
        self.revision += 1;
        let present = self.present();
        if replicas > present {
            let at = self.step(millis) + i64::from(delay.max(1));
            self.starting.push((at, replicas - present));
            return;
        }
        let mut excess = present - replicas;
        while let Some((at, count)) = self.starting.pop() {
            if count > excess {
                self.starting.push((at, count - excess));
                return;
            }
            excess -= count;
        }
        self.ready = self.ready.saturating_sub(excess);
    }

    fn signals(&self, load: Option<f64>, at: Timestamp) -> Vec<Signal> {
        let Some(load) = load else { return Vec::new() };
        let capacity = f64::from(self.ready) * self.recorded.each;
        let utilisation = if capacity > 0.0 { (load / capacity).min(1.0) } else { 1.0 };
        let failing = if load > capacity { 1.0 - capacity / load } else { 0.0 };
        [("request_rate", load), ("utilisation", utilisation), ("error_rate", failing)]
            .map(|(name, value)| Signal {
                key: SeriesKey::of_service(name, &self.service.name),
                sample: Sample { at, value },
            })
            .into()
    }

    fn observed(&self) -> Observed {
        let fields = [
            ("replicas", json!(self.present())),
            ("ready_replicas", json!(self.ready)),
            ("running", json!(true)),
        ];
        Observed {
            revision: self.revision,
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}
