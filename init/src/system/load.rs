//! Reads the folder of unit files. A file that is refused is refused alone, with a message; the rest boots.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::console::Console;
use super::perform::describe;
use crate::unit::{self, Unit, plan_units};

/// Every unit that can be used; refusals go to the console.
#[must_use]
pub fn load_units(folders: &[PathBuf], console: Console) -> BTreeMap<String, Unit> {
    let mut paths = Vec::new();
    for folder in folders {
        match fs::read_dir(folder) {
            Ok(entries) => paths.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) => console.complain(format!("no unit files: cannot read {}: {error}", folder.display())),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut units = Vec::new();
    for path in paths {
        match load(&path) {
            Ok(unit) => units.push(unit),
            Err(reason) => console.complain(format!("unit file {} is left out: {reason}", path.display())),
        }
    }
    let (kept, refused) = plan_units(units);
    for refusal in refused {
        console.complain(format!("unit {} is left out: {}", refusal.unit, refusal.reason));
    }
    kept
}

fn load(path: &Path) -> Result<Unit, String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The parser's excerpt has several lines; a console line has one.
    unit::parse(name, &text).map_err(|error| describe(&error).replace('\n', " "))
}
