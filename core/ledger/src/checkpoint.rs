//! Checkpoints in the C2SP tlog-checkpoint format: a signed statement of size and root.

use crate::{Error, Frontier, Hash, SigningKey, VerifierKey};

/// "The log `origin` had `size` entries, and their tree has `root`."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, equal to the name of the key that signs it.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a tree as it is.
    #[must_use]
    pub fn of(origin: &str, frontier: &Frontier) -> Self {
        Self { origin: origin.to_owned(), size: frontier.size(), root: frontier.root() }
    }

    /// The signed note:
    /// `origin`, `size`, base64 root, a blank line, and `— name base64(key id || signature)`.
    ///
    /// # Errors
    /// [`Error::WrongOrigin`] when the key is of another log; [`Error::Crypto`] when the library
    /// refuses.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Error> {
        self.check_origin(key.name())?;
        key.sign_note(&format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64()))
    }

    /// Reads a signed note after checking the signature of `key`. Signatures of others, such as
    /// witnesses, are ignored, and so are extension lines.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NotSigned`], [`Error::BadSignature`] or
    /// [`Error::WrongOrigin`].
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, Error> {
        let checkpoint = Self::parse_text(key.open_note(note)?)?;
        checkpoint.check_origin(key.name())?;
        Ok(checkpoint)
    }

    fn check_origin(&self, name: &str) -> Result<(), Error> {
        if self.origin == name {
            return Ok(());
        }
        Err(Error::WrongOrigin { expected: name.to_owned(), found: self.origin.clone() })
    }

    fn parse_text(text: &str) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::malformed("checkpoint", reason);
        let body = text.strip_suffix('\n').ok_or_else(|| malformed("no final newline"))?;
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size, root, ..] = lines.as_slice() else {
            return Err(malformed("fewer than three lines"));
        };
        if lines.iter().any(|line| line.is_empty()) {
            return Err(malformed("an empty line"));
        }
        let parsed: u64 = size.parse().map_err(|_| malformed("size is not a number"))?;
        if parsed.to_string() != **size {
            return Err(malformed("size is not in plain decimal"));
        }
        Ok(Self { origin: (*origin).to_owned(), size: parsed, root: Hash::from_base64(root)? })
    }
}
