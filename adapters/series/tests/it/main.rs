//! The series store from outside: what goes in comes out, through restarts, kills and damage.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod size;

#[cfg(test)]
mod kit {
    use std::path::Path;
    use std::sync::Arc;

    use oag_runtime::FakeClock;
    use oag_series::{SeriesConfig, SeriesStore};
    use oag_types::{Sample, SeriesKey, Tenant, Timestamp};

    pub(crate) const MINUTE: i64 = 60_000;
    pub(crate) const DAY: i64 = 1_440 * MINUTE;
    /// The beginning of a day.
    pub(crate) const START: i64 = 20_000 * DAY;

    pub(crate) struct Kit {
        pub(crate) dir: tempfile::TempDir,
        pub(crate) clock: FakeClock,
        pub(crate) config: SeriesConfig,
    }

    impl Kit {
        /// Every bit is kept and nothing is written by itself.
        pub(crate) fn new() -> Self {
            let config =
                SeriesConfig { digits: None, flush_ms: 3_600_000, ..SeriesConfig::default() };
            let clock = FakeClock::at(Timestamp::from_millis(START));
            Self { dir: tempfile::tempdir().unwrap(), clock, config }
        }

        pub(crate) fn open(&self) -> SeriesStore {
            let clock = Arc::new(self.clock.clone());
            SeriesStore::open(self.dir.path(), self.config.clone(), clock).unwrap()
        }
    }

    pub(crate) fn tenant() -> Tenant {
        Tenant::default_tenant()
    }

    pub(crate) fn key(name: &str) -> SeriesKey {
        SeriesKey::new(name).with("service", "order-service")
    }

    pub(crate) fn sample(millis: i64, value: f64) -> Sample {
        Sample { at: Timestamp::from_millis(START + millis), value }
    }

    /// Everything of a series.
    pub(crate) fn all(store: &SeriesStore, key: &SeriesKey) -> Vec<Sample> {
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(START + 1_000 * DAY));
        store.range(&tenant(), key, from, to).unwrap()
    }

    pub(crate) fn files(dir: &Path, suffix: &str) -> Vec<std::path::PathBuf> {
        let dir = dir.join(tenant().as_str());
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(suffix))
            .collect();
        files.sort();
        files
    }
}
