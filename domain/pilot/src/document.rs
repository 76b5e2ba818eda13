//! What the pilot keeps as JSON.
//!
//! Reading and writing a document takes much code, and the body of an async function is compiled
//! by whoever awaits it. Each document therefore has functions of its own to be read and written,
//! which are compiled once, here.

use oag_guard::{ApiKey, Book, LadderChange};
use oag_types::{Finding, Principal, Service};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::happenings::Written;
use crate::record::{Notification, PlanRecord, Story};
use crate::{InHand, NodeRecord, NodeToken, Trial};

/// Something that is kept.
pub(crate) trait Document: Serialize + DeserializeOwned {
    /// From the JSON it was written as.
    fn read(json: &str) -> serde_json::Result<Self>;

    /// As JSON.
    fn write(&self) -> serde_json::Result<String>;
}

macro_rules! documents {
    ($($kind:ty),+ $(,)?) => {$(
        impl Document for $kind {
            #[inline(never)]
            fn read(json: &str) -> serde_json::Result<Self> {
                serde_json::from_str(json)
            }

            #[inline(never)]
            fn write(&self) -> serde_json::Result<String> {
                serde_json::to_string(self)
            }
        }
    )+};
}

documents! {
    ApiKey, Book, Finding, InHand, LadderChange, NodeRecord, NodeToken, Notification, PlanRecord, Principal, Service, Story,
    Trial, Written,
}
