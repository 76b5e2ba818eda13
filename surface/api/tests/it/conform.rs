//! Whether an answer looks as the document says.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&oag_api::openapi_json()).unwrap());

/// Compares an answer of an operation with its schema. What has no operation is not looked at.
pub(crate) fn check(method: &str, path: &str, status: u16, media: &str, answer: &Value) {
    let Some(operation) = operation(method, path) else { return };
    let place = format!("{method} {path} {status}");
    let Some(response) = operation["responses"].get(status.to_string()) else {
        assert!(status >= 400, "{place} is not in the document");
        return;
    };
    let schema = &resolved(response)["content"][media]["schema"];
    assert!(!schema.is_null(), "{place}: {media} is not in the document");
    let faults = faults(schema, answer, "");
    assert!(faults.is_empty(), "{place}: {faults:?} in {answer}");
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let (_, item) = DOCUMENT["paths"].as_object().unwrap().iter().find(|(template, _)| {
        let mut parts = template.split('/').zip(path.split('/'));
        template.split('/').count() == path.split('/').count()
            && parts.all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
    })?;
    item.get(method.to_lowercase())
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn faults(schema: &'static Value, value: &Value, place: &str) -> Vec<String> {
    let schema = resolved(schema);
    if let Some(options) = schema["oneOf"].as_array() {
        let fits = options.iter().any(|option| faults(option, value, place).is_empty());
        return if fits { Vec::new() } else { vec![format!("{place}: {value} is none of them")] };
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().map_or_else(Vec::new, |kind| vec![kind]),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_a(kind, value)) {
        return vec![format!("{place}: {value} is no {kinds:?}")];
    }
    if schema["enum"].as_array().is_some_and(|names| !names.contains(value)) {
        return vec![format!("{place}: {value} is not a choice")];
    }
    match value {
        Value::Array(items) if schema["items"].is_object() => {
            items.iter().flat_map(|item| faults(&schema["items"], item, place)).collect()
        }
        Value::Object(fields) => object_faults(schema, fields, place),
        _ => Vec::new(),
    }
}

fn object_faults(schema: &'static Value, fields: &Map<String, Value>, place: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !fields.contains_key(*name));
    let mut found: Vec<String> = missing.map(|name| format!("{place}.{name}: missing")).collect();
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => found.extend(faults(schema, value, &place)),
            (None, Value::Bool(false)) => found.push(format!("{place}: not in the schema")),
            (None, open) if open.is_object() => found.extend(faults(open, value, &place)),
            (None, _) => {}
        }
    }
    found
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
