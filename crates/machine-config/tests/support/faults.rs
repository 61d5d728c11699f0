//! Faults planted into a valid document, and which of them no error points at.

use keelson_machine_config::{Severity, validate};

/// A mistake that can be made on one line: which lines it fits, and what the line becomes.
pub struct Fault {
    pub name: &'static str,
    pub apply: fn(&str) -> Option<String>,
}

/// Planted faults: line (from 1) and name.
pub type Planted = Vec<(usize, &'static str)>;

/// A document and the faults that its lines can have.
pub struct Field {
    pub document: &'static str,
    pub faults: &'static [Fault],
    /// Whether a line (from 0) may be changed.
    pub open: fn(usize, &str) -> bool,
    /// Faults of which a second one is the same mistake.
    pub once: &'static [&'static str],
}

impl Field {
    /// Lines (from 0) that a fault fits.
    pub fn sites(&self, fault: &Fault) -> Vec<usize> {
        let fits = |(at, line): (usize, &str)| {
            let changed = (fault.apply)(line).filter(|_| (self.open)(at, line));
            changed.map(|_| at)
        };
        self.document.lines().enumerate().filter_map(fits).collect()
    }

    /// The document with faults planted by number and site. One in the header of a table, or a second in a line, can
    /// hide what stands below: of two that touch, only the first is planted.
    pub fn plant(&self, choices: &[(usize, usize)]) -> (String, Planted) {
        let lines: Vec<&str> = self.document.lines().collect();
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut planted = Planted::new();
        for (fault, site) in choices {
            let fault = &self.faults[fault % self.faults.len()];
            let sites = self.sites(fault);
            let at = sites[site % sites.len()];
            let same = self.once.contains(&fault.name) && planted.iter().any(|(_, name)| *name == fault.name);
            if same || planted.iter().any(|(other, _)| other.abs_diff(at + 1) < 2) {
                continue;
            }
            changed[at] = (fault.apply)(lines[at]).unwrap();
            planted.push((at + 1, fault.name));
        }
        (changed.join("\n") + "\n", planted)
    }

    /// Each fault alone at each of its sites is found, with at most one consequence: what a lost line declared may be
    /// missed elsewhere.
    pub fn every_single_fault_is_reported(&self) {
        let mut wrong = Vec::new();
        for (index, fault) in self.faults.iter().enumerate() {
            let sites = self.sites(fault);
            assert!(!sites.is_empty(), "{} fits nowhere", fault.name);
            for site in 0..sites.len() {
                let (text, planted) = self.plant(&[(index, site)]);
                let report = validate("t", text.as_bytes()).report;
                if !missed(&text, &planted).is_empty() || report.errors() > 2 {
                    let errors: Vec<String> = report.lines().collect();
                    let line = text.lines().nth(planted[0].0 - 1).unwrap().to_owned();
                    wrong.push(format!("{planted:?} {line:?}: {errors:#?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The line with the first `from` in it replaced, if there is one.
pub fn replace(line: &str, from: &str, to: &str) -> Option<String> {
    line.contains(from).then(|| line.replacen(from, to, 1))
}

/// The planted faults that no error points at, within a line.
pub fn missed(text: &str, planted: &[(usize, &'static str)]) -> Planted {
    let report = validate("t", text.as_bytes()).report;
    let errors = report.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let lines: Vec<usize> = errors.map(|d| d.place.line).collect();
    let unseen = planted
        .iter()
        .filter(|(line, _)| !lines.iter().any(|l| l.abs_diff(*line) <= 1));
    unseen.copied().collect()
}

/// The bytes with edits made one after the other: position, byte, and whether it is set, put in or taken out.
pub fn damaged(document: &str, edits: Vec<(usize, u8, u8)>) -> Vec<u8> {
    let mut bytes = document.as_bytes().to_vec();
    for (at, byte, edit) in edits {
        let at = at % bytes.len().max(1);
        match edit {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}
