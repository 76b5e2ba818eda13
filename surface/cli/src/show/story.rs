//! A story, from signal to ledger, and a finding.

use oag_types::Timestamp;
use serde_json::Value;

use super::{plan, steps};
use crate::resource::{percent, story_state};
use crate::table::table;
use crate::value::{Read, age, cut, rounded, words};

/// A story with its findings, plans and ledger rows.
pub(crate) fn story(detail: &Value, now: Timestamp) -> String {
    let story = detail.at("/story");
    let state = story_state(story);
    let mut text = format!("story {}  {state}\n  {}\n", story.str("/id"), story.str("/title"));
    let opened = age(story.time("/opened_at"), now);
    text.push_str(&format!("  opened {opened} ago"));
    if let Some(service) = story.at("/service").as_str() {
        text.push_str(&format!(", about {service}"));
    }
    if story.time("/closed_at").is_some() {
        text.push_str(&format!(", closed {} ago", age(story.time("/closed_at"), now)));
    }
    text.push('\n');
    let findings = story.list("/findings");
    if !findings.is_empty() {
        text.push_str("\nfindings\n");
    }
    for one in findings {
        text.push_str(&indent(&finding(one, now)));
    }
    for one in detail.list("/plans") {
        text.push('\n');
        text.push_str(&plan::summary(one, now));
        text.push_str(&indent(&plan::verdict(one)));
        text.push_str(&steps(one));
    }
    let rows = detail.list("/ledger");
    if !rows.is_empty() {
        text.push_str("\nledger\n");
        let row = |row: &Value| {
            let payload = match row.at("/erased") {
                Value::Bool(true) => "(erased)".to_owned(),
                _ => cut(&row.text("/payload"), 60),
            };
            vec![row.text("/index"), row.text("/at"), row.text("/kind"), payload]
        };
        let rows = rows.iter().map(row).collect();
        text.push_str(&indent(&table(vec!["index", "at", "kind", "payload"], rows)));
    }
    text
}

/// A finding with what it rests on.
pub(crate) fn finding(finding: &Value, now: Timestamp) -> String {
    let severity = finding.str("/severity");
    let kind = words(finding.str("/kind"));
    let sure = percent(finding.at("/confidence"));
    let when = match finding.time("/at") {
        Some(at) => format!(", {} ago", age(Some(at), now)),
        None => String::new(),
    };
    let mut text = format!("{severity}: {} ({kind}, {sure} sure{when})\n", finding.str("/summary"));
    for evidence in finding.list("/evidence") {
        text.push_str(&format!("  - {}", evidence.str("/text")));
        if let Some(series) = evidence.at("/series").as_str() {
            text.push_str(&format!(" [{series}]"));
        }
        let numbers = rounded(evidence.at("/numbers"));
        if !numbers.is_empty() {
            text.push_str(&format!(" ({numbers})"));
        }
        text.push('\n');
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
