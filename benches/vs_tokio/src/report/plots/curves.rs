//! Figures over another one, as a curve for each server: latency by percentile, delivered by offered rate, and a soak's
//! memory and descriptors over time.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, DashedLineSeries, IntoLogRange, LineSeries, PathElement, Ranged,
    SVGBackend, SeriesLabelPosition,
};
use plotters::style::{BLACK, Color, WHITE};

use super::sheet::{Area, COLOURS, FONT, Palette, sheet};
use crate::figure::{Measured, OURS, Rounds, Step};
use crate::number::{fixed, median, shortest};

/// Points of a latency curve for each nine of its scale, and the most nines that it shows.
const POINTS: u32 = 80;
const MOST_NINES: u32 = 4;

struct Curve<'a> {
    server: &'a str,
    /// The most telling value, written beside the name.
    value: String,
    points: Vec<(f64, f64)>,
}

/// Latency by percentile, of all rounds of a server together.
pub(super) fn latency(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let (mut merged, mut missing) = (Vec::new(), Vec::new());
    for rounds in &measured.servers {
        match merge(rounds)? {
            Some(latency) => merged.push((rounds.server.as_str(), latency)),
            None => missing.push(rounds.server.as_str()),
        }
    }
    let Some(most) = merged.iter().map(|(_, latency)| latency.len()).max() else { return Ok(None) };
    let nines = most.ilog10().clamp(1, MOST_NINES);
    let curves: Vec<Curve<'_>> = merged.iter().map(|(server, latency)| by_nines(server, latency, nines)).collect();
    let explanation = match missing.join(", ").as_str() {
        "" => "From the moment a message was due until a client had it: every message, every client.".to_owned(),
        names => format!("From due until received. Without a curve, for losses or for a failure: {names}."),
    };
    let highest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).fold(0.0, f64::max);
    sheet("Latency by percentile, in milliseconds", &[&measured.title, &explanation], 520, |area| {
        let percent = |nine: &f64| match nine.fract() == 0.0 {
            true => format!("{} %", 100.0 - 100.0 * 10_f64.powi(-(*nine as i32))),
            false => String::new(),
        };
        let mut chart = chart(area, 0.0..f64::from(nines), 0.0..highest)?;
        mesh(&mut chart, ("percentile of all deliveries", "ms"), &percent)?;
        draw(&mut chart, &curves, palette)
    })
    .map(Some)
}

/// The histogram of all rounds of a server; none if one round has none.
fn merge(rounds: &Rounds) -> Result<Option<Histogram<u64>>> {
    let mut all: Option<Histogram<u64>> = None;
    for sample in &rounds.samples {
        let whole = sample.latency.as_ref().filter(|latency| !latency.is_empty() && sample.steps.is_empty());
        let Some(latency) = whole else { return Ok(None) };
        match &mut all {
            Some(all) => all.add(latency).context("adding up latencies")?,
            None => all = Some(latency.clone()),
        }
    }
    Ok(all)
}

/// Each nine of the percentile is as wide as the one before it.
fn by_nines<'a>(server: &'a str, latency: &Histogram<u64>, nines: u32) -> Curve<'a> {
    let ms = |nine: f64| latency.value_at_quantile(1.0 - 0.1_f64.powf(nine)) as f64 / 1e3;
    let places = (0..=nines * POINTS).map(|point| f64::from(point) / f64::from(POINTS));
    let value = format!("{} ms", fixed(ms(f64::from(nines)), 1));
    Curve { server, value, points: places.map(|nine| (nine, ms(nine))).collect() }
}

/// Deliveries against the offered rate: on the diagonal everything arrives, and a server that is full leaves it.
pub(super) fn rates(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let curves = measured.servers.iter().map(|rounds| {
        let points = by_rate(rounds);
        let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
        Curve { server: &rounds.server, value: format!("{} M/s", fixed(most, 2)), points }
    });
    let curves: Vec<Curve<'_>> = curves.filter(|curve| !curve.points.is_empty()).collect();
    let values = || curves.iter().flat_map(|curve| &curve.points).flat_map(|point| [point.0, point.1]);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if curves.is_empty() {
        return Ok(None);
    }
    let range = least / 1.2..most * 1.2;
    let explanation = "The thin line: all that is offered. Beside the names: the most.";
    sheet("Delivered of what was offered, in million a second", &[&measured.title, explanation], 540, |area| {
        let mut chart = chart(area, range.clone().log_scale(), range.clone().log_scale())?;
        mesh(&mut chart, ("offered, million/s", "delivered, million/s"), &|rate| shortest(*rate))?;
        chart.draw_series(LineSeries::new([(range.start, range.start), (range.end, range.end)], BLACK.mix(0.4)))?;
        draw(&mut chart, &curves, palette)?;
        for curve in &curves {
            let style = palette.colour(curve.server).filled();
            chart.draw_series(curve.points.iter().map(|&point| Circle::new(point, 4, style)))?;
        }
        Ok(())
    })
    .map(Some)
}

