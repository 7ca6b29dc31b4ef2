//! Figures of one number a server, as bars: the shortest is the best and on top.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, EmptyElement, ErrorBar, IntoSegmentedCoord, Rectangle, SegmentValue, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontStyle, IntoFont, IntoTextStyle};

use super::sheet::{Area, FONT, Palette, sheet};
use crate::figure::{FLOOR, Measured, OURS};
use crate::number::{Spread, fixed};

const PITCH: usize = 42;

struct Bar<'a> {
    server: &'a str,
    spread: Spread,
    /// The part in user space, the server's own; the rest is the kernel's on its behalf.
    own: f64,
    label: String,
}

pub(super) fn cpu(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    // At rates of their own, servers do not compare.
    if measured.servers.iter().flat_map(|rounds| &rounds.samples).any(|sample| !sample.steps.is_empty()) {
        return Ok(None);
    }
    let bars = bars(measured, "cpu_us_per_delivery", |server, spread| {
        let own = Spread::of(&measured.values(server, "user_us_per_delivery"));
        let ratio = Spread::of(&measured.ratios(server, FLOOR, "cpu_us_per_delivery"));
        let ratio = ratio.filter(|_| server != FLOOR).map(|ratio| format!(", {} × floor", fixed(ratio.middle, 2)));
        let label = format!("{} µs{}", fixed(spread.middle, 2), ratio.unwrap_or_default());
        (own.map_or(spread.middle, |own| own.middle), label)
    });
    let split = measured.figures().iter().any(|figure| figure.key == "user_us_per_delivery");
    let explanation = match split {
        true => "Strong: in user space, the server's own. Pale: in the kernel, on its behalf.",
        false => "In user space and in the kernel together.",
    };
    drawn("CPU time per delivery, in microseconds", [&measured.title, explanation], &bars, palette)
}

pub(super) fn memory(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let bars =
        bars(measured, "user_bytes_per_stream", |_, spread| (spread.middle, format!("{} B", fixed(spread.middle, 0))));
    let explanation = "The process's own, resident. The kernel's memory for its sockets comes on top.";
    drawn("Memory per open stream, in bytes", [&measured.title, explanation], &bars, palette)
}

/// The bars of all servers that have a positive value of this figure, the largest first.
fn bars<'a>(measured: &'a Measured, key: &str, describe: impl Fn(&str, Spread) -> (f64, String)) -> Vec<Bar<'a>> {
    let bars = measured.servers.iter().filter_map(|rounds| {
        let spread = Spread::of(&measured.values(&rounds.server, key)).filter(|spread| spread.lowest > 0.0)?;
        let (own, label) = describe(&rounds.server, spread);
        Some(Bar { server: &rounds.server, spread, own: own.clamp(0.0, spread.middle), label })
    });
    let mut bars: Vec<Bar<'_>> = bars.collect();
    bars.sort_by(|one, other| other.spread.middle.total_cmp(&one.spread.middle));
    bars
}

fn drawn(title: &str, lines: [&str; 2], bars: &[Bar<'_>], palette: &Palette<'_>) -> Result<Option<String>> {
    if bars.is_empty() {
        return Ok(None);
    }
    let height = u32::try_from(130 + PITCH * bars.len())?;
    sheet(title, &lines, height, |area| draw(area, bars, palette)).map(Some)
}

fn draw(area: &Area<'_>, bars: &[Bar<'_>], palette: &Palette<'_>) -> Result<()> {
    let highest = bars.iter().map(|bar| bar.spread.highest).fold(0.0, f64::max);
    // The labels stand behind the bars.
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(190)
        .x_label_area_size(24)
        .y_label_area_size(100)
        .build_cartesian_2d(0.0..highest, (0..bars.len() - 1).into_segmented())?;
    let name = |segment: &SegmentValue<usize>| match segment {
        SegmentValue::CenterOf(index) => bars.get(*index).map_or(String::new(), |bar| bar.server.to_owned()),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .max_light_lines(1)
        .y_labels(bars.len())
        .y_label_formatter(&name)
        .label_style((FONT, 15))
        .draw()?;
    let pieces = |from: fn(&Bar<'_>) -> f64, to: fn(&Bar<'_>) -> f64, opacity: f64| {
        let piece = move |(index, bar): (usize, &Bar<'_>)| {
            let corners = [(from(bar), SegmentValue::Exact(index)), (to(bar), SegmentValue::Exact(index + 1))];
            let mut piece = Rectangle::new(corners, palette.colour(bar.server).mix(opacity).filled());
            piece.set_margin(9, 9, 0, 0);
            piece
        };
        bars.iter().enumerate().map(piece).collect::<Vec<_>>()
    };
    chart.draw_series(pieces(|_| 0.0, |bar| bar.own, 1.0))?;
    chart.draw_series(pieces(|bar| bar.own, |bar| bar.spread.middle, 0.4))?;
    chart.draw_series(bars.iter().enumerate().filter(|(_, bar)| bar.spread.lowest < bar.spread.highest).map(
        |(index, bar)| {
            let Spread { lowest, middle, highest } = bar.spread;
            ErrorBar::new_horizontal(SegmentValue::CenterOf(index), lowest, middle, highest, BLACK.mix(0.6), 8)
        },
    ))?;
    chart.draw_series(bars.iter().enumerate().map(|(index, bar)| {
        let weight = if bar.server == OURS { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FONT, 15).into_font().style(weight).into_text_style(area);
        let place = (bar.spread.highest, SegmentValue::CenterOf(index));
        let label = Text::new(bar.label.clone(), (10, 0), font.pos(Pos::new(HPos::Left, VPos::Center)));
        EmptyElement::at(place) + label
    }))?;
    Ok(())
}
