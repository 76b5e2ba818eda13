//! The tenant that owns a row or a call.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::service::{NameError, check_name};

/// Who owns the data: every stored row and every call carries one. Lower-case letters, digits,
/// `-`, `_` and `.`, at most 63.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

impl Tenant {
    /// The tenant of a single-owner installation.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tenant {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        check_name("tenant", &text)?;
        Ok(Self(text))
    }
}

impl FromStr for Tenant {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
