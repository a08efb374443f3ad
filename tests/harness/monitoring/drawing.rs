//! A picture of a dashboard: each panel where Grafana has it, with what Prometheus answered.

use super::dashboard::{Dashboard, Panel, Place};
use crate::kind::servers::Series;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// What a panel shows: the name of each line, and the line.
pub type Lines = Vec<(String, Series)>;

/// One column of the grid, in pixels.
const COLUMN: u32 = 60;
/// One row.
const ROW: u32 = 34;
/// Room above a line, so that the highest one does not lie on the edge.
const HEADROOM: f64 = 1.1;
/// Names that fit into a panel; more lines than that nobody tells apart.
const NAMES_MAX: usize = 9;
const FONT: &str = "sans-serif";

/// Draws `panels` of `dashboard`, in their order, over the seconds from `time.start` to `time.end`, as SVG.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(file: &Path, dashboard: &Dashboard, panels: &[Lines], time: &Range<f64>) -> Result<()> {
    let rows = dashboard.panels.iter().map(|panel| panel.place.y + panel.place.h).max().unwrap_or_default();
    let root = SVGBackend::new(file, (24 * COLUMN, rows * ROW)).into_drawing_area();
    let drawn = root.fill(&WHITE).map_err(told).and_then(|()| {
        let mut each = dashboard.panels.iter().zip(panels);
        each.try_for_each(|(panel, lines)| draw_panel(&part(&root, panel.place), panel, lines, time))
    });
    drawn.and_then(|()| root.present().map_err(told))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn part<'a>(root: &Area<'a>, place: Place) -> Area<'a> {
    root.clone().shrink((place.x * COLUMN, place.y * ROW), (place.w * COLUMN, place.h * ROW))
}

fn draw_panel(area: &Area<'_>, panel: &Panel, lines: &Lines, time: &Range<f64>) -> Result<()> {
    if panel.queries.is_empty() {
        let style = (FONT, 20).into_font().style(FontStyle::Bold);
        return area.draw(&Text::new(panel.title.clone(), (8, 8), style)).map_err(told);
    }
    let highest = points(lines).map(|(_, value)| value).fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest * HEADROOM } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 15))
        .margin(6)
        .x_label_area_size(22)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..time.end - time.start, 0.0..highest)
        .map_err(told)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&|value| written(*value, panel.unit()))
        .draw()
        .map_err(told)?;
    for (nth, (name, series)) in lines.iter().enumerate() {
        let colour = Palette99::pick(nth).to_rgba();
        let points = series.points.iter().filter(|(_, value)| value.is_finite());
        let points = points.map(|(at, value)| (at - time.start, *value));
        let line = chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).map_err(told)?;
        if nth >= NAMES_MAX {
            continue;
        }
        line.label(name).legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 2)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.7))
        .label_font((FONT, 11))
        .draw()
        .map_err(told)
}

/// The values that can be drawn.
fn points(lines: &Lines) -> impl Iterator<Item = (f64, f64)> {
    let points = lines.iter().flat_map(|(_, series)| series.points.iter().copied());
    points.filter(|(_, value)| value.is_finite())
}

/// How many moments of a panel have a value.
#[must_use]
pub fn points_of(lines: &Lines) -> usize {
    points(lines).count()
}

/// A value in the unit that Grafana has for it.
fn written(value: f64, unit: &str) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let (scale, prefix) = steps.iter().find(|(scale, _)| value >= *scale).copied().unwrap_or((1.0, ""));
        (value / scale, prefix.to_owned())
    };
    let binary = [(1_073_741_824.0, "Gi"), (1_048_576.0, "Mi"), (1024.0, "Ki")];
    match unit {
        "s" if value > 0.0 && value < 1.0 => format!("{:.1} ms", value * 1e3),
        "s" => format!("{value:.1} s"),
        "percentunit" => format!("{:.0} %", value * 100.0),
        "bytes" | "Bps" => {
            let (value, prefix) = scaled(&binary);
            format!("{value:.1} {prefix}B{}", if unit == "Bps" { "/s" } else { "" })
        }
        other => {
            let (value, prefix) = scaled(&[(1e6, "M"), (1e3, "k")]);
            let behind = if matches!(other, "ops" | "reqps") { "/s" } else { "" };
            format!("{value:.1}{prefix}{behind}")
        }
    }
}

fn told(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the picture cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use std::collections::BTreeMap;

    #[test]
    fn values_are_written_as_people_read_them() {
        assert_eq!(written(0.0034, "s"), "3.4 ms");
        assert_eq!(written(1536.0, "bytes"), "1.5 KiB");
        assert_eq!(written(2048.0, "Bps"), "2.0 KiB/s");
        assert_eq!(written(12_300.0, "short"), "12.3k");
        assert_eq!(written(0.5, "percentunit"), "50 %");
    }

    #[test]
    fn every_panel_is_in_the_picture_and_a_value_that_is_none_spoils_nothing() -> Result<()> {
        let dashboard = Dashboard::read(&tree::root().join("deploy/monitoring/dashboards/operator.json"))?;
        let series = Series { labels: BTreeMap::new(), points: vec![(10.0, 1.0), (11.0, f64::NAN), (12.0, 3.0)] };
        let panels = vec![vec![("line-of-it".to_owned(), series)]; dashboard.panels.len()];
        assert_eq!(points_of(&panels[0]), 2);
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("operator.svg");
        draw(&file, &dashboard, &panels, &(10.0..12.0))?;
        let picture = std::fs::read_to_string(file)?;
        for panel in &dashboard.panels {
            assert!(picture.contains(&panel.title), "{} is not drawn", panel.title);
        }
        let graphs = dashboard.panels.iter().filter(|panel| !panel.queries.is_empty()).count();
        assert_eq!(picture.matches("line-of-it").count(), graphs);
        Ok(())
    }
}
