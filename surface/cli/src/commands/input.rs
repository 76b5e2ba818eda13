//! Files and standard input.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Terminal;
use crate::exit::Trouble;

/// The text of a file, or of standard input for `-`.
pub(crate) async fn text(file: &Path, terminal: &Terminal) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        return terminal.read_all().await;
    }
    fs::read_to_string(file).map_err(|error| {
        Trouble::usage(format!("{} cannot be read: {error}", file.display())).into()
    })
}

/// A JSON or YAML document.
pub(crate) async fn document(file: &Path, terminal: &Terminal) -> anyhow::Result<Value> {
    let text = text(file, terminal).await?;
    let document: Value = parse(&text, &file.display().to_string())?;
    if !document.is_object() && !document.is_array() {
        return Err(Trouble::usage(format!("{} holds no document", file.display())).into());
    }
    Ok(document)
}

/// Reads JSON or YAML into a type.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> anyhow::Result<T> {
    let wrong = |error: String| Trouble::usage(format!("{name} cannot be understood: {error}"));
    // JSON is YAML too, but its own reader names places better.
    let looks_json = text.trim_start().starts_with(['{', '[']);
    if looks_json && let Ok(found) = serde_json::from_str(text) {
        return Ok(found);
    }
    match serde_yaml_ng::from_str(text) {
        Ok(found) => Ok(found),
        Err(error) if !looks_json => Err(wrong(error.to_string()).into()),
        Err(error) => {
            let json = serde_json::from_str::<Value>(text).err();
            Err(wrong(json.map_or(error.to_string(), |json| json.to_string())).into())
        }
    }
}
