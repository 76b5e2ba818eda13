//! What the parts count about themselves, shown at `/metrics`; and what the probes ask of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use oag_api::{Probe, Question};
use oag_cluster::Cluster;
use oag_ops::{Ops, RulesEngine, SignalHub};
use oag_pilot::Pilot;
use oag_runtime::{Clock, Figure, Metrics};
use oag_series::SeriesStore;
use oag_serve::Engine;
use oag_store::Upkeep;

/// Registers every part's figures.
pub(crate) fn register(
    metrics: &Metrics,
    hub: &Arc<SignalHub>,
    ops: &Arc<Ops>,
    pilot: &Arc<Pilot>,
    store: &Arc<dyn Upkeep>,
    series: &Arc<SeriesStore>,
) {
    let hub = Arc::clone(hub);
    metrics.register_figures(move || hub_figures(&hub));
    let ops = Arc::clone(ops);
    metrics.register_figures(move || ops_figures(&ops));
    let pilot = Arc::clone(pilot);
    metrics.register_figures(move || pilot_figures(&pilot));
    let store = Arc::clone(store);
    metrics.register_figures(move || store_figures(&*store));
    let series = Arc::clone(series);
    metrics.register_figures(move || series_figures(&series));
}

/// Registers the fleet's figures.
pub(crate) fn register_fleet(metrics: &Metrics, cluster: &Cluster) {
    let cluster = cluster.clone();
    metrics.register_figures(move || fleet_figures(&cluster));
}

fn fleet_figures(cluster: &Cluster) -> Vec<Figure> {
    let c = cluster.figures();
    let (listed, absent) = cluster.listed();
    vec![
        Figure::Total("fleet_requests", "Requests for answers taken in", c.submitted),
        Figure::Total("fleet_refused", "Requests for answers refused at once", c.refused),
        Figure::Total("fleet_answered", "Answers that came to their end", c.answered),
        Figure::Total("fleet_failed", "Answers that did not", c.failed),
        Figure::Total("fleet_cancelled", "Answers nobody wanted any more", c.cancelled),
        Figure::Total("fleet_leases", "Times work was given to a node", c.leases),
        Figure::Total("fleet_leases_again", "Of those, after another node", c.again),
        Figure::Total("fleet_adopted", "Answers nodes came back with after a restart", c.adopted),
        Figure::Total("fleet_preempted", "Times work made way for other work", c.preempted),
        Figure::Total("fleet_tokens", "Tokens of answers that came", c.tokens),
        Figure::Total("fleet_sessions", "Sessions of nodes opened", c.sessions),
        Figure::Total("fleet_nodes_lost", "Nodes lost", c.lost),
        Figure::Total("fleet_heartbeats", "Heartbeats heard", c.heartbeats),
        Figure::Total("fleet_reports", "Reports of nodes taken in", c.reports),
        Figure::Total("fleet_reports_again", "Reports that came again", c.reports_again),
        Figure::Total("fleet_samples", "Samples in reports of nodes", c.samples),
        Figure::Total("fleet_samples_dropped", "Samples nodes had no room for", c.samples_dropped),
        Figure::Now("fleet_open", "Answers that wait or are made", count_of(c.open)),
        Figure::Now("fleet_nodes", "Nodes with a session", count_of(c.connected)),
        Figure::Now("fleet_inventory_hosts", "Hosts of the inventory", count_of(listed)),
        Figure::Now("fleet_inventory_absent", "Of those, not connected", count_of(absent)),
        Figure::Now("fleet_nodes_max", "Most nodes", count_of(cluster.nodes_max())),
    ]
}

/// Registers the figures of the engine that answers by rules.
pub(crate) fn register_rules(metrics: &Metrics, rules: &Arc<RulesEngine>) {
    let rules = Arc::clone(rules);
    metrics.register_figures(move || {
        let s = rules.stats();
        vec![
            Figure::Total("rules_answers", "Answers given by rules", s.answers),
            Figure::Now("rules_busy", "Answers by rules being made", f64::from(s.busy)),
            Figure::Now("rules_busy_max", "Most that are made at once", f64::from(s.slots)),
        ]
    });
}

fn hub_figures(hub: &SignalHub) -> Vec<Figure> {
    let c = hub.counters();
    vec![
        Figure::Total("signals_accepted", "Samples taken in", c.accepted),
        Figure::Total("signals_duplicate", "Samples of a moment that was there", c.duplicates),
        Figure::Total("signals_late", "Samples older than the window in memory", c.late),
        Figure::Total("signals_rejected", "Samples refused", c.rejected),
        Figure::Total("signals_backfilled", "Samples imported as history", c.backfilled),
        Figure::Total("signals_evicted_series", "Series that made room", c.evicted),
        Figure::Total("signals_anomalies", "Points scored as alerts", c.alerts),
        Figure::Total("signals_long_term_errors", "Long-term failures", c.long_term_errors),
        Figure::Now("signals_series", "Series in memory", count(c.series)),
        Figure::Now("signals_series_max", "Most series", count_of(hub.config().series_max)),
        Figure::Now("signals_forecasters", "Forecasters in memory", count(c.forecasters)),
    ]
}

