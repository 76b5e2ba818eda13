//! The files of the repository, as far as a rule speaks about them.

use std::path::Path;

use anyhow::Context as _;

/// Directories that hold what is built or fetched.
const SKIPPED: [&str; 6] = ["target", "node_modules", "dist", "__pycache__", "venv", "build"];

const KINDS: [&str; 14] = [
    "rs", "toml", "sh", "py", "sql", "js", "mjs", "ts", "css", "html", "md", "yml", "yaml",
    "service",
];

const NAMES: [&str; 2] = ["Makefile", "run"];

/// One text file.
pub(crate) struct File {
    /// Below the root, `core/types/src/lib.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Reads every text file below the root, in order of their paths.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".ci";
        if kind.is_dir() && !hidden && !SKIPPED.contains(&name.as_str()) {
            walk(root, &path, files)?;
        } else if kind.is_file() && wanted(&path, &name) {
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}

fn wanted(path: &Path, name: &str) -> bool {
    let kind = path.extension().and_then(|kind| kind.to_str());
    NAMES.contains(&name) || kind.is_some_and(|kind| KINDS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_skips_what_is_built() {
        let root = tempfile::tempdir().unwrap();
        for path in
            ["core/a/src/lib.rs", "target/x.rs", ".git/y.rs", ".ci/run", "README.md", "a.png"]
        {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        let files = read(root.path()).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".ci/run", "README.md", "core/a/src/lib.rs"]);
    }
}
