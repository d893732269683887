//! Draws plots as SVG: labelled intervals, bars and spans, and points. Colours come from the page's style sheet.

use crate::html::escaped;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 220.0;
const FIGURES: f64 = 60.0;
const ROW: f64 = 22.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 56.0;
/// Approximate number of ticks on an axis.
const TICKS: f64 = 5.0;

/// A labelled value with its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Label beside the value.
    pub label: String,
    /// The value.
    pub at: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

/// A point with an error bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Horizontal position.
    pub x: f64,
    /// Vertical position.
    pub y: f64,
    /// Half the length of the vertical error bar.
    pub error: f64,
}

/// A plot, drawn by [`Plot::svg`].
#[derive(Debug, Clone, PartialEq)]
pub struct Plot(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Named {
        unit: &'static str,
        rows: Vec<Range>,
        mark: Mark,
    },
    Points {
        title: &'static str,
        x: &'static str,
        y: &'static str,
        points: Vec<Point>,
        diagonal: bool,
        level: Option<f64>,
    },
}

/// What a labelled value is drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A dot between its bounds.
    Interval,
    /// A bar from zero to it.
    Bar,
    /// A bar between its bounds.
    Span,
}

impl Range {
    /// Makes a value without bounds, for [`Plot::bars`].
    pub fn bar(label: &str, at: f64) -> Self {
        Self { label: label.into(), at, lower: at, upper: at }
    }
}

/// Linear mapping from values `low..high` to pixels `from..to`.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // A single value gets a range around it.
        let margin = if high > low { 0.05 * (high - low) } else { 0.5 * high.abs().max(1.0) };
        Self { low: low - margin, high: high + margin, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Returns the positions of the ticks, at round values, with their labels.
    fn ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / TICKS;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|of| of as f64 * step).map(|at| (at, format!("{at:.decimals$}"))).collect()
    }
}

impl Plot {
    /// Plots labelled values with their bounds, one in each row.
    pub fn ranges(unit: &'static str, rows: Vec<Range>) -> Self {
        Self(Form::Named { unit, rows, mark: Mark::Interval })
    }

    /// Plots labelled values as bars from zero.
    pub fn bars(unit: &'static str, rows: Vec<Range>) -> Self {
        Self(Form::Named { unit, rows, mark: Mark::Bar })
    }

    /// Plots labelled values as bars between their bounds, as the steps of a timeline are.
    pub fn spans(unit: &'static str, rows: Vec<Range>) -> Self {
        Self(Form::Named { unit, rows, mark: Mark::Span })
    }

    /// Plots points with error bars, connected by a line.
    pub fn points(title: &'static str, x: &'static str, y: &'static str, points: Vec<Point>) -> Self {
        Self(Form::Points { title, x, y, points, diagonal: false, level: None })
    }

    /// Adds the diagonal on which `x` equals `y`; it has no effect on other plots than [`Plot::points`].
    pub fn with_diagonal(mut self) -> Self {
        if let Form::Points { diagonal, .. } = &mut self.0 {
            *diagonal = true;
        }
        self
    }

    /// Adds a horizontal line at the nominal level; it has no effect on other plots than [`Plot::points`].
    pub fn with_level(mut self, at: f64) -> Self {
        if let Form::Points { level, .. } = &mut self.0 {
            *level = Some(at);
        }
        self
    }

    /// Draws the plot as a file of its own, for documents that are no pages of ours.
    pub fn image(&self) -> String {
        let named = self.svg().replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
        named.replacen(">\n", &format!(">\n<style>{STYLE}</style>\n"), 1)
    }

    /// Draws the plot as an SVG element.
    pub fn svg(&self) -> String {
        match &self.0 {
            Form::Named { unit, rows, mark } => named(unit, rows, *mark),
            Form::Points { title, x, y, points, diagonal, level } => {
                by_value(title, [x, y], points, *diagonal, *level)
            }
        }
    }
}

/// Style of a plot outside of a page: colours that can be read on white and on black.
const STYLE: &str = "svg { font: 12px system-ui, sans-serif; } text { fill: #808790; } .line { stroke: #80879055; } .mark { stroke: #1f9d6b; fill: #1f9d6b; } .path { stroke: #1f9d6b; fill: none; } .level { stroke: #c0703a; stroke-dasharray: 4 3; }";

fn text(x: f64, y: f64, anchor: &str, class: &str, text: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>\n",
        escaped(text)
    )
}

fn line(from: (f64, f64), to: (f64, f64), class: &str) -> String {
    let ((x1, y1), (x2, y2)) = (from, to);
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>\n")
}

fn drawing(height: f64, title: &str, inside: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{inside}</svg>\n"
    )
}

/// Draws a bar between two positions, at least as wide as can be seen.
fn bar(from: f64, to: f64, y: f64) -> String {
    let (left, width) = (from.min(to), (to - from).abs().max(1.0));
    let top = y - 6.0;
    format!("<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"12\" class=\"mark\"/>\n")
}

