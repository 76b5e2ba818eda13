//! How long files, functions and crates are, tests left out.

use std::collections::BTreeMap;

use anyhow::Context as _;
use syn::visit::{self, Visit};

use crate::graph::Graph;
use crate::problem::Problem;
use crate::source::File;

const CRATE_LINES_MAX: usize = 15_000;

/// Lines by name: a file by its path, a function by `path::Type::name`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) files: BTreeMap<String, usize>,
    pub(crate) functions: BTreeMap<String, usize>,
}

/// Measures every Rust file that is no test.
///
/// # Errors
/// When a file is not Rust.
pub(crate) fn measure(files: &[File]) -> anyhow::Result<Sizes> {
    let mut sizes = Sizes::default();
    let mut tests = Vec::new();
    let code = files.iter().filter(|file| file.is_rust() && !in_tests(&file.path));
    for file in code {
        let parsed = syn::parse_file(&file.text).with_context(|| file.path.clone())?;
        let mut measure = Measure::new(&file.path);
        measure.visit_file(&parsed);
        let lines = file.text.lines().count() - measure.test_lines;
        sizes.files.insert(file.path.clone(), lines);
        for (name, lines) in measure.functions {
            let longest = sizes.functions.entry(name).or_default();
            *longest = lines.max(*longest);
        }
        tests.extend(measure.test_modules);
    }
    let production = |path: &str| !tests.iter().any(|test| path.starts_with(test.as_str()));
    sizes.files.retain(|path, _| production(path));
    sizes.functions.retain(|path, _| production(path));
    Ok(sizes)
}

/// Checks that no crate has grown too large to be read.
pub(crate) fn check_crates(graph: &Graph, files: &[File]) -> Vec<Problem> {
    let lines = |dir: &str| -> usize {
        let src = format!("{dir}/src/");
        let own = files.iter().filter(|file| file.is_rust() && file.path.starts_with(&src));
        own.map(|file| file.text.lines().count()).sum()
    };
    let sizes = graph.0.iter().map(|(name, member)| (name, lines(&member.dir)));
    let large = sizes.filter(|(_, lines)| *lines > CRATE_LINES_MAX);
    let problem = |(name, lines): (&String, usize)| {
        let what = format!("{lines} lines, more than {CRATE_LINES_MAX}");
        Problem::new(name, what, "part it where it needs the least of itself")
    };
    large.map(problem).collect()
}

fn in_tests(path: &str) -> bool {
    path.split('/').any(|part| part == "tests")
}

/// Walks one file.
struct Measure {
    /// The file, then the modules and types around the present place.
    scope: Vec<String>,
    functions: Vec<(String, usize)>,
    test_lines: usize,
    /// The beginnings of the paths of modules that are for tests and lie in files of their own.
    test_modules: Vec<String>,
}

