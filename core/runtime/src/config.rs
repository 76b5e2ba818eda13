//! Configuration in layers: defaults, file, environment, flags. One conversion path: every layer
//! is a TOML table, merged, then read once into a typed struct that refuses unknown keys.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where.
        #[source]
        source: toml::de::Error,
    },
    /// The merged values do not fit.
    #[error("the configuration is not valid ({origin})")]
    Value {
        /// Which layers were merged.
        origin: String,
        /// What does not fit.
        #[source]
        source: toml::de::Error,
    },
}

/// Layers on top of the defaults of the typed struct.
#[derive(Debug, Default, Clone)]
pub struct Layers {
    merged: Table,
    origins: Vec<String>,
}

impl Layers {
    /// No layer: the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file.
    ///
    /// # Errors
    /// When it cannot be read or is no TOML.
    pub fn file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let table = text
            .parse::<Table>()
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        merge(&mut self.merged, table);
        self.origins.push(path.display().to_string());
        Ok(self)
    }

    /// Adds variables named `PREFIX_SECTION__KEY`; `__` separates levels. Values are read as TOML
    /// where they parse (`8080`, `true`, `["a"]`), else as text.
    #[must_use]
    pub fn env(mut self, prefix: &str, vars: impl Iterator<Item = (String, String)>) -> Self {
        for (name, text) in vars {
            let Some(path) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'))
            else {
                continue;
            };
            let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            merge(&mut self.merged, nested(&path, text_value(&text)));
            self.origins.push(name);
        }
        self
    }

    /// Adds one value, such as a flag's, at a dotted path.
    #[must_use]
    pub fn set(mut self, path: &str, value: Value) -> Self {
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        merge(&mut self.merged, nested(&keys, value));
        self.origins.push(format!("--{path}"));
        self
    }

    /// Reads the merged layers into a struct with `#[serde(default, deny_unknown_fields)]`.
    ///
    /// # Errors
    /// When a key is unknown or a value does not fit.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        let origin =
            if self.origins.is_empty() { "defaults".to_owned() } else { self.origins.join(", ") };
        T::deserialize(Value::Table(self.merged))
            .map_err(|source| ConfigError::Value { origin, source })
    }
}

fn text_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok();
    parsed.and_then(|mut table| table.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn nested(path: &[String], value: Value) -> Table {
    let mut table = Table::new();
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            table.insert(first.clone(), Value::Table(nested(rest, value)));
        }
    }
    table
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        port: u16,
        store: Store,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Store {
        url: String,
    }

    fn vars(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn later_layers_win_and_tables_merge() {
        let read: Sample = Layers::new()
            .env(
                "OAG",
                vars(&[("OAG_PORT", "1"), ("OAG_STORE__URL", "postgres://x"), ("HOME", "/")]),
            )
            .set("port", Value::Integer(2))
            .read()
            .unwrap();
        assert_eq!(read, Sample { port: 2, store: Store { url: "postgres://x".into() } });
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let error = Layers::new().set("prot", Value::Integer(2)).read::<Sample>().unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("prot"), "{source}");
        assert!(error.to_string().contains("--prot"));
    }
}
