//! The INI form.

use super::{InventoryError, ROLE, Raw, range};

/// What the lines of a section are.
enum Section {
    Hosts,
    Children,
    Vars,
}

pub(super) fn read(text: &str) -> Result<Raw, InventoryError> {
    let mut raw = Raw::default();
    let (mut group, mut section) = ("ungrouped".to_owned(), Section::Hosts);
    for (at, line) in text.lines().enumerate() {
        let wrong = |problem: String| InventoryError::Line { line: at + 1, problem };
        let line = without_comment(line);
        if line.is_empty() {
            continue;
        }
        if let Some(head) = line.strip_prefix('[').filter(|_| !line.contains(char::is_whitespace)) {
            let head = head.strip_suffix(']');
            let head = head.ok_or_else(|| wrong(format!("'{line}' is no section")))?;
            let (name, kind) = head.split_once(':').unwrap_or((head, "hosts"));
            section = match kind {
                "hosts" => Section::Hosts,
                "children" => Section::Children,
                "vars" => Section::Vars,
                _ => return Err(wrong(format!("'{kind}' is not 'children' or 'vars'"))),
            };
            name.clone_into(&mut group);
            raw.group(name);
            continue;
        }
        match section {
            Section::Hosts => host(&mut raw, &group, line).map_err(wrong)?,
            Section::Children => {
                raw.group(&group).children.insert(line.to_owned());
            }
            Section::Vars => {
                let (name, value) = line
                    .split_once('=')
                    .ok_or_else(|| wrong(format!("'{line}' is not NAME=VALUE")))?;
                if name.trim() == ROLE {
                    raw.group(&group).role = Some(unquoted(value).to_owned());
                }
            }
        }
    }
    Ok(raw)
}

/// `name-or-range[:port] variable=value …`
fn host(raw: &mut Raw, group: &str, line: &str) -> Result<(), String> {
    let (pattern, variables) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    // A port stands after the last colon outside of brackets.
    let tail = pattern.rfind(']').map_or(0, |at| at + 1);
    let port = pattern.get(tail..).and_then(|tail| tail.split_once(':'));
    let pattern = match port {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            pattern.strip_suffix(port).and_then(|name| name.strip_suffix(':')).unwrap_or(pattern)
        }
        _ => pattern,
    };
    let names = range::expand(pattern)?;
    let role = variables.split_whitespace().find_map(|word| word.strip_prefix(ROLE));
    let role = role.and_then(|rest| rest.strip_prefix('=')).map(unquoted);
    for name in names {
        if let Some(role) = role {
            raw.roles.insert(name.clone(), role.to_owned());
        }
        raw.group(group).hosts.insert(name);
    }
    Ok(())
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return "";
    }
    let cut = [" #", "\t#", " ;", "\t;"].iter().filter_map(|mark| line.find(mark)).min();
    cut.and_then(|at| line.get(..at)).unwrap_or(line).trim()
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}
