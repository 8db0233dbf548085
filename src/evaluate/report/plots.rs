//! Plots as inline SVG: lines, marks and step outlines on two linear axes.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

/// Size of a plot in its own units, more than twice the width of a phone, because the backend rounds to whole units.
const SIZE: (u32, u32) = (760, 560);

/// Colours of lines and marks. `style.css` selects each by its value, and sets a colour for light and for dark pages
/// and a dash pattern.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x60, 0xA8),
    RGBColor(0xB8, 0x43, 0x00),
    RGBColor(0x00, 0x75, 0x5A),
    RGBColor(0x9C, 0x35, 0x78),
    RGBColor(0x6B, 0x52, 0x00),
    RGBColor(0x4B, 0x4B, 0xB3),
    RGBColor(0xA3, 0x17, 0x2E),
    RGBColor(0x44, 0x4A, 0x52),
];

const INK: RGBColor = RGBColor(0x10, 0x10, 0x10);
const GRID: RGBColor = RGBColor(0xE0, 0xE0, 0xE0);

/// An axis of a plot.
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    /// Positions of the ends, lines and labels, in rising order: two or more.
    pub(super) ticks: Vec<f64>,
    pub(super) format: fn(f64) -> String,
}

/// One line of a plot, with its name in the legend.
pub(super) struct Line {
    pub(super) name: String,
    /// (x, y) in the units of the axes; points beyond an axis are drawn at its end.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) marks: bool,
    pub(super) filled: bool,
}

impl Line {
    /// A line without marks or filling.
    pub(super) fn plain(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, marks: false, filled: false }
    }
}

/// A plot with its title, its legend and an alternative text.
pub(super) fn figure(title: &str, text: &str, x: &Axis<'_>, y: &Axis<'_>, lines: &[Line]) -> Markup {
    html! {
        figure.plot {
            figcaption { h3 { (title) } p.note { (text) } }
            @match svg(x, y, lines) {
                Ok(svg) => div role="img" aria-label=(format!("{title}. {text}")) { (PreEscaped(svg)) },
                Err(error) => p { "The plot could not be drawn: " (error) },
            }
            ul.legend {
                @for (place, line) in lines.iter().enumerate() {
                    li {
                        svg viewBox="0 0 44 12" aria-hidden="true" {
                            line x1="0" y1="6" x2="44" y2="6" stroke=(hex(colour(place))) {}
                        }
                        (line.name)
                    }
                }
            }
        }
    }
}

fn svg(x: &Axis<'_>, y: &Axis<'_>, lines: &[Line]) -> Result<String, Box<dyn std::error::Error>> {
    let (xs, ys) = (ends(x)?, ends(y)?);
    let clamp = |&(a, b): &(f64, f64)| (a.clamp(xs.0, xs.1), b.clamp(ys.0, ys.1));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .margin_right(44)
            .x_label_area_size(80)
            .y_label_area_size(116)
            .build_cartesian_2d(Scale { axis: x, ends: xs }, Scale { axis: y, ends: ys })?;
        chart
            .configure_mesh()
            .x_desc(x.label)
            .y_desc(y.label)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(INK.stroke_width(2))
            .label_style(("sans-serif", 26))
            .draw()?;
        for (place, line) in lines.iter().enumerate() {
            let (colour, points) = (colour(place), line.points.iter().map(clamp));
            if line.filled {
                chart.draw_series(AreaSeries::new(points.clone(), ys.0, colour.mix(0.12)))?;
            }
            if line.marks {
                chart.draw_series(points.clone().map(|point| Circle::new(point, 7, colour.filled())))?;
            }
            chart.draw_series(LineSeries::new(points, colour.stroke_width(4)))?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// An axis with its ends, for plotters, which has no scale with labels at given positions.
struct Scale<'a> {
    axis: &'a Axis<'a>,
    ends: (f64, f64),
}

impl Ranged for Scale<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "within the plot")]
    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.ends.0) / (self.ends.1 - self.ends.0);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.axis.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

impl ValueFormatter<f64> for Scale<'_> {
    fn format_ext(&self, value: &f64) -> String {
        (self.axis.format)(*value)
    }
}

fn ends(axis: &Axis<'_>) -> Result<(f64, f64), String> {
    match (axis.ticks.first(), axis.ticks.last()) {
        (Some(&low), Some(&high)) if low < high && low.is_finite() && high.is_finite() => Ok((low, high)),
        _ => Err(format!("the axis {:?} has no length", axis.label)),
    }
}

fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// About five round ticks that cover `low` to `high`, in steps of 1, 2 or 5 times a power of ten.
pub(super) fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = if (high - low).is_finite() && high > low { high - low } else { 1.0 };
    let low = if low.is_finite() { low } else { 0.0 };
    let power = 10_f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|step| span / step <= 6.0).unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let mut all = vec![first * step];
    let mut place = first;
    while all.last().is_some_and(|last| *last < low + span - step * 1e-9) {
        place += 1.0;
        all.push(place * step);
    }
    all
}
