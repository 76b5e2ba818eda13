//! The reconciler of a service: brings what is to what is wanted. It is woken without being told
//! why, looks at everything anew, and may be woken at any time.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::health::check;
use crate::launch::launch;
use crate::replica::{Phase, Replica};
use crate::rollout::{Goal, View, steps};
use crate::strays::{recover, retire, sweep, sweep_one};
use crate::trouble::{note_crash, note_failed_start, settle};
use crate::unit::{Unit, lock};
use crate::{LocalError, OnDrain};

/// What a job of the reconciler found.
enum Event {
    Checked { id: String, result: Result<(), String> },
    Retired { id: String },
    Swept,
}

type Jobs = FuturesUnordered<BoxFuture<'static, Event>>;

/// Adopts the replicas of an earlier process; those that are healthy get requests at once.
pub(crate) async fn adopt_replicas(unit: &Arc<Unit>) {
    let mut adopted = blocking(unit, recover).await.unwrap_or_default();
    let entry = unit.entry();
    let timeout = health_timeout(unit);
    let checks = adopted.iter().map(|replica| {
        let path = entry.spec.health.path.as_deref();
        check(&unit.shared.checking, replica.slot.address, path, timeout)
    });
    let results = futures::future::join_all(checks).await;
    let now = unit.monotonic();
    // Open before the first connection is accepted: nobody is refused while this begins.
    unit.gate.open(lock(&unit.wanted).target() > 0);
    for (replica, result) in adopted.iter_mut().zip(results) {
        if result.is_ok() {
            replica.enter(Phase::Ready, now);
            unit.gate.add(&replica.slot);
        }
    }
    *lock(&unit.replicas) = adopted;
}

/// Runs until the service is forgotten or the product drains.
pub(crate) async fn run(unit: Arc<Unit>) -> Result<(), LocalError> {
    let interval = Duration::from_millis(unit.shared.config.reconcile_interval_ms.max(10));
    let scan = Duration::from_millis(unit.shared.config.stray_scan_ms.max(1_000));
    let shutdown = unit.shared.supervisor.shutdown().clone();
    let mut jobs = Jobs::new();
    let mut next_scan = unit.monotonic() + scan;
    loop {
        watch(&unit, &mut jobs).await;
        steer(&unit, &mut jobs).await;
        if unit.monotonic() >= next_scan {
            next_scan = unit.monotonic() + scan;
            let unit = Arc::clone(&unit);
            jobs.push(Box::pin(async move {
                let _ = blocking(&unit, sweep).await;
                Event::Swept
            }));
        }
        let tick = tokio::time::sleep(interval);
        tokio::pin!(tick);
        loop {
            tokio::select! {
                Some(event) = jobs.next(), if !jobs.is_empty() => {
                    if handle(&unit, event).await {
                        steer(&unit, &mut jobs).await;
                    }
                }
                () = unit.wake.notified() => break,
                () = &mut tick => break,
                () = unit.closing.cancelled() => return wind_down(&unit, jobs, true).await,
                () = shutdown.draining() => {
                    let stop = unit.shared.config.on_drain == OnDrain::Stop;
                    return wind_down(&unit, jobs, stop).await;
                }
            }
        }
    }
}

/// Lets the balancer finish, then stops the replicas or leaves them for the next process.
async fn wind_down(unit: &Arc<Unit>, mut jobs: Jobs, stop: bool) -> Result<(), LocalError> {
    unit.quiet.cancelled().await;
    if stop {
        let places: Vec<usize> = (0..lock(&unit.replicas).len()).collect();
        begin_retiring(unit, &mut jobs, &places);
    }
    let retiring = || lock(&unit.replicas).iter().any(|replica| replica.phase == Phase::Retiring);
    while retiring() {
        let Some(event) = jobs.next().await else { break };
        handle(unit, event).await;
    }
    if unit.closing.is_cancelled() {
        let _ = blocking(unit, sweep).await;
    }
    unit.ended.cancel();
    Ok(())
}

/// Runs blocking work on the service off the async threads.
async fn blocking<T: Send + 'static>(
    unit: &Arc<Unit>,
    work: impl FnOnce(&Unit) -> T + Send + 'static,
) -> Option<T> {
    let unit = Arc::clone(unit);
    tokio::task::spawn_blocking(move || work(&unit)).await.ok()
}

