//! Imports point down. `CONTRIBUTING.md` draws the floors; this is their only list in code.

use std::collections::BTreeMap;

use crate::graph::{Graph, Import};
use crate::problem::Problem;

/// Directories from the ground up. What lies in none of them is outside the house.
const FLOORS: [&[&str]; 6] =
    [&["core"], &["brain"], &["domain"], &["adapters"], &["surface"], &["edge", "openautoglm"]];

/// What may import its neighbour on the same floor, and why.
const DRAWN: [(&str, &str, &str); 10] = [
    ("oag-ledger", "oag-types", "entries carry typed ids"),
    ("oag-store-port", "oag-types", "rows are made of the product's words"),
    ("oag-runtime", "oag-types", "the sources of time and ids hand out typed ones"),
    ("oag-store-port", "oag-ledger", "ledger rows are appended with the change they record"),
    ("oag-pilot", "oag-guard", "a plan passes the guard"),
    ("oag-ops", "oag-pilot", "a decision becomes a plan"),
    ("oag-cluster", "oag-serve", "the fleet is an engine, and its workers run engines"),
    ("oag-ops", "oag-guard", "autonomy and freezes bound what is proposed"),
    ("oag-ops", "oag-serve", "it answers questions from its own records, as an engine"),
    ("openautoglm", "oag-edge", "`edge` is one of its commands, and workers join as edge nodes do"),
];

/// What brain and domain crates must build without, directly or through others.
const HEAVY: [&str; 10] = [
    "axum",
    "hyper",
    "kube",
    "libsqlite3-sys",
    "llama-cpp-2",
    "reqwest",
    "rusqlite",
    "tokio-postgres",
    "tonic",
    "tract-core",
];

/// What the brain must build without on top: it is pure.
const IMPURE: [&str; 1] = ["tokio"];

const TESTKIT: &str = "oag-testkit";
const DEPTH_MAX: usize = 6;

const MOVE: &str = "declare a port (trait) below and implement it above, or move the code";
const DRAW: &str = "if it must be, draw the edge in xtask/src/floors.rs, with the reason";

/// Checks the direction of every import and the longest chain of them.
pub(crate) fn check(graph: &Graph) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, member) in &graph.0 {
        let Some(floor) = floor(&member.dir) else { continue };
        for import in &member.imports {
            problems.extend(check_import(graph, name, floor, import));
        }
    }
    // A chain has an end only where imports point down.
    if problems.is_empty() {
        problems.extend(check_depth(graph));
    }
    problems
}

/// Checks what brain and domain crates compile; `tree` names the packages under one of them.
pub(crate) fn check_heavy(
    graph: &Graph,
    tree: impl Fn(&str) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, member) in &graph.0 {
        let forbidden: Vec<&str> = match floor_name(&member.dir) {
            "brain" => HEAVY.iter().chain(&IMPURE).copied().collect(),
            "domain" => HEAVY.to_vec(),
            _ => continue,
        };
        let packages = tree(name)?;
        for heavy in forbidden {
            if packages.iter().any(|package| package == heavy) {
                let hint = "see `cargo tree -p CRATE -e normal -i PACKAGE`; put it behind a port";
                problems.push(Problem::new(name, format!("compiles {heavy}"), hint));
            }
        }
    }
    Ok(problems)
}

fn check_import(graph: &Graph, name: &str, floor: usize, import: &Import) -> Option<Problem> {
    let target = graph.0.get(&import.name)?;
    let what = format!("imports {}", import.name);
    let Some(below) = self::floor(&target.dir) else {
        if import.name == TESTKIT && import.for_tests {
            return None;
        }
        let hint = "what lies outside the house serves it; only tests use the testkit";
        return Some(Problem::new(name, what, hint));
    };
    // What a test imports is in no product: it may use the real store below the domain.
    if import.for_tests || drawn(name, &import.name) {
        return None;
    }
    if below > floor {
        return Some(Problem::new(name, format!("{what}, a floor above"), MOVE));
    }
    if below == floor {
        return Some(Problem::new(name, format!("{what}, its neighbour"), DRAW));
    }
    let joins = floor_name(&target.dir) == "adapters" && floor + 1 < FLOORS.len();
    if joins {
        let hint = "only programs join adapters to ports";
        return Some(Problem::new(name, format!("{what}, an adapter"), hint));
    }
    None
}

fn check_depth(graph: &Graph) -> Option<Problem> {
    let mut known = BTreeMap::new();
    let chains = graph.0.keys().map(|name| chain(graph, name, &mut known));
    let longest = chains.max_by_key(Vec::len)?;
    if longest.len() <= DEPTH_MAX {
        return None;
    }
    let what = format!("{} crates deep, more than {DEPTH_MAX}", longest.len());
    Some(Problem::new(longest.join(" -> "), what, "let one of them go without its import"))
}

