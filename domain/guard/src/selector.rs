//! Which actions a rule is about, by globs over kinds, services and groups.

use oag_types::{GroupName, KindName, ServiceName};
use serde::{Deserialize, Serialize};

use crate::GuardError;

/// Picks actions. An empty list leaves its dimension open; several lists must all match.
/// In a glob, `*` stands for any run of characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Action kinds, such as `scale`.
    pub kinds: Vec<String>,
    /// Action kinds that are left out even where `kinds` matches.
    pub except_kinds: Vec<String>,
    /// Services, such as `staging-*`.
    pub services: Vec<String>,
    /// Groups, such as `payments`.
    pub groups: Vec<String>,
}

impl Selector {
    /// Picks these kinds everywhere.
    #[must_use]
    pub fn kinds(kinds: &[&str]) -> Self {
        Self { kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(), ..Self::default() }
    }

    /// Whether an action of this kind on this service of this group is picked.
    #[must_use]
    pub fn matches(&self, kind: &KindName, service: &ServiceName, group: &GroupName) -> bool {
        let open = |globs: &[String], text: &str| globs.is_empty() || any(globs, text);
        open(&self.kinds, kind.as_str())
            && !any(&self.except_kinds, kind.as_str())
            && open(&self.services, service.as_str())
            && open(&self.groups, group.as_str())
    }

    /// Whether kinds are named one by one rather than by "any".
    pub(crate) fn names_kinds(&self) -> bool {
        !self.kinds.is_empty() && self.kinds.iter().all(|kind| kind != "*")
    }

    pub(crate) fn validate(&self, at: &str) -> Result<(), GuardError> {
        let lists = [
            ("kinds", &self.kinds),
            ("except_kinds", &self.except_kinds),
            ("services", &self.services),
            ("groups", &self.groups),
        ];
        for (name, globs) in lists {
            for (index, glob) in globs.iter().enumerate() {
                check_glob(&format!("{at}.{name}[{index}]"), glob)?;
            }
        }
        Ok(())
    }
}

/// Whether `text` matches `glob`, where `*` stands for any run of characters.
#[must_use]
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g + 1, t));
            g += 1;
        } else if g < glob.len() && glob[g] == text[t] {
            g += 1;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            g = after;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

pub(crate) fn check_glob(field: &str, glob: &str) -> Result<(), GuardError> {
    let plain = |b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'*')
    };
    if glob.is_empty() || glob.len() > 128 || !glob.bytes().all(plain) {
        let problem = format!(
            "'{}' matches no name: use 1 to 128 of a-z, 0-9, '-', '_', '.' and '*'",
            glob.chars().take(64).collect::<String>()
        );
        return Err(GuardError::invalid(field, problem));
    }
    Ok(())
}

fn any(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| glob_matches(glob, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run() {
        for (glob, text, fits) in [
            ("*", "", true),
            ("*", "order", true),
            ("staging-*", "staging-db", true),
            ("staging-*", "prod-staging-db", false),
            ("*-db", "prod-db", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("order", "order-service", false),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob_matches(glob, text), fits, "{glob} on {text}");
        }
    }
}
