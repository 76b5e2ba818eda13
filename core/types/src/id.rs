//! Typed ids with a readable prefix (`act_0192…`) around a UUIDv7, so that they sort by time of
//! creation and cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid id: expected '{prefix}_' followed by 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// The text that was given, cut at 64 characters.
    pub text: String,
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix that marks this type in text.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID made by the id source of `core/runtime`.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_id! {
    /// One typed action of a plan.
    ActionId = "act";
    /// One approval given to a plan.
    ApprovalId = "apr";
    /// One event of the product's own change feed.
    EventId = "evt";
    /// One finding of a detector or reader.
    FindingId = "fnd";
    /// One answer of a language model, from the request to its end.
    GenerationId = "gen";
    /// One API key.
    KeyId = "key";
    /// One notification to people.
    NotificationId = "ntf";
    /// One plan.
    PlanId = "pln";
    /// One person or service account.
    PrincipalId = "usr";
    /// One story, from signal to ledger.
    StoryId = "sty";
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let wrong = || IdError { prefix, text: text.chars().take(64).collect() };
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    let rest = rest.filter(|rest| rest.len() == 32).ok_or_else(wrong)?;
    Uuid::try_parse(rest).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text() {
        let id = ActionId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "act_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse::<ActionId>(), Ok(id));
    }

    #[test]
    fn another_prefix_is_refused() {
        let text = PlanId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(text.parse::<ActionId>().is_err());
        assert!("act_zz".parse::<ActionId>().is_err());
        assert!("".parse::<ActionId>().is_err());
    }
}
