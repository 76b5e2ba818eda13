//! Whether shapes say the truth: every one is compared with real JSON of its type, in both
//! directions. What the JSON has and the shape lacks is a fault, and so is what the shape has and
//! no JSON ever showed.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Body, Named, Shape, Shaped};

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Names of types, fields (`Plan.id`) and choices (`Undo::by`) that JSON showed.
    pub(super) shown: BTreeSet<String>,
    /// The same as the shapes have them.
    said: BTreeSet<String>,
    faults: Vec<String>,
}

impl Check {
    /// Types that are sent: read from samples, written by the type itself, compared.
    pub(super) fn sends<T: Serialize + Shaped>(&mut self, values: &[T]) {
        for value in values {
            let json = serde_json::to_value(value).unwrap();
            self.compare(&T::SHAPE, &json);
        }
    }

    /// The same for a type of the domain, whose samples are JSON.
    pub(super) fn passes<T: Serialize + DeserializeOwned + Shaped>(&mut self, samples: &[Value]) {
        let values = samples.iter().map(|sample| read::<T>(sample).unwrap());
        self.sends(&values.collect::<Vec<T>>());
    }

    /// Types that are read: with everything, with nothing that may be left out, and not without
    /// what must be there.
    pub(super) fn reads<T: DeserializeOwned + Shaped>(&mut self, samples: &[Value]) {
        for sample in samples {
            self.compare(&T::SHAPE, sample);
            let mut sparse = sample.clone();
            thin_out(&T::SHAPE, &mut sparse);
            for json in [sample, &sparse] {
                if let Err(error) = read::<T>(json) {
                    self.faults.push(format!("{error}: {json}"));
                }
            }
            for (name, without) in less(&T::SHAPE, sample) {
                if read::<T>(&without).is_ok() {
                    self.faults.push(format!("{name} is required, and is not missed: {sample}"));
                }
            }
        }
    }

    /// A choice among names: each is read and written as it is said.
    pub(super) fn names<T: Serialize + DeserializeOwned + Shaped>(&mut self) {
        let Shape::Named(Named { body: Body::Choices(choices), .. }) = &T::SHAPE else {
            panic!("{:?} is no choice", T::SHAPE);
        };
        for choice in *choices {
            self.passes::<T>(&[Value::from(choice.wire_name())]);
        }
    }

    /// Everything that is not as it should be.
    pub(super) fn faults(mut self) -> Vec<String> {
        let unseen = self.said.difference(&self.shown).map(|what| format!("{what}: never seen"));
        self.faults.extend(unseen);
        self.faults
    }

    fn compare(&mut self, shape: &Shape, json: &Value) {
        say(shape, &mut self.said);
        self.walk(shape, json, "");
    }

    fn walk(&mut self, shape: &Shape, json: &Value, place: &str) {
        let fits = match shape {
            Shape::Text => json.is_string(),
            Shape::Moment => {
                json.as_str().is_some_and(|text| text.parse::<oag_types::Timestamp>().is_ok())
            }
            Shape::Flag => json.is_boolean(),
            Shape::Whole(_, true) => json.is_i64(),
            Shape::Whole(_, false) => json.is_u64(),
            Shape::Number => json.is_number(),
            Shape::Anything => true,
            Shape::Maybe(_) if json.is_null() => true,
            Shape::Maybe(inner) => return self.walk(inner, json, place),
            Shape::List(inner) => {
                let items = json.as_array();
                items.into_iter().flatten().for_each(|item| self.walk(inner, item, place));
                items.is_some()
            }
            Shape::Map(inner) => {
                let items = json.as_object();
                items.into_iter().flatten().for_each(|(_, item)| self.walk(inner, item, place));
                items.is_some()
            }
            Shape::Named(named) => self.walk_named(named, json),
        };
        if !fits {
            self.faults.push(format!("{place} is no {shape:?}: {json}"));
        }
    }