impl Measure {
    fn new(path: &str) -> Self {
        Self {
            scope: vec![path.to_owned()],
            functions: Vec::new(),
            test_lines: 0,
            test_modules: Vec::new(),
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        let name = format!("{}::{}", self.scope.join("::"), signature.ident);
        self.functions.push((name, last + 1 - first));
    }

    fn within(&mut self, name: String, walk: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        walk(self);
        self.scope.pop();
    }

    fn leave_out(&mut self, attributes: &[syn::Attribute], last: proc_macro2::Span) {
        let first = attributes.first().map(|attribute| attribute.pound_token.span.start().line);
        self.test_lines += last.end().line + 1 - first.unwrap_or(last.end().line);
    }

    /// `src/a.rs` keeps the files of its modules in `src/a/`, `lib.rs` in its own directory.
    fn module_path(&self, module: &str) -> String {
        let file = self.scope.first().map_or("", String::as_str);
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let (dir, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        match name {
            "lib" | "main" | "mod" => format!("{dir}/{module}"),
            _ => format!("{stem}/{module}"),
        }
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !for_tests(&module.attrs) {
            return self.within(module.ident.to_string(), |me| visit::visit_item_mod(me, module));
        }
        match &module.content {
            Some((braces, _)) => self.leave_out(&module.attrs, braces.span.close()),
            None => {
                let path = self.module_path(&module.ident.to_string());
                self.test_modules.extend([format!("{path}.rs"), format!("{path}/")]);
                self.leave_out(&module.attrs, module.mod_token.span);
            }
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if for_tests(&block.attrs) {
            return self.leave_out(&block.attrs, block.brace_token.span.close());
        }
        let name = type_name(&block.self_ty);
        self.within(name, |me| visit::visit_item_impl(me, block));
    }

    fn visit_item_trait(&mut self, block: &'ast syn::ItemTrait) {
        self.within(block.ident.to_string(), |me| visit::visit_item_trait(me, block));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if for_tests(&item.attrs) {
            return self.leave_out(&item.attrs, item.block.brace_token.span.close());
        }
        self.function(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |me| visit::visit_item_fn(me, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if for_tests(&item.attrs) {
            return self.leave_out(&item.attrs, item.block.brace_token.span.close());
        }
        self.function(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |me| visit::visit_impl_item_fn(me, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        self.within(item.sig.ident.to_string(), |me| visit::visit_trait_item_fn(me, item));
    }
}

/// Whether an item is compiled for tests alone.
fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition: String = list.tokens.to_string().split_whitespace().collect();
            condition == "test" || condition.starts_with("all(test,")
        }
        // `#[test]`, `#[tokio::test]`
        meta => meta.path().segments.last().is_some_and(|last| last.ident == "test"),
    })
}

fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => {
            path.path.segments.last().map_or_else(|| "_".to_owned(), |last| last.ident.to_string())
        }
        syn::Type::Reference(reference) => type_name(&reference.elem),
        _ => "_".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Member;

    fn measured(files: &[(&str, &str)]) -> Sizes {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        measure(&files.iter().map(file).collect::<Vec<_>>()).unwrap()
    }

    fn functions(text: &str) -> Vec<(String, usize)> {
        measured(&[("a.rs", text)]).functions.into_iter().collect()
    }

    #[test]
    fn a_function_counts_from_its_signature_to_its_brace() {
        let text =
            "/// Doc.\n#[inline]\npub fn f(\n    a: u8,\n) -> u8 {\n    let s = \"}\";\n    a\n}\n";
        assert_eq!(functions(text), [("a.rs::f".to_owned(), 6)]);
    }

    #[test]
    fn functions_are_named_by_what_is_around_them() {
        let text = "mod m { impl<T> S<T> { fn f() {\n} }\n trait R { fn g() {} fn h(); } }";
        let names: Vec<String> = functions(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.rs::m::R::g", "a.rs::m::S::f"]);
    }

    #[test]
    fn of_two_functions_of_one_name_the_longer_counts() {
        let text = "impl From<A> for S { fn from() {} }\nimpl From<B> for S { fn from() {\n} }";
        assert_eq!(functions(text), [("a.rs::S::from".to_owned(), 2)]);
    }

    #[test]
    fn tests_do_not_count() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {\n    }\n}\n";
        let sizes = measured(&[("a.rs", text), ("x/tests/it/main.rs", "fn long() {}")]);
        assert_eq!(sizes.files, BTreeMap::from([("a.rs".to_owned(), 2)]));
        assert_eq!(sizes.functions, BTreeMap::from([("a.rs::f".to_owned(), 1)]));
    }

    #[test]
    fn tests_in_files_of_their_own_do_not_count() {
        let sizes = measured(&[
            ("src/a.rs", "#[cfg(test)]\nmod checks;\nfn f() {}"),
            ("src/a/checks.rs", "fn g() {}"),
            ("src/lib.rs", "#[cfg(test)] mod common;"),
            ("src/common/data.rs", "fn h() {}"),
        ]);
        let files: Vec<_> = sizes.files.iter().map(|(path, lines)| (&**path, *lines)).collect();
        assert_eq!(files, [("src/a.rs", 1), ("src/lib.rs", 0)]);
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        let file = File { path: "a.rs".to_owned(), text: "fn (".to_owned() };
        assert!(measure(&[file]).is_err());
    }

    #[test]
    fn a_large_crate_is_caught() {
        let member = Member { dir: "core/a".to_owned(), imports: Vec::new() };
        let graph = Graph(BTreeMap::from([("a".to_owned(), member)]));
        let file =
            |lines| File { path: "core/a/src/lib.rs".to_owned(), text: "//\n".repeat(lines) };
        assert_eq!(check_crates(&graph, &[file(CRATE_LINES_MAX)]), []);
        assert_eq!(check_crates(&graph, &[file(CRATE_LINES_MAX + 1)]).len(), 1);
    }
}
