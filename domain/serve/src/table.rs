//! Which engine serves a model.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Engine, EngineError, ModelCard, Skill};

/// Most names that a message lists.
const LISTED_MAX: usize = 16;

/// A model and the engine behind it.
#[derive(Clone)]
pub struct Entry {
    /// The model.
    pub card: ModelCard,
    /// What runs it.
    pub engine: Arc<dyn Engine>,
}

/// The engines of a process, in the order in which they were put in: of two that serve a model
/// the first does it.
#[derive(Default)]
pub struct Engines {
    engines: RwLock<Vec<Arc<dyn Engine>>>,
}

impl Engines {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an engine in; one of the same name makes way for it.
    pub fn put(&self, engine: Arc<dyn Engine>) {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        match engines.iter_mut().find(|other| other.name() == engine.name()) {
            Some(other) => *other = engine,
            None => engines.push(engine),
        }
    }

    /// Takes an engine out. Answers that it is giving go on.
    pub fn remove(&self, name: &str) -> bool {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        let before = engines.len();
        engines.retain(|engine| engine.name() != name);
        engines.len() < before
    }

    /// All engines.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn Engine>> {
        self.engines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every model that is served, by name.
    #[must_use]
    pub fn models(&self) -> Vec<Entry> {
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        for engine in self.all() {
            for card in engine.models() {
                let entry = || Entry { card: card.clone(), engine: Arc::clone(&engine) };
                found.entry(card.name.clone()).or_insert_with(entry);
            }
        }
        found.into_values().collect()
    }

    /// The engine of a model.
    ///
    /// # Errors
    /// `NoModelLoaded`, with what is served and how to load more.
    pub fn of(&self, model: &str) -> Result<Entry, EngineError> {
        for engine in self.engines.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(card) = engine.card(model) {
                return Ok(Entry { card, engine: Arc::clone(engine) });
            }
        }
        let models = self.models();
        let names: Vec<&str> = models.iter().map(|entry| entry.card.name.as_str()).collect();
        let served = if names.is_empty() {
            "none is served".to_owned()
        } else {
            format!("served are {}", names.join(", "))
        };
        let remedy = format!("{served}; load one with `openautoglm worker --model {model} …`");
        Err(EngineError::NoModelLoaded { model: model.to_owned(), remedy })
    }

    /// The engine of a model that predicts from numbers: of the one that is named, or of the only
    /// one there is.
    ///
    /// # Errors
    /// As [`Engines::of`]; `Refused` when none is named and there is not exactly one.
    pub fn predicting(&self, model: Option<&str>) -> Result<Entry, EngineError> {
        if let Some(model) = model {
            return self.of(model);
        }
        let mut models = self.models();
        models.retain(|entry| entry.card.skills.contains(&Skill::Predict));
        if models.len() == 1
            && let Some(only) = models.pop()
        {
            return Ok(only);
        }
        let names: Vec<&str> = models.iter().map(|entry| entry.card.name.as_str()).collect();
        let problem = if names.is_empty() {
            "no model predicts from numbers; start one with `openautoglm worker --model NAME \
             --onnx FILE`"
                .to_owned()
        } else {
            format!("is missing, and several models predict: name one of {}", list(&names))
        };
        Err(EngineError::refused("model", problem))
    }
}

fn list(names: &[&str]) -> String {
    let (shown, more) = names.split_at(names.len().min(LISTED_MAX));
    let rest = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{EngineStats, Events, Generation, Skill};

    struct Named(&'static str, &'static [&'static str]);

    #[async_trait]
    impl Engine for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn models(&self) -> Vec<ModelCard> {
            let card = |name: &&str| ModelCard {
                name: (*name).to_owned(),
                skills: vec![if *name == "b" { Skill::Chat } else { Skill::Predict }],
                window_tokens: None,
                about: self.0.to_owned(),
            };
            self.1.iter().map(card).collect()
        }

        fn stats(&self) -> EngineStats {
            EngineStats::default()
        }

        async fn generate(&self, _: Generation) -> Result<Events, EngineError> {
            Err(EngineError::Late)
        }
    }

    #[test]
    fn the_first_engine_serves_a_model_and_one_of_the_same_name_makes_way() {
        let engines = Engines::new();
        engines.put(Arc::new(Named("one", &["a", "b"])));
        engines.put(Arc::new(Named("two", &["b", "c"])));
        let about = |model: &str| engines.of(model).map(|entry| entry.card.about);
        assert_eq!(about("b").unwrap(), "one");
        assert_eq!(about("c").unwrap(), "two");
        engines.put(Arc::new(Named("one", &["a"])));
        assert_eq!(about("b").unwrap(), "two");
        let names: Vec<String> =
            engines.models().into_iter().map(|entry| entry.card.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(engines.remove("two") && !engines.remove("two"));
        let error = about("c").unwrap_err();
        let EngineError::NoModelLoaded { model, remedy } = &error else { unreachable!("{error}") };
        assert_eq!(model, "c");
        assert!(remedy.contains("served are a;") && remedy.contains("--model c"), "{remedy}");
    }

    #[test]
    fn the_model_that_predicts_need_not_be_named_while_it_is_the_only_one() {
        let engines = Engines::new();
        let chosen = |model| engines.predicting(model).map(|entry| entry.card.name);
        engines.put(Arc::new(Named("one", &["b"])));
        let error = chosen(None).unwrap_err().to_string();
        assert!(error.contains("no model predicts") && error.contains("--onnx"), "{error}");
        engines.put(Arc::new(Named("two", &["a"])));
        assert_eq!(chosen(None).unwrap(), "a");
        assert_eq!(chosen(Some("b")).unwrap(), "b");
        engines.put(Arc::new(Named("three", &["c"])));
        let error = chosen(None).unwrap_err().to_string();
        assert!(error.ends_with("name one of a, c"), "{error}");
        assert_eq!(chosen(Some("c")).unwrap(), "c");
        assert!(matches!(chosen(Some("d")), Err(EngineError::NoModelLoaded { .. })));
        let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(list(&many).ends_with("14, 15 and 4 more"));
    }
}