fn ops_figures(ops: &Ops) -> Vec<Figure> {
    let c = ops.counters();
    vec![
        Figure::Total("loop_steps", "Steps of the loop", c.steps),
        Figure::Total("loop_overruns", "Steps left out because one still ran", c.overruns),
        Figure::Total("loop_decisions", "Decisions of single services", c.decisions),
        Figure::Total("loop_skipped", "Decisions left out for lateness", c.skipped),
        Figure::Total("loop_findings", "Findings recorded", c.findings),
        Figure::Total("loop_proposals", "Proposals made", c.proposals),
        Figure::Total("loop_refused", "Proposals the pilot refused", c.refused),
        Figure::Total("loop_desk_errors", "Calls to the pilot that failed", c.desk_errors),
        Figure::Total("source_rounds", "Rounds of sources", c.collected),
        Figure::Total("source_errors", "Rounds of sources that failed", c.source_errors),
        Figure::Now("findings_open", "Findings that are not over", count(c.open_findings)),
        Figure::Total("proposals_proved_right", "Proposals that proved right", c.proved_right),
        Figure::Total("proposals_proved_wrong", "Proposals that proved wrong", c.proved_wrong),
        Figure::Total("proposals_proved_nothing", "Proposals not told", c.proved_nothing),
        Figure::Now("trials_open", "Proposed actions being watched", count(c.open_trials)),
        Figure::Now("trials_max", "Most that are watched", count_of(ops.config().trials_max)),
    ]
}

fn pilot_figures(pilot: &Pilot) -> Vec<Figure> {
    let c = pilot.happening_counts();
    vec![
        Figure::Total("reports_written", "Reports of executors written down", c.written),
        Figure::Total("reports_lost", "Reports of executors lost", c.lost),
        Figure::Total("reports_resyncs", "Looks at all states instead of reports", c.resyncs),
    ]
}

fn store_figures(store: &dyn Upkeep) -> Vec<Figure> {
    let s = store.stats();
    vec![
        Figure::Now("store_queue", "Commands waiting for the writer", count_of(s.queue_len)),
        Figure::Now("store_queue_max", "Most that may wait", count_of(s.queue_max)),
        Figure::Total("store_commits", "Transactions committed", s.groups),
        Figure::Total("store_commands", "Commands carried out", s.commands),
        Figure::Total("store_refused", "Commands refused alone", s.refused),
        Figure::Total("store_overloaded", "Commands turned away", s.overloaded),
        Figure::Total("store_commit_micros", "Time in COMMIT, microseconds", s.commit_micros),
    ]
}

fn series_figures(series: &SeriesStore) -> Vec<Figure> {
    let s = series.stats();
    vec![
        Figure::Now("series_kept", "Series kept for long", count_of(s.series)),
        Figure::Now("series_buffered", "Values not sealed yet", count_of(s.buffered)),
        Figure::Now("series_files", "Files of days", count_of(s.files)),
        Figure::Now("series_bytes", "Size of the files", count(s.bytes)),
        Figure::Now("series_damaged", "Files that cannot be read", count_of(s.damaged)),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(value: u64) -> f64 {
    value as f64
}

fn count_of(value: usize) -> f64 {
    count(u64::try_from(value).unwrap_or(u64::MAX))
}

/// Whether the loop still turns: a loop that stands still is healed by a restart.
pub(crate) struct LoopProbe {
    pub(crate) ops: Arc<Ops>,
    pub(crate) clock: Arc<dyn Clock>,
    seen: AtomicI64,
    at: AtomicI64,
}

/// Longest time without a step before the loop counts as standing still, in milliseconds.
const STILL_MS: i64 = 120_000;

impl LoopProbe {
    /// Watching a loop.
    pub(crate) fn new(ops: Arc<Ops>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now().as_millis();
        Self { ops, clock, seen: AtomicI64::new(-1), at: AtomicI64::new(now) }
    }
}

#[async_trait]
impl Probe for LoopProbe {
    fn name(&self) -> &str {
        "loop"
    }

    fn questions(&self) -> &[Question] {
        &[Question::Live]
    }

    async fn check(&self) -> Result<(), String> {
        let c = self.ops.counters();
        let steps = i64::try_from(c.steps + c.overruns).unwrap_or(i64::MAX);
        let now = self.clock.now().as_millis();
        if self.seen.swap(steps, Ordering::SeqCst) != steps {
            self.at.store(now, Ordering::SeqCst);
        }
        let still = now.saturating_sub(self.at.load(Ordering::SeqCst));
        if still > STILL_MS {
            return Err(format!("no step for {} s", still / 1_000));
        }
        Ok(())
    }
}
