//! The page of a simulation.

use super::{Comparison, Played, SHARES, TITLES, cells, in_a_line};
use crate::page::plot::{Plot, Scale};
use crate::page::{self, escape, section};

/// Lines of the pictures, in the order of the policies; of the looks that every page has.
const LOOKS: [&str; 6] = ["reactive", "loop", "oracle", "static-mean", "static-peak", "expected"];
/// Waits below this are drawn as this.
const LEAST_S: f64 = 0.01;

/// The page.
pub(super) fn page(comparison: &Comparison) -> String {
    let heading = format!(
        "<header>\n<h1>Who waits how long <span lang=\"zh\">谁等多久</span></h1>\n<p>{}: {}.</p>\n\
         </header>\n",
        escape(&comparison.trace),
        escape(&in_a_line(comparison)),
    );
    let parts = [
        page::head("Open-AutoGLM simulation"),
        heading,
        figures(comparison),
        waits(comparison),
        waiting(comparison),
        busy(comparison),
        "</main>\n</body>\n</html>\n".to_owned(),
    ];
    parts.concat()
}

fn look(number: usize) -> &'static str {
    LOOKS[number % LOOKS.len()]
}

fn figures(comparison: &Comparison) -> String {
    let row = |(number, played): (usize, &Played)| {
        let [policy, others @ ..] = cells(played);
        let head = format!("<th scope=\"row\">{}{}</th>", key(number), escape(&policy));
        let others = others.map(|cell| format!("<td>{cell}</td>")).concat();
        format!("<tr>{head}{others}</tr>\n")
    };
    let rows: String = comparison.policies.iter().enumerate().map(row).collect();
    let titles = TITLES.map(|title| format!("<th scope=\"col\">{title}</th>")).concat();
    section(
        "Comparison",
        "对比",
        &format!(
            "<div class=\"wide\"><table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
             </table></div>\n<p class=\"note\">Wait: time from arrival to the end in which nothing \
             was done for a request, or was done again. Better by: mean wait of the first policy \
             over its own. Begun again: requests whose worker was lost.</p>\n"
        ),
    )
}

fn key(number: usize) -> String {
    format!(
        "<svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">\
         <path class=\"line {}\" d=\"M0 4H28\"/></svg>",
        look(number)
    )
}

fn legend(comparison: &Comparison) -> String {
    let item = |(number, played): (usize, &Played)| {
        format!("<span>{}{}</span>\n", key(number), escape(&played.policy))
    };
    let items: String = comparison.policies.iter().enumerate().map(item).collect();
    format!("<p class=\"legend\">\n{items}</p>\n")
}

/// A line for each policy.
fn lines(
    comparison: &Comparison,
    plot: &Plot,
    values: impl Fn(&Played) -> Vec<Option<f64>>,
) -> String {
    let line = |(number, played): (usize, &Played)| {
        format!("<path class=\"line {}\" d=\"{}\"/>\n", look(number), plot.line(&values(played)))
    };
    comparison.policies.iter().enumerate().map(line).collect()
}

fn waits(comparison: &Comparison) -> String {
    let all = comparison.policies.iter().flat_map(|played| &played.waits_s);
    let most = all.copied().fold(1.0, f64::max) * 1.2;
    let plot = Plot::new(300.0, SHARES + 1, LEAST_S, most, Scale::Logarithmic);
    let inside = lines(comparison, &plot, |played| {
        played.waits_s.iter().map(|wait| Some(wait.max(LEAST_S))).collect()
    });
    let picture = plot.picture("Waits by share of the requests", "s", &inside);
    let note = "<p class=\"note\">Across: share of the requests, in percent, those with the \
                shortest waits first. Up: their wait, in powers of ten.</p>\n";
    section("Waits", "等待时间", &format!("{}{picture}{note}", legend(comparison)))
}

/// Something of the fleet over the time.
fn over_time(
    comparison: &Comparison,
    title: &str,
    value: impl Fn(&oag_schedule::simulate::Point) -> usize,
) -> String {
    let courses = || comparison.policies.iter().map(|played| &played.course);
    let steps = courses().map(Vec::len).max().unwrap_or(1);
    let times = courses().filter_map(|course| course.get(1)).map(|point| point.at_s);
    let each = times.fold(1e-6, f64::max);
    let most = courses().flatten().map(&value).max().unwrap_or(1).max(1) as f64 * 1.05;
    let plot = Plot::new(260.0, steps, 0.0, most, Scale::Linear).each(each);
    let inside = lines(comparison, &plot, |played| {
        played.course.iter().map(|point| Some(value(point) as f64)).collect()
    });
    let picture = plot.picture(title, "", &inside);
    format!("{}{picture}<p class=\"note\">Across: seconds.</p>\n", legend(comparison))
}

fn waiting(comparison: &Comparison) -> String {
    let inside = over_time(comparison, "Requests that waited", |point| point.waiting);
    section("Requests that waited", "排队的请求", &inside)
}

fn busy(comparison: &Comparison) -> String {
    let inside = over_time(comparison, "Slots that were busy", |point| point.busy);
    section("Slots that were busy", "忙碌的槽位", &inside)
}

#[cfg(test)]
mod tests {
    use oag_schedule::balance::BalanceKind;
    use oag_schedule::simulate::{Faults, Outcome, Point};

    use super::*;
    use crate::page::checks::{check_nesting, check_offline};

    fn comparison(policies: usize) -> Comparison {
        let course = (0..5).map(|at| Point { at_s: f64::from(at), waiting: 3, busy: 2 }).collect();
        let outcome = Outcome { course, ..Outcome::default() };
        let play = |number| Played::new(format!("<{number}>"), &outcome, None);
        Comparison {
            trace: "a&b.csv".to_owned(),
            requests: 9,
            copies: 2,
            arrivals_s: 5.0,
            nodes: 1,
            slots: 2,
            load: 0.9,
            balance: BalanceKind::Best,
            queue: 10,
            faults: Faults::default(),
            seed: 1,
            policies: (0..policies).map(play).collect(),
        }
    }

    #[test]
    fn the_page_is_well_formed_and_whole() {
        for policies in [0, 1, 7] {
            let page = page(&comparison(policies));
            check_nesting(&page);
            check_offline(&page);
            assert!(page.contains("a&amp;b.csv") && !page.contains("<1>"));
            assert_eq!(page.matches("<tr><th scope=\"row\">").count(), policies);
        }
    }
}
