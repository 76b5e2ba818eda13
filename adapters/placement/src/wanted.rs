//! The wanted state of a model: written before anybody is told that it was set.

use std::collections::BTreeMap;

use oag_cluster::orders::{Recipe, Settings};
use oag_pilot::{ExecError, Keys, Operation, Outcome, receipt};
use oag_types::{Digest, Receipt, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::spec::ModelSpec;

/// Idempotency keys that are remembered.
const KEYS_MAX: usize = 128;
/// Generations whose version is remembered.
const GENERATIONS_MAX: usize = 64;

/// Everything that is wanted of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Grows with each change.
    pub(crate) revision: u64,
    /// Whether it is loaded at all. An entry alone loads nothing.
    pub(crate) running: bool,
    /// On how many nodes.
    pub(crate) replicas: u32,
    pub(crate) version: String,
    /// The version the catalogue named when it was last read.
    spec_version: String,
    pub(crate) restarts: u64,
    /// Settings on top of the spec's; none removes one.
    #[serde(default)]
    settings: BTreeMap<String, Option<String>>,
    /// The number of the present wish; grows with each change of how it is served.
    pub(crate) generation: u64,
    /// Nodes that were told with a smaller number are to start it anew.
    pub(crate) since: u64,
    /// How it is to be served.
    pub(crate) recipe: Recipe,
    /// On whose account: the digest of the plan, or of the catalogue's entry.
    pub(crate) plan: Digest,
    /// Which version a generation is, the newest last.
    generations: Vec<(u64, String)>,
    #[serde(default)]
    keys: Keys,
}

impl Wanted {
    /// Of a model seen for the first time: not loaded.
    pub(crate) fn first(service: &Service, spec: &ModelSpec) -> Self {
        let recipe = Recipe {
            model: spec.model(service).to_owned(),
            file: spec.file.clone(),
            sha256: spec.sha256,
            settings: spec.settings.clone(),
        };
        Self {
            revision: 1,
            running: false,
            replicas: spec.nodes.unwrap_or_else(|| service.scaling.min_replicas.max(1)),
            version: spec.version.clone(),
            spec_version: spec.version.clone(),
            restarts: 0,
            settings: BTreeMap::new(),
            generation: 1,
            since: 1,
            plan: entry_digest(service),
            recipe,
            generations: vec![(1, spec.version.clone())],
            keys: Keys::default(),
        }
    }

    /// On how many nodes it should be now.
    pub(crate) const fn target(&self) -> u32 {
        if self.running { self.replicas } else { 0 }
    }

    /// Which version a generation was.
    pub(crate) fn version_of(&self, generation: u64) -> Option<&str> {
        let known = self.generations.iter().rev().find(|(number, _)| *number == generation);
        known.map(|(_, version)| version.as_str())
    }

    /// Takes in a changed catalogue entry. A version that it newly names wins over one that was
    /// deployed before; the number of nodes stays as it was set.
    pub(crate) fn follow(&mut self, service: &Service, spec: &ModelSpec) {
        if spec.version != self.spec_version {
            self.spec_version.clone_from(&spec.version);
            self.version.clone_from(&spec.version);
        }
        if self.renew(service, spec) {
            self.revision += 1;
            self.plan = entry_digest(service);
        }
    }

    /// The settings it is served with.
    pub(crate) fn effective(&self, spec: &ModelSpec) -> BTreeMap<String, String> {
        let mut settings = spec.settings.clone();
        for (name, value) in &self.settings {
            match value {
                Some(value) => settings.insert(name.clone(), value.clone()),
                None => settings.remove(name),
            };
        }
        settings
    }

    /// Makes the recipe anew; says whether it is another. A version that the entry has forgotten
    /// stays as it was.
    fn renew(&mut self, service: &Service, spec: &ModelSpec) -> bool {
        let settings = self.effective(spec);
        let recipe = spec.recipe(spec.model(service), &self.version, settings);
        let Some(recipe) = recipe.filter(|recipe| *recipe != self.recipe) else { return false };
        self.recipe = recipe;
        self.next_generation();
        true
    }

