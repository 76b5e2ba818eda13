//! The catalogue entry of a service that is watched and acted upon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a valid {what} name: use 1 to 63 of a-z, 0-9, '-', '_' and '.', \
     starting with a letter or digit"
)]
pub struct NameError {
    /// What kind of name was wanted.
    pub what: &'static str,
    /// The text that was given, cut at 64 characters.
    pub text: String,
}

pub(crate) fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    if first && rest && text.len() <= 63 {
        return Ok(());
    }
    Err(NameError { what, text: text.chars().take(64).collect() })
}

macro_rules! name_type {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check_name($what, &text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

name_type! {
    /// The name of a service, unique within a tenant.
    ServiceName = "service";
    /// The name of a group of services; operators are assigned to groups.
    GroupName = "group";
    /// The name of a node of the fleet.
    NodeName = "node";
}

/// A service of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// The group it belongs to, for roles and limits.
    pub group: GroupName,
    /// Which executor carries its actions out, such as `local`.
    pub executor: String,
    /// What the executor needs to run it; its form is the executor's own.
    #[serde(default)]
    pub spec: serde_json::Value,
    /// Services it calls.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// How it scales.
    #[serde(default)]
    pub scaling: ScalingSpec,
    /// Parts that can be shed under pressure, with which of them are core.
    #[serde(default)]
    pub features: Vec<Feature>,
}

/// A call from one service to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The service that is called.
    pub service: ServiceName,
    /// Calls made there for each request here; measured or stated.
    #[serde(default = "one")]
    pub calls_per_request: f64,
    /// Whether it scales along when the caller grows.
    #[serde(default = "yes")]
    pub scales_along: bool,
}

/// A part of a service that can be switched off by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Requests whose path starts with this belong to it.
    pub path_prefix: String,
    /// Core features are never shed.
    #[serde(default)]
    pub core: bool,
}

/// Which rule decides on replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ScalingMode {
    /// By the forecast, falling back to the reactive rule when data is missing.
    #[default]
    Predictive,
    /// By present utilisation, as a horizontal pod autoscaler does.
    Reactive,
    /// Not at all.
    Off,
}

/// How a service scales. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScalingSpec {
    /// Which rule decides.
    pub mode: ScalingMode,
    /// Fewest replicas.
    pub min_replicas: u32,
    /// Most replicas.
    pub max_replicas: u32,
    /// Length of one step of its series and of the decision.
    pub step_ms: i64,
    /// Share of capacity above which a forecast is an overload, 0 to 1.
    pub threshold: f64,
    /// Requests per second that one replica carries; measured when absent.
    pub capacity_per_replica: Option<f64>,
    /// Steps in one season of its load (a day of 30 s steps: 2880), when known.
    pub season_steps: Option<usize>,
    /// Fewest steps between two scale-downs.
    pub down_every_steps: u32,
    /// Most replicas removed at once.
    pub down_max: u32,
    /// Share of capacity the reactive rule aims at, 0 to 1.
    pub reactive_target: f64,
}

impl Default for ScalingSpec {
    fn default() -> Self {
        Self {
            mode: ScalingMode::Predictive,
            min_replicas: 1,
            max_replicas: 10,
            step_ms: 30_000,
            threshold: 0.85,
            capacity_per_replica: None,
            season_steps: None,
            down_every_steps: 10,
            down_max: 1,
            reactive_target: 0.7,
        }
    }
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("order-service".parse::<ServiceName>().is_ok());
        for bad in ["", "Order", "-x", "a b", "订单", &"x".repeat(64)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
    }
}