fn named(unit: &str, rows: &[Range], mark: Mark) -> String {
    let zero = (mark != Mark::Interval).then_some(0.0);
    let values = rows.iter().flat_map(|row| [row.lower, row.upper]).chain(zero);
    let scale = Scale::over(values, LABELS + 10.0, WIDTH - FIGURES);
    let bottom = ROW * rows.len() as f64 + 8.0;
    let mut inside = String::new();
    for (at, label) in scale.ticks() {
        inside.push_str(&line((scale.at(at), 4.0), (scale.at(at), bottom), "line"));
        inside.push_str(&text(scale.at(at), bottom + 14.0, "middle", "soft", &label));
    }
    for (number, row) in rows.iter().enumerate() {
        let y = ROW * (number as f64 + 0.5) + 4.0;
        let x = scale.at(row.at);
        inside.push_str(&text(LABELS, y + 4.0, "end", "", &row.label));
        inside.push_str(&match mark {
            Mark::Interval => {
                line((scale.at(row.lower), y), (scale.at(row.upper), y), "mark")
                    + &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" class=\"mark\"/>\n")
            }
            Mark::Bar => bar(scale.at(0.0), x, y),
            Mark::Span => bar(scale.at(row.lower), scale.at(row.upper), y),
        });
        let decimals = if row.at.abs() < 10.0 { 3 } else { 2 };
        inside.push_str(&text(WIDTH - 8.0, y + 4.0, "end", "soft", &format!("{:.decimals$}", row.at)));
    }
    inside.push_str(&text(LABELS + 10.0, bottom + 32.0, "start", "soft", unit));
    drawing(bottom + 40.0, unit, &inside)
}

fn by_value(
    title: &str,
    [x_name, y_name]: [&str; 2],
    points: &[Point],
    diagonal: bool,
    level: Option<f64>,
) -> String {
    let xs = points.iter().map(|point| point.x);
    let ys = points.iter().flat_map(|point| [point.y - point.error, point.y + point.error]).chain(level);
    let x_scale = Scale::over(xs, MARGIN, WIDTH - 16.0);
    let y_scale = Scale::over(ys, HEIGHT - MARGIN, 28.0);
    let mut inside = text(MARGIN, 16.0, "start", "soft", &format!("{title}: {y_name}"));
    for (at, label) in y_scale.ticks() {
        inside.push_str(&line((MARGIN, y_scale.at(at)), (WIDTH - 16.0, y_scale.at(at)), "line"));
        inside.push_str(&text(MARGIN - 6.0, y_scale.at(at) + 4.0, "end", "soft", &label));
    }
    for (at, label) in x_scale.ticks() {
        inside.push_str(&text(x_scale.at(at), HEIGHT - MARGIN + 18.0, "middle", "soft", &label));
    }
    if diagonal {
        let low = x_scale.low.max(y_scale.low);
        let high = x_scale.high.min(y_scale.high);
        let at = |value: f64| (x_scale.at(value), y_scale.at(value));
        inside.push_str(&line(at(low), at(high), "level"));
    }
    if let Some(at) = level {
        inside.push_str(&line((MARGIN, y_scale.at(at)), (WIDTH - 16.0, y_scale.at(at)), "level"));
    }
    let path: Vec<String> =
        points.iter().map(|point| format!("{:.1},{:.1}", x_scale.at(point.x), y_scale.at(point.y))).collect();
    inside.push_str(&format!("<polyline points=\"{}\" class=\"path\"/>\n", path.join(" ")));
    for point in points {
        let (x, y) = (x_scale.at(point.x), y_scale.at(point.y));
        let [low, high] = [-1.0, 1.0].map(|sign| y_scale.at(point.y + sign * point.error));
        inside.push_str(&line((x, low), (x, high), "mark"));
        inside.push_str(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" class=\"mark\"/>\n"));
    }
    inside.push_str(&text(WIDTH - 16.0, HEIGHT - 12.0, "end", "soft", x_name));
    drawing(HEIGHT, title, &inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::over([0.3, 4.7].into_iter(), 0.0, 100.0);
        let labels: Vec<String> = scale.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["1", "2", "3", "4"].map(String::from));
        let one = Scale::over([0.25].into_iter(), 0.0, 100.0);
        assert!(one.low < 0.25 && 0.25 < one.high && (1..10).contains(&one.ticks().len()));
        assert!(
            Scale::over(std::iter::empty(), 0.0, 1.0).ticks().len() > 1,
            "of nothing there is a scale too"
        );
    }

    #[test]
    fn a_plot_names_what_it_shows_and_escapes_it() {
        let rows = vec![Range { label: "<a & b>".into(), at: 2.0, lower: 1.0, upper: 3.0 }];
        let plot = Plot::ranges("RMSE, minutes", rows);
        let svg = plot.svg();
        assert!(svg.contains("&lt;a &amp; b&gt;") && svg.contains("aria-label=\"RMSE, minutes\""), "{svg}");
        assert!(!svg.contains("NaN") && svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        let image = plot.image();
        assert!(
            image.contains("xmlns=\"http://www.w3.org/2000/svg\"") && image.contains("<style>"),
            "{image}"
        );
        assert_eq!(image.matches('<').count(), image.matches('>').count());
    }
}
