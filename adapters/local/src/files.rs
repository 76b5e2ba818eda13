//! Files that are either wholly the old or wholly the new version, whatever happens.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LocalError;

pub(crate) fn failed(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> LocalError + use<> {
    let path = path.to_owned();
    move |source| LocalError::File { what, path, source }
}

/// Whether a file must survive a power cut, or only a crash of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    PowerCut,
    Crash,
}

/// Writes, syncs and renames. The folder is synced too, so that the name survives a power cut.
pub(crate) fn write_json<T: Serialize>(
    path: &Path,
    value: &T,
    lasting: Lasting,
) -> Result<(), LocalError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|source| LocalError::Damaged { path: path.to_owned(), source })?;
    let temporary = path.with_extension("json.new");
    let mut file = private(&temporary, false).map_err(failed("create", &temporary))?;
    file.write_all(&text).map_err(failed("write", &temporary))?;
    if lasting == Lasting::PowerCut {
        file.sync_all().map_err(failed("sync", &temporary))?;
    }
    fs::rename(&temporary, path).map_err(failed("replace", path))?;
    if lasting == Lasting::Crash {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

/// Reads what `write_json` wrote; nothing when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LocalError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| LocalError::Damaged { path: path.to_owned(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Opens a file that only its owner can read: output and configuration can hold secrets.
pub(crate) fn private(path: &Path, append: bool) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).mode(0o600);
    if append {
        options.append(true)
    } else {
        options.write(true).truncate(true)
    };
    options.open(path)
}

pub(crate) fn create_folder(path: &Path) -> Result<(), LocalError> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Removes a file; that it is gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<(), LocalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Paths of a folder that end in `.json`, sorted; none when there is no folder.
pub(crate) fn json_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths
}
