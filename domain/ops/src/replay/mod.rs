//! Recorded signals run against policies, side by side, before anything is switched on. The
//! decisions are those of production; time, replicas and their starting are simulated, and what
//! is decided is carried out at once. Pure: nothing is executed and nothing is read.

mod records;
mod types;
mod world;

use std::collections::BTreeMap;

use oag_types::{Problem, Sample, Service, ServiceName, Signal, Timestamp};

pub use records::read_records;
pub use types::{Difference, NamedPolicy, PolicyOutcome, ReplayConfig, ReplayPoint, ReplayReport};

use crate::decide::numbers::median;
use world::{Course, Recorded};

/// Steps a service may have in one replay.
const STEPS_MAX: usize = 2_000_000;

/// Runs recorded signals against policies. Used are `request_rate` of each service, as the load
/// that was offered, and, where the capacity of a replica is not stated, `utilisation` and
/// `replicas` to measure it; utilisation and errors under each policy are simulated.
///
/// # Errors
/// When there are no policies, no load of any of the services, too many records or steps, or no
/// capacity: the problem names the field.
pub fn replay(
    records: impl IntoIterator<Item = Signal>,
    services: &[Service],
    policies: &[NamedPolicy],
    config: &ReplayConfig,
) -> Result<ReplayReport, Problem> {
    if policies.is_empty() {
        return Err(Problem::field("policies", "name at least one policy"));
    }
    let mut notes = Vec::new();
    let (by_series, count) = gather(records, services, config, &mut notes)?;
    let mut recorded = Vec::new();
    for service in services {
        let series = |metric: &str| {
            by_series.get(&(service.name.clone(), metric.to_owned())).map(Vec::as_slice)
        };
        let Some(load) = series("request_rate") else {
            notes.push(format!("{}: no request_rate was recorded; left out", service.name));
            continue;
        };
        let each = capacity(service, load, series("utilisation"), series("replicas"), config);
        let Some((each, source)) = each else {
            let text = format!("not known for {}; state capacity_per_replica", service.name);
            return Err(Problem::field("capacity_per_replica", text));
        };
        notes.push(format!("{}: {each} requests/s per replica ({source})", service.name));
        recorded.push(lay_out(service, load, each, config)?);
    }
    if recorded.is_empty() {
        return Err(Problem::field("records", "no request_rate of any of the services"));
    }
    let mut courses = Vec::with_capacity(policies.len());
    for policy in policies {
        courses.push(world::run(&recorded, policy, config)?);
    }
    let starts = recorded.iter().map(|one| (one.first + whole(one.warmup)) * step_of(one));
    let ends = recorded.iter().map(|one| (one.first + whole(one.load.len())) * step_of(one));
    Ok(ReplayReport {
        from: Timestamp::from_millis(starts.min().unwrap_or(0)),
        to: Timestamp::from_millis(ends.max().unwrap_or(0)),
        records: count,
        first_difference: difference(&recorded, &courses),
        policies: courses.into_iter().map(|course| course.outcome).collect(),
        notes,
    })
}

type BySeries = BTreeMap<(ServiceName, String), Vec<Sample>>;

/// The samples that are used, by service and metric, sorted.
fn gather(
    records: impl IntoIterator<Item = Signal>,
    services: &[Service],
    config: &ReplayConfig,
    notes: &mut Vec<String>,
) -> Result<(BySeries, u64), Problem> {
    const USED: [&str; 3] = ["request_rate", "utilisation", "replicas"];
    let mut by_series = BySeries::new();
    let (mut used, mut left_out) = (0_u64, 0_u64);
    for (at, record) in records.into_iter().enumerate() {
        if at >= config.records_max {
            let text = format!("more than {} records", config.records_max);
            return Err(Problem::field("records", text));
        }
        let service = record.key.service();
        // A recording of one service need not name it.
        let service = match (service, services) {
            (None, [only]) => Some(only.name.clone()),
            (service, _) => service,
        };
        let service = service.filter(|name| services.iter().any(|s| s.name == *name));
        match service {
            Some(name)
                if USED.contains(&record.key.name.as_str()) && record.sample.value.is_finite() =>
            {
                by_series.entry((name, record.key.name)).or_default().push(record.sample);
                used += 1;
            }
            _ => left_out += 1,
        }
    }
    if left_out > 0 {
        notes.push(format!("{left_out} records of other series were left out"));
    }
    for samples in by_series.values_mut() {
        samples.sort_by_key(|sample| sample.at);
    }
    Ok((by_series, used))
}

