//! The kill switch: nothing acts while it is on.

use oag_types::{GroupName, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// Stops every action in its scope, of people as of programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KillSwitch {
    /// Whether it is on.
    pub on: bool,
    /// What it stops.
    pub scope: KillScope,
    /// Who switched it last.
    pub by: Option<PrincipalId>,
    /// When it was switched last.
    pub at: Option<Timestamp>,
    /// Why, shown to those who are stopped.
    pub reason: String,
}

/// What the kill switch stops.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillScope {
    /// Everything.
    #[default]
    All,
    /// Actions in these groups.
    Groups(Vec<GroupName>),
}

impl KillSwitch {
    /// Switched on.
    #[must_use]
    pub fn engaged(scope: KillScope, by: PrincipalId, at: Timestamp, reason: String) -> Self {
        Self { on: true, scope, by: Some(by), at: Some(at), reason }
    }

    /// Switched off again.
    #[must_use]
    pub fn released(by: PrincipalId, at: Timestamp, reason: String) -> Self {
        Self { on: false, scope: KillScope::All, by: Some(by), at: Some(at), reason }
    }

    /// Whether it stops actions in this group now.
    #[must_use]
    pub fn stops(&self, group: &GroupName) -> bool {
        self.on
            && match &self.scope {
                KillScope::All => true,
                KillScope::Groups(groups) => groups.contains(group),
            }
    }
}