/// Looks at every process, reads its output and asks for its health when that is due.
async fn watch(unit: &Arc<Unit>, jobs: &mut Jobs) {
    let _ = blocking(unit, read_output).await;
    for mut dead in take_dead(unit) {
        let ended = dead.ended().unwrap_or_default();
        note_crash(unit, &dead, &format!("ended by itself ({ended})"));
        clear_away(unit, &dead).await;
    }
    let entry = unit.entry();
    let timeout = health_timeout(unit);
    let interval = entry.spec.health.interval_ms.unwrap_or(unit.shared.config.health_interval_ms);
    let interval = Duration::from_millis(interval.max(10));
    let now = unit.monotonic();
    let mut give_up = Vec::new();
    for (place, replica) in lock(&unit.replicas).iter_mut().enumerate() {
        if replica.phase == Phase::Retiring {
            continue;
        }
        if let Some(reason) = hopeless(unit, replica, now) {
            give_up.push((place, reason));
            continue;
        }
        if replica.slot.take_suspect() && replica.phase == Phase::Ready {
            replica.enter(Phase::Unready, now);
            replica.check_at = now;
        }
        if replica.phase == Phase::Warming {
            ripen(unit, replica, entry.spec.warmup_ms, now);
        }
        if !replica.checking && now >= replica.check_at {
            replica.checking = true;
            // Until it is ready it is asked more often, so that it serves soon.
            let soon = interval.min(Duration::from_millis(100));
            replica.check_at = now + if replica.phase == Phase::Ready { interval } else { soon };
            jobs.push(ask(unit, replica, entry.spec.health.path.clone(), timeout));
        }
    }
    for (place, reason) in &give_up {
        if let Some(replica) = lock(&unit.replicas).get(*place) {
            note_crash(unit, replica, reason);
        }
    }
    let places: Vec<usize> = give_up.into_iter().map(|(place, _)| place).collect();
    begin_retiring(unit, jobs, &places);
}

fn health_timeout(unit: &Unit) -> Duration {
    let own = unit.entry().spec.health.timeout_ms;
    Duration::from_millis(own.unwrap_or(unit.shared.config.health_timeout_ms))
}

fn ask(
    unit: &Arc<Unit>,
    replica: &Replica,
    path: Option<String>,
    timeout: Duration,
) -> BoxFuture<'static, Event> {
    let unit = Arc::clone(unit);
    let (id, address) = (replica.record.id.clone(), replica.slot.address);
    Box::pin(async move {
        let result = check(&unit.shared.checking, address, path.as_deref(), timeout).await;
        Event::Checked { id, result }
    })
}

fn read_output(unit: &Unit) {
    let at = unit.shared.clock.now();
    let files: Vec<_> = lock(&unit.replicas)
        .iter()
        .map(|replica| (replica.record.id.clone(), replica.record.outputs(&unit.paths)))
        .collect();
    let most = unit.shared.config.log_file_bytes_max;
    for (id, outputs) in files {
        for (path, error) in outputs {
            lock(&unit.logs).read_on(&path, &id, error, at, most);
        }
    }
}

/// Removes the replicas whose process ended by itself. Those being stopped are left to their job.
fn take_dead(unit: &Unit) -> Vec<Replica> {
    let mut replicas = lock(&unit.replicas);
    replicas
        .extract_if(.., |replica| replica.phase != Phase::Retiring && replica.ended().is_some())
        .collect()
}

/// Why a replica has to be replaced although its process runs.
fn hopeless(unit: &Unit, replica: &Replica, now: Duration) -> Option<String> {
    let config = &unit.shared.config;
    let passed = u64::try_from(now.saturating_sub(replica.since).as_millis()).unwrap_or(u64::MAX);
    match replica.phase {
        Phase::Starting if passed > config.start_timeout_ms => {
            Some(format!("was not healthy within {} ms", config.start_timeout_ms))
        }
        Phase::Unready if passed > config.unhealthy_kill_ms => {
            Some(format!("was unhealthy for {} ms", config.unhealthy_kill_ms))
        }
        _ => None,
    }
}

/// After a replica's end: the last of its output, its children, its files, its port.
async fn clear_away(unit: &Arc<Unit>, replica: &Replica) {
    let record = replica.record.clone();
    let cleared = blocking(unit, move |unit| {
        sweep_one(unit, &record.id);
        let at = unit.shared.clock.now();
        for (path, error) in record.outputs(&unit.paths) {
            lock(&unit.logs).close(&path, &record.id, error, at);
        }
        record.delete(&unit.paths)
    })
    .await;
    if let Some(Err(error)) = cleared {
        tracing::warn!(error = error.chain(), "files of a replica not removed");
    }
    unit.shared.ports.release(replica.record.port);
}