    fn next_generation(&mut self) {
        self.generation += 1;
        self.generations.push((self.generation, self.version.clone()));
        let surplus = self.generations.len().saturating_sub(GENERATIONS_MAX);
        self.generations.drain(..surplus);
    }

    /// Changes what is wanted as an operation asks; says what that changed.
    pub(crate) fn play(
        &mut self,
        service: &Service,
        spec: &ModelSpec,
        operation: &Operation,
    ) -> Result<Receipt, ExecError> {
        let before = self.facts(spec);
        let detail = self.change(service, spec, operation)?;
        let receipt = receipt(&before, &self.facts(spec), detail);
        self.revision += u64::from(receipt.changed);
        Ok(receipt)
    }

    fn change(
        &mut self,
        service: &Service,
        spec: &ModelSpec,
        operation: &Operation,
    ) -> Result<String, ExecError> {
        match operation {
            Operation::SetReplicas(replicas) => {
                self.replicas = *replicas;
                Ok(format!("set the number of nodes to {replicas}"))
            }
            Operation::SetRunning(running) => {
                self.running = *running;
                Ok(if *running { "to be loaded" } else { "to be unloaded" }.to_owned())
            }
            Operation::Restart(count) => {
                if *count > self.restarts {
                    self.restarts = *count;
                    self.next_generation();
                    self.since = self.generation;
                }
                Ok(format!("asked for restart {count}, node after node"))
            }
            Operation::Deploy(version) => {
                let versions = spec.all_versions();
                if !versions.contains(version) {
                    let text = format!(
                        "version '{version}' is not known: there are {}",
                        versions.join(", ")
                    );
                    return Err(ExecError::Refused(text));
                }
                version.clone_into(&mut self.version);
                self.renew(service, spec);
                Ok(format!("set version to {version}"))
            }
            Operation::Configure(values) => {
                let mut next = self.clone();
                next.settings.extend(values.clone());
                // Removing what the spec does not set leaves nothing to remember.
                next.settings
                    .retain(|name, value| value.is_some() || spec.settings.contains_key(name));
                Settings::read(&next.effective(spec)).map_err(|(name, why)| {
                    ExecError::Refused(format!("configuration '{name}' {why}"))
                })?;
                *self = next;
                self.renew(service, spec);
                Ok(format!("set {} settings", values.len()))
            }
            Operation::SetBreaker(_) | Operation::Shed { .. } => {
                Err(ExecError::Refused("a model has no circuit breaker and no features".to_owned()))
            }
            Operation::RunScript { .. } | Operation::Notify { .. } => Err(ExecError::Refused(
                "the executor 'fleet' serves models and does not tell people".to_owned(),
            )),
        }
    }

    /// The part of it that people know.
    pub(crate) fn facts(&self, spec: &ModelSpec) -> BTreeMap<String, Value> {
        let mut facts = BTreeMap::from([
            ("replicas".to_owned(), json!(self.replicas)),
            ("running".to_owned(), json!(self.running)),
            ("restarts".to_owned(), json!(self.restarts)),
            ("version_wanted".to_owned(), json!(self.version)),
            ("file".to_owned(), json!(self.recipe.file)),
        ]);
        for (name, value) in self.effective(spec) {
            facts.insert(format!("config.{name}"), json!(value));
        }
        facts
    }

    pub(crate) fn outcome(&self, key: &str) -> Option<&Outcome> {
        self.keys.outcome(key)
    }

    /// Notes what became of a key; the oldest are forgotten.
    pub(crate) fn note(&mut self, key: &str, outcome: Outcome) {
        self.keys.note(key, outcome, KEYS_MAX);
    }
}

