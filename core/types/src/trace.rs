//! The trace that a request belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A trace id of W3C Trace Context; as text 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is no trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace id is 32 hexadecimal digits")]
pub struct NoTraceId;

impl TryFrom<String> for TraceId {
    type Error = NoTraceId;

    fn try_from(text: String) -> Result<Self, NoTraceId> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        number.map(Self).ok_or(NoTraceId)
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_read_as_it_is_written() {
        let id = TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(text, "\"0af7651916cd43dd8448eb211c80319c\"");
        assert_eq!(serde_json::from_str::<TraceId>(&text).unwrap(), id);
        for odd in ["", "+af7651916cd43dd8448eb211c80319c", "0af7"] {
            assert!(TraceId::try_from(odd.to_owned()).is_err(), "{odd}");
        }
    }
}