/// The steps of all rounds that a logarithmic scale has a place for.
fn steps(rounds: &Rounds) -> impl Iterator<Item = &Step> {
    let all = rounds.samples.iter().flat_map(|sample| &sample.steps);
    all.filter(|step| [step.offered, step.delivered].iter().all(|rate| rate.is_finite() && *rate > 0.0))
}

/// Rates that are meant to be the same differ by the remainder of a division.
fn is_same(one: f64, other: f64) -> bool {
    (one / other - 1.0).abs() < 0.005
}

/// The median of the rounds at each rate, in millions a second.
fn by_rate(rounds: &Rounds) -> Vec<(f64, f64)> {
    let mut offered: Vec<f64> = steps(rounds).map(|step| step.offered).collect();
    offered.sort_by(f64::total_cmp);
    offered.dedup_by(|one, other| is_same(*one, *other));
    let point = |offered: f64| {
        let same = steps(rounds).filter(|step| is_same(step.offered, offered));
        (offered / 1e6, median(&same.map(|step| step.delivered / 1e6).collect::<Vec<_>>()))
    };
    offered.into_iter().map(point).collect()
}

/// One value over time, and its trend.
pub(crate) struct Panel {
    pub(crate) label: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) trend: Option<[(f64, f64); 2]>,
}

/// Draws panels one above the other, on one scale of time.
pub(crate) fn over_time(title: &str, lines: &[&str], unit: &str, panels: &[Panel]) -> Result<String> {
    sheet(title, lines, 640, |area| {
        for (panel, area) in panels.iter().zip(area.split_evenly((panels.len(), 1))) {
            let last = panel.points.last().copied().unwrap_or((1.0, 0.0));
            let highest = panel.points.iter().map(|point| point.1).fold(1.0, f64::max);
            let mut chart = chart(&area, 0.0..last.0.max(f64::MIN_POSITIVE), 0.0..1.1 * highest)?;
            let label = format!("{}, {} at the end", panel.label, fixed(last.1, 1));
            mesh(&mut chart, (unit, &label), &|time| shortest(*time))?;
            chart.draw_series(LineSeries::new(panel.points.iter().copied(), COLOURS[1].stroke_width(2)))?;
            if let Some(ends) = panel.trend {
                chart.draw_series(DashedLineSeries::new(ends, 6, 5, BLACK.mix(0.6).stroke_width(2)))?;
            }
        }
        Ok(())
    })
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

fn chart<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    across: X,
    up: Y,
) -> Result<Chart<'a, 'b, X::CoordDescType, Y::CoordDescType>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
{
    let mut builder = ChartBuilder::on(area);
    builder.margin(16).margin_right(36).x_label_area_size(44).y_label_area_size(64);
    Ok(builder.build_cartesian_2d(across, up)?)
}

/// The grid, with the scales' names below and beside it.
fn mesh<X, Y>(chart: &mut Chart<'_, '_, X, Y>, names: (&str, &str), x: &dyn Fn(&f64) -> String) -> Result<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.max_light_lines(1)
        .x_desc(names.0)
        .y_desc(names.1)
        .x_label_formatter(x)
        .y_label_formatter(&|value| shortest(*value))
        .label_style((FONT, 14));
    Ok(mesh.draw()?)
}

/// The curves and their legend; smolcast's is drawn last, above the others.
fn draw<'a, 'b: 'a, X, Y>(chart: &mut Chart<'a, 'b, X, Y>, curves: &[Curve<'_>], palette: &Palette<'_>) -> Result<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (ours, others): (Vec<_>, Vec<_>) = curves.iter().partition(|curve| curve.server == OURS);
    for curve in others.into_iter().chain(ours) {
        let style = palette.colour(curve.server).stroke_width(if curve.server == OURS { 4 } else { 2 });
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(format!("{}: {}", curve.server, curve.value))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).label_font((FONT, 15));
    Ok(labels.draw()?)
}
