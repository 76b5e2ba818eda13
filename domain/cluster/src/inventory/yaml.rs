//! The YAML form.

use serde_yaml_ng::{Mapping, Value};

use super::{DEPTH_MAX, InventoryError, ROLE, Raw, range};

pub(super) fn read(text: &str) -> Result<Raw, InventoryError> {
    let document: Value = serde_yaml_ng::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        InventoryError::Line { line, problem: error.to_string() }
    })?;
    let mut raw = Raw::default();
    for (name, body) in entries(&document, "the inventory")? {
        group(&mut raw, &name, body, 0)?;
    }
    Ok(raw)
}

fn group(raw: &mut Raw, name: &str, body: &Value, depth: usize) -> Result<(), InventoryError> {
    if depth > DEPTH_MAX {
        let text = format!("the group '{name}' lies deeper than {DEPTH_MAX} groups");
        return Err(InventoryError::whole(text));
    }
    raw.group(name);
    for (part, body) in entries(body, name)? {
        match part.as_str() {
            "hosts" => {
                for (pattern, variables) in entries(body, &format!("'hosts' of {name}"))? {
                    let wrong = |why| InventoryError::whole(format!("in '{name}': {why}"));
                    for host in range::expand(&pattern).map_err(wrong)? {
                        if let Some(role) = variables.get(ROLE).and_then(Value::as_str) {
                            raw.roles.insert(host.clone(), role.to_owned());
                        }
                        raw.group(name).hosts.insert(host);
                    }
                }
            }
            "children" => {
                for (child, body) in entries(body, &format!("'children' of {name}"))? {
                    raw.group(name).children.insert(child.clone());
                    group(raw, &child, body, depth + 1)?;
                }
            }
            "vars" => {
                if let Some(role) = body.get(ROLE).and_then(Value::as_str) {
                    raw.group(name).role = Some(role.to_owned());
                }
            }
            _ => {
                let text = format!("'{part}' of '{name}' is not hosts, children or vars");
                return Err(InventoryError::whole(text));
            }
        }
    }
    Ok(())
}

/// The entries of a mapping; nothing is an empty one.
fn entries<'a>(value: &'a Value, of: &str) -> Result<Vec<(String, &'a Value)>, InventoryError> {
    static NONE: std::sync::LazyLock<Mapping> = std::sync::LazyLock::new(Mapping::new);
    let mapping = match value {
        Value::Mapping(mapping) => mapping,
        Value::Null => &NONE,
        _ => {
            let text = format!("{of} is not a list of names with ':' after each");
            return Err(InventoryError::whole(text));
        }
    };
    let name = |key: &Value| match key {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let entry = |(key, value): (&Value, &'a Value)| {
        let wrong = || InventoryError::whole(format!("{of} has a name that is no text"));
        Ok((name(key).ok_or_else(wrong)?, value))
    };
    mapping.iter().map(entry).collect()
}
