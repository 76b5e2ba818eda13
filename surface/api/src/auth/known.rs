//! Who was let in a moment ago, so that the store is not asked about every request.
//!
//! Nothing is remembered for longer than a setting says: that is how late a change made by another
//! process on the same store is seen. Changes made through this process are seen at once: what is
//! remembered is dropped before the change is answered, and nothing that was read before is
//! remembered after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oag_pilot::Caller;
use oag_runtime::{Figure, Metrics};
use oag_types::{Digest, KeyId, PrincipalId, Tenant, Timestamp};
use tokio::sync::watch;

/// What a caller is found under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// The digest of an API key as it was presented.
    Key(Digest),
    /// The principal that a token stands for.
    Principal(Tenant, PrincipalId),
}

/// A caller, and how long the answer holds.
#[derive(Debug, Clone)]
struct Entry {
    caller: Arc<Caller>,
    /// When the key ends.
    ends_at: Option<Timestamp>,
    /// When the store was asked.
    read_at: Duration,
}

/// Callers by name, bounded in number and age.
#[derive(Debug)]
pub(crate) struct Known {
    age_max: Duration,
    entries_max: usize,
    entries: Mutex<HashMap<Name, Entry>>,
    /// Counts the changes of keys and principals made here.
    changes: watch::Sender<u64>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A look into the store under way: its answer is remembered only when nothing changed meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    began_at: Duration,
    changes: u64,
}

impl Known {
    pub(crate) fn new(age_max: Duration, entries_max: usize) -> Self {
        Self {
            age_max,
            entries_max,
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Shows the figures.
    pub(crate) fn register(self: &Arc<Self>, metrics: &Metrics) {
        let known = Arc::clone(self);
        metrics.register_figures(move || {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let entries = u32::try_from(known.lock().len()).unwrap_or(u32::MAX);
            vec![
                Figure::Total(
                    "http_auth_cache_hits",
                    "Requests whose caller was remembered",
                    count(&known.hits),
                ),
                Figure::Total(
                    "http_auth_cache_misses",
                    "Requests for whose caller the store was asked",
                    count(&known.misses),
                ),
                Figure::Now("http_auth_cache_entries", "Callers remembered", entries.into()),
            ]
        });
    }

    /// The caller of this name, when it is remembered, or a look that may remember it.
    pub(crate) fn find(
        &self,
        name: &Name,
        passed: Duration,
        now: Timestamp,
    ) -> Result<Arc<Caller>, Look> {
        let entries = self.lock();
        let holds = |entry: &&Entry| {
            passed.saturating_sub(entry.read_at) < self.age_max
                && entry.ends_at.is_none_or(|end| now < end)
        };
        if let Some(entry) = entries.get(name).filter(holds) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Arc::clone(&entry.caller));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Read while nothing can be dropped: a change after this line is seen by `keep`.
        Err(Look { began_at: passed, changes: *self.changes.borrow() })
    }

    /// Remembers what a look found, unless something changed since it began.
    pub(crate) fn keep(
        &self,
        name: Name,
        look: Look,
        caller: &Arc<Caller>,
        ends_at: Option<Timestamp>,
    ) {
        let mut entries = self.lock();
        if *self.changes.borrow() != look.changes || self.age_max.is_zero() {
            return;
        }
        if entries.len() >= self.entries_max && !entries.contains_key(&name) {
            self.make_room(&mut entries, look.began_at);
        }
        let caller = Arc::clone(caller);
        entries.insert(name, Entry { caller, ends_at, read_at: look.began_at });
    }

    /// Drops what is remembered of a key.
    pub(crate) fn forget_key(&self, key: KeyId) {
        self.forget(|caller| caller.key == Some(key));
    }

    /// Drops what is remembered of a principal and its keys.
    pub(crate) fn forget_principal(&self, principal: PrincipalId) {
        self.forget(|caller| caller.principal.id == principal);
    }

    /// Ticks whenever something was dropped because it changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn forget(&self, gone: impl Fn(&Caller) -> bool) {
        let mut entries = self.lock();
        entries.retain(|_, entry| !gone(&entry.caller));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Drops what is too old, and then the older half: the work for each entry stays small.
    fn make_room(&self, entries: &mut HashMap<Name, Entry>, passed: Duration) {
        entries.retain(|_, entry| passed.saturating_sub(entry.read_at) < self.age_max);
        if entries.len() < self.entries_max {
            return;
        }
        let mut moments: Vec<Duration> = entries.values().map(|entry| entry.read_at).collect();
        let middle = moments.len() / 2;
        let (_, middle, _) = moments.select_nth_unstable(middle);
        entries.retain(|_, entry| entry.read_at > *middle);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use oag_types::{Principal, PrincipalKind};

    use super::*;

    const T0: Duration = Duration::from_secs(1_000);
    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn caller(number: u8) -> Arc<Caller> {
        let id = |prefix: &str| format!("{prefix}_{number:032x}");
        let principal = Principal {
            id: id("usr").parse().unwrap(),
            kind: PrincipalKind::Person,
            name: "Li".to_owned(),
            roles: Vec::new(),
            disabled: false,
        };
        Arc::new(Caller { key: Some(id("key").parse().unwrap()), ..Caller::of(principal) })
    }

    fn name(number: u32) -> Name {
        Name::Key(Digest::of(&number.to_be_bytes()))
    }

    fn known(known: &Known, number: u32, passed: Duration) -> bool {
        known.find(&name(number), passed, now()).is_ok()
    }

    fn add(known: &Known, number: u32, caller: &Arc<Caller>, passed: Duration) {
        let look = known.find(&name(number), passed, now()).unwrap_err();
        known.keep(name(number), look, caller, None);
    }

    #[test]
    fn a_caller_is_remembered_for_a_while_and_until_its_key_ends() {
        let all = Known::new(Duration::from_secs(3), 10);
        add(&all, 1, &caller(1), T0);
        assert!(known(&all, 1, T0 + Duration::from_millis(2_999)));
        assert!(!known(&all, 1, T0 + Duration::from_secs(3)));
        let look = all.find(&name(2), T0, now()).unwrap_err();
        let end = Timestamp::from_millis(now().as_millis() + 1);
        all.keep(name(2), look, &caller(2), Some(end));
        assert!(known(&all, 2, T0));
        assert!(all.find(&name(2), T0, end).is_err());
        let none = Known::new(Duration::ZERO, 10);
        add(&none, 1, &caller(1), T0);
        assert!(!known(&none, 1, T0));
    }

    #[test]
    fn what_changed_is_forgotten_at_once() {
        let all = Known::new(Duration::from_secs(3), 10);
        let (first, second) = (caller(1), caller(2));
        add(&all, 1, &first, T0);
        add(&all, 2, &second, T0);
        let mut changes = all.changes();
        all.forget_key(first.key.unwrap());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(!known(&all, 1, T0) && known(&all, 2, T0));
        all.forget_principal(second.principal.id);
        assert!(!known(&all, 2, T0));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let all = Known::new(Duration::from_secs(3), 10);
        let look = all.find(&name(1), T0, now()).unwrap_err();
        all.forget_key(caller(7).key.unwrap());
        all.keep(name(1), look, &caller(1), None);
        assert!(!known(&all, 1, T0));
    }

    #[test]
    fn memory_is_bounded() {
        let all = Known::new(Duration::from_secs(3), 100);
        for number in 0..1_000 {
            add(&all, number, &caller(1), T0 + Duration::from_millis(number.into()));
            assert!(all.lock().len() <= 100);
        }
        // The newest stay.
        assert!(known(&all, 999, T0 + Duration::from_secs(1)));
    }
}
