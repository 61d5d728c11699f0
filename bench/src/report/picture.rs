//! The table as bars: one group a row, one bar a system, each row scaled to its longest bar.

use std::fmt::Write as _;

use super::{Column, Row};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 250.0;
const BAR: f64 = 14.0;
const GAP: f64 = 12.0;
const TOP: f64 = 78.0;
/// Room for the figure behind a bar.
const FIGURE: f64 = 130.0;
const COLOURS: [&str; 4] = ["#0f766e", "#a3a3a3", "#737373", "#525252"];

/// Draws rows as SVG 1.1.
pub fn draw(title: &str, setting: &str, systems: &[String], rows: &[Row]) -> String {
    let group = BAR * systems.len() as f64 + GAP;
    let height = TOP + group * rows.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{}</text>\n\
         <text x=\"16\" y=\"44\" fill=\"#525252\">{}; shorter is better</text>\n",
        escape(title),
        escape(setting)
    );
    legend(&mut svg, systems);
    for (index, row) in rows.iter().enumerate() {
        bars(&mut svg, row, TOP + group * index as f64);
    }
    svg + "</svg>\n"
}

fn legend(svg: &mut String, systems: &[String]) {
    for (index, system) in systems.iter().enumerate() {
        let x = LEFT + 160.0 * index as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"54\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"63\">{}</text>",
            colour(index),
            x + 15.0,
            escape(system)
        );
    }
}

fn bars(svg: &mut String, row: &Row, top: f64) {
    let longest = row.columns.iter().filter_map(Column::median).fold(0.0, f64::max);
    let middle = top + BAR * row.columns.len() as f64 / 2.0 + 4.0;
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}, {}</text>",
        LEFT - 10.0,
        escape(&row.name),
        escape(&row.unit)
    );
    for (index, (column, ratio)) in row.columns.iter().zip(row.ratios()).enumerate() {
        let Some(median) = column.median() else { continue };
        let length = (WIDTH - LEFT - FIGURE) * if longest > 0.0 { median / longest } else { 0.0 };
        let y = top + BAR * index as f64;
        let times = ratio
            .filter(|_| index > 0)
            .map(|ratio| format!("  ({ratio:.1} ×)"))
            .unwrap_or_default();
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"11\">{median:.2}{times}</text>",
            BAR - 2.0,
            colour(index),
            LEFT + length + 6.0,
            y + 10.0
        );
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS.get(index).copied().unwrap_or("#000000")
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
        let svg = draw("t", "s", &["x".into(), "y".into()], &[row]);
        assert!(svg.contains("a&lt;b"));
        assert!(svg.contains("width=\"480.0\""), "{svg}");
        assert!(svg.contains("width=\"240.0\""));
        assert!(svg.contains("2.00  (2.0 ×)"));
    }
}
