//! The `spec` of a service for this executor.

use std::collections::BTreeMap;

use oag_cluster::orders::{Recipe, Settings};
use oag_types::{Digest, Problem, Service};
use serde::Deserialize;
use serde_json::Value;

/// Longest names and most entries of a spec.
const NAME_MAX: usize = 128;
const ITEMS_MAX: usize = 256;
/// The longest that an order may take, in milliseconds.
const ORDER_MS_MAX: u64 = 3_600_000;

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionSpec {
    /// The file, by its path inside each node's folder of models.
    pub file: String,
    /// The SHA-256 of the file, which nodes then check.
    #[serde(default)]
    pub sha256: Option<Digest>,
}

/// A script that nodes may be told to run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSpec {
    /// Its file name in each node's folder of scripts.
    pub file: String,
    /// How long it may run, in milliseconds.
    #[serde(default = "script_ms")]
    pub timeout_ms: u64,
}

const fn script_ms() -> u64 {
    60_000
}

/// What the executor needs to know of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The name under which it is asked; none: the service's.
    #[serde(default)]
    pub model: Option<String>,
    /// The file of `version`.
    pub file: String,
    /// Its SHA-256.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The version that `file` is.
    #[serde(default = "first")]
    pub version: String,
    /// Other versions.
    #[serde(default)]
    pub versions: BTreeMap<String, VersionSpec>,
    /// Settings by name: `slots`, `window_tokens`, `threads`, `gpu_layers`, `memory`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Only nodes of one of these groups; none: of any.
    #[serde(default)]
    pub groups: Vec<String>,
    /// On how many nodes, until that is set otherwise.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// Scripts by name.
    #[serde(default)]
    pub scripts: BTreeMap<String, ScriptSpec>,
    /// How long a node may take to load it, in milliseconds.
    #[serde(default = "load_ms")]
    pub load_ms: u64,
}

fn first() -> String {
    "1".to_owned()
}

const fn load_ms() -> u64 {
    600_000
}

impl ModelSpec {
    /// Reads the spec of a service.
    ///
    /// # Errors
    /// A problem that names the field.
    pub fn read(service: &Service) -> Result<Self, Problem> {
        if service.spec.is_null() {
            let text = "is missing: give at least the file of the model, such as {\"file\": \
                        \"glm-4-9b.gguf\"}";
            return Err(Problem::field("spec", text));
        }
        let spec: Self = serde_json::from_value(Value::clone(&service.spec))
            .map_err(|error| Problem::field("spec", error.to_string()))?;
        spec.check(service)?;
        Ok(spec)
    }

    fn check(&self, service: &Service) -> Result<(), Problem> {
        let wrong = |field: &str, text: &str| Err(Problem::field(format!("spec.{field}"), text));
        let model = self.model(service);
        if model.is_empty() || model.len() > NAME_MAX {
            return wrong("model", "must have 1 to 128 bytes");
        }
        if self.versions.len() > ITEMS_MAX || self.scripts.len() > ITEMS_MAX {
            return wrong("versions", "at most 256 versions and 256 scripts");
        }
        if self.versions.contains_key(&self.version) {
            return wrong("versions", "names the version again that 'file' is");
        }
        for version in self.versions.keys().chain([&self.version]) {
            if version.is_empty() || version.len() > NAME_MAX {
                return wrong("versions", "a version has 1 to 128 bytes");
            }
        }
        let files = self.versions.values().map(|version| &version.file);
        for file in files.chain([&self.file]) {
            if !is_inside(file) {
                return wrong("file", "is a path inside the node's folder of models, without '..'");
            }
        }
        for (name, script) in &self.scripts {
            if !is_inside(&script.file) || script.file.contains('/') {
                let text = "is a file name in the node's folder of scripts";
                return wrong(&format!("scripts.{name}.file"), text);
            }
            if !(1..=ORDER_MS_MAX).contains(&script.timeout_ms) {
                return wrong(&format!("scripts.{name}.timeout_ms"), "must be 1 to 3600000");
            }
        }
        if !(1..=ORDER_MS_MAX).contains(&self.load_ms) {
            return wrong("load_ms", "must be 1 to 3600000");
        }
        if self.groups.len() > ITEMS_MAX {
            return wrong("groups", "has more than 256 entries");
        }
        Settings::read(&self.settings)
            .map(|_| ())
            .map_err(|(name, why)| Problem::field(format!("spec.settings.{name}"), why))
    }

    /// The name under which the model is asked.
    #[must_use]
    pub fn model<'a>(&'a self, service: &'a Service) -> &'a str {
        self.model.as_deref().unwrap_or(service.name.as_str())
    }

    /// Every version there is.
    pub(crate) fn all_versions(&self) -> Vec<String> {
        self.versions.keys().chain([&self.version]).cloned().collect()
    }

    /// How a version is served with these settings; none when there is no such version.
    pub(crate) fn recipe(
        &self,
        model: &str,
        version: &str,
        settings: BTreeMap<String, String>,
    ) -> Option<Recipe> {
        let (file, sha256) = if version == self.version {
            (&self.file, self.sha256)
        } else {
            let version = self.versions.get(version)?;
            (&version.file, version.sha256)
        };
        Some(Recipe { model: model.to_owned(), file: file.clone(), sha256, settings })
    }
}

/// Whether a path stays inside the folder it is taken from.
fn is_inside(path: &str) -> bool {
    let parts = || path.split('/');
    !path.is_empty()
        && path.len() <= 1_024
        && !path.contains(['\0', '\\'])
        && parts().all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: &Value) -> Service {
        let entry = json!({"name": "glm", "group": "ai", "executor": "fleet", "spec": spec});
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn the_shortest_spec_names_a_file() {
        let service = service(&json!({"file": "glm.gguf"}));
        let spec = ModelSpec::read(&service).unwrap();
        assert_eq!((spec.model(&service), spec.version.as_str()), ("glm", "1"));
        let recipe = spec.recipe("glm", "1", BTreeMap::new()).unwrap();
        assert_eq!(recipe.file, "glm.gguf");
        assert!(spec.recipe("glm", "2", BTreeMap::new()).is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (spec, field) in [
            (json!(null), "spec"),
            (json!({}), "spec"),
            (json!({"file": "../x.gguf"}), "spec.file"),
            (json!({"file": "/x.gguf"}), "spec.file"),
            (json!({"file": "x", "versions": {"1": {"file": "y"}}}), "spec.versions"),
            (json!({"file": "x", "versions": {"2": {"file": "a/../y"}}}), "spec.file"),
            (json!({"file": "x", "settings": {"slots": "none"}}), "spec.settings.slots"),
            (json!({"file": "x", "scripts": {"s": {"file": "a/b"}}}), "spec.scripts.s.file"),
            (json!({"file": "x", "load_ms": 0}), "spec.load_ms"),
            (json!({"file": "x", "colour": 1}), "spec"),
        ] {
            let problem = ModelSpec::read(&service(&spec)).unwrap_err();
            assert_eq!(problem.fields[0].0, field, "{spec}: {problem:?}");
        }
    }
}
