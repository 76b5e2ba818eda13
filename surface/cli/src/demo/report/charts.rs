//! The pictures of the report.

use super::legend;
use crate::demo::outcome::{Forecast, Outcome};
use crate::demo::sizes::START_DELAY_STEPS;
use crate::page::plot::{Plot, Scale};
use crate::page::{escape, section};

/// Steps ahead of which the forecast is shown: those a replica needs to start, and one.
const AHEAD: i64 = START_DELAY_STEPS + 1;
const LATENCY_LEAST: f64 = 100.0;
const LATENCY_MOST: f64 = 10_000.0;

/// What was offered, and what the loop had expected of it.
pub(super) fn load(outcome: &Outcome) -> String {
    let steps = outcome.offered.len();
    let of = |values: fn(&Forecast) -> &Vec<f64>| expected(&outcome.forecasts, steps, values);
    let (mean, low, high) = (of(|f| &f.mean), of(|f| &f.low), of(|f| &f.high));
    let offered = outcome.offered.iter().copied().map(Some).collect::<Vec<_>>();
    let most = offered.iter().chain(&mean).flatten().copied().fold(1.0, f64::max) * 1.25;
    let plot = Plot::new(260.0, steps, 0.0, most, Scale::Linear);
    let low: Vec<Option<f64>> = low.iter().map(|v| v.map(|v| v.max(0.0))).collect();
    let inside = format!(
        "<path class=\"band\" d=\"{}\"/>\n<path class=\"line expected\" d=\"{}\"/>\n\
         <path class=\"line offered\" d=\"{}\"/>\n",
        plot.band(&low, &high),
        plot.line(&mean),
        plot.line(&offered)
    );
    let key = |class: &str, text: &str| {
        format!(
            "<span><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">\
             <path class=\"{class}\" d=\"M0 4H28\"/></svg>{text}</span>\n"
        )
    };
    let legend = format!(
        "<p class=\"legend\">\n{}{}{}</p>\n",
        key("line offered", "offered"),
        key("line expected", &format!("expected {AHEAD} minutes before")),
        key("bandkey", "its band (three standard deviations to each side)")
    );
    let title = "Requests offered per second and what the loop expected";
    let picture = plot.picture(title, "requests/s", &inside);
    section("Load and forecast", "负载与预测", &format!("{legend}{picture}{READOUT}"))
}

/// Capacity of the ready replicas of each policy, with the actions of the loop.
pub(super) fn replicas(outcome: &Outcome) -> String {
    let steps = outcome.offered.len();
    let each = outcome.capacity_per_replica;
    let ready = |course: &crate::demo::account::Course| -> Vec<f64> {
        course.ready.iter().map(|ready| f64::from(*ready) * each).collect()
    };
    let tallest = outcome.courses.iter().flat_map(ready).fold(1.0, f64::max);
    let most = outcome.offered.iter().copied().fold(tallest, f64::max) * 1.08;
    let plot = Plot::new(340.0, steps, 0.0, most, Scale::Linear);
    let offered: Vec<Option<f64>> = outcome.offered.iter().copied().map(Some).collect();
    let mut inside = format!("<path class=\"line offered\" d=\"{}\"/>\n", plot.line(&offered));
    // The loop is drawn last, on top of the others.
    for course in outcome.courses.iter().rev() {
        let label = course.policy.label();
        let stairs = plot.stairs(&ready(course));
        inside.push_str(&format!("<path class=\"line {label}\" d=\"{stairs}\"/>\n"));
    }
    for deed in &outcome.actions.deeds {
        let why = escape(&format!(
            "{}: minute {:.1}, {} ({}): {}",
            deed.number, deed.step, deed.summary, deed.phase, deed.reason
        ));
        inside.push_str(&format!(
            "<circle class=\"deed\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" tabindex=\"0\" role=\"img\" \
             aria-label=\"{why}\" data-action=\"{}\"><title>{why}</title></circle>\n",
            plot.x(deed.step),
            plot.y(deed.replicas as f64 * each),
            deed.number
        ));
    }
    let title = "Requests per second that the ready replicas of each policy carry";
    let picture = plot.picture(title, "requests/s", &inside);
    let note = "<p class=\"note\">Lines: what the ready replicas carry. Dots: actions of the loop, \
                at the moment they began and the replicas they asked for; point at one or move to \
                it with the Tab key for its reason.</p>\n";
    let offered = "<span><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\">\
                   <path class=\"line offered\" d=\"M0 4H28\"/></svg>offered</span>\n</p>";
    let legend = legend().replace("</p>", offered);
    section("Replicas", "副本数", &format!("{legend}{picture}{READOUT}{note}"))
}

/// The 99th percentile of the requests of each step.
pub(super) fn latency(outcome: &Outcome) -> String {
    let steps = outcome.offered.len();
    let plot = Plot::new(260.0, steps, LATENCY_LEAST, LATENCY_MOST, Scale::Logarithmic);
    let mut inside = String::new();
    for course in outcome.courses.iter().rev() {
        let (label, line) = (course.policy.label(), plot.line(&course.latency_p99_ms));
        inside.push_str(&format!("<path class=\"line {label}\" d=\"{line}\"/>\n"));
    }
    let title = "99th percentile of latency by minute, in milliseconds";
    let picture = plot.picture(title, "ms, logarithmic", &inside);
    let note = "<p class=\"note\">From the moment a request was due, so that waiting for earlier \
                ones is not hidden.</p>\n";
    section("Latency, p99", "延迟 p99", &format!("{}{picture}{READOUT}{note}", legend()))
}

const READOUT: &str = "<p class=\"readout\" aria-live=\"polite\">&nbsp;</p>\n";

/// For each step what was expected of it some steps before.
fn expected(
    forecasts: &[Forecast],
    steps: usize,
    values: fn(&Forecast) -> &Vec<f64>,
) -> Vec<Option<f64>> {
    let mut found = vec![None; steps];
    for forecast in forecasts {
        let at = usize::try_from(forecast.from_step + AHEAD - 1);
        let value = values(forecast).get(AHEAD.unsigned_abs() as usize - 1);
        if let (Ok(at), Some(value)) = (at, value)
            && let Some(slot) = found.get_mut(at)
        {
            *slot = Some(*value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_shows_what_was_expected_of_it_when_a_replica_could_still_be_started() {
        let forecast = |from_step: i64| Forecast {
            from_step,
            mean: (0..10).map(|ahead| (from_step + ahead) as f64).collect(),
            low: vec![0.0; 10],
            high: vec![0.0; 10],
        };
        let all = [forecast(-1), forecast(0), forecast(1), forecast(9)];
        let mean = expected(&all, 6, |forecast| &forecast.mean);
        // Values that were made for the step itself.
        assert_eq!(mean, [None, Some(1.0), Some(2.0), Some(3.0), None, None]);
    }
}
