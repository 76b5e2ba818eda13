//! Sizes may only shrink. What was too long when the limit came is listed in `ratchet.toml` with
//! its size; it must not grow, and once it is shorter the list follows, never back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::problem::Problem;
use crate::size::{Sizes, measure};
use crate::source::File;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;
const LIST: &str = "xtask/ratchet.toml";

const HEAD: &str = "\
# What is longer than the limits, with its lines. Entries shrink and go; none comes or grows.
# `cargo xtask check --tighten` writes this file.
";

/// What is known to be too long.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    #[serde(default)]
    files: BTreeMap<String, usize>,
    #[serde(default)]
    functions: BTreeMap<String, usize>,
}

/// Checks the sizes against the limits and the list; lowers the list first when asked to.
///
/// # Errors
/// When a file is not Rust, or the list cannot be read or written.
pub(crate) fn check(root: &Path, files: &[File], tighten: bool) -> anyhow::Result<Vec<Problem>> {
    let sizes = measure(files)?;
    let path = root.join(LIST);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut known: Known = toml::from_str(&text).with_context(|| path.display().to_string())?;
    if tighten {
        lower(&mut known.files, &sizes.files, FILE_LINES_MAX);
        lower(&mut known.functions, &sizes.functions, FUNCTION_LINES_MAX);
        std::fs::write(&path, print(&known)?)?;
    }
    Ok(compare(&known, &sizes))
}

fn compare(known: &Known, sizes: &Sizes) -> Vec<Problem> {
    let mut problems = Vec::new();
    compare_one(&known.files, &sizes.files, FILE_LINES_MAX, &mut problems);
    compare_one(&known.functions, &sizes.functions, FUNCTION_LINES_MAX, &mut problems);
    problems
}

fn compare_one(
    known: &BTreeMap<String, usize>,
    sizes: &BTreeMap<String, usize>,
    max: usize,
    problems: &mut Vec<Problem>,
) {
    for (name, &lines) in sizes {
        let allowed = known.get(name).copied().unwrap_or(max);
        if lines > allowed {
            let what = format!("{lines} lines, more than {allowed}");
            problems.push(Problem::new(name, what, "part it; the list does not grow"));
        }
    }
    for (name, &listed) in known {
        let lines = sizes.get(name).copied().unwrap_or(0);
        if lines < listed || listed <= max {
            let what = format!("listed with {listed} lines, has {lines}");
            let hint = "keep the gain: `cargo xtask check --tighten`";
            problems.push(Problem::new(name, what, hint));
        }
    }
}

fn lower(known: &mut BTreeMap<String, usize>, sizes: &BTreeMap<String, usize>, max: usize) {
    known.retain(|name, listed| {
        let lines = sizes.get(name).copied().unwrap_or(0);
        *listed = lines.min(*listed);
        lines > max
    });
}

fn print(known: &Known) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    for (table, entries) in [("files", &known.files), ("functions", &known.functions)] {
        writeln!(text, "\n[{table}]")?;
        for (name, lines) in entries {
            writeln!(text, "\"{name}\" = {lines}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, usize)]) -> BTreeMap<String, usize> {
        entries.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect()
    }

    fn said(known: &[(&str, usize)], sizes: &[(&str, usize)]) -> Vec<String> {
        let known = Known { functions: map(known), ..Known::default() };
        let sizes = Sizes { functions: map(sizes), ..Sizes::default() };
        let problems = compare(&known, &sizes);
        problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn at_the_limit_is_fine_and_above_is_not() {
        assert_eq!(said(&[], &[("f", 60)]), [""; 0]);
        assert_eq!(said(&[], &[("f", 61)]), ["f: 61 lines, more than 60"]);
    }

    #[test]
    fn what_is_listed_must_not_grow() {
        assert_eq!(said(&[("f", 80)], &[("f", 80)]), [""; 0]);
        assert_eq!(said(&[("f", 80)], &[("f", 81)]), ["f: 81 lines, more than 80"]);
    }

    #[test]
    fn a_gain_is_kept() {
        assert_eq!(said(&[("f", 80)], &[("f", 70)]), ["f: listed with 80 lines, has 70"]);
        assert_eq!(said(&[("f", 80)], &[]), ["f: listed with 80 lines, has 0"]);
        assert_eq!(said(&[("f", 50)], &[("f", 50)]), ["f: listed with 50 lines, has 50"]);
    }

    #[test]
    fn tightening_lowers_and_removes_but_never_adds() {
        let mut known = map(&[("shrunk", 90), ("short", 80), ("gone", 80), ("grown", 80)]);
        let sizes = map(&[("shrunk", 70), ("short", 60), ("grown", 100), ("new", 99)]);
        lower(&mut known, &sizes, FUNCTION_LINES_MAX);
        assert_eq!(known, map(&[("shrunk", 70), ("grown", 80)]));
    }

    #[test]
    fn a_long_function_in_a_tree_of_files_is_caught_and_the_list_is_rewritten() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("xtask")).unwrap();
        let list = root.path().join(LIST);
        std::fs::write(&list, "[functions]\n\"a.rs::old\" = 99\n").unwrap();
        let text = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(59));
        let files = [File { path: "a.rs".to_owned(), text }];

        let problems = check(root.path(), &files, true).unwrap();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, "a.rs::f");
        assert_eq!(problems[0].what, "61 lines, more than 60");
        let known: Known = toml::from_str(&std::fs::read_to_string(&list).unwrap()).unwrap();
        assert_eq!(known, Known::default());
    }
}
