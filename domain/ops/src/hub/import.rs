//! Importing the past of a series.

use oag_types::{Code, Problem, Sample, SeriesKey, Tenant};

use super::check::{Moment, check_key, check_moment, too_many};
use super::tenant::Outcome;
use super::{BackfillReport, SignalHub, lock};

impl SignalHub {
    /// Imports the past of a series, in any order: into long-term storage, into memory as far as
    /// it fits, and, for a metric of a known service, into a forecaster.
    ///
    /// # Errors
    /// When the name or labels are not valid, or a limit of series or tenants is reached.
    pub fn backfill(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        samples: &[Sample],
    ) -> Result<BackfillReport, Problem> {
        check_key(key)?;
        let now = self.clock.now();
        let fine = |s: &Sample| {
            s.value.is_finite() && check_moment(&self.config, now, s.at) == Moment::Fine
        };
        let mut sorted: Vec<Sample> = samples.iter().copied().filter(fine).collect();
        sorted.sort_by_key(|s| s.at);
        sorted.dedup_by_key(|s| s.at);
        let mut report = BackfillReport {
            accepted: sorted.len(),
            rejected: samples.len() - sorted.len(),
            ..BackfillReport::default()
        };
        let Some(state) = self.tenant(tenant) else {
            return Err(Problem::new(Code::OVERLOADED, "the limit of tenants is reached"));
        };
        {
            let mut state = lock(&state);
            let keep = sorted.len().saturating_sub(self.config.ring_samples);
            for &sample in sorted.iter().skip(keep) {
                if matches!(state.take(&self.config, key, sample, now), Outcome::TooMany) {
                    self.counters_mut().too_many_series += 1;
                    return Err(too_many(self.config.series_max));
                }
            }
            // Forecasters made before the import know too little: they are taught anew.
            report.taught = state.reteach(&self.config, key, &sorted);
        }
        if let Some(long_term) = &self.long_term {
            let stored = |s: &&Sample| long_term.append(tenant, key, **s).is_ok();
            report.stored = sorted.iter().filter(stored).count();
        }
        let mut counters = self.counters_mut();
        counters.backfilled += report.accepted as u64;
        if self.long_term.is_some() {
            counters.long_term_errors += (report.accepted - report.stored) as u64;
        }
        Ok(report)
    }
}
