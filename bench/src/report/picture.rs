//! The rows that matter most as bars: a group a row, a bar a system, each row scaled to its longest bar. The card has its
//! own background in both themes, so that it is legible whatever page it stands on.

use std::fmt::Write as _;

use super::{Column, Row, figure};

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
/// Room for the systems' names before the bars.
const NAMES: f64 = 190.0;
/// Room for the figure behind a bar.
const FIGURE: f64 = 150.0;
const BAR: f64 = 18.0;
/// From one bar to the next.
const STEP: f64 = 22.0;
/// From a row's heading to its first bar.
const HEADING: f64 = 10.0;
/// From a row's heading to the next one's, bars left out.
const BETWEEN: f64 = 44.0;
const TOP: f64 = 96.0;

/// Colours by class: the card, text, and the bars in the order of the systems.
const STYLE: &str = "\
    text{fill:#1f2328}.card{fill:#fff;stroke:#d0d7de}.quiet{fill:#59636e}\
    .bar0{fill:#0f766e}.bar1{fill:#a8b1bb}.bar2{fill:#818b98}.bar3{fill:#59636e}\
    @media (prefers-color-scheme:dark){\
    text{fill:#f0f6fc}.card{fill:#0d1117;stroke:#3d444d}.quiet{fill:#9198a1}\
    .bar0{fill:#2dd4bf}.bar1{fill:#656c76}.bar2{fill:#4d5560}.bar3{fill:#3d444d}}";

/// Draws rows as SVG 1.1.
pub fn draw(title: &str, setting: &str, systems: &[String], rows: &[&Row]) -> String {
    let group = BETWEEN + STEP * systems.len() as f64;
    let height = TOP + group * rows.len() as f64 - BETWEEN + HEADING + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-size=\"13\" \
         font-family=\"-apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif\">\n<style>{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <text x=\"{MARGIN}\" y=\"36\" font-size=\"18\" font-weight=\"600\">{}</text>\n\
         <text class=\"quiet\" x=\"{MARGIN}\" y=\"57\">{}; shorter is better</text>\n",
        WIDTH - 1.0,
        height - 1.0,
        escape(title),
        escape(setting)
    );
    for (index, row) in rows.iter().enumerate() {
        bars(&mut svg, systems, row, TOP + group * index as f64);
    }
    svg + "</svg>\n"
}

/// One row, its heading's base line at `top`.
fn bars(svg: &mut String, systems: &[String], row: &Row, top: f64) {
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{top}\"><tspan font-weight=\"600\">{}</tspan><tspan class=\"quiet\" dx=\"6\">{}</tspan></text>",
        escape(&row.name),
        escape(&row.unit)
    );
    let longest = row.columns.iter().filter_map(Column::median).fold(0.0, f64::max);
    let columns = systems.iter().zip(&row.columns).zip(row.ratios());
    for (index, ((system, column), ratio)) in columns.enumerate() {
        let y = top + HEADING + STEP * index as f64;
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            MARGIN + NAMES - 12.0,
            y + 13.5,
            escape(system)
        );
        if let Some(median) = column.median() {
            let share = if longest > 0.0 { median / longest } else { 0.0 };
            bar(svg, index, y, share, &label(median, ratio.filter(|_| index > 0)));
        }
    }
}

fn bar(svg: &mut String, index: usize, y: f64, share: f64, label: &str) {
    let left = MARGIN + NAMES;
    let length = (WIDTH - left - FIGURE - MARGIN) * share;
    let weight = if index == 0 { 600 } else { 400 };
    let _ = writeln!(
        svg,
        "<rect class=\"bar{index}\" x=\"{left}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
         <text x=\"{:.1}\" y=\"{}\" font-weight=\"{weight}\">{label}</text>",
        left + length + 8.0,
        y + 13.5,
    );
}

/// The figure, and for a peer how many times ours it is.
fn label(median: f64, ratio: Option<f64>) -> String {
    let times = ratio.map(|ratio| format!("<tspan class=\"quiet\" dx=\"8\">{ratio:.1} ×</tspan>"));
    figure(median) + &times.unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_row_and_text_is_escaped() {
        let row = Row::new("a<b", "s", vec![Column::of(vec![1.0]), Column::of(vec![2.0])]);
        let svg = draw("t", "s", &["x".into(), "y".into()], &[&row]);
        assert!(svg.contains("a&lt;b"));
        assert!(
            svg.contains("class=\"bar1\" x=\"214\" y=\"128\" width=\"472.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"bar0\" x=\"214\" y=\"106\" width=\"236.0\""),
            "{svg}"
        );
        assert!(svg.contains("2.00<tspan class=\"quiet\" dx=\"8\">2.0 ×"), "{svg}");
    }
}
