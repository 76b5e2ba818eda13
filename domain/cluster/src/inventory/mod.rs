//! Roles and groups of nodes from an inventory as Ansible has it, in INI or YAML form.
//!
//! Read are groups, their children, hosts with ranges, and the variable `openautoglm_role`; all
//! other variables are passed over (Ansible's documentation, "How to build your inventory").

mod ini;
mod range;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use oag_types::NodeName;

use crate::protocol::NodeRole;

/// The variable that names a role, of a host or a group.
const ROLE: &str = "openautoglm_role";
/// Groups that are roles as well.
const ROLES: [(&str, NodeRole); 7] = [
    ("control", NodeRole::Control),
    ("controllers", NodeRole::Control),
    ("worker", NodeRole::Worker),
    ("workers", NodeRole::Worker),
    ("storage", NodeRole::Storage),
    ("storages", NodeRole::Storage),
    ("edge", NodeRole::Edge),
];
/// Groups that hold everything and say nothing.
const EVERYWHERE: [&str; 2] = ["all", "ungrouped"];
/// Longest inventory, in bytes.
const BYTES_MAX: usize = 4 << 20;
/// Most hosts.
const HOSTS_MAX: usize = 20_000;
/// Deepest nesting of groups.
const DEPTH_MAX: usize = 32;

/// What an inventory says of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// What it is for; none where no group and no variable says so.
    pub role: Option<NodeRole>,
    /// The groups it belongs to, those above them included, by name.
    pub groups: Vec<String>,
}

/// Hosts with their roles and groups. A node is the host of its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    hosts: BTreeMap<NodeName, Listed>,
}

/// What is wrong with an inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// In one line.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// As a whole.
    #[error("{0}")]
    Whole(String),
}

impl InventoryError {
    fn whole(problem: impl Into<String>) -> Self {
        Self::Whole(problem.into())
    }
}

/// Groups and hosts as a file has them.
#[derive(Debug, Default)]
struct Raw {
    groups: BTreeMap<String, RawGroup>,
    /// The variable of hosts.
    roles: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct RawGroup {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
    role: Option<String>,
}

impl Inventory {
    /// Reads an inventory; the form is told from its first line with something in it.
    ///
    /// # Errors
    /// Where and what is wrong. A host with two roles is.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        if text.len() > BYTES_MAX {
            return Err(InventoryError::whole(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let raw = if is_yaml(text) { yaml::read(text)? } else { ini::read(text)? };
        raw.resolve()
    }

    /// What it says of a node.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> Option<&Listed> {
        self.hosts.get(node)
    }

    /// Every host, by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&NodeName, &Listed)> {
        self.hosts.iter()
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// YAML begins with `---` or with `name:`; INI with a section or a host.
fn is_yaml(text: &str) -> bool {
    let lines = text.lines().map(str::trim_end);
    let first = lines.map(|line| line.split(" #").next().unwrap_or(line).trim_end());
    let mut said = first.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let is = |line: &str| line == "---" || line.ends_with(':') || line.contains(": ");
    said.next().is_some_and(is)
}

impl Raw {
    fn group(&mut self, name: &str) -> &mut RawGroup {
        self.groups.entry(name.to_owned()).or_default()
    }

    fn resolve(self) -> Result<Inventory, InventoryError> {
        let mut hosts: BTreeMap<String, (BTreeSet<&str>, BTreeSet<NodeRole>)> = BTreeMap::new();
        for name in self.groups.keys() {
            for host in self.hosts_of(name, 0)? {
                let (groups, roles) = hosts.entry(host.to_owned()).or_default();
                if !EVERYWHERE.contains(&name.as_str()) {
                    groups.insert(name);
                }
                roles.extend(self.role_of(name)?);
            }
        }
        if hosts.len() > HOSTS_MAX {
            let text = format!("{} hosts are more than {HOSTS_MAX}", hosts.len());
            return Err(InventoryError::whole(text));
        }
        let mut listed = BTreeMap::new();
        for (host, (groups, roles)) in hosts {
            let Ok(node) = NodeName::try_from(host.clone()) else {
                let text = format!(
                    "'{host}' cannot be a node: use lower-case letters, digits, '.', '_' and '-'"
                );
                return Err(InventoryError::whole(text));
            };
            let own = self.roles.get(&host).map(|text| role(text)).transpose()?;
            let groups = groups.into_iter().map(str::to_owned).collect();
            let mut roles = roles.into_iter();
            let role = match (own, roles.next(), roles.next()) {
                (Some(own), ..) => Some(own),
                (None, Some(_), Some(_)) => {
                    let text =
                        format!("'{host}' is in groups of two roles; say which with {ROLE}=worker");
                    return Err(InventoryError::whole(text));
                }
                (None, first, _) => first,
            };
            listed.insert(node, Listed { role, groups });
        }
        Ok(Inventory { hosts: listed })
    }

