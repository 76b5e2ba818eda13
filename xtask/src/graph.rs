//! The crates of the workspace and what they import.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The members of the workspace by name.
pub(crate) struct Graph(pub(crate) BTreeMap<String, Member>);

/// One crate of the workspace.
pub(crate) struct Member {
    /// Its directory below the root, `domain/pilot`.
    pub(crate) dir: String,
    /// The members it imports.
    pub(crate) imports: Vec<Import>,
}

/// One crate of the workspace in the manifest of another.
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) for_tests: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

impl Graph {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let json = cargo(root, &["metadata", "--no-deps", "--format-version", "1"])?;
        Self::parse(&json)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn parse(json: &str) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_str(json).context("cargo metadata")?;
        let mut members = BTreeMap::new();
        for package in metadata.packages {
            let dir = Path::new(&package.manifest_path)
                .parent()
                .and_then(|dir| dir.strip_prefix(&metadata.workspace_root).ok())
                .with_context(|| format!("{} lies outside the workspace", package.name))?;
            let imports = package.dependencies.into_iter().filter(|import| import.path.is_some());
            let imports = imports.map(|import| Import {
                name: import.name,
                for_tests: import.kind.as_deref() == Some("dev"),
            });
            let member =
                Member { dir: dir.to_string_lossy().into_owned(), imports: imports.collect() };
            members.insert(package.name, member);
        }
        Ok(Self(members))
    }
}

/// The names of all packages that `cargo build -p package` compiles into it. Features are those of
/// this package alone: what another one switches on is not its doing.
pub(crate) fn tree(root: &Path, package: &str) -> anyhow::Result<Vec<String>> {
    let flags = ["-e", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(root, &[&["tree", "-p", package], flags.as_slice()].concat())?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn cargo(root: &Path, words: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(words).current_dir(root).output()?;
    if !output.status.success() {
        bail!("cargo {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_members_and_their_imports_of_members() {
        let json = r#"{"workspace_root": "/w", "packages": [
            {"name": "b", "manifest_path": "/w/domain/b/Cargo.toml", "dependencies": [
                {"name": "a", "kind": null, "path": "/w/core/a"},
                {"name": "kit", "kind": "dev", "path": "/w/kit"},
                {"name": "serde", "kind": null, "path": null}]}]}"#;
        let graph = Graph::parse(json).unwrap();
        let member = &graph.0["b"];
        assert_eq!(member.dir, "domain/b");
        let imports: Vec<_> =
            member.imports.iter().map(|import| (&*import.name, import.for_tests)).collect();
        assert_eq!(imports, [("a", false), ("kit", true)]);
    }

    #[test]
    fn reads_this_workspace() {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let root = Path::new(&here).parent().unwrap();
        let graph = Graph::read(root).unwrap();
        assert_eq!(graph.0["oag-types"].dir, "core/types");
        assert!(tree(root, "oag-types").unwrap().contains(&"serde".to_owned()));
    }
}
