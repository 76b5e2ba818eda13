//! The report: one page with everything in it, so that it can be kept, sent and read offline.

mod charts;

use serde_json::json;

use super::outcome::{Outcome, indices};
use super::sizes::{Policy, START_DELAY_STEPS};
use crate::page::{self, escape, section};

const SCRIPT: &str = include_str!("script.js");

/// The page of a run.
pub(super) fn page(outcome: &Outcome) -> String {
    let parts = [
        page::head("Open-AutoGLM demo"),
        head(outcome),
        comparison(outcome),
        charts::load(outcome),
        charts::replicas(outcome),
        charts::latency(outcome),
        actions(outcome),
        refused(outcome),
        facts(outcome),
        format!("</main>\n<script>\nconst run = {};\n{SCRIPT}</script>\n", data(outcome)),
        "</body>\n</html>\n".to_owned(),
    ];
    parts.concat()
}

fn head(outcome: &Outcome) -> String {
    let mark = if outcome.ahead { "ahead" } else { "behind" };
    format!(
        "<header>\n<h1>Five ways to decide on replicas <span lang=\"zh\">五种副本策略的对比</span></h1>\n\
         <p class=\"verdict {mark}\">{}</p>\n\
         <p>{} minutes of the 1998 World Cup site from row {} of the recording, one minute in {} \
         ms; a replica carries {:.0} requests per second and takes {START_DELAY_STEPS} minutes to \
         start. Seed {}.</p>\n</header>\n",
        escape(&outcome.verdict),
        outcome.minutes,
        outcome.first_row,
        outcome.step_ms,
        outcome.capacity_per_replica,
        outcome.seed,
    )
}

fn comparison(outcome: &Outcome) -> String {
    let rows: String = outcome
        .scores
        .iter()
        .map(|score| {
            format!(
                "<tr><th scope=\"row\"><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">\
                 <path class=\"line {label}\" d=\"M0 4H28\"/></svg>{label}</th><td>{:.1} %</td>\
                 <td>{:.0}</td><td>{:.0} ms</td><td>{:.0} ms</td><td>{}</td><td>{}</td>\
                 <td>{}</td></tr>\n",
                score.overloaded_share * 100.0,
                score.replica_seconds,
                score.latency_p99_ms,
                score.latency_mean_ms,
                score.requests,
                score.failed,
                score.actions,
                label = score.policy.label(),
            )
        })
        .collect();
    section(
        "Comparison",
        "对比",
        &format!(
            "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">policy</th>\
             <th scope=\"col\">overloaded</th><th scope=\"col\">replica-seconds</th>\
             <th scope=\"col\">p99</th><th scope=\"col\">mean</th><th scope=\"col\">requests</th>\
             <th scope=\"col\">failed</th><th scope=\"col\">actions</th></tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table></div>\n<p class=\"note\">Overloaded: share of the \
             time with more requests offered than the ready replicas carry. Requests that failed \
             or were given up count with the whole wait in the latencies.</p>\n"
        ),
    )
}

