//! Shapes as JSON schemas.

use serde_json::{Map, Value, json};

use super::{Body, Choice, Field, Named, Shape};

/// Schemas by name.
pub(crate) type Schemas = Map<String, Value>;

/// How a type is spoken of: by name where it has one.
pub(crate) fn refer(shape: &Shape) -> Value {
    Value::Object(described(shape, None))
}

/// Adds the schemas of every name that is met on the way.
pub(crate) fn collect(shape: &Shape, schemas: &mut Schemas) {
    match shape {
        Shape::List(inner) | Shape::Map(inner) | Shape::Maybe(inner) => collect(inner, schemas),
        Shape::Named(named) => {
            schemas.insert(named.name.to_owned(), schema_of(named));
            collect_inside(named, schemas);
        }
        _ => {}
    }
}

fn collect_inside(named: &Named, schemas: &mut Schemas) {
    match &named.body {
        Body::Fields(fields) => {
            for field in *fields {
                match field.stands_for() {
                    Some(_) => collect_flat(&field.shape, schemas),
                    None => collect(&field.shape, schemas),
                }
            }
        }
        Body::Choices(choices) => {
            for carried in choices.iter().filter_map(|choice| choice.carries.as_ref()) {
                collect(carried, schemas);
            }
        }
    }
}

fn collect_flat(shape: &Shape, schemas: &mut Schemas) {
    if let Shape::Named(named) = shape {
        collect_inside(named, schemas);
    }
}

fn schema_of(named: &Named) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), text(named.about).into());
    match named.body {
        Body::Fields(fields) => {
            let (mut properties, mut required) = (Map::new(), Vec::new());
            add_fields(fields, &mut properties, &mut required);
            schema.insert("type".to_owned(), "object".into());
            schema.insert("properties".to_owned(), properties.into());
            schema.insert("additionalProperties".to_owned(), false.into());
            if !required.is_empty() {
                schema.insert("required".to_owned(), required.into());
            }
        }
        Body::Choices(choices) if choices.iter().all(|choice| choice.carries.is_none()) => {
            let names: Vec<String> = choices.iter().map(Choice::wire_name).collect();
            schema.insert("type".to_owned(), "string".into());
            schema.insert("enum".to_owned(), names.into());
        }
        Body::Choices(choices) => {
            let choices: Vec<Value> = choices.iter().map(choice_schema).collect();
            schema.insert("oneOf".to_owned(), choices.into());
        }
    }
    if let Ok(example) = serde_json::from_str(named.example) {
        schema.insert("example".to_owned(), example);
    }
    schema.into()
}

fn add_fields(fields: &[Field], properties: &mut Map<String, Value>, required: &mut Vec<String>) {
    for field in fields {
        if let Some(inner) = field.stands_for() {
            add_fields(inner, properties, required);
            continue;
        }
        let mut schema = described(&field.shape, Some(text(field.about)));
        if !field.example.is_empty() {
            schema.insert("example".to_owned(), field.example.into());
        }
        properties.insert(field.name.to_owned(), schema.into());
        if field.required() {
            required.push(field.name.to_owned());
        }
    }
}

fn choice_schema(choice: &Choice) -> Value {
    let (name, about) = (choice.wire_name(), text(choice.about));
    match &choice.carries {
        None => json!({"type": "string", "description": about, "enum": [name]}),
        Some(carried) => {
            let carried = described(carried, Some(about.clone()));
            let properties = Map::from_iter([(name.clone(), carried.into())]);
            json!({
                "type": "object", "description": about, "required": [name],
                "properties": properties,
            })
        }
    }
}

fn described(shape: &Shape, about: Option<String>) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut set = |name: &str, value: Value| drop(schema.insert(name.to_owned(), value));
    match shape {
        Shape::Text => set("type", "string".into()),
        Shape::Moment => {
            set("type", "string".into());
            set("format", "date-time".into());
        }
        Shape::Flag => set("type", "boolean".into()),
        Shape::Whole(format, signed) => {
            set("type", "integer".into());
            if let Some(format) = format {
                set("format", (*format).into());
            }
            if !signed {
                set("minimum", 0.into());
            }
        }
        Shape::Number => {
            set("type", "number".into());
            set("format", "double".into());
        }
        Shape::Anything => {}
        Shape::List(inner) => {
            set("type", "array".into());
            set("items", refer(inner));
        }
        Shape::Map(inner) => {
            set("type", "object".into());
            set("additionalProperties", refer(inner));
        }
        Shape::Named(named) => set("$ref", format!("#/components/schemas/{}", named.name).into()),
        Shape::Maybe(inner) => return nullable(inner, about),
    }
    if let Some(about) = about {
        schema.insert("description".to_owned(), about.into());
    }
    schema
}

/// What has a type takes null beside it; what is spoken of by name is one of two.
fn nullable(inner: &Shape, about: Option<String>) -> Map<String, Value> {
    let mut schema = described(inner, about);
    if schema.contains_key("$ref") {
        let either = json!([schema, {"type": "null"}]);
        return Map::from_iter([("oneOf".to_owned(), either)]);
    }
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}

/// Doc comments come with the space after the slashes.
fn text(lines: &[&str]) -> String {
    let lines: Vec<&str> =
        lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n")
}
