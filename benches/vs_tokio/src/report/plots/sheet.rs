//! What the plots are drawn on: a card with a title, in pixels that need not be whole.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, ShapeStyle, TextStyle};

use anyhow::{Context, Result};

use super::super::number::shortened;
use super::palette::{BORDER, CARD, Ink, PALE_WORDS, WORDS, style_sheet};

/// The parts of a pixel: plotters counts whole ones, of which curves would get steps.
pub(super) const FINE: i32 = 10;
pub(super) const WIDTH: f64 = 860.0;
const LONGEST_LINE: usize = 124;
/// Where words on the card begin.
pub(super) const MARGIN: f64 = 24.0;

type Point = (f64, f64);
pub(super) type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

pub(super) struct Sheet<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// How words are written.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) ink: Ink,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) align: HPos,
}

pub(super) const PLAIN: Script = Script { ink: WORDS, size: 13.0, bold: false, align: HPos::Left };
pub(super) const PALE: Script = Script { ink: PALE_WORDS, ..PLAIN };

/// Draws a card of that height, and returns its SVG.
pub(super) fn card(
    title: &str,
    lines: [&str; 2],
    height: f64,
    draw: impl FnOnce(&Sheet<'_>) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    let size = ((WIDTH as i32 * FINE).unsigned_abs(), (height as i32 * FINE).unsigned_abs());
    let draw_all = |sheet: &Sheet<'_>| {
        sheet.bar((0.0, 0.0), (WIDTH, height), CARD, 1.0)?;
        sheet.frame((0.5, 0.5), (WIDTH - 0.5, height - 0.5), BORDER)?;
        sheet.words((MARGIN, 30.0), title, Script { size: 18.0, bold: true, ..PLAIN })?;
        for (index, line) in lines.into_iter().enumerate() {
            sheet.words((MARGIN, 54.0 + 19.0 * index as f64), &shortened(line, LONGEST_LINE), PALE)?;
        }
        draw(sheet)?;
        sheet.0.present()
    };
    draw_all(&Sheet(SVGBackend::with_string(&mut svg, size).into_drawing_area()))
        .context(format!("drawing {title}"))?;
    Ok(finished(&svg, title, size))
}

/// In pixels of its reader, with its name and its style.
fn finished(svg: &str, title: &str, (width, height): (u32, u32)) -> String {
    let fine = FINE.unsigned_abs();
    let drawn = format!("<svg width=\"{width}\" height=\"{height}\"");
    let shown = format!("<svg role=\"img\" width=\"{}\" height=\"{}\"", width / fine, height / fine);
    let svg = svg.replacen(&drawn, &shown, 1);
    let (head, shapes) = svg.split_once('>').unwrap_or((&svg, ""));
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    format!("{head}>\n<title>{title}</title>\n{}{}", style_sheet(), shapes.trim_start())
}

impl Sheet<'_> {
    pub(super) fn line(&self, points: &[Point], ink: Ink, width: f64, opacity: f64) -> Drawn {
        let width = (width * f64::from(FINE)).round() as u32;
        let style = ShapeStyle { color: ink.rgb().mix(opacity), filled: false, stroke_width: width };
        self.0.draw(&PathElement::new(points.iter().map(fine).collect::<Vec<_>>(), style))
    }

    pub(super) fn bar(&self, from: Point, to: Point, ink: Ink, opacity: f64) -> Drawn {
        self.0.draw(&Rectangle::new([fine(&from), fine(&to)], ink.rgb().mix(opacity).filled()))
    }

    fn frame(&self, from: Point, to: Point, ink: Ink) -> Drawn {
        self.0.draw(&Rectangle::new([fine(&from), fine(&to)], ink.rgb().stroke_width(1)))
    }

    /// A point of a curve; hollow ones show the card.
    pub(super) fn dot(&self, at: Point, radius: f64, ink: Ink, hollow: bool) -> Drawn {
        let size = (radius * f64::from(FINE)).round() as i32;
        let fill = if hollow { CARD } else { ink };
        self.0.draw(&Circle::new(fine(&at), size, fill.rgb().filled()))?;
        let width = (1.6 * f64::from(FINE)) as u32;
        self.0.draw(&Circle::new(fine(&at), size, ink.rgb().stroke_width(width)))
    }

    /// Words whose middle line goes through the point.
    pub(super) fn words(&self, at: Point, words: &str, script: Script) -> Drawn {
        // By what plotters divides again: its sizes are those of a line, not of the letters.
        let size = 1.24 * script.size * f64::from(FINE);
        let weight = if script.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("system-ui, sans-serif", size).into_font().style(weight);
        let colour = script.ink.rgb();
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(script.align, VPos::Center));
        self.0.draw(&Text::new(words.to_owned(), fine(&at), style))
    }
}

fn fine(&(x, y): &Point) -> (i32, i32) {
    let whole = |value: f64| (value * f64::from(FINE)).round() as i32;
    (whole(x), whole(y))
}

/// Moves labels apart that would stand less than `gap` from each other, each as little as it can, within `from` and
/// `to` as far as there is room. Takes and returns where their middles are, in any order.
pub(super) fn apart(wanted: &[f64], gap: f64, from: f64, to: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    // Runs of labels that touch: how many, and where the first of them stands.
    let mut runs: Vec<(usize, f64)> = Vec::new();
    for &index in &order {
        let (mut count, mut first) = (1, wanted[index].clamp(from, to));
        while let Some(&(above, top)) = runs.last() {
            if top + above as f64 * gap <= first {
                break;
            }
            runs.pop();
            // Each wants to be where it belongs: the middle of what they want for the first of them.
            first = (above as f64 * top + count as f64 * (first - above as f64 * gap)) / (above + count) as f64;
            count += above;
            first = first.min(to - (count - 1) as f64 * gap).max(from);
        }
        runs.push((count, first));
    }
    let mut places = runs.into_iter().flat_map(|(count, first)| (0..count).map(move |turn| first + turn as f64 * gap));
    let mut moved = vec![0.0; wanted.len()];
    for index in order {
        moved[index] = places.next().unwrap_or(wanted[index]);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_no_further() {
        assert_eq!(apart(&[10.0, 50.0], 10.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(apart(&[52.0, 50.0], 10.0, 0.0, 100.0), [56.0, 46.0]);
        assert_eq!(apart(&[1.0, 2.0, 3.0], 10.0, 0.0, 100.0), [0.0, 10.0, 20.0]);
        assert_eq!(apart(&[99.0, 98.0, 20.0], 10.0, 0.0, 100.0), [100.0, 90.0, 20.0]);
        assert_eq!(apart(&[], 10.0, 0.0, 100.0), [0.0; 0]);
    }
}
