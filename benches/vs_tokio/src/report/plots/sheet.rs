//! The common ground of the plots: a title, colours, and both kinds of pages.
//!
//! plotters draws charts, axes and legends. A plot is drawn for a light page, and its style sheet inverts it where the
//! reader prefers a dark one.

use std::iter;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::full_palette::{
    AMBER_800, BLUE_800, BROWN_500, CYAN_600, DEEPORANGE_800, GREEN_800, GREY_600, INDIGO_300, LIME_800, PINK_600,
};
use plotters::style::{RGBColor, WHITE};

const WIDTH: u32 = 860;
pub(super) const FONT: &str = "sans-serif";
const INVERT_WHERE_DARK: &str =
    "<style>@media (prefers-color-scheme: dark) { svg { filter: invert(0.93) hue-rotate(180deg); } }</style>";

/// One colour a server, in the order of the report: the floor's grey, smolcast's orange, and the others'.
pub(super) const COLOURS: [RGBColor; 10] =
    [GREY_600, DEEPORANGE_800, BLUE_800, CYAN_600, GREEN_800, AMBER_800, PINK_600, INDIGO_300, LIME_800, BROWN_500];

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The servers of a comparison, each with one colour in all plots.
pub(super) struct Palette<'a>(Vec<&'a str>);

impl<'a> Palette<'a> {
    pub(super) fn new(servers: Vec<&'a str>) -> Self {
        Self(servers)
    }

    pub(super) fn colour(&self, server: &str) -> RGBColor {
        let index = self.0.iter().position(|name| *name == server).unwrap_or(0);
        COLOURS[index % COLOURS.len()]
    }
}

/// Draws below a title and its lines, and returns the SVG.
pub(super) fn sheet(
    title: &str,
    lines: &[&str],
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let sizes = iter::once((title, 24)).chain(lines.iter().map(|line| (*line, 15)));
        let mut area = root.margin(12, 0, 0, 0);
        for (text, size) in sizes.filter(|(text, _)| !text.is_empty()) {
            area = area.titled(text, (FONT, size))?;
        }
        draw(&area)?;
        root.present()?;
    }
    let (head, shapes) = svg.split_once('>').context("the SVG has no element")?;
    Ok(format!("{head} role=\"img\">\n{INVERT_WHERE_DARK}{shapes}"))
}
