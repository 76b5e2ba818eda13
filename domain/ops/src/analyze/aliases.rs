//! Which service a text means, and which metric a name means: tables of names, kept as data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use oag_types::ServiceName;
use serde::Deserialize;

const DATA: &str = include_str!("../../data/service_aliases.toml");

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    service: Vec<Entry>,
    metrics: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    names: Vec<ServiceName>,
    strong: Vec<String>,
    weak: Vec<String>,
}

/// Embedded, and read by a test: it is never empty outside a broken build.
static TABLE: LazyLock<Table> = LazyLock::new(|| toml::from_str(DATA).unwrap_or_default());

/// What a text says about the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Exactly one.
    One(ServiceName),
    /// Several: it has to be asked which.
    Several(Vec<ServiceName>),
    /// None that is known.
    None,
}

/// Looks for the service a text is about: names of the catalogue first, then the table's strong
/// names, then names of the form `x-service`, then the table's weak ones. Several of the same
/// strength are not decided between. With a catalogue, only its services are found.
pub(crate) fn find_named(text: &str, catalogue: &[ServiceName]) -> Named {
    let text = text.to_lowercase();
    let listed = catalogue.iter().filter(|name| mentions(&text, name.as_str()));
    let strong = || TABLE.service.iter().filter(|e| e.strong.iter().any(|a| mentions(&text, a)));
    let weak = || TABLE.service.iter().filter(|e| e.weak.iter().any(|a| mentions(&text, a)));
    let known = |entry: &Entry| entry.name_in(catalogue);
    let levels: [Vec<ServiceName>; 4] = [
        longest(listed.cloned().collect()),
        strong().filter_map(known).collect(),
        spelled(&text).filter(|name| catalogue.is_empty() || catalogue.contains(name)).collect(),
        weak().filter_map(known).collect(),
    ];
    for mut names in levels {
        names.sort();
        names.dedup();
        match names.as_slice() {
            [] => {}
            [one] => return Named::One(one.clone()),
            _ => return Named::Several(names),
        }
    }
    Named::None
}

/// The name decisions use for a metric.
pub(super) fn canonical_metric(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let found = TABLE.metrics.iter().find(|(_, others)| others.contains(&lower));
    found.map_or(lower, |(canonical, _)| canonical.clone())
}

impl Entry {
    fn name_in(&self, catalogue: &[ServiceName]) -> Option<ServiceName> {
        if catalogue.is_empty() {
            return self.names.first().cloned();
        }
        self.names.iter().find(|name| catalogue.contains(name)).cloned()
    }
}

/// `order` is not meant where `order-service` is written.
fn longest(names: Vec<ServiceName>) -> Vec<ServiceName> {
    let inside = |short: &ServiceName| {
        names.iter().any(|long| long != short && long.as_str().contains(short.as_str()))
    };
    names.iter().filter(|name| !inside(name)).cloned().collect()
}

/// Whether the text has the name as a whole word; Chinese has no spaces, so anywhere counts.
pub(crate) fn mentions(text: &str, name: &str) -> bool {
    if !name.is_ascii() {
        return text.contains(name);
    }
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Names written out, such as `billing-service`.
pub(crate) fn spelled(text: &str) -> impl Iterator<Item = ServiceName> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|word| ["-service", "-svc", "-api"].iter().any(|end| word.ends_with(end)))
        .filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, catalogue: &[&str], expected: &[&str]) {
        let catalogue: Vec<ServiceName> = catalogue.iter().map(|n| n.parse().unwrap()).collect();
        let found = match find_named(text, &catalogue) {
            Named::One(one) => vec![one.to_string()],
            Named::Several(all) => all.iter().map(ToString::to_string).collect(),
            Named::None => Vec::new(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn the_table_is_read() {
        let table: Table = toml::from_str(DATA).unwrap();
        assert!(table.service.len() >= 8);
        assert!(table.service.iter().all(|entry| !entry.names.is_empty()));
    }

    #[test]
    fn services_are_found_in_both_languages() {
        check("大促期间订单服务出现延迟", &[], &["order-service"]);
        check("库存 报错", &[], &["inventory-service"]);
        check("Order Service is slow", &[], &["order-service"]);
        check("billing-service is slow", &[], &["billing-service"]);
        check("订单服务超时，支付也慢", &[], &["order-service"]);
        check("订单和支付都慢", &[], &["order-service", "payment-service"]);
        check("the border is closed, reorder later", &[], &[]);
        check("everything is slow", &[], &[]);
    }

    #[test]
    fn a_catalogue_decides_what_can_be_found() {
        check("订单服务出现延迟", &["orders", "payment"], &["orders"]);
        check("订单服务出现延迟", &["shop"], &[]);
        check("billing-service is slow", &["shop"], &[]);
        check("shop-a is slow", &["shop", "shop-a"], &["shop-a"]);
    }
}
