//! The nonces of the commands that were given out, kept until the commands have ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::checker::Refused;
use crate::error::{PkiError, crypto};
use crate::files;

/// The most commands that a node obeys within five minutes.
const NONCES_MAX: usize = 1024;

/// A small file of nonces, so that a restart of the node opens no way to give a command again.
#[derive(Debug)]
pub struct NonceStore {
    file: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The latest end of a command whose nonce was let go. Should the clock go back, commands
    /// that end before it are not known to be new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<Timestamp>,
    /// The ends of commands, by nonce.
    nonces: BTreeMap<String, Timestamp>,
}

impl NonceStore {
    /// Loads the nonces of a file; with none there, nothing was obeyed before.
    ///
    /// # Errors
    /// [`PkiError::Damaged`] when the file is not what was written: five minutes after the node
    /// has stopped it can be removed, because no command lives longer. [`PkiError::File`] when it
    /// cannot be read.
    pub fn open(file: &Path) -> Result<Self, PkiError> {
        let kept = match files::read(file)? {
            Some(text) => {
                serde_json::from_str(&text).map_err(|error| PkiError::damaged(file, error))?
            }
            None => Kept::default(),
        };
        Ok(Self { file: file.to_owned(), kept: Mutex::new(kept) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().nonces.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the nonce of a command, once.
    pub(super) fn remember(
        &self,
        nonce: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let mut kept = self.lock();
        let mut next = kept.clone();
        next.let_go(now);
        if next.nonces.contains_key(nonce) {
            return Err(Refused::Replayed);
        }
        if let Some(forgotten) = next.forgotten.filter(|forgotten| expires <= *forgotten) {
            return Err(Refused::Forgotten(forgotten));
        }
        if next.nonces.len() >= NONCES_MAX {
            let full = PkiError::Full { what: "nonces", limit: NONCES_MAX };
            return Err(Refused::NotKept(full));
        }
        next.nonces.insert(nonce.to_owned(), expires);
        next.write(&self.file).map_err(Refused::NotKept)?;
        *kept = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn let_go(&mut self, now: Timestamp) {
        let ended = self.nonces.values().copied().filter(|expires| *expires <= now).max();
        self.forgotten = self.forgotten.max(ended);
        self.nonces.retain(|_, expires| *expires > now);
    }

    fn write(&self, file: &Path) -> Result<(), PkiError> {
        let text = serde_json::to_vec(self).map_err(crypto("write nonces"))?;
        files::write(file, &text)
    }
}
