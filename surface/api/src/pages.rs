//! The few pages for people: landing and errors. Self-contained; nothing is loaded from outside.

use std::fmt::Write as _;

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// The wanted one, else the first of `Accept-Language` that there is, else English.
    pub(crate) fn choose(wanted: Option<&str>, accepted: Option<&str>) -> Self {
        let of = |tag: &str| match tag.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("zh") => Some(Self::Chinese),
            Some("en") => Some(Self::English),
            _ => None,
        };
        let accepted = accepted.unwrap_or_default().split(',').find_map(of);
        wanted.and_then(of).or(accepted).unwrap_or(Self::English)
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#17202a;--soft:#566573;--back:#fbfcfd;--box:#eef2f5;--link:#0b5cad}\
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--back:#0f1419;--box:#1a222b;--link:#6cb2ff}}\
body{margin:0 auto;max-width:46rem;padding:2.5rem 1.25rem;background:var(--back);color:var(--ink);\
font:1rem/1.6 system-ui,-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei',sans-serif}\
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
p.soft,footer{color:var(--soft)}a{color:var(--link)}\
pre{background:var(--box);padding:.75rem 1rem;border-radius:.5rem;overflow-x:auto;font-size:.875rem}\
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\
nav{float:right}footer{margin-top:3rem;font-size:.875rem}";

struct Words {
    tag: &'static str,
    up: &'static str,
    about: &'static str,
    connect: &'static str,
    key: &'static str,
    shell: &'static str,
    sdk: &'static str,
    links: &'static str,
    document: &'static str,
    ready: &'static str,
    metrics: &'static str,
    other: &'static str,
    version: &'static str,
}

const ENGLISH: Words = Words {
    tag: "en",
    up: "is up.",
    about: "Autopilot for services: signal → finding → plan → guard → execute → verify → ledger.",
    connect: "Connect",
    key: "The first start wrote an API key to the terminal or its key file. With it:",
    shell: "On the command line",
    sdk: "In Python",
    links: "Look around",
    document: "The API, as OpenAPI 3.1",
    ready: "Whether it is ready",
    metrics: "Metrics",
    other: "<a href=\"/?lang=zh\" lang=\"zh\" hreflang=\"zh\">中文</a>",
    version: "Version",
};

const CHINESE: Words = Words {
    tag: "zh",
    up: "正在运行。",
    about: "服务的自动驾驶：信号 → 发现 → 计划 → 守卫 → 执行 → 验证 → 账本。",
    connect: "如何连接",
    key: "首次启动时，API 密钥已写到终端或密钥文件。使用它：",
    shell: "命令行",
    sdk: "Python",
    links: "看一看",
    document: "API 文档（OpenAPI 3.1）",
    ready: "是否就绪",
    metrics: "指标",
    other: "<a href=\"/?lang=en\" lang=\"en\" hreflang=\"en\">English</a>",
    version: "版本",
};

/// The host a caller named, when it is one: letters, digits, dots, dashes, brackets and a port.
fn shown_host(named: Option<&str>) -> &str {
    let plain = |host: &&str| {
        !host.is_empty()
            && host.len() <= 255
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    named.filter(plain).unwrap_or("127.0.0.1:8080")
}

/// The landing page, as seen at the host the caller named.
pub(crate) fn landing(language: Language, host: Option<&str>) -> String {
    let host = shown_host(host);
    let words = match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    };
    let mut body = format!(
        "<nav>{}</nav><main><h1>Open-AutoGLM {}</h1><p class=\"soft\">{}</p>\
         <h2>{}</h2><p>{}</p>\
         <pre tabindex=\"0\"><code>curl -H \"Authorization: Bearer $OPENAUTOGLM_API_KEY\" \
         http://{host}/api/v1/whoami</code></pre>",
        words.other, words.up, words.about, words.connect, words.key
    );
    let _ = write!(
        body,
        "<h2>{}</h2><pre tabindex=\"0\"><code>openautoglm get services\nopenautoglm plan --help</code></pre>\
         <h2>{}</h2><pre tabindex=\"0\"><code>from openautoglm import AutoClient\n\
         client = AutoClient(\"oag_…\", base_url=\"http://{host}\")\n\
         print(client.analyze(metrics={{\"request_rate\": [90, 110, 140]}}, \
         context=\"order-service\").action)</code></pre>",
        words.shell, words.sdk
    );
    let _ = write!(
        body,
        "<h2>{}</h2><ul><li><a href=\"/api/v1/openapi.json\">{}</a></li>\
         <li><a href=\"/health/ready\">{}</a></li><li><a href=\"/metrics\">{}</a></li></ul></main>\
         <footer>{} {}</footer>",
        words.links,
        words.document,
        words.ready,
        words.metrics,
        words.version,
        env!("CARGO_PKG_VERSION")
    );
    document(words.tag, "Open-AutoGLM", &body)
}

macro_rules! error_pages {
    ($($number:literal),* $(,)?) => {
        const ERROR_PAGES: &[(&str, &str)] = &[$((
            concat!("OAG-", $number),
            include_str!(concat!("../../../docs/errors/OAG-", $number, ".md")),
        )),*];
    };
}

error_pages!(
    "1001", "1002", "1003", "1101", "1102", "1201", "1202", "1203", "1204", "1301", "1302", "1401",
    "1402", "1403", "1404", "1405", "1501", "1502", "1601", "1701", "1702", "1801", "1802", "1803",
    "1804", "1901", "1999",
);

/// The page about a code, in Markdown.
pub(crate) fn error_page(code: &str) -> Option<&'static str> {
    ERROR_PAGES.iter().find(|(name, _)| *name == code).map(|(_, text)| *text)
}

