//! The colours of the plots, for a light page and for a dark one.
//!
//! A plot is drawn in the light colours, as attributes. Each stands for a role and for nothing else, so the style
//! sheet that is put into the SVG finds every shape of a role by its colour, and gives it the dark one where the
//! reader prefers that. It also holds what plotters has no word for: dashes, round corners, halos behind words.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::sheet::FINE;

/// One role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    light: u32,
    dark: u32,
}

const fn ink(light: u32, dark: u32) -> Ink {
    Ink { light, dark }
}

pub(super) const CARD: Ink = ink(0xFF_FF_FF, 0x0F_14_19);
pub(super) const BORDER: Ink = ink(0xD0_D7_DE, 0x30_36_3D);
pub(super) const GRID: Ink = ink(0xE6_EA_EE, 0x25_2B_33);
pub(super) const WORDS: Ink = ink(0x1F_23_28, 0xE6_ED_F3);
pub(super) const PALE_WORDS: Ink = ink(0x59_63_6E, 0x9D_A7_B3);
/// A dashed line that is no server's.
pub(super) const GUIDE: Ink = ink(0x8C_95_9F, 0x6B_75_80);

const FLOOR: Ink = ink(0x6A_72_7B, 0xA3_AC_B5);

/// The colours of a server that is always the same, told apart by those who see no red, no green or no blue.
const KNOWN: [(&str, Ink); 7] = [
    (super::super::FLOOR, FLOOR),
    (super::super::OURS, ink(0xD6_45_00, 0xFF_7F_3F)),
    ("tokio-raw", ink(0x00_5F_B8, 0x5A_A9_F2)),
    ("hyper", ink(0x1C_93_C6, 0x7F_D4_FA)),
    ("axum", ink(0x00_80_5C, 0x2F_C6_99)),
    ("actix-web", ink(0xA0_74_00, 0xE8_BE_3C)),
    ("smol-naive", ink(0xB5_3C_8C, 0xEE_8F_C6)),
];

/// For all others, in turn.
const ROTATION: [Ink; 6] = [
    ink(0x5B_4F_C9, 0xA9_A0_FF),
    ink(0x7A_4E_2D, 0xC9_9A_74),
    ink(0x5C_7F_00, 0xA9_CC_4A),
    ink(0xB8_24_3C, 0xFF_8A_94),
    ink(0x00_77_80, 0x4F_C8_D0),
    ink(0x3F_47_52, 0xC5_CD_D6),
];

impl Ink {
    pub(super) fn rgb(self) -> RGBColor {
        let [_, red, green, blue] = self.light.to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// Who has which colour in all plots of a report.
pub(super) struct Palette<'a>(Vec<&'a str>);

impl<'a> Palette<'a> {
    /// The names of all servers; those that are not known get their colours in this order.
    pub(super) fn of(names: impl Iterator<Item = &'a str>) -> Self {
        let mut others = Vec::new();
        for name in names {
            if !KNOWN.iter().any(|(known, _)| *known == name) && !others.contains(&name) {
                others.push(name);
            }
        }
        Self(others)
    }

    pub(super) fn ink(&self, server: &str) -> Ink {
        let known = KNOWN.iter().find(|(name, _)| *name == server).map(|&(_, ink)| ink);
        let turn = self.0.iter().position(|name| *name == server).unwrap_or(0);
        known.unwrap_or(ROTATION[turn % ROTATION.len()])
    }
}

pub(super) fn style_sheet() -> String {
    let hex = |colour: u32| format!("#{colour:06X}");
    let mut text = String::from("<style>\n");
    let mut rule = |line: &str| text.extend([line, "\n"]);
    let (card, border) = (hex(CARD.light), hex(BORDER.light));
    rule("text { font-variant-numeric: tabular-nums; paint-order: stroke; stroke-linejoin: round; }");
    rule(&format!("text {{ stroke: {card}; stroke-width: {}px; }}", 4 * FINE));
    rule("polyline { stroke-linejoin: round; stroke-linecap: round; }");
    rule(&format!("rect[stroke=\"{border}\"] {{ stroke-width: {FINE}px; rx: {}px; }}", 8 * FINE));
    rule(&format!("rect[fill=\"{card}\"] {{ rx: {}px; }}", 8 * FINE));
    for dashed in [FLOOR, GUIDE] {
        let colour = hex(dashed.light);
        rule(&format!("polyline[stroke=\"{colour}\"] {{ stroke-dasharray: {} {}; }}", 6 * FINE, 5 * FINE));
    }
    rule("@media (prefers-color-scheme: dark) {");
    rule(&format!("  text {{ stroke: {}; }}", hex(CARD.dark)));
    let roles = [CARD, BORDER, GRID, WORDS, PALE_WORDS, GUIDE];
    for role in roles.into_iter().chain(KNOWN.map(|(_, ink)| ink)).chain(ROTATION) {
        let (light, dark) = (hex(role.light), hex(role.dark));
        let mut swap = String::new();
        let _ = write!(swap, "  [fill=\"{light}\"] {{ fill: {dark}; }} [stroke=\"{light}\"] {{ stroke: {dark}; }}");
        rule(&swap);
    }
    text.push_str("}\n</style>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_stands_for_one_role() {
        let roles = [CARD, BORDER, GRID, WORDS, PALE_WORDS, GUIDE];
        let all: Vec<Ink> = roles.into_iter().chain(KNOWN.map(|(_, ink)| ink)).chain(ROTATION).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].iter().any(|other| other.light == one.light), "{one:?} is there twice");
        }
    }

    #[test]
    fn unknown_servers_differ() {
        let palette = Palette::of(["node", "axum", "go", "node"].into_iter());
        assert_eq!(palette.ink("node"), ROTATION[0]);
        assert_eq!(palette.ink("go"), ROTATION[1]);
        assert_eq!(palette.ink("axum"), KNOWN[4].1);
    }
}