    /// The hosts of a group and of those below it.
    fn hosts_of(&self, name: &str, depth: usize) -> Result<BTreeSet<&str>, InventoryError> {
        if depth > DEPTH_MAX {
            let text = format!("the group '{name}' is its own child, or lies too deep");
            return Err(InventoryError::whole(text));
        }
        let Some(group) = self.groups.get(name) else { return Ok(BTreeSet::new()) };
        let mut hosts: BTreeSet<&str> = group.hosts.iter().map(String::as_str).collect();
        for child in &group.children {
            hosts.extend(self.hosts_of(child, depth + 1)?);
        }
        Ok(hosts)
    }

    fn role_of(&self, group: &str) -> Result<Option<NodeRole>, InventoryError> {
        if let Some(text) = self.groups.get(group).and_then(|group| group.role.as_deref()) {
            return role(text).map(Some);
        }
        Ok(ROLES.iter().find(|(name, _)| *name == group).map(|(_, role)| *role))
    }
}

fn role(text: &str) -> Result<NodeRole, InventoryError> {
    match text {
        "control" => Ok(NodeRole::Control),
        "worker" => Ok(NodeRole::Worker),
        "storage" => Ok(NodeRole::Storage),
        "edge" => Ok(NodeRole::Edge),
        _ => Err(InventoryError::whole(format!(
            "{ROLE} is control, worker, storage or edge, not '{text}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let inventory = Inventory::parse(text).unwrap();
        let line = |(host, listed): (&NodeName, &Listed)| {
            let role = listed.role.map_or("-".to_owned(), |role| format!("{role:?}"));
            format!("{host} {role} {}", listed.groups.join(","))
        };
        inventory.hosts().map(line).collect()
    }

    const INI: &str = "\
# the shop
bare.example.com ansible_host=10.0.0.9

[control]
ctl-[1:2]            ; two of them

[gpu]
gpu-[01:03].east ansible_user=\"ops team\"
disk-1 openautoglm_role=storage

[east:children]
control
gpu

[gpu:vars]
openautoglm_role=worker
http_port = 80
";

    const YAML: &str = "\
all:
  hosts:
    bare.example.com: {ansible_host: 10.0.0.9}
  children:
    east:
      children:
        control:
          hosts:
            ctl-[1:2]:
        gpu:
          hosts:
            gpu-[01:03].east: {ansible_user: ops team}
            disk-1:
              openautoglm_role: storage
          vars:
            openautoglm_role: worker
";

    #[test]
    fn both_forms_say_the_same() {
        let expected = [
            "bare.example.com - ",
            "ctl-1 Control control,east",
            "ctl-2 Control control,east",
            "disk-1 Storage east,gpu",
            "gpu-01.east Worker east,gpu",
            "gpu-02.east Worker east,gpu",
            "gpu-03.east Worker east,gpu",
        ];
        assert_eq!(lines(INI), expected);
        assert_eq!(lines(YAML), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("[control\nh", "line 1"),
            ("[a]\nh-[3:1]\n", "line 2"),
            ("[a:friends]\n", "line 1"),
            ("[a:children]\nb\n[b:children]\na\n", "its own child"),
            ("[control]\nh\n[storage]\nh\n", "two roles"),
            ("[a]\nh openautoglm_role=king\n", "king"),
            ("[a]\nHost_ü\n", "cannot be a node"),
            ("[a]\nh-[1:99999]\n", "line 2"),
            ("all:\n  hosts: [a, b]\n", "hosts"),
            ("all:\n  host:\n    a:\n", "host"),
            ("all: [\n", "line"),
        ] {
            let error = Inventory::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn nothing_is_an_inventory_too() {
        assert!(Inventory::parse("").unwrap().is_empty());
        assert!(Inventory::parse("---\n").unwrap().is_empty());
    }
}
