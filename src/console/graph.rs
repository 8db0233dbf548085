//! Bar charts per day, as SVG that uses the page's colours; a drawing library would fix its own.

use maud::{Markup, html};

/// A series with one number per day.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Class of the style sheet that sets the colour.
    pub(super) class: &'static str,
    pub(super) values: Vec<u64>,
}

const WIDTH: u64 = 640;
const HEIGHT: u64 = 140;
const LEFT: u64 = 44;

/// Stacked series, with the numbers as a table for people who cannot see the chart. The axis ends at `most`; without
/// it, at the highest bar.
pub(super) fn bars(title: &str, days: &[String], series: &[Series], most: Option<u64>) -> Markup {
    let sums: Vec<u64> = (0..days.len()).map(|day| series.iter().map(|one| one.values[day]).sum()).collect();
    let highest = sums.iter().copied().max().unwrap_or(0);
    let most = most.unwrap_or(highest).max(1);
    let step = (WIDTH - LEFT) / (days.len() as u64).max(1);
    let height = |value: u64| value * (HEIGHT - 24) / most;
    html! {
        figure.graph {
            figcaption {
                (title)
                span.legend { @for one in series { span class=(format!("key {}", one.class)) { (one.name) } } }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{title}, by day; at most {highest} per day")) {
                text x=(LEFT - 6) y="14" text-anchor="end" { (most) }
                text x=(LEFT - 6) y=(HEIGHT - 18) text-anchor="end" { "0" }
                line.axis x1=(LEFT) x2=(WIDTH) y1=(HEIGHT - 22) y2=(HEIGHT - 22) {}
                @for (day, name) in days.iter().enumerate() { (day_of(name, day, series, (step, &height))) }
                @if let (Some(first), Some(last)) = (days.first(), days.last()) {
                    text x=(LEFT) y=(HEIGHT - 4) { (first) }
                    text x=(WIDTH) y=(HEIGHT - 4) text-anchor="end" { (last) }
                }
            }
            (table(title, days, series))
        }
    }
}

/// The days with any number above 0, newest first.
fn table(title: &str, days: &[String], series: &[Series]) -> Markup {
    let busy = (0..days.len()).rev().filter(|day| series.iter().any(|one| one.values[*day] > 0));
    html! {
        details {
            summary { "As a table" }
            div.scroll tabindex="0" role="region" aria-label=(format!("{title}, as a table")) {
                table {
                    thead { tr { th scope="col" { "Day" } @for one in series { th scope="col" { (one.name) } } } }
                    tbody {
                        @for day in busy { tr { th scope="row" { (days[day]) } @for one in series { td { (one.values[day]) } } } }
                    }
                }
            }
        }
    }
}

fn day_of(name: &str, day: usize, series: &[Series], (step, height): (u64, &dyn Fn(u64) -> u64)) -> Markup {
    let x = LEFT + step * day as u64 + 1;
    let mut top = HEIGHT - 22;
    let mut parts = Vec::new();
    for one in series {
        let tall = height(one.values[day]);
        top -= tall;
        parts.push((one, top, tall));
    }
    html! {
        @for (one, y, tall) in parts {
            @if tall > 0 {
                rect class=(one.class) x=(x) y=(y) width=(step.saturating_sub(2).max(1)) height=(tall) {
                    title { (name) ": " (one.values[day]) " " (one.name) }
                }
            }
        }
    }
}
