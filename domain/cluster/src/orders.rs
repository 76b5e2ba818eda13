//! Orders: what a node is told to do with itself, under a signature that it checks. Leases come
//! with the session; orders change what a node is, so they are signed for one node, one plan and
//! a few minutes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use oag_serve::EngineError;
use oag_types::{Digest, NodeName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The capability of a node that loads models when it is told to.
pub const LOADS_MODELS: &str = "loads-models";
/// The capability of a node that runs scripts when it is told to.
pub const RUNS_SCRIPTS: &str = "runs-scripts";

/// How a model is to be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The name under which it is asked.
    pub model: String,
    /// The file, by its path inside the node's folder of models.
    pub file: String,
    /// The SHA-256 of the file; none: whatever stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Settings by name: see [`Settings`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Recipe {
    /// What tells it from others.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Texts and maps of texts cannot fail to be written.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The settings of a model, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// `slots`: answers that are worked on at once.
    pub slots: Option<u32>,
    /// `window_tokens`: tokens of prompt and answer together.
    pub window_tokens: Option<u32>,
    /// `threads`: threads that calculate.
    pub threads: Option<u32>,
    /// `gpu_layers`: layers that a graphics processor calculates.
    pub gpu_layers: Option<u32>,
    /// `memory`: in what form a model's memory of what it read is kept.
    pub memory: Option<MemoryForm>,
}

/// In what form a model's memory of what it read is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryForm {
    /// `f32`: four bytes a number.
    F32,
    /// `f16`: two bytes a number.
    F16,
    /// `q8`: about one byte a number.
    Q8,
}

impl Settings {
    /// Reads settings by their names.
    ///
    /// # Errors
    /// The name of the one that is wrong, and why.
    pub fn read(settings: &BTreeMap<String, String>) -> Result<Self, (String, String)> {
        let mut read = Self::default();
        for (name, text) in settings {
            let number = || match text.parse::<u32>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err((name.clone(), format!("must be a whole number from 1, not '{text}'"))),
            };
            match name.as_str() {
                "slots" => read.slots = number()?,
                "window_tokens" => read.window_tokens = number()?,
                "threads" => read.threads = number()?,
                // None of them is a number of layers as well.
                "gpu_layers" if text == "0" => read.gpu_layers = Some(0),
                "gpu_layers" => read.gpu_layers = number()?,
                "memory" => {
                    read.memory = Some(match text.as_str() {
                        "f32" => MemoryForm::F32,
                        "f16" => MemoryForm::F16,
                        "q8" => MemoryForm::Q8,
                        _ => {
                            let problem = format!("must be f32, f16 or q8, not '{text}'");
                            return Err((name.clone(), problem));
                        }
                    });
                }
                _ => {
                    let problem = "is not known; there are slots, window_tokens, threads, \
                                   gpu_layers, memory";
                    return Err((name.clone(), problem.to_owned()));
                }
            }
        }
        Ok(read)
    }
}

/// A model that a node serves because it was told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The number it was told with; a greater one is newer.
    pub generation: u64,
    /// The digest of its recipe.
    pub recipe: Digest,
    /// Its file.
    pub file: String,
    /// It is given nothing new, and goes when its answers have come to their end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// What a node is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// Serve a model; one of the same name makes way when this one is ready.
    Serve {
        /// The number of this wish.
        generation: u64,
        /// How.
        recipe: Recipe,
    },
    /// Serve a model that is there with other settings.
    Configure {
        /// The number of this wish.
        generation: u64,
        /// How; the file is the one it has.
        recipe: Recipe,
    },
    /// Start the engine of a model anew, as it is.
    Restart {
        /// The number of this wish.
        generation: u64,
        /// Which model.
        model: String,
    },
    /// Serve a model no longer; answers that are under way come to their end.
    Leave {
        /// Which.
        model: String,
    },
    /// Run a script of the node's folder of scripts.
    Run {
        /// Its file name.
        script: String,
        /// Its arguments, passed as they are.
        args: Vec<String>,
        /// How long it may take, in milliseconds.
        timeout_ms: u64,
    },
}

/// An order to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which node.
    pub node: NodeName,
    /// What it is to do.
    pub deed: Deed,
    /// The digest of the plan, or of the catalogue's entry, on whose account it is.
    pub plan: Digest,
}

/// Whose signature a node obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The cluster.
    pub cluster: String,
    /// The public key of its orders, as text.
    pub key: String,
}

/// Signs orders.
pub trait Pen: Send + Sync + 'static {
    /// An order as it travels.
    ///
    /// # Errors
    /// When it cannot be signed.
    fn sign(&self, order: &Order) -> Result<String, String>;

    /// What nodes check signatures with.
    fn terms(&self) -> Terms;
}

/// Does what orders say, on a node.
#[async_trait]
pub trait Obey: Send + Sync + 'static {
    /// The controller has said whose orders count. A node that was told so when it enrolled keeps
    /// to that.
    fn learn(&self, terms: &Terms);

    /// Checks an order and does it.
    ///
    /// # Errors
    /// Why it was not done.
    async fn obey(&self, envelope: &str) -> Result<Value, EngineError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_name_and_refused_by_name() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let read =
            Settings::read(&map(&[("slots", "4"), ("memory", "q8"), ("gpu_layers", "0")])).unwrap();
        assert_eq!((read.slots, read.memory, read.threads), (Some(4), Some(MemoryForm::Q8), None));
        assert_eq!(read.gpu_layers, Some(0));
        for (name, text) in [("slots", "0"), ("threads", "many"), ("memory", "f8"), ("color", "1")]
        {
            let (named, _) = Settings::read(&map(&[(name, text)])).unwrap_err();
            assert_eq!(named, name);
        }
    }

    #[test]
    fn a_recipe_is_told_from_others_by_its_digest() {
        let recipe = Recipe {
            model: "m".to_owned(),
            file: "a.gguf".to_owned(),
            sha256: None,
            settings: BTreeMap::new(),
        };
        let other = Recipe { file: "b.gguf".to_owned(), ..recipe.clone() };
        assert_eq!(recipe.digest(), recipe.clone().digest());
        assert_ne!(recipe.digest(), other.digest());
    }

    #[test]
    fn deeds_travel_as_objects_that_say_what_to_do() {
        let leave = Deed::Leave { model: "m".to_owned() };
        let text = serde_json::to_string(&leave).unwrap();
        assert_eq!(text, r#"{"do":"leave","model":"m"}"#);
        let odd = r#"{"do":"leave","model":"m","force":true}"#;
        assert!(serde_json::from_str::<Deed>(odd).is_err());
    }
}