/// A warm replica begins to serve.
fn ripen(unit: &Unit, replica: &mut Replica, warmup_ms: u64, now: Duration) {
    if now.saturating_sub(replica.since) >= Duration::from_millis(warmup_ms) {
        replica.enter(Phase::Ready, now);
        unit.gate.add(&replica.slot);
    }
}

/// Takes in what a job found; says whether something changed.
async fn handle(unit: &Arc<Unit>, event: Event) -> bool {
    match event {
        Event::Checked { id, result } => checked(unit, &id, result),
        Event::Retired { id } => {
            let gone = {
                let mut replicas = lock(&unit.replicas);
                let place = replicas.iter().position(|replica| replica.record.id == id);
                place.map(|place| replicas.remove(place))
            };
            if let Some(mut gone) = gone {
                // Takes the exit status, so that no zombie stays.
                let _ = gone.ended();
                clear_away(unit, &gone).await;
            }
            true
        }
        Event::Swept => false,
    }
}

fn checked(unit: &Unit, id: &str, result: Result<(), String>) -> bool {
    let config = &unit.shared.config;
    let warmup_ms = unit.entry().spec.warmup_ms;
    let now = unit.monotonic();
    let mut replicas = lock(&unit.replicas);
    let Some(replica) = replicas.iter_mut().find(|replica| replica.record.id == id) else {
        return false;
    };
    replica.checking = false;
    let before = replica.phase;
    match (before, result) {
        (Phase::Retiring, _) => {}
        (_, Ok(())) => {
            replica.failures = 0;
            match before {
                Phase::Starting => {
                    replica.enter(Phase::Warming, now);
                    ripen(unit, replica, warmup_ms, now);
                }
                Phase::Unready => ripen(unit, replica, 0, now),
                _ => {}
            }
        }
        (_, Err(reason)) => {
            replica.failures = replica.failures.saturating_add(1);
            if before == Phase::Ready && replica.failures >= config.health_failures.max(1) {
                unit.gate.remove(id);
                replica.enter(Phase::Unready, now);
                tracing::warn!(service = %unit.name, replica = id, reason, "replica is unhealthy");
            }
            if before != Phase::Starting {
                lock(&unit.trouble).last = Some(format!("replica {id} {reason}"));
            }
        }
    }
    before != replica.phase
}

/// Starts and stops replicas, as far as that can be done now.
async fn steer(unit: &Arc<Unit>, jobs: &mut Jobs) {
    let (target, generation) = {
        let wanted = lock(&unit.wanted);
        (usize::try_from(wanted.target()).unwrap_or(usize::MAX), wanted.generation)
    };
    unit.gate.open(target > 0);
    let now = unit.monotonic();
    let may_start = now >= lock(&unit.trouble).start_after;
    let starting_max = usize::try_from(unit.shared.config.starting_max.max(1)).unwrap_or(1);
    let goal = Goal { target, starting_max: if may_start { starting_max } else { 0 } };
    let (places, next) = {
        let replicas = lock(&unit.replicas);
        let (places, views): (Vec<usize>, Vec<View>) = replicas
            .iter()
            .enumerate()
            .filter(|(_, replica)| replica.phase != Phase::Retiring)
            .map(|(place, replica)| {
                let current = replica.record.generation == generation;
                (place, View { current, ready: replica.phase == Phase::Ready })
            })
            .unzip();
        (places, steps(goal, &views))
    };
    let retiring: Vec<usize> = next.retire.iter().map(|place| places[*place]).collect();
    begin_retiring(unit, jobs, &retiring);
    for _ in 0..next.start {
        let started = blocking(unit, |unit| launch(unit, &unit.wanted())).await;
        match started {
            Some(Ok(replica)) => lock(&unit.replicas).push(replica),
            Some(Err(error)) => return note_failed_start(unit, &error),
            None => return,
        }
    }
    settle(unit, target, generation);
}

fn begin_retiring(unit: &Arc<Unit>, jobs: &mut Jobs, places: &[usize]) {
    let now = unit.monotonic();
    let mut replicas = lock(&unit.replicas);
    for place in places {
        let Some(replica) = replicas.get_mut(*place) else { continue };
        if replica.phase == Phase::Retiring {
            continue;
        }
        replica.enter(Phase::Retiring, now);
        unit.gate.remove(&replica.record.id);
        let (id, process) = (replica.record.id.clone(), replica.process);
        let (unit, slot) = (Arc::clone(unit), Arc::clone(&replica.slot));
        jobs.push(Box::pin(async move {
            retire(&unit, &id, process, &slot).await;
            Event::Retired { id }
        }));
    }
}