fn actions(outcome: &Outcome) -> String {
    let rows: String = outcome
        .actions
        .deeds
        .iter()
        .map(|deed| {
            format!(
                "<tr id=\"action-{}\"><td>{0}</td><td>{:.1}</td><td>{}</td><td>{}</td>\
                 <td class=\"id\">{}</td><td class=\"id\">{}</td><td>{}</td></tr>\n",
                deed.number,
                deed.step,
                escape(&deed.summary),
                escape(&deed.phase),
                escape(&deed.story),
                indices(&deed.ledger),
                escape(&deed.reason),
            )
        })
        .collect();
    let lead = format!(
        "<p>{} actions; {} of them with intent and outcome in the ledger.</p>\n",
        outcome.actions.deeds.len(),
        outcome.in_ledger
    );
    let table = format!(
        "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">#</th>\
         <th scope=\"col\">minute</th><th scope=\"col\">action</th><th scope=\"col\">ended</th>\
         <th scope=\"col\">story</th><th scope=\"col\">ledger rows</th><th scope=\"col\">why</th>\
         </tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    );
    section("What the loop did, and why", "自动驾驶做了什么,为什么", &format!("{lead}{table}"))
}

fn refused(outcome: &Outcome) -> String {
    if outcome.actions.refused.is_empty() {
        return String::new();
    }
    let rows: String = outcome
        .actions
        .refused
        .iter()
        .map(|plan| format!("<li>{}: {}</li>\n", escape(&plan.summary), escape(&plan.why)))
        .collect();
    section("Refused by the guard", "被护栏拒绝的计划", &format!("<ul>\n{rows}</ul>\n"))
}

fn facts(outcome: &Outcome) -> String {
    let percent =
        |value: Option<f64>| value.map_or_else(|| "not known".to_owned(), |v| format!("{v:.0} %"));
    let cpu = outcome.cpu_percent;
    section(
        "Machine",
        "运行环境",
        &format!(
            "<p>{}</p>\n<p>Processor, in percent of one core: generator {}, product {}, replicas \
             {}.</p>\n<p class=\"note\">Load: 1998 World Cup access logs by M. Arlitt and T. Jin, \
             HP Labs, 1998. You have permission to use and redistribute these access logs freely, \
             as long as this Copyright and Disclaimer is distributed unmodified.</p>\n",
            escape(&outcome.machine.line()),
            percent(cpu.generator),
            percent(cpu.product),
            percent(cpu.replicas),
        ),
    )
}

/// What the readout below the charts shows.
fn data(outcome: &Outcome) -> String {
    let round = |values: &[f64]| values.iter().map(|value| value.round()).collect::<Vec<_>>();
    let policies: Vec<_> = outcome
        .courses
        .iter()
        .map(|course| {
            let p99: Vec<Option<f64>> =
                course.latency_p99_ms.iter().map(|p99| p99.map(f64::round)).collect();
            json!({"name": course.policy.label(), "ready": course.ready,
                "wanted": course.wanted, "p99": p99})
        })
        .collect();
    let document = json!({"offered": round(&outcome.offered), "policies": policies});
    // No text of the document may end the script.
    document.to_string().replace('<', "\\u003c")
}

/// The legend of the policies.
pub(super) fn legend() -> String {
    let items: String = Policy::ALL
        .iter()
        .map(|policy| {
            let label = policy.label();
            format!(
                "<span><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">\
                 <path class=\"line {label}\" d=\"M0 4H28\"/></svg>{label}</span>\n"
            )
        })
        .collect();
    format!("<p class=\"legend\">\n{items}</p>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::outcome::tests::outcome;
    use crate::page::checks::{check_nesting, check_offline};

    #[test]
    fn the_page_is_well_formed_with_and_without_actions() {
        let mut run = outcome();
        check_nesting(&page(&run));
        run.actions = Default::default();
        run.forecasts.clear();
        check_nesting(&page(&run));
    }

    #[test]
    fn every_action_is_marked_and_listed_with_its_reason() {
        let run = outcome();
        let page = page(&run);
        for deed in &run.actions.deeds {
            let reason = escape(&deed.reason);
            assert!(page.matches(&reason).count() >= 2, "{reason}");
            assert!(page.contains(&format!("id=\"action-{}\"", deed.number)));
            assert!(page.contains(&format!("data-action=\"{}\"", deed.number)));
        }
        assert!(!page.contains("<b>reason"), "texts are escaped");
        assert!(page.contains("too soon"));
    }

    #[test]
    fn nothing_is_fetched_from_anywhere() {
        check_offline(&page(&outcome()));
    }

    #[test]
    fn data_cannot_end_the_script() {
        assert!(!data(&outcome()).contains('<'));
        assert_eq!(escape("<a b='c\">&"), "&lt;a b=&#39;c&quot;&gt;&amp;");
    }
}