/// Stated, measured from the records, or given for the replay.
fn capacity(
    service: &Service,
    load: &[Sample],
    utilisation: Option<&[Sample]>,
    replicas: Option<&[Sample]>,
    config: &ReplayConfig,
) -> Option<(f64, &'static str)> {
    let fine = |each: &f64| each.is_finite() && *each > 0.0;
    if let Some(stated) = service.scaling.capacity_per_replica.filter(fine) {
        return Some((stated, "stated"));
    }
    let at = |samples: &[Sample], moment: Timestamp| {
        let found = samples.binary_search_by_key(&moment, |sample| sample.at).ok()?;
        samples.get(found).map(|sample| sample.value)
    };
    if let (Some(utilisation), Some(replicas)) = (utilisation, replicas) {
        let ratio = |sample: &Sample| {
            let share = at(utilisation, sample.at).filter(|u| (0.2..=0.98).contains(u))?;
            let count = at(replicas, sample.at).filter(|count| *count >= 1.0)?;
            Some(sample.value / (count * share)).filter(fine)
        };
        let ratios: Vec<f64> = load.iter().filter_map(ratio).collect();
        if ratios.len() >= 5
            && let Some(each) = median(&ratios)
        {
            return Some((each, "measured from the records"));
        }
    }
    config.capacity_per_replica.filter(fine).map(|each| (each, "given for the replay"))
}

/// The load on the grid of the service's steps.
fn lay_out(
    service: &Service,
    load: &[Sample],
    each: f64,
    config: &ReplayConfig,
) -> Result<Recorded, Problem> {
    let step_ms = service.scaling.step_ms.max(1);
    let step = |sample: &Sample| sample.at.as_millis().div_euclid(step_ms);
    let first = load.first().map_or(0, step);
    let last = load.last().map_or(0, step);
    let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    if count > STEPS_MAX {
        let text = format!("{} spans {count} steps; at most {STEPS_MAX}", service.name);
        return Err(Problem::field("records", text));
    }
    let mut sums = vec![(0.0, 0_u32); count];
    for sample in load {
        let slot = usize::try_from(step(sample) - first).ok().and_then(|at| sums.get_mut(at));
        if let Some((sum, seen)) = slot {
            *sum += sample.value;
            *seen += 1;
        }
    }
    let mean = |(sum, seen): (f64, u32)| (seen > 0).then(|| sum / f64::from(seen));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count that is far below 2^52"
    )]
    let warmup = (config.warmup_share.clamp(0.0, 0.99) * count as f64) as usize;
    Ok(Recorded {
        service: service.clone(),
        each,
        first,
        load: sums.into_iter().map(mean).collect(),
        warmup,
    })
}

/// The earliest step after whose decision not all policies want the same.
fn difference(recorded: &[Recorded], courses: &[Course]) -> Option<Difference> {
    let mut earliest: Option<Difference> = None;
    for (number, one) in recorded.iter().enumerate() {
        let sides: Vec<_> = courses
            .iter()
            .filter_map(|course| course.services.get(number).map(|s| (&course.outcome.name, s)))
            .collect();
        let Some(((_, first), others)) = sides.split_first() else { continue };
        let differs =
            |at: &usize| others.iter().any(|(_, s)| s.wanted.get(*at) != first.wanted.get(*at));
        let Some(at) = (0..first.wanted.len()).find(differs) else { continue };
        let step = one.first + whole(one.warmup + at);
        let moment = Timestamp::from_millis(step * step_of(one));
        if earliest.as_ref().is_some_and(|known| known.at <= moment) {
            continue;
        }
        let side = |(name, service): &(&String, &world::ServiceCourse)| {
            let wanted = service.wanted.get(at).copied().unwrap_or_default();
            let why = service.whys.get(&(one.warmup + at)).cloned();
            ((*name).clone(), wanted, why.unwrap_or_else(|| "no change".to_owned()))
        };
        earliest = Some(Difference {
            at: moment,
            service: first.name.clone(),
            sides: sides.iter().map(side).collect(),
        });
    }
    earliest
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn step_of(recorded: &Recorded) -> i64 {
    recorded.service.scaling.step_ms.max(1)
}
