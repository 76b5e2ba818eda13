//! What pages with charts are made of: one file each, with everything in it.

pub(crate) mod plot;

/// The look of every page; lines have the class `line` and the name of what they show.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Text as it may stand in a page or an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The beginning of a page, up to its content.
pub(crate) fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
}

/// A part of the page, with its title in both languages.
pub(crate) fn section(title: &str, zh: &str, inside: &str) -> String {
    format!("<section>\n<h2>{title} <span lang=\"zh\">{zh}</span></h2>\n{inside}</section>\n")
}

/// Checks of pages, for the tests of those who make them.
#[cfg(test)]
pub(crate) mod checks {
    /// Elements that have no end.
    const VOID: [&str; 3] = ["meta", "!doctype", "br"];

    /// Every element that was begun is ended, in the right order.
    pub(crate) fn check_nesting(page: &str) {
        let mut open: Vec<String> = Vec::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            let end = start + rest[start..].find('>').expect("a tag without its end");
            let tag = &rest[start + 1..end];
            let name: String = tag
                .trim_start_matches('/')
                .chars()
                .take_while(|c| *c != ' ' && *c != '/')
                .collect();
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
            } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                if name == "script" || name == "style" {
                    let until = rest.find(&format!("</{name}>")).expect("its end");
                    rest = &rest[until..];
                }
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    /// The page needs nothing but itself.
    pub(crate) fn check_offline(page: &str) {
        for bad in ["http:", "https:", "//cdn", "src=", "@import", "url(", "<link"] {
            assert!(!page.contains(bad), "{bad}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }
}
