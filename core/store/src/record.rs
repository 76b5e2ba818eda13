//! Records: documents by collection and id, each with a revision that grows with every change of
//! the tenant's data.

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A number that grows with every committed change of a tenant; 0 is before the first.
pub type Revision = u64;

/// The name of a collection of records, such as `plan`. Known at compile time, so that no
/// caller's text becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Collection(pub &'static str);

/// A stored document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its id within the collection.
    pub id: String,
    /// The document, JSON text as it was given.
    pub body: String,
    /// The revision of its last change.
    pub revision: Revision,
    /// A text to filter by, chosen by the writer (a state, a service); may be empty.
    pub tag: String,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// Where a page ends, to ask for the next one. Opaque to callers of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// Which records, in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only records with this tag.
    pub tag: Option<String>,
    /// Only records whose id comes after this one (before it, when newest first).
    pub after: Option<String>,
    /// Newest (greatest id) first.
    pub descending: bool,
    /// At most this many; stores cap it at 1,000.
    pub limit: usize,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The id to pass as `after` for the next page; absent on the last one.
    pub next: Option<String>,
    /// The tenant's revision at which this page was read.
    pub revision: Revision,
}

/// A line of the change feed: what changed at which revision. The body is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The revision.
    pub revision: Revision,
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When.
    pub at: Timestamp,
}
