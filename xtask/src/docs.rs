//! Every error code has its page, and links between documents lead somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::problem::Problem;
use crate::source::File;

const CODES: &str = "core/types/src/error.rs";
const PAGES: &str = "docs/errors/";

/// Checks error pages and links.
pub(crate) fn check(root: &Path, files: &[File]) -> Vec<Problem> {
    let mut problems = check_errors(files);
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        problems.extend(check_links(root, file, files));
    }
    problems
}

fn check_errors(files: &[File]) -> Vec<Problem> {
    let codes: BTreeSet<String> =
        text(files, CODES).lines().filter_map(code).map(|code| format!("OAG-{code}")).collect();
    if codes.is_empty() {
        let hint = "the check reads lines like `NAME = 1001, Kind, \"Title\";`";
        return vec![Problem::new(CODES, "no error codes found", hint)];
    }
    let mut problems = Vec::new();
    for code in &codes {
        let path = format!("{PAGES}{code}.md");
        let Some(page) = files.iter().find(|file| file.path == path) else {
            problems.push(Problem::new(path, "missing", "write what causes it and what mends it"));
            continue;
        };
        if !page.text.starts_with(&format!("# {code}")) {
            problems.push(Problem::new(path, format!("does not open with `# {code}`"), "name it"));
        }
    }
    let pages = files.iter().filter_map(|file| file.path.strip_prefix(PAGES)?.strip_suffix(".md"));
    for page in pages.filter(|page| page.starts_with("OAG-") && !codes.contains(*page)) {
        let hint = "remove the page, or keep the code";
        problems.push(Problem::new(format!("{PAGES}{page}.md"), "no such error code", hint));
    }
    problems
}

/// The four digits of `NAME = 1001, Kind, "Title";`.
fn code(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once(" = ")?;
    let (digits, _) = rest.split_once(',')?;
    let named = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (named && digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

fn check_links(root: &Path, file: &File, files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, target) in links(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let path = if path.is_empty() { file.path.clone() } else { beside(&file.path, path) };
        let place = format!("{}:{number}", file.path);
        if !root.join(&path).exists() {
            let hint = "write the file, or mend the link";
            problems.push(Problem::new(place, format!("links to {path}, which is missing"), hint));
        } else if !anchor.is_empty() && !headings(text(files, &path)).contains(anchor) {
            let what = format!("links to #{anchor}, which is no heading of {path}");
            problems.push(Problem::new(place, what, "mend the link"));
        }
    }
    problems
}

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
}

/// The path of a link in the file `from`, below the root.
fn beside(from: &str, link: &str) -> String {
    let dir = Path::new(from).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in dir.join(link).components() {
        match part {
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

/// The targets of `[text](target)` with their lines, code left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, tail) = after.split_once(')').unwrap_or((after, ""));
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((number, target.trim_matches(['<', '>']).to_owned()));
            rest = tail;
        }
    }
    found
}

/// The anchors of the headings, as the usual viewers make them.
fn headings(text: &str) -> BTreeSet<String> {
    let lines = prose(text).filter(|(_, line)| line.starts_with('#'));
    let anchor = |(_, line): (usize, &str)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    lines.map(anchor).collect()
}

/// The lines outside fenced code, numbered from one.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((number, line))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CODES: &str =
        "codes! {\n    A_B = 1001, Invalid, \"x\";\n    C = 1002, Denied, \"y\";\n}";

    /// Writes the files into a directory and says what is wrong with them.
    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let problems = check(root.path(), &crate::source::read(root.path()).unwrap());
        problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let problems = said(&[
            (CODES, TWO_CODES),
            ("docs/errors/OAG-1001.md", "# OAG-1001: x"),
            ("docs/errors/OAG-1003.md", "# OAG-1003: z"),
            ("docs/errors/README.md", "# Errors"),
        ]);
        assert_eq!(
            problems,
            ["docs/errors/OAG-1002.md: missing", "docs/errors/OAG-1003.md: no such error code"]
        );
    }

    #[test]
    fn a_page_names_its_code() {
        let one = "A = 1001, Invalid, \"x\";";
        let problems = said(&[(CODES, one), ("docs/errors/OAG-1001.md", "# OAG-1002")]);
        assert_eq!(problems, ["docs/errors/OAG-1001.md: does not open with `# OAG-1001`"]);
    }

    #[test]
    fn no_codes_at_all_means_the_check_reads_wrongly() {
        assert_eq!(said(&[(CODES, "enum Code {}")]), [format!("{CODES}: no error codes found")]);
    }

    #[test]
    fn links_lead_somewhere() {
        let problems = said(&[
            (CODES, "A = 1001, Invalid, \"x\";"),
            ("docs/errors/OAG-1001.md", "# OAG-1001\n[up](../guide.md) [no](../gone.md)"),
            (
                "docs/guide.md",
                "# How `it` works\n[here](#how-it-works)\n[no](#nowhere)\n`[x](y.md)`\n```\n[x](y.md)\n```\n[far](https://example.org/x.md)",
            ),
            ("README.md", "[guide](docs/guide.md#how-it-works), [dir](docs/errors/)"),
        ]);
        assert_eq!(
            problems,
            [
                "docs/errors/OAG-1001.md:2: links to docs/gone.md, which is missing",
                "docs/guide.md:3: links to #nowhere, which is no heading of docs/guide.md",
            ]
        );
    }
}
