//! Words that must not be committed, and the words a crate opens with.

use crate::problem::Problem;
use crate::source::File;

/// In pieces, so that this file does not hold them.
const MARKS: [(&str, &str, &str); 2] = [
    ("TO", "DO", "do it, or write down the limit in the documents"),
    ("FIX", "ME", "fix it, or assert today's result and say why"),
];

const IN_RUST: [(&str, &str, &str); 4] = [
    ("#[all", "ow(", "use #[expect(…, reason = \"…\")], which goes away by itself"),
    ("#![all", "ow(", "use #![expect(…, reason = \"…\")], which goes away by itself"),
    ("tod", "o!(", "write it"),
    ("#[igno", "re", "a test that does not run proves nothing: mend or remove it"),
];

/// Checks every file for words, and every `lib.rs` for its opening.
pub(crate) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        // Prose may speak about the marks.
        if !file.path.ends_with(".md") {
            for (head, tail, hint) in MARKS {
                find(file, &[head, tail].concat(), true, hint, &mut problems);
            }
        }
        if file.is_rust() {
            for (head, tail, hint) in IN_RUST {
                find(file, &[head, tail].concat(), false, hint, &mut problems);
            }
        }
        if file.path.ends_with("src/lib.rs") && !file.text.starts_with("//!") {
            let hint = "open with what the crate owns and refuses";
            problems.push(Problem::new(format!("{}:1", file.path), "does not open with //!", hint));
        }
    }
    problems
}

fn find(file: &File, word: &str, whole: bool, hint: &'static str, problems: &mut Vec<Problem>) {
    for (number, line) in file.text.lines().enumerate() {
        let mut places = line.match_indices(word);
        if places.any(|(at, _)| !whole || alone(line, at, word.len())) {
            let place = format!("{}:{}", file.path, number + 1);
            problems.push(Problem::new(place, format!("holds {word}"), hint));
        }
    }
}

/// Whether the word stands between other characters than letters, digits and underscores.
fn alone(line: &str, at: usize, length: usize) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let before = line.get(..at).and_then(|text| text.chars().next_back());
    let after = line.get(at + length..).and_then(|text| text.chars().next());
    !before.is_some_and(part) && !after.is_some_and(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        let problems = check(&[File { path: path.to_owned(), text: text.to_owned() }]);
        problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn marks_are_caught_in_code_as_whole_words() {
        let mark = ["TO", "DO"].concat();
        assert_eq!(said("a.sh", &format!("x\n# {mark}: y\n")), [format!("a.sh:2: holds {mark}")]);
        assert_eq!(said("a.rs", &format!("const {mark}S: u8 = 1;")), [""; 0]);
        assert_eq!(said("a.md", &mark), [""; 0]);
    }

    #[test]
    fn silenced_lints_and_tests_are_caught() {
        let silenced = ["#[all", "ow(dead_code)]"].concat();
        assert_eq!(said("a.rs", &silenced).len(), 1);
        let ignored = ["#[igno", "re]"].concat();
        assert_eq!(said("a.rs", &ignored).len(), 1);
        assert_eq!(said("a.rs", "#[expect(dead_code, reason = \"…\")]"), [""; 0]);
    }

    #[test]
    fn a_crate_says_what_it_is() {
        assert_eq!(said("x/src/lib.rs", "mod a;"), ["x/src/lib.rs:1: does not open with //!"]);
        assert_eq!(said("x/src/lib.rs", "//! Owns a.\nmod a;"), [""; 0]);
    }
}
