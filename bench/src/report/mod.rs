//! A race's outcome: medians side by side with ratios, as a table, as JSON and as a picture.

mod picture;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Settings;

/// One system's measurements of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// In the order they were taken.
    pub values: Vec<f64>,
}

impl Column {
    /// Keeps what was measured; nothing for a system that does not do this.
    pub fn of(values: Vec<f64>) -> Column {
        Column { values }
    }

    /// The middle one.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

/// One thing that was measured on every system.
#[derive(Debug, Clone)]
pub struct Row {
    name: String,
    unit: String,
    columns: Vec<Column>,
    drawn: bool,
}

impl Row {
    /// A row with a column for each system.
    pub fn new(name: &str, unit: &str, columns: Vec<Column>) -> Row {
        Row {
            name: name.to_owned(),
            unit: unit.to_owned(),
            columns,
            drawn: false,
        }
    }

    /// The same row, in the picture, too.
    pub fn drawn(self) -> Row {
        Row { drawn: true, ..self }
    }

    /// Each system's median as a multiple of the first one's.
    fn ratios(&self) -> Vec<Option<f64>> {
        let first = self.columns.first().and_then(Column::median);
        let ratio = |column: &Column| Some(column.median()? / first.filter(|first| *first > 0.0)?);
        self.columns.iter().map(ratio).collect()
    }
}

/// All rows of a race.
#[derive(Debug)]
pub struct Report {
    title: String,
    setting: String,
    systems: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report on these systems; the first is the measure of the others.
    pub fn new(title: &str, setting: &str, systems: Vec<String>) -> Report {
        Report {
            title: title.to_owned(),
            setting: setting.to_owned(),
            systems,
            rows: Vec::new(),
        }
    }

    /// Adds what was measured.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the table and writes the files asked for.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn publish(&self, settings: &Settings) -> Result<()> {
        print!("{}", self.table());
        if let Some(path) = &settings.json {
            std::fs::write(path, serde_json::to_string_pretty(&self.json())?)
                .with_context(|| path.display().to_string())?;
        }
        if let Some(path) = &settings.picture {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.drawn).collect();
            let picture = picture::draw(&self.title, &self.setting, &self.systems, &rows);
            std::fs::write(path, picture).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!("\n{} ({})\n\n| |", self.title, self.setting);
        self.systems
            .iter()
            .for_each(|system| text.push_str(&format!(" {system} |")));
        text.push_str("\n| --- |");
        self.systems.iter().for_each(|_| text.push_str(" ---: |"));
        for row in &self.rows {
            text.push_str(&format!("\n| {}, {} |", row.name, row.unit));
            for (column, ratio) in row.columns.iter().zip(row.ratios()) {
                text.push_str(&cell(column.median(), ratio));
            }
        }
        text + "\n"
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let columns = self.systems.iter().zip(&row.columns).zip(row.ratios());
            let columns = columns.map(|((system, column), ratio)| {
                json!({ "system": system, "median": column.median(), "ratio": ratio, "values": column.values })
            });
            json!({ "name": row.name, "unit": row.unit, "systems": columns.collect::<Vec<_>>() })
        });
        json!({ "race": self.title, "setting": self.setting, "rows": rows.collect::<Vec<_>>() })
    }
}

fn cell(median: Option<f64>, ratio: Option<f64>) -> String {
    match (median, ratio) {
        (Some(median), Some(ratio)) if (ratio - 1.0).abs() > f64::EPSILON => {
            format!(" {} ({ratio:.1} ×) |", figure(median))
        }
        (Some(median), _) => format!(" {} |", figure(median)),
        (None, _) => " – |".to_owned(),
    }
}

/// A figure with about three digits, as many as such measurements are worth.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("Boot", "two", vec!["Keelson".into(), "Other".into(), "Third".into()]);
        let columns = [vec![3.0, 1.0, 2.0], vec![8.0], vec![]].map(Column::of).to_vec();
        report.add(Row::new("first container", "s", columns));
        report
    }

    #[test]
    fn the_table_has_medians_and_ratios_to_the_first() {
        assert!(
            report()
                .table()
                .contains("| first container, s | 2.00 | 8.00 (4.0 ×) | – |")
        );
    }

    #[test]
    fn json_keeps_every_measurement() {
        let json = report().json();
        assert_eq!(json["rows"][0]["systems"][0]["values"], json!([3.0, 1.0, 2.0]));
        assert_eq!(json["rows"][0]["systems"][1]["ratio"], json!(4.0));
        assert_eq!(json["rows"][0]["systems"][2]["median"], Value::Null);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.951, 17.08, 279.77].map(figure), ["0.95", "17.1", "280"]);
    }
}