/// The same as HTML. Knows the little Markdown that our pages use: headings, paragraphs, lists,
/// fenced code, and code in a line.
pub(crate) fn error_html(code: &str, text: &str) -> String {
    let mut body = String::from("<main>");
    let (mut fenced, mut listed) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            body.push_str(if fenced { "</code></pre>" } else { "<pre tabindex=\"0\"><code>" });
            fenced = !fenced;
            continue;
        }
        if fenced {
            body.push_str(&escape(line));
            body.push('\n');
            continue;
        }
        let item = line.strip_prefix("- ");
        if listed != item.is_some() {
            body.push_str(if listed { "</ul>" } else { "<ul>" });
            listed = !listed;
        }
        let element = match (item, line.strip_prefix("## "), line.strip_prefix("# ")) {
            (Some(item), _, _) => Some(("li", item)),
            (_, Some(title), _) => Some(("h2", title)),
            (_, _, Some(title)) => Some(("h1", title)),
            _ => (!line.trim().is_empty()).then_some(("p", line)),
        };
        if let Some((name, content)) = element {
            let _ = write!(body, "<{name}>{}</{name}>", inline(content));
        }
    }
    if listed {
        body.push_str("</ul>");
    }
    body.push_str("</main>");
    document("en", code, &body)
}

fn document(tag: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
}

fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        if index % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
        } else {
            html.push_str(&part);
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use oag_types::Code;

    use super::*;

    #[test]
    fn every_code_has_a_page_with_cause_fix_and_example() {
        for code in Code::ALL {
            let page = error_page(&code.to_string()).unwrap_or_else(|| panic!("no page: {code}"));
            assert!(page.starts_with(&format!("# {code}: {}\n", code.title)), "{code}");
            for part in ["## Cause", "## Fix", "## Example"] {
                assert!(page.contains(part), "{code} has no {part}");
            }
            let html = error_html(&code.to_string(), page);
            assert!(!html.contains("```") && html.contains("<h2>Fix</h2>"), "{code}");
        }
        assert_eq!(ERROR_PAGES.len(), Code::ALL.len());
    }

    #[test]
    fn the_language_is_asked_for_or_accepted() {
        let choose = Language::choose;
        assert_eq!(choose(None, Some("zh-CN,zh;q=0.9,en;q=0.8")), Language::Chinese);
        assert_eq!(choose(None, Some("fr-FR,en;q=0.8")), Language::English);
        assert_eq!(choose(Some("en"), Some("zh-CN")), Language::English);
        assert_eq!(choose(Some("xx"), None), Language::English);
    }
}
