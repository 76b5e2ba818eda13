//! The recorded load: requests a minute to the web site of the 1998 World Cup.

use anyhow::Context;

/// The recording as it is kept; see `data/NOTICE`.
const RECORDING: &str = include_str!("../../data/worldcup98.csv");
/// The row of the recording that the kept part begins with.
pub(super) const FIRST_ROW: usize = 5_871;
/// The first row of the window; the rule it was chosen by is in `docs/demo.md`.
pub(super) const WINDOW_ROW: usize = 20_271;
/// Minutes in a day: the season of the load.
pub(super) const SEASON_STEPS: usize = 1_440;
/// Most minutes that can be played.
pub(super) const MINUTES_MAX: usize = 400;

/// A stretch of the recording, scaled to requests per second of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Load {
    /// Everything before the first step that is played.
    pub(super) history: Vec<f64>,
    /// Played so that everything is in its stride, but not counted.
    pub(super) warmup: Vec<f64>,
    /// Played and counted.
    pub(super) window: Vec<f64>,
}

impl Load {
    /// The stated window, scaled so that its highest minute is `peak` requests per second.
    pub(super) fn of_window(minutes: usize, warmup: usize, peak: f64) -> anyhow::Result<Self> {
        Self::cut(&rows()?, WINDOW_ROW - FIRST_ROW, minutes, warmup, peak)
    }

    fn cut(
        rows: &[f64],
        start: usize,
        minutes: usize,
        warmup: usize,
        peak: f64,
    ) -> anyhow::Result<Self> {
        let window = rows.get(start..start + minutes).context("the recording ends before that")?;
        let begin = start.checked_sub(warmup).context("the recording begins after that")?;
        let highest = window.iter().copied().fold(0.0, f64::max);
        let scale = if highest > 0.0 { peak / highest } else { 0.0 };
        let scaled = |part: &[f64]| part.iter().map(|value| value * scale).collect();
        Ok(Self {
            history: scaled(&rows[..begin]),
            warmup: scaled(&rows[begin..start]),
            window: scaled(window),
        })
    }

    /// Warm-up and window, one after the other.
    pub(super) fn played(&self) -> Vec<f64> {
        self.warmup.iter().chain(&self.window).copied().collect()
    }
}

fn rows() -> anyhow::Result<Vec<f64>> {
    let lines = RECORDING.lines().filter(|line| !line.starts_with('#'));
    let values = lines.flat_map(|line| line.split(',')).filter(|text| !text.is_empty());
    values.map(|text| text.parse().with_context(|| format!("'{text}' in the recording"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// The rule of `docs/demo.md`: the highest 20 minutes against the first and the last 20, where
    /// neither the window nor the hour before it has gaps or catch-ups of the recording.
    fn choose(rows: &[f64], first: usize, minutes: usize) -> Option<(usize, f64)> {
        let around = |at: usize| median(&rows[at.saturating_sub(10)..(at + 11).min(rows.len())]);
        let odd: Vec<bool> = (0..rows.len())
            .map(|at| rows[at] < around(at) / 3.0 || rows[at] > around(at) * 3.0)
            .collect();
        (first..rows.len() - minutes)
            .filter(|start| !odd[start - 60..start + minutes].contains(&true))
            .map(|start| {
                let window = &rows[start..start + minutes];
                let highest = window.windows(20).map(mean).fold(0.0, f64::max);
                let ends = mean(&window[..20]).max(mean(&window[minutes - 20..]));
                (start, highest / ends)
            })
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
    }

    #[test]
    fn the_window_is_the_one_the_rule_chooses() {
        // The part that is kept is enough to check the rule against its neighbours; the whole
        // range of rows it was applied to is in the document.
        let rows = rows().unwrap();
        let (start, ratio) = choose(&rows, 14_400 - FIRST_ROW, 200).unwrap();
        assert_eq!(start + FIRST_ROW, WINDOW_ROW);
        assert!((ratio - 1.570).abs() < 0.001, "{ratio}");
    }

    #[test]
    fn gaps_and_catch_ups_disqualify_a_window() {
        // A hump in the middle: the clean window around it is the one to choose.
        let hump = |at: i32| 100.0 + 50.0 * (-(f64::from(at - 300) / 40.0).powi(2)).exp();
        let mut rows: Vec<f64> = (0..1_000).map(hump).collect();
        let (clean, ratio) = choose(&rows, 100, 200).unwrap();
        assert!((120..=280).contains(&clean) && ratio > 1.4, "{clean} {ratio}");
        rows[clean + 10] = 1.0;
        let (after_gap, _) = choose(&rows, 100, 200).unwrap();
        assert!(!(clean - 189..=clean + 70).contains(&after_gap), "{after_gap}");
        rows[clean + 10] = 5_000.0;
        assert_eq!(choose(&rows, 100, 200).unwrap().0, after_gap);
    }

    #[test]
    fn there_are_ten_days_before_the_window_and_enough_after_its_start() {
        let rows = rows().unwrap();
        assert_eq!(WINDOW_ROW - FIRST_ROW, 10 * SEASON_STEPS);
        assert_eq!(rows.len(), WINDOW_ROW - FIRST_ROW + MINUTES_MAX);
        assert!(rows.iter().all(|value| value.is_finite() && *value >= 0.0));
    }

    #[test]
    fn the_window_is_scaled_to_its_peak_and_history_alike() {
        let load = Load::of_window(200, 10, 304.0).unwrap();
        assert_eq!((load.warmup.len(), load.window.len()), (10, 200));
        assert_eq!(load.history.len(), 10 * SEASON_STEPS - 10);
        let highest = load.window.iter().copied().fold(0.0, f64::max);
        assert!((highest - 304.0).abs() < 1e-9);
        let whole = Load::cut(&[1.0, 2.0, 3.0, 4.0], 2, 2, 1, 8.0).unwrap();
        assert_eq!(whole.history, [2.0]);
        assert_eq!(whole.played(), [4.0, 6.0, 8.0]);
    }
}