/// The longest chain of imports from here down.
fn chain(graph: &Graph, name: &str, known: &mut BTreeMap<String, Vec<String>>) -> Vec<String> {
    if let Some(chain) = known.get(name) {
        return chain.clone();
    }
    let Some(member) = graph.0.get(name).filter(|member| floor(&member.dir).is_some()) else {
        return Vec::new();
    };
    let imports = member.imports.iter().filter(|import| !import.for_tests);
    let below = imports.map(|import| chain(graph, &import.name, known)).max_by_key(Vec::len);
    let mut chain = vec![name.to_owned()];
    chain.extend(below.unwrap_or_default());
    known.insert(name.to_owned(), chain.clone());
    chain
}

fn drawn(from: &str, to: &str) -> bool {
    DRAWN.iter().any(|(importer, imported, _)| *importer == from && *imported == to)
}

fn floor(dir: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&floor_name(dir)))
}

fn floor_name(dir: &str) -> &str {
    dir.split('/').next().unwrap_or(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Member;

    /// Crates as `dir/name -> imports`; an import with `?` is for tests.
    fn graph(crates: &[(&str, &[&str])]) -> Graph {
        let member = |(path, imports): &(&str, &[&str])| {
            let name = path.rsplit('/').next().unwrap();
            let imports = imports.iter().map(|import| Import {
                name: import.trim_end_matches('?').to_owned(),
                for_tests: import.ends_with('?'),
            });
            (name.to_owned(), Member { dir: (*path).to_owned(), imports: imports.collect() })
        };
        Graph(crates.iter().map(member).collect())
    }

    fn said(crates: &[(&str, &[&str])]) -> Vec<String> {
        let problems = check(&graph(crates));
        problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn down_is_fine() {
        let crates: &[(&str, &[&str])] = &[
            ("core/oag-types", &[]),
            ("core/oag-ledger", &["oag-types"]),
            ("domain/guard", &["oag-types", "oag-testkit?"]),
            ("adapters/store", &["guard"]),
            ("surface/api", &["guard", "store?"]),
            ("edge", &["store"]),
            ("openautoglm", &["store", "api"]),
            ("oag-testkit", &[]),
            ("bench", &["store"]),
        ];
        assert_eq!(said(crates), [""; 0]);
    }

    #[test]
    fn up_is_caught() {
        let crates: &[(&str, &[&str])] = &[("core/types", &["guard"]), ("domain/guard", &[])];
        assert_eq!(said(crates), ["types: imports guard, a floor above"]);
    }

    #[test]
    fn a_test_may_import_upward() {
        let crates: &[(&str, &[&str])] = &[("domain/guard", &["store?"]), ("adapters/store", &[])];
        assert_eq!(said(crates), [""; 0]);
    }

    #[test]
    fn a_neighbour_is_caught() {
        let crates: &[(&str, &[&str])] = &[("surface/api", &[]), ("surface/cli", &["api"])];
        assert_eq!(said(crates), ["cli: imports api, its neighbour"]);
    }

    #[test]
    fn only_programs_join() {
        let crates: &[(&str, &[&str])] = &[("adapters/store", &[]), ("surface/api", &["store"])];
        assert_eq!(said(crates), ["api: imports store, an adapter"]);
        let crates: &[(&str, &[&str])] = &[("openautoglm", &[]), ("edge", &["openautoglm"])];
        assert_eq!(said(crates), ["edge: imports openautoglm, its neighbour"]);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let crates: &[(&str, &[&str])] =
            &[("adapters/store", &["oag-testkit"]), ("oag-testkit", &[])];
        assert_eq!(said(crates), ["store: imports oag-testkit"]);
    }

    #[test]
    fn a_long_chain_is_caught() {
        let mut crates: Vec<(&str, &[&str])> = vec![
            ("openautoglm", &["api"]),
            ("surface/api", &["oag-ops"]),
            ("domain/oag-ops", &["oag-pilot"]),
            ("domain/oag-pilot", &["oag-guard"]),
            ("domain/oag-guard", &["oag-store-port"]),
            ("core/oag-store-port", &[]),
        ];
        assert_eq!(said(&crates), [""; 0]);
        crates.push(("core/oag-ledger", &[]));
        crates[5].1 = &["oag-ledger"];
        let chain = "openautoglm -> api -> oag-ops -> oag-pilot -> oag-guard -> oag-store-port -> oag-ledger";
        assert_eq!(said(&crates), [format!("{chain}: 7 crates deep, more than 6")]);
    }

    #[test]
    fn heavy_packages_are_caught_below_the_domain() {
        let graph = graph(&[("brain/insight", &[]), ("domain/ops", &[]), ("surface/api", &[])]);
        let tree = |_: &str| Ok(vec!["axum".to_owned(), "tokio".to_owned()]);
        let problems = check_heavy(&graph, tree).unwrap();
        let said: Vec<_> = problems.iter().map(|p| format!("{} {}", p.place, p.what)).collect();
        assert_eq!(said, ["insight compiles axum", "insight compiles tokio", "ops compiles axum"]);
    }
}