fn entry_digest(service: &Service) -> Digest {
    // A catalogue entry was read from JSON and can be written as such.
    Digest::of(&serde_json::to_vec(service).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Service, ModelSpec, Wanted) {
        let service: Service = serde_json::from_value(json!({
            "name": "glm", "group": "ai", "executor": "fleet",
            "spec": {"file": "a.gguf", "versions": {"2": {"file": "b.gguf"}},
                     "settings": {"slots": "4"}},
        }))
        .unwrap();
        let spec = ModelSpec::read(&service).unwrap();
        let wanted = Wanted::first(&service, &spec);
        (service, spec, wanted)
    }

    #[test]
    fn an_entry_alone_loads_nothing_and_each_operation_says_what_it_changed() {
        let (service, spec, mut wanted) = start();
        assert_eq!(wanted.target(), 0);
        let started = wanted.play(&service, &spec, &Operation::SetRunning(true)).unwrap();
        assert_eq!((started.changed, started.after), (true, json!({"running": true})));
        let again = wanted.play(&service, &spec, &Operation::SetRunning(true)).unwrap();
        assert!(!again.changed);
        wanted.play(&service, &spec, &Operation::SetReplicas(3)).unwrap();
        assert_eq!((wanted.target(), wanted.revision), (3, 3));
    }

    #[test]
    fn going_back_to_a_version_goes_back_to_its_recipe() {
        let (service, spec, mut wanted) = start();
        let first = wanted.recipe.digest();
        wanted.play(&service, &spec, &Operation::Deploy("2".to_owned())).unwrap();
        assert_eq!((wanted.recipe.file.as_str(), wanted.generation), ("b.gguf", 2));
        wanted.play(&service, &spec, &Operation::Deploy("1".to_owned())).unwrap();
        assert_eq!((wanted.recipe.digest(), wanted.generation, wanted.since), (first, 3, 1));
        assert_eq!((wanted.version_of(2), wanted.version_of(3)), (Some("2"), Some("1")));
        let unknown = wanted.play(&service, &spec, &Operation::Deploy("9".to_owned()));
        assert!(matches!(unknown, Err(ExecError::Refused(text)) if text.contains("1")));
    }

    #[test]
    fn settings_are_checked_before_they_are_wanted() {
        let (service, spec, mut wanted) = start();
        let values = |name: &str, value: Option<&str>| {
            Operation::Configure([(name.to_owned(), value.map(str::to_owned))].into())
        };
        wanted.play(&service, &spec, &values("slots", Some("8"))).unwrap();
        assert_eq!(wanted.recipe.settings["slots"], "8");
        let before = wanted.clone();
        let refused = wanted.play(&service, &spec, &values("slots", Some("-1"))).unwrap_err();
        assert!(matches!(refused, ExecError::Refused(_)));
        assert_eq!(wanted, before);
        wanted.play(&service, &spec, &values("slots", None)).unwrap();
        assert!(wanted.recipe.settings.is_empty());
    }

    #[test]
    fn a_key_is_done_once() {
        let (service, spec, mut wanted) = start();
        let receipt = wanted.play(&service, &spec, &Operation::Restart(1)).unwrap();
        assert_eq!((wanted.generation, wanted.since), (2, 2));
        wanted.note("k", Outcome::Done(receipt));
        assert!(!wanted.outcome("k").unwrap().again().unwrap().changed);
        wanted.note("s", Outcome::Begun);
        assert!(wanted.outcome("s").unwrap().again().is_err());
        assert!(wanted.outcome("other").is_none());
    }

    #[test]
    fn a_changed_entry_is_followed() {
        let (mut service, _, mut wanted) = start();
        service.spec["file"] = json!("c.gguf");
        let spec = ModelSpec::read(&service).unwrap();
        wanted.follow(&service, &spec);
        assert_eq!((wanted.recipe.file.as_str(), wanted.revision), ("c.gguf", 2));
        wanted.follow(&service, &spec);
        assert_eq!(wanted.revision, 2);
    }
}
