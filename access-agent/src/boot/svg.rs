//! A timeline as a picture: SVG 1.1, readable on light and dark ground, without anything from elsewhere.

use std::fmt::Write as _;

use super::bars::{headline, parts, seconds};
use super::timeline::{Phase, Span, Timeline};

/// Pixels.
const WIDTH: u64 = 960;
const LEFT: u64 = 24;
const TOP: u64 = 92;
const ROW: u64 = 26;
const BAR: u64 = 18;
/// Room right of the last moment, for the name of what ends there.
const RIGHT: u64 = 200;
/// Lines of the ruler at most.
const MOST_TICKS: u64 = 12;

/// The picture, with its line end.
#[must_use]
pub fn svg(timeline: &Timeline) -> String {
    let rows = u64::try_from(timeline.spans.len()).unwrap_or(0);
    let bottom = TOP + rows * ROW;
    let height = bottom + 64;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">"
    );
    let _ = writeln!(out, "<title>{}</title>", escaped(&headline(timeline)));
    let _ = writeln!(
        out,
        "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\" rx=\"8\"/>"
    );
    out.push_str(&heading(timeline));
    out.push_str(&ruler(timeline.end(), bottom));
    for (row, span) in (0..).zip(&timeline.spans) {
        out.push_str(&bar(span, row, timeline.end()));
    }
    out.push_str(&completion(timeline, bottom));
    out.push_str(&legend(bottom + 40));
    out.push_str("</svg>\n");
    out
}

fn heading(timeline: &Timeline) -> String {
    format!(
        "<text x=\"{LEFT}\" y=\"34\" font-size=\"18\" font-weight=\"600\" fill=\"#1c2530\">Keelson {}</text>\n\
         <text x=\"{LEFT}\" y=\"56\" fill=\"#5b6673\">{}</text>\n",
        escaped(&headline(timeline)),
        escaped(&parts(timeline))
    )
}

/// A thin line and a figure at round times.
fn ruler(whole: u64, bottom: u64) -> String {
    let step = tick(whole);
    let marks = (0..).map(|number| number * step).take_while(|at| *at <= whole);
    marks.fold(String::new(), |mut out, at| {
        let x = place(at, whole);
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#e3e7ec\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#8a94a0\">{}</text>",
            TOP - 6,
            TOP - 12,
            figure(at)
        );
        out
    })
}

/// 1, 2 or 5 times a power of ten, so that there are at most [`MOST_TICKS`] steps.
fn tick(whole: u64) -> u64 {
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power) * 1_000));
    steps
        .into_iter()
        .find(|step| whole / step <= MOST_TICKS)
        .unwrap_or(whole.max(1))
}

fn figure(at: u64) -> String {
    match at % 1_000_000 {
        0 => format!("{} s", at / 1_000_000),
        rest => format!("{}.{:01} s", at / 1_000_000, rest / 100_000),
    }
}

fn bar(span: &Span, row: u64, whole: u64) -> String {
    let y = TOP + row * ROW;
    let (start, end) = (place(span.start_us, whole), place(span.end_us.unwrap_or(whole), whole));
    let width = end.saturating_sub(start).max(2);
    let took = span
        .end_us
        .map_or("not up".to_owned(), |end| seconds(end.saturating_sub(span.start_us)));
    let opacity = if span.end_us.is_some() { "1" } else { "0.35" };
    format!(
        "<rect x=\"{start}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" rx=\"3\" fill=\"{}\" fill-opacity=\"{opacity}\">\
         <title>{name}: from {}, {took}</title></rect>\
         <text x=\"{}\" y=\"{}\" fill=\"#1c2530\">{name} <tspan fill=\"#8a94a0\">{took}</tspan></text>\n",
        colour(span.phase),
        seconds(span.start_us),
        start + width + 6,
        y + 13,
        name = escaped(&span.name),
    )
}

fn completion(timeline: &Timeline, bottom: u64) -> String {
    let Some(complete) = timeline.complete_us else {
        return String::new();
    };
    let x = place(complete, timeline.end());
    format!(
        "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#1a7f4b\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#1a7f4b\">complete {}</text>\n",
        TOP - 6,
        bottom + 14,
        seconds(complete)
    )
}

fn legend(y: u64) -> String {
    let entries = [
        ("firmware", Phase::Firmware),
        ("loader", Phase::Loader),
        ("kernel", Phase::Kernel),
        ("initramfs", Phase::Initramfs),
        ("PID 1", Phase::System),
        ("services", Phase::Unit),
    ];
    (0..)
        .zip(entries)
        .fold(String::new(), |mut out, (number, (name, phase))| {
            let x = LEFT + number * 104;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"3\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{y}\" fill=\"#5b6673\">{name}</text>",
                y - 10,
                colour(phase),
                x + 18
            );
            out
        })
}

const fn colour(phase: Phase) -> &'static str {
    match phase {
        Phase::Firmware => "#9aa5b1",
        Phase::Loader => "#c38d2e",
        Phase::Kernel => "#8a4fbe",
        Phase::Initramfs => "#2b7bba",
        Phase::System => "#25606f",
        Phase::Unit => "#3aa17e",
    }
}

/// Where a moment is.
fn place(at: u64, whole: u64) -> u64 {
    LEFT + at.saturating_mul(WIDTH - LEFT - RIGHT) / whole
}

/// Text that may stand in an element and in an attribute; what XML 1.0 cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}
