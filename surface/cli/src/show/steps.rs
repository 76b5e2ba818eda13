//! What became of a plan: its steps, what was measured, and its history.

use serde_json::Value;

use super::plan::promise;
use crate::value::{Read, plain, words};

/// Each action with what was done and measured, then the history.
pub(crate) fn steps(plan: &Value) -> String {
    let mut lines = Vec::new();
    let actions = plan.list("/plan/actions");
    for (at, step) in plan.list("/steps").iter().enumerate() {
        let action = actions.iter().find(|action| action.str("/id") == step.str("/action"));
        let summary = action.map(|action| action.text("/summary")).unwrap_or_default();
        lines.push(format!("  {}. {}: {summary}", at + 1, words(step.str("/phase"))));
        lines.extend(receipt("did", step.at("/receipt")));
        lines.extend(measured(step.at("/verification")));
        lines.extend(receipt("took back", step.at("/undo_receipt")));
        if let Some(error) = step.at("/error").as_str() {
            lines.push(format!("     error: {error}"));
        }
        let rows: Vec<String> = step.list("/ledger").iter().map(plain).collect();
        if !rows.is_empty() {
            lines.push(format!("     ledger rows {}", rows.join(", ")));
        }
    }
    let notes = plan.list("/notes");
    if !notes.is_empty() {
        lines.push("history".to_owned());
    }
    for note in notes {
        let by = note.at("/by").as_str().map(|by| format!(" ({by})")).unwrap_or_default();
        lines.push(format!("  {}  {}{by}", note.str("/at"), note.str("/text")));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn receipt(verb: &str, receipt: &Value) -> Option<String> {
    if receipt.is_null() {
        return None;
    }
    let nothing = match receipt.at("/changed") {
        Value::Bool(false) => " (nothing changed)",
        _ => "",
    };
    Some(format!("     {verb}: {}{nothing}", receipt.str("/detail")))
}

fn measured(verification: &Value) -> Vec<String> {
    if verification.is_null() {
        return Vec::new();
    }
    let mut lines = vec![format!("     effect {}", words(verification.str("/state")))];
    for one in verification.list("/measured") {
        let mark = if one.at("/holds") == &Value::Bool(true) { "yes" } else { "no" };
        let seen = match one.at("/actual") {
            Value::Null => "nothing".to_owned(),
            actual => plain(actual),
        };
        lines.push(format!("       {mark}: {}; seen: {seen}", promise(one.at("/expected"))));
    }
    lines
}
