//! A plane with axes: from steps and values to points of a picture.

use std::fmt::Write;

/// Width of every picture.
pub(crate) const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// A plane of steps and values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    height: f64,
    steps: usize,
    least: f64,
    most: f64,
    scale: Scale,
    each: f64,
}

impl Plot {
    pub(crate) fn new(height: f64, steps: usize, least: f64, most: f64, scale: Scale) -> Self {
        let most = most.max(least + 1e-9);
        Self { height, steps: steps.max(1), least, most, scale, each: 1.0 }
    }

    /// Writes below a step what it stands for: so many of something each.
    pub(crate) const fn each(self, each: f64) -> Self {
        Self { each, ..self }
    }

    /// Where a step begins.
    pub(crate) fn x(&self, step: f64) -> f64 {
        LEFT + step.clamp(0.0, self.steps as f64) / self.steps as f64 * (WIDTH - LEFT - RIGHT)
    }

    /// Where a value lies.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let value = value.clamp(self.least, self.most);
        let share = match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Logarithmic => (value / self.least).ln() / (self.most / self.least).ln(),
        };
        self.height - BOTTOM - share * (self.height - TOP - BOTTOM)
    }

    /// A line that holds its value for the length of a step.
    pub(crate) fn stairs(&self, values: &[f64]) -> String {
        let mut path = String::new();
        for (step, value) in values.iter().enumerate() {
            let letter = if step == 0 { 'M' } else { 'L' };
            let (from, to, y) = (self.x(step as f64), self.x(step as f64 + 1.0), self.y(*value));
            let _ = write!(path, "{letter}{from:.1} {y:.1}H{to:.1}");
        }
        path
    }

    /// A line through the middle of steps; broken where there is no value.
    pub(crate) fn line(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for (step, value) in values.iter().enumerate() {
            let Some(value) = value else {
                pen_down = false;
                continue;
            };
            let letter = if pen_down { 'L' } else { 'M' };
            let (x, y) = (self.x(step as f64 + 0.5), self.y(*value));
            let _ = write!(path, "{letter}{x:.1} {y:.1}");
            pen_down = true;
        }
        path
    }

    /// The area between two lines, where both are there.
    pub(crate) fn band(&self, low: &[Option<f64>], high: &[Option<f64>]) -> String {
        let mut path = String::new();
        let pairs: Vec<(usize, f64, f64)> = low
            .iter()
            .zip(high)
            .enumerate()
            .filter_map(|(step, (low, high))| Some((step, (*low)?, (*high)?)))
            .collect();
        for run in pairs.chunk_by(|before, after| after.0 == before.0 + 1) {
            for (at, (step, _, high)) in run.iter().enumerate() {
                let letter = if at == 0 { 'M' } else { 'L' };
                let (x, y) = (self.x(*step as f64 + 0.5), self.y(*high));
                let _ = write!(path, "{letter}{x:.1} {y:.1}");
            }
            for (step, low, _) in run.iter().rev() {
                let _ = write!(path, "L{:.1} {:.1}", self.x(*step as f64 + 0.5), self.y(*low));
            }
            path.push('Z');
        }
        path
    }

    /// A picture with axes around what is drawn. `title` is for those who do not see it.
    pub(crate) fn picture(&self, title: &str, unit: &str, inside: &str) -> String {
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"group\" aria-label=\"{title}\" \
             data-left=\"{LEFT}\" data-right=\"{RIGHT}\">\n{}{inside}\
             <path class=\"cursor\" d=\"\" data-top=\"{TOP}\" data-bottom=\"{}\"/>\n</svg>\n",
            self.height,
            self.axes(unit),
            self.height - BOTTOM
        )
    }

    fn axes(&self, unit: &str) -> String {
        let mut axes = String::new();
        for value in self.ticks() {
            let y = self.y(value);
            let _ = writeln!(
                axes,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"tick\" x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
        }
        let across = self.steps as f64 * self.each;
        for value in multiples(0.0, across, round_up(across / 10.0)) {
            let _ = writeln!(
                axes,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
                self.x(value / self.each),
                self.height - 8.0
            );
        }
        let _ = writeln!(
            axes,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{unit}</text>",
            LEFT + 4.0,
            TOP + 4.0
        );
        axes
    }

    fn ticks(&self) -> Vec<f64> {
        if self.scale == Scale::Logarithmic {
            let decades = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
            let few = decades.end() - decades.start() > 3;
            let of = |decade| {
                let digits: &[f64] = if few { &[1.0] } else { &[1.0, 2.0, 5.0] };
                digits.iter().map(move |digit| digit * 10_f64.powi(decade))
            };
            let within = |value: &f64| (self.least..=self.most).contains(value);
            return decades.flat_map(of).filter(within).collect();
        }
        multiples(self.least, self.most, round_up((self.most - self.least) / 5.0))
    }
}

/// The next larger number that is 1, 2 or 5 times a power of ten.
fn round_up(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    let unit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0);
    unit * power
}

fn multiples(least: f64, most: f64, size: f64) -> Vec<f64> {
    let first = (least / size).ceil() as i64;
    // A fifth, and three of them, are written with one digit.
    let whole = (1.0 / size).round().max(1.0);
    let value = move |at: i64| if size < 1.0 { at as f64 / whole } else { at as f64 * size };
    (first..).map(value).take_while(|value| *value <= most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_edges() {
        let plot = Plot::new(200.0, 10, 0.0, 100.0, Scale::Linear);
        assert!((plot.y(0.0) - 174.0).abs() < 1e-9);
        assert!((plot.y(100.0) - 10.0).abs() < 1e-9);
        assert!((plot.y(500.0) - plot.y(100.0)).abs() < 1e-9);
        assert!((plot.x(0.0) - 52.0).abs() < 1e-9 && (plot.x(10.0) - 988.0).abs() < 1e-9);
        let log = Plot::new(200.0, 10, 100.0, 10_000.0, Scale::Logarithmic);
        assert!((log.y(1_000.0) - 92.0).abs() < 1e-9);
    }

    #[test]
    fn lines_break_where_nothing_is_known() {
        let plot = Plot::new(200.0, 4, 0.0, 10.0, Scale::Linear);
        let line = plot.line(&[Some(1.0), None, Some(2.0), Some(3.0)]);
        assert_eq!((line.matches('M').count(), line.matches('L').count()), (2, 1));
        let band = plot.band(&[Some(1.0), None, Some(2.0)], &[Some(2.0), Some(3.0), Some(4.0)]);
        assert_eq!(band.matches('Z').count(), 2);
        assert_eq!(plot.stairs(&[1.0, 2.0]).matches('H').count(), 2);
    }

    #[test]
    fn ticks_are_round() {
        let plot = Plot::new(200.0, 4, 0.0, 320.0, Scale::Linear);
        assert_eq!(plot.ticks(), [0.0, 100.0, 200.0, 300.0]);
        let log = |least, most| Plot::new(200.0, 4, least, most, Scale::Logarithmic).ticks();
        assert_eq!(log(100.0, 1_000.0), [100.0, 200.0, 500.0, 1_000.0]);
        assert_eq!(log(1.0, 10_000.0), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(multiples(0.0, 600.0, round_up(60.0)).len(), 7);
    }
}
