//! Roles and policies as data: default deny, least privilege.

use oag_types::{
    Decision, GroupName, Permission, Principal, Reason, Role, RoleBinding, Scope, ServiceName,
};
use serde::{Deserialize, Serialize};

use crate::GuardError;
use crate::permissions::{self, covers, is_known, is_pattern};
use crate::selector::{check_glob, glob_matches};

/// What a role may do, and to what. A role may have several policies; they add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom it is for.
    pub role: Role,
    /// Permissions, such as `service:restart`, `*:view` or `*`.
    pub permissions: Vec<Permission>,
    /// Services by glob (`prod-db`, `staging-*`), groups by glob (`group:payments`), or `*` for
    /// everything, also what belongs to no service.
    pub resources: Vec<String>,
}

/// All policies of a tenant. What none of them allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySet {
    /// The policies; their order has no meaning.
    pub policies: Vec<Policy>,
}

/// What something is done to, as the catalogue knows it. With neither a service nor a group it is
/// the tenant as a whole, which only bindings with [`Scope::All`] reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resource {
    /// The service, when it is one.
    pub service: Option<ServiceName>,
    /// The group it belongs to.
    pub group: Option<GroupName>,
}

impl Resource {
    /// The tenant as a whole.
    #[must_use]
    pub const fn tenant() -> Self {
        Self { service: None, group: None }
    }

    /// A service in its group.
    #[must_use]
    pub const fn service(service: ServiceName, group: GroupName) -> Self {
        Self { service: Some(service), group: Some(group) }
    }

    /// A group as a whole.
    #[must_use]
    pub const fn group(group: GroupName) -> Self {
        Self { service: None, group: Some(group) }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.service, &self.group) {
            (Some(service), Some(group)) => write!(f, "{service} (group {group})"),
            (Some(service), None) => write!(f, "{service}"),
            (None, Some(group)) => write!(f, "group {group}"),
            (None, None) => f.write_str("the tenant as a whole"),
        }
    }
}

impl Default for PolicySet {
    fn default() -> Self {
        let policy = |role: &str, permissions: &[&str], resource: &str| Policy {
            role: Role::new(role),
            permissions: permissions.iter().map(|name| Permission::new(*name)).collect(),
            resources: vec![resource.to_owned()],
        };
        let operator = [
            permissions::SERVICE_VIEW,
            permissions::LOG_VIEW,
            permissions::SERVICE_START,
            permissions::SERVICE_STOP,
            permissions::PLAN_PROPOSE,
            permissions::SIGNAL_VIEW,
            permissions::FINDING_VIEW,
            permissions::PLAN_VIEW,
        ];
        Self {
            policies: vec![
                policy(Role::ADMIN, &["*"], "*"),
                policy(Role::OPERATOR, &operator, "group:*"),
                policy(Role::AUDITOR, &["*:view"], "*"),
            ],
        }
    }
}

impl PolicySet {
    /// Whether the principal may do this to that.
    ///
    /// # Errors
    /// The reason why not, with decision deny and a rule starting with `policy.`.
    pub fn allows(
        &self,
        principal: &Principal,
        permission: &Permission,
        resource: &Resource,
    ) -> Result<(), Reason> {
        let deny = |rule: &str, text: String| {
            Err(Reason { rule: rule.to_owned(), decision: Decision::Deny, text })
        };
        if principal.disabled {
            return deny("policy.disabled", format!("{} is disabled", principal.name));
        }
        let mut granted_elsewhere = false;
        for binding in &principal.roles {
            if !self.grants(binding, permission, resource) {
                continue;
            }
            if scope_holds(&binding.scope, resource) {
                return Ok(());
            }
            granted_elsewhere = true;
        }
        if granted_elsewhere {
            let text = format!(
                "{} holds {} in other groups only, not for {resource}",
                principal.name,
                permission.as_str()
            );
            return deny("policy.scope", text);
        }
        let text =
            format!("no policy gives {} {} on {resource}", principal.name, permission.as_str());
        deny("policy.default_deny", text)
    }

    /// Permissions named in policies that the product does not use: most likely a slip of the
    /// pen. Not an error, since action kinds may bring their own.
    #[must_use]
    pub fn unknown_permissions(&self) -> Vec<Permission> {
        let named = self.policies.iter().flat_map(|policy| &policy.permissions);
        named.filter(|name| !name.as_str().contains('*') && !is_known(name)).cloned().collect()
    }

    /// Checks that every policy can mean something, and that policies can still be changed.
    ///
    /// # Errors
    /// The first field that is wrong, by its path.
    pub fn validate(&self) -> Result<(), GuardError> {
        for (index, policy) in self.policies.iter().enumerate() {
            validate_policy(&format!("policies[{index}]"), policy)?;
        }
        let write = Permission::new(permissions::POLICY_WRITE);
        let changeable = self.policies.iter().any(|policy| {
            policy.permissions.iter().any(|pattern| covers(pattern, &write))
                && policy.resources.iter().any(|pattern| pattern == "*")
        });
        if changeable {
            return Ok(());
        }
        let problem = "no role keeps 'policy:write' on '*', so nobody could change policies again";
        Err(GuardError::invalid("policies", problem))
    }

    fn grants(&self, binding: &RoleBinding, permission: &Permission, resource: &Resource) -> bool {
        self.policies.iter().any(|policy| {
            policy.role == binding.role
                && policy.permissions.iter().any(|pattern| covers(pattern, permission))
                && policy.resources.iter().any(|pattern| resource_matches(pattern, resource))
        })
    }
}

fn scope_holds(scope: &Scope, resource: &Resource) -> bool {
    match scope {
        Scope::All => true,
        Scope::Groups(groups) => {
            resource.group.as_ref().is_some_and(|group| groups.contains(group))
        }
    }
}

fn resource_matches(pattern: &str, resource: &Resource) -> bool {
    if pattern == "*" {
        return true;
    }
    match (pattern.strip_prefix("group:"), &resource.group, &resource.service) {
        (Some(glob), Some(group), _) => glob_matches(glob, group.as_str()),
        (Some(_), None, _) => false,
        (None, _, Some(service)) => glob_matches(pattern, service.as_str()),
        (None, _, None) => false,
    }
}

fn validate_policy(at: &str, policy: &Policy) -> Result<(), GuardError> {
    let role = policy.role.as_str();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if role.is_empty() || role.len() > 63 || !role.bytes().all(plain) {
        let problem = "a role name has 1 to 63 of a-z, 0-9, '-' and '_'";
        return Err(GuardError::invalid(format!("{at}.role"), problem));
    }
    if policy.permissions.is_empty() {
        let problem = "name at least one permission, or leave the policy out";
        return Err(GuardError::invalid(format!("{at}.permissions"), problem));
    }
    if policy.resources.is_empty() {
        let problem = "name at least one resource; '*' stands for everything";
        return Err(GuardError::invalid(format!("{at}.resources"), problem));
    }
    for (index, permission) in policy.permissions.iter().enumerate() {
        if !is_pattern(permission.as_str()) {
            let problem = format!(
                "'{}' is no permission: write resource:verb, such as service:restart or *:view",
                permission.as_str().chars().take(64).collect::<String>()
            );
            return Err(GuardError::invalid(format!("{at}.permissions[{index}]"), problem));
        }
    }
    for (index, pattern) in policy.resources.iter().enumerate() {
        let glob = pattern.strip_prefix("group:").unwrap_or(pattern);
        check_glob(&format!("{at}.resources[{index}]"), glob)?;
    }
    Ok(())
}