    fn walk_named(&mut self, named: &Named, json: &Value) -> bool {
        self.shown.insert(named.name.to_owned());
        match &named.body {
            Body::Fields(_) => {
                let Some(object) = json.as_object() else { return false };
                let mut left: BTreeSet<&str> = object.keys().map(String::as_str).collect();
                self.walk_fields(named, named.name, json, &mut left);
                let unsaid = left.iter().map(|name| format!("{}.{name}: not said", named.name));
                self.faults.extend(unsaid);
                true
            }
            Body::Choices(choices) => choices.iter().any(|choice| {
                let (name, place) = (choice.wire_name(), mark(named.name, &choice.wire_name()));
                match &choice.carries {
                    None if *json == name => {
                        self.shown.insert(place);
                        true
                    }
                    Some(carried) if json.get(&name).is_some() => {
                        self.walk(carried, &json[&name], &place);
                        self.shown.insert(place);
                        true
                    }
                    _ => false,
                }
            }),
        }
    }

    fn walk_fields(&mut self, named: &Named, owner: &str, json: &Value, left: &mut BTreeSet<&str>) {
        let Body::Fields(fields) = named.body else { return };
        for field in fields {
            if let (Shape::Named(inner), true) = (&field.shape, field.flat) {
                self.walk_fields(inner, owner, json, left);
                continue;
            }
            let place = format!("{owner}.{}", field.name);
            match json.get(field.name) {
                Some(found) => {
                    left.remove(field.name);
                    self.walk(&field.shape, found, &place);
                    if !found.is_null() {
                        self.shown.insert(place);
                    }
                }
                None if field.required() => self.faults.push(format!("{place}: missing")),
                None => {}
            }
        }
    }
}

fn read<T: DeserializeOwned>(json: &Value) -> serde_json::Result<T> {
    serde_json::from_value(json.clone())
}

fn mark(name: &str, choice: &str) -> String {
    format!("{name}::{choice}")
}

/// Everything a shape says.
fn say(shape: &Shape, said: &mut BTreeSet<String>) {
    match shape {
        Shape::List(inner) | Shape::Map(inner) | Shape::Maybe(inner) => say(inner, said),
        Shape::Named(named) => say_fields(named, named.name, said),
        _ => {}
    }
}

fn say_fields(named: &Named, owner: &str, said: &mut BTreeSet<String>) {
    match &named.body {
        Body::Fields(fields) => {
            for field in *fields {
                if let (Shape::Named(inner), true) = (&field.shape, field.flat) {
                    say_fields(inner, owner, said);
                    continue;
                }
                said.insert(format!("{owner}.{}", field.name));
                say(&field.shape, said);
            }
        }
        Body::Choices(choices) => {
            for choice in *choices {
                said.insert(mark(owner, &choice.wire_name()));
                choice.carries.iter().for_each(|carried| say(carried, said));
            }
        }
    }
}

/// The JSON less one thing that must be there, for each such thing at any depth.
fn less(shape: &Shape, json: &Value) -> Vec<(&'static str, Value)> {
    match (shape, json) {
        (Shape::Maybe(inner), json) => less(inner, json),
        (Shape::List(inner), Value::Array(items)) => {
            let first = items.iter().take(1).flat_map(|item| less(inner, item));
            first.map(|(name, item)| (name, Value::from(vec![item]))).collect()
        }
        (Shape::Named(Named { body: Body::Fields(fields), .. }), Value::Object(object)) => {
            let mut found = Vec::new();
            for field in *fields {
                let Some(inner) = object.get(field.name) else { continue };
                for (name, inner) in less(&field.shape, inner) {
                    let mut object = object.clone();
                    object.insert(field.name.to_owned(), inner);
                    found.push((name, object.into()));
                }
                if field.required() {
                    let mut object = object.clone();
                    object.remove(field.name);
                    found.push((field.name, object.into()));
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

/// Takes out whatever may be left out.
fn thin_out(shape: &Shape, json: &mut Value) {
    match (shape, json) {
        (Shape::Maybe(inner), json) => thin_out(inner, json),
        (Shape::List(inner), Value::Array(items)) => {
            items.iter_mut().for_each(|item| thin_out(inner, item));
        }
        (Shape::Map(inner), Value::Object(items)) => {
            items.values_mut().for_each(|item| thin_out(inner, item));
        }
        (Shape::Named(Named { body: Body::Fields(fields), .. }), Value::Object(object)) => {
            for field in *fields {
                if !field.required() {
                    object.remove(field.name);
                } else if let Some(inner) = object.get_mut(field.name) {
                    thin_out(&field.shape, inner);
                }
            }
        }
        _ => {}
    }
}
