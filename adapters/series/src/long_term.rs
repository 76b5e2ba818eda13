//! The store as the loop's long-term memory.

use oag_ops::{LongTerm, LongTermError};
use oag_types::{Sample, SeriesKey, Tenant, Timestamp};

use crate::SeriesStore;

impl LongTerm for SeriesStore {
    fn append(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        sample: Sample,
    ) -> Result<(), LongTermError> {
        Self::append(self, tenant, key, sample).map_err(|error| LongTermError(error.to_string()))
    }

    fn range(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, LongTermError> {
        Self::range(self, tenant, key, from, to).map_err(|error| LongTermError(error.to_string()))
    }

    fn series(&self, tenant: &Tenant) -> Result<Vec<SeriesKey>, LongTermError> {
        Ok(Self::series(self, tenant))
    }
}
