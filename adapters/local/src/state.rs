//! The wanted state of a service: written before anybody is told that it was set.

use std::collections::BTreeMap;
use std::path::Path;

use oag_pilot::Keys;
use oag_types::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::files::{Lasting, read_json, write_json};
use crate::spec::{LocalSpec, VersionSpec};
use crate::{LocalConfig, LocalError};

/// A version that was wanted once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PastVersion {
    pub(crate) version: String,
    /// The revision that brought it.
    pub(crate) revision: u64,
    pub(crate) at: Timestamp,
    /// How it was run, so that it can be run again when the spec has forgotten it.
    pub(crate) run: VersionSpec,
}

/// Replicas that were started alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    /// The digest of everything they were started with.
    pub(crate) recipe: Digest,
}

/// Everything that is wanted of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Grows with each change.
    pub(crate) revision: u64,
    /// Replicas of another generation are replaced. Numbers are not used twice; going back to what
    /// was wanted before goes back to its number.
    pub(crate) generation: u64,
    pub(crate) replicas: u32,
    pub(crate) running: bool,
    pub(crate) restarts: u64,
    pub(crate) version: String,
    /// The version the catalogue named when it was last read.
    pub(crate) spec_version: String,
    /// How the wanted version is run.
    pub(crate) run: VersionSpec,
    /// The other parts of the spec that a replica is started with.
    pub(crate) base: Base,
    /// Values set on top of the spec's configuration; none removes one.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub(crate) shed: Vec<String>,
    #[serde(default)]
    pub(crate) breaker_tripped: bool,
    /// The balancer's port.
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) history: Vec<PastVersion>,
    #[serde(default)]
    pub(crate) keys: Keys,
    /// Generations there were, the one that came last at the end: what is wanted again is known
    /// again, and its replicas are kept.
    #[serde(default)]
    pub(crate) generations: Vec<Generation>,
}

/// What a replica is started with, whatever its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) cwd: Option<std::path::PathBuf>,
}

impl Base {
    fn of(spec: &LocalSpec) -> Self {
        Self { env: spec.env.clone(), config: spec.config.clone(), cwd: spec.cwd.clone() }
    }
}

impl Wanted {
    /// Of a service seen for the first time.
    pub(crate) fn first(spec: &LocalSpec, replicas: u32, port: u16, now: Timestamp) -> Self {
        let run = VersionSpec { command: spec.command.clone(), env: BTreeMap::new() };
        let past =
            PastVersion { version: spec.version.clone(), revision: 1, at: now, run: run.clone() };
        let mut wanted = Self {
            revision: 1,
            generation: 1,
            replicas,
            running: true,
            restarts: 0,
            version: spec.version.clone(),
            spec_version: spec.version.clone(),
            run,
            base: Base::of(spec),
            config: BTreeMap::new(),
            shed: Vec::new(),
            breaker_tripped: false,
            port,
            history: vec![past],
            keys: Keys::default(),
            generations: Vec::new(),
        };
        wanted.note_generation();
        wanted
    }

    pub(crate) fn load(path: &Path) -> Result<Option<Self>, LocalError> {
        let mut wanted: Option<Self> = read_json(path)?;
        if let Some(wanted) = wanted.as_mut().filter(|wanted| wanted.generations.is_empty()) {
            // Written before generations were noted.
            wanted.note_generation();
        }
        Ok(wanted)
    }

    fn note_generation(&mut self) {
        let number = self.generation;
        self.generations.extend(self.recipe().map(|recipe| Generation { number, recipe }));
    }

    /// Everything a replica is started with now; none when it cannot be written down.
    fn recipe(&self) -> Option<Digest> {
        let Base { env, config: _, cwd } = &self.base;
        let parts = (&self.version, &self.run, env, cwd, self.effective_config(), self.restarts);
        serde_json::to_vec(&parts).ok().map(|bytes| Digest::of(&bytes))
    }

    /// Takes the generation of what is wanted now, after it was changed: an earlier one when its
    /// replicas were started with the very same, so that those still there are kept; otherwise a
    /// new one.
    pub(crate) fn renew(&mut self, limits: &LocalConfig) {
        let recipe = self.recipe();
        let same = |known: &Generation| Some(known.recipe) == recipe;
        if let Some(place) = self.generations.iter().position(same) {
            let known = self.generations.remove(place);
            self.generation = known.number;
            self.generations.push(known);
            return;
        }
        let newest = self.generations.iter().map(|known| known.number).max().unwrap_or(0);
        self.generation = newest.max(self.generation) + 1;
        self.note_generation();
        let surplus = self.generations.len().saturating_sub(limits.versions_kept.max(2));
        self.generations.drain(..surplus);
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), LocalError> {
        write_json(path, self, Lasting::PowerCut)
    }

    /// How many replicas there should be now.
    pub(crate) const fn target(&self) -> u32 {
        if self.running { self.replicas } else { 0 }
    }

    /// The configuration replicas get.
    pub(crate) fn effective_config(&self) -> BTreeMap<String, String> {
        let mut config = self.base.config.clone();
        for (name, value) in &self.config {
            match value {
                Some(value) => config.insert(name.clone(), value.clone()),
                None => config.remove(name),
            };
        }
        config
    }

    /// Takes in a changed catalogue entry. A version the catalogue newly names wins over one that
    /// was deployed before; the number of replicas stays as it was set.
    pub(crate) fn follow(&mut self, spec: &LocalSpec, limits: &LocalConfig, now: Timestamp) {
        let before = self.clone();
        if spec.version != self.spec_version {
            self.spec_version.clone_from(&spec.version);
            self.version.clone_from(&spec.version);
        }
        if let Some(run) = spec.version(&self.version) {
            self.run = run;
        }
        self.base = Base::of(spec);
        let rerun = self.run != before.run || self.base != before.base;
        if rerun || self.version != before.version {
            self.revision += 1;
            self.renew(limits);
        }
        if self.version != before.version {
            self.remember_version(limits, now);
        }
    }

    /// Notes the wanted version in the history.
    pub(crate) fn remember_version(&mut self, limits: &LocalConfig, at: Timestamp) {
        self.history.push(PastVersion {
            version: self.version.clone(),
            revision: self.revision,
            at,
            run: self.run.clone(),
        });
        let surplus = self.history.len().saturating_sub(limits.versions_kept.max(1));
        self.history.drain(..surplus);
    }
}
