//! The bytes of one entry: a JSON object with a fixed field order, compared byte for byte.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Hash};

/// The version written into every entry.
const VERSION: u32 = 1;
/// The longest tenant or subject, in bytes.
const NAME_LEN_MAX: usize = 256;
/// The longest kind, in bytes.
const KIND_LEN_MAX: usize = 64;

/// What an entry records: an action's intent, its outcome, or another word of the caller's.
///
/// A kind is 1 to 64 characters of `a-z`, `0-9`, `_`, `.` and `-`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKind(Cow<'static, str>);

impl EntryKind {
    /// Written before acting.
    pub const INTENT: Self = Self(Cow::Borrowed("intent"));
    /// Written after acting, whatever came of it.
    pub const OUTCOME: Self = Self(Cow::Borrowed("outcome"));

    /// A kind of the caller's own.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it breaks the rule above.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if !begins || text.len() > KIND_LEN_MAX || !text.bytes().all(allowed) {
            return Err(Error::malformed("entry", "kind"));
        }
        Ok(Self(Cow::Owned(text)))
    }

    /// The word as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An entry before its payload is committed to; see [`new_row`](crate::new_row).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryParts {
    /// When, as `YYYY-MM-DDTHH:MM:SS.mmmZ`: RFC 3339 in UTC with milliseconds, no other form.
    pub at: String,
    /// Whose: 1 to 256 bytes without control characters.
    pub tenant: String,
    /// What is recorded.
    pub kind: EntryKind,
    /// About what, for instance an action id: 1 to 256 bytes without control characters.
    pub subject: String,
}

impl EntryParts {
    /// The entry that commits to `payload_digest`.
    #[must_use]
    pub fn commit(self, payload_digest: Hash) -> Entry {
        let Self { at, tenant, kind, subject } = self;
        Entry { at, tenant, kind, subject, payload_digest }
    }
}

/// One entry of the log. Its bytes are what a leaf hashes; they never change.
///
/// ```json
/// {"v":1,"at":"2026-01-31T09:00:00.000Z","tenant":"t","kind":"intent","subject":"act_1","payload":"<64 hex>"}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When; see [`EntryParts::at`].
    pub at: String,
    /// Whose; see [`EntryParts::tenant`].
    pub tenant: String,
    /// What is recorded.
    pub kind: EntryKind,
    /// About what; see [`EntryParts::subject`].
    pub subject: String,
    /// `SHA-256(salt || payload)`; see [`payload_digest`](crate::payload_digest).
    pub payload_digest: Hash,
}

/// The JSON shape; the order of the fields is the order on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    v: u32,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

impl Entry {
    /// The exact bytes the log keeps and hashes.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a field breaks its rule.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        check_at(&self.at)?;
        check_name(&self.tenant, "tenant")?;
        check_name(&self.subject, "subject")?;
        let payload = self.payload_digest.to_string();
        encode(&Wire {
            v: VERSION,
            at: Cow::Borrowed(&self.at),
            tenant: Cow::Borrowed(&self.tenant),
            kind: Cow::Borrowed(self.kind.as_str()),
            subject: Cow::Borrowed(&self.subject),
            payload: Cow::Borrowed(&payload),
        })
    }

    /// Reads an entry, refusing every byte string that [`Entry::to_bytes`] would not have written:
    /// other spacing, another field order, needless escapes, unknown fields, another version.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the rule broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let wire: Wire<'_> = serde_json::from_slice(bytes)
            .map_err(|error| Error::malformed("entry", error.to_string()))?;
        if wire.v != VERSION {
            return Err(Error::malformed("entry", format!("version {}", wire.v)));
        }
        let entry = Self {
            at: wire.at.into_owned(),
            tenant: wire.tenant.into_owned(),
            kind: EntryKind::new(wire.kind)?,
            subject: wire.subject.into_owned(),
            payload_digest: Hash::from_hex(&wire.payload)?,
        };
        if entry.to_bytes()? != bytes {
            return Err(Error::malformed("entry", "not the exact encoding"));
        }
        Ok(entry)
    }
}

fn encode(wire: &Wire<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, wire)
        .map_err(|error| Error::malformed("entry", error.to_string()))?;
    Ok(bytes)
}

fn check_name(text: &str, field: &'static str) -> Result<(), Error> {
    if text.is_empty() || text.len() > NAME_LEN_MAX || text.chars().any(char::is_control) {
        return Err(Error::malformed("entry", field));
    }
    Ok(())
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ` with every part in its range.
fn check_at(text: &str) -> Result<(), Error> {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let bytes = text.as_bytes();
    let fits = bytes.len() == SHAPE.len()
        && bytes.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        });
    if !fits || !in_range(bytes) {
        return Err(Error::malformed("entry", "at is not YYYY-MM-DDTHH:MM:SS.mmmZ"));
    }
    Ok(())
}

fn in_range(bytes: &[u8]) -> bool {
    let number = |from: usize, until: usize| {
        bytes[from..until].iter().fold(0_u32, |sum, byte| sum * 10 + u32::from(byte - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        Entry {
            at: "2026-01-31T09:00:00.123Z".into(),
            tenant: "shop \"1\"".into(),
            kind: EntryKind::INTENT,
            subject: "act_1".into(),
            payload_digest: crate::EMPTY_ROOT,
        }
    }

    #[test]
    fn the_bytes_are_these_and_round_trip() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            concat!(
                r#"{"v":1,"at":"2026-01-31T09:00:00.123Z","tenant":"shop \"1\"","kind":"intent","#,
                r#""subject":"act_1","payload":"#,
                r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#
            )
        );
        assert_eq!(Entry::parse(&bytes).unwrap(), sample());
    }

    #[test]
    fn another_encoding_of_the_same_object_is_refused() {
        let text = String::from_utf8(sample().to_bytes().unwrap()).unwrap();
        for other in [
            text.replace(":1,", ": 1,"),
            text.replace("act_1", "act\\u005f1"),
            text.replace("\"v\":1", "\"v\":2"),
            text.replace("{\"v\":1,", "{\"x\":0,\"v\":1,"),
            text.replace("{\"v\":1,", "{\"v\":1,\"v\":1,"),
            text.replace("e3b0", "E3B0"),
            format!("{text} "),
            format!("{text}{text}"),
        ] {
            assert!(Entry::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn fields_keep_their_rules() {
        for at in [
            "2026-01-31T09:00:00Z",
            "2026-02-29T09:00:00.000Z",
            "2026-13-01T09:00:00.000Z",
            "2026-00-01T09:00:00.000Z",
            "2026-01-00T09:00:00.000Z",
            "2026-01-31T24:00:00.000Z",
            "2026-01-31T09:00:00.000+",
            "2026-01-31t09:00:00.000Z",
        ] {
            assert!(Entry { at: at.into(), ..sample() }.to_bytes().is_err(), "{at}");
        }
        Entry { at: "2024-02-29T23:59:59.999Z".into(), ..sample() }.to_bytes().unwrap();
        Entry { tenant: String::new(), ..sample() }.to_bytes().unwrap_err();
        Entry { subject: "a\nb".into(), ..sample() }.to_bytes().unwrap_err();
        Entry { subject: "a".repeat(257), ..sample() }.to_bytes().unwrap_err();
        EntryKind::new("Intent").unwrap_err();
        EntryKind::new("").unwrap_err();
        EntryKind::new("1a").unwrap_err();
        assert_eq!(EntryKind::new("intent").unwrap(), EntryKind::INTENT);
    }
}
